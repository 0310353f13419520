package endorse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/source"
)

// Get returns one object: from the cache while it is fresh; from the cache while
// it is in force, and a newer one is fetched in the background; else from the
// vendor. ev is the evidence that it is for; only NVIDIA's objects need it.
func (f *Fetcher) Get(ctx context.Context, o source.Object, ev attest.Evidence) (Item, error) {
	return f.get(ctx, o, subject{evidence: ev})
}

func (f *Fetcher) get(ctx context.Context, o source.Object, s subject) (Item, error) {
	kept, found, err := f.cached(o, s)
	if err != nil {
		return Item{}, err
	}
	switch {
	case found && (f.opt.Offline || (!f.opt.Refresh && f.now().Before(freshUntil(kept)))):
		return kept, nil
	case f.opt.Offline:
		return Item{}, fmt.Errorf("endorse: %s is not in the cache and nothing may be fetched: %w", o.What(), attest.ErrUnavailable)
	case found && !f.opt.Refresh:
		f.refreshLater(ctx, o, s)
		return kept, nil
	}
	it, err := f.fetch(ctx, o, s)
	if err != nil && found && errors.Is(err, attest.ErrUnavailable) {
		kept.Kept = err
		return kept, nil
	}
	return it, err
}

// longestFresh is how long a list is used without asking whether there is a
// newer one, however far its end is: AMD's lists last for a year.
const longestFresh = 24 * time.Hour

// freshUntil is when a newer object should be asked for.
func freshUntil(it Item) time.Time {
	if it.Object.Immutable() && it.Object.Form() == source.FormVCEK {
		return it.Facts.Until // a function of chip and TCB: there is no newer one
	}
	age := longestFresh
	if !it.Facts.Until.IsZero() {
		age = min(age, it.Facts.Until.Sub(it.Fetched)/4)
	}
	return it.Fetched.Add(age)
}

// cached returns the object in the cache if it still passes every check.
func (f *Fetcher) cached(o source.Object, s subject) (Item, bool, error) {
	if f.opt.Cache == nil {
		return Item{}, false, nil
	}
	e, found, err := f.opt.Cache.Get(o.Key())
	if err != nil || !found {
		return Item{}, false, err
	}
	it, err := f.accept(o, fetch.Answer{Data: e.Data, Chain: e.Chain}, s, e.Fetched)
	var refused *attest.Failure
	if errors.As(err, &refused) {
		return Item{}, false, nil // out of date, or not what was put there
	}
	return it, err == nil, err
}

// accept verifies an object and compares it with the floor of its series.
func (f *Fetcher) accept(o source.Object, a fetch.Answer, s subject, fetched time.Time) (Item, error) {
	facts, err := f.opt.Roots.check(o, a, s, f.now())
	if err != nil {
		return Item{}, err
	}
	if f.opt.Cache != nil {
		c, err := compareFloor(f.opt.Cache, o.What(), facts)
		if err != nil {
			return Item{}, err
		}
		if c.Status == attest.Fail {
			return Item{}, &attest.Failure{Checks: []attest.Check{c}}
		}
	}
	return Item{Object: o, Data: a.Data, Chain: a.Chain, Facts: facts, Fetched: fetched}, nil
}

// fetch asks for an object, verifies it and keeps it.
func (f *Fetcher) fetch(ctx context.Context, o source.Object, s subject) (Item, error) {
	answer, err := f.client.Get(ctx, o)
	if err != nil {
		return Item{}, err
	}
	it, err := f.accept(o, answer, s, f.now())
	if err != nil || f.opt.Cache == nil {
		return it, err
	}
	// The floor first: what was seen must count even if it cannot be kept.
	if err := raise(f.opt.Cache, it.Facts); err != nil {
		return Item{}, err
	}
	if err := f.opt.Cache.Put(cache.Entry{Key: o.Key(), Data: it.Data, Chain: it.Chain, Fetched: it.Fetched}); err != nil {
		return Item{}, err
	}
	return it, nil
}

// refreshLater fetches an object in the background, once at a time.
func (f *Fetcher) refreshLater(ctx context.Context, o source.Object, s subject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refreshing[o.Key()] {
		return
	}
	f.refreshing[o.Key()] = true
	f.background.Go(func() {
		// The caller has its answer; this one ends by its own limit.
		_, _ = f.fetch(context.WithoutCancel(ctx), o, s)
		f.mu.Lock()
		delete(f.refreshing, o.Key())
		f.mu.Unlock()
	})
}

// Wait returns when nothing is being fetched in the background.
func (f *Fetcher) Wait() { f.background.Wait() }

// evidenceOf returns the evidence of each part.
func evidenceOf(ev attest.Evidence, parts int) ([]attest.Evidence, error) {
	if ev.Kind != attest.Composite {
		return []attest.Evidence{ev}, nil
	}
	inner, err := form.ParseComposite(ev.Data)
	if err != nil || len(inner) != parts {
		return nil, fmt.Errorf("endorse: composite evidence of %d parts, expected %d: %w", len(inner), parts, err)
	}
	return inner, nil
}
