package main

import (
	"context"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/fetch"
)

// allowFetch has the endorsements that a file does not hold fetched, if the user
// asked for that. Otherwise verifying uses no network.
func (s *session) allowFetch(ctx context.Context, o *verifyOptions) error {
	switch {
	case !o.fetch && o.from != "":
		return usage("--endorsements-from without --fetch")
	case !o.fetch:
		return nil
	case o.at != "":
		return usage("--fetch with --at: vendors hand out what is in force now, which says nothing about another time")
	case o.timeout <= 0:
		return usage("--timeout %s, expected more than none", o.timeout)
	}
	opt := endorse.Options{Fetch: fetch.Options{Mirror: o.from, Now: s.now, Total: min(o.timeout, fetch.DefaultTotal)}}
	if _, err := endorse.New(opt); err != nil {
		return usage("%v", err)
	}
	o.supplied.fetch = func(b *attest.Bundle) error { return s.fetchMissing(ctx, opt, b) }
	return nil
}

// fetchMissing adds to a bundle what its evidence needs and does not have. What
// is fetched is verified here and again with the evidence.
func (s *session) fetchMissing(ctx context.Context, opt endorse.Options, b *attest.Bundle) error {
	if !b.Evidence.Kind.Valid() {
		return nil // devices, each with its own
	}
	dir, err := s.openCache("")
	if err != nil {
		return err
	}
	defer dir.Close()
	opt.Cache = dir
	f, err := endorse.New(opt)
	if err != nil {
		return err
	}
	defer f.Wait()
	more, err := f.Complete(ctx, b.Evidence, b.Endorsements)
	if err != nil {
		return endorsementFailure(err)
	}
	b.Endorsements = append(b.Endorsements[:len(b.Endorsements):len(b.Endorsements)], more...)
	return nil
}
