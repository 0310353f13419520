package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// everyIndex calls do with each index of a shape in row-major order.
func everyIndex(shape []int64, do func(n int, index []int64)) {
	total, _ := tensor.Count(shape)
	index := make([]int64, len(shape))
	for n := range int(total) {
		for d, rest := len(shape)-1, int64(n); d >= 0; d-- {
			index[d] = rest % shape[d]
			rest /= shape[d]
		}
		do(n, index)
	}
}

// flat is the place of an index in a dense array.
func flat(shape, index []int64) int64 {
	at := int64(0)
	for d := range shape {
		at = at*shape[d] + index[d]
	}
	return at
}

// movedAs checks that element n of got, whose source holds its own positions, is the
// one that from says.
func movedAs(t *testing.T, got *tensor.Tensor, from func(index []int64) int64) {
	t.Helper()
	data := tensor.Data[int64](got)
	everyIndex(got.Shape, func(n int, index []int64) {
		if want := from(index); data[n] != want {
			t.Fatalf("shape %v: at %v there is %d, want %d", got.Shape, index, data[n], want)
		}
	})
}

func randomShape(rng *rand.Rand, rank int, most int64) []int64 {
	shape := make([]int64, rank)
	for d := range shape {
		shape[d] = rng.Int64N(most) + 1
	}
	return shape
}

func TestTranspose(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	shapes := [][]int64{{70, 90}, {2, 40, 3, 33}, {1, 65, 2, 7}, {}, {5}}
	for range 60 {
		shapes = append(shapes, randomShape(rng, rng.IntN(5), 9))
	}
	for _, shape := range shapes {
		perm := make([]int64, len(shape))
		for i, p := range rng.Perm(len(shape)) {
			perm[i] = int64(p)
		}
		got := mustCompute(t, "Transpose", 13, attrs{"perm": perm}, counted[int64](shape...))
		movedAs(t, got, func(index []int64) int64 {
			own := make([]int64, len(shape))
			for d, p := range perm {
				own[p] = index[d]
			}
			return flat(shape, own)
		})
	}
	sameTensor(t, mustCompute(t, "Transpose", 13, nil, tensor.Of([]string{"a", "b", "c", "d"}, 2, 2)), []int64{2, 2}, []string{"a", "c", "b", "d"})
	sameTensor(t, mustCompute(t, "Transpose", 13, nil, tensor.Of([]complex128{1, 2, 3i, 4}, 2, 2)), []int64{2, 2}, []complex128{1, 3i, 2, 4})
	sameTensor(t, mustCompute(t, "Transpose", 13, nil, tensor.Of([]bool{true, true, false, false}, 2, 2)), []int64{2, 2}, []bool{true, false, true, false})
	sameTensor(t, mustCompute(t, "Transpose", 13, nil, tensor.Of([]tensor.F16{1, 2, 3, 4}, 2, 2)), []int64{2, 2}, []tensor.F16{1, 3, 2, 4})
}

// TestMovesDoNotDependOnThreads: what moves is the same with more threads, in arrays
// that are large enough to be shared.
func TestMovesDoNotDependOnThreads(t *testing.T) {
	in := counted[int64](3, 130, 4, 97)
	for _, perm := range [][]int64{{0, 2, 1, 3}, {0, 2, 3, 1}, {3, 2, 1, 0}} {
		one := mustCompute(t, "Transpose", 13, attrs{"perm": perm}, in)
		many, err := computeOn(&kernel.On{Context: t.Context(), Threads: 4}, "Transpose", 13, attrs{"perm": perm}, 1, in)
		if err != nil || !slices.Equal(tensor.Data[int64](one), tensor.Data[int64](many[0])) {
			t.Errorf("perm %v: threads change the result (%v)", perm, err)
		}
	}
}

func TestConcatUndoesSplit(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 80 {
		shape := randomShape(rng, 1+rng.IntN(4), 7)
		along := rng.IntN(len(shape))
		whole := counted[int64](shape...)
		var lengths []int64
		for left := shape[along]; left > 0 || len(lengths) == 0; {
			n := rng.Int64N(left + 1)
			lengths, left = append(lengths, n), left-n
		}
		at := attrs{"axis": along - len(shape)}
		parts, err := compute("Split", 13, at, len(lengths), whole, tensor.List(lengths...))
		if err != nil {
			t.Fatal(err)
		}
		old, err := compute("Split", 11, attrs{"axis": along, "split": lengths}, len(lengths), whole)
		if err != nil {
			t.Fatal(err)
		}
		for i := range parts {
			sameTensor(t, old[i], parts[i].Shape, tensor.Data[int64](parts[i]))
		}
		sameTensor(t, mustCompute(t, "Concat", 13, at, parts...), shape, tensor.Data[int64](whole))
	}
}

func TestSplitIntoEqualParts(t *testing.T) {
	in := counted[int64](7)
	out, err := compute("Split", 18, attrs{"num_outputs": 4}, 4, in)
	if err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[0], []int64{2}, []int64{0, 1})
	sameTensor(t, out[3], []int64{1}, []int64{6})
	refused(t, "does not divide", "Split", 13, nil, 4, in)
	refused(t, "does not divide", "Split", 18, attrs{"num_outputs": 4}, 4, counted[int64](5))
	refused(t, `"num_outputs" is 3, the node has 4 outputs`, "Split", 18, attrs{"num_outputs": 3}, 4, in)
	refused(t, "exclude each other", "Split", 18, attrs{"num_outputs": 2}, 2, in, tensor.List[int64](3, 4))
	refused(t, "has 2 lengths for 3 outputs", "Split", 13, nil, 3, in, tensor.List[int64](3, 4))
	refused(t, "asks for length -1", "Split", 13, nil, 2, in, tensor.List[int64](3, -1))
	refused(t, "asks for more", "Split", 13, nil, 2, in, tensor.List[int64](math.MaxInt64, math.MaxInt64))
	refused(t, "leaves 1 of dimension 7", "Split", 13, nil, 2, in, tensor.List[int64](3, 3))
	refused(t, "leaves 1 of dimension 7", "Split", 11, attrs{"split": []int64{3, 3}}, 2, in)
	refused(t, "axis 1 is outside", "Split", 13, attrs{"axis": 1}, 1, in)
	refused(t, "has 2 inputs, expected at most 1", "Split", 11, nil, 2, in, tensor.List[int64](3, 4))
}

// TestSlice compares with the definition: index start + i*step, clamped as the
// specification says.
func TestSlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		shape := randomShape(rng, 1+rng.IntN(3), 6)
		var starts, ends, axes, steps []int64
		for _, d := range rng.Perm(len(shape))[:1+rng.IntN(len(shape))] {
			step := rng.Int64N(7) - 3
			if step == 0 {
				step = math.MinInt64
			}
			starts, ends = append(starts, rng.Int64N(16)-8), append(ends, rng.Int64N(16)-8)
			axes, steps = append(axes, int64(d)), append(steps, step)
		}
		in := counted[int64](shape...)
		got := mustCompute(t, "Slice", 13, nil, in, tensor.List(starts...), tensor.List(ends...), tensor.List(axes...), tensor.List(steps...))
		picked := make([][]int64, len(shape))
		for d, n := range shape {
			picked[d] = sliced(0, n, 1, n)
		}
		for i, d := range axes {
			picked[d] = sliced(starts[i], ends[i], steps[i], shape[d])
		}
		for d := range shape {
			if got.Shape[d] != int64(len(picked[d])) {
				t.Fatalf("%v from %v to %v by %v on %v: shape %v, want %v", shape, starts, ends, steps, axes, got.Shape, picked)
			}
		}
		movedAs(t, got, func(index []int64) int64 {
			own := make([]int64, len(shape))
			for d := range own {
				own[d] = picked[d][index[d]]
			}
			return flat(shape, own)
		})
	}
}

func sliced(start, end, step, n int64) (list []int64) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		for i := min(max(start, 0), n); i < min(max(end, 0), n); i += step {
			list = append(list, i)
		}
		return list
	}
	for i := min(max(start, 0), n-1); i > max(end, -1); i += max(step, -100) {
		list = append(list, i)
	}
	return list
}

func TestSliceForms(t *testing.T) {
	in := counted[int64](2, 4)
	want := []int64{1, 2, 5, 6}
	sameTensor(t, mustCompute(t, "Slice", 9, attrs{"starts": []int64{1}, "ends": []int64{3}, "axes": []int64{1}}, in), []int64{2, 2}, want)
	sameTensor(t, mustCompute(t, "Slice", 10, nil, in, tensor.List[int32](1), tensor.List[int32](-1), tensor.List[int32](-1)), []int64{2, 2}, want)
	sameTensor(t, mustCompute(t, "Slice", 13, nil, in, tensor.List[int64](0, 1), tensor.List[int64](math.MaxInt64, 3)), []int64{2, 2}, want)
	sameTensor(t, mustCompute(t, "Slice", 13, nil, in, tensor.List[int64](-1), tensor.List[int64](math.MinInt64), tensor.List[int64](1), tensor.List[int64](-3)), []int64{2, 2}, []int64{3, 0, 7, 4})
	one := tensor.List[int64](1)
	refused(t, `"starts": is required`, "Slice", 9, attrs{"ends": []int64{3}}, 1, in)
	refused(t, "has 2 inputs, expected at most 1", "Slice", 9, attrs{"starts": []int64{1}, "ends": []int64{3}}, 1, in, one)
	refused(t, "input 1: is required", "Slice", 13, nil, 1, in)
	refused(t, "input 2: has 2 ends for 1 starts", "Slice", 13, nil, 1, in, one, tensor.List[int64](1, 2))
	refused(t, "input 3: has 2 entries for 1 starts", "Slice", 13, nil, 1, in, one, one, tensor.List[int64](0, 1))
	refused(t, "input 4: has 2 entries for 1 starts", "Slice", 13, nil, 1, in, one, one, one, tensor.List[int64](0, 1))
	refused(t, "input 4: holds a step of 0", "Slice", 13, nil, 1, in, one, one, one, tensor.List[int64](0))
	refused(t, "input 3: axis 2 is outside", "Slice", 13, nil, 1, in, one, one, tensor.List[int64](2))
	refused(t, "input 3: axis 1 is there twice", "Slice", 13, nil, 1, in, tensor.List[int64](0, 0), tensor.List[int64](1, 1), tensor.List[int64](1, 1))
	refused(t, "input 1: is float32", "Slice", 13, nil, 1, in, tensor.List[float32](1), one)
}

func TestExpandAndTile(t *testing.T) {
	in := tensor.Of([]int64{1, 2}, 2, 1)
	sameTensor(t, mustCompute(t, "Expand", 13, nil, in, tensor.List[int64](2, 1, 3)), []int64{2, 2, 3}, []int64{1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2})
	sameTensor(t, mustCompute(t, "Tile", 13, nil, in, tensor.List[int64](2, 3)), []int64{4, 3}, []int64{1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2})
	sameTensor(t, mustCompute(t, "Tile", 6, nil, in, tensor.List[int64](0, 3)), []int64{0, 3}, []int64{})
	sameTensor(t, mustCompute(t, "Tile", 13, nil, tensor.Of([]string{"a", "b"}, 2), tensor.List[int64](2)), []int64{4}, []string{"a", "b", "a", "b"})
	refused(t, "repeats -1 times", "Tile", 13, nil, 1, in, tensor.List[int64](1, -1))
	refused(t, "has 1 entries, the operand has rank 2", "Tile", 13, nil, 1, in, tensor.List[int64](1))
	refused(t, "makes dimension 0 overflow", "Tile", 13, nil, 1, in, tensor.List[int64](math.MaxInt64, 1))
	refused(t, "asks for dimension -1", "Expand", 13, nil, 1, in, tensor.List[int64](2, -1))
	refused(t, "does not broadcast", "Expand", 13, nil, 1, in, tensor.List[int64](3, 1))
	refused(t, "exists since operator set 8", "Expand", 7, nil, 1, in, tensor.List[int64](3, 1))
}

func TestWhereTakesEveryType(t *testing.T) {
	choose := tensor.Of([]bool{true, false}, 2, 1)
	sameTensor(t, mustCompute(t, "Where", 16, nil, choose, tensor.List("a", "b"), tensor.Scalar("c")), []int64{2, 2}, []string{"a", "b", "c", "c"})
	flags := tensor.Of([]bool{true, false, false, true}, 4)
	sameTensor(t, mustCompute(t, "Where", 9, nil, flags, tensor.List[uint8](1, 2, 3, 4), tensor.Scalar[uint8](9)), []int64{4}, []uint8{1, 9, 9, 4})
	sameTensor(t, mustCompute(t, "Where", 16, nil, flags, tensor.Scalar[complex128](1), tensor.List[complex128](1i, 2i, 3i, 4i)), []int64{4}, []complex128{1, 2i, 3i, 1})
	sameTensor(t, mustCompute(t, "Where", 16, nil, tensor.Scalar(true), tensor.Scalar[int64](1), tensor.Scalar[int64](2)), nil, []int64{1})
}
