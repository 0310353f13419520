package onnx

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// free is what runs can have: what is left, and what waits.
func (b *Budget) free() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.left.Load()
	for _, w := range b.waits {
		n += w.bytes
	}
	return n
}

// softmaxes is a model that needs memory for what is in between.
func softmaxes(t testing.TB, times int) *Session {
	nodes, in := []byte{}, "x"
	for i := range times {
		out := fmt.Sprint("v", i)
		nodes = join(nodes, pb.Node("", "Softmax", of(in), of(out)))
		in = out
	}
	return mustLoad(t, pb.Model(pb.Input("x", 1, "n"), nodes, pb.OpenOutput(in, 1)))
}

// TestWaitingMemoryCounts: what a run leaves for the next one is taken from the budget
// until somebody else needs it.
func TestWaitingMemoryCounts(t *testing.T) {
	const n = 4096
	one, two := softmaxes(t, 3), softmaxes(t, 4)
	m, err := one.Plan(map[string][]int64{"x": {n}})
	if err != nil {
		t.Fatal(err)
	}
	all := 8*n + m.Work + m.Outputs
	b := NewBudget(all)
	run := func(s *Session) {
		t.Helper()
		share := b.Share()
		defer share.Release()
		if _, err := s.RunWithin(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, n), n)}, share); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		run(one)
		if got := b.left.Load(); got != all-m.Work || b.free() != all {
			t.Errorf("%d bytes left, expected %d", got, all-m.Work)
		}
	}
	run(two)
	if len(b.waits) != 1 || b.free() != all {
		t.Errorf("%d frames wait, %d bytes are free of %d: the first was to make room for the second", len(b.waits), b.free(), all)
	}
	run(one)
	share := b.Share()
	if err := share.Take(all); err != nil {
		t.Errorf("all of the budget: %v", err)
	}
	if share.Release(); b.left.Load() != all {
		t.Errorf("%d bytes left of %d", b.left.Load(), all)
	}
}

// TestBudgetUnderContention: whoever takes what from whom, nothing is lost.
func TestBudgetUnderContention(t *testing.T) {
	const n = 256
	sessions := []*Session{softmaxes(t, 3), softmaxes(t, 5)}
	b := NewBudget(40 * n)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for k := range 200 {
				share := b.Share()
				size := int64(n - 16*(k%3))
				_, err := sessions[(i+k)%2].RunWithin(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, size), size)}, share)
				if err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
				share.Release()
			}
		})
	}
	wait.Wait()
	if got := b.free(); got != 40*n {
		t.Errorf("%d bytes of %d are free", got, 40*n)
	}
}
