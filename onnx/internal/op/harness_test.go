package op

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// newest is the operator set of tests that do not say which.
const newest = 26

// attrs is the attributes of a node in a test: int, float64, string, []int64,
// []float32, []string or *tensor.Tensor by name.
type attrs map[string]any

// nodeOf is a node with so many operands and results; those in missing are left out.
func nodeOf(op string, opset int64, at attrs, inputs, outputs int) *graph.Node {
	n := &graph.Node{Op: op, Opset: opset, Inputs: make([]string, inputs), Outputs: make([]string, outputs)}
	for name, v := range at {
		a := graph.Attribute{Name: name}
		switch v := v.(type) {
		case int:
			a.Kind, a.I = graph.Int, int64(v)
		case float64:
			a.Kind, a.F = graph.Float, float32(v)
		case string:
			a.Kind, a.S = graph.String, v
		case []int64:
			a.Kind, a.Ints = graph.Ints, v
		case []float32:
			a.Kind, a.Floats = graph.Floats, v
		case []string:
			a.Kind, a.Strings = graph.Strings, v
		case *tensor.Tensor:
			a.Kind, a.T = graph.Tensor, v
		}
		n.Attrs = append(n.Attrs, a)
	}
	return n
}

// compute infers and runs one operator as the engine does: results lie in memory that
// holds garbage. A nil operand is one that the model leaves out. Everything that is
// inferred with less knowledge must agree with what comes out.
//
// It is for the tests of all operators in this package:
//
//	out, err := compute("Gather", 13, attrs{"axis": 1}, 1, data, indices)
func compute(op string, opset int64, at attrs, outputs int, in ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	return computeOn(&kernel.On{Context: context.Background(), Level: kernel.Best()}, op, opset, at, outputs, in...)
}

// errInference is a fault of an operator, not of what it was given.
var errInference = errors.New("what was inferred does not agree with the result")

func computeOn(on *kernel.On, op string, opset int64, at attrs, outputs int, in ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	o, err := New(nodeOf(op, opset, at, len(in), outputs), Table(), nil)
	if err != nil {
		return nil, err
	}
	o = ForTypes(o, infosOf(in))
	infos, err := o.Infer(infosOf(in))
	if err != nil {
		return nil, err
	}
	out, err := run(on, o, in, infos)
	if err != nil {
		return nil, err
	}
	return out, agreesWithLess(o, in, out)
}

func run(on *kernel.On, o Operator, in []*tensor.Tensor, infos []Info) ([]*tensor.Tensor, error) {
	env := &Env{On: on, New: dirty, Hold: func(int64) error { return nil }, Keep: func(...*tensor.Tensor) {}}
	if s, ok := o.(Scratcher); ok {
		env.Scratch = make([]float32, s.Scratch(on, infosOf(in)))
		for i := range env.Scratch {
			env.Scratch[i] = float32(math.NaN())
		}
	}
	if m, ok := o.(Maker); ok {
		return m.Make(env, in)
	}
	if _, ok := o.(Viewer); ok {
		if in[0].Type == tensor.Sequence || in[0].Type == tensor.Optional {
			return in[:1], nil
		}
		return []*tensor.Tensor{in[0].Reshaped(infos[0].Shape)}, nil
	}
	var out []*tensor.Tensor
	some := false
	for i, v := range infos {
		if !v.Complete() {
			return nil, fmt.Errorf("%w: result %d is %s with everything known", errInference, i, v)
		}
		t, err := dirty(v.Type, v.Shape)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		some = some || t.Len() > 0
	}
	if !some {
		return out, nil
	}
	return out, o.Run(env, in, out)
}

// dirty makes a tensor that holds garbage.
func dirty(t tensor.DataType, shape []int64) (*tensor.Tensor, error) {
	n, err := tensor.Count(shape)
	if err != nil || n > 1<<26 {
		return nil, fmt.Errorf("a test does not take %v: %v", shape, err)
	}
	if t == tensor.String {
		return tensor.New(t, shape)
	}
	arena := tensor.NewArena(n*t.Size() + tensor.Alignment)
	arena.Fill(0xa5)
	return arena.At(0, t, shape)
}

// agreesWithLess infers again without values, with open dimensions and without a rank.
func agreesWithLess(o Operator, in, out []*tensor.Tensor) error {
	for name, forget := range map[string]func(v *Info){
		"no values":       func(v *Info) { v.Value = nil },
		"open dimensions": func(v *Info) { v.Value, v.Shape = nil, openShape(len(v.Shape)) },
		"no ranks":        func(v *Info) { *v = Info{Type: v.Type, Item: v.Item, Inner: v.Inner} },
		"open first":      func(v *Info) { v.Shape = openShape(len(v.Shape)) },
	} {
		infos := infosOf(in)
		for i, v := range infos {
			if v != nil && (name != "open first" || i == 0) {
				forget(v)
				if name == "open first" {
					v.Value = nil
				}
			}
		}
		got, err := o.Infer(infos)
		if err != nil {
			return fmt.Errorf("%w: with %s: %w", errInference, name, err)
		}
		for i, t := range out {
			if err := allows(got[i], t); err != nil {
				return fmt.Errorf("%w: with %s, result %d: %w", errInference, name, i, err)
			}
		}
	}
	return nil
}

// allows says whether t is one of the values that v describes.
func allows(v Info, t *tensor.Tensor) error {
	ok := v.Type == t.Type && (!v.Ranked || len(v.Shape) == len(t.Shape))
	for d := 0; ok && v.Ranked && d < len(t.Shape); d++ {
		_, ok = sameDim(v.Shape[d], t.Shape[d])
	}
	if !ok {
		return fmt.Errorf("%s is not %s%v", v, t.Type, t.Shape)
	}
	return nil
}

// mustCompute is compute with one result, where nothing may go wrong.
func mustCompute(t testing.TB, op string, opset int64, at attrs, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	out, err := compute(op, opset, at, 1, in...)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return out[0]
}

// sameTensor compares type, shape and elements.
func sameTensor[T tensor.Elem](t testing.TB, got *tensor.Tensor, shape []int64, want []T) {
	t.Helper()
	if err := got.Check(); err != nil {
		t.Fatal(err)
	}
	if got.Type != tensor.TypeOf[T]() || !slices.Equal(got.Shape, shape) || !slices.Equal(tensor.Data[T](got), want) {
		t.Errorf("got %s%v %v, want %v %v", got.Type, got.Shape, tensor.Data[T](got), shape, want)
	}
}

// nearTensor is sameTensor for floats that may differ by a part of 1e-5.
func nearTensor(t testing.TB, got *tensor.Tensor, shape []int64, want []float32) {
	t.Helper()
	data := tensor.Data[float32](got)
	ok := slices.Equal(got.Shape, shape) && len(data) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = math.Abs(float64(data[i]-want[i])) <= 1e-5*max(1, math.Abs(float64(want[i])))
	}
	if !ok {
		t.Errorf("got %v %v, want %v %v", got.Shape, data, shape, want)
	}
}

// refused checks that an operator does not take what it is given, and says why.
func refused(t testing.TB, want, op string, opset int64, at attrs, outputs int, in ...*tensor.Tensor) {
	t.Helper()
	_, err := compute(op, opset, at, outputs, in...)
	if err == nil || errors.Is(err, errInference) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s of operator set %d: got %v, want an error with %q", op, opset, err, want)
	}
}

// counted is a tensor of 0, 1, 2, ...
func counted[T number](shape ...int64) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	data := make([]T, n)
	for i := range data {
		data[i] = T(i)
	}
	switch data := any(data).(type) {
	case []float32:
		return tensor.Of(data, shape...)
	case []int64:
		return tensor.Of(data, shape...)
	case []int32:
		return tensor.Of(data, shape...)
	case []uint8:
		return tensor.Of(data, shape...)
	}
	return nil
}

// testOn runs with all instructions, until the test ends.
func testOn(t testing.TB) *kernel.On { return &kernel.On{Context: t.Context(), Level: kernel.Best()} }
