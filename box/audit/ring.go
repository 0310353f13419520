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

	mu    sync.Mutex
	lines [][]byte
	size  int
	gone  uint64 // sequence of the first record that is here, 0 if none was let go
	hash  []byte // of the record before it, in hex
}

// NewRing keeps at most so many bytes, a line at least.
func NewRing(max int) *Ring { return &Ring{max: max} }

// Write takes whole lines, as a Log gives them.
func (r *Ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range bytes.Lines(p) {
		r.lines = append(r.lines, bytes.Clone(line))
		r.size += len(line)
	}
	for r.size > r.max && len(r.lines) > 1 {
		r.drop()
	}
	return len(p), nil
}

func (r *Ring) drop() {
	hash, _, rec, err := parseLine(bytes.TrimSuffix(r.lines[0], []byte{'\n'}))
	if err == nil {
		r.gone, r.hash = rec.Seq+1, []byte(fmt.Sprintf("%x", hash[:]))
	}
	r.size -= len(r.lines[0])
	r.lines[0] = nil
	r.lines = r.lines[1:]
}

// Bytes returns what is there, as [Verify] reads it.
func (r *Ring) Bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	if r.gone > 0 {
		out = fmt.Appendf(out, "%s%d %s\n", earlier, r.gone, r.hash)
	}
	for _, line := range r.lines {
		out = append(out, line...)
	}
	return out
}
