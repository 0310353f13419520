package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// numbers multiplies matrices of other types than float32.
func (o *Product) numbers(env *Env, in, out []*tensor.Tensor, alpha, beta float32) error {
	stackA, m, k := split(in[0].Shape, true, o.TransA)
	stackB, _, n := split(in[1].Shape, false, o.TransB)
	stack, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return err
	}
	p := product{m: int(m), k: int(k), n: int(n), alpha: float64(alpha), beta: float64(beta)}
	p.a, p.b, p.out = grid{in[0], 0, p.k, 1}, grid{in[1], 0, p.n, 1}, grid{out[0], 0, p.n, 1}
	if o.TransA && len(in[0].Shape) > 1 {
		p.a.row, p.a.col = 1, p.m
	}
	if o.TransB && len(in[1].Shape) > 1 {
		p.b.row, p.b.col = 1, p.k
	}
	if c := operand(in, 2); c != nil {
		strides := kernel.BroadcastStrides(c.Shape, out[0].Shape)
		p.c = grid{c, 0, strides[0], strides[1]}
	}
	at := stacked(stack, stackA, stackB, int(m*k), int(k*n), int(m*n))
	for i := range countStack(stack) {
		p.a.at, p.b.at, p.out.at = at(int(i))
		if err := p.compute(env); err != nil {
			return err
		}
	}
	return nil
}

// grid is a matrix in a tensor: element (r, c) is number at + r*row + c*col.
type grid struct {
	tensor       *tensor.Tensor
	at, row, col int
}

// product is out = alpha * a x b + beta * c, with m x n elements of k products each.
// c.tensor is nil if there is none.
type product struct {
	m, k, n     int
	a, b, c     grid
	out         grid
	alpha, beta float64
}

// compute runs the product for the type of its operands.
func (p product) compute(env *Env) error {
	switch classOf(p.out.tensor.Type) {
	case signed:
		return multiply[int64](env, p)
	case unsigned:
		return multiply[uint64](env, p)
	}
	return multiply[float64](env, p)
}

// multiply computes a row of the result in blocks of columns. The sums run over k in
// rising order.
func multiply[V numeric](env *Env, p product) error {
	a, b, to := reader[V](p.a.tensor), reader[V](p.b.tensor), writer[V](p.out.tensor)
	left, err := work[V](env, p.k)
	if err != nil {
		return err
	}
	right, sums := make([]V, block), make([]V, block)
	finish := finisher[V](p)
	for i := range p.m {
		a(left, p.a.at+i*p.a.row, p.a.col)
		for j := 0; j < p.n; j += block {
			sum := sums[:min(block, p.n-j)]
			clear(sum)
			for k, x := range left {
				if k%block == 0 {
					if err := env.On.Err(); err != nil {
						return err
					}
				}
				row := right[:len(sum)]
				b(row, p.b.at+k*p.b.row+j*p.b.col, p.b.col)
				for c, y := range row {
					sum[c] += x * y
				}
			}
			finish(sum, i, j)
			to(sum, p.out.at+i*p.out.row+j*p.out.col, p.out.col)
		}
	}
	return nil
}

// finisher does what remains when the sums of row i from column j on are there.
func finisher[V numeric](p product) func(sum []V, i, j int) {
	scaled := p.alpha != 1 || p.beta != 1
	if !scaled && p.c.tensor == nil {
		return func([]V, int, int) {}
	}
	added := make([]V, block)
	get := func([]V, int, int) {}
	if p.c.tensor != nil {
		get = reader[V](p.c.tensor)
	}
	return func(sum []V, i, j int) {
		c := added[:len(sum)]
		get(c, p.c.at+i*p.c.row+j*p.c.col, p.c.col)
		for at := range sum {
			if scaled {
				sum[at] = V(p.alpha*float64(sum[at]) + p.beta*float64(c[at]))
			} else {
				sum[at] += c[at]
			}
		}
	}
}
