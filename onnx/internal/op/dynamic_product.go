package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// dynamicProduct quantizes A as DynamicQuantizeLinear does and multiplies it with a
// quantized B. Operands are A, B, the scale of B, and the zero point of B and a bias for
// each column, which may be missing.
type dynamicProduct struct{ inner *integerProduct }

func makeDynamicProduct(*Attributes, int64) (Operator, error) {
	return dynamicProduct{&integerProduct{at: scaledPlaces()}}, nil
}

// inside is what the product of integers knows of its operands.
func (dynamicProduct) inside(in []*Info) []*Info {
	a := like(in[0], tensor.Uint8)
	scale, zero := ranked(tensor.Float32), ranked(tensor.Uint8)
	return []*Info{&a, in[1], &scale, in[2], &zero, operand(in, 3), operand(in, 4)}
}

func (o dynamicProduct) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	return o.inner.Infer(o.inside(in))
}

// Pack lets the product keep B.
func (o dynamicProduct) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	outside := map[int]int{o.inner.at.b: 1, o.inner.at.zeroB: 3}
	packed, unread, err := o.inner.Pack(on, func(i int) *tensor.Tensor {
		if at, ok := outside[i]; ok {
			return fixed(at)
		}
		return nil
	}, o.inside(in))
	if packed == nil || err != nil {
		return nil, nil, err
	}
	for i := range unread {
		unread[i] = outside[unread[i]]
	}
	return dynamicProduct{packed.(*integerProduct)}, unread, nil
}

// Scratch is that of the product, and quantized A with its scale and zero point.
func (o dynamicProduct) Scratch(on *kernel.On, in []*Info) int64 {
	return o.inner.Scratch(on, o.inside(in)) + (countStack(in[0].Shape)+3)/4 + 2
}

// Run quantizes and multiplies.
func (o dynamicProduct) Run(env *Env, in, out []*tensor.Tensor) error {
	n := in[0].Len()
	words := (n + 3) / 4
	a := tensor.Of(tensor.Reuse[uint8](env.Scratch[:words])[:n], in[0].Shape...)
	scale := tensor.Of(env.Scratch[words : words+1])
	zero := tensor.Of(tensor.Reuse[uint8](env.Scratch[words+1 : words+2])[:1])
	if err := (dynamicQuantize{}).Run(env, in[:1], []*tensor.Tensor{a, scale, zero}); err != nil {
		return err
	}
	rest := *env
	rest.Scratch = env.Scratch[words+2:]
	return o.inner.Run(&rest, []*tensor.Tensor{a, in[1], scale, in[2], zero, operand(in, 3), operand(in, 4)}, out)
}
