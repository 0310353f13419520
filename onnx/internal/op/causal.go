package op

import (
	"github.com/blindbox/blindbox/onnx/tensor"
)

// stateOperators carry a state from one call to the next, as an operand and a result.
func stateOperators() map[string]Spec {
	return map[string]Spec{
		"CausalConvWithState": {MinIn: 2, MaxIn: 4, MaxOut: 2, Make: makeCausalConv, Since: 27},
	}
}

// causalConv convolves each channel of operand 0 (shape [batch, channels, length]) with
// a kernel of its own (operand 1, shape [channels, 1, k]) that sees the past alone, and
// adds operand 2. Operand 3 is what came before; result 1 is what a next call needs.
type causalConv struct {
	swish   bool
	results int
}

func makeCausalConv(a *Attributes, _ int64) (Operator, error) {
	return causalConv{a.oneOf("activation", "none", "silu", "swish") != "none", a.Outputs}, nil
}

func (o causalConv) Infer(in []*Info) ([]Info, error) {
	for i, v := range in {
		if v == nil && i > 1 {
			continue
		}
		if err := needType(in, i, floatTypes()...); err != nil {
			return nil, err
		}
		if err := needTypeOf(in, i, 0); err != nil {
			return nil, err
		}
	}
	x, w := in[0], in[1]
	state := ranked(x.Type, -1, -1, -1)
	if x.Ranked && len(x.Shape) == 3 {
		state.Shape[0], state.Shape[1] = x.Shape[0], x.Shape[1]
	}
	if w.Ranked && len(w.Shape) == 3 && w.Shape[2] > 0 {
		state.Shape[2] = w.Shape[2] - 1
	}
	if err := o.fit(in, state.Shape); err != nil {
		return nil, err
	}
	return []Info{likeFirst(in)[0], state}[:max(1, o.results)], nil
}

// fit holds the shapes to each other.
func (o causalConv) fit(in []*Info, state []int64) error {
	kernel := int64(-1)
	if state[2] != -1 {
		kernel = state[2] + 1
	}
	want := [][]int64{{state[0], state[1], -1}, {state[1], 1, kernel}, {state[1]}, state}
	for i, v := range in {
		if v == nil || !v.Ranked {
			continue
		}
		if !agreeing(v.Shape, want[i]) || i == 1 && v.Shape[2] == 0 {
			return BadInput(i, "has shape %v, expected %v", v.Shape, want[i])
		}
	}
	return nil
}

func (o causalConv) Run(env *Env, in, out []*tensor.Tensor) error {
	channels, length := int(in[0].Shape[1]), int(in[0].Shape[2])
	size := int(in[1].Shape[2])
	line, err := work[float64](env, size-1+length)
	if err != nil {
		return err
	}
	weights, err := work[float64](env, size)
	if err != nil {
		return err
	}
	x, w, put := reader[float64](in[0]), reader[float64](in[1]), writer[float64](out[0])
	for i := range int(in[0].Shape[0]) * channels {
		if err := env.On.Err(); err != nil {
			return err
		}
		clear(line[:size-1])
		if past := operand(in, 3); past != nil {
			reader[float64](past)(line[:size-1], i*(size-1), 1)
		}
		x(line[size-1:], i*length, 1)
		w(weights, i%channels*size, 1)
		if present(out, 1) {
			writer[float64](out[1])(line[length:], i*(size-1), 1)
		}
		o.slide(line, weights, o.bias(in, i%channels))
		put(line[:length], i*length, 1)
	}
	return nil
}

func (causalConv) bias(in []*tensor.Tensor, channel int) float64 {
	var v [1]float64
	if b := operand(in, 2); b != nil {
		reader[float64](b)(v[:], channel, 1)
	}
	return v[0]
}

// slide leaves each result where its oldest number was.
func (o causalConv) slide(line, weights []float64, bias float64) {
	for i := range len(line) - len(weights) + 1 {
		sum := bias
		for k, w := range weights {
			sum += w * line[i+k]
		}
		if o.swish {
			sum *= sigmoid(sum)
		}
		line[i] = sum
	}
}
