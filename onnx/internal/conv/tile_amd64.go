//go:build amd64 && !purego

package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

//go:generate go run ./gen -out tile_amd64.s -dispatch dispatch_amd64.go

// assembly calls the microkernel for q pixels of f blocks.
func (t *tile) assembly(level kernel.Level, how form, f, q int) {
	wide := level >= kernel.AVX512
	switch {
	case how == formBlocked && wide:
		t.blocked16(f, q)
	case how == formBlocked:
		t.blocked8(f, q)
	case how == formPlanar && wide:
		t.planar16(f, q)
	case how == formPlanar:
		t.planar8(f, q)
	case how == formDepth && wide:
		t.depth16(f, q)
	case how == formDepth:
		t.depth8(f, q)
	case wide:
		t.skip16(f, q)
	default:
		t.skip8(f, q)
	}
}

// assembly calls the pooling kernel.
func (t *poolTile) assembly(mean bool, block int) {
	if block == maxBlock {
		t.pool16(mean)
		return
	}
	t.pool8(mean)
}
