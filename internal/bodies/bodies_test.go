package bodies

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReadAll: a body is read to its end, whatever its parts, and counts until it is freed.
func TestReadAll(t *testing.T) {
	r := New(1<<20, true)
	for _, size := range []int{0, 1, first - 1, first, first + 1, 3 * first, 1 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		for name, from := range map[string]io.Reader{"whole": bytes.NewReader(want), "halves": iotest.HalfReader(bytes.NewReader(want)), "with its end": iotest.DataErrReader(bytes.NewReader(want))} {
			text, free, err := r.ReadAll("a", from, 1<<20)
			if err != nil || !bytes.Equal(text, want) {
				t.Errorf("%d bytes, %s: %d bytes, %v", size, name, len(text), err)
			}
			if r.used < int64(size) || r.callers["a"] != r.used {
				t.Errorf("%d bytes count as %d", size, r.used)
			}
			free()
			free()
			if r.used != 0 || len(r.callers) != 0 {
				t.Errorf("%d bytes are left, of %d callers", r.used, len(r.callers))
			}
		}
	}
	fails := errors.New("cut")
	if _, free, err := r.ReadAll("a", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(fails)), 10); !errors.Is(err, fails) || r.used != 0 {
		t.Errorf("%v, %d bytes are left", err, r.used)
	} else {
		free()
	}
}

// TestRoom: bodies together have a bound, and a caller has half of it where there are
// others. What is announced takes nothing.
func TestRoom(t *testing.T) {
	const large = 9 << 20
	body := func() io.Reader { return bytes.NewReader(make([]byte, large)) }
	for name, c := range map[string]struct {
		alone bool
		each  int
	}{"alone": {true, 7}, "among others": {false, 3}} {
		t.Run(name, func(t *testing.T) {
			r, n := New(large, c.alone), 0
			for n < 10 {
				if _, _, err := r.ReadAll("a", body(), large); err != nil {
					if !errors.Is(err, ErrFull) {
						t.Fatal(err)
					}
					break
				}
				n++
			}
			if n != c.each {
				t.Errorf("one caller has %d bodies at once, expected %d", n, c.each)
			}
			_, _, err := r.ReadAll("b", body(), large)
			if c.alone == (err == nil) {
				t.Errorf("another caller: %v", err)
			}
			if _, _, err := r.ReadAll("c", strings.NewReader("small"), large); err != nil {
				t.Errorf("a small one: %v", err)
			}
			if r.used > r.total {
				t.Errorf("%d bytes of %d", r.used, r.total)
			}
		})
	}
	if r := New(1<<62, false); r.total < 1<<61 {
		t.Errorf("%d bytes in all", r.total)
	}
}

// TestFewCallersLeaveRoom: however much some callers take, others have room for what is small.
func TestFewCallersLeaveRoom(t *testing.T) {
	r := New(1<<20, false)
	for _, hostile := range []string{"a", "b", "c", "d"} {
		for err := error(nil); err == nil; {
			_, _, err = r.ReadAll(hostile, strings.NewReader("held"), 1<<20)
		}
		for _, other := range []string{"x", "y", "z"} {
			text, free, err := r.ReadAll(other, bytes.NewReader(make([]byte, first)), first)
			if err != nil || len(text) != first {
				t.Fatalf("after %s has %d of %d bytes, of which %d are taken: %v", hostile, r.callers[hostile], r.total, r.used, err)
			}
			free()
		}
	}
}

// TestMemory: a body takes memory as it comes, and no more than it says.
func TestMemory(t *testing.T) {
	const size = 3 << 20
	r := New(1<<40, true)
	for _, most := range []int64{size, size + 1, 1 << 40, size - 1} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		text, free, err := r.ReadAll("a", io.LimitReader(endless{}, size), most)
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; err != nil || len(text) != size || taken > 4*size {
			t.Errorf("%d bytes for %d of at most %d: %v", taken, len(text), most, err)
		}
		free()
	}
	text, free, err := r.ReadAll("a", strings.NewReader("open"), 1<<40)
	if err != nil || cap(text) > first {
		t.Errorf("%d bytes for 4: %v", cap(text), err)
	}
	free()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
