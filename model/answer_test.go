package model

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// pieces is a writer that keeps what it is given, and may refuse it.
type pieces struct {
	http.ResponseWriter
	got [][]byte
	err error
}

func (p *pieces) Write(b []byte) (int, error) {
	p.got = append(p.got, bytes.Clone(b))
	return len(b), p.err
}

// again is memory from before, if it is what was given back.
func again(s *spare, before []byte) bool {
	for range 100 { // a pool may forget
		b, lent := s.take(spareSize)
		if !lent {
			return false
		}
		if &b[:1][0] == &before[:1][0] {
			return true
		}
	}
	return false
}

// TestLongAnswersArePieces holds answers to pieces: net/http keeps memory for the largest.
func TestLongAnswersArePieces(t *testing.T) {
	s := &Server{}
	for _, n := range []int{0, 1, mostAtOnce, mostAtOnce + 1, 3*mostAtOnce - 1} {
		body := bytes.Repeat([]byte("0123456"), n/7+1)[:n]
		w := &pieces{ResponseWriter: httptest.NewRecorder()}
		s.write(w, reply{body: body})
		for _, p := range w.got {
			if len(p) == 0 || len(p) > mostAtOnce {
				t.Errorf("%d bytes: a piece of %d", n, len(p))
			}
		}
		if !bytes.Equal(bytes.Join(w.got, nil), body) {
			t.Errorf("%d bytes: %d were written, or others", n, len(bytes.Join(w.got, nil)))
		}
	}
}

// TestSpareMemoryHoldsNothing looks into what an answer has given back.
func TestSpareMemoryHoldsNothing(t *testing.T) {
	s := &Server{}
	b, lent := s.spare.take(worthSpare)
	if !lent || len(b) != 0 || cap(b) != spareSize {
		t.Fatalf("lent %v, %d of %d bytes", lent, len(b), cap(b))
	}
	b = append(b, bytes.Repeat([]byte("secret"), worthSpare/6)...)
	w := &pieces{ResponseWriter: httptest.NewRecorder()}
	s.write(w, reply{body: b, lent: true})
	if !bytes.HasPrefix(bytes.Join(w.got, nil), []byte("secretsecret")) {
		t.Error("the answer is not what was written")
	}
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Error("something of the answer is left")
	}
}

// TestSpareMemoryOfAFailedAnswer is not used again: over HTTP/2 it may be read yet, on its
// way to a caller who must not get another's answer.
func TestSpareMemoryOfAFailedAnswer(t *testing.T) {
	s := &Server{}
	b, _ := s.spare.take(spareSize)
	b = append(b, bytes.Repeat([]byte("secret"), worthSpare/6)...)
	s.write(&pieces{ResponseWriter: httptest.NewRecorder(), err: errors.New("gone")}, reply{body: b, lent: true})
	if !bytes.HasPrefix(b, []byte("secret")) || again(&s.spare, b) {
		t.Error("memory of an answer that failed was given back")
	}
}

// TestSpareMemoryIsForSome answers: short ones cost nothing, long ones are too large to keep.
func TestSpareMemoryIsForSome(t *testing.T) {
	var s spare
	for n, want := range map[int64]bool{0: false, worthSpare - 1: false, worthSpare: true, spareSize: true, spareSize + 1: false} {
		if b, lent := s.take(n); lent != want || int64(cap(b)) < n || len(b) != 0 {
			t.Errorf("%d bytes: lent %v, %d of %d", n, lent, len(b), cap(b))
		}
	}
}
