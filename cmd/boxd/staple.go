package main

import (
	"context"
	"fmt"
	"io"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/staple"
)

// fromVendors is the value of --endorsements-from that means no mirror.
const fromVendors = "vendors"

// stapled returns the attester with what vendors sign about this machine, which
// is fetched in the background until ctx ends. The box runs the same without a
// network, and believes nothing of what it staples.
func stapled(ctx context.Context, inner attest.Attester, from string, stderr io.Writer) (attest.Attester, error) {
	if from == "" {
		return inner, nil
	}
	opt := fetch.Options{Mirror: from}
	if from == fromVendors {
		opt.Mirror = ""
	}
	getter, err := fetch.New(opt)
	if err != nil {
		return nil, usage("--endorsements-from: %v", err)
	}
	a, err := staple.New(staple.Config{
		Attester: inner, Getter: getter,
		Log: func(line string) { fmt.Fprintln(stderr, "boxd:", line) },
	})
	if err != nil {
		return nil, err
	}
	go a.Run(ctx)
	return a, nil
}
