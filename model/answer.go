package model

import (
	"net/http"
	"sync"
)

// mostAtOnce is how much of an answer is given to net/http in one piece. Over HTTP/2 it
// becomes one frame, for which net/http keeps memory as long as the connection is there,
// and a caller may allow frames of 16 MiB.
const mostAtOnce = 256 << 10

// write sends the body of an answer.
func (s *Server) write(w http.ResponseWriter, a reply) {
	for rest := a.body; len(rest) > 0; {
		n := min(len(rest), mostAtOnce)
		if _, err := w.Write(rest[:n]); err != nil {
			return // the caller is gone: there is nobody to tell, and net/http may read the piece yet
		}
		rest = rest[n:]
	}
	if a.lent {
		s.spare.give(a.body)
	}
}

// spare is memory for answers that is used again: new memory is cleared first, a page at
// a time, which takes longer than what is then put there.
type spare struct{ pool sync.Pool }

// spareSize is what one piece of it holds. A longer answer gets memory of its own, and so
// does one for which new memory costs nothing.
const (
	spareSize  = mostAtOnce
	worthSpare = 32 << 10
)

// take returns an empty slice with room for n bytes, and whether it must be given back.
func (s *spare) take(n int64) (b []byte, lent bool) {
	if n < worthSpare || n > spareSize {
		return make([]byte, 0, n), false
	}
	if room, ok := s.pool.Get().(*[spareSize]byte); ok {
		return room[:0], true
	}
	return new([spareSize]byte)[:0], true
}

// give takes back what nobody reads any more. Nothing of an answer stays in it.
func (s *spare) give(b []byte) {
	clear(b)
	s.pool.Put((*[spareSize]byte)(b[:spareSize]))
}
