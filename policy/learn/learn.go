// Package learn answers one question: what is the smallest policy under which an
// app does again what it was seen to do?
//
// A box that is learned from runs on a developer's own machine, simulated, under
// the policy that [Open] makes of the developer's: the same app, the same callers,
// and no bounds on what is to be found out. A [Recorder] is told what happens. Then
// [Propose] writes the developer's document again with the sections that were seen
// in their smallest form, and beside each line what was seen.
//
// It is a proposal. What an app did once, with the requests of one test, is neither
// all that it needs nor all of it good; a person reads the lines before they are
// relied on.
//
// Of a request the method, the path without its query, the model and sizes are
// kept, and nothing else: no header, no query, no body.
//
// The package stands with the developer. Nothing of it is in a box, and it does no
// I/O: what it is told was observed elsewhere. The app is a stranger to it, so
// everything that it records has a bound.
package learn

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/blindbox/blindbox/policy"
)

// Bounds of a Recorder. What is above is counted and not kept.
const (
	maxRequests     = 20000 // different requests
	maxDestinations = 1024
	maxFolders      = 256
)

// Seen is everything that was observed. The zero Seen is nothing.
type Seen struct {
	Requests []Request // each different one, in the order of their first time
	Attempts []Attempt
	// Confined says that the app ran in a container of its own, so that Attempts,
	// Folders and what Peak has of the app were observed at all.
	Confined bool
	Folders  []Folder
	Peak     Peak
	// Lost is how many observations were above a bound.
	Lost int
}

// Request is what a caller sent, without what it carried.
type Request struct {
	Caller string
	Action policy.Action
	Method string
	Path   string
	Model  string
	Count  int
}

// Attempt is a place that the app tried to connect to.
type Attempt struct {
	Host string // a name or an address
	Port uint16
	// Protocol is "tcp", or what was tried instead. Only TCP can be allowed.
	Protocol string
	Count    int
}

// Folder is where the app wrote.
type Folder struct {
	Path string
	// Example is the first file that was written there.
	Example string
	Files   int
	Bytes   int64
	// Holds says that the image has files of its own there, which an empty folder
	// in its place would hide.
	Holds bool
}

// Peak is the most of each at one time.
type Peak struct {
	Memory     int64 // bytes
	PIDs       int
	OpenFiles  int   // of one process
	Request    int64 // bytes of a body
	Response   int64
	Concurrent int
}

// Recorder collects what is seen. It is safe for concurrent use.
type Recorder struct {
	mu       sync.Mutex
	seen     Seen
	requests map[Request]int // places in seen.Requests; the Count of a key is 0
	attempts map[Attempt]int
	now      int // requests at this moment
}

// NewRecorder returns a Recorder for an app that runs in a container of its own, or
// for one that does not.
func NewRecorder(confined bool) *Recorder {
	return &Recorder{seen: Seen{Confined: confined}, requests: map[Request]int{}, attempts: map[Attempt]int{}}
}

// Request records one request.
func (r *Recorder) Request(q Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.Count = 0
	i, known := r.requests[q]
	switch {
	case known:
		r.seen.Requests[i].Count++
	case len(r.seen.Requests) == maxRequests:
		r.seen.Lost++
	default:
		r.requests[q] = len(r.seen.Requests)
		q.Count = 1
		r.seen.Requests = append(r.seen.Requests, q)
	}
}

// Begin records that a request is being served, until done is called with the bytes
// of its body and of the answer's.
func (r *Recorder) Begin() (done func(request, response int64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now++
	r.seen.Peak.Concurrent = max(r.seen.Peak.Concurrent, r.now)
	return func(request, response int64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now--
		r.seen.Peak.Request = max(r.seen.Peak.Request, request)
		r.seen.Peak.Response = max(r.seen.Peak.Response, response)
	}
}

// Attempt records that the app tried to connect.
func (r *Recorder) Attempt(a Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Count = 0
	i, known := r.attempts[a]
	switch {
	case known:
		r.seen.Attempts[i].Count++
	case len(r.seen.Attempts) == maxDestinations:
		r.seen.Lost++
	default:
		r.attempts[a] = len(r.seen.Attempts)
		a.Count = 1
		r.seen.Attempts = append(r.seen.Attempts, a)
	}
}

// Usage records what the app uses at this moment.
func (r *Recorder) Usage(p Peak) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := &r.seen.Peak
	to.Memory, to.PIDs, to.OpenFiles = max(to.Memory, p.Memory), max(to.PIDs, p.PIDs), max(to.OpenFiles, p.OpenFiles)
}

// Files records what a tree was and what the app has made of it.
func (r *Recorder) Files(before, after Tree) {
	found := before.Changed(after)
	r.mu.Lock()
	defer r.mu.Unlock()
	byPath := map[string]Folder{}
	for _, f := range slices.Concat(r.seen.Folders, found) {
		if old, known := byPath[f.Path]; known {
			f.Example, f.Files, f.Bytes = cmp.Or(old.Example, f.Example), max(f.Files, old.Files), max(f.Bytes, old.Bytes)
			f.Holds = f.Holds || old.Holds
		}
		byPath[f.Path] = f
	}
	r.seen.Folders = nil
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		if len(r.seen.Folders) == maxFolders {
			r.seen.Lost++
			continue
		}
		r.seen.Folders = append(r.seen.Folders, byPath[path])
	}
}

// Seen returns what was recorded so far.
func (r *Recorder) Seen() Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.seen
	s.Requests, s.Attempts, s.Folders = slices.Clone(s.Requests), slices.Clone(s.Attempts), slices.Clone(s.Folders)
	return s
}
