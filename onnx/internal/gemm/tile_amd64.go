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

//go:noescape
func dotAVX2(dst, a, b *float32, aCol, bCol, blocks int)

// dots16 computes the sums of 8*blocks products of a and 16 columns of b.
func dots16(dst, a, b []float32, aCol, bCol, blocks int) {
	_, _, _ = dst[15], a[(8*blocks-1)*aCol], b[15*bCol+8*blocks-1]
	dotAVX2(&dst[0], &a[0], &b[0], aCol, bCol, blocks)
}

//go:noescape
func turnAVX2(dst, src *float32, dstRow, srcRow, blocks int)

// turn packs columns c to c+width of b, whose columns are contiguous, as far as
// they are whole squares of 8 x 8, and returns how many rows and columns that is.
func turn(dst []float32, b View, k, c, width int) (rows, columns int) {
	rows, columns = k&^7, width&^7
	if rows == 0 || columns == 0 {
		return 0, 0
	}
	for j := 0; j < columns; j += 8 {
		src := b.Data[(c+j)*b.Col:]
		_, _ = src[7*b.Col+rows-1], dst[(rows-1)*width+j+7]
		turnAVX2(&dst[j], &src[0], width, b.Col, rows/8)
	}
	return rows, columns
}

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
