package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// tile is a piece of the output that is summed in registers, and where its
// operands are; and so for the tiles below it, one after the other. The assembly
// reads it field by field: gen/layout.go has the same order, and a test compares
// the two.
type tile struct {
	a, b, c       []float32 // the first element of each
	extra         []float32 // the matrix to add
	bias, rowBias []float32 // for the first column and row, or nil

	aRow, aCol, bRow, cRow, extraRow int // distances in elements
	k, cols                          int
	flags                            int

	// There are so many tiles of so many rows; the first few have one row more.
	tiles, height, taller int

	// What the next tiles read of B, to be in the second-level cache by then:
	// each of the k steps asks for 128 bytes, aheadStep bytes further on.
	ahead     []float32
	aheadStep int

	alpha, beta, lo, hi float32
}

// What to do before and after the k steps.
const (
	carry  = 1 << iota // go on from the sums in c
	finish             // what follows, and the biases
	add                // add beta times extra
	clip               // into lo..hi
	scale              // multiply by alpha
)

// finishing sets what the last steps of a sum are followed by.
func (t *tile) finishing(e *Epilogue) {
	t.flags |= finish
	if e.Alpha != 0 {
		t.flags |= scale
		t.alpha = e.Alpha
	}
	if e.Beta != 0 {
		t.flags |= add
		t.beta, t.extraRow = e.Beta, e.CRow
	}
	if e.Clip {
		t.flags |= clip
		t.lo, t.hi = e.Lo, e.Hi
	}
}

// run computes the tiles and changes t on the way. Every slice must hold what the
// distances and counts say: Mul has checked that.
func (t *tile) run(level kernel.Level) {
	switch level {
	case kernel.Portable:
		t.portable()
	default:
		t.assembly(level)
	}
}

// panelWidth is the number of columns of a panel and of a tile.
func panelWidth(level kernel.Level) int {
	switch level {
	case kernel.Portable:
		return 4
	case kernel.AVX2:
		return 16
	}
	return 32
}

// tileRows is the most rows of a tile. With the width it fills the registers:
// 12 x 2 of 32 in AVX-512, 6 x 2 of 16 in AVX2.
func tileRows(level kernel.Level) int {
	switch level {
	case kernel.Portable:
		return 4
	case kernel.AVX2:
		return 6
	}
	return 12
}
