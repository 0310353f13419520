package op

import (
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// naiveReduce reduces some axes of a tensor of three dimensions by its definition.
func naiveReduce(op string, x []float64, shape []int64, axes []int64) []float64 {
	groups, order := map[[3]int64][]float64{}, [][3]int64{}
	for i, v := range x {
		at := [3]int64{int64(i) / (shape[1] * shape[2]), int64(i) / shape[2] % shape[1], int64(i) % shape[2]}
		for _, a := range axes {
			at[a] = 0
		}
		if groups[at] == nil {
			order = append(order, at)
		}
		groups[at] = append(groups[at], v)
	}
	var out []float64
	for _, at := range order {
		out = append(out, naiveOf(op, groups[at]))
	}
	return out
}

func naiveOf(op string, v []float64) float64 {
	sum, magnitudes, squares, product, powers := 0.0, 0.0, 0.0, 1.0, 0.0
	for _, x := range v {
		sum, magnitudes, squares, product, powers = sum+x, magnitudes+math.Abs(x), squares+x*x, product*x, powers+math.Exp(x)
	}
	return map[string]float64{"ReduceSum": sum, "ReduceMean": sum / float64(len(v)), "ReduceL1": magnitudes, "ReduceL2": math.Sqrt(squares),
		"ReduceSumSquare": squares, "ReduceProd": product, "ReduceLogSum": math.Log(sum), "ReduceLogSumExp": math.Log(powers),
		"ReduceMax": slices.Max(v), "ReduceMin": slices.Min(v)}[op]
}

func TestReductions(t *testing.T) {
	shape := []int64{2, 3, 2}
	values := []float64{1, 2, 3, 4, 5, 1, 2, 3, 1, 2, 1, 3}
	ops := []string{"ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMin"}
	for _, op := range ops {
		for _, axes := range [][]int64{{0}, {1}, {2}, {0, 2}, {0, 1}, {1, 2}, {0, 1, 2}} {
			kept := slices.Clone(shape)
			for _, a := range axes {
				kept[a] = 1
			}
			for _, typ := range []tensor.DataType{tensor.Float32, tensor.Float64, tensor.Int64, tensor.Uint32} {
				want := naiveReduce(op, values, shape, axes)
				if classOf(typ) != floating {
					for i := range want {
						want[i] = math.Trunc(want[i] + 1e-9)
					}
				}
				in := numbered(t, typ, shape, values...)
				got := mustCompute(t, op, newest, nil, in, tensor.List(axes...))
				holdsNear(t, got, numbered(t, typ, kept, want...), 1e-6)
				if op == "ReduceSum" {
					continue // has had its axes as an operand for longer
				}
				before := mustCompute(t, op, 13, attrs{"axes": axes, "keepdims": 0}, in)
				holdsNear(t, before.Reshaped(kept), got, 0)
			}
		}
	}
}

func TestReductionsOfNothing(t *testing.T) {
	in, axes := numbered(t, tensor.Float32, []int64{2, 0}), tensor.List[int64](1)
	inf := math.Inf(1)
	for op, want := range map[string]float64{"ReduceSum": 0, "ReduceProd": 1, "ReduceMax": -inf, "ReduceMin": inf, "ReduceL1": 0,
		"ReduceL2": 0, "ReduceSumSquare": 0, "ReduceLogSum": -inf, "ReduceLogSumExp": -inf, "ReduceMean": math.NaN()} {
		holdsNear(t, mustCompute(t, op, newest, nil, in, axes), numbered(t, tensor.Float32, []int64{2, 1}, want, want), 0)
	}
	for typ, want := range map[tensor.DataType][2]float64{tensor.Int8: {-128, 127}, tensor.Uint8: {0, 255}, tensor.Bool: {0, 1}, tensor.Int32: {math.MinInt32, math.MaxInt32}} {
		in := numbered(t, typ, []int64{0})
		holdsNear(t, mustCompute(t, "ReduceMax", newest, nil, in), rowOf(t, typ, want[0]), 0)
		holdsNear(t, mustCompute(t, "ReduceMin", newest, nil, in), rowOf(t, typ, want[1]), 0)
	}
	sameTensor(t, mustCompute(t, "ReduceMin", newest, nil, numbered(t, tensor.Int64, []int64{0})), []int64{1}, []int64{math.MaxInt64})
	sameTensor(t, mustCompute(t, "ReduceMin", newest, nil, numbered(t, tensor.Uint64, []int64{0})), []int64{1}, []uint64{math.MaxUint64})
}

func TestReductionsWithoutAxes(t *testing.T) {
	in := tensor.List[float32](-1, 2)
	none := tensor.Of([]int64{}, 0)
	sameTensor(t, mustCompute(t, "ReduceL1", newest, nil, in, none), []int64{1}, []float32{3})
	sameTensor(t, mustCompute(t, "ReduceL1", newest, attrs{"noop_with_empty_axes": 1}, in, none), []int64{2}, []float32{1, 2})
	sameTensor(t, mustCompute(t, "ReduceMax", newest, nil, tensor.List(false, true)), []int64{1}, []bool{true})
	huge := tensor.List[float64](1000, 1000)
	holdsNear(t, mustCompute(t, "ReduceLogSumExp", newest, nil, huge), tensor.List(1000+math.Ln2), 1e-12)
	inf := tensor.List(math.Inf(1), 1)
	holdsNear(t, mustCompute(t, "ReduceLogSumExp", newest, nil, inf), tensor.List(math.Inf(1)), 0)
	refused(t, "before operator set 18", "ReduceMax", 13, nil, 1, in, none)
	refused(t, "is there twice", "ReduceMax", newest, nil, 1, in, tensor.List[int64](0, -1))
	refused(t, "outside of rank", "ReduceMax", newest, nil, 1, in, tensor.List[int64](1))
	refused(t, "is string", "ReduceMax", newest, nil, 1, tensor.List("a"))
}

func TestPlacesOfTheBest(t *testing.T) {
	for _, typ := range numberTypes() {
		in := numbered(t, typ, []int64{2, 3}, 3, 7, 7, 1, 0, 0)
		sameTensor(t, mustCompute(t, "ArgMax", newest, attrs{"axis": 1}, in), []int64{2, 1}, []int64{1, 0})
		sameTensor(t, mustCompute(t, "ArgMax", newest, attrs{"axis": -1, "select_last_index": 1, "keepdims": 0}, in), []int64{2}, []int64{2, 0})
		sameTensor(t, mustCompute(t, "ArgMin", newest, attrs{"axis": 1}, in), []int64{2, 1}, []int64{0, 1})
		sameTensor(t, mustCompute(t, "ArgMin", newest, attrs{"axis": 1, "select_last_index": 1}, in), []int64{2, 1}, []int64{0, 2})
		sameTensor(t, mustCompute(t, "ArgMax", newest, nil, in), []int64{1, 3}, []int64{0, 0, 0})
	}
}

func TestSumsUpToEachElement(t *testing.T) {
	for _, typ := range numberTypes() {
		in := numbered(t, typ, []int64{2, 3}, 1, 2, 3, 4, 5, 6)
		for _, c := range []struct {
			op   string
			at   attrs
			axis int64
			want []float64
		}{
			{"CumSum", nil, 1, []float64{1, 3, 6, 4, 9, 15}},
			{"CumSum", nil, 0, []float64{1, 2, 3, 5, 7, 9}},
			{"CumSum", attrs{"exclusive": 1}, -1, []float64{0, 1, 3, 0, 4, 9}},
			{"CumSum", attrs{"reverse": 1}, 1, []float64{6, 5, 3, 15, 11, 6}},
			{"CumSum", attrs{"reverse": 1, "exclusive": 1}, 1, []float64{5, 3, 0, 11, 6, 0}},
			{"CumProd", nil, 1, []float64{1, 2, 6, 4, 20, 120}},
			{"CumProd", attrs{"exclusive": 1}, 1, []float64{1, 1, 2, 1, 4, 20}},
		} {
			got := mustCompute(t, c.op, newest, c.at, in, tensor.Scalar(c.axis))
			holdsNear(t, got, numbered(t, typ, []int64{2, 3}, c.want...), 0)
		}
	}
	refused(t, "outside of rank", "CumSum", newest, nil, 1, tensor.List[float32](1), tensor.Scalar[int32](1))
}

func TestSoftmaxBeforeOperatorSet13(t *testing.T) {
	in := tensor.Of([]float32{0, 0, 0, 0, 1, 1, 1, 1}, 2, 2, 2)
	sameTensor(t, mustCompute(t, "Softmax", 11, nil, in), []int64{2, 2, 2}, slices.Repeat([]float32{0.25}, 8))
	sameTensor(t, mustCompute(t, "Softmax", 13, nil, in), []int64{2, 2, 2}, slices.Repeat([]float32{0.5}, 8))
	sameTensor(t, mustCompute(t, "Hardmax", 11, nil, in), []int64{2, 2, 2}, []float32{1, 0, 0, 0, 1, 0, 0, 0})
	sameTensor(t, mustCompute(t, "Hardmax", 13, nil, in), []int64{2, 2, 2}, []float32{1, 0, 1, 0, 1, 0, 1, 0})
}

func TestSoftmaxOfAllTypesAndAxes(t *testing.T) {
	for _, typ := range floatTypes() {
		in := numbered(t, typ, []int64{2, 2}, 0, 1, 2, 1000)
		tolerance := 1e-2
		if typ.Size() > 2 {
			tolerance = 1e-6
		}
		e := math.E
		holdsNear(t, mustCompute(t, "Softmax", newest, nil, in), numbered(t, typ, []int64{2, 2}, 1/(1+e), e/(1+e), 0, 1), tolerance)
		holdsNear(t, mustCompute(t, "Softmax", newest, attrs{"axis": 0}, in), numbered(t, typ, []int64{2, 2}, 1/(1+e*e), 0, e*e/(1+e*e), 1), tolerance)
		holdsNear(t, mustCompute(t, "LogSoftmax", newest, nil, in), numbered(t, typ, []int64{2, 2}, -math.Log(1+e), 1-math.Log(1+e), -998, 0), tolerance)
	}
	refused(t, "is int64", "Softmax", newest, nil, 1, tensor.List[int64](1))
	refused(t, "outside of rank 0", "Softmax", newest, nil, 1, tensor.Scalar[float32](1))
}

func TestNorms(t *testing.T) {
	in := tensor.Of([]float32{3, 4, 0, 0}, 2, 2)
	nearTensor(t, mustCompute(t, "LpNormalization", newest, nil, in), []int64{2, 2}, []float32{0.6, 0.8, 0, 0})
	nearTensor(t, mustCompute(t, "LpNormalization", newest, attrs{"p": 1}, in), []int64{2, 2}, []float32{3. / 7, 4. / 7, 0, 0})
	refused(t, "expected 1 or 2", "LpNormalization", newest, attrs{"p": 3}, 1, in)

	for _, typ := range floatTypes() {
		tolerance := 2e-2
		if typ.Size() > 2 {
			tolerance = 1e-4
		}
		x, scale, bias := numbered(t, typ, []int64{2, 2}, 1, 3, -5, 5), rowOf(t, typ, 2, 1), rowOf(t, typ, 0, 1)
		out, err := compute("LayerNormalization", newest, nil, 3, x, scale, bias)
		if err != nil {
			t.Fatal(err)
		}
		holdsNear(t, out[0], numbered(t, typ, []int64{2, 2}, -2, 2, -2, 2), tolerance)
		holdsNear(t, out[1], tensor.Of([]float32{2, 0}, 2, 1), tolerance)
		holdsNear(t, out[2], tensor.Of([]float32{1, 0.2}, 2, 1), tolerance)
		holdsNear(t, mustCompute(t, "RMSNormalization", newest, nil, x, scale),
			numbered(t, typ, []int64{2, 2}, 2/math.Sqrt(5), 3/math.Sqrt(5), -2, 1), tolerance)
		holdsNear(t, mustCompute(t, "LayerNormalization", newest, attrs{"axis": 0}, x, numbered(t, typ, nil, 1)),
			numbered(t, typ, []int64{2, 2}, 0, 0.5345, -1.6036, 1.069), tolerance)
	}
	refused(t, "does not broadcast", "LayerNormalization", newest, nil, 1, in, tensor.List[float32](1, 2, 3))
	refused(t, "outside of rank", "LayerNormalization", newest, attrs{"axis": 2}, 1, in, in)

	image := counted[float32](2, 1, 2, 2)
	nearTensor(t, mustCompute(t, "MeanVarianceNormalization", newest, nil, image), []int64{2, 1, 2, 2},
		[]float32{-1.5275252, -1.0910894, -0.6546537, -0.2182179, 0.2182179, 0.6546537, 1.0910894, 1.5275252})
	refused(t, "outside of rank", "MeanVarianceNormalization", newest, nil, 1, in)
}
