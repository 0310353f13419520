package op

import (
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/rnn"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Run goes one direction after the other.
func (o *recurrent) Run(env *Env, in, out []*tensor.Tensor) error {
	s := o.sizesOf(in, out[0])
	lengths, err := sequenceLengths(operand(in, recurrentLengths), s.steps)
	if err != nil {
		return err
	}
	states, scratch := env.Scratch[:2*s.batch*s.hidden], env.Scratch[2*s.batch*s.hidden:]
	for d, backwards := range o.backwards {
		h, c := states[:s.batch*s.hidden], states[s.batch*s.hidden:]
		o.state(h, in, recurrentH, d, s)
		o.state(c, in, recurrentC, d, s)
		q := o.sequences(tensor.Data[float32](in[0]), tensor.Data[float32](out[0]), d, s)
		q.Reverse, q.Lengths = backwards, lengths
		cell, rest := o.cell(env, in, d, s, scratch)
		if err := cell.Run(env.On, q, h, c, rest); err != nil {
			return err
		}
		for i, last := range [][]float32{h, c} {
			if i+1 < len(out) {
				o.each(d, s, func(b, at int) { copy(tensor.Data[float32](out[i+1])[at:], last[b:b+int(s.hidden)]) })
			}
		}
	}
	return nil
}

// sizesOf takes the sizes from the input and the first result.
func (o *recurrent) sizesOf(in []*tensor.Tensor, y *tensor.Tensor) recurrentSizes {
	x := in[0].Shape
	s := recurrentSizes{x[0], x[1], x[2], y.Shape[3]}
	if o.batchFirst {
		s.steps, s.batch = s.batch, s.steps
	}
	return s
}

// sequenceLengths reads how long the sequences are; nil: all have every step.
func sequenceLengths(t *tensor.Tensor, steps int64) ([]int, error) {
	if t == nil {
		return nil, nil
	}
	var lengths []int
	for _, n := range tensor.Data[int32](t) {
		if n < 0 || int64(n) > steps {
			return nil, BadInput(recurrentLengths, "holds %d, expected 0 to %d", n, steps)
		}
		lengths = append(lengths, int(n))
	}
	return lengths, nil
}

// each shows where the state of every sequence lies: at b in rows of states, at at in
// the tensors of initial and last states.
func (o *recurrent) each(d int, s recurrentSizes, f func(b, at int)) {
	n := int(s.hidden)
	for b := range int(s.batch) {
		at := (d*int(s.batch) + b) * n
		if o.batchFirst {
			at = (b*len(o.backwards) + d) * n
		}
		f(b*n, at)
	}
}

// state sets the initial state from operand i, or to 0.
func (o *recurrent) state(to []float32, in []*tensor.Tensor, i, d int, s recurrentSizes) {
	t := operand(in, i)
	if t == nil {
		clear(to)
		return
	}
	data := tensor.Data[float32](t)
	o.each(d, s, func(b, at int) { copy(to[b:b+int(s.hidden)], data[at:]) })
}

// sequences is the input and where its states go.
func (o *recurrent) sequences(x, y []float32, d int, s recurrentSizes) *rnn.Sequences {
	steps, batch, hidden, directions := int(s.steps), int(s.batch), int(s.hidden), len(o.backwards)
	q := &rnn.Sequences{Steps: steps, Batch: batch, X: x}
	if o.batchFirst {
		q.XStep, q.XBatch = 1, steps
		q.Y, q.YStep, q.YBatch = y[d*hidden:], directions*hidden, steps*directions*hidden
		return q
	}
	q.XStep, q.XBatch = batch, 1
	q.Y, q.YStep, q.YBatch = y[d*batch*hidden:], directions*batch*hidden, hidden
	return q
}

// cell is the cell of direction d, and the scratch memory that is left.
func (o *recurrent) cell(env *Env, in []*tensor.Tensor, d int, s recurrentSizes, scratch []float32) (*rnn.Cell, []float32) {
	if o.cells != nil {
		return o.cells[d], scratch
	}
	c := o.config(d, s)
	return rnn.New(env.On.Level, c, o.weights(in, d), scratch[:c.Len()]), scratch[c.Len():]
}

// withActivations reads the functions of each direction: names, and alphas and betas for
// those that have them, in order.
func withActivations(a *Attributes, c rnn.Config, directions int) ([]rnn.Config, error) {
	names, given := a.strings("activations")
	alphas, _ := a.floats("activation_alpha")
	betas, _ := a.floats("activation_beta")
	usual := map[rnn.Kind][]string{rnn.Simple: {"Tanh"}, rnn.GRU: {"Sigmoid", "Tanh"}, rnn.LSTM: {"Sigmoid", "Tanh", "Tanh"}}[c.Kind]
	if !given {
		for range directions {
			names = append(names, usual...)
		}
	}
	if len(names) != directions*len(usual) {
		return nil, fmt.Errorf(`attribute "activations" has %d names, expected %d`, len(names), directions*len(usual))
	}
	configs := make([]rnn.Config, directions)
	for d := range configs {
		configs[d] = c
		for i, f := range []*rnn.Activation{&configs[d].F, &configs[d].G, &configs[d].H}[:len(usual)] {
			name := names[d*len(usual)+i]
			if *f = gateFunction(strings.ToLower(name), &alphas, &betas); *f == nil {
				return nil, fmt.Errorf(`attribute "activations" names %s, which is not known`, Quote(name))
			}
		}
	}
	return configs, nil
}

// gateFunction makes a function of gates by its name in lower case, and takes the
// parameters that it has; nil: there is none of that name. Where ONNX names no default,
// that is what changes nothing.
func gateFunction(name string, alphas, betas *[]float32) rnn.Activation {
	next := func(from *[]float32, otherwise float32) float32 {
		if len(*from) == 0 {
			return otherwise
		}
		v := (*from)[0]
		*from = (*from)[1:]
		return v
	}
	type level = kernel.Level
	switch name {
	case "relu":
		return vec.Relu
	case "tanh":
		return vec.Tanh
	case "sigmoid":
		return vec.Sigmoid
	case "softplus":
		return vec.Softplus
	case "softsign":
		return softsign
	case "affine":
		alpha, beta := next(alphas, 1), next(betas, 0)
		return func(l level, dst, src []float32) {
			vec.MulScalar(l, dst, src, alpha)
			vec.AddScalar(l, dst, dst, beta)
		}
	case "leakyrelu":
		alpha := next(alphas, 0.01)
		return func(l level, dst, src []float32) { vec.LeakyRelu(l, dst, src, alpha) }
	case "thresholdedrelu":
		alpha := next(alphas, 1)
		return func(_ level, dst, src []float32) { cutBelow(dst, src, alpha) }
	case "scaledtanh":
		alpha, beta := next(alphas, 1), next(betas, 1)
		return func(l level, dst, src []float32) {
			vec.MulScalar(l, dst, src, beta)
			vec.Tanh(l, dst, dst)
			vec.MulScalar(l, dst, dst, alpha)
		}
	case "hardsigmoid":
		alpha, beta := next(alphas, 0.2), next(betas, 0.5)
		return func(l level, dst, src []float32) { vec.HardSigmoid(l, dst, src, alpha, beta) }
	case "elu":
		alpha := next(alphas, 1)
		return func(l level, dst, src []float32) { vec.Elu(l, dst, src, alpha) }
	}
	return nil
}

// softsign is x / (1 + |x|).
func softsign(_ kernel.Level, dst, src []float32) {
	for i, x := range src[:len(dst)] {
		dst[i] = x / (1 + max(x, -x))
	}
}

// cutBelow is x from alpha on, 0 below.
func cutBelow(dst, src []float32, alpha float32) {
	for i, x := range src[:len(dst)] {
		if x < alpha {
			x = 0
		}
		dst[i] = x
	}
}
