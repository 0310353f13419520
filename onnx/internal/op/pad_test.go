package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestPadModes(t *testing.T) {
	in := tensor.List[int64](1, 2, 3)
	pads := tensor.List[int64](4, 5)
	for mode, want := range map[string][]int64{
		"constant": {0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0},
		"edge":     {1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3},
		"reflect":  {1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2},
		"wrap":     {3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2},
	} {
		sameTensor(t, mustCompute(t, "Pad", 19, attrs{"mode": mode}, in, pads), []int64{12}, want)
	}
	sameTensor(t, mustCompute(t, "Pad", 19, attrs{"mode": "reflect"}, tensor.List[int64](7), pads), []int64{10}, []int64{7, 7, 7, 7, 7, 7, 7, 7, 7, 7})
	sameTensor(t, mustCompute(t, "Pad", 13, nil, tensor.List("a"), tensor.List[int64](0, 1), tensor.Scalar("b")), []int64{2}, []string{"a", "b"})
	sameTensor(t, mustCompute(t, "Pad", 2, attrs{"pads": []int64{1, 0}, "value": 2.5}, tensor.List[float32](1)), []int64{2}, []float32{2.5, 1})
	sameTensor(t, mustCompute(t, "Pad", 18, nil, counted[int64](2, 2), tensor.List[int64](1, -1), nil, tensor.List[int32](-1)), []int64{2, 2}, []int64{0, 0, 0, 2})
	sameTensor(t, mustCompute(t, "Pad", 13, attrs{"mode": "edge"}, tensor.Scalar[float32](3), tensor.List[int64]()), nil, []float32{3})
}

// TestPad compares every mode, with margins that add and cut, with its definition.
func TestPad(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		shape := randomShape(rng, 1+rng.IntN(4), 5)
		rank := len(shape)
		pads := make([]int64, 2*rank)
		for d := range shape {
			pads[d] = rng.Int64N(5) - min(1, shape[d]-1)
			pads[rank+d] = rng.Int64N(5)
		}
		mode := []string{"constant", "edge", "reflect", "wrap"}[rng.IntN(4)]
		got := mustCompute(t, "Pad", 19, attrs{"mode": mode}, counted[int64](shape...), tensor.List(pads...), tensor.Scalar[int64](-7))
		movedAs(t, got, func(index []int64) int64 {
			own := make([]int64, rank)
			for d := range own {
				low := max(-pads[d], 0)
				n := shape[d] - low
				i := index[d] - max(pads[d], 0)
				if mode == "constant" && (i < 0 || i >= n) {
					return -7
				}
				own[d] = low + repeated(mode, i, n)
			}
			return flat(shape, own)
		})
	}
}

func TestPadRefuses(t *testing.T) {
	in := counted[int64](2, 3)
	list := tensor.List[int64]
	refused(t, "overflow", "Pad", 13, nil, 1, in, list(1<<62, 0, 0, 0))
	refused(t, "overflow", "Pad", 13, nil, 1, in, list(math.MinInt64, 0, 0, 0))
	refused(t, "leave nothing of dimension 2", "Pad", 13, nil, 1, in, list(-3, 0, 5, 0))
	refused(t, "leave nothing of dimension 2", "Pad", 13, nil, 1, in, list(-1, 0, -2, 0))
	refused(t, "has 3 entries for 2 dimensions", "Pad", 13, nil, 1, in, list(1, 0, 0))
	refused(t, "nothing to fill margins from", "Pad", 13, attrs{"mode": "edge"}, 1, in, list(-2, 0, 5, 0))
	refused(t, "expected one of", "Pad", 18, attrs{"mode": "wrap"}, 1, in, list(0, 0, 0, 0))
	refused(t, "input 2: has shape [2], expected one element", "Pad", 13, nil, 1, in, list(0, 0, 0, 0), list(1, 2))
	refused(t, "input 2: is float32", "Pad", 13, nil, 1, in, list(0, 0, 0, 0), tensor.Scalar[float32](1))
	refused(t, "input 1: is required", "Pad", 13, nil, 1, in)
	refused(t, "has 4 inputs, expected at most 3", "Pad", 13, nil, 1, in, list(0, 0, 0, 0), nil, list(0))
	refused(t, `"pads" is required`, "Pad", 10, nil, 1, counted[float32](2))
	refused(t, "is int64, expected float32", "Pad", 10, attrs{"pads": []int64{0, 0, 0, 0}}, 1, in)
	refused(t, "axis 0 is there twice", "Pad", 18, nil, 1, in, list(0, 0, 0, 0), nil, list(0, 0))
	refused(t, "has 2 inputs, expected at most 1", "Pad", 10, attrs{"pads": []int64{0, 0, 0, 0}}, 1, in, in)
}

func TestCenterCropPad(t *testing.T) {
	in := counted[int64](4)
	sameTensor(t, mustCompute(t, "CenterCropPad", 18, nil, in, tensor.List[int32](1)), []int64{1}, []int64{1})
	sameTensor(t, mustCompute(t, "CenterCropPad", 18, nil, in, tensor.List[int64](7)), []int64{7}, []int64{0, 0, 1, 2, 3, 0, 0})
	sameTensor(t, mustCompute(t, "CenterCropPad", 18, attrs{"axes": []int64{-1}}, counted[int64](1, 3), tensor.List[int64](1)), []int64{1, 1}, []int64{1})
	refused(t, "asks for dimension -1", "CenterCropPad", 18, nil, 1, in, tensor.List[int64](-1))
	refused(t, "has 2 entries for 1 dimensions", "CenterCropPad", 18, nil, 1, in, tensor.List[int64](1, 1))
	refused(t, `"axes": axis 3 is outside`, "CenterCropPad", 18, attrs{"axes": []int64{3}}, 1, in, tensor.List[int64](1))
}

func TestDepthAndSpace(t *testing.T) {
	in := tensor.Of([]int64{0, 1, 2, 3, 4, 5, 6, 7}, 1, 8, 1, 1)
	sameTensor(t, mustCompute(t, "DepthToSpace", 1, attrs{"blocksize": 2}, in), []int64{1, 2, 2, 2}, []int64{0, 2, 4, 6, 1, 3, 5, 7})
	sameTensor(t, mustCompute(t, "DepthToSpace", 11, attrs{"blocksize": 2, "mode": "CRD"}, in), []int64{1, 2, 2, 2}, []int64{0, 1, 2, 3, 4, 5, 6, 7})
	rng := rand.New(rand.NewPCG(7, 8))
	for _, mode := range []string{"DCR", "CRD"} {
		for range 20 {
			side := 1 + rng.IntN(3)
			shape := randomShape(rng, 4, 4)
			shape[2], shape[3] = shape[2]*int64(side), shape[3]*int64(side)
			in := counted[int64](shape...)
			at := attrs{"blocksize": side, "mode": mode}
			deep := mustCompute(t, "SpaceToDepth", 28, at, in)
			sameTensor(t, mustCompute(t, "DepthToSpace", 28, at, deep), shape, tensor.Data[int64](in))
		}
	}
	refused(t, `"blocksize" is `, "DepthToSpace", 13, nil, 1, in)
	refused(t, `"blocksize" is `, "DepthToSpace", 13, attrs{"blocksize": 1 << 40}, 1, in)
	refused(t, "is no multiple of 9", "DepthToSpace", 13, attrs{"blocksize": 3}, 1, in)
	refused(t, "is no multiple of 2", "SpaceToDepth", 13, attrs{"blocksize": 2}, 1, in)
	refused(t, "expected images", "SpaceToDepth", 13, attrs{"blocksize": 2}, 1, counted[int64](2, 2))
}

func TestReverseSequence(t *testing.T) {
	in := counted[int64](2, 3)
	sameTensor(t, mustCompute(t, "ReverseSequence", 10, attrs{"batch_axis": 0, "time_axis": 1}, in, tensor.List[int64](2, 3)), []int64{2, 3}, []int64{1, 0, 2, 5, 4, 3})
	sameTensor(t, mustCompute(t, "ReverseSequence", 10, nil, in, tensor.List[int64](2, 1, 2)), []int64{2, 3}, []int64{3, 1, 5, 0, 4, 2})
	refused(t, "length 4 is outside of 3", "ReverseSequence", 10, attrs{"batch_axis": 0, "time_axis": 1}, 1, in, tensor.List[int64](4, 0))
	refused(t, "has 2 entries for a batch of 3", "ReverseSequence", 10, nil, 1, in, tensor.List[int64](1, 1))
	refused(t, "expected 0 and 1", "ReverseSequence", 10, attrs{"batch_axis": 1, "time_axis": 1}, 1, in, tensor.List[int64](1, 1))
	refused(t, "expected 0 and 1", "ReverseSequence", 10, attrs{"batch_axis": 2, "time_axis": -1}, 1, in, tensor.List[int64](1, 1))
	refused(t, "expected a batch and a time", "ReverseSequence", 10, nil, 1, counted[int64](3), tensor.List[int64](1, 1, 1))
}

func TestTrilu(t *testing.T) {
	in := tensor.Of([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 2, 3)
	for _, c := range []struct {
		upper int
		k     int64
		want  []int64
	}{
		{1, 0, []int64{1, 2, 3, 0, 5, 6, 7, 8, 9, 0, 11, 12}},
		{1, 1, []int64{0, 2, 3, 0, 0, 6, 0, 8, 9, 0, 0, 12}},
		{0, 0, []int64{1, 0, 0, 4, 5, 0, 7, 0, 0, 10, 11, 0}},
		{0, -1, []int64{0, 0, 0, 4, 0, 0, 0, 0, 0, 10, 0, 0}},
		{0, math.MaxInt64, tensor.Data[int64](in)},
		{1, math.MinInt64, tensor.Data[int64](in)},
		{1, math.MaxInt64, make([]int64, 12)},
		{0, math.MinInt64, make([]int64, 12)},
	} {
		sameTensor(t, mustCompute(t, "Trilu", 14, attrs{"upper": c.upper}, in, tensor.Scalar(c.k)), in.Shape, c.want)
	}
	sameTensor(t, mustCompute(t, "Trilu", 14, nil, in), in.Shape, []int64{1, 2, 3, 0, 5, 6, 7, 8, 9, 0, 11, 12})
	refused(t, "expected matrices", "Trilu", 14, nil, 1, counted[int64](3))
	refused(t, "expected one element", "Trilu", 14, nil, 1, in, tensor.List[int64](1, 2))
	refused(t, "is float32, expected int64", "Trilu", 14, nil, 1, in, tensor.Scalar[float32](1))
}
