package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// scan runs a graph once for each place along an axis. Operands: values that each turn
// takes over from the one before, then tensors of which each turn gets one slice.
// Results: the former at the end, then what the turns gave, stacked.
type scan struct {
	maker
	body    Body
	carried int
	in, out []scanAxis
}

// scanAxis is along which axis a tensor is cut or stacked, and whether backward.
type scanAxis struct {
	at       int64
	backward bool
}

func makeScan(a *Attributes, opset int64) (Operator, error) {
	o := scan{body: a.body("body")}
	if o.body == nil {
		return nil, errNoBody
	}
	cuts, inputs := a.int("num_scan_inputs", 0), int64(a.Inputs)
	if opset == 8 { // the first operand is a list of lengths
		inputs--
	}
	if cuts < 1 || cuts > inputs {
		return nil, fmt.Errorf(`attribute "num_scan_inputs" is %d of %d inputs`, cuts, inputs)
	}
	o.carried = int(inputs - cuts)
	stacked := o.body.Outputs() - o.carried
	if len(o.body.Inputs()) != int(inputs) || stacked < 0 || a.Outputs > o.body.Outputs() {
		return nil, fmt.Errorf("the graph inside has %d inputs and %d outputs, which does not fit %d inputs and %d outputs of the node",
			len(o.body.Inputs()), o.body.Outputs(), a.Inputs, a.Outputs)
	}
	if opset == 8 {
		o.in, o.out = scanAxes(a, "", "directions", int(cuts)), make([]scanAxis, stacked)
		return batchScan{scan: o}, nil
	}
	o.in = scanAxes(a, "scan_input_axes", "scan_input_directions", int(cuts))
	o.out = scanAxes(a, "scan_output_axes", "scan_output_directions", stacked)
	return o, nil
}

// scanAxes reads two attributes with one entry for each of n tensors.
func scanAxes(a *Attributes, axes, directions string, n int) []scanAxis {
	out := make([]scanAxis, n)
	read := func(name string, use func(i int, v int64)) {
		list, ok := a.ints(name)
		if ok && len(list) != n {
			a.fail(fmt.Errorf("attribute %s has %d entries, expected %d", Quote(name), len(list), n))
			return
		}
		for i, v := range list {
			use(i, v)
		}
	}
	read(axes, func(i int, v int64) { out[i].at = v })
	read(directions, func(i int, v int64) {
		if v != 0 && v != 1 {
			a.fail(fmt.Errorf("attribute %s holds %d, expected 0 or 1", Quote(directions), v))
		}
		out[i].backward = v == 1
	})
	return out
}

func (o scan) Infer(in []*Info) ([]Info, error) {
	around, cut, captured, err := o.parts(in)
	if err != nil {
		return nil, err
	}
	var gives []Info
	for turn := 0; ; turn++ {
		out, err := o.body.Infer(append(append(refer(around), refer(cut)...), captured...))
		if err != nil {
			return nil, err
		}
		changed, err := eitherAll(around, out)
		if err != nil {
			return nil, err
		}
		if gives = out[o.carried:]; !changed {
			break
		}
		if turn == Settling-1 {
			return nil, errUnsettled
		}
		if turn > 0 {
			for i := range around {
				around[i].Ranked = false
			}
		}
	}
	for k, v := range gives {
		at := 0
		if v.Ranked {
			if at, err = axis(o.out[k].at, len(v.Shape)+1); err != nil {
				return nil, fmt.Errorf("output %d: %w", o.carried+k, err)
			}
		}
		around = append(around, stackedInfo(v, at))
	}
	return around, nil
}

// parts tells apart what goes around, what a slice of each cut tensor is, and what the
// graph captures.
func (o scan) parts(in []*Info) (around, cut []Info, captured []*Info, err error) {
	own := o.carried + len(o.in)
	for i, v := range in[:own] {
		if v == nil {
			return nil, nil, nil, BadInput(i, "is required")
		}
		if i < o.carried {
			around = append(around, openly(*v))
			continue
		}
		s := Info{Type: v.Type}
		if v.Ranked {
			at, err := axis(o.in[i-o.carried].at, len(v.Shape))
			if err != nil {
				return nil, nil, nil, &OperandError{i, err}
			}
			s = ranked(v.Type, slices.Delete(slices.Clone(v.Shape), at, at+1)...)
		}
		cut = append(cut, s)
	}
	return around, cut, in[own:], nil
}

// length is how many slices there are, the same of every tensor.
func (o scan) length(cut []*tensor.Tensor) (int64, []int, error) {
	n := int64(-1)
	axes := make([]int, len(cut))
	for i, t := range cut {
		at, err := axis(o.in[i].at, len(t.Shape))
		if err != nil {
			return 0, nil, &OperandError{o.carried + i, err}
		}
		if axes[i] = at; n >= 0 && n != t.Shape[at] {
			return 0, nil, BadInput(o.carried+i, "has %d slices along axis %d, the tensors before it %d", t.Shape[at], at, n)
		}
		n = t.Shape[at]
	}
	return n, axes, nil
}

func (o scan) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	around, cut, captured := in[:o.carried], in[o.carried:o.carried+len(o.in)], in[o.carried+len(o.in):]
	n, axes, err := o.length(cut)
	if err != nil {
		return nil, err
	}
	gathered := make([][]*tensor.Tensor, len(o.out))
	for i := range n {
		if err := env.turn(); err != nil {
			return nil, err
		}
		given := slices.Clone(around)
		for k, t := range cut {
			index := i
			if o.in[k].backward {
				index = n - 1 - i
			}
			slice, err := sliceAt(env, t, axes[k], index)
			if err != nil {
				return nil, err
			}
			given = append(given, slice)
		}
		out, err := o.body.Run(env, append(given, captured...))
		if err != nil {
			return nil, err
		}
		around = out[:o.carried]
		if err := keepAll(env, gathered, out[o.carried:]); err != nil {
			return nil, err
		}
	}
	env.Keep(around...)
	return o.finish(env, in, around, gathered)
}

// finish stacks what was gathered.
func (o scan) finish(env *Env, in, around []*tensor.Tensor, gathered [][]*tensor.Tensor) ([]*tensor.Tensor, error) {
	results := slices.Clone(around)
	for k, list := range gathered {
		if len(list) == 0 {
			infos, err := o.Infer(infosOf(in))
			if err != nil {
				return nil, err
			}
			v := infos[o.carried+k]
			at, err := axis(o.out[k].at, max(len(v.Shape), 1))
			if err != nil {
				return nil, err
			}
			t, err := noneOf(env, v, at)
			if err != nil {
				return nil, err
			}
			results = append(results, t)
			continue
		}
		at, err := axis(o.out[k].at, len(list[0].Shape)+1)
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", o.carried+k, err)
		}
		t, err := stack(env, list, at, o.out[k].backward)
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", o.carried+k, err)
		}
		results = append(results, t)
	}
	return results, nil
}
