// Package bodies answers one question: is there memory for this request's body?
//
// What a box reads whole before it answers lies in its memory. Each request may bring as
// much as the policy says, and many come at once, so they have a room together, and no
// caller fills it alone. Memory is taken as bytes come and not as they are announced.
package bodies

import (
	"errors"
	"io"
	"sync"
)

// ErrFull says that the bodies of this moment take the memory that another one needs.
var ErrFull = errors.New("the requests of this moment take the memory that this one needs")

// Room is the memory of all bodies. It is safe for concurrent use.
type Room struct {
	total, each int64
	alone       bool // there is one caller

	mu      sync.Mutex
	used    int64
	callers map[string]int64
}

// What a room holds: so many of the largest bodies, or else many small ones.
const (
	largest = 8
	least   = 64 << 20
)

// New returns a room in which one body has at most so many bytes. It holds eight of them,
// or 64 MiB; alone says that there is one caller. Otherwise each has half of it at most,
// and no more than twice what that leaves: two callers leave a sixth for the others, and
// each further one a third of what it found. A body that grows counts as it is and as it
// will be.
func New(most int64, alone bool) *Room {
	r := &Room{total: max(least, largest*min(most, 1<<59)), alone: alone, callers: map[string]int64{}}
	r.each = r.total / 2
	if alone {
		r.each = r.total
	}
	return r
}

func (r *Room) take(caller string, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	left, own := r.total-r.used-n, r.callers[caller]+n
	if left < 0 || own > r.each || !r.alone && own/2 > left {
		return false
	}
	r.used += n
	r.callers[caller] += n
	return true
}

func (r *Room) give(caller string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.callers[caller] -= n; r.callers[caller] == 0 {
		delete(r.callers, caller)
	}
}

// first is how much memory is taken for a body before any of it is there.
const first = 64 << 10

// ReadAll reads all of a body, which has at most so many bytes and one, which is for the
// end to be seen. The body counts until free is called, which is never nil. The error is
// ErrFull, or that of from.
func (r *Room) ReadAll(caller string, from io.Reader, most int64) (text []byte, free func(), err error) {
	held := int64(0)
	free = sync.OnceFunc(func() { r.give(caller, held) })
	for {
		if len(text) == cap(text) {
			size := max(min(2*int64(len(text)), most+1), int64(len(text))+1)
			if text == nil {
				size = min(first, most+1)
			}
			if !r.take(caller, size) {
				free()
				return nil, free, ErrFull
			}
			old := held
			text, held = append(make([]byte, 0, size), text...), size
			r.give(caller, old)
		}
		n, err := from.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) {
			return text, free, nil
		}
		if err != nil {
			free()
			return nil, free, err
		}
	}
}
