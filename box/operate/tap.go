package operate

import (
	"fmt"
	"io"
	"sync"
)

// Tap passes on what the app prints to whoever follows it. Nothing is kept: what was
// printed before somebody followed is gone. It never makes the app wait.
type Tap struct {
	also io.Writer // gets everything too; nil for nobody

	mu        sync.Mutex
	followers map[*follower]struct{}
}

// NewTap returns a Tap that passes everything on to also, too, unless that is nil.
func NewTap(also io.Writer) *Tap { return &Tap{also: also, followers: map[*follower]struct{}{}} }

// Write implements [io.Writer].
func (t *Tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	for f := range t.followers {
		f.add(p)
	}
	t.mu.Unlock()
	if t.also != nil {
		return t.also.Write(p)
	}
	return len(p), nil
}

func (t *Tap) follow() *follower {
	f := &follower{news: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers[f] = struct{}{}
	return f
}

func (t *Tap) leave(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followers, f)
}

// maxBehind is how many bytes somebody who follows may be behind.
const maxBehind = 1 << 20

// follower is somebody who follows, and what was not passed on yet.
type follower struct {
	news chan struct{} // has one if there is something

	mu     sync.Mutex
	text   []byte
	missed int
}

func (f *follower) add(p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(p), maxBehind-len(f.text))
	if f.missed > 0 {
		n = 0 // what is left out is left out in one piece
	}
	f.text = append(f.text, p[:n]...)
	f.missed += len(p) - n
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// take returns what there is, and says what is missing behind it.
func (f *follower) take() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := f.text
	if f.missed > 0 {
		text = fmt.Appendf(text, "\n[%d bytes left out: they came faster than they were read]\n", f.missed)
	}
	f.text, f.missed = nil, 0
	return text
}
