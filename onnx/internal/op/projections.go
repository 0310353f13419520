package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Projections multiplies one left operand with several matrices. Operands are A, of
// float32, then B and C of each product A x B + C. B is one matrix; C, one number for each
// of its columns, may be missing. The result has the rows of A and the columns of all
// products, but they are not interleaved: the first product, row by row, comes before all
// of the second. It is immutable.
type Projections struct {
	Turned []bool // of each B, whether it is given transposed

	packed    []*gemm.Packed // each B, if all operands but A are known
	bias      []float32      // then, each C, zeros if it is missing
	overwrite []bool         // of each B, whether it is nobody else's
}

func (o *Projections) b(i int) int { return 1 + 2*i } // which operand is B of product i
func (o *Projections) c(i int) int { return 2 + 2*i } // which operand is C of product i

// Infer is that of each product, their columns added up.
func (o *Projections) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	var all []Info
	for i, turned := range o.Turned {
		if b := in[o.b(i)]; b == nil || b.Ranked && len(b.Shape) != 2 {
			return nil, BadInput(o.b(i), "is not one matrix")
		}
		part, err := (&Product{TransB: turned}).Infer([]*Info{in[0], in[o.b(i)], in[o.c(i)]})
		if err != nil {
			return nil, err
		}
		all = append(all, part[0])
	}
	return []Info{beside(all)}, nil
}

// beside is what products of one left operand with matrices are together: as many rows,
// and the columns of all.
func beside(parts []Info) Info {
	whole := parts[0]
	n := len(whole.Shape) - 1
	for _, part := range parts[1:] {
		switch {
		case !whole.Ranked || !part.Ranked:
			whole = unranked(whole.Type)
		case whole.Shape[n] == -1 || part.Shape[n] == -1:
			whole.Shape[n] = -1
		default:
			whole.Shape[n] += part.Shape[n]
		}
	}
	return whole
}

// Overwrite lets each B that is nobody else's be laid out where it is.
func (o *Projections) Overwrite(own func(i int) bool) Packer {
	same := *o
	same.overwrite = make([]bool, len(o.Turned))
	for i := range o.Turned {
		same.overwrite[i] = own(o.b(i))
	}
	return &same
}

// Pack lays out every B for the tiles of the level, each by itself, if all are known.
// So it takes no more memory than the products would one by one.
func (o *Projections) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	if o.packed != nil {
		return nil, nil, nil
	}
	done, unread := *o, []int(nil)
	known := make([]*tensor.Tensor, len(in))
	for i := 1; i < len(in); i++ {
		if in[i] == nil {
			continue
		}
		if known[i] = fixed(i); known[i] == nil {
			return nil, nil, nil
		}
		unread = append(unread, i)
	}
	done.bias = []float32{}
	for i, turned := range o.Turned {
		b, c := known[o.b(i)], known[o.c(i)]
		_, _, n := split(b.Shape, false, turned)
		switch {
		case c == nil:
			done.bias = append(done.bias, make([]float32, n)...)
		case perColumn(c.Shape, n):
			done.bias = append(done.bias, tensor.Data[float32](c)...)
		default:
			return nil, nil, nil
		}
	}
	for i, turned := range o.Turned {
		one := &Product{TransB: turned, overwrite: o.overwrite != nil && o.overwrite[i]}
		done.packed = append(done.packed, one.layOut(on.Level, known[o.b(i)]))
	}
	return &done, unread, nil
}

// Scratch is for one product at a time, if they are not packed.
func (o *Projections) Scratch(on *kernel.On, in []*Info) int64 {
	most := int64(0)
	for i := range o.Turned {
		if o.packed == nil {
			most = max(most, o.part(i).Scratch(on, []*Info{in[0], in[o.b(i)], in[o.c(i)]}))
		}
	}
	return most
}

// part is product i by itself.
func (o *Projections) part(i int) *Product { return &Product{TransB: o.Turned[i]} }

// Run multiplies.
func (o *Projections) Run(env *Env, in, out []*tensor.Tensor) error {
	dst, shape := tensor.Data[float32](out[0]), slices.Clone(out[0].Shape)
	columns := len(shape) - 1
	m := len(dst) / int(shape[columns])
	if o.packed != nil {
		a := gemm.Dense(tensor.Data[float32](in[0]), o.packed[0].K())
		return gemm.MulSeveral(env.On, dst, m, a, o.packed, o.bias)
	}
	for i := range o.Turned {
		operands := []*tensor.Tensor{in[0], in[o.b(i)], in[o.c(i)]}
		_, _, shape[columns] = split(operands[1].Shape, false, o.Turned[i])
		n := m * int(shape[columns])
		if err := o.part(i).Run(env, operands, []*tensor.Tensor{tensor.Of(dst[:n:n], shape...)}); err != nil {
			return err
		}
		dst = dst[n:]
	}
	return nil
}
