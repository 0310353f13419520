package policy

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// memory remembers what was permitted. [Policy.Decide] gives the same answer to the
// same question for as long as a policy lives, and the whole question is compared,
// so an answer from memory is the answer. Denials are not kept: they are cheap, and
// whoever sends them without end should not push out what is in use.
//
// It has a fixed number of places, and a question has one of them, by a hash that
// nobody outside can predict. Paths stay in the box's memory this way, as the
// requests of open connections do.
type memory struct {
	seed   maphash.Seed
	places [1 << 10]atomic.Pointer[remembered]
}

type remembered struct {
	question Request
	answer   Decision
}

// maxRemembered bounds a question, and so the memory to 1,024 times as much.
const maxRemembered = 256

func newMemory() *memory { return &memory{seed: maphash.MakeSeed()} }

func (m *memory) place(r *Request) *atomic.Pointer[remembered] {
	h := maphash.String(m.seed, r.Path)
	for _, s := range [...]string{r.Caller, string(r.Action), r.Method, r.Model} {
		h = h*0x9e3779b97f4a7c15 ^ maphash.String(m.seed, s)
	}
	return &m.places[h%uint64(len(m.places))]
}

// recall returns what was permitted, or false.
func (m *memory) recall(r *Request) (Decision, bool) {
	if known := m.place(r).Load(); known != nil && known.question == *r {
		return known.answer, true
	}
	return Decision{}, false
}

func (m *memory) keep(r Request, d Decision) {
	if !d.Allowed || len(r.Caller)+len(r.Action)+len(r.Method)+len(r.Path)+len(r.Model) > maxRemembered {
		return
	}
	// The strings are parts of larger ones, such as a whole request line.
	r.Method, r.Path, r.Model = strings.Clone(r.Method), strings.Clone(r.Path), strings.Clone(r.Model)
	r.Caller, r.Action = strings.Clone(r.Caller), Action(strings.Clone(string(r.Action)))
	m.place(&r).Store(&remembered{r, d})
}
