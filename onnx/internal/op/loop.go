package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// loop runs a graph again and again. Operands: how often at most (optional), whether
// to begin (optional), and the values that each turn takes over from the one before.
// Results: these values at the end; then, of the other values that each turn gives, all
// that came, stacked.
type loop struct {
	maker
	body    Body
	carried int
	stacked int
}

func makeLoop(a *Attributes, _ int64) (Operator, error) {
	o := loop{body: a.body("body"), carried: a.Inputs - 2}
	if o.body == nil {
		return nil, errNoBody
	}
	o.stacked = o.body.Outputs() - 1 - o.carried
	if len(o.body.Inputs()) != 2+o.carried || o.stacked < 0 || a.Outputs > o.carried+o.stacked {
		return nil, fmt.Errorf("the graph inside has %d inputs and %d outputs, which does not fit %d inputs and %d outputs of the node",
			len(o.body.Inputs()), o.body.Outputs(), a.Inputs, a.Outputs)
	}
	return o, nil
}

// Infer follows one turn until what is known of the values that go around holds for
// every turn.
func (o loop) Infer(in []*Info) ([]Info, error) {
	for i, t := range []tensor.DataType{tensor.Int64, tensor.Bool} {
		if in[i] == nil {
			continue
		}
		if err := needType(in, i, t); err != nil {
			return nil, err
		}
	}
	around := make([]Info, o.carried)
	for i, v := range in[2 : 2+o.carried] {
		if v == nil {
			return nil, BadInput(2+i, "is required")
		}
		around[i] = openly(*v)
	}
	gives, err := o.settle(around, in[2+o.carried:])
	if err != nil {
		return nil, err
	}
	for i, v := range gives[:o.carried] {
		if v.Type != tensor.Optional && around[i].Type == tensor.Optional {
			around[i] = openly(v)
		}
	}
	for _, v := range gives[o.carried:] {
		around = append(around, stackedInfo(v, 0))
	}
	return around, nil
}

// wrapped is what the next turn gets of a value: an optional, if the graph inside
// takes one and gives what is in it.
func (o loop) wrapped(i int, v Info) Info {
	if o.body.Inputs()[2+i].Type == tensor.Optional && v.Type != tensor.Optional {
		return listOf(tensor.Optional, &v)
	}
	return v
}

// Settling is how often a loop's graph is followed, at most, until what is known of the
// values that go around holds for every turn.
const Settling = 10

// settle widens what is known of the values that go around, and returns what is known
// of all that a turn gives beside whether to go on.
func (o loop) settle(around []Info, captured []*Info) ([]Info, error) {
	const patience = 3 // turns after which no shape is kept
	for turn := range Settling {
		head := []Info{o.control(0, tensor.Int64), o.control(1, tensor.Bool)}
		out, err := o.body.Infer(append(append(refer(head), refer(around)...), captured...))
		if err != nil {
			return nil, err
		}
		if out[0].Type != tensor.Bool {
			return nil, fmt.Errorf("the graph inside says with %s whether to go on, expected bool", out[0])
		}
		next := make([]Info, o.carried)
		for i := range next {
			next[i] = o.wrapped(i, out[1+i])
		}
		changed, err := eitherAll(around, next)
		if err != nil {
			return nil, err
		}
		if !changed {
			return out[1:], nil
		}
		for i := range around {
			around[i].Ranked = around[i].Ranked && turn < patience
		}
	}
	return nil, errUnsettled
}

var errUnsettled = errors.New("the types of values that go around do not settle")

// eitherAll joins what is known of values with what a turn says of them, and tells
// whether that changes anything.
func eitherAll(around, out []Info) (changed bool, err error) {
	for i := range around {
		wide, err := either(around[i], out[i])
		if err != nil {
			return false, fmt.Errorf("value %d that goes around: %w", i, err)
		}
		changed = changed || differs(wide, around[i])
		around[i] = wide
	}
	return changed, nil
}

// differs says whether less is known of a than of b, which it was widened from.
func differs(a, b Info) bool {
	if a.Ranked != b.Ranked || a.Item != b.Item || a.Inner != b.Inner {
		return true
	}
	return a.Ranked && !slices.Equal(a.Shape, b.Shape)
}

// control is what the graph inside gets as number of the turn or as condition: one
// element, as a list if it asks for one.
func (o loop) control(index int, t tensor.DataType) Info {
	if d := o.body.Inputs()[index]; d.Ranked && len(d.Shape) == 1 {
		return ranked(t, 1)
	}
	return ranked(t)
}

// turns reads how many turns there may be, and whether there is one at all.
func (o loop) turns(in []*tensor.Tensor) (most int64, begin bool, err error) {
	most, begin = math.MaxInt64, true
	if in[0] != nil {
		d := tensor.Data[int64](in[0])
		if len(d) != 1 {
			return 0, false, BadInput(0, "has %d elements, expected one number", len(d))
		}
		most = d[0]
	}
	if in[1] != nil {
		begin, err = oneBool(in[1], 1)
	}
	return most, begin, err
}

func (o loop) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	most, more, err := o.turns(in)
	if err != nil {
		return nil, err
	}
	around, captured := in[2:2+o.carried], in[2+o.carried:]
	gathered := make([][]*tensor.Tensor, o.stacked)
	for i := int64(0); more && i < most; i++ {
		if err := env.turn(); err != nil {
			return nil, err
		}
		number, goOn := tensor.Scalar(i), tensor.Scalar(true)
		number.Shape, goOn.Shape = o.control(0, number.Type).Shape, o.control(1, goOn.Type).Shape
		given := []*tensor.Tensor{number, goOn}
		for i, t := range around {
			if o.wrapped(i, Known(t)).Type != t.Type {
				t = tensor.OptionalOf(t.Type, t.ItemType, t)
			}
			given = append(given, t)
		}
		given = append(given, captured...)
		out, err := o.body.Run(env, given)
		if err != nil {
			return nil, err
		}
		if more, err = oneBool(out[0], 0); err != nil {
			return nil, fmt.Errorf("whether to go on: %w", err)
		}
		around = out[1 : 1+o.carried]
		if err := keepAll(env, gathered, out[1+o.carried:]); err != nil {
			return nil, err
		}
	}
	env.Keep(around...)
	if around, err = o.opened(in, around); err != nil {
		return nil, err
	}
	return o.finish(env, in, around, gathered)
}

// opened takes values out of the optionals that no turn has opened.
func (o loop) opened(in, around []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if !slices.ContainsFunc(around, func(t *tensor.Tensor) bool { return t.Type == tensor.Optional }) {
		return around, nil
	}
	infos, err := o.Infer(infosOf(in))
	if err != nil {
		return nil, err
	}
	around = slices.Clone(around)
	for i, t := range around {
		if t.Type != tensor.Optional || infos[i].Type == tensor.Optional {
			continue
		}
		if len(t.Items) == 0 {
			return nil, BadInput(2+i, "is empty, and there is no turn")
		}
		around[i] = t.Items[0]
	}
	return around, nil
}

// keepAll keeps what one turn gives.
func keepAll(env *Env, gathered [][]*tensor.Tensor, out []*tensor.Tensor) error {
	for k, t := range out {
		gathered[k] = append(gathered[k], t)
	}
	env.Keep(out...)
	return env.hold(int64(len(out)) * listItem)
}

// finish stacks what was gathered. If there was no turn, its shape is what is known
// of it without one, and 0 where nothing is.
func (o loop) finish(env *Env, in, around []*tensor.Tensor, gathered [][]*tensor.Tensor) ([]*tensor.Tensor, error) {
	results := append([]*tensor.Tensor{}, around...)
	for k, list := range gathered {
		var t *tensor.Tensor
		var err error
		if len(list) > 0 {
			t, err = stack(env, list, 0, false)
		} else {
			t, err = o.nothing(env, in, k)
		}
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", o.carried+k, err)
		}
		results = append(results, t)
	}
	return results, nil
}

// nothing is the k-th stacked result of a loop without a turn.
func (o loop) nothing(env *Env, in []*tensor.Tensor, k int) (*tensor.Tensor, error) {
	infos, err := o.Infer(infosOf(in))
	if err != nil {
		return nil, err
	}
	return noneOf(env, infos[o.carried+k], 0)
}
