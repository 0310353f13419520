package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func randomIndices(rng *rand.Rand, size int64, shape ...int64) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	data := make([]int64, n)
	for i := range data {
		data[i] = rng.Int64N(2*size) - size
	}
	return tensor.Of(data, shape...)
}

// positive is an index that may count from the end.
func positive(i, size int64) int64 {
	if i < 0 {
		return i + size
	}
	return i
}

func TestGather(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 80 {
		shape := randomShape(rng, 1+rng.IntN(4), 6)
		along := rng.IntN(len(shape))
		indices := randomIndices(rng, shape[along], randomShape(rng, rng.IntN(3), 5)...)
		rank := len(indices.Shape)
		got := mustCompute(t, "Gather", 13, attrs{"axis": along}, counted[int64](shape...), indices)
		movedAs(t, got, func(index []int64) int64 {
			i := tensor.Data[int64](indices)[flat(indices.Shape, index[along:along+rank])]
			own := append(append(append([]int64{}, index[:along]...), positive(i, shape[along])), index[along+rank:]...)
			return flat(shape, own)
		})
	}
	words := tensor.List("a", "b", "c")
	sameTensor(t, mustCompute(t, "Gather", 1, nil, words, tensor.Scalar[int32](-1)), nil, []string{"c"})
	refused(t, "index 3 is outside of dimension 3", "Gather", 13, nil, 1, words, tensor.List[int64](0, 3))
	refused(t, "index -4 is outside of dimension 3", "Gather", 13, nil, 1, words, tensor.List[int32](0, -4))
}

// TestRunRefusesIndices: indices that come from data are only seen while running.
func TestRunRefusesIndices(t *testing.T) {
	data, far := counted[float32](3, 2), tensor.Of([]int64{0, 1, 1 << 40, 1}, 2, 2)
	for name, in := range map[string][]*tensor.Tensor{
		"Gather":          {data, far},
		"GatherElements":  {data, far},
		"GatherND":        {data, far},
		"ScatterElements": {data, far, counted[float32](2, 2)},
		"ScatterND":       {data, far, counted[float32](2)},
	} {
		o, err := New(nodeOf(name, 16, nil, len(in), 1), Table(), nil)
		if err != nil {
			t.Fatal(err)
		}
		infos := infosOf(in)
		for _, v := range infos {
			v.Value = nil
		}
		results, err := o.Infer(infos)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := run(testOn(t), o, in, results); err == nil {
			t.Errorf("%s took an index of 2^40", name)
		}
	}
}

func TestGatherElements(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for range 80 {
		shape := randomShape(rng, 1+rng.IntN(4), 6)
		along := rng.IntN(len(shape))
		taken := make([]int64, len(shape))
		for d, n := range shape {
			taken[d] = rng.Int64N(n) + 1
		}
		taken[along] = rng.Int64N(8) + 1
		indices := randomIndices(rng, shape[along], taken...)
		got := mustCompute(t, "GatherElements", 13, attrs{"axis": along - len(shape)}, counted[int64](shape...), indices)
		movedAs(t, got, func(index []int64) int64 {
			own := append([]int64{}, index...)
			own[along] = positive(tensor.Data[int64](indices)[flat(taken, index)], shape[along])
			return flat(shape, own)
		})
	}
	refused(t, "has rank 1, the data has rank 2", "GatherElements", 13, nil, 1, counted[float32](2, 2), tensor.List[int64](0))
	refused(t, "which reaches beyond", "GatherElements", 13, nil, 1, counted[float32](2, 2), tensor.Of([]int64{0, 0, 0}, 1, 3))
	refused(t, "axis 2 is outside", "GatherElements", 13, attrs{"axis": 2}, 1, counted[float32](2, 2), tensor.Of([]int64{0}, 1, 1))
}

func TestGatherND(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 80 {
		shape := randomShape(rng, 1+rng.IntN(4), 5)
		batch := rng.IntN(len(shape))
		rank := 1 + rng.IntN(len(shape)-batch)
		tuples := append(append([]int64{}, shape[:batch]...), rng.Int64N(4)+1, int64(rank))
		data := randomIndices(rng, 1, tuples...)
		everyIndex(tuples, func(n int, index []int64) {
			size := shape[batch+int(index[len(index)-1])]
			tensor.Data[int64](data)[n] = rng.Int64N(2*size) - size
		})
		got := mustCompute(t, "GatherND", 13, attrs{"batch_dims": batch}, counted[int64](shape...), data)
		movedAs(t, got, func(index []int64) int64 {
			own := append([]int64{}, index[:batch]...)
			for c := range rank {
				at := append(append([]int64{}, index[:batch+1]...), int64(c))
				own = append(own, positive(tensor.Data[int64](data)[flat(tuples, at)], shape[batch+c]))
			}
			return flat(shape, append(own, index[batch+1:]...))
		})
	}
	in := counted[float32](2, 2)
	refused(t, "tuples of 3 coordinates for 2 dimensions", "GatherND", 13, nil, 1, in, tensor.List[int64](0, 0, 0))
	refused(t, "is a scalar", "GatherND", 13, nil, 1, in, tensor.Scalar[int64](0))
	refused(t, "whose batch is not", "GatherND", 13, attrs{"batch_dims": 1}, 1, in, tensor.Of([]int64{0}, 1, 1))
	refused(t, "do not have 2 dimensions of a batch", "GatherND", 13, attrs{"batch_dims": 2}, 1, in, tensor.Of([]int64{0}, 1, 1))
	refused(t, "do not have -1 dimensions of a batch", "GatherND", 13, attrs{"batch_dims": -1}, 1, in, tensor.Of([]int64{0}, 1, 1))
	refused(t, "is int32, expected int64", "GatherND", 13, nil, 1, in, tensor.List[int32](0))
}

func TestScatterElements(t *testing.T) {
	data := tensor.Of([]float32{1, 2, 3, 4, 5}, 1, 5)
	indices := tensor.Of([]int64{1, -2, 1}, 1, 3)
	updates := tensor.Of([]float32{10, 20, 0.5}, 1, 3)
	for reduction, want := range map[string][]float32{
		"none": {1, 0.5, 3, 20, 5}, "add": {1, 12.5, 3, 24, 5}, "mul": {1, 10, 3, 80, 5},
		"max": {1, 10, 3, 20, 5}, "min": {1, 0.5, 3, 4, 5},
	} {
		sameTensor(t, mustCompute(t, "ScatterElements", 18, attrs{"axis": 1, "reduction": reduction}, data, indices, updates), []int64{1, 5}, want)
	}
	sameTensor(t, mustCompute(t, "Scatter", 9, attrs{"axis": 1}, data, indices, updates), []int64{1, 5}, []float32{1, 0.5, 3, 20, 5})
	halves := tensor.List(toHalf[tensor.F16](1), toHalf[tensor.F16](2))
	got := mustCompute(t, "ScatterElements", 18, attrs{"reduction": "add"}, halves, tensor.List[int32](0, 0), halves)
	sameTensor(t, got, []int64{2}, []tensor.F16{toHalf[tensor.F16](4), toHalf[tensor.F16](2)})
	refused(t, "input 2: has shape [1 2], expected [1 3]", "ScatterElements", 13, nil, 1, data, indices, counted[float32](1, 2))
	refused(t, `"reduction" is not known`, "ScatterElements", 13, attrs{"reduction": "add"}, 1, data, indices, updates)
	refused(t, `expected one of`, "ScatterElements", 16, attrs{"reduction": "max"}, 1, data, indices, updates)
	refused(t, "input 0: is string", "ScatterElements", 18, attrs{"reduction": "add"}, 1, tensor.List("a"), tensor.List[int64](0), tensor.List("b"))
	refused(t, "input 2: is int64", "ScatterElements", 18, nil, 1, data, indices, indices)
	refused(t, "reaches beyond", "ScatterElements", 18, attrs{"axis": 1}, 1, data, tensor.Of([]int64{0, 0}, 2, 1), counted[float32](2, 1))
}

func TestScatterND(t *testing.T) {
	data := counted[int64](3, 2)
	rows := tensor.Of([]int64{2, -3, 2}, 3, 1)
	updates := tensor.Of([]int64{10, 20, 30, 40, 50, 60}, 3, 2)
	sameTensor(t, mustCompute(t, "ScatterND", 13, nil, data, rows, updates), []int64{3, 2}, []int64{30, 40, 2, 3, 50, 60})
	sameTensor(t, mustCompute(t, "ScatterND", 16, attrs{"reduction": "add"}, data, rows, updates), []int64{3, 2}, []int64{30, 41, 2, 3, 64, 85})
	refused(t, "input 2: has shape [3], expected [3 2]", "ScatterND", 13, nil, 1, data, rows, counted[int64](3))
	refused(t, "input 1: is a scalar", "ScatterND", 13, nil, 1, data, tensor.Scalar[int64](0), counted[int64](3, 2))
	refused(t, "tuples of 0 coordinates", "ScatterND", 13, nil, 1, data, tensor.Of([]int64{}, 3, 0), counted[int64](3))
}

func TestTensorScatter(t *testing.T) {
	cache := counted[float32](2, 4, 1)
	update := tensor.Of([]float32{-1, -2, -3, -4}, 2, 2, 1)
	sameTensor(t, mustCompute(t, "TensorScatter", 24, nil, cache, update, tensor.List[int64](1, 2)), []int64{2, 4, 1}, []float32{0, -1, -2, 3, 4, 5, -3, -4})
	sameTensor(t, mustCompute(t, "TensorScatter", 24, attrs{"mode": "circular"}, cache, update, tensor.List[int64](3, 0)), []int64{2, 4, 1}, []float32{-2, 1, 2, -1, -3, -4, 6, 7})
	sameTensor(t, mustCompute(t, "TensorScatter", 24, nil, cache, update), []int64{2, 4, 1}, []float32{-1, -2, 2, 3, -3, -4, 6, 7})
	refused(t, "do not fit into 4", "TensorScatter", 24, nil, 1, cache, update, tensor.List[int64](1, 3))
	refused(t, "do not fit into 4", "TensorScatter", 24, nil, 1, cache, update, tensor.List[int64](1, -1))
	refused(t, "do not fit into 4", "TensorScatter", 24, attrs{"mode": "circular"}, 1, cache, update, tensor.List[int64](1, math.MaxInt64))
	refused(t, "axis -3 is the batch", "TensorScatter", 24, attrs{"axis": -3}, 1, cache, update)
	refused(t, "has 1 entries for a batch of 2", "TensorScatter", 24, nil, 1, cache, update, tensor.List[int64](1))
	refused(t, "which does not fit into a cache", "TensorScatter", 24, nil, 1, cache, counted[float32](2, 5, 1))
	refused(t, "input 1: has shape [2 2], the cache [2 4 1]", "TensorScatter", 24, nil, 1, cache, counted[float32](2, 2))
}
