package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// tile is a piece of the product that is summed in registers, and where its
// operands are. The assembly reads it field by field: gen/layout.go has the same
// order, and a test compares the two.
type tile struct {
	a, b          []uint8 // the first byte of each
	c             []int32 // the first sum
	zeroA, excess []int32 // of the first row
	zeroB, sum    []int32 // of the first column

	aRow, bPanel, cRow   int // distances in elements: of rows, of panels, of rows
	quads, rows, columns int // columns is a multiple of panel
	flags                int
}

// What to do before and after the quads.
const (
	carry  = 1 << iota // go on from the sums in c
	finish             // take away what the zero points contributed
)

// tileColumns and tileRows are the most columns and rows of a tile: they fill the
// registers. AVX2 has 4 x 2 sums, AVX-512 12 x 2.
func tileColumns(level kernel.Level) int {
	if level >= kernel.AVX512 {
		return 2 * panel
	}
	return panel
}

func tileRows(level kernel.Level) int {
	if level >= kernel.AVX512 {
		return 12
	}
	return 4
}

// stretch is how many quads a tile sums between two looks at the context.
func stretch(level kernel.Level) int {
	if level == kernel.Portable {
		return 1 << 11
	}
	return 1 << 14
}

// portable is the tile in Go.
func (t *tile) portable() {
	for r := range t.rows {
		for p := 0; p < t.columns; p += panel {
			sums := (*[panel]int32)(t.c[r*t.cRow+p:])
			if t.flags&carry == 0 {
				clear(sums[:])
			}
			if t.quads > 0 {
				dots(sums, t.a[r*t.aRow:][:t.quads*quad], t.b[p/panel*t.bPanel:])
			}
			if t.flags&finish != 0 {
				for j := range sums {
					sums[j] -= t.zeroB[p+j]*t.excess[r] + t.zeroA[r]*t.sum[p+j]
				}
			}
		}
	}
}

// dots adds the products of a row and a panel.
func dots(sums *[panel]int32, a, b []uint8) {
	for ; len(a) >= quad; a = a[quad:] {
		x := [quad]int32{int32(a[0]), int32(a[1]), int32(a[2]), int32(a[3])}
		y := (*[quad * panel]uint8)(b)
		for j := range sums {
			sums[j] += x[0]*int32(int8(y[j*quad])) + x[1]*int32(int8(y[j*quad+1])) +
				x[2]*int32(int8(y[j*quad+2])) + x[3]*int32(int8(y[j*quad+3]))
		}
		b = b[quad*panel:]
	}
}
