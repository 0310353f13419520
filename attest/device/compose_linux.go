package device

import (
	"context"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// Parts asks what is beside the processor for Evidence over b: one piece for
// each device, at least one.
type Parts func(ctx context.Context, b attest.Bound) ([]attest.Evidence, attest.Endorsements, error)

// One is the Parts of a single Attester.
func One(a attest.Attester) Parts {
	return func(ctx context.Context, b attest.Bound) ([]attest.Evidence, attest.Endorsements, error) {
		ev, end, err := a.Attest(ctx, b)
		if err != nil {
			return nil, nil, err
		}
		return []attest.Evidence{ev}, end, nil
	}
}

// Compose returns an Attester of kind Composite: the processor first, then what
// is beside it, all over the same bytes. If one of them gives nothing there is
// no evidence.
func Compose(cpu attest.Attester, beside ...Parts) (attest.Attester, error) {
	switch {
	case cpu == nil || !cpu.Kind().Valid() || cpu.Kind().Device() || cpu.Kind() == attest.Composite:
		return nil, errors.New("device: composite evidence begins with that of a processor")
	case len(beside) == 0:
		return nil, errors.New("device: composite evidence of a processor alone")
	}
	return &composite{cpu, beside}, nil
}

type composite struct {
	cpu    attest.Attester
	beside []Parts
}

// Kind returns Composite.
func (c *composite) Kind() attest.Kind { return attest.Composite }

// BindPolicy has the processor's hardware bind the policy, if that is done when
// the box starts.
func (c *composite) BindPolicy(policy attest.Digest) error {
	if b, ok := c.cpu.(interface{ BindPolicy(attest.Digest) error }); ok {
		return b.BindPolicy(policy)
	}
	return nil
}

// Attest asks everything in turn.
func (c *composite) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	var parts []attest.Evidence
	var all attest.Endorsements
	for i, ask := range append([]Parts{One(c.cpu)}, c.beside...) {
		got, end, err := ask(ctx, b)
		if err != nil {
			return attest.Evidence{}, nil, err
		}
		if len(got) == 0 {
			return attest.Evidence{}, nil, unavailable(fmt.Errorf("part %d of %d gave none", i, len(c.beside)))
		}
		parts, all = append(parts, got...), append(all, end...)
	}
	for i, e := range all {
		if _, _, err := all[i:].Get(e.Label); err != nil {
			return attest.Evidence{}, nil, unavailable(fmt.Errorf("two parts staple %s", e.Label))
		}
	}
	ev, err := form.EncodeComposite(parts)
	if err != nil {
		return attest.Evidence{}, nil, unavailable(err)
	}
	return ev, all, nil
}
