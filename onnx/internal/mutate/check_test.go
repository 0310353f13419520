package mutate_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/internal/mutate"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// FuzzCheck holds what is inferred of every value of a model against what a run gives,
// with all that the model says of its inputs, with their sizes known, with their sizes
// open, and with not even their ranks: to know less must not be to refuse, and what is
// known must be true.
func FuzzCheck(f *testing.F) {
	all := seeds(f, every(f))
	for i := range all {
		if fuzzing() || i%4 == 0 {
			f.Add(uint16(i), []byte{byte(i), 0, 7})
		}
	}
	f.Fuzz(func(t *testing.T, index uint16, bytes []byte) {
		if len(bytes) > 1<<10 {
			return
		}
		tree, c, s := mutant(all, int(index), bytes)
		check(t, mutate.Expose(tree), c, s.inputs)
	})
}

func check(t *testing.T, tree *mutate.Message, c *mutate.Choice, recorded [][]byte) {
	said := newTrial(t, tree.Append(nil), c)
	s, err := said.session()
	if err != nil {
		return
	}
	give := &giver{Choice: c, recorded: recorded}
	in := give.values(s)
	out, err := said.inferred(s, in)
	if err != nil {
		return
	}
	for what, shapes := range map[string]map[string][]int64{
		"with sizes known": sizes(in, func(d int64) int64 { return d }), "with sizes open": sizes(in, func(int64) int64 { return -1 }), "with ranks open": sizes(in, nil),
	} {
		other := newTrial(t, mutate.WithShapes(tree, shapes).Append(nil), c)
		s, err := other.session()
		if err != nil {
			t.Fatalf("runs, but %s: %v", what, err)
		}
		again, err := other.inferred(s, in)
		if err != nil && !errors.Is(err, onnx.ErrLimit) && !stopped(err) {
			t.Fatalf("runs, but %s: %v", what, err)
		}
		if err == nil {
			other.equal(what, again, out, false)
		}
	}
}

// sizes is the shapes of the inputs with each dimension changed; nil: without any.
func sizes(in map[string]*tensor.Tensor, change func(int64) int64) map[string][]int64 {
	out := map[string][]int64{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if change == nil || in[name] == nil {
			out[name] = nil
			continue
		}
		shape := []int64{}
		for _, d := range in[name].Shape {
			shape = append(shape, change(d))
		}
		out[name] = shape
	}
	return out
}

// inferred runs and holds each output to what the session says of it, which is what
// was inferred: the model itself says nothing.
func (t *trial) inferred(s *onnx.Session, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	t.Helper()
	out, err := t.run(s, in)
	var node *onnx.NodeError
	var input *onnx.InputError
	if err != nil {
		if !errors.As(err, &node) && !errors.As(err, &input) && !errors.Is(err, onnx.ErrLimit) && !stopped(err) {
			t.Fatalf("inferred otherwise: %v", err)
		}
		return nil, err
	}
	for _, v := range s.Outputs() {
		got := out[v.Name]
		if got.Type != v.Type || got.ItemType != v.Item && got.ItemType != 0 && v.Item != 0 {
			t.Fatalf("%q is %s of %s, inferred %s", v.Name, got.Type, got.ItemType, v)
		}
	}
	return out, nil
}
