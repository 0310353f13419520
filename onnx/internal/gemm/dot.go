package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// few is the most rows of a for which packing a transposed b does not pay.
const few = 2

// dots says that rows of the product are summed without packing: there are few,
// b is transposed, and nothing follows that only tiles do.
func (j *job) dots() bool {
	e := &j.e
	plain := e.Alpha == 0 && e.Bias == nil && e.RowBias == nil && e.Beta == 0 && !e.Clip
	return j.level != kernel.Portable && j.m <= few && j.b.Row == 1 && j.k > 0 && j.k%8 == 0 && plain
}

// dot computes the columns of at in groups of 16, in the same order of additions
// as a tile, and returns the part of at that is left for tiles.
func (p *product) dot(at area, b View) area {
	done := at
	done.c1 -= (at.c1 - at.c0) % 16
	for c := done.c0; c < done.c1; c += 16 {
		for r := at.r0; r < at.r1; r++ {
			dots16(p.dst[r*p.ldc+c:], p.a.Data[r*p.a.Row:], b.Data[c*b.Col:], p.a.Col, b.Col, p.k/8)
		}
	}
	p.rows(done)
	at.c0 = done.c1
	return at
}
