package audit

import (
	"bytes"
	"fmt"
	"sync"
)

// Ring is a sink in memory that keeps the last lines. What it let go is summed up
// by one hash: the chain goes on from there.
type Ring struct {
	max int

	mu     sync.Mutex
	lines  [][]byte
	size   int
	before []byte // the last line that was let go, until it is summed up
	gone   uint64 // sequence of the first record that is here, 0 if none was let go
	hash   []byte // of the record before it, in hex
}

// NewRing keeps at most so many bytes, a line at least.
func NewRing(max int) *Ring { return &Ring{max: max} }

// After has the ring begin where a log goes on. What was before is elsewhere.
func (r *Ring) After(s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.next > 0 {
		r.gone, r.hash = s.next, fmt.Appendf(nil, "%x", s.chain[:])
	}
}

// Write takes whole lines, as a Log gives them.
func (r *Ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range bytes.Lines(p) {
		if len(line) == 1 {
			continue // ends a line that was torn in another sink
		}
		r.lines = append(r.lines, bytes.Clone(line))
		r.size += len(line)
	}
	for r.size > r.max && len(r.lines) > 1 {
		r.drop()
	}
	return len(p), nil
}

// drop lets the oldest line go. What it says is read when somebody asks: a ring that
// is full drops one for each that comes.
func (r *Ring) drop() {
	r.before = r.lines[0]
	r.size -= len(r.lines[0])
	r.lines[0] = nil
	r.lines = r.lines[1:]
}

// sum notes what was let go. It needs the lock.
func (r *Ring) sum() {
	hash, _, rec, err := parseLine(bytes.TrimSuffix(r.before, []byte{'\n'}))
	if err == nil {
		r.gone, r.hash = rec.Seq+1, fmt.Appendf(nil, "%x", hash[:])
	}
	r.before = nil
}

// Bytes returns what is there, as [Verify] reads it.
func (r *Ring) Bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	r.sum()
	if r.gone > 0 {
		out = fmt.Appendf(out, "%s%d %s\n", earlier, r.gone, r.hash)
	}
	for _, line := range r.lines {
		out = append(out, line...)
	}
	return out
}
