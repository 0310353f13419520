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

// FuzzExecute runs models as they were written on inputs of legal and illegal types and
// shapes, in budgets that are too small, and until they are stopped. A session serves
// all of that, so it also says that no run harms the next.
func FuzzExecute(f *testing.F) {
	all := seeds(f, every(f))
	for i := range all {
		if fuzzing() || i%3 == 0 {
			f.Add(uint16(i), []byte{byte(i), 1})
		}
	}
	sessions := map[int]*onnx.Session{}
	f.Fuzz(func(t *testing.T, index uint16, bytes []byte) {
		i := int(index) % len(all)
		trial := newTrial(t, all[i].model, mutate.NewChoice(bytes))
		s, ok := sessions[i]
		if !ok {
			s, _ = trial.session(onnx.WithPoison())
			if len(sessions) < 500 {
				sessions[i] = s
			}
		}
		if s != nil && len(bytes) < 1<<12 {
			trial.execute(s, all[i].inputs)
		}
	})
}

func (t *trial) execute(s *onnx.Session, recorded [][]byte) {
	t.Helper()
	give := &giver{Choice: t.Choice, recorded: recorded}
	in := give.values(s)
	if t.One(3) {
		give.twist(in)
	}
	out, err := t.run(s, in)
	if stopped(err) {
		return
	}
	t.refusedOnlyWrong(s, in, err)
	t.planned(s, in, out, err)
	t.squeezed(s, in, out, err)
	t.stop(s, in, out)
}

// twist gives inputs other shapes: one dimension more or less, or of another size.
func (g *giver) twist(in map[string]*tensor.Tensor) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		v := in[name]
		if v == nil || !v.Type.Element() || !g.One(len(in)) {
			continue
		}
		shape := slices.Clone(v.Shape)
		switch at := g.Below(len(shape) + 1); {
		case at < len(shape) && g.One(2):
			shape = slices.Delete(shape, at, at+1)
		case at < len(shape):
			shape[at] = g.Small()
		default:
			shape = append(shape, g.Small())
		}
		in[name] = g.value(onnx.ValueInfo{Type: v.Type, Shape: shape, Symbols: make([]string, len(shape))})
	}
}

// refusedOnlyWrong: an input of a wrong type or shape is refused, by its name.
func (t *trial) refusedOnlyWrong(s *onnx.Session, in map[string]*tensor.Tensor, err error) {
	t.Helper()
	var refused *onnx.InputError
	if errors.As(err, &refused) {
		return
	}
	for _, v := range s.Inputs() {
		got := in[v.Name]
		if got == nil || got.Type != v.Type || v.Shape != nil && !fits(got.Shape, v.Shape) {
			t.Fatalf("input %s is %v and was not refused: %v", v, got, err)
		}
	}
}

func fits(shape, declared []int64) bool {
	if len(shape) != len(declared) {
		return false
	}
	for i, d := range declared {
		if d != -1 && d != shape[i] {
			return false
		}
	}
	return true
}

// squeezed runs in less memory than there may have to be: the run is refused before it
// takes what is not there, gives everything back, or was content with less.
func (t *trial) squeezed(s *onnx.Session, in, out map[string]*tensor.Tensor, err error) {
	t.Helper()
	size := int64(t.Below(1 << 14))
	b := onnx.NewBudget(size)
	other := b.Share()
	if t.One(2) {
		if other.Take(size/2) != nil {
			t.Fatal("half of a budget cannot be had")
		}
	}
	share := b.Share()
	got, now := s.RunWithin(t.Context(), in, share)
	t.answer("in a budget", got == nil, now)
	switch {
	case now == nil && err != nil:
		t.Fatalf("failed with %v, and not in a budget", err)
	case now == nil:
		t.equal("in a budget", got, out, !t.random)
		share.Release()
	case err == nil && !errors.Is(now, onnx.ErrBusy) && !errors.Is(now, onnx.ErrLimit):
		t.Fatalf("in a budget: %v", now)
	}
	other.Release()
	t.freed("after a budget of all", b, size)
}
