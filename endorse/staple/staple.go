// Package staple answers one question, inside the box: which of the vendors'
// objects can be sent along with the evidence right now?
//
// It wraps the box's attester. Whatever the evidence needs is fetched in the
// background and kept in memory; a handshake takes what is there. It waits for
// the very first fetch, for [Config.Wait] at most, and for nothing afterwards:
// a vendor that is down, or a box without a network, costs the relying party an
// endorsement and never the box.
//
// The box trusts nothing of it, and no verifier is linked: of an answer it looks
// at the size and the dates. The relying party verifies what is stapled as if a
// stranger had sent it.
package staple

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/need"
	"github.com/blindbox/blindbox/endorse/source"
)

// Getter fetches one object; *fetch.Client is one.
type Getter interface {
	Get(ctx context.Context, o source.Object) (fetch.Answer, error)
}

// Config is what an Attester is made of. Attester and Getter are required.
type Config struct {
	Attester attest.Attester
	Getter   Getter
	// Wait bounds how long a handshake waits for objects that were never asked
	// for before; default 2 s.
	Wait time.Duration
	// Log is told about every object that was fetched or could not be; nil means
	// that nobody is. It is called from one goroutine.
	Log func(line string)

	// For tests: the clock, and a number from 0 to 1 that spreads the times of
	// many boxes. nil means the real ones.
	Now    func() time.Time
	Jitter func() float64
}

// DefaultWait is the most that a handshake waits.
const DefaultWait = 2 * time.Second

// room is what a bundle leaves for endorsements, so that stapling never makes
// one that cannot be encoded.
const room = attest.MaxBundle - attest.MaxEvidence - attest.MaxPolicy - 64<<10

// Attester is the box's attester with endorsements. It is safe for concurrent
// use. Without [Attester.Run] it fetches nothing.
type Attester struct {
	cfg  Config
	wake chan struct{}

	mu   sync.Mutex
	kept map[string]*item // by key
}

// New checks the configuration.
func New(cfg Config) (*Attester, error) {
	switch {
	case cfg.Attester == nil || !cfg.Attester.Kind().Valid():
		return nil, errors.New("staple: no attester")
	case cfg.Getter == nil:
		return nil, errors.New("staple: nothing to fetch with")
	case cfg.Wait < 0:
		return nil, fmt.Errorf("staple: wait of %s, expected none below 0", cfg.Wait)
	}
	if cfg.Wait == 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	return &Attester{cfg: cfg, wake: make(chan struct{}, 1), kept: make(map[string]*item)}, nil
}

// Kind returns the kind of the evidence.
func (a *Attester) Kind() attest.Kind { return a.cfg.Attester.Kind() }

// Attest returns the machine's evidence with everything that could be had for
// it. That something could not is no error.
func (a *Attester) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	ev, end, err := a.cfg.Attester.Attest(ctx, b)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	parts, err := need.Of(ev, need.Options{Have: end})
	if err != nil {
		return ev, end, nil // nothing can be named, so nothing is added
	}
	wait := time.NewTimer(a.cfg.Wait)
	defer wait.Stop()
	for {
		found, pending := a.collect(parts)
		if pending == nil {
			return ev, add(end, found), nil
		}
		select {
		case <-pending:
		case <-wait.C:
			return ev, add(end, found), nil
		case <-ctx.Done():
			return ev, add(end, found), nil
		}
	}
}

// collect returns what is there for the parts, and, if something was never asked
// for, what is closed once it was.
func (a *Attester) collect(parts []need.Part) (attest.Endorsements, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Now()
	var found attest.Endorsements
	var pending <-chan struct{}
	for _, p := range parts {
		for _, obj := range a.choose(p.Plans) {
			it := a.item(obj, now)
			all := []*item{it}
			for _, more := range need.After(obj, it.answer.Data) {
				all = append(all, a.item(more, now))
			}
			for _, it := range all {
				if !it.asked() {
					pending = it.first
				}
				found = append(found, it.endorsements(now)...)
			}
		}
	}
	return found, pending
}

// choose picks the plan whose first object the vendor has not denied.
func (a *Attester) choose(plans []need.Plan) need.Plan {
	for i, p := range plans {
		if i == len(plans)-1 || len(p) == 0 {
			return p
		}
		if it := a.kept[p[0].Key()]; it == nil || !it.denied {
			return p
		}
	}
	return nil
}

// item returns the object's entry, a new one if need be.
func (a *Attester) item(obj source.Object, now time.Time) *item {
	it := a.kept[obj.Key()]
	if it == nil {
		a.makeRoom()
		it = &item{object: obj, first: make(chan struct{})}
		a.kept[obj.Key()] = it
		a.Wake()
	}
	it.used = now
	return it
}

// maxKept bounds the objects in memory. A machine needs fewer than 64; a new TCB
// makes new ones.
const maxKept = 2 * attest.MaxEndorsements

// makeRoom drops the object that was last needed longest ago.
func (a *Attester) makeRoom() {
	if len(a.kept) < maxKept {
		return
	}
	oldest := ""
	for key, it := range a.kept {
		if oldest == "" || it.used.Before(a.kept[oldest].used) {
			oldest = key
		}
	}
	a.kept[oldest].done()
	delete(a.kept, oldest)
}

// add appends what is not there yet, as far as a bundle has room.
func add(end, more attest.Endorsements) attest.Endorsements {
	out := append(attest.Endorsements(nil), end...)
	size := 0
	for _, e := range out {
		size += len(e.Data)
	}
	for _, e := range more {
		_, there, err := out.Get(e.Label)
		if there || err != nil || len(out) >= attest.MaxEndorsements || size+len(e.Data) > room || len(e.Data) > attest.MaxEndorsement {
			continue
		}
		size += len(e.Data)
		out = append(out, e)
	}
	return out
}
