package op

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

var errFault = errors.New("a fault that a test made")

// faults counts what an operator asks for, and says no from one request on.
type faults struct {
	context.Context
	kind string // of the requests that fail
	from int
	met  map[string]int
}

func (f *faults) ask(kind string) error {
	f.met[kind]++
	if kind == f.kind && f.met[kind] >= f.from {
		return errFault
	}
	return nil
}

// Err is that of a context which ends in the middle of the work.
func (f *faults) Err() error { return f.ask("time") }

func (f *faults) env(level kernel.Level) *Env {
	steps := int64(1000)
	return &Env{On: &kernel.On{Context: f, Level: level}, Steps: &steps,
		Hold: func(int64) error { return f.ask("bytes") },
		Keep: func(...*tensor.Tensor) {},
		New: func(t tensor.DataType, shape []int64) (*tensor.Tensor, error) {
			if err := f.ask("memory"); err != nil {
				return nil, err
			}
			return dirty(t, shape)
		}}
}

// copies is a graph inside that gives some of what it takes.
type copies struct {
	inputs []Info
	gives  []int
	faults *faults
}

func (b *copies) Inputs() []Info { return b.inputs }
func (b *copies) Captured() int  { return 0 }
func (b *copies) Outputs() int   { return len(b.gives) }

func (b *copies) Infer(in []*Info) ([]Info, error) {
	var out []Info
	for _, i := range b.gives {
		v := *in[i]
		v.Value = nil
		out = append(out, v)
	}
	return out, b.faults.ask("inference")
}

func (b *copies) Run(_ *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	var out []*tensor.Tensor
	for _, i := range b.gives {
		out = append(out, in[i])
	}
	return out, b.faults.ask("the graph inside")
}

// flow is a node with a graph inside.
type flow struct {
	op     string
	opset  int64
	inputs []Info // of the graph inside
	gives  []int
	attrs  attrs
	outs   int
	in     []*tensor.Tensor
}

func flows() []flow {
	pair, rows := tensor.Of([]float32{1, 2}, 2), tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	list := tensor.SequenceOf(tensor.Float32, pair, pair)
	vector := ranked(tensor.Float32, 2)
	batch := func(t *tensor.Tensor) *tensor.Tensor { return t.Reshaped(append([]int64{1}, t.Shape...)) }
	return []flow{
		{"Loop", 16, []Info{ranked(tensor.Int64), ranked(tensor.Bool), vector}, []int{1, 2, 2}, nil, 2, []*tensor.Tensor{tensor.Scalar(int64(2)), tensor.Scalar(true), pair}},
		{"Loop", 16, []Info{ranked(tensor.Int64), ranked(tensor.Bool), vector}, []int{1, 2, 2}, nil, 2, []*tensor.Tensor{tensor.Scalar(int64(0)), tensor.Scalar(true), pair}},
		{"Scan", 16, []Info{vector, vector}, []int{0, 1}, attrs{"num_scan_inputs": 1}, 2, []*tensor.Tensor{pair, rows}},
		{"Scan", 16, []Info{vector, vector}, []int{0, 1}, attrs{"num_scan_inputs": 1}, 2, []*tensor.Tensor{pair, tensor.Of([]float32{}, 0, 2)}},
		{"Scan", 8, []Info{vector, vector}, []int{0, 1}, attrs{"num_scan_inputs": 1}, 2, []*tensor.Tensor{nil, batch(pair), batch(rows)}},
		{"SequenceMap", 17, []Info{vector, vector, vector}, []int{0, 1}, nil, 2, []*tensor.Tensor{list, list, pair}},
	}
}

func (c flow) make(f *faults) (Operator, error) {
	n := nodeOf(c.op, c.opset, c.attrs, len(c.in), c.outs)
	n.Attrs = append(n.Attrs, graph.Attribute{Name: "body", Kind: graph.Sub, G: &graph.Graph{}})
	return New(n, Table(), map[string]Body{"body": &copies{c.inputs, c.gives, f}})
}

func (c flow) run(f *faults) error {
	o, err := c.make(f)
	if err != nil {
		return err
	}
	if _, err := o.Infer(infosOf(c.in)); err != nil {
		return err
	}
	_, err = o.(Maker).Make(f.env(kernel.Portable), c.in)
	return err
}

// everyFault lets each request of a kind fail in turn; none may be passed over.
func everyFault(t *testing.T, name string, run func(f *faults) error) {
	t.Helper()
	counted := &faults{Context: t.Context(), met: map[string]int{}}
	if err := run(counted); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for kind, n := range counted.met {
		for from := 1; from <= min(n, 30); from++ {
			f := &faults{Context: t.Context(), kind: kind, from: from, met: map[string]int{}}
			if err := run(f); !errors.Is(err, errFault) {
				t.Errorf("%s: request %d for %s fails: %v", name, from, kind, err)
			}
		}
	}
}

// TestFaultsAreNotPassedOver: memory that is refused, time that is over and a graph
// inside that fails are errors, and never results that are half done.
func TestFaultsAreNotPassedOver(t *testing.T) {
	for i, c := range flows() {
		everyFault(t, fmt.Sprint(c.op, " ", i), c.run)
	}
	table := Table()
	for _, e := range examples(t) {
		x := e.trial()
		o, err := New(x.node, table, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []kernel.Level{kernel.Portable, kernel.Best()} {
			everyFault(t, fmt.Sprint(e.Op, " ", level), func(f *faults) error {
				results, err := o.Infer(infosOf(x.in))
				if err != nil {
					return err
				}
				return runWith(f.env(level), o, x.in, results)
			})
		}
	}
}

func runWith(env *Env, o Operator, in []*tensor.Tensor, results []Info) error {
	if m, ok := o.(Maker); ok {
		_, err := m.Make(env, in)
		return err
	}
	if _, ok := o.(Viewer); ok {
		return nil
	}
	if s, ok := o.(Scratcher); ok {
		env.Scratch = make([]float32, s.Scratch(env.On, infosOf(in)))
	}
	var out []*tensor.Tensor
	some := false
	for _, v := range results {
		t, err := dirty(v.Type, v.Shape)
		if err != nil {
			return err
		}
		out = append(out, t)
		some = some || t.Len() > 0
	}
	if !some {
		return nil
	}
	return o.Run(env, in, out)
}

// TestGraphsInsideAreHeldToTheNode in number and kind of what goes in and out.
func TestGraphsInsideAreHeldToTheNode(t *testing.T) {
	f := &faults{Context: t.Context(), met: map[string]int{}}
	number, yes, vector := ranked(tensor.Int64), ranked(tensor.Bool), ranked(tensor.Float32, 2)
	pair, rows := tensor.Of([]float32{1, 2}, 2), tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	list, longer := tensor.SequenceOf(tensor.Float32, pair), tensor.SequenceOf(tensor.Float32, pair, pair)
	one := attrs{"num_scan_inputs": 1}
	loop := func(gives []int, outs int, in ...*tensor.Tensor) flow {
		return flow{"Loop", 16, []Info{number, yes, vector}, gives, nil, outs, in}
	}
	scan := func(a attrs, inputs []Info, gives []int, outs int, in ...*tensor.Tensor) flow {
		return flow{"Scan", 16, inputs, gives, a, outs, in}
	}
	two := []Info{vector, vector}
	for want, c := range map[string]flow{
		"has 3 inputs and 1 outputs, which does not fit 3 inputs and 0 outputs": loop([]int{1}, 0, nil, nil, pair),
		"has 3 inputs and 2 outputs, which does not fit 3 inputs and 2 outputs": loop([]int{1, 2}, 2, nil, nil, pair),
		"input 0: is float32, expected int64":                                   loop([]int{1, 2}, 1, pair, nil, pair),
		"input 2: is required":                                                  loop([]int{1, 2}, 1, nil, nil, nil),
		"input 0: has 0 elements, expected one number":                          loop([]int{1, 2}, 1, tensor.Of([]int64{}, 0), nil, pair),
		"input 1: has 2 elements, expected one bool":                            loop([]int{1, 2}, 1, nil, tensor.List(true, false), pair),
		`"num_scan_inputs" is 3 of 2 inputs`:                                    scan(attrs{"num_scan_inputs": 3}, two, []int{0, 1}, 2, pair, rows),
		"has 2 inputs and 2 outputs, which does not fit 1 inputs and 2":         scan(one, two, []int{0, 1}, 2, rows),
		"has 2 inputs and 0 outputs, which does not fit 2 inputs and 1":         scan(one, two, nil, 1, pair, rows),
		"has 2 inputs and 2 outputs, which does not fit 2 inputs and 3":         scan(one, two, []int{0, 1}, 3, pair, rows),
		`attribute "scan_input_axes" has 2 entries, expected 1`:                 scan(attrs{"num_scan_inputs": 1, "scan_input_axes": []int64{0, 0}}, two, []int{0, 1}, 2, pair, rows),
		`attribute "scan_input_directions" holds 2, expected 0 or 1`:            scan(attrs{"num_scan_inputs": 1, "scan_input_directions": []int64{2}}, two, []int{0, 1}, 2, pair, rows),
		"input 1: axis 5 is outside of rank 2":                                  scan(attrs{"num_scan_inputs": 1, "scan_input_axes": []int64{5}}, two, []int{0, 1}, 2, pair, rows),
		"output 1: axis 5 is outside of rank 2":                                 scan(attrs{"num_scan_inputs": 1, "scan_output_axes": []int64{5}}, two, []int{0, 1}, 2, pair, rows),
		"input 0: is required":                                                  scan(one, two, []int{0, 1}, 2, nil, rows),
		"input 0: lengths of sequences are not supported":                       {"Scan", 8, two, []int{0, 1}, one, 2, []*tensor.Tensor{pair, pair, rows}},
		"input 1: is required":                                                  {"Scan", 8, two, []int{0, 1}, one, 2, []*tensor.Tensor{nil, nil, rows}},
		"input 1: is a scalar, expected a batch":                                {"Scan", 8, two, []int{0, 1}, one, 2, []*tensor.Tensor{nil, tensor.Scalar(float32(1)), rows}},
		"input 1: has an empty batch":                                           {"Scan", 8, two, []int{0, 1}, one, 2, []*tensor.Tensor{nil, tensor.Of([]float32{}, 0, 2), tensor.Of([]float32{}, 0, 2)}},
		"input 2: has a batch of 3, input 1 has 2":                              {"Scan", 8, two, []int{0, 1}, one, 2, []*tensor.Tensor{nil, tensor.Of([]float32{1, 2, 3, 4}, 2, 2), tensor.Of(make([]float32, 6), 3, 1, 2)}},
		"has 2 inputs and 1 outputs, the node 1 and 1":                          {"SequenceMap", 17, two, []int{0}, nil, 1, []*tensor.Tensor{list}},
		"has 1 inputs and 1 outputs, the node 1 and 2":                          {"SequenceMap", 17, two[:1], []int{0}, nil, 2, []*tensor.Tensor{list}},
		"input 0: is float32, expected sequence":                                {"SequenceMap", 17, two[:1], []int{0}, nil, 1, []*tensor.Tensor{pair}},
		"input 1: has 2 items, input 0 has 1":                                   {"SequenceMap", 17, two, []int{0}, nil, 1, []*tensor.Tensor{list, longer}},
	} {
		if err := c.run(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", c.op, err, want)
		}
	}
	for _, c := range flows() {
		_, err := New(nodeOf(c.op, c.opset, c.attrs, len(c.in), c.outs), Table(), nil)
		if err == nil || !strings.Contains(err.Error(), `"body" is required`) {
			t.Errorf("%s without a graph: %v", c.op, err)
		}
	}
}

// TestBranches: a condition that is known chooses, and one graph missing is an error.
func TestBranches(t *testing.T) {
	f := &faults{Context: t.Context(), met: map[string]int{}}
	const then, otherwise = "then_branch", "else_branch"
	branches := func(names ...string) (Operator, error) {
		n := nodeOf("If", 16, nil, 1, 0)
		n.Outputs = make([]string, 1)
		bodies := map[string]Body{}
		for _, name := range names {
			n.Attrs = append(n.Attrs, graph.Attribute{Name: name, Kind: graph.Sub, G: &graph.Graph{}})
			bodies[name] = &copies{nil, []int{0}, f}
		}
		return New(n, Table(), bodies)
	}
	for _, names := range [][]string{{then}, {otherwise}} {
		if _, err := branches(names...); err == nil || !strings.Contains(err.Error(), "is required") {
			t.Errorf("%v alone: %v", names, err)
		}
	}
	o, err := branches(then, otherwise)
	if err != nil {
		t.Fatal(err)
	}
	v := tensor.List[float32](1)
	for want, condition := range map[string]*tensor.Tensor{"is float32, expected bool": v, "has 2 elements, expected one bool": tensor.List(true, false)} {
		if _, err := o.Infer(infosOf([]*tensor.Tensor{condition, v})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := o.(Maker).Make(f.env(kernel.Portable), []*tensor.Tensor{tensor.List(true, false), v}); err == nil {
		t.Error("two conditions choose one graph")
	}
	f.kind, f.from = "inference", 0
	for _, known := range []bool{true, false} {
		infos := infosOf([]*tensor.Tensor{tensor.Scalar(true), v})
		if !known {
			infos[0].Value = nil
		}
		if _, err := o.Infer(infos); !errors.Is(err, errFault) {
			t.Errorf("known %v: %v", known, err)
		}
	}
}

// TestLoopsNeedALimit: without one, or with none left, they do not turn.
func TestLoopsNeedALimit(t *testing.T) {
	none := int64(0)
	for _, c := range flows() {
		if slices.ContainsFunc(c.in, func(t *tensor.Tensor) bool { return t != nil && t.Type != tensor.Sequence && t.Len() == 0 }) || tensor.Data[int64](c.in[len(c.in)-1]) != nil {
			continue
		}
		if c.op == "Loop" && tensor.Data[int64](c.in[0])[0] == 0 {
			continue
		}
		f := &faults{Context: t.Context(), met: map[string]int{}}
		o, err := c.make(f)
		if err != nil {
			t.Fatal(err)
		}
		for what, spoil := range map[string]func(*Env){
			"no turns": func(e *Env) { e.Steps = &none }, "no count of turns": func(e *Env) { e.Steps = nil }, "no count of bytes": func(e *Env) { e.Hold = nil },
		} {
			env := f.env(kernel.Portable)
			spoil(env)
			if _, err := o.(Maker).Make(env, c.in); !errors.Is(err, ErrLimit) {
				t.Errorf("%s, %s: %v", c.op, what, err)
			}
		}
	}
}
