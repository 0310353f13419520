package staple

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/freshness"
)

// Run fetches what is needed and fetches it again before it ends, until ctx
// does. It is called once.
func (a *Attester) Run(ctx context.Context) {
	for ctx.Err() == nil {
		it, wait := a.nextDue()
		if it != nil {
			a.refresh(ctx, it)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Wake makes Run look at the clock at once, for instance after the machine
// slept.
func (a *Attester) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// nextDue returns an object that is due, or how long nothing is.
func (a *Attester) nextDue() (*item, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, wait := a.cfg.Now(), time.Hour
	var first *item
	for _, it := range a.kept {
		if left := it.due.Sub(now); left > 0 {
			wait = min(wait, left)
		} else if first == nil || it.due.Before(first.due) {
			first = it
		}
	}
	return first, wait
}

// refresh asks for one object. The lock is not held meanwhile.
func (a *Attester) refresh(ctx context.Context, it *item) {
	answer, err := a.cfg.Getter.Get(ctx, it.object)
	var facts freshness.Facts
	if err == nil {
		facts, err = freshness.Read(it.object.Form(), answer.Data)
	}
	a.mu.Lock()
	now := a.cfg.Now()
	if err == nil {
		err = it.better(facts, now)
	}
	if err == nil {
		it.answer, it.facts, it.failures, it.denied = answer, facts, 0, false
		it.due = it.next(now, a.cfg.Jitter())
	} else {
		it.failures++
		it.denied = denied(err)
		it.due = it.retry(now, a.cfg.Jitter())
	}
	it.done()
	again := it.due
	a.mu.Unlock()
	if err != nil {
		a.cfg.Log(fmt.Sprintf("endorsements: %v; next attempt %s", err, again.UTC().Format(time.RFC3339)))
		return
	}
	a.cfg.Log(fmt.Sprintf("endorsements: %s fetched; again %s", it.object.What(), again.UTC().Format(time.RFC3339)))
}

// better refuses an answer that is of no use, or older than what is there.
func (it *item) better(f freshness.Facts, now time.Time) error {
	switch {
	case !f.Until.IsZero() && now.After(f.Until):
		return fmt.Errorf("staple: %s: ended %s", it.object.What(), f.Until.UTC().Format(time.RFC3339))
	case f.From.After(now):
		return fmt.Errorf("staple: %s: begins %s, in the future", it.object.What(), f.From.UTC().Format(time.RFC3339))
	case it.answer.Data != nil && it.facts.Number != nil && f.Number != nil && f.Number.Cmp(it.facts.Number) < 0:
		return fmt.Errorf("staple: %s: number %s, older than the one that is stapled, %s", it.object.What(), f.Number, it.facts.Number)
	}
	return nil
}

// denied reports whether the server says that there is no such object.
func denied(err error) bool {
	var e *fetch.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}
