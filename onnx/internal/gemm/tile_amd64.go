//go:build amd64 && !purego

package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

//go:generate go run ./gen -out tile_amd64.s

// The assembly: a tile two vectors wide, or a vector and a part of one, or at
// most one vector.

//go:noescape
func tileAVX2Wide(t *tile)

//go:noescape
func tileAVX2Edge(t *tile)

//go:noescape
func tileAVX2Narrow(t *tile)

//go:noescape
func tileAVX512Wide(t *tile)

//go:noescape
func tileAVX512Edge(t *tile)

//go:noescape
func tileAVX512Narrow(t *tile)

// assembly picks the form for the level and the columns.
func (t *tile) assembly(level kernel.Level) {
	if level == kernel.AVX2 {
		switch {
		case t.cols == 16:
			tileAVX2Wide(t)
		case t.cols > 8:
			tileAVX2Edge(t)
		default:
			tileAVX2Narrow(t)
		}
		return
	}
	switch {
	case t.cols == 32:
		tileAVX512Wide(t)
	case t.cols > 16:
		tileAVX512Edge(t)
	default:
		tileAVX512Narrow(t)
	}
}
