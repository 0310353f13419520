package onnx_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// rowsSession makes a session that can be asked whether rows are apart.
func rowsSession(t *testing.T, model []byte, opts ...onnx.Option) *onnx.Session {
	t.Helper()
	m, err := onnx.Parse(model, onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(m, append(opts, onnx.WithRows(), onnx.WithPoison())...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// row makes the inputs of one request. Integers are small, since some are ids. Every
// third request holds numbers that spoil whatever they touch.
func row(s *onnx.Session, shapes map[string][]int64, r *rand.Rand, hostile bool) map[string]*tensor.Tensor {
	in := map[string]*tensor.Tensor{}
	for _, v := range s.Inputs() {
		shape := slices.Concat([]int64{1}, shapes[v.Name])
		n, _ := tensor.Count(shape)
		switch v.Type {
		case tensor.Int64:
			data := make([]int64, n)
			for i := range data {
				data[i] = r.Int64N(2)
			}
			in[v.Name] = tensor.Of(data, shape...)
		case tensor.Bool:
			data := make([]bool, n)
			for i := range data {
				data[i] = r.IntN(2) == 0
			}
			in[v.Name] = tensor.Of(data, shape...)
		default:
			in[v.Name] = tensor.Of(rowNumbers(n, r, hostile), shape...)
		}
	}
	return in
}

func rowNumbers(n int64, r *rand.Rand, hostile bool) []float32 {
	spoilt := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32, 1e-45}
	data := make([]float32, n)
	for i := range data {
		if data[i] = float32(r.NormFloat64()); hostile && r.IntN(2) == 0 {
			data[i] = spoilt[r.IntN(len(spoilt))]
		}
	}
	return data
}

// holdRows runs n rows together and one by one: each answer must be the same, bit for bit.
func holdRows(t *testing.T, s *onnx.Session, shapes map[string][]int64, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var list []map[string]*tensor.Tensor
	for i := range n {
		list = append(list, row(s, shapes, r, i%3 == 1))
	}
	joined, err := onnx.JoinRows(list)
	if err != nil {
		t.Fatal(err)
	}
	together, err := s.Run(context.Background(), joined)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range list {
		alone, err := s.Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		part, err := onnx.TakeRows(together, int64(i), 1)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range alone {
			if !slices.Equal(part[name].Shape, want.Shape) || !slices.Equal(bits(part[name]), bits(want)) {
				t.Errorf("row %d of %d: output %s is not that of the row alone", i, n, name)
			}
		}
	}
}

// rowsCase is a graph of few nodes on x float32[batch 3 6] and, where a node reads
// them, y, which is like x, and ids int64[batch 3].
type rowsCase struct {
	name   string
	nodes  [][]byte
	rank   int    // of the output; 0: 3
	reason string // "": rows are apart
	kind   int64  // of the output's elements; 0: float32
	opset  int64  // 0: 17
}

func (c rowsCase) model() []byte {
	graph := slices.Concat(c.nodes...)
	dims := []any{"batch", nil, nil, nil, nil, nil}[:max(1, c.rank)]
	if c.rank == 0 {
		dims = []any{"batch", nil, nil}
	}
	inputs := onnxtest.Input("x", 1, "batch", 3, 6)
	text := string(graph)
	if strings.Contains(text, "\x0a\x01y") {
		inputs = append(inputs, onnxtest.Input("y", 1, "batch", 3, 6)...)
	}
	if strings.Contains(text, "\x0a\x03ids") {
		inputs = append(inputs, onnxtest.Input("ids", 7, "batch", 3)...)
	}
	kind := max(1, c.kind)
	opset := c.opset
	if opset == 0 {
		opset = 17
	}
	return onnxtest.ModelAt(opset, graph, inputs, onnxtest.Output("out", kind, dims...))
}

// rowsShapes are the shapes of one row, as far as a case has such inputs.
func rowsShapes() map[string][]int64 {
	return map[string][]int64{"x": {3, 6}, "y": {3, 6}, "ids": {3}}
}

// op is a node that makes "out".
func op(name string, in []string, attrs ...[]byte) []byte {
	return onnxtest.Node("", name, in, []string{"out"}, attrs...)
}

// step is a node in between.
func step(name string, in, out []string, attrs ...[]byte) []byte {
	return onnxtest.Node("", name, in, out, attrs...)
}

func ints(name string, v ...int64) []byte {
	return onnxtest.Initializer(onnxtest.Ints(name, []int64{int64(len(v))}, v...))
}

func floats(name string, shape ...int64) []byte {
	n, _ := tensor.Count(shape)
	r := rand.New(rand.NewPCG(3, uint64(n)))
	return onnxtest.Initializer(onnxtest.Floats(name, shape, rowNumbers(n, r, false)...))
}

func rowsCases() []rowsCase {
	x, xy := []string{"x"}, []string{"x", "y"}
	attr, list := onnxtest.AttrInt, onnxtest.AttrInts
	var all []rowsCase
	add := func(name, reason string, rank int, nodes ...[]byte) {
		all = append(all, rowsCase{name: name, reason: reason, rank: rank, nodes: nodes})
	}
	for _, name := range []string{"Relu", "Exp", "Erf", "Tanh", "Sigmoid", "Neg", "Identity", "LeakyRelu", "Softplus", "HardSwish", "Sqrt", "Clip"} {
		add(name, "", 0, op(name, x))
	}
	for _, name := range []string{"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "PRelu"} {
		add(name, "", 0, op(name, xy))
	}
	add("Add of a weight", "", 0, floats("w", 3, 6), op("Add", []string{"x", "w"}))
	add("Add of one row", "", 0, floats("w", 1, 3, 6), op("Add", []string{"w", "x"}))
	add("Add of several rows", "are broadcast to 2", 0, floats("w", 2, 3, 6), op("Add", []string{"x", "w"}))
	add("rows against columns", "different axes", 0, step("Transpose", []string{"y"}, []string{"t"}, list("perm", 1, 0, 2)),
		step("ReduceMax", x, []string{"a"}, list("axes", 1)), step("ReduceMax", []string{"t"}, []string{"b"}, list("axes", 0)), op("Add", []string{"a", "b"}))
	behind := func(name string, along int64, attrs ...[]byte) {
		reason := ""
		if along < 2 && name != "ReduceMax" {
			reason = "order that depends on how many"
		}
		add(fmt.Sprintf("%s along axis %d of rows last", name, along), reason, 0, step("Transpose", x, []string{"t"}, list("perm", 1, 2, 0)),
			step(name, []string{"t"}, []string{"r"}, attrs...), op("Transpose", []string{"r"}, list("perm", 2, 0, 1)))
	}
	for _, along := range []int64{0, 1} {
		for _, name := range []string{"Softmax", "LogSoftmax", "LpNormalization"} {
			behind(name, along, attr("axis", along))
		}
		for _, name := range []string{"ReduceMean", "ReduceMax", "ReduceL2", "ReduceL1"} {
			behind(name, along, list("axes", along))
		}
	}
	for _, name := range []string{"ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"} {
		add(name, "", 0, op(name, x, list("axes", -1)))
		add(name+" without the axis", "", 2, op(name, x, list("axes", 1), attr("keepdims", 0)))
		add(name+" of rows", "on which rows lie", 0, op(name, x, list("axes", 0)))
		add(name+" of all", "takes all rows together", 0, op(name, x))
	}
	add("Softmax", "", 0, op("Softmax", x))
	add("Softmax of rows", "along axis 0", 0, op("Softmax", x, attr("axis", 0)))
	all = append(all, rowsCase{name: "old Softmax", opset: 11, nodes: [][]byte{op("Softmax", x)}})
	all = append(all, rowsCase{name: "old Softmax of rows", opset: 11, reason: "rows lie on 0", nodes: [][]byte{op("Softmax", x, attr("axis", 0))}})
	add("LayerNormalization", "", 0, floats("w", 6), op("LayerNormalization", []string{"x", "w"}))
	add("LayerNormalization of all", "rows lie on 0", 0, floats("w", 1, 3, 6), step("Expand", []string{"x", "s"}, []string{"z"}), ints("s", 1, 1, 1), op("LayerNormalization", []string{"z", "w"}, attr("axis", 0)))
	add("MatMul", "", 0, floats("w", 6, 5), op("MatMul", []string{"x", "w"}))
	add("MatMul with a vector", "", 2, floats("w", 6), op("MatMul", []string{"x", "w"}))
	add("MatMul of rows", "", 0, step("Transpose", []string{"y"}, []string{"t"}, list("perm", 0, 2, 1)), op("MatMul", []string{"x", "t"}))
	add("MatMul over rows", "sums over axis", 0, step("Transpose", x, []string{"t"}, list("perm", 1, 2, 0)), step("Transpose", []string{"y"}, []string{"u"}, list("perm", 1, 0, 2)), op("MatMul", []string{"t", "u"}))
	add("Gemm", "", 2, floats("w", 18, 5), floats("b", 5), step("Flatten", x, []string{"f"}), op("Gemm", []string{"f", "w", "b"}))
	add("Gemm of rows with each other", "left matrix alone", 2, step("Flatten", x, []string{"f"}), op("Gemm", []string{"f", "f"}, attr("transB", 1)))
	add("Flatten and back", "", 0, step("Reshape", []string{"x", "s"}, []string{"f"}), ints("s", -1, 6), ints("t", -1, 3, 6), op("Reshape", []string{"f", "t"}))
	add("Reshape across rows", "does not keep rows together", 0, step("Reshape", []string{"x", "s"}, []string{"f"}), ints("s", 3, -1, 6), op("Softmax", []string{"f"}))
	add("Reshape to more rows", "does not have a row for each row", 2, step("Reshape", []string{"x", "s"}, []string{"f"}), ints("s", -1), op("Flatten", []string{"f"}))
	add("Transpose of rows", "", 0, step("Transpose", x, []string{"t"}, list("perm", 2, 0, 1)), op("Transpose", []string{"t"}, list("perm", 1, 2, 0)))
	add("rows left in the middle", "does not have a row for each row", 0, op("Transpose", x, list("perm", 2, 0, 1)))
	add("Concat", "", 0, op("Concat", xy, attr("axis", 1)))
	add("Concat of rows", "on which rows lie", 0, op("Concat", xy, attr("axis", 0)))
	add("Slice", "", 0, ints("a", 1), ints("b", 3), ints("c", 2), op("Slice", []string{"x", "a", "b", "c"}))
	add("Slice of all rows", "", 0, ints("a", 0, 1), ints("b", math.MaxInt64, 3), op("Slice", []string{"x", "a", "b"}))
	add("Slice of rows", "for one row and", 0, ints("a", 0), ints("b", 1), op("Slice", []string{"x", "a", "b"}))
	add("rows the other way round", "takes a part of axis 0", 0, ints("a", -1), ints("b", math.MinInt64), ints("c", 0), ints("d", -1), op("Slice", []string{"x", "a", "b", "c", "d"}))
	add("Split", "", 0, onnxtest.Node("", "Split", x, []string{"out", "rest"}, attr("axis", 2)), ints("unused", 1))
	add("Pad", "", 0, ints("p", 0, 1, 0, 0, 0, 1), op("Pad", []string{"x", "p"}))
	add("Pad of rows", "to leave axis 0 alone", 0, ints("p", 1, 0, 0, 0, 0, 0), op("Pad", []string{"x", "p"}))
	add("Pad that shifts rows", "to leave axis 0 alone", 0, ints("p", 1, 0, 0, -1, 0, 0), op("Pad", []string{"x", "p"}))
	add("Gather from a table", "", 3, floats("w", 4, 5), op("Gather", []string{"w", "ids"}))
	add("Gather in each row", "", 2, ints("i", 0), step("Gather", []string{"x", "i"}, []string{"g"}, attr("axis", 1)), ints("s", 0, 6), op("Reshape", []string{"g", "s"}))
	add("Gather of one row", "not each row's own", 0, ints("i", 0), op("Gather", []string{"x", "i"}))
	add("GatherElements", "", 0, step("Cast", x, []string{"c"}, attr("to", 7)), step("Mul", []string{"c", "zero"}, []string{"z"}), ints("zero", 0), op("GatherElements", []string{"x", "z"}, attr("axis", 2)))
	add("GatherElements across rows", "along axis 0", 0, step("Cast", x, []string{"c"}, attr("to", 7)), step("Mul", []string{"c", "zero"}, []string{"z"}), ints("zero", 0), op("GatherElements", []string{"x", "z"}, attr("axis", 0)))
	add("ArgMax", "", 2, step("ArgMax", x, []string{"m"}, attr("axis", 2), attr("keepdims", 0)), op("Cast", []string{"m"}, attr("to", 1)))
	add("ArgMax of rows", "along axis 0", 0, step("ArgMax", x, []string{"m"}), op("Cast", []string{"m"}, attr("to", 1)))
	add("TopK", "", 0, ints("k", 2), onnxtest.Node("", "TopK", []string{"x", "k"}, []string{"out", "at"}), ints("unused", 1))
	add("TopK of rows", "along axis 0", 0, ints("k", 1), onnxtest.Node("", "TopK", []string{"x", "k"}, []string{"out", "at"}, attr("axis", 0)))
	add("CumSum", "", 0, ints("a", 1), step("Squeeze", []string{"a"}, []string{"b"}), op("CumSum", []string{"x", "b"}))
	add("CumSum of rows", "along axis 0", 0, ints("a", 0), step("Squeeze", []string{"a"}, []string{"b"}), op("CumSum", []string{"x", "b"}))
	add("Conv", "", 0, floats("w", 4, 3, 3), op("Conv", []string{"x", "w"}))
	add("MaxPool", "", 0, op("MaxPool", x, list("kernel_shape", 2)))
	add("MaxPool with places", "expected one result", 0, onnxtest.Node("", "MaxPool", x, []string{"out", "at"}, list("kernel_shape", 2)),
		onnxtest.Output("at", 7, "batch", nil, nil))
	add("GlobalAveragePool", "", 0, op("GlobalAveragePool", x))
	add("InstanceNormalization", "", 0, floats("w", 3), op("InstanceNormalization", []string{"x", "w", "w"}))
	add("BatchNormalization", "", 0, floats("w", 3), ints("one", 1), step("Abs", []string{"w"}, []string{"v"}), op("BatchNormalization", []string{"x", "w", "w", "w", "v"}))
	add("MeanVarianceNormalization", "", 0, op("MeanVarianceNormalization", x, list("axes", 1, 2)))
	add("MeanVarianceNormalization of rows", "mean of all rows", 4, ints("a", 3), step("Unsqueeze", []string{"x", "a"}, []string{"u"}), op("MeanVarianceNormalization", []string{"u"}))
	add("DynamicQuantizeLinear", "takes one scale from all rows", 0, step("DynamicQuantizeLinear", x, []string{"q", "s", "z"}), op("DequantizeLinear", []string{"q", "s", "z"}))
	add("QuantizeLinear", "", 0, floats("one", 1), step("Abs", []string{"one"}, []string{"s"}), step("QuantizeLinear", []string{"x", "s"}, []string{"q"}), op("DequantizeLinear", []string{"q", "s"}))
	add("NonZero", "size shows in the run", 2, step("NonZero", x, []string{"n"}), op("Cast", []string{"n"}, attr("to", 1)))
	add("random numbers", "draws numbers", 0, step("RandomNormalLike", x, []string{"r"}), op("Add", []string{"x", "r"}))
	add("not known", "not known to leave rows apart", 0, op("LpPool", x, list("kernel_shape", 2)), ints("unused", 1))
	all[len(all)-1] = rowsCase{name: "not known", reason: "not known to leave rows apart", nodes: [][]byte{op("Einsum", xy, onnxtest.Msg(5, onnxtest.Str(1, "equation"), onnxtest.Str(4, "bij,bij->bij"), onnxtest.Int(20, 3)))}}
	shape := step("Shape", x, []string{"shape"})
	first := step("Gather", []string{"shape", "zero"}, []string{"n"})
	add("number of rows", "", 0, shape, op("Reshape", []string{"x", "shape"}))
	add("number of rows as a number", "made of the number of rows", 0, shape, ints("zero", 0), first, step("Cast", []string{"n"}, []string{"f"}, attr("to", 1)), op("Mul", []string{"x", "f"}))
	add("place among rows", "made of the number of rows", 0, shape, onnxtest.Initializer(onnxtest.Ints("zero", nil, 0)), onnxtest.Initializer(onnxtest.Ints("one", nil, 1)), first,
		step("Range", []string{"zero", "n", "one"}, []string{"r"}), step("Cast", []string{"r"}, []string{"f"}, attr("to", 1)), ints("axes", 1, 2), step("Unsqueeze", []string{"f", "axes"}, []string{"u"}), op("Add", []string{"x", "u"}))
	add("one for each row", "", 0, shape, step("ConstantOfShape", []string{"shape"}, []string{"c"}), op("Add", []string{"x", "c"}))
	add("a class token", "", 0, floats("w", 1, 1, 6), shape, ints("zero", 0), first, ints("rest", 1, 6), step("Concat", []string{"n", "rest"}, []string{"s"}, attr("axis", 0)),
		step("Expand", []string{"w", "s"}, []string{"e"}), op("Concat", []string{"e", "x"}, attr("axis", 1)))
	return append(all, offsetCases(shape)...)
}

// offsetCases read rows by indices into all of them, as masks of exported models do:
// right, and by one row too far.
func offsetCases(shape []byte) []rowsCase {
	graph := func(data string, start int64) [][]byte {
		return [][]byte{shape, onnxtest.Initializer(onnxtest.Ints("zero", nil, 0)), onnxtest.Initializer(onnxtest.Ints("start", nil, start)), onnxtest.Initializer(onnxtest.Ints("one", nil, 1)),
			onnxtest.Initializer(onnxtest.Ints("three", nil, 3)), step("Gather", []string{"shape", "zero"}, []string{"n"}), step("Mul", []string{"n", "three"}, []string{"m"}),
			step("Add", []string{"m", "start"}, []string{"end"}), step("Range", []string{"start", "end", "one"}, []string{"r"}),
			ints("flat", -1, 6), ints("back", -1, 3, 6), step("Reshape", []string{"x", "flat"}, []string{"f"}), step("Gather", []string{data, "r"}, []string{"g"}), op("Reshape", []string{"g", "back"})}
	}
	return []rowsCase{
		{name: "each row by its offset", nodes: graph("f", 0)},
		{name: "another row by its offset", nodes: graph("f", -1), reason: "not each row's own"},
	}
}

// TestRowsApart: each operator is accepted as it leaves rows apart, and refused as it
// does not. What is accepted gives the same alone and in a batch, bit for bit.
func TestRowsApart(t *testing.T) {
	for _, c := range rowsCases() {
		t.Run(c.name, func(t *testing.T) {
			for _, level := range onnx.Instructions() {
				s := rowsSession(t, c.model(), onnx.WithInstructions(level))
				for _, n := range []int{2, 5} {
					err := s.Apart(t.Context(), rowsShapes(), int64(n), free)
					switch {
					case c.reason != "" && (err == nil || n == 2 && (!errors.Is(err, onnx.ErrMixes) || !strings.Contains(err.Error(), c.reason))):
						t.Fatalf("%d rows: %v, expected %q", n, err, c.reason)
					case c.reason == "" && err != nil:
						t.Fatalf("%d rows: %v", n, err)
					case c.reason == "":
						holdRows(t, s, rowsShapes(), n)
					}
				}
			}
		})
	}
}

// TestRowsOfModels: whole models, quantized and not.
func TestRowsOfModels(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		shape        []int64
	}{
		{"network-qdq", "", []int64{3, 14, 14}}, {"network-qdq16", "", []int64{3, 14, 14}}, {"network-qoperator", "", []int64{3, 14, 14}},
		{"network-dynamic", "takes one scale", []int64{3, 14, 14}}, {"transformer-dynamic", "takes one scale", []int64{7, 32}},
		{"transformer-qdq", "", []int64{7, 32}}, {"transformer-qdq16", "", []int64{5, 32}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata/quantized", c.name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range onnx.Instructions() {
				s := rowsSession(t, data, onnx.WithInstructions(level))
				err = s.Batches(t.Context(), free)
				if c.reason != "" {
					if !errors.Is(err, onnx.ErrMixes) || !strings.Contains(err.Error(), c.reason) {
						t.Fatalf("%v, expected %q", err, c.reason)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				holdRows(t, s, map[string][]int64{s.Inputs()[0].Name: c.shape}, 5)
			}
		})
	}
}

// TestRowsOfSentences: MiniLM takes several sentences at once as it takes each alone.
func TestRowsOfSentences(t *testing.T) {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
	}
	data, err := os.ReadFile(filepath.Join(dir, "minilm-l6-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	s := rowsSession(t, data)
	if err := s.Batches(t.Context(), free); err != nil {
		t.Fatal(err)
	}
	tokens := []int64{1, 5, 16, 33}
	if race.Enabled {
		tokens = []int64{5}
	}
	for _, n := range tokens {
		shapes := map[string][]int64{}
		for _, v := range s.Inputs() {
			shapes[v.Name] = []int64{n}
		}
		for _, rows := range []int{2, 8} {
			if err := s.Apart(t.Context(), shapes, int64(rows), free); err != nil {
				t.Fatal(err)
			}
			holdRows(t, s, shapes, rows)
		}
	}
}

// TestRowsLead: every input and output begins with the rows, and says so.
func TestRowsLead(t *testing.T) {
	relu := op("Relu", []string{"x"})
	in, out := onnxtest.Input, onnxtest.Output
	for i, c := range []struct {
		graph  [][]byte
		reason string
	}{
		{[][]byte{relu, in("x", 1, "n", 3), out("out", 1, "n", 3)}, ""},
		{[][]byte{relu, in("x", 1, nil, 3), out("out", 1, nil, 3)}, ""},
		{[][]byte{relu, in("x", 1, 2, 3), out("out", 1, 2, 3)}, "first dimension that is open"},
		{[][]byte{relu, in("x", 1, "n", 3), out("out", 1, "m", 3)}, `expected "n"`},
		{[][]byte{relu, in("x", 1, "n", "n"), out("out", 1, "n", "n")}, "of no other"},
		{[][]byte{step("Shape", []string{"x"}, []string{"out"}), in("x", 1, "n", 3), out("out", 7, nil)}, `expected "n"`},
		{[][]byte{op("Add", []string{"x", "b"}), in("x", 1, "n", 3), in("b", 1, 3), out("out", 1, "n", 3)}, "first dimension that is open"},
	} {
		err := rowsSession(t, onnxtest.Model(c.graph...)).Batches(t.Context(), free)
		if c.reason == "" && err != nil || c.reason != "" && (!errors.Is(err, onnx.ErrMixes) || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("case %d: %v, expected %q", i, err, c.reason)
		}
	}
}

// TestJoinRows: what is joined has to be alike, and rows that are not there are not taken.
func TestJoinRows(t *testing.T) {
	two := map[string]*tensor.Tensor{"x": tensor.Of([]int64{1, 2, 3, 4}, 2, 2)}
	one := map[string]*tensor.Tensor{"x": tensor.Of([]int64{5, 6}, 1, 2)}
	joined, err := onnx.JoinRows([]map[string]*tensor.Tensor{two, one})
	if err != nil || fmt.Sprint(tensor.Data[int64](joined["x"]), joined["x"].Shape) != "[1 2 3 4 5 6] [3 2]" {
		t.Errorf("%v %v", joined["x"], err)
	}
	part, err := onnx.TakeRows(joined, 1, 2)
	if err != nil || fmt.Sprint(tensor.Data[int64](part["x"]), part["x"].Shape) != "[3 4 5 6] [2 2]" {
		t.Errorf("%v %v", part["x"], err)
	}
	for _, other := range []map[string]*tensor.Tensor{{"y": one["x"]}, {}, {"x": tensor.Of([]int64{5, 6}, 2)}, {"x": tensor.Of([]float32{5, 6}, 1, 2)}, {"x": tensor.Of([]int64{5}, 1, 1)}} {
		if _, err := onnx.JoinRows([]map[string]*tensor.Tensor{two, other}); err == nil {
			t.Errorf("%v was joined", other)
		}
	}
	for _, at := range [][2]int64{{-1, 1}, {2, 2}, {0, 4}, {math.MaxInt64, 1}} {
		if _, err := onnx.TakeRows(joined, at[0], at[1]); err == nil {
			t.Errorf("rows %v were taken", at)
		}
	}
}

// free is memory that nobody counts.
func free(int64) error { return nil }

// TestRowsTakeMemory: what a proof holds is asked for before it is there, and given up with
// it; where there is none the proof ends, and is made when there is.
func TestRowsTakeMemory(t *testing.T) {
	nodes := [][]byte{step("Shape", []string{"x"}, []string{"shape"}), ints("zero", 0), ints("rest", 1<<14), ints("axes", 2),
		step("Gather", []string{"shape", "zero"}, []string{"n"}), step("Concat", []string{"n", "rest"}, []string{"s"}, onnxtest.AttrInt("axis", 0)),
		step("ConstantOfShape", []string{"s"}, []string{"c0"})}
	for i := range 8 { // 64 KiB of one row and 128 of two, each
		nodes = append(nodes, step("Neg", []string{fmt.Sprint("c", i)}, []string{fmt.Sprint("c", i+1)}))
	}
	nodes = append(nodes, step("ReduceMax", []string{"c8"}, []string{"m"}, onnxtest.AttrInts("axes", 1)),
		step("Unsqueeze", []string{"m", "axes"}, []string{"u"}), op("Add", []string{"x", "u"}))
	s := rowsSession(t, rowsCase{nodes: nodes}.model())
	const least = 9 * 3 * 64 << 10
	taken, none := int64(0), errors.New("there is no memory")
	take := func(bytes int64) error {
		if taken += bytes; taken > least/2 {
			return none
		}
		return nil
	}
	for range 2 { // it is not kept that there was none
		taken = 0
		if err := s.Apart(t.Context(), rowsShapes(), 2, take); !errors.Is(err, none) || errors.Is(err, onnx.ErrMixes) {
			t.Errorf("%v, expected %v", err, none)
		}
		taken = 0
		if err := s.Batches(t.Context(), take); !errors.Is(err, none) {
			t.Errorf("%v, expected %v", err, none)
		}
	}
	count := func(bytes int64) error { taken += bytes; return nil }
	taken = 0
	if err := s.Apart(t.Context(), rowsShapes(), 2, count); err != nil || taken < least || taken > least+least/4 {
		t.Errorf("%v, %d bytes, expected %d", err, taken, least)
	}
	taken = 0
	if err := s.Batches(t.Context(), count); err != nil || taken < least*4/3 || taken > 2*least { // two rows, and then three
		t.Errorf("%v, %d bytes, expected %d", err, taken, least*4/3)
	}
}

// TestRowsOfLongNodes: a proof computes no node that takes longer than its size says, it
// counts what all of them read, and it ends with who waits for it.
func TestRowsOfLongNodes(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	sum := onnxtest.Msg(5, onnxtest.Str(1, "equation"), onnxtest.Str(4, "a,b->"), onnxtest.Int(20, 3))
	long := [][]byte{ints("s", 1<<16), step("ConstantOfShape", []string{"s"}, []string{"c"}),
		step("Einsum", []string{"c", "c"}, []string{"e"}, sum), op("Add", []string{"x", "e"})} // 4 Gi products
	s := rowsSession(t, rowsCase{nodes: long}.model())
	if err := s.Batches(ended, free); !errors.Is(err, context.Canceled) || errors.Is(err, onnx.ErrMixes) {
		t.Errorf("%v, expected the end of who waits", err)
	}
	if err := s.Batches(t.Context(), free); err != nil { // nor is the end of another one's wait kept
		t.Error(err)
	}
	many := [][]byte{step("Shape", []string{"x"}, []string{"shape"}), ints("zero", 0), ints("rest", 1<<15), ints("three", 3),
		step("Gather", []string{"shape", "zero"}, []string{"n"}), step("Concat", []string{"n", "rest"}, []string{"s"}, onnxtest.AttrInt("axis", 0)),
		step("ConstantOfShape", []string{"s"}, []string{"c"}), step("ReduceMax", []string{"c"}, []string{"e0"}, onnxtest.AttrInts("axes", 1))}
	for i := range 200 { // each reads 64 Ki elements of 2 rows, and makes one for each
		many = append(many, step("ReduceMax", []string{"c"}, []string{fmt.Sprint("m", i)}, onnxtest.AttrInts("axes", 1)),
			step("Sum", []string{fmt.Sprint("e", i), fmt.Sprint("m", i)}, []string{fmt.Sprint("e", i+1)}))
	}
	many = append(many, ints("axes", 2), step("Unsqueeze", []string{"e200", "axes"}, []string{"u"}), op("Add", []string{"x", "u"}))
	err := rowsSession(t, rowsCase{nodes: many}.model()).Apart(t.Context(), rowsShapes(), 2, free)
	if !errors.Is(err, onnx.ErrMixes) || !strings.Contains(err.Error(), "too much for a check") {
		t.Errorf("%v, expected a refusal of so much work", err)
	}
}
