package onnx

import (
	"math"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestOperatorsRefuse holds every operator to what it says it takes, when the
// session is made. Inputs are named a, b, c ... in the node's order.
func TestOperatorsRefuse(t *testing.T) {
	f := func(dims ...any) []any { return append([]any{1}, dims...) }
	i := func(dims ...any) []any { return append([]any{7}, dims...) }
	const openList = "n"
	for name, c := range map[string]struct {
		op    string
		attrs []byte
		in    [][]any // type and dimensions of each input
		want  string
	}{
		"gemm of a stack":          {"Gemm", nil, [][]any{f(2, 3, 4), f(4, 2)}, `input 0 "a": has shape [2 3 4], expected a matrix`},
		"gemm by a vector":         {"Gemm", nil, [][]any{f(3, 4), f(4)}, `input 1 "b": has shape [4], expected a matrix`},
		"gemm transposed":          {"Gemm", pb.AttrInt("transB", 1), [][]any{f(3, 4), f(4, 2)}, "has 2 rows after transposition, but A has 4 columns"},
		"gemm C rank":              {"Gemm", nil, [][]any{f(3, 4), f(4, 2), f(1, 3, 2)}, `input 2 "c": has shape [1 3 2], which does not broadcast to [3 2]`},
		"gemm C shape":             {"Gemm", nil, [][]any{f(3, 4), f(4, 2), f(3)}, `input 2 "c": has shape [3], which does not broadcast to [3 2]`},
		"gemm C would grow":        {"Gemm", nil, [][]any{f(1, 4), f(4, 2), f(3, 2)}, "does not broadcast to [1 2]"},
		"gemm C type":              {"Gemm", nil, [][]any{f(3, 4), f(4, 2), i(2)}, `input 2 "c": is int64, expected float32`},
		"gemm flag":                {"Gemm", pb.AttrInt("transA", 2), [][]any{f(3, 4), f(4, 2)}, `attribute "transA" is 2, expected 0 or 1`},
		"matmul of bools":          {"MatMul", nil, [][]any{{9, 2, 2}, {9, 2, 2}}, "is bool, expected float32"},
		"matmul stacks":            {"MatMul", nil, [][]any{f(2, 3, 4), f(5, 4, 2)}, "does not broadcast"},
		"concat without axis":      {"Concat", nil, [][]any{f(1)}, `attribute "axis" is required`},
		"concat ranks":             {"Concat", pb.AttrInt("axis", 0), [][]any{f(1, 2), f(2)}, `input 1 "b": has shape [2], those before have rank 2`},
		"concat shapes":            {"Concat", pb.AttrInt("axis", 0), [][]any{f(1, 2), f(1, 3)}, `input 1 "b": has shape [1 3], which does not fit along axis 0`},
		"concat overflow":          {"Concat", pb.AttrInt("axis", 0), [][]any{f(int64(1) << 62), f(int64(1) << 62)}, "makes dimension 0 overflow"},
		"concat types":             {"Concat", pb.AttrInt("axis", 0), [][]any{f(1), i(1)}, `input 1 "b": is int64, but input 0 is float32`},
		"transpose rank":           {"Transpose", pb.AttrInts("perm", 1, 0), [][]any{f(2, 3, 4)}, `"perm" has 2 entries, the operand has rank 3`},
		"transpose negative":       {"Transpose", pb.AttrInts("perm", 0, -1), [][]any{f(2, 3)}, `"perm" holds -1`},
		"transpose twice":          {"Transpose", pb.AttrInts("perm", 0, 0), [][]any{f(2, 3)}, "axis 0 is there twice"},
		"transpose range":          {"Transpose", pb.AttrInts("perm", 0, 2), [][]any{f(2, 3)}, "axis 2 is outside of rank 2"},
		"flatten range":            {"Flatten", pb.AttrInt("axis", 3), [][]any{f(2, 3)}, "axis 3 is outside of rank 2"},
		"flatten negative":         {"Flatten", pb.AttrInt("axis", -3), [][]any{f(2, 3)}, "axis -3 is outside of rank 2"},
		"gather index type":        {"Gather", nil, [][]any{f(2), f(1)}, `input 1 "b": is float32, expected int32 or int64`},
		"gather axis":              {"Gather", pb.AttrInt("axis", 1), [][]any{f(2), i(1)}, "axis 1 is outside of rank 1"},
		"slice starts shape":       {"Slice", nil, [][]any{f(2), i(1, 1), i(1)}, `input 1 "b": has shape [1 1], expected a list`},
		"slice starts type":        {"Slice", nil, [][]any{f(2), f(1), i(1)}, `input 1 "b": is float32, expected int32 or int64`},
		"reduce axes shape":        {"ReduceSum", nil, [][]any{f(2), i()}, `input 1 "b": has shape [], expected a list`},
		"reduce type":              {"ReduceMean", nil, [][]any{{8, 2}}, "is string, expected float32"},
		"arg max of nothing":       {"ArgMax", nil, [][]any{f(0, 2)}, "has no element along the axis"},
		"arg max axis":             {"ArgMax", pb.AttrInt("axis", 2), [][]any{f(1, 2)}, "axis 2 is outside of rank 2"},
		"softmax type":             {"Softmax", nil, [][]any{i(2)}, "is int64, expected float32"},
		"reshape shape":            {"Reshape", nil, [][]any{f(2), i(1, 1)}, "expected a list"},
		"reshape shape type":       {"Reshape", nil, [][]any{f(2), f(1)}, "is float32, expected int64"},
		"squeeze axes":             {"Squeeze", nil, [][]any{f(1), i(1, 1)}, "expected a list"},
		"unsqueeze axes":           {"Unsqueeze", nil, [][]any{f(1), i(1, 1)}, "expected a list"},
		"expand shape":             {"Expand", nil, [][]any{f(1), i()}, "expected a list"},
		"fill shape":               {"ConstantOfShape", nil, [][]any{i()}, "expected a list"},
		"fill value":               {"ConstantOfShape", pb.AttrTensor("value", pb.Floats("", []int64{2}, 1, 2)), [][]any{i(openList)}, `attribute "value" has 2 elements, expected 1`},
		"clip bound shape":         {"Clip", nil, [][]any{f(2), f(2)}, `input 1 "b": has shape [2], expected a scalar`},
		"clip bound type":          {"Clip", nil, [][]any{f(2), i()}, `input 1 "b": is int64, expected float32`},
		"clip type":                {"Clip", nil, [][]any{{9, 2}}, "is bool, expected float32 or"},
		"where condition":          {"Where", nil, [][]any{f(2), f(2), f(2)}, `input 0 "a": is float32, expected bool`},
		"where types":              {"Where", nil, [][]any{{9, 2}, f(2), i(2)}, `input 2 "c": is int64, expected float32`},
		"not":                      {"Not", nil, [][]any{f(2)}, "is float32, expected bool"},
		"and":                      {"And", nil, [][]any{f(2), f(2)}, "is float32, expected bool"},
		"less of bools":            {"Less", nil, [][]any{{9, 2}, {9, 2}}, "is bool, expected float32 or"},
		"exp of integers":          {"Exp", nil, [][]any{i(2)}, "is int64, expected float32"},
		"pow of bools":             {"Pow", nil, [][]any{{9, 2}, i(2)}, "is bool, expected float32"},
		"cast of complex":          {"Cast", pb.AttrInt("to", 7), [][]any{{14, 2}}, "is complex64, which cannot be cast"},
		"three shapes that differ": {"Max", nil, [][]any{f(2), f(2), f(3)}, `input 2 "c": shape [3] does not broadcast with [2]`},
	} {
		t.Run(name, func(t *testing.T) {
			var graph [][]byte
			var names []string
			for n, in := range c.in {
				id := string(rune('a' + n))
				names = append(names, id)
				graph = append(graph, pb.Input(id, int64(in[0].(int)), in[1:]...))
			}
			graph = append(graph, pb.Node("it", c.op, names, []string{"y"}, c.attrs), pb.OpenOutput("y", 0))
			_, err := load(pb.Model(graph...), DefaultLimits())
			wantError(t, err, `node 0 "it" (`+c.op+"): ")
			wantError(t, err, c.want)
		})
	}
}

// TestParametersThatOnlyARunShows: the same, for lists that are fed.
func TestParametersThatOnlyARunShows(t *testing.T) {
	list := func(v ...int64) *tensor.Tensor { return tensor.Of(v, int64(len(v))) }
	for name, c := range map[string]struct {
		op   string
		in   []*tensor.Tensor
		want string
	}{
		"fill negative":      {"ConstantOfShape", []*tensor.Tensor{list(-1)}, "asks for dimension -1"},
		"fill both negative": {"ConstantOfShape", []*tensor.Tensor{list(-2, -2)}, "asks for dimension -2"},
		"slice axes count":   {"Slice", []*tensor.Tensor{vec(1, 2), list(0), list(1), list(0, 1)}, "has 2 entries for 1 starts"},
		"slice steps count":  {"Slice", []*tensor.Tensor{vec(1, 2), list(0), list(1), list(0), list(1, 1)}, "has 2 entries for 1 starts"},
		"fed scalar list":    {"Reshape", []*tensor.Tensor{vec(1), tensor.Of([]int64{1})}, "has shape [], expected a list"},
		"matrix rank":        {"Gemm", []*tensor.Tensor{vec(1), vec(1)}, "expected a matrix"},
		"scalar product":     {"MatMul", []*tensor.Tensor{tensor.Of([]float32{1}), vec(1)}, "is a scalar"},
		"open dimensions":    {"ArgMax", []*tensor.Tensor{vec()}, "has no element along the axis"},
	} {
		t.Run(name, func(t *testing.T) {
			var graph [][]byte
			var names []string
			feed := map[string]*tensor.Tensor{}
			for n, in := range c.in {
				id := string(rune('a' + n))
				names = append(names, id)
				feed[id] = in
				graph = append(graph, open(id, int64(in.Type)))
			}
			graph = append(graph, pb.Node("it", c.op, names, []string{"y"}), pb.OpenOutput("y", 0))
			_, err := mustLoad(t, pb.Model(graph...)).Run(t.Context(), feed)
			wantError(t, err, `node 0 "it" (`+c.op+"): ")
			wantError(t, err, c.want)
		})
	}
}

// TestOpenRanksStayOpen: what is not known when the session is made must not be
// taken for a scalar, or a list, or anything else that is.
func TestOpenRanksStayOpen(t *testing.T) {
	for op, attrs := range map[string][]byte{
		"Add": nil, "Max": nil, "Equal": nil, "MatMul": nil, "Concat": pb.AttrInt("axis", 0),
	} {
		s := mustLoad(t, pb.Model(open("a", 1), pb.Input("b", 1, 2), pb.Node("", op, []string{"a", "b"}, []string{"y"}, attrs), pb.OpenOutput("y", 0)))
		out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": vec(1, 2), "b": vec(3, 4)})
		if err != nil {
			t.Errorf("%s: %v", op, err)
			continue
		}
		if declared := s.Outputs()[0].Shape; declared != nil && op != "Concat" {
			t.Errorf("%s: shape %v is claimed, result has %v", op, declared, out["y"].Shape)
		}
	}
	for op, attrs := range map[string][]byte{
		"Relu": nil, "Softmax": nil, "ArgMax": nil, "Transpose": nil, "Squeeze": nil, "ReduceSum": nil, "Clip": nil,
		"Identity": nil, "Flatten": nil, "Shape": nil, "Cast": pb.AttrInt("to", 7), "Not": nil,
	} {
		typ := int64(1)
		in := tensor.Of([]float32{1, 2, 3, 4}, 1, 2, 2)
		if op == "Not" {
			typ, in = 9, tensor.Of([]bool{true, false}, 1, 2)
		}
		s := mustLoad(t, pb.Model(open("a", typ), pb.Node("", op, []string{"a"}, []string{"y"}, attrs), pb.OpenOutput("y", 0)))
		if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"a": in}); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestCountElements(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		want  int64
		ok    bool
	}{
		{nil, 1, true}, {[]int64{2, 3}, 6, true}, {[]int64{5, 0, 7}, 0, true}, {[]int64{-1}, 0, false},
		{[]int64{math.MaxInt64}, math.MaxInt64, true}, {[]int64{1 << 32, 1 << 31}, 0, false}, {[]int64{0, -3}, 0, false},
	} {
		n, err := tensor.Count(c.shape)
		if (err == nil) != c.ok || n != c.want {
			t.Errorf("%v: %d, %v", c.shape, n, err)
		}
	}
}
