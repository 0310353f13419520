package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// MulSeveral multiplies one left operand, of m rows, with several packed matrices of as
// many rows. dst holds the products one after the other, each m rows of its matrix's
// columns; bias, which may be nil, has one number for each column of all of them. Each
// element is what Mul gives it.
//
// Threads wake up once for all products. One product of all columns would not be faster,
// since tiles read their left operand in place, and what reads its parts would be slower:
// an attention of 197 rows and 768 columns takes 5 % longer with its heads 2304 elements
// apart instead of 768.
func MulSeveral(on *kernel.On, dst []float32, m int, a View, bs []*Packed, bias []float32) error {
	each := make([]product, 0, len(bs))
	work := 0.0
	for _, b := range bs {
		p := product{m: m, k: b.k, n: b.n, a: a, dst: dst, ldc: b.n, level: b.level}
		if bias != nil {
			p.e.Bias, bias = bias[:b.n], bias[b.n:]
		}
		p.check()
		dst = dst[m*b.n:]
		each, work = append(each, p), work+float64(m)*float64(b.k)*float64(b.n)
	}
	workers := on.Workers()
	if work < alone {
		workers = 1
	}
	return spreadSeveral(on, each, bs, workers)
}

// spreadSeveral does the parts of all products.
func spreadSeveral(on *kernel.On, each []product, bs []*Packed, workers int) error {
	type part struct {
		of int
		at area
	}
	var parts []part
	for i := range each {
		g := each[i].cut(workers)
		for unit := range g.units() {
			parts = append(parts, part{i, g.at(unit)})
		}
	}
	do := func(i int) { each[parts[i].of].block(on, parts[i].at, bs[parts[i].of].panels()) }
	if workers > 1 {
		return on.Parallel(len(parts), do)
	}
	for i := range parts {
		if err := on.Err(); err != nil {
			return err
		}
		do(i)
	}
	return on.Err()
}
