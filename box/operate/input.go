package operate

import (
	"io"
	"sync"
)

// input is what is on its way to a command. It holds no more than [Window]: whoever
// sends more than was taken breaks the protocol, so that reading the connection, by
// which we notice that it is cut, never waits for a command.
type input struct {
	to io.WriteCloser

	mu    sync.Mutex
	more  *sync.Cond
	text  []byte
	ended bool
	gone  bool
}

func newInput(to io.WriteCloser) *input {
	in := &input{to: to}
	in.more = sync.NewCond(&in.mu)
	return in
}

// add takes bytes of the operator's.
func (in *input) add(p []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.ended || len(in.text)+len(p) > Window:
		return errFrame
	case in.gone:
		return nil // nobody reads it
	}
	in.text = append(in.text, p...)
	in.more.Signal()
	return nil
}

// end says that there is no more.
func (in *input) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.more.Signal()
}

// close has nothing passed on any more.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.gone = true
	in.more.Signal()
}

// pass passes it on until it ends, and tells how much was taken.
func (in *input) pass(taken func(int) error) {
	for {
		text, done := in.next()
		if done {
			in.to.Close()
			return
		}
		_, err := in.to.Write(text)
		// Room is made before it is told: the operator may use it at once.
		in.remove(len(text))
		if err != nil || taken(len(text)) != nil {
			in.close()
			return
		}
	}
}

// next waits for bytes, or the end.
func (in *input) next() (text []byte, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.text) == 0 && !in.ended && !in.gone {
		in.more.Wait()
	}
	if in.gone {
		return nil, true
	}
	return in.text[:min(len(in.text), MaxFrame)], len(in.text) == 0
}

func (in *input) remove(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.text = in.text[n:]
}
