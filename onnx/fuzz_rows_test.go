package onnx_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/internal/mutate"
	"github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// sketch makes a small graph of a list of bytes: each asks for an operator, an operand or
// an attribute. Many graphs are none that load, and of most rows are not apart.
type sketch struct {
	bytes []byte
	nodes [][]byte
	names map[int64][]string // of values, by what they are made of: float32, int64, bool
	made  int
}

func word(name, value string) []byte {
	return onnxtest.Msg(5, onnxtest.Str(1, name), onnxtest.Str(4, value), onnxtest.Int(20, 3))
}

// pick is a number below n.
func (k *sketch) pick(n int) int {
	if len(k.bytes) == 0 {
		return 0
	}
	b := k.bytes[0]
	k.bytes = k.bytes[1:]
	return int(b) % n
}

func (k *sketch) flag() bool { return k.pick(2) == 1 }

// axis is one that most values have, counted from either end.
func (k *sketch) axis() int64 { return int64(k.pick(8)) - 4 }

func (k *sketch) name() string {
	k.made++
	return fmt.Sprint("v", k.made)
}

// of is a value of an element type; the latest ones are likely.
func (k *sketch) of(kind int64) string {
	list := k.names[kind]
	return list[len(list)-1-k.pick(len(list))]
}

// node makes a value of an element type.
func (k *sketch) node(kind int64, op string, in []string, attrs ...[]byte) string {
	out := k.name()
	k.nodes = append(k.nodes, onnxtest.Node("", op, in, []string{out}, attrs...))
	k.names[kind] = append(k.names[kind], out)
	return out
}

// ints is a constant list; numbers is one of float32.
func (k *sketch) ints(shape []int64, v ...int64) string {
	name := k.name()
	k.nodes = append(k.nodes, onnxtest.Initializer(onnxtest.Ints(name, shape, v...)))
	return name
}

func (k *sketch) list(v ...int64) string { return k.ints([]int64{int64(len(v))}, v...) }

func (k *sketch) numbers(shape ...int64) string {
	n, _ := tensor.Count(shape)
	name := k.name()
	k.nodes = append(k.nodes, onnxtest.Initializer(onnxtest.Floats(name, shape, rowNumbers(n, rand.New(rand.NewPCG(5, uint64(n))), false)...)))
	return name
}

// weight is a constant of some shape that may fit.
func (k *sketch) weight() string {
	shapes := [][]int64{{6}, {3, 6}, {6, 3}, {1}, {3}, {1, 3, 6}, {2, 3, 6}, {3, 3}, {3, 1}, {}, {1, 6}, {3, 3, 2}, {4, 4}, {3, 3, 2, 2}, {1, 1, 1, 1}, {5, 1, 1}}
	return k.numbers(shapes[k.pick(len(shapes))]...)
}

// operand is a value of numbers, or a weight.
func (k *sketch) operand() string {
	if k.pick(4) == 3 {
		return k.weight()
	}
	return k.of(1)
}

// dims is what a shape may be made of.
func (k *sketch) dims() []int64 {
	some := []int64{-1, 0, 1, 2, 3, 6, 9, 18}
	list := make([]int64, 1+k.pick(4))
	for i := range list {
		list[i] = some[k.pick(len(some))]
	}
	return list
}

func (k *sketch) axes() []int64 {
	list := []int64{k.axis()}
	if k.flag() {
		list = append(list, k.axis())
	}
	return list
}

// draw adds a few nodes.
func (k *sketch) draw() {
	attr, attrs := onnxtest.AttrInt, onnxtest.AttrInts
	one := func(kind int64, ops []string, more ...[]byte) {
		k.node(kind, ops[k.pick(len(ops))], []string{k.of(1)}, more...)
	}
	switch k.pick(30) {
	case 0:
		one(1, []string{"Relu", "Exp", "Tanh", "Neg", "Identity", "Erf", "HardSwish", "Gelu", "Softplus", "Sqrt"})
	case 1, 2:
		ops := []string{"Add", "Mul", "Sub", "Div", "Pow", "Max", "Min", "Sum", "Mean", "PRelu", "Mod"}
		op, in := ops[k.pick(len(ops))], []string{k.operand(), k.operand()}
		if op == "Mod" {
			k.node(1, op, in, attr("fmod", 1))
		} else {
			k.node(1, op, in)
		}
	case 3:
		ops := []string{"Softmax", "LogSoftmax", "Hardmax", "LpNormalization"}
		one(1, ops, attr("axis", k.axis()))
	case 4, 5:
		ops := []string{"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}
		in := []string{k.of(1)}
		if k.pick(8) > 0 {
			in = append(in, k.list(k.axes()...))
		}
		k.node(1, ops[k.pick(len(ops))], in, attr("keepdims", int64(k.pick(2))), attr("noop_with_empty_axes", int64(k.pick(2))))
	case 6, 7:
		k.node(1, "Transpose", []string{k.of(1)}, attrs("perm", [][]int64{{1, 0}, {0, 2, 1}, {1, 0, 2}, {2, 0, 1}, {1, 2, 0}, {2, 1, 0}, {0, 2, 3, 1}, {1, 0, 2, 3}}[k.pick(8)]...))
	case 8, 9:
		k.node(1, "Reshape", []string{k.of(1), k.list(k.dims()...)}, attr("allowzero", 0))
	case 10:
		k.node(1, "Flatten", []string{k.of(1)}, attr("axis", k.axis()))
	case 11:
		k.node(1, []string{"Unsqueeze", "Squeeze"}[k.pick(2)], []string{k.of(1), k.list(k.axes()...)})
	case 12, 13:
		k.node(1, "MatMul", []string{k.operand(), k.operand()})
	case 14:
		in := []string{k.operand(), k.operand()}
		if k.flag() {
			in = append(in, k.operand())
		}
		k.node(1, "Gemm", in, attr("transA", int64(k.pick(2))), attr("transB", int64(k.pick(2))))
	case 15:
		k.node(1, "Concat", []string{k.operand(), k.operand()}, attr("axis", k.axis()))
	case 16:
		a := int64(k.pick(5)) - 2
		in := []string{k.of(1), k.list(a), k.list(int64(k.pick(9)) - 3), k.list(k.axis())}
		if k.flag() {
			in = append(in, k.list(int64(k.pick(4))-2))
		}
		k.node(1, "Slice", in)
	case 17:
		out, rest := k.name(), k.name()
		k.nodes = append(k.nodes, onnxtest.Node("", "Split", []string{k.of(1)}, []string{out, rest}, attr("axis", k.axis()), attr("num_outputs", 2)))
		k.names[1] = append(k.names[1], rest, out)
	case 18:
		pads := make([]int64, 2*(1+k.pick(4)))
		for i := range pads {
			pads[i] = int64(k.pick(4)) - 1
		}
		k.node(1, "Pad", []string{k.of(1), k.list(pads...)}, word("mode", []string{"constant", "edge", "reflect", "wrap"}[k.pick(4)]))
	case 19:
		k.node(1, "Gather", []string{k.operand(), k.of(7)}, attr("axis", k.axis()))
	case 20:
		k.node(1, []string{"GatherElements", "GatherND"}[k.pick(2)], []string{k.operand(), k.of(7)}, [][]byte{attr("axis", k.axis()), attr("batch_dims", int64(k.pick(3)))}[k.pick(2)])
	case 21:
		one(7, []string{"ArgMax", "ArgMin"}, attr("axis", k.axis()), attr("keepdims", int64(k.pick(2))))
	case 22:
		one(7, []string{"Shape"}, attr("start", int64(k.pick(4))-1))
	case 23:
		ints := []string{k.of(7), k.list(int64(k.pick(7)) - 2)}
		ops := []string{"Add", "Mul", "Sub", "Max", "Min", "Concat", "Gather", "Equal", "Less"}
		switch op := ops[k.pick(len(ops))]; op {
		case "Concat":
			if k.flag() {
				slices.Reverse(ints)
			}
			k.node(7, op, ints, attr("axis", 0))
		case "Equal", "Less":
			k.node(9, op, ints)
		default:
			k.node(7, op, ints)
		}
	case 24:
		n := k.node(7, "Squeeze", []string{k.of(7)})
		k.node(7, "Range", []string{k.ints(nil, int64(k.pick(3))-1), n, k.ints(nil, 1)})
	case 25:
		if k.flag() {
			k.node(1, "Cast", []string{k.of([]int64{7, 9}[k.pick(2)])}, attr("to", 1))
		} else {
			k.node(7, "Cast", []string{k.of([]int64{1, 9}[k.pick(2)])}, attr("to", 7))
		}
	case 26:
		in := k.of(7)
		switch k.pick(3) {
		case 0:
			k.node(1, "Expand", []string{k.operand(), in})
		case 1:
			k.node(1, "ConstantOfShape", []string{in})
		default:
			k.node(1, "Reshape", []string{k.of(1), in})
		}
	case 27:
		k.node(9, []string{"Less", "Greater", "Equal"}[k.pick(3)], []string{k.operand(), k.operand()})
		k.node(1, "Where", []string{k.of(9), k.operand(), k.operand()})
	case 28:
		switch k.pick(6) {
		case 0:
			k.node(1, "Conv", []string{k.of(1), k.weight()}, attr("group", int64(1+2*k.pick(2))))
		case 1:
			one(1, []string{"MaxPool", "AveragePool", "LpPool"}, attrs("kernel_shape", []int64{2, 2}[:1+k.pick(2)]...))
		case 2:
			one(1, []string{"GlobalAveragePool", "GlobalMaxPool"})
		case 3:
			k.node(1, "InstanceNormalization", []string{k.of(1), k.weight(), k.weight()})
		case 4:
			w := k.numbers(3)
			k.node(1, "BatchNormalization", []string{k.of(1), w, w, w, k.node(1, "Abs", []string{w})})
		default:
			one(1, []string{"LRN"}, attr("size", 3))
		}
	default:
		switch k.pick(8) {
		case 0:
			k.node(1, "LayerNormalization", []string{k.of(1), k.weight()}, attr("axis", k.axis()))
		case 1:
			k.node(1, "CumSum", []string{k.of(1), k.list(k.axis())}, attr("reverse", int64(k.pick(2))), attr("exclusive", int64(k.pick(2))))
		case 2:
			out, at := k.name(), k.name()
			k.nodes = append(k.nodes, onnxtest.Node("", "TopK", []string{k.of(1), k.list(int64(k.pick(4)))}, []string{out, at}, attr("axis", k.axis())))
			k.names[1], k.names[7] = append(k.names[1], out), append(k.names[7], at)
		case 3:
			k.node(1, "Trilu", []string{k.of(1)}, attr("upper", int64(k.pick(2))))
		case 4:
			k.node(1, "MeanVarianceNormalization", []string{k.of(1)}, attrs("axes", k.axes()...))
		case 5:
			s := k.node(1, "Abs", []string{k.numbers([]int64{1, 3, 6}[k.pick(3)])})
			q := k.name()
			k.nodes = append(k.nodes, onnxtest.Node("", "QuantizeLinear", []string{k.of(1), s}, []string{q}, attr("axis", k.axis())))
			k.node(1, "DequantizeLinear", []string{q, s}, attr("axis", k.axis()))
		case 6:
			k.node(1, "OneHot", []string{k.of(7), k.ints(nil, 3), k.numbers(2)}, attr("axis", k.axis()))
		default:
			k.node(1, "Einsum", []string{k.of(1), k.of(1)}, word("equation", "bij,bij->bij"))
		}
	}
}

// rowsGraph is the model that bytes stand for, and the shapes of one row. Its output has
// two axes, the first of which is that of what comes last.
func rowsGraph(data []byte) (model []byte, shapes map[string][]int64) {
	k := &sketch{bytes: data, names: map[int64][]string{1: {"y", "x"}, 7: {"ids"}}}
	all := [][]int64{{3, 6}, {6}, {3, 2, 2}, {1, 6}, {2, 2}, {1}}
	shape := all[k.pick(len(all))]
	k.node(7, "Shape", []string{"x"})
	k.node(7, "Gather", []string{k.of(7), k.list(0)})
	k.node(9, "Greater", []string{"x", "y"})
	for range 24 {
		if len(k.bytes) == 0 {
			break
		}
		k.draw()
	}
	last := k.names[1][len(k.names[1])-1]
	k.nodes = append(k.nodes, onnxtest.Node("", "Flatten", []string{last}, []string{"out"}, onnxtest.AttrInt("axis", 1)))
	dims := append([]any{"batch"}, make([]any, len(shape))...)
	for i, d := range shape {
		dims[i+1] = int(d)
	}
	return onnxtest.ModelAt(20, onnxtest.Input("x", 1, dims...), onnxtest.Input("y", 1, dims...), onnxtest.Input("ids", 7, "batch", 3), slices.Concat(k.nodes...), onnxtest.Output("out", 1, "batch", nil)),
		map[string][]int64{"x": shape, "y": shape, "ids": {3}}
}

// rowsLimits keep what a graph takes small.
func rowsLimits() onnx.Limits {
	l := onnx.DefaultLimits()
	l.Elements, l.RunBytes = 1<<16, 1<<22
	return l
}

// holdProof runs rows together of which it is proved that they are apart, and one by one.
func holdProof(t *testing.T, model []byte, shapes map[string][]int64) (proved bool) {
	m, err := onnx.Parse(model, rowsLimits())
	if err != nil {
		return false
	}
	levels := onnx.Instructions()
	s, err := onnx.NewSession(m, onnx.WithRows(), onnx.WithPoison(), onnx.WithInstructions(levels[len(model)%len(levels)]), onnx.WithThreads(1+len(model)%2))
	if err != nil {
		return false
	}
	for _, n := range []int{2, 3, 5} {
		if s.Apart(t.Context(), shapes, int64(n), free) == nil {
			proved = true
			compareRows(t, s, shapes, n)
		}
	}
	return proved
}

// compareRows is holdRows where runs may fail: then a row's does alone, too.
func compareRows(t *testing.T, s *onnx.Session, shapes map[string][]int64, n int) {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var list, alone []map[string]*tensor.Tensor
	var failed error
	for i := range n {
		in := row(s, shapes, r, i%3 == 1)
		out, err := s.Run(t.Context(), in)
		if err != nil {
			failed = err
		}
		list, alone = append(list, in), append(alone, out)
	}
	joined, err := onnx.JoinRows(list)
	if err != nil {
		t.Fatal(err)
	}
	together, err := s.Run(t.Context(), joined)
	if failed != nil || err != nil {
		if failed == nil {
			t.Fatalf("%d rows fail together, and none does alone: %v", n, err)
		}
		return
	}
	for i := range n {
		part, err := onnx.TakeRows(together, int64(i), 1)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range alone[i] {
			if !slices.Equal(part[name].Shape, want.Shape) || !slices.Equal(bits(part[name]), bits(want)) {
				t.Fatalf("row %d of %d: output %s is not that of the row alone", i, n, name)
			}
		}
	}
}

// FuzzRows makes small graphs: where a proof says that rows are apart, a run of several
// answers each as it is answered alone, bit for bit.
func FuzzRows(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		data := make([]byte, 3+i%60)
		for k := range data {
			data[k] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 256 {
			return
		}
		model, shapes := rowsGraph(data)
		holdProof(t, model, shapes)
	})
}

// TestRowsGraphs: of such graphs many load, and of many rows are apart.
func TestRowsGraphs(t *testing.T) {
	r, proved := rand.New(rand.NewPCG(3, 4)), 0
	const graphs = 2000
	for i := range graphs {
		data := make([]byte, 3+i%30)
		for k := range data {
			data[k] = byte(r.Uint32())
		}
		if model, shapes := rowsGraph(data); holdProof(t, model, shapes) {
			proved++
		}
	}
	if proved < graphs/20 {
		t.Errorf("rows are apart of %d graphs of %d, which tries too little", proved, graphs)
	}
	t.Logf("rows are apart of %d graphs of %d", proved, graphs)
}

// FuzzRowsOfModels changes models by a list of bytes: those of this package's cases, and
// quantized ones.
func FuzzRowsOfModels(f *testing.F) {
	for _, c := range rowsCases() {
		f.Add(c.model(), []byte{})
		f.Add(c.model(), []byte{3, 1, 4})
	}
	f.Fuzz(func(t *testing.T, model, change []byte) {
		tree, err := mutate.Read(mutate.Model, model)
		if len(change) > 0 && err == nil && len(change) < 256 {
			model = mutate.Mutate(tree, nil, mutate.NewChoice(change)).Append(nil)
		}
		holdProof(t, model, rowsShapes())
	})
}
