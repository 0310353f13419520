// Package peers recognises another box. It answers one question: which caller of
// the policy is the box at the other end of this connection?
//
// A caller that attests shows its evidence in the gate, bound to this connection
// (package atls with [atls.PeerConfig]). The evidence is bytes of a stranger, and
// nothing here reads it: it is handed to a process of its own, cmd/boxverify, which
// is started for it and ended after it. What that process says counts for the one
// caller it was asked about, if it says it in time and in the few forms that there
// are (package peers/wire); everything else, its death included, is a refusal.
// Why it is like this stands in docs/rfc/008.
//
// The package stands inside the box. Callers may be hostile, and so may be the
// process that has read what they sent.
package peers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/peers/wire"
	"github.com/blindbox/blindbox/policy"
)

// Peer is another box that has proven itself on a connection. It is what
// [Checker.Check] returns, and so the Result of the connection's session.
type Peer struct {
	// Callers are the lines of the policy that it meets, by their names, in the
	// order of the policy. At present it is one.
	Callers []string
	until   time.Time
}

// ValidUntil tells package atls until when the connection may rest on the proof.
func (p *Peer) ValidUntil() time.Time { return p.until }

// Checker judges callers that attest. It is safe for concurrent use.
type Checker struct {
	lines []line
	kinds []attest.Kind
	pool  *pool
}

// line is a caller of the policy and what is asked about it.
type line struct {
	caller string
	number int
	ref    wire.Reference
}

// ErrNone says that a policy has no callers that attest.
var ErrNone = errors.New("peers: the policy has no caller that is another box")

// New returns a Checker for a policy, or [ErrNone]. No process is started.
func New(p *policy.Policy, verifier *Verifier) (*Checker, error) {
	lines, err := linesOf(p)
	switch {
	case err != nil:
		return nil, err
	case len(lines) == 0:
		return nil, ErrNone
	case verifier == nil || verifier.Program == "":
		return nil, fmt.Errorf("peers: caller %q (line %d) is another box, and there is no program that judges its evidence", lines[0].caller, lines[0].number)
	}
	c := &Checker{lines: lines, pool: newPool(*verifier)}
	for _, l := range lines {
		if !slices.Contains(c.kinds, l.ref.Kind) {
			c.kinds = append(c.kinds, l.ref.Kind)
		}
	}
	return c, nil
}

func linesOf(p *policy.Policy) ([]line, error) {
	var lines []line
	var errs []error
	for _, c := range p.Callers {
		if c.Attested == nil {
			continue
		}
		kind, err := attest.ParseKind(c.Attested.Kind)
		if err == nil && !slices.Contains(Kinds(), kind) {
			err = fmt.Errorf("peers: one measurement does not say what runs on %s", kind)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("caller %q (line %d) cannot be recognised: %w", c.Name, c.Line, err))
			continue
		}
		lines = append(lines, line{c.Name, c.Line, wire.Reference{
			Kind: kind, Measurement: c.Attested.Measurement, Policy: c.Attested.Policy, Root: c.Attested.SimulatedRoot,
		}})
	}
	if err := tooMany(lines); err != nil {
		errs = append(errs, err)
	}
	return lines, errors.Join(errs...)
}

// tooMany refuses more lines than one question has room for: a caller could be any of
// those with its kind and policy, and the last would be recognised never.
func tooMany(lines []line) error {
	type alike struct {
		kind   attest.Kind
		policy attest.Digest
	}
	seen := map[alike]int{}
	for _, l := range lines {
		a := alike{l.ref.Kind, l.ref.Policy}
		if seen[a]++; seen[a] > wire.MaxReferences {
			return fmt.Errorf("peers: caller %q (line %d) is one of more than %d with the kind %s and the policy sha256:%s", l.caller, l.number, wire.MaxReferences, a.kind, a.policy)
		}
	}
	return nil
}

// Kinds are the kinds of hardware by which another box can be recognised: those
// where one measurement is over all of the code. MRTD of TDX is over the firmware
// alone, and so is the first register of a TPM.
func Kinds() []attest.Kind { return []attest.Kind{attest.SNP, attest.SimSNP, attest.SGX, attest.Nitro} }

// Config is how package atls asks callers to prove themselves, if they want to.
func (c *Checker) Config() *atls.PeerConfig {
	return &atls.PeerConfig{Kinds: c.kinds, Check: c.Check, Skew: wire.Skew}
}

// Start starts the process for the first caller, so that a program which is not
// there is found out about before anybody calls.
func (c *Checker) Start() error { return c.pool.first() }

// Close ends the processes that wait for a caller.
func (c *Checker) Close() { c.pool.close() }

// Check is an [atls.CheckFunc]. What it returns is a [*Peer].
func (c *Checker) Check(ctx context.Context, shown atls.Presented) (any, error) {
	// What the box knows of the connection it has compared itself, and a caller
	// that fails there is worth no process.
	if err := attest.FailureOf(shown.Checks); err != nil {
		return nil, err
	}
	lines, err := c.candidates(shown)
	if err != nil {
		return nil, err
	}
	q := wire.Question{At: shown.At}
	if q.Statement, err = shown.Statement.Encode(); err != nil {
		return nil, attest.NewFailure("channel.statement", attest.CodeMalformed, err.Error(), "a statement")
	}
	if q.Bundle, err = shown.Bundle.Encode(); err != nil {
		return nil, attest.NewFailure("channel.bundle", attest.CodeMalformed, err.Error(), "a bundle")
	}
	for _, l := range lines {
		q.References = append(q.References, l.ref)
	}
	a, err := c.pool.ask(ctx, q)
	switch {
	case err != nil:
		return nil, unanswered(err)
	case !a.Accepted:
		return nil, &attest.Failure{Checks: a.Failed}
	}
	return &Peer{Callers: []string{lines[a.Reference].caller}, until: a.Until}, nil
}

// candidates are the lines that a caller could meet: its kind and policy are not
// proven, but what it says of them is all that it can be accepted for.
func (c *Checker) candidates(shown atls.Presented) ([]line, error) {
	var out []line
	code := attest.CodeKindMismatch
	for _, l := range c.lines {
		switch {
		case l.ref.Kind != shown.Bundle.Evidence.Kind:
		case l.ref.Policy != shown.Statement.Policy:
			code = attest.CodePolicyMismatch
		default:
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return nil, attest.NewFailure("peer.caller", code, shown.Bundle.Evidence.Kind.String()+" with the policy sha256:"+hex.EncodeToString(shown.Statement.Policy[:]),
			"a box that the policy names as a caller")
	}
	return out, nil
}

// unanswered is what a caller is told if nobody could judge it.
func unanswered(error) error {
	return attest.NewFailure("peer.verifier", attest.CodeUnavailable, "the evidence could not be judged", "a verdict of this box's verifier: try again")
}
