package appraise

import (
	"errors"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/policy"
)

// Verdict is the outcome of an appraisal. The zero value refuses.
type Verdict uint8

const (
	Refused Verdict = iota // a check failed, or nothing was checked
	Partial                // nothing failed, but something essential could not be looked at
	Trusted                // code, channel and policy were looked at and passed, and nothing failed
)

// String returns refused, partial or trusted.
func (v Verdict) String() string {
	switch v {
	case Trusted:
		return "trusted"
	case Partial:
		return "partial"
	default:
		return "refused"
	}
}

// MarshalText makes JSON say "trusted" rather than 2.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// The four groups of checks, in the order in which they are shown.
const (
	GroupHardware = "hardware"
	GroupCode     = "code"
	GroupChannel  = "channel"
	GroupPolicy   = "policy"
)

// Groups returns the names of the groups in the order in which they are shown.
func Groups() []string { return []string{GroupHardware, GroupCode, GroupChannel, GroupPolicy} }

// Result is what came of an appraisal. Only [Trust.Appraise] makes one that is
// trusted: the zero Result is refused, and none can be decoded.
type Result struct {
	verdict   Verdict
	simulated bool
	at        time.Time
	until     time.Time // set if trusted
	offline   bool
	checks    []attest.Check
	reference reference
	kind      attest.Kind
	claims    *attest.Claims
	machine   machine       // nil if nothing was verified
	digest    attest.Digest // of the box's policy; zero if unknown
	policy    *policy.Policy
}

// UnmarshalJSON always fails and leaves the zero Result, which is refused.
// Without it decoding would succeed, and change nothing in a trusted Result that
// is decoded into.
func (r *Result) UnmarshalJSON([]byte) error {
	*r = Result{}
	return errors.New("appraise: a result cannot be read from JSON: appraise the evidence again")
}

// Verdict returns the outcome.
func (r Result) Verdict() Verdict { return r.verdict }

// Trusted reports whether everything essential was looked at and nothing failed.
func (r Result) Trusted() bool { return r.verdict == Trusted }

// Simulated reports whether the evidence was simulated. A trusted Result can be
// simulated, if the trust file says allow_simulated; whatever shows it must say
// that it proves nothing about hardware.
func (r Result) Simulated() bool { return r.simulated }

// At returns the time the appraisal was made for.
func (r Result) At() time.Time { return r.at }

// ValidUntil returns the time after which a trusted Result must not be relied
// upon any more, and the box must be appraised anew: the earliest of the day on
// which the reference value expires, the end of the vendor's certificates and
// lists, and the age that crl_max_age allows a list. It is the zero time for a
// Result that is not trusted.
func (r Result) ValidUntil() time.Time { return r.until }

// Kind returns the kind of the evidence.
func (r Result) Kind() attest.Kind { return r.kind }

// Checks returns a copy of every check, in the order of the groups.
func (r Result) Checks() []attest.Check { return append([]attest.Check(nil), r.checks...) }

// Group returns the checks of one group.
func (r Result) Group(name string) []attest.Check {
	var out []attest.Check
	for _, c := range r.checks {
		if groupOf(c.Name) == name {
			out = append(out, c)
		}
	}
	return out
}

func groupOf(check string) string {
	group, _, _ := strings.Cut(check, ".")
	return group
}

// Code returns the name of the reference value that the box's code matched, or
// "" if it matched none.
func (r Result) Code() string { return r.reference.name }

// Policy returns the box's policy, or nil if it could not be read.
func (r Result) Policy() *policy.Policy { return r.policy }

// PolicyDigest returns the digest of the box's policy, zero if unknown.
func (r Result) PolicyDigest() attest.Digest { return r.digest }

// Err returns nil for a trusted Result only: an [*attest.Failure] that holds
// every check for a refused one, a [*PartialError] for a partial one.
func (r Result) Err() error {
	switch r.verdict {
	case Trusted:
		return nil
	case Partial:
		return &PartialError{Skipped: r.essentialSkips()}
	}
	return &attest.Failure{Checks: r.Checks()}
}

// PartialError says that nothing failed and that it is nevertheless not known
// whether the box can be trusted.
type PartialError struct {
	// Skipped are the essential checks that could not be made.
	Skipped []attest.Check
}

// Error names the checks that were not made.
func (e *PartialError) Error() string {
	names := make([]string, len(e.Skipped))
	for i, c := range e.Skipped {
		names[i] = c.Name
	}
	return "appraise: partial: what was checked passed, not checked: " + strings.Join(names, ", ")
}

// IsPartial reports whether err comes from a partial Result.
func IsPartial(err error) bool {
	var p *PartialError
	return errors.As(err, &p)
}
