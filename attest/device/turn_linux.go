package device

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/blindbox/blindbox/attest"
)

const (
	// maxAttempts bounds how often evidence is ordered again after a conflict;
	// the pause between attempts doubles from firstPause.
	maxAttempts = 5
	firstPause  = 20 * time.Millisecond
)

// errConflict says that somebody else meddled with what was asked.
var errConflict = errors.New("somebody else changed the entry meanwhile")

// driver is what one kind of hardware adds to [turns].
type driver interface {
	kind() attest.Kind
	// once asks one time. It is never called twice at once.
	once(b attest.Bound) (attest.Evidence, attest.Endorsements, error)
}

// turns is the Attester around a driver. Hardware makes one report at a time
// and the kernel does not let a request be called off, so requests take turns,
// and one that hangs holds its turn and not its caller.
type turns struct {
	driver driver
	turn   chan struct{}
	pause  time.Duration
}

func inTurns(d driver) *turns {
	return &turns{driver: d, turn: make(chan struct{}, 1), pause: firstPause}
}

// Kind returns the driver's kind.
func (t *turns) Kind() attest.Kind { return t.driver.kind() }

type answer struct {
	ev  attest.Evidence
	end attest.Endorsements
	err error
}

// Attest asks the hardware for evidence over b. Errors wrap
// [attest.ErrUnavailable], and the context's error if it ended first.
func (t *turns) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("device: nothing to sign: the bound is zero")
	}
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, nil, unavailable(err)
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return attest.Evidence{}, nil, unavailable(ctx.Err())
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-t.turn }()
		done <- t.ask(ctx, b)
	}()
	select {
	case a := <-done:
		return a.ev, a.end, a.err
	case <-ctx.Done():
		return attest.Evidence{}, nil, unavailable(ctx.Err())
	}
}

func unavailable(err error) error {
	return fmt.Errorf("device: evidence %w: %w", attest.ErrUnavailable, err)
}

// ask orders evidence until there was no conflict.
func (t *turns) ask(ctx context.Context, b attest.Bound) answer {
	pause := t.pause
	for attempt := 1; ; attempt++ {
		ev, end, err := t.driver.once(b)
		if err == nil {
			return answer{ev: ev, end: end}
		}
		if attempt == maxAttempts || !temporary(err) {
			return answer{err: unavailable(fmt.Errorf("attempt %d of %d: %w", attempt, maxAttempts, err))}
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return answer{err: unavailable(ctx.Err())}
		}
	}
}

// temporary reports whether another attempt may do better: conflicts, and what
// the kernel answers while the firmware is busy or being throttled by the host.
func temporary(err error) bool {
	for _, e := range []error{errConflict, syscall.EBUSY, syscall.EAGAIN, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return isTPM(err, rcRetry) || isTPM(err, rcYielded) || isTPM(err, rcTesting)
}
