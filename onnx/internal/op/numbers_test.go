package op

import (
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// numbered makes a tensor of a numeric type, or of bools.
func numbered(t testing.TB, typ tensor.DataType, shape []int64, values ...float64) *tensor.Tensor {
	t.Helper()
	out, err := dirty(typ, shape)
	if err != nil {
		t.Fatal(err)
	}
	writer[float64](out)(values, 0, 1)
	return out
}

// rowOf is numbered in one dimension.
func rowOf(t testing.TB, typ tensor.DataType, values ...float64) *tensor.Tensor {
	t.Helper()
	return numbered(t, typ, []int64{int64(len(values))}, values...)
}

// asFloats reads all elements.
func asFloats(in *tensor.Tensor) []float64 {
	values := make([]float64, in.Len())
	reader[float64](in)(values, 0, 1)
	return values
}

// holdsNear compares type, shape and numbers, which may differ by a part of tolerance.
func holdsNear(t testing.TB, got, want *tensor.Tensor, tolerance float64) {
	t.Helper()
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("got %s%v, want %s%v", got.Type, got.Shape, want.Type, want.Shape)
	}
	g, w := asFloats(got), asFloats(want)
	for i := range w {
		same := g[i] == w[i] || g[i] != g[i] && w[i] != w[i]
		if !same && !(math.Abs(g[i]-w[i]) <= tolerance*max(1, math.Abs(w[i]))) {
			t.Fatalf("element %d is %v, want %v", i, g[i], w[i])
		}
	}
}

// storedTypes are all types whose elements are numbers.
func storedTypes() []tensor.DataType {
	return slices.DeleteFunc(tensor.Types(), func(t tensor.DataType) bool { return classOf(t) == none })
}

// TestReadAndWrite: every type holds 0 and 1, and is read and written with steps.
func TestReadAndWrite(t *testing.T) {
	for _, typ := range append(storedTypes(), tensor.Bool) {
		zero := 0.0
		if typ == tensor.Float8E8M0 {
			zero = 2 // has no zero
		}
		x := rowOf(t, typ, zero, zero, zero, zero, zero)
		writer[float64](x)([]float64{1, 1}, 1, 3)
		if got := asFloats(x); !slices.Equal(got, []float64{zero, 1, zero, zero, 1}) {
			t.Errorf("%s: %v", typ, got)
		}
		long := make([]int64, 2*block+3) // more than the blocks inside
		reader[int64](x)(long, 4, 0)
		if slices.Index(long, 0) >= 0 {
			t.Errorf("%s: %v as integers", typ, long)
		}
		u := make([]uint64, 2)
		if reader[uint64](x)(u, 1, 3); u[0] != 1 || u[1] != 1 {
			t.Errorf("%s: %v without a sign", typ, u)
		}
	}
	if reader[float64](tensor.List("a")) != nil || writer[float64](tensor.List("a")) != nil {
		t.Error("strings are no numbers")
	}
}

func TestIntegersOfFloats(t *testing.T) {
	for f, want := range map[float64]int64{1.9: 1, -1.9: -1, 0x1p63: math.MinInt64, -0x1p63: math.MinInt64, math.Inf(-1): math.MinInt64} {
		if got := int64Of(f); got != want {
			t.Errorf("%v is %d, want %d", f, got, want)
		}
	}
	if int64Of(math.NaN()) != math.MinInt64 {
		t.Error("NaN")
	}
	for f, want := range map[float64]uint64{1.9: 1, -1: math.MaxUint64, 0x1p63: 1 << 63, 0x1p64 - 2048: 1<<64 - 2048} {
		if got := uint64Of(f); got != want {
			t.Errorf("%v is %d, want %d", f, got, want)
		}
	}
}

func TestArithmeticOfAllTypes(t *testing.T) {
	for _, typ := range numberTypes() {
		a, b := numbered(t, typ, []int64{2, 1}, 6, 7), rowOf(t, typ, 2, 3)
		for op, want := range map[string][]float64{
			"Add": {8, 9, 9, 10}, "Sub": {4, 3, 5, 4}, "Mul": {12, 18, 14, 21}, "Pow": {36, 216, 49, 343},
			"Max": {6, 6, 7, 7}, "Min": {2, 3, 2, 3},
		} {
			if op == "Pow" && typ.Size() == 1 {
				want = []float64{36, 216, 49, 343 - 256} // the low bits
				if typ == tensor.Int8 {
					want[1] -= 256
				}
			}
			holdsNear(t, mustCompute(t, op, newest, nil, a, b), numbered(t, typ, []int64{2, 2}, want...), 1e-2)
		}
		quotients := []float64{3, 2, 3, 2}
		if classOf(typ) == floating {
			quotients = []float64{3, 2, 3.5, 7. / 3}
		}
		holdsNear(t, mustCompute(t, "Div", newest, nil, a, b), numbered(t, typ, []int64{2, 2}, quotients...), 1e-2)
		holdsNear(t, mustCompute(t, "Mod", newest, nil, a, b), numbered(t, typ, []int64{2, 2}, 0, 0, 1, 1), 0)
	}
}

func TestSignsOfRemainders(t *testing.T) {
	for _, typ := range append(signedTypes(), floatTypes()...) {
		a, b := rowOf(t, typ, -7, 7, -6), rowOf(t, typ, 3, -3, 3)
		holdsNear(t, mustCompute(t, "Mod", newest, nil, a, b), rowOf(t, typ, 2, -2, 0), 0)
		holdsNear(t, mustCompute(t, "Mod", newest, attrs{"fmod": 1}, a, b), rowOf(t, typ, -1, 1, 0), 0)
	}
}

func TestIntegersWrapAndDoNotDivideByZero(t *testing.T) {
	sameTensor(t, mustCompute(t, "Add", newest, nil, tensor.List[int8](127), tensor.List[int8](1)), []int64{1}, []int8{-128})
	sameTensor(t, mustCompute(t, "Div", newest, nil, tensor.List[int64](math.MinInt64), tensor.List[int64](-1)), []int64{1}, []int64{math.MinInt64})
	sameTensor(t, mustCompute(t, "Mod", newest, nil, tensor.List[int64](math.MinInt64), tensor.List[int64](-1)), []int64{1}, []int64{0})
	for _, typ := range intTypes() {
		refused(t, "division by zero", "Div", newest, nil, 1, rowOf(t, typ, 1, 2), rowOf(t, typ, 1, 0))
		refused(t, "division by zero", "Mod", newest, nil, 1, rowOf(t, typ, 1, 2), rowOf(t, typ, 1, 0))
	}
}

func TestPowersOfIntegers(t *testing.T) {
	for _, c := range [][3]int64{{2, 10, 1024}, {-3, 3, -27}, {1, -5, 1}, {-1, -3, -1}, {-1, -2, 1}, {2, -1, 0}, {0, 0, 1}, {2, 64, 0}} {
		got := mustCompute(t, "Pow", newest, nil, tensor.Scalar(c[0]), tensor.Scalar(c[1]))
		if v := tensor.Data[int64](got)[0]; v != c[2] {
			t.Errorf("%d to the power of %d is %d, want %d", c[0], c[1], v, c[2])
		}
	}
	holdsNear(t, mustCompute(t, "Pow", newest, nil, tensor.List[int32](4, 9), tensor.List[float32](0.5, 1.5)), tensor.List[int32](2, 27), 0)
	holdsNear(t, mustCompute(t, "Pow", newest, nil, tensor.List[float32](4, 9), tensor.List[int32](-1, 2)), tensor.List[float32](0.25, 81), 1e-6)
}

func TestBits(t *testing.T) {
	a, b := tensor.List[uint8](0b1100), tensor.List[uint8](0b1010)
	for op, want := range map[string]uint8{"BitwiseAnd": 0b1000, "BitwiseOr": 0b1110, "BitwiseXor": 0b0110} {
		sameTensor(t, mustCompute(t, op, newest, nil, a, b), []int64{1}, []uint8{want})
	}
	sameTensor(t, mustCompute(t, "BitwiseNot", newest, nil, tensor.List[int16](5)), []int64{1}, []int16{-6})
	shift, by := tensor.List[uint8](1, 200), tensor.List[uint8](3, 90)
	sameTensor(t, mustCompute(t, "BitShift", newest, attrs{"direction": "LEFT"}, shift, by), []int64{2}, []uint8{8, 0})
	sameTensor(t, mustCompute(t, "BitShift", newest, attrs{"direction": "RIGHT"}, shift, by), []int64{2}, []uint8{0, 0})
	refused(t, "expected one of", "BitShift", newest, attrs{"direction": "UP"}, 1, shift, by)
	refused(t, "is float32", "BitwiseAnd", newest, nil, 1, tensor.List[float32](1), tensor.List[float32](1))
}

// TestBroadcastingBeforeOperatorSet7 was asked for, and could begin at any axis.
func TestBroadcastingBeforeOperatorSet7(t *testing.T) {
	a, b := counted[float32](2, 3, 2), tensor.List[float32](10, 20, 30)
	got := mustCompute(t, "Add", 6, attrs{"broadcast": 1, "axis": 1}, a, b)
	sameTensor(t, got, []int64{2, 3, 2}, []float32{10, 11, 22, 23, 34, 35, 16, 17, 28, 29, 40, 41})
	got = mustCompute(t, "Greater", 6, attrs{"broadcast": 1, "axis": 1}, a, b)
	sameTensor(t, got, []int64{2, 3, 2}, make([]bool, 12))
	got = mustCompute(t, "Mul", 6, attrs{"broadcast": 1}, a, tensor.List[float32](0, 1))
	sameTensor(t, got, []int64{2, 3, 2}, []float32{0, 1, 0, 3, 0, 5, 0, 7, 0, 9, 0, 11})
	refused(t, "does not broadcast", "Add", 6, attrs{"broadcast": 1}, 1, a, b)
	refused(t, "before operator set 7", "Add", 6, nil, 1, a, tensor.List[float32](0, 1))
	refused(t, "outside of rank", "Add", 6, attrs{"broadcast": 1, "axis": 9}, 1, a, b)
	refused(t, "is not known", "Add", 7, attrs{"broadcast": 1}, 1, a, a)
}

func TestFolds(t *testing.T) {
	a, b, c := tensor.List[float32](1, 5), tensor.List[float32](4, 2), tensor.Scalar[float32](3)
	for op, want := range map[string][]float32{"Max": {4, 5}, "Min": {1, 2}, "Sum": {8, 10}, "Mean": {8. / 3, 10. / 3}} {
		nearTensor(t, mustCompute(t, op, newest, nil, a, b, c), []int64{2}, want)
		nearTensor(t, mustCompute(t, op, newest, nil, a), []int64{2}, []float32{1, 5})
		nearTensor(t, mustCompute(t, op, newest, nil, c, a), []int64{2}, tensor.Data[float32](mustCompute(t, op, newest, nil, a, c)))
	}
	nan := float32(math.NaN())
	if v := tensor.Data[float32](mustCompute(t, "Max", newest, nil, a, tensor.Scalar(nan)))[0]; v == v {
		t.Errorf("the larger of 1 and NaN is %v", v)
	}
	refused(t, "is float32", "Max", newest, nil, 1, tensor.List[int32](1), a)
}

func TestProductsOfAllTypes(t *testing.T) {
	for _, typ := range numberTypes() {
		t.Run(typ.String(), func(t *testing.T) {
			a, b := numbered(t, typ, []int64{2, 3}, 1, 2, 3, 4, 5, 6), numbered(t, typ, []int64{3, 1}, 1, 0, 2)
			holdsNear(t, mustCompute(t, "MatMul", newest, nil, a, b), numbered(t, typ, []int64{2, 1}, 7, 16), 0)
			holdsNear(t, mustCompute(t, "MatMul", newest, nil, a, rowOf(t, typ, 1, 0, 2)), rowOf(t, typ, 7, 16), 0)
			holdsNear(t, mustCompute(t, "MatMul", newest, nil, rowOf(t, typ, 1, 2), a), rowOf(t, typ, 9, 12, 15), 0)
			holdsNear(t, mustCompute(t, "MatMul", newest, nil, rowOf(t, typ, 1, 2), rowOf(t, typ, 3, 4)), numbered(t, typ, nil, 11), 0)
			c := rowOf(t, typ, 1, 2)
			holdsNear(t, mustCompute(t, "Gemm", newest, attrs{"transA": 1}, a, a, numbered(t, typ, []int64{3, 1}, 1, 2, 3)),
				numbered(t, typ, []int64{3, 3}, 18, 23, 28, 24, 31, 38, 30, 39, 48), 0)
			holdsNear(t, mustCompute(t, "Gemm", newest, attrs{"transB": 1, "alpha": 2.0, "beta": 3.0}, a, a, c),
				numbered(t, typ, []int64{2, 2}, 31, 70, 67, 160-classWrap(typ, 160)), 0)
			holdsNear(t, mustCompute(t, "Gemm", newest, attrs{"transB": 1, "alpha": 0.0}, a, a, c), numbered(t, typ, []int64{2, 2}, 1, 2, 1, 2), 0)
			holdsNear(t, mustCompute(t, "Gemm", newest, attrs{"transB": 1, "beta": 0.0}, a, a, c), numbered(t, typ, []int64{2, 2}, 14, 32, 32, 77), 0)
		})
	}
}

// classWrap is what a number loses that an int8 cannot hold.
func classWrap(typ tensor.DataType, v float64) float64 {
	if typ == tensor.Int8 && v > 127 {
		return 256
	}
	return 0
}

// TestLongProducts have more columns than a block.
func TestLongProducts(t *testing.T) {
	const n = 2*block + 5
	a, b := tensor.Of(make([]int64, 3), 1, 3), tensor.Of(make([]int64, 3*n), 3, n)
	copy(tensor.Data[int64](a), []int64{1, 2, 3})
	for i := range tensor.Data[int64](b) {
		tensor.Data[int64](b)[i] = int64(i % n)
	}
	for i, v := range tensor.Data[int64](mustCompute(t, "MatMul", newest, nil, a, b)) {
		if v != 6*int64(i) {
			t.Fatalf("column %d is %d", i, v)
		}
	}
}

func TestRelations(t *testing.T) {
	for _, typ := range numberTypes() {
		a, b := rowOf(t, typ, 1, 2, 3), numbered(t, typ, nil, 2)
		for op, want := range map[string][]bool{"Equal": {false, true, false}, "Less": {true, false, false}, "LessOrEqual": {true, true, false},
			"Greater": {false, false, true}, "GreaterOrEqual": {false, true, true}} {
			sameTensor(t, mustCompute(t, op, newest, nil, a, b), []int64{3}, want)
		}
	}
	nan := tensor.List(float32(math.NaN()))
	for _, op := range []string{"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"} {
		sameTensor(t, mustCompute(t, op, newest, nil, nan, nan), []int64{1}, []bool{false})
	}
	sameTensor(t, mustCompute(t, "Equal", newest, nil, tensor.List("a", "b"), tensor.Scalar("b")), []int64{2}, []bool{false, true})
	yes, no := tensor.List(false, false, true, true), tensor.List(false, true, false, true)
	for op, want := range map[string][]bool{"And": {false, false, false, true}, "Or": {false, true, true, true},
		"Xor": {false, true, true, false}, "Equal": {true, false, false, true}} {
		sameTensor(t, mustCompute(t, op, newest, nil, yes, no), []int64{4}, want)
	}
	refused(t, "is bool", "Less", newest, nil, 1, yes, no)
	refused(t, "is float32", "And", newest, nil, 1, nan, nan)
}

// TestNothingDependsOnThreads holds for every operator with vector loops.
func TestNothingDependsOnThreads(t *testing.T) {
	x := counted[float32](5, 3, 1<<12)
	for i, v := range tensor.Data[float32](x) {
		tensor.Data[float32](x)[i] = float32(math.Sin(float64(v)))
	}
	for _, op := range []string{"Exp", "Softmax", "ReduceSum", "Relu", "Abs"} {
		var first []float32
		for threads := 1; threads <= 3; threads++ {
			on := testOn(t)
			on.Threads = threads
			out, err := computeOn(on, op, newest, nil, 1, x)
			if err != nil {
				t.Fatal(err)
			}
			data := tensor.Data[float32](out[0])
			if first == nil {
				first = data
			}
			if !slices.Equal(data, first) {
				t.Errorf("%s with %d threads", op, threads)
			}
		}
	}
}
