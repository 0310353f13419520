package op

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// stump sends what is at most 1 to a leaf about target 0, the rest to one about target 1.
func stump(aggregate int64) treeEnsemble {
	return treeEnsemble{
		nodes:  []treeNode{{mode: atMostSplit, split: 1, yes: treeChild{0, true}, no: treeChild{1, true}}},
		leaves: []treeLeaf{{0, 5}, {1, -7}}, roots: []treeChild{{index: 0}, {index: 0}},
		targets: 2, aggregate: aggregate, of: tensor.Float32,
	}
}

// TestTreeRows: no row sees what another one left, and memory does not grow with them.
func TestTreeRows(t *testing.T) {
	x := tensor.Of([]float32{0, 2, 1, 3}, 4, 1)
	for aggregate, want := range map[int64][]float32{
		sum: {10, 0, 0, -14, 10, 0, 0, -14}, average: {5, 0, 0, -7, 5, 0, 0, -7},
		smallestLeaf: {5, 0, 0, -7, 5, 0, 0, -7}, largestLeaf: {5, 0, 0, -7, 5, 0, 0, -7},
	} {
		o := stump(aggregate)
		y, taken := tensor.Of(make([]float32, 8), 4, 2), 0
		env := &Env{On: &kernel.On{}}
		env.New = func(typ tensor.DataType, shape []int64) (*tensor.Tensor, error) { taken++; return dirty(typ, shape) }
		if err := o.Run(env, []*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
			t.Fatal(err)
		}
		if got := tensor.Data[float32](y); !slices.Equal(got, want) || taken != 2 {
			t.Errorf("way %d of joining: got %v with %d pieces of memory, want %v with 2", aggregate, got, taken, want)
		}
	}
}

// TestTreeMemoryIsCounted: a run that may not have it ends.
func TestTreeMemoryIsCounted(t *testing.T) {
	o, none := stump(sum), errors.New("no memory")
	for after := range 2 {
		env, n := &Env{On: &kernel.On{}}, 0
		env.New = func(typ tensor.DataType, shape []int64) (*tensor.Tensor, error) {
			if n++; n > after {
				return nil, none
			}
			return tensor.New(typ, shape)
		}
		if err := o.Run(env, []*tensor.Tensor{tensor.Of([]float32{0}, 1, 1)}, []*tensor.Tensor{tensor.Of(make([]float32, 2), 1, 2)}); !errors.Is(err, none) {
			t.Errorf("after %d pieces: %v", after, err)
		}
	}
}
