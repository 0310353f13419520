package kernel

import (
	"context"
	"errors"
	"testing"
)

// brief is a context that ends when it was asked so often.
type brief struct {
	context.Context
	left int
}

func (b *brief) Err() error {
	if b.left--; b.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestLoopsStopInTheMiddle: what is left of a long loop is not done.
func TestLoopsStopInTheMiddle(t *testing.T) {
	const n = 6 * chunk
	src := make([]uint8, n)
	for i := range src {
		src[i] = 1
	}
	row := make([]int64, n)
	for i := range row {
		row[i] = int64(i)
	}
	zero := func(_ int, at []int) error { clear(at); return nil }
	for name, move := range map[string]func(on *On, dst []uint8) error{
		"one run": func(on *On, dst []uint8) error { return Put(on, dst, src, n, zero) },
		"take":    func(on *On, dst []uint8) error { return Take(on, dst, src, n, zero) },
		"a row":   func(on *On, dst []uint8) error { return TakeGrid(on, dst, src, Grid{At: [][]int64{row}, Run: 1}) },
		"inner run": func(on *On, dst []uint8) error {
			return Walk(on, []int64{n}, []Operand{Dense([]int64{n})}, func(n int, at, _ []int) error { copy(dst[at[0]:at[0]+n], src); return nil })
		},
		"many runs": func(on *On, dst []uint8) error {
			return EachRun(on, n, 1, zero, func(i, _ int) { dst[i] = 1 })
		},
	} {
		dst := make([]uint8, n)
		err := move(&On{Context: &brief{t.Context(), 2}}, dst)
		if !errors.Is(err, context.Canceled) || dst[n-1] != 0 {
			t.Errorf("%s: %v, the last element is %d", name, err, dst[n-1])
		}
	}
}

// TestStartsThatAreNotThere are an error before anything is moved.
func TestStartsThatAreNotThere(t *testing.T) {
	lost := errors.New("lost")
	err := EachRun(&On{}, 1, 1, func(int, []int) error { return lost }, func(int, int) { t.Error("moved") })
	if !errors.Is(err, lost) {
		t.Error(err)
	}
}
