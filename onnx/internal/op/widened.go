package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ForTypes returns the operator for operands of the types that are known now. Those whose
// fast form is of float32 take floats of 16 bits as well: these become float32, and
// results are rounded to 16 bits again.
func ForTypes(o Operator, in []*Info) Operator {
	short := len(in) > 0 && in[0] != nil && (in[0].Type == tensor.Float16 || in[0].Type == tensor.BFloat16)
	switch p := o.(type) {
	case *Conv, *ConvTranspose, *recurrent, *Product:
		if short {
			return widened{o, in[0].Type}
		}
	case *Pool:
		if short && !p.indices { // which are no floats
			return widened{o, in[0].Type}
		}
	}
	return o
}

// widened computes in float32 what its operands and results hold in 16 bits.
type widened struct {
	inner Operator
	of    tensor.DataType
}

// wide are the operands as the operator inside sees them.
func (o widened) wide(in []*Info) ([]*Info, error) {
	out := make([]*Info, len(in))
	for i, v := range in {
		switch {
		case v == nil:
		case v.Type == o.of:
			w := *v
			w.Type, w.Value = tensor.Float32, nil
			out[i] = &w
		case v.Type == tensor.Float32:
			return nil, BadInput(i, "is %s, expected %s", v.Type, o.of)
		default:
			out[i] = v
		}
	}
	return out, nil
}

func (o widened) Infer(in []*Info) ([]Info, error) {
	wide, err := o.wide(in)
	if err != nil {
		return nil, err
	}
	results, err := o.inner.Infer(wide)
	for i := range results {
		results[i].Type = o.of // all are floats
	}
	return results, err
}

// Scratch is that of the operator inside, and what becomes float32.
func (o widened) Scratch(on *kernel.On, in []*Info) int64 {
	wide, err := o.wide(in)
	if err != nil { // Infer has said so
		return 0
	}
	n := int64(0)
	if s, ok := o.inner.(Scratcher); ok {
		n = s.Scratch(on, wide)
	}
	results, err := o.inner.Infer(wide)
	if err != nil {
		return 0
	}
	for _, v := range append(wide, refer(results)...) {
		if v == nil || v.Type != tensor.Float32 {
			continue
		}
		if size := countStack(v.Shape); n >= 0 && n <= math.MaxInt64-size {
			n += size
		}
	}
	return n
}

func (o widened) Run(env *Env, in, out []*tensor.Tensor) error {
	rest := *env
	take := func(t *tensor.Tensor) *tensor.Tensor {
		n := t.Len()
		wide := tensor.Of(rest.Scratch[:n:n], t.Shape...)
		rest.Scratch = rest.Scratch[n:]
		return wide
	}
	operands, results := make([]*tensor.Tensor, len(in)), make([]*tensor.Tensor, len(out))
	for i, t := range in {
		if operands[i] = t; t != nil && t.Type == o.of {
			operands[i] = take(t)
			if err := widenAll(env, tensor.Data[float32](operands[i]), t); err != nil {
				return err
			}
		}
	}
	for i, t := range out {
		results[i] = take(t)
	}
	if err := o.inner.Run(&rest, operands, results); err != nil {
		return err
	}
	for i, t := range out {
		if err := narrowAll(env, t, tensor.Data[float32](results[i])); err != nil {
			return err
		}
	}
	return nil
}

// piece is how many elements are converted between two looks at the context.
const piece = 1 << 17

// widenAll reads all elements as float32.
func widenAll(env *Env, dst []float32, t *tensor.Tensor) error {
	for at := 0; at < len(dst); at += piece {
		if err := env.On.Err(); err != nil {
			return err
		}
		widen(dst[at:min(at+piece, len(dst))], t, at)
	}
	return nil
}

// narrowAll rounds to the floats of 16 bits that a tensor has.
func narrowAll(env *Env, t *tensor.Tensor, src []float32) error {
	for at := 0; at < len(src); at += piece {
		if err := env.On.Err(); err != nil {
			return err
		}
		part := src[at:min(at+piece, len(src))]
		if t.Type == tensor.Float16 {
			narrow.Narrow(tensor.Data[tensor.F16](t)[at:][:len(part)], part, false)
		} else {
			narrow.Narrow(tensor.Data[tensor.BF16](t)[at:][:len(part)], part, false)
		}
	}
	return nil
}
