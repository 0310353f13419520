package operate

import (
	"bytes"
	"testing"
)

// sink takes what a command is given.
type sink struct{ bytes.Buffer }

func (*sink) Close() error { return nil }

// TestWindow: who is told that bytes were taken may send as many more at once.
func TestWindow(t *testing.T) {
	var to sink
	in := newInput(&to)
	for range Window / MaxFrame {
		if err := in.add(make([]byte, MaxFrame)); err != nil {
			t.Fatal(err)
		}
	}
	if in.add([]byte{1}) == nil {
		t.Fatal("more than the window fits in")
	}
	const rounds = 20
	told := 0
	in.pass(func(n int) error {
		if told++; told > rounds {
			in.end()
			return nil
		}
		if err := in.add(make([]byte, n)); err != nil {
			t.Errorf("after %d bytes were taken: %v", n, err)
			in.end()
		}
		return nil
	})
	if want := Window + rounds*MaxFrame; to.Len() != want {
		t.Errorf("%d bytes arrived, expected %d", to.Len(), want)
	}
}
