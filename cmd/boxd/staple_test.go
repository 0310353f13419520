package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

// machineOf is an attester of a kind that is never asked.
type machineOf attest.Kind

func (m machineOf) Kind() attest.Kind { return attest.Kind(m) }

func (m machineOf) Attest(context.Context, attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	return attest.Evidence{}, nil, attest.ErrUnavailable
}

func TestStapled(t *testing.T) {
	inner := machineOf(attest.SNP)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that nothing is fetched
	if a, err := stapled(ctx, inner, "", io.Discard); err != nil || a != attest.Attester(inner) {
		t.Errorf("without the flag: %v, %v", a, err)
	}
	for _, from := range []string{fromVendors, "http://127.0.0.1:8460"} {
		a, err := stapled(ctx, inner, from, io.Discard)
		if err != nil || a == attest.Attester(inner) || a.Kind() != attest.SNP {
			t.Errorf("%s: %v, %v", from, a, err)
		}
	}
	for _, from := range []string{"vendor", "file:///x", "http://u:p@h"} {
		if a, err := stapled(ctx, inner, from, io.Discard); err == nil || a != nil || !strings.Contains(err.Error(), "--endorsements-from") {
			t.Errorf("%s: %v, %v", from, a, err)
		}
	}
}
