package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/blindbox/blindbox/internal/sizes"
)

// progress tells how far long work has come: on a terminal in one line, elsewhere in a
// line for each quarter.
type progress struct {
	s     *session
	what  string
	total int64

	mu    sync.Mutex
	shown time.Time
	step  int64 // quarters that were told
	began bool
}

// refresh is how often the line on a terminal is written anew.
const refresh = 100 * time.Millisecond

func (s *session) progress(what string, total int64) *progress {
	return &progress{s: s, what: what, total: total}
}

// at says that n of the total are done.
func (p *progress) at(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total <= 0 {
		return
	}
	text := fmt.Sprintf("%s %s of %s (%d %%)", p.what, sizes.Of(n), sizes.Of(p.total), n*100/p.total)
	switch quarter := n * 4 / p.total; {
	case p.s.terminal():
		if now := time.Now(); now.Sub(p.shown) >= refresh || n == p.total {
			p.shown, p.began = now, true
			p.s.note("\r%s\x1b[K", text)
		}
	case quarter > p.step && p.total >= tellFrom:
		p.step = quarter
		p.s.note("%s\n", text)
	}
}

// tellFrom is the size from which on anybody but a terminal is told.
const tellFrom = 8 << 20

// end ends the line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began {
		p.s.note("\n")
	}
}
