package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// turnedShape is a random array and the same one seen with its dimensions in another
// order.
func turnedShape(rng *rand.Rand, most int64) (shape []int64, from Operand, n int) {
	rank := rng.IntN(5)
	own := make([]int64, rank)
	n = 1
	for d := range own {
		own[d] = 1 + rng.Int64N(most)
		n *= int(own[d])
	}
	shape = make([]int64, rank)
	from.Strides = make([]int, rank)
	strides := Strides(own)
	for i, d := range rng.Perm(rank) {
		shape[i], from.Strides[i] = own[d], strides[d]
		switch rng.IntN(8) {
		case 0:
			from.Strides[i] = 0
		case 1: // backwards
			from.Offset += from.Strides[i] * int(shape[i]-1)
			from.Strides[i] = -from.Strides[i]
		}
	}
	return shape, from, n
}

func checkCopy(t *testing.T, on *On, shape []int64, to Operand, room int, from Operand, n int) {
	t.Helper()
	src := make([]int, n)
	for i := range src {
		src[i] = i + 1
	}
	got, want := make([]int, room), make([]int, room)
	naive(shape, []Operand{to, from}, func(at []int) { want[at[0]] = src[at[1]] })
	if err := Copy(on, shape, got, to, src, from); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("shape %v to %v from %v differs", shape, to, from)
	}
}

func TestCopy(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for i := range 400 {
		most := int64(7)
		if i%20 == 0 {
			most = 45 // more than a block
		}
		shape, from, n := turnedShape(rng, most)
		room := 1
		for _, d := range shape {
			room *= int(d)
		}
		on := &On{Threads: 1 + rng.IntN(3)}
		checkCopy(t, on, shape, Dense(shape), room, from, n)
		wide := Dense(shape) // every second place, from the third on
		for d := range wide.Strides {
			wide.Strides[d] *= 2
		}
		wide.Offset = 2
		checkCopy(t, on, shape, wide, 2*room+2, from, n)
	}
}

func TestCopyOfLongRuns(t *testing.T) {
	for _, threads := range []int{1, 3} {
		on := &On{Threads: threads}
		for _, shape := range [][]int64{{2*chunk + 5}, {3, chunk + 1}, {5, 3, 2}, {chunk, 3}, {1, 0, 7}} {
			n := 1
			for _, d := range shape {
				n *= int(d)
			}
			checkCopy(t, on, shape, Dense(shape), n, Dense(shape), n)
			checkCopy(t, on, shape, Dense(shape), n, Operand{Strides: make([]int, len(shape))}, 1)
		}
		tall := []int64{70, 3000}
		checkCopy(t, on, tall, Dense(tall), 210_000, Operand{Strides: []int{1, 70}}, 210_000)
	}
}

func TestTakeAndPut(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 50 {
		run, count := 1+rng.IntN(5), rng.IntN(3*some)
		src := make([]int, run*(1+rng.IntN(40)))
		for i := range src {
			src[i] = i
		}
		places := make([]int, count)
		for i := range places {
			places[i] = run * rng.IntN(len(src)/run)
		}
		starts := func(first int, at []int) error { copy(at, places[first:]); return nil }
		got := make([]int, run*count)
		if err := Take(&On{Threads: 2}, got, src, run, starts); err != nil {
			t.Fatal(err)
		}
		back := make([]int, len(src))
		if err := Put(&On{}, back, got, run, starts); err != nil {
			t.Fatal(err)
		}
		for i, p := range places {
			if !slices.Equal(got[i*run:(i+1)*run], src[p:p+run]) || !slices.Equal(back[p:p+run], src[p:p+run]) {
				t.Fatalf("run %d of %d elements", i, run)
			}
		}
	}
	last := make([]int, 1)
	if err := Put(&On{}, last, []int{1, 2, 3}, 1, func(int, []int) error { return nil }); err != nil || last[0] != 3 {
		t.Errorf("of three at one place %d stays, %v", last[0], err)
	}
}

// TestTakeFails: the error is that of the first part that has one, on any number of
// threads.
func TestTakeFails(t *testing.T) {
	const n = 5 * chunk
	for _, threads := range []int{1, 4} {
		err := Take(&On{Threads: threads}, make([]uint8, n), make([]uint8, 1), 1, func(first int, at []int) error {
			if first >= 2*chunk {
				return fmt.Errorf("from %d on", first/chunk)
			}
			return nil
		})
		if err == nil || err.Error() != "from 2 on" {
			t.Errorf("%d threads: %v", threads, err)
		}
	}
}

func TestTakeGrid(t *testing.T) {
	src := []int{1, 2, 3, 4, 5, 6}
	g := Grid{At: [][]int64{{3, 3, -1, 0}, {2, -1, 0, 0}}, Run: 1}
	dst := slices.Repeat([]int{9}, 16)
	if err := TakeGrid(&On{}, dst, src, g); err != nil {
		t.Fatal(err)
	}
	if want := []int{6, 9, 4, 4, 6, 9, 4, 4, 9, 9, 9, 9, 3, 9, 1, 1}; !slices.Equal(dst, want) {
		t.Errorf("got %v, want %v", dst, want)
	}
	pairs := make([]int, 6)
	if err := TakeGrid(&On{Threads: 2}, pairs, src, Grid{At: [][]int64{{4, 0, 2}}, Run: 2}); err != nil || !slices.Equal(pairs, []int{5, 6, 1, 2, 3, 4}) {
		t.Errorf("got %v, %v", pairs, err)
	}
	if err := TakeGrid(&On{}, nil, src, Grid{At: [][]int64{{}, {1}}, Run: 1}); err != nil {
		t.Error(err)
	}
}

func TestPick(t *testing.T) {
	choose, a, b := []bool{true, false, true}, []int{1, 2, 3}, []int{7, 8, 9}
	for _, c := range []struct {
		step []int
		want []int
	}{
		{[]int{1, 1, 1, 1}, []int{1, 8, 3}}, {[]int{1, 1, 1, 0}, []int{1, 7, 3}}, {[]int{1, 1, 0, 1}, []int{1, 8, 1}},
		{[]int{1, 0, 1, 1}, []int{1, 2, 3}},
	} {
		dst := make([]int, 3)
		if err := Pick(dst, choose, a, b)(3, make([]int, 4), c.step); err != nil || !slices.Equal(dst, c.want) {
			t.Errorf("steps %v: %v, want %v", c.step, dst, c.want)
		}
	}
	dst := make([]int, 1)
	if err := Pick(dst, choose[1:], a, b)(1, make([]int, 4), make([]int, 4)); err != nil || dst[0] != 7 {
		t.Errorf("one element: %v, %v", dst, err)
	}
}

func TestMovesEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	on := &On{Context: ctx}
	long := make([]uint8, 3*chunk)
	none := func(int, []int) error { return nil }
	for i, err := range []error{
		Copy(on, []int64{3 * chunk}, long, Dense([]int64{3 * chunk}), long, Operand{Strides: []int{0}}),
		Copy(on, []int64{chunk, 3}, long, Dense([]int64{chunk, 3}), long, Operand{Strides: []int{1, chunk}}),
		Take(on, long, long, 1, none),
		Put(on, long, long, 1, none),
		TakeGrid(on, long[:2], long, Grid{At: [][]int64{{0, 0}}, Run: 1}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("move %d: %v", i, err)
		}
	}
}
