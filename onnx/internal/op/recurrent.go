package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/rnn"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func recurrentOperators() map[string]Spec {
	return map[string]Spec{
		"RNN":  {MinIn: 3, MaxIn: 6, MaxOut: 2, Make: makeRecurrent(rnn.Simple)},
		"GRU":  {MinIn: 3, MaxIn: 6, MaxOut: 2, Make: makeRecurrent(rnn.GRU)},
		"LSTM": {MinIn: 3, MaxIn: 8, MaxOut: 3, Make: makeRecurrent(rnn.LSTM)},
	}
}

// recurrent runs sequences through a layer, in one direction or in both. Operands are
// X, W, R, B, the lengths of the sequences, the initial state, and, of an LSTM, the
// initial state of its cells and P.
type recurrent struct {
	configs    []rnn.Config // one for each direction, without Input and Hidden
	backwards  []bool       // likewise
	hidden     int64        // the attribute; -1: not there
	batchFirst bool
	outputs    int
	cells      []*rnn.Cell // if the weights are known
}

// Operands of recurrent.
const (
	recurrentW = 1 + iota
	recurrentR
	recurrentB
	recurrentLengths
	recurrentH
	recurrentC
	recurrentP
)

func makeRecurrent(kind rnn.Kind) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, opset int64) (Operator, error) {
		o := &recurrent{hidden: a.int("hidden_size", -1), outputs: a.Outputs}
		switch a.oneOf("direction", "forward", "reverse", "bidirectional") {
		case "forward":
			o.backwards = []bool{false}
		case "reverse":
			o.backwards = []bool{true}
		default:
			o.backwards = []bool{false, true}
		}
		if opset >= 14 {
			o.batchFirst = a.flag("layout", false)
		}
		c := rnn.Config{Kind: kind, Clip: a.float("clip", 0)}
		if !(c.Clip >= 0) {
			return nil, fmt.Errorf(`attribute "clip" is %g, expected 0 or more`, c.Clip)
		}
		switch kind {
		case rnn.GRU:
			c.LinearBeforeReset = a.flag("linear_before_reset", false)
		case rnn.LSTM:
			c.InputForget = a.flag("input_forget", false)
		}
		var err error
		o.configs, err = withActivations(a, c, len(o.backwards))
		return o, err
	}
}

// recurrentSizes are the dimensions of a layer's operands; -1: not known.
type recurrentSizes struct{ steps, batch, input, hidden int64 }

// sizes checks the shapes against each other.
func (o *recurrent) sizes(in []*Info) (recurrentSizes, error) {
	s := recurrentSizes{-1, -1, -1, o.hidden}
	directions, gates := int64(len(o.backwards)), int64(-1)
	if err := holdDims(in, recurrentR, &directions, &gates, &s.hidden); err != nil {
		return s, err
	}
	if s.hidden > math.MaxInt32 {
		return s, fmt.Errorf(`attribute "hidden_size" is %d, expected less than 2^31`, s.hidden)
	}
	both, peepholes := int64(-1), int64(-1)
	if s.hidden >= 0 {
		want := s.hidden * int64(o.configs[0].Kind.Gates())
		if _, ok := sameDim(gates, want); !ok {
			return s, BadInput(recurrentR, "has %d rows, expected %d", gates, want)
		}
		gates, both, peepholes = want, 2*want, 3*s.hidden
	}
	sequences, states := []*int64{&s.steps, &s.batch, &s.input}, []*int64{&directions, &s.batch, &s.hidden}
	if o.batchFirst {
		sequences[0], sequences[1] = sequences[1], sequences[0]
		states[0], states[1] = states[1], states[0]
	}
	for i, dims := range [][]*int64{
		sequences, {&directions, &gates, &s.input}, {&directions, &gates, &s.hidden}, {&directions, &both},
		{&s.batch}, states, states, {&directions, &peepholes},
	} {
		if err := holdDims(in, i, dims...); err != nil {
			return s, err
		}
	}
	if s.input == 0 {
		return s, BadInput(0, "has no element at a step")
	}
	return s, nil
}

// holdDims holds the shape of an operand to dims, and those that are -1 to the shape.
func holdDims(in []*Info, i int, dims ...*int64) error {
	v := operand(in, i)
	if v == nil || !v.Ranked {
		return nil
	}
	if len(v.Shape) != len(dims) {
		return BadInput(i, "has shape %v, expected %d dimensions", v.Shape, len(dims))
	}
	for k, d := range dims {
		joined, ok := sameDim(*d, v.Shape[k])
		if !ok {
			return BadInput(i, "has shape %v, expected %d in dimension %d", v.Shape, *d, k)
		}
		*d = joined
	}
	return nil
}

func (o *recurrent) Infer(in []*Info) ([]Info, error) {
	for i, v := range in {
		if v == nil && i >= recurrentB {
			continue
		}
		want := tensor.Float32
		if i == recurrentLengths {
			want = tensor.Int32
		}
		if err := needType(in, i, want); err != nil {
			return nil, err
		}
	}
	s, err := o.sizes(in)
	if err != nil {
		return nil, err
	}
	directions := int64(len(o.backwards))
	all, last := []int64{s.steps, directions, s.batch, s.hidden}, []int64{directions, s.batch, s.hidden}
	if o.batchFirst {
		all, last = []int64{s.batch, s.steps, directions, s.hidden}, []int64{s.batch, directions, s.hidden}
	}
	out := []Info{ranked(tensor.Float32, all...), ranked(tensor.Float32, last...), ranked(tensor.Float32, slices.Clone(last)...)}
	return out[:o.outputs], nil
}

// config is that of direction d with the sizes filled in.
func (o *recurrent) config(d int, s recurrentSizes) rnn.Config {
	c := o.configs[d]
	c.Input, c.Hidden = int(s.input), int(s.hidden)
	return c
}

// Scratch is for the gates of all steps, the states, and weights that are not known
// before.
func (o *recurrent) Scratch(_ *kernel.On, in []*Info) int64 {
	s, err := o.sizes(in)
	if err != nil {
		return 0
	}
	gates := s.hidden * int64(o.configs[0].Kind.Gates())
	if _, err := tensor.Count([]int64{s.steps + 1, s.batch + 1, gates + s.hidden, 8}); err != nil {
		return math.MaxInt64
	}
	c := o.config(0, s)
	n := int64(c.ScratchLen(int(s.steps), int(s.batch))) + 2*s.batch*s.hidden
	if o.cells == nil {
		n += int64(c.Len())
	}
	return n
}

// Pack lays out weights, biases and peepholes if all are known.
func (o *recurrent) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	weights, unread := make([]*tensor.Tensor, 8), []int{}
	for _, i := range []int{recurrentW, recurrentR, recurrentB, recurrentP} {
		if operand(in, i) == nil {
			continue
		}
		if weights[i] = fixed(i); weights[i] == nil {
			return nil, nil, nil
		}
		unread = append(unread, i)
	}
	s, err := o.sizes(in)
	if err != nil {
		return nil, nil, err
	}
	packed := *o
	for d := range o.backwards {
		w := o.weights(weights, d)
		w.P = slices.Clone(w.P)
		packed.cells = append(packed.cells, rnn.New(on.Level, o.config(d, s), w, nil))
	}
	return &packed, unread, nil
}

// weights are those of direction d.
func (o *recurrent) weights(in []*tensor.Tensor, d int) rnn.Weights {
	part := func(i int) []float32 {
		t := operand(in, i)
		if t == nil {
			return nil
		}
		data := tensor.Data[float32](t)
		n := len(data) / len(o.backwards)
		return data[d*n : (d+1)*n]
	}
	return rnn.Weights{W: part(recurrentW), R: part(recurrentR), B: part(recurrentB), P: part(recurrentP)}
}
