package box

import (
	"context"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/launch"
	"github.com/blindbox/blindbox/policy"
)

// closedDoor is the box's hardware behind a comparison: no evidence leaves the box
// that does not say what the box says of itself. The first that differs ends the
// box: nothing that is honest changes either.
type closedDoor struct {
	attest.Attester
	policy attest.Digest
	differ chan error // gets why, once
}

func closeDoor(a attest.Attester, p *policy.Policy) *closedDoor {
	return &closedDoor{Attester: a, policy: p.Digest(), differ: make(chan error, 1)}
}

// Attest asks the hardware, and compares.
func (d *closedDoor) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	ev, end, err := d.Attester.Attest(ctx, b)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	if ev.Kind != d.Kind() {
		return attest.Evidence{}, nil, fmt.Errorf("box: the attester of kind %s gave %d bytes of kind %s: %w", d.Kind(), len(ev.Data), ev.Kind, attest.ErrUnavailable)
	}
	if err := launch.Holds(ev, b, d.policy); err != nil {
		return attest.Evidence{}, nil, d.refuse(err)
	}
	return ev, end, nil
}

// refuse tells the box, if evidence differs; evidence that cannot be read is none.
func (d *closedDoor) refuse(err error) error {
	if !errors.Is(err, launch.ErrOther) {
		return fmt.Errorf("box: %w: %w", attest.ErrUnavailable, err)
	}
	select {
	case d.differ <- err:
	default:
	}
	return err
}

// mayOpen compares the three places where the policy of a box is: what was bound
// when it was launched, the statement that its hardware signed, and the document
// that was loaded. The bundle is what the box shows to others.
func mayOpen(bundle, loaded []byte) error {
	shown, err := attest.ParseBundle(bundle)
	if err != nil {
		return err
	}
	s, err := attest.ParseStatement(shown.Statement)
	if err != nil {
		return err
	}
	return launch.Agree(shown.Evidence, s, loaded)
}

// plainly is why evidence differs, if that is behind an error: whoever asked for it
// only knows that there is none.
func (b *Box) plainly(err error) error {
	select {
	case differs := <-b.differ:
		return differs
	default:
		return err
	}
}
