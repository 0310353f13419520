package endorse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/freshness"
	"github.com/blindbox/blindbox/endorse/need"
	"github.com/blindbox/blindbox/endorse/source"
)

// Options are how to get endorsements. The zero value gets them from the
// vendors, verifies them up to their roots and remembers nothing.
type Options struct {
	Fetch fetch.Options
	// Cache keeps objects and floors; nil means that nothing is remembered.
	Cache *cache.Dir
	// Roots are what objects are verified up to; the zero value means the vendors'.
	Roots Roots
	// Refresh asks for objects that are still fresh as well.
	Refresh bool
	// Offline never asks anybody: what is not in the cache is unavailable.
	Offline bool
	// Update is the set of Intel's TCB info; the zero value is the standard one.
	Update source.Update
}

// Fetcher gets endorsements. It is safe for concurrent use.
type Fetcher struct {
	opt    Options
	client *fetch.Client
	now    func() time.Time

	background sync.WaitGroup
	mu         sync.Mutex
	refreshing map[string]bool
}

// New checks the options.
func New(opt Options) (*Fetcher, error) {
	if opt.Roots == (Roots{}) {
		var err error
		if opt.Roots, err = NewRoots(); err != nil {
			return nil, err
		}
	}
	if opt.Offline && (opt.Refresh || opt.Cache == nil) {
		return nil, errors.New("endorse: offline, with nothing to refresh from or no cache")
	}
	client, err := fetch.New(opt.Fetch)
	if err != nil {
		return nil, err
	}
	f := &Fetcher{opt: opt, client: client, now: opt.Fetch.Now, refreshing: make(map[string]bool)}
	if f.now == nil {
		f.now = time.Now
	}
	return f, nil
}

// Item is one object that was verified.
type Item struct {
	Object  source.Object
	Data    []byte
	Chain   []byte // issuers' certificates, PEM; nil if there are none
	Facts   freshness.Facts
	Fetched time.Time
	// Kept says why the object in the cache was not replaced: it is in force, and
	// a newer one could not be had. nil if it is fresh.
	Kept error
}

// Endorsements returns the item as what travels beside evidence.
func (it Item) Endorsements() attest.Endorsements {
	out := attest.Endorsements{{Label: it.Object.Label(), Data: it.Data}}
	if it.Object.Form() == source.FormTCBInfo {
		out = append(out, attest.Endorsement{Label: attest.LabelIntelTCBChain, Data: it.Chain})
	}
	return out
}

// For returns everything that the evidence needs, or an error that names
// everything that could not be had: it wraps attest.ErrUnavailable, or is an
// [*attest.Failure] where something was there and was refused.
func (f *Fetcher) For(ctx context.Context, ev attest.Evidence) (attest.Endorsements, error) {
	return f.Complete(ctx, ev, nil)
}

// Complete is For for evidence to which something was stapled already. It
// returns what is missing, not what it was given.
func (f *Fetcher) Complete(ctx context.Context, ev attest.Evidence, have attest.Endorsements) (attest.Endorsements, error) {
	items, err := f.Items(ctx, ev, have)
	if err != nil {
		return nil, err
	}
	var out attest.Endorsements
	for _, it := range items {
		for _, e := range it.Endorsements() {
			if _, there, err := out.Get(e.Label); there || err != nil {
				continue // two parts of composite evidence need the same
			}
			if _, there, err := have.Get(e.Label); there || err != nil {
				continue
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// Items returns the objects themselves. All are asked for at once; the whole
// ends within the total of [fetch.Options], or sooner with ctx.
func (f *Fetcher) Items(ctx context.Context, ev attest.Evidence, have attest.Endorsements) ([]Item, error) {
	parts, err := need.Of(ev, need.Options{Have: have, Update: f.opt.Update})
	if err != nil {
		return nil, fmt.Errorf("endorse: %w", err)
	}
	evidence, err := evidenceOf(ev, len(parts))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.total())
	defer cancel()
	found, errs := make([][]Item, len(parts)), make([]error, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() { found[i], errs[i] = f.part(ctx, p, evidence[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out []Item
	for _, items := range found {
		out = append(out, items...)
	}
	return out, nil
}

func (f *Fetcher) total() time.Duration {
	if t := f.opt.Fetch.Total; t > 0 {
		return t
	}
	return fetch.DefaultTotal
}

// part follows the first plan whose first object the vendor has.
func (f *Fetcher) part(ctx context.Context, p need.Part, ev attest.Evidence) ([]Item, error) {
	var errs []error
	for _, plan := range p.Plans {
		items, err := f.plan(ctx, plan, ev)
		if err == nil {
			return items, nil
		}
		errs = append(errs, err)
		if !missing(err) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (f *Fetcher) plan(ctx context.Context, plan need.Plan, ev attest.Evidence) ([]Item, error) {
	items, err := f.all(ctx, plan, subject{evidence: ev})
	if err != nil {
		return nil, err
	}
	out, errs := items, []error(nil)
	for _, it := range items {
		more, err := f.all(ctx, need.After(it.Object, it.Data), subject{evidence: ev, beside: it.Endorsements()})
		out, errs = append(out, more...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// all gets objects at once.
func (f *Fetcher) all(ctx context.Context, plan need.Plan, s subject) ([]Item, error) {
	items, errs := make([]Item, len(plan)), make([]error, len(plan))
	var wg sync.WaitGroup
	for i, o := range plan {
		wg.Go(func() { items[i], errs[i] = f.get(ctx, o, s) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return items, nil
}

// missing reports whether a vendor said that it has no such object.
func missing(err error) bool {
	var e *fetch.Error
	return errors.As(err, &e) && e.Status == 404
}
