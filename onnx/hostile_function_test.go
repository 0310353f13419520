package onnx

import (
	"fmt"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func of(s ...string) []string { return s }

// callF is a model that calls F of domain own, from x to y, and has the functions.
func callF(functions ...[]byte) []byte {
	return append(pb.Model(x(), pb.Call("own", "F", of("x"), of("y")), y()), join(functions...)...)
}

func runX(t *testing.T, model []byte, in ...float32) []float32 {
	t.Helper()
	out, err := mustLoad(t, model).Run(t.Context(), map[string]*tensor.Tensor{"x": vec(in...)})
	if err != nil {
		t.Fatal(err)
	}
	return tensor.Data[float32](out["y"])
}

// TestFunctionsOfTheModel: attributes, defaults, inputs left out, values of the same
// name in the function and around it, results that are inputs, calls of calls, and
// graphs inside.
func TestFunctionsOfTheModel(t *testing.T) {
	constant := func(name string, v float32) []byte {
		return pb.Inner("", "Constant", nil, of(name), pb.AttrFloat("value_float", v))
	}
	branch := func(name, read string) []byte {
		return pb.AttrGraph(name, pb.Node("", "Neg", of(read), of("b")), pb.OpenOutput("b", 1))
	}
	for name, c := range map[string]struct {
		model []byte
		want  float32 // for an x of 3
	}{
		"plain": {callF(pb.Function("own", "F", of("x"), of("y"), pb.Inner("", "Neg", of("x"), of("y")))), -3},
		"names are its own": {callF(pb.Function("own", "F", of("a"), of("x"),
			constant("y", 10), pb.Inner("", "Add", of("a", "y"), of("x")))), 13},
		"attribute": {append(pb.Model(x(), pb.Call("own", "F", of("x"), of("y"), pb.AttrFloat("k", 4)), y()),
			pb.Function("own", "F", of("a"), of("b"), pb.Str(6, "k"),
				pb.Inner("", "Constant", nil, of("c"), pb.AttrRef("value_float", "k", 1)), pb.Inner("", "Mul", of("a", "c"), of("b")))...), 12},
		"default": {callF(pb.Function("own", "F", of("a"), of("b"), pb.Msg(11, pb.Str(1, "k"), pb.Float(2, 5), pb.Int(20, 1)),
			pb.Inner("", "Constant", nil, of("c"), pb.AttrRef("value_float", "k", 1)), pb.Inner("", "Mul", of("a", "c"), of("b")))), 15},
		"attribute left out": {callF(pb.Function("own", "F", of("a"), of("b"), pb.Str(6, "alpha"),
			pb.Inner("", "Neg", of("a"), of("n")), pb.Inner("", "LeakyRelu", of("n"), of("b"), pb.AttrRef("alpha", "alpha", 1)))), -0.03},
		"input left out":  {callF(pb.Function("own", "F", of("a", "low"), of("b"), constant("high", 2), pb.Inner("", "Clip", of("a", "low", "high"), of("b")))), 2},
		"input is result": {callF(pb.Function("own", "F", of("a"), of("a"))), 3},
		"calls": {callF(pb.Function("own", "F", of("a"), of("b"), pb.Inner("own", "G", of("a"), of("m")), pb.Inner("own", "G", of("m"), of("b"))),
			pb.Function("own", "G", of("a"), of("b"), constant("m", 2), pb.Inner("", "Mul", of("a", "m"), of("b")))), 12},
		"graph inside": {callF(pb.Function("own", "F", of("a"), of("b"), pb.Inner("", "Constant", nil, of("yes"), pb.AttrTensor("value", pb.Head("", 9), pb.Int(5, 1))),
			pb.Inner("", "If", of("yes"), of("b"), branch("then_branch", "a"), branch("else_branch", "a")))), -3},
		"overload": {append(pb.Model(x(), pb.Msg(1, pb.Str(1, "x"), pb.Str(2, "y"), pb.Str(4, "F"), pb.Str(7, "own"), pb.Str(8, "two")), y()),
			append(pb.Function("own", "F", of("x"), of("x")), pb.Function("own", "F", of("x"), of("y"), pb.Str(13, "two"), pb.Inner("", "Neg", of("x"), of("y")))...)...), -3},
		"instead of an operator": {append(pb.Model(x(), relu(), y()), pb.Function("", "Relu", of("x"), of("y"), pb.Inner("", "Neg", of("x"), of("y")))...), -3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := runX(t, c.model, 3); len(got) != 1 || got[0]-c.want > 1e-6 || c.want-got[0] > 1e-6 {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestFunctionsThatAreWrong(t *testing.T) {
	f := func(fields ...[]byte) []byte { return callF(pb.Function("own", "F", of("a"), of("b"), fields...)) }
	neg := pb.Inner("", "Neg", of("a"), of("b"))
	for name, c := range map[string]struct {
		model []byte
		want  string
	}{
		"twice":                    {callF(pb.Function("own", "F", nil, nil), pb.Function("own", "F", nil, nil)), `function "F": is there twice`},
		"no name":                  {callF(pb.Function("own", "", nil, nil)), "has no name"},
		"unknown field":            {f(pb.Int(40, 1)), `function "F": unknown field 40`},
		"wrong inside":             {f(pb.Inner("", "Neg", of("q"), of("b"))), `node 0 "F/" (Neg): input 0`},
		"value of the caller":      {f(pb.Inner("", "Neg", of("x"), of("b"))), "no input, initializer or node makes it"},
		"result is not made":       {f(), "no input, initializer or node makes it"},
		"made twice":               {f(neg, neg), "the name is taken by node 0"},
		"made inside twice":        {f(pb.Inner("", "Neg", of("a"), of("c")), pb.Inner("", "Neg", of("a"), of("c")), neg), "the name is taken by node 0"},
		"makes its input":          {f(pb.Inner("", "Neg", of("a"), of("a")), neg), "the name is taken by an input"},
		"no operator set":          {f(pb.Inner("ai.onnx.ml", "Binarizer", of("a"), of("b"))), `does not say which version of the operator set "ai.onnx.ml"`},
		"too many outputs":         {append(pb.Model(x(), pb.Call("own", "F", of("x"), of("y", "z")), y()), pb.Function("own", "F", of("a"), of("b"), neg)...), "has 1 inputs and 2 outputs, the function has 1 and 1"},
		"input without a name":     {callF(pb.Function("own", "F", of(""), of("b"), neg)), "input 0 of the function has no name of its own"},
		"output without one":       {callF(pb.Function("own", "F", of("a"), of(""), neg)), "output 0 of the function has no name of its own"},
		"reference of a reference": {f(pb.Msg(11, pb.Str(1, "k"), pb.Str(21, "k"), pb.Int(20, 2)), pb.Inner("", "Softmax", of("a"), of("b"), pb.AttrRef("axis", "k", 2))), `refers to "k", which is`},
		"reference of a graph":     {f(pb.Msg(11, pb.Str(1, "k"), pb.Msg(6, relu()), pb.Int(20, 5)), pb.Inner("", "If", of("a"), of("b"), pb.AttrRef("then_branch", "k", 5))), `refers to "k", which is`},
		"wrong in a graph":         {f(pb.Inner("", "If", of("a"), of("b"), pb.AttrGraph("then_branch", pb.Call("com.example", "Neg", of("a"), of("c")), pb.OpenOutput("c", 1)))), `domain "com.example" is not supported`},
		"too many inputs":          {append(pb.Model(x(), pb.Call("own", "F", of("x", "x"), of("y")), y()), pb.Function("own", "F", of("a"), of("b"), neg)...), "has 2 inputs and 1 outputs, the function has 1 and 1"},
		"unknown attribute":        {append(pb.Model(x(), pb.Call("own", "F", of("x"), of("y"), pb.AttrInt("k", 1)), y()), pb.Function("own", "F", of("a"), of("b"), neg)...), `attribute "k" is not known`},
		"reference to nothing":     {f(pb.Inner("", "Softmax", of("a"), of("b"), pb.AttrRef("axis", "k", 2))), `the function has no attribute "k"`},
		"reference of a kind":      {f(pb.Msg(11, pb.Str(1, "k"), pb.Float(2, 1), pb.Int(20, 1)), pb.Inner("", "Softmax", of("a"), of("b"), pb.AttrRef("axis", "k", 2))), "which is float; expected int"},
		"inputs of one name":       {append(pb.Model(x(), pb.Call("own", "F", of("x"), of("y")), y()), pb.Function("own", "F", of("a", "a"), of("b"), neg)...), "input 1 of the function has no name of its own"},
		"outputs of one name":      {append(pb.Model(x(), pb.Call("own", "F", of("x"), of("y")), y()), pb.Function("own", "F", of("a"), of("b", "b"), neg)...), "output 1 of the function has no name of its own"},
		"unknown overload":         {append(pb.Model(x(), pb.Msg(1, pb.Str(1, "x"), pb.Str(2, "y"), pb.Str(4, "F"), pb.Str(7, "own"), pb.Str(8, "v2")), y()), pb.Function("own", "F", of("a"), of("b"), neg)...), `domain "own" is not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(c.model, DefaultLimits())
			wantError(t, err, c.want)
		})
	}
}

// TestDepthOfFunctionsAddsUp: neither the call nor the function is too deep by itself.
func TestDepthOfFunctionsAddsUp(t *testing.T) {
	nest := func(levels int, node []byte) []byte {
		for range levels {
			node = pb.Node("", "If", of("x"), of("y"), pb.AttrGraph("then_branch", node, y()))
		}
		return node
	}
	lim := DefaultLimits()
	lim.Depth = 5
	body := pb.Function("own", "F", of("x"), of("y"), pb.Inner("", "If", of("x"), of("y"), pb.AttrGraph("then_branch", nest(2, relu()), y())))
	_, err := Parse(append(pb.Model(x(), nest(3, pb.Call("own", "F", of("x"), of("y"))), y()), body...), lim)
	wantError(t, err, "graphs inside graphs: more than 5 levels")
}

func TestRecursiveFunctionIsRefused(t *testing.T) {
	call := func(next string) []byte { return pb.Inner("own", next, of("x"), of("y")) }
	inBranch := pb.Inner("", "If", of("x"), of("y"), pb.AttrGraph("then_branch", pb.Call("own", "F", of("x"), of("z")), pb.OpenOutput("z", 1)))
	for name, functions := range map[string][]byte{
		"itself":       pb.Function("own", "F", of("x"), of("y"), call("F")),
		"each other":   append(pb.Function("own", "F", of("x"), of("y"), call("G")), pb.Function("own", "G", of("x"), of("y"), call("F"))...),
		"in a branch":  pb.Function("own", "F", of("x"), of("y"), inBranch),
		"as an output": pb.Function("own", "F", of("x"), of("x"), call("F")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(callF(functions), DefaultLimits())
			wantError(t, err, `function "F" calls itself`)
		})
	}
}

// TestFunctionsThatDouble: each calls the next one twice, and the last one does
// nothing or little. Written out they would be 2^60 nodes.
func TestFunctionsThatDouble(t *testing.T) {
	for name, last := range map[string][]byte{
		"to a node":  pb.Inner("", "Neg", of("x"), of("y")),
		"to nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var functions []byte
			for i := range 60 {
				this, next := fmt.Sprint("F", i), fmt.Sprint("F", i+1)
				if i == 0 {
					this = "F"
				}
				functions = append(functions, pb.Function("own", this, of("x"), of("y"), pb.Inner("own", next, of("x"), of("m")), pb.Inner("own", next, of("m"), of("y")))...)
			}
			functions = append(functions, pb.Function("own", "F60", of("x"), of("y"), last)...)
			_, err := load(callF(functions), DefaultLimits())
			wantError(t, err, "more than 20000 nodes, with the bodies of functions where they are called")
		})
	}
}

// TestFunctionsThatMultiplyWhatIsNotANode: names, attributes and stored tensors add up
// too.
func TestFunctionsThatMultiplyWhatIsNotANode(t *testing.T) {
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprint("v", i)
	}
	var calls []byte
	for range 1000 {
		calls = append(calls, pb.Inner("own", "G", of("x"), nil)...)
	}
	var attributes []byte
	for i := range 250 {
		attributes = append(attributes, pb.AttrInt(fmt.Sprint("a", i), 1)...)
	}
	var stored []byte
	for i := range 200 {
		stored = append(stored, pb.Initializer(pb.Floats(fmt.Sprint("w", i), nil, 1))...)
	}
	for want, g := range map[string][]byte{
		"more than 100000 inputs and outputs": pb.Function("own", "G", of("x"), many, pb.Inner("", "Split", of("x"), many)),
		"more than 200000 attributes":         pb.Function("own", "G", of("x"), nil, pb.Inner("", "Neg", of("x"), of("y"), attributes)),
		"more than 20000 stored tensors":      pb.Function("own", "G", of("x"), nil, pb.Inner("", "If", of("x"), of("y"), pb.AttrGraph("then_branch", stored, pb.OpenOutput("w0", 1)))),
	} {
		_, err := load(callF(pb.Function("own", "F", of("x"), of("y"), calls, pb.Inner("", "Neg", of("x"), of("y"))), g), DefaultLimits())
		wantError(t, err, want)
	}
}

// TestLongChainOfFunctions: calls in calls are bounded before they are followed, also
// from where others have been measured already.
func TestLongChainOfFunctions(t *testing.T) {
	var functions []byte
	const n = 5000
	for i := range n { // the last first, as a reader that measures in order meets them
		this, next := fmt.Sprint("F", n-i), fmt.Sprint("F", n-i+1)
		if i == n-1 {
			this = "F"
		}
		body := pb.Inner("own", next, of("x"), of("y"))
		if i == 0 {
			body = pb.Inner("", "Neg", of("x"), of("y"))
		}
		functions = append(functions, pb.Function("own", this, of("x"), of("y"), body)...)
	}
	_, err := load(callF(functions), DefaultLimits())
	wantError(t, err, "more than 64 levels of functions that call functions")
	if len(err.Error()) > 5000 {
		t.Errorf("message of %d bytes", len(err.Error()))
	}
	many := []byte{}
	for i := range 100 { // a graph that calls every function, the deepest first
		many = append(many, pb.Call("own", fmt.Sprint("F", 100-i), of("x"), of(fmt.Sprint("y", i)))...)
	}
	short := []byte{}
	for i := range 100 {
		body := pb.Inner("own", fmt.Sprint("F", i+2), of("x"), of("y"))
		if i == 99 {
			body = pb.Inner("", "Neg", of("x"), of("y"))
		}
		short = append(short, pb.Function("own", fmt.Sprint("F", i+1), of("x"), of("y"), body)...)
	}
	_, err = load(append(pb.Model(x(), many, pb.OpenOutput("y0", 1)), short...), DefaultLimits())
	wantError(t, err, "more than 64 levels of functions that call functions")
}
