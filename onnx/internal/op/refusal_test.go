package op

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

var update = flag.Bool("update", false, "rewrite testdata/refusals.txt")

// trial is a node and operands that may be wrong in one point.
type trial struct {
	what string
	node *graph.Node
	in   []*tensor.Tensor
}

// outcome is what becomes of a trial: "" if the operator takes it and runs. With early
// it is told all elements before, as of constants.
func (x trial) outcome(table map[string]Spec, early bool) (said string) {
	defer func() {
		if r := recover(); r != nil {
			said = fmt.Sprint("PANIC ", r)
		}
	}()
	o, err := New(x.node, table, nil)
	if err != nil {
		return err.Error()
	}
	infos := infosOf(x.in)
	for _, v := range infos {
		if v != nil && !early {
			v.Value = nil
		}
	}
	results, err := o.Infer(infos)
	if err != nil {
		return err.Error()
	}
	if err := x.run(o, results); err != nil {
		return err.Error()
	}
	return ""
}

var errLarge = errors.New("too large for a test")

// run runs what was taken as far as it is small and its shapes are known.
func (x trial) run(o Operator, results []Info) error {
	for i, v := range results {
		if i < len(x.node.Outputs) && v.Ranked && !small(v.Shape) {
			return errLarge
		}
		if _, maker := o.(Maker); !v.Complete() && !maker {
			return nil
		}
	}
	on := testOnPortable()
	if s, ok := o.(Scratcher); ok {
		if n := s.Scratch(on, infosOf(x.in)); n < 0 || n > 1<<20 {
			return errLarge
		}
	}
	_, err := run(on, o, x.in, results)
	return err
}

func testOnPortable() *kernel.On { return &kernel.On{Level: kernel.Portable} }

func small(shape []int64) bool {
	n := int64(1)
	for _, d := range shape {
		if d > 1<<12 {
			return false
		}
		n *= max(1, d)
		if n > 1<<16 {
			return false
		}
	}
	return true
}

// TestRefusals shows every operator what is nearly right, and compares what it says
// with testdata/refusals.txt. What is not there is taken; it must run. A trial is named
// by its operand or attribute; "late" ones differ if elements show only in the run.
func TestRefusals(t *testing.T) {
	table := Table()
	titles := map[string][]string{} // of nodes that are refused alike
	var order []string
	for _, e := range examples(t) {
		x := e.trial()
		if said := x.outcome(table, false); said != "" {
			t.Errorf("%s: the example itself: %s", e.Op, said)
		}
		text := x.refusals(t, table)
		if titles[text] == nil {
			order = append(order, text)
		}
		titles[text] = append(titles[text], x.title(e.Op))
	}
	var page strings.Builder
	for _, text := range order {
		page.WriteString(strings.Join(titles[text], "\n") + "\n" + text)
	}
	compareWith(t, "testdata/refusals.txt", page.String())
}

// TestEveryOperatorHasAnExample that TestRefusals can change.
func TestEveryOperatorHasAnExample(t *testing.T) {
	table := Table()
	for _, e := range examples(t) {
		delete(table, e.Op)
	}
	for name := range table {
		if !slices.Contains(withBodies, name) {
			t.Errorf("%s has none in testdata/examples.jsonl", name)
		}
	}
}

// refusals lists the trials that are refused, a line for each reason.
func (x trial) refusals(t *testing.T, table map[string]Spec) string {
	var order []string
	trials := map[string][]string{}
	note := func(said, what string) {
		if said == "" {
			return
		}
		if strings.HasPrefix(said, "PANIC") {
			t.Errorf("%s, %s: %s", x.title(x.node.Op), what, said)
		}
		for _, typ := range append(otherTypes, tensor.Sequence) {
			if strings.HasSuffix(what, " "+typ.String()) {
				said = strings.ReplaceAll(said, "is "+typ.String(), "is that")
			}
		}
		if trials[said] == nil {
			order = append(order, said)
		}
		trials[said] = append(trials[said], what)
	}
	for _, wrong := range x.wrong() {
		early, late := wrong.outcome(table, true), wrong.outcome(table, false)
		note(early, wrong.what)
		if late != early {
			note(late, wrong.what+" late")
		}
	}
	var text strings.Builder
	for _, said := range order {
		fmt.Fprintf(&text, "\t%s: %s\n", strings.Join(trials[said], ", "), said)
	}
	return text.String()
}

// withBodies are the operators with graphs inside of them.
var withBodies = []string{"If", "Loop", "Scan", "SequenceMap"}

func compareWith(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(data), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d: got\n%s\nwant\n%s\n(after a deliberate change: go test -update)", file, i+1, line, slices.Concat(want, make([]string, i+1))[i])
		}
	}
	if string(data) != got {
		t.Errorf("%s has more lines", file)
	}
}

func (x trial) title(op string) string {
	parts := []string{op, fmt.Sprint(x.node.Opset)}
	for _, a := range x.node.Attrs {
		parts = append(parts, a.Name)
	}
	for i, v := range infosOf(x.in) {
		if v == nil {
			parts = append(parts, "-")
			continue
		}
		parts = append(parts, fmt.Sprintf("%d:%s", i, v))
	}
	return strings.Join(parts, " ")
}

// wrong lists trials that differ from x in one point.
func (x trial) wrong() []trial {
	var all []trial
	for i, v := range x.in {
		if v != nil {
			all = append(all, x.operands(i, v)...)
		}
	}
	for i, a := range x.node.Attrs {
		all = append(all, x.attributes(i, a)...)
	}
	return all
}

// operand replaces an operand.
func (x trial) operand(i int, what string, v *tensor.Tensor) trial {
	node := *x.node
	node.Inputs = slices.Clone(node.Inputs)
	if v == nil {
		node.Inputs[i] = ""
	}
	in := slices.Clone(x.in)
	in[i] = v
	return trial{fmt.Sprint(i, " ", what), &node, in}
}

// otherTypes are the types that operands have in turn.
var otherTypes = []tensor.DataType{tensor.Float32, tensor.Float64, tensor.Int64, tensor.Uint8, tensor.Bool, tensor.String}

// operands lists trials with another operand i.
func (x trial) operands(i int, v *tensor.Tensor) []trial {
	all := []trial{x.operand(i, "missing", nil)}
	for _, t := range otherTypes {
		if t != v.Type {
			all = append(all, x.operand(i, t.String(), madeOf(t, v.Shape, nil)))
		}
	}
	if !v.Type.Element() {
		return all
	}
	all = append(all, x.operand(i, "sequence", tensor.SequenceOf(v.Type, v)))
	shaped := func(what string, shape []int64) { all = append(all, x.operand(i, what, reshaped(v, shape))) }
	shaped("axis more", append([]int64{1}, v.Shape...))
	if len(v.Shape) > 0 {
		shaped("scalar", []int64{})
		shaped("axis less", v.Shape[1:])
	}
	for d := range v.Shape {
		grown, empty := slices.Clone(v.Shape), slices.Clone(v.Shape)
		grown[d]++
		empty[d] = 0
		shaped(fmt.Sprintf("[%d]+1", d), grown)
		shaped(fmt.Sprintf("[%d]=0", d), empty)
	}
	for _, o := range others(v) {
		all = append(all, x.operand(i, o.what, o.of))
	}
	return all
}

// reshaped is a tensor of the type and, as far as they go, the elements of v.
func reshaped(v *tensor.Tensor, shape []int64) *tensor.Tensor {
	out := madeOf(v.Type, shape, nil)
	if v.Len() == 0 {
		return out
	}
	for i := range out.Len() {
		copyElement(out, i, v, i%v.Len())
	}
	return out
}

func copyElement(to *tensor.Tensor, i int, from *tensor.Tensor, j int) {
	switch from.Type {
	case tensor.Float32:
		tensor.Data[float32](to)[i] = tensor.Data[float32](from)[j]
	case tensor.Int64:
		tensor.Data[int64](to)[i] = tensor.Data[int64](from)[j]
	case tensor.Int32:
		tensor.Data[int32](to)[i] = tensor.Data[int32](from)[j]
	case tensor.Uint8:
		tensor.Data[uint8](to)[i] = tensor.Data[uint8](from)[j]
	case tensor.Bool:
		tensor.Data[bool](to)[i] = tensor.Data[bool](from)[j]
	case tensor.String:
		tensor.Data[string](to)[i] = tensor.Data[string](from)[j]
	}
}

// elements are a tensor of others, and how they are called.
type elements struct {
	what string
	of   *tensor.Tensor
}

// others lists other elements of the type and shape of v, if it is so small that they
// may say how the operator works.
func others(v *tensor.Tensor) (all []elements) {
	if v.Len() > 24 {
		return nil
	}
	add := func(what string, each any) {
		all = append(all, elements{"= " + what, madeOf(v.Type, v.Shape, []any{each})})
	}
	switch v.Type {
	case tensor.Int32, tensor.Int64:
		for _, n := range []string{"-1", "0", "1", "9", "-1000000", "1073741824"} {
			add(n, json.Number(n))
		}
	case tensor.Float32:
		if v.Len() <= 2 {
			add("-1", json.Number("-1"))
			add("NaN", json.Number("NaN"))
		}
	case tensor.String:
		add(`"?"`, "?")
	}
	return all
}

// attribute replaces an attribute, or adds one.
func (x trial) attribute(i int, what string, a graph.Attribute) trial {
	node := *x.node
	node.Attrs = append(slices.Clone(node.Attrs[:i]), a)
	if i < len(x.node.Attrs) {
		node.Attrs = append(node.Attrs, x.node.Attrs[i+1:]...)
	}
	return trial{what, &node, x.in}
}

// attributes lists trials with another attribute i.
func (x trial) attributes(i int, a graph.Attribute) []trial {
	var all []trial
	add := func(what string, v graph.Attribute) {
		v.Name = a.Name
		all = append(all, x.attribute(i, a.Name+" "+what, v))
	}
	node := *x.node
	node.Attrs = slices.Delete(slices.Clone(node.Attrs), i, i+1)
	all = append(all, trial{a.Name + " missing", &node, x.in})
	switch a.Kind {
	case graph.Int:
		add("float", graph.Attribute{Kind: graph.Float, F: 1})
		for _, n := range []int64{-1, 0, 1, 2, 9, -1000, 1 << 40, math.MaxInt64, math.MinInt64} {
			if n != a.I {
				add(fmt.Sprint("= ", n), graph.Attribute{Kind: graph.Int, I: n})
			}
		}
	case graph.Float:
		add("int", graph.Attribute{Kind: graph.Int, I: 1})
		for _, f := range []float32{-1, 0, 9, float32(math.NaN()), float32(math.Inf(1))} {
			add(fmt.Sprint("= ", f), graph.Attribute{Kind: graph.Float, F: f})
		}
	case graph.String:
		add("int", graph.Attribute{Kind: graph.Int})
		add(`= "?"`, graph.Attribute{Kind: graph.String, S: "?"})
	case graph.Ints:
		add("int", graph.Attribute{Kind: graph.Int})
		add("longer", graph.Attribute{Kind: graph.Ints, Ints: append(slices.Clone(a.Ints), 1)})
		add("empty", graph.Attribute{Kind: graph.Ints})
		if len(a.Ints) > 0 {
			add("shorter", graph.Attribute{Kind: graph.Ints, Ints: a.Ints[1:]})
		}
		for _, n := range []int64{-1, 0, 1, 9, 1 << 40, math.MaxInt64, math.MinInt64} {
			add(fmt.Sprint("= ", n), graph.Attribute{Kind: graph.Ints, Ints: slices.Repeat([]int64{n}, len(a.Ints))})
		}
	case graph.Floats:
		add("int", graph.Attribute{Kind: graph.Int})
		add("longer", graph.Attribute{Kind: graph.Floats, Floats: append(slices.Clone(a.Floats), 1)})
		add("empty", graph.Attribute{Kind: graph.Floats})
		add("shorter", graph.Attribute{Kind: graph.Floats, Floats: a.Floats[:max(0, len(a.Floats)-1)]})
	case graph.Strings:
		add("int", graph.Attribute{Kind: graph.Int})
		add("longer", graph.Attribute{Kind: graph.Strings, Strings: append(slices.Clone(a.Strings), "?")})
		add("empty", graph.Attribute{Kind: graph.Strings})
		add(`= "?"`, graph.Attribute{Kind: graph.Strings, Strings: slices.Repeat([]string{"?"}, len(a.Strings))})
	case graph.Tensor:
		add("int", graph.Attribute{Kind: graph.Int})
		for _, t := range []tensor.DataType{tensor.Float32, tensor.Float64, tensor.Int64, tensor.String} {
			if t != a.T.Type {
				add(t.String(), graph.Attribute{Kind: graph.Tensor, T: madeOf(t, a.T.Shape, nil)})
			}
		}
		add("axis more", graph.Attribute{Kind: graph.Tensor, T: reshaped(a.T, append([]int64{1}, a.T.Shape...))})
		add("longer", graph.Attribute{Kind: graph.Tensor, T: reshaped(a.T, []int64{int64(a.T.Len()) + 1})})
		add("empty", graph.Attribute{Kind: graph.Tensor, T: reshaped(a.T, []int64{0})})
		for _, o := range others(a.T) {
			add("elements "+o.what, graph.Attribute{Kind: graph.Tensor, T: o.of})
		}
	}
	return all
}
