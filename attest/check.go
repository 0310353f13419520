package attest

import (
	"fmt"
	"slices"
	"strings"
)

// Status is the outcome of one check. The zero value is a failure.
type Status uint8

const (
	Fail Status = iota // looked at and refused, or not looked at at all
	Skip               // not applicable or nothing to compare with; never counts as a pass
	Pass
)

// String returns FAIL, SKIP or PASS.
func (s Status) String() string {
	switch s {
	case Pass:
		return "PASS"
	case Skip:
		return "SKIP"
	default:
		return "FAIL"
	}
}

// MarshalText makes JSON say PASS rather than 2.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *Status) UnmarshalText(text []byte) error {
	switch string(text) {
	case "PASS":
		*s = Pass
	case "SKIP":
		*s = Skip
	case "FAIL":
		*s = Fail
	default:
		return fmt.Errorf("attest: unknown check status %q", text)
	}
	return nil
}

// Code is a stable, machine-readable reason such as "tcb_cert_mismatch". Each
// code has a page in docs/errors.
type Code string

// Codes that more than one package gives. Those of one vendor's format are
// declared by its package.
const (
	CodeMalformed       Code = "malformed"        // bytes that cannot be read as what they claim to be
	CodeTooLarge        Code = "too_large"        // a length over the limit, refused before reading
	CodeKindMismatch    Code = "kind_mismatch"    // evidence of a kind that was not asked for
	CodeAmbiguous       Code = "ambiguous"        // two objects where one must decide
	CodeUntrustedRoot   Code = "untrusted_root"   // chain does not end in a pinned certificate
	CodeBadChain        Code = "bad_chain"        // a certificate that may not stand where it stands
	CodeExpired         Code = "expired"          // certificate not valid at the time of appraisal
	CodeNoCRL           Code = "no_crl"           // nothing says whether the keys were revoked
	CodeStaleCRL        Code = "stale_crl"        // CRL past its next update
	CodeBadCRL          Code = "bad_crl"          // CRL not signed by the right CA or from the future
	CodeRevoked         Code = "revoked"          // the vendor withdrew this key
	CodeBadSignature    Code = "bad_signature"    // evidence or certificate not signed by the key it names
	CodeNotBound        Code = "not_bound"        // the hardware signed other bytes than this statement
	CodePurposeMismatch Code = "purpose_mismatch" // a statement made for something else
	CodeRoleMismatch    Code = "role_mismatch"    // a client's statement from a server, or reverse: reflection
	CodeNonceMismatch   Code = "nonce_mismatch"   // not an answer to this question: replay
	CodeKeyMismatch     Code = "key_mismatch"     // evidence for another TLS key
	CodeChannelMismatch Code = "channel_mismatch" // evidence for another TLS connection: relay
	CodePolicyMismatch  Code = "policy_mismatch"  // evidence for another policy
	CodeStaleEvidence   Code = "stale_evidence"   // statement outside its own validity
	CodeClock           Code = "clock"            // the two clocks are too far apart to judge freshness
	CodeNoAttestation   Code = "no_attestation"   // the peer spoke something else than the gate
	CodeUnavailable     Code = "unavailable"      // evidence or endorsements could not be had
)

// Unavailable reports whether the code says that something was not there, so that
// nobody has judged it. What was there and was not accepted is a refusal, also
// where only its time is over: an old list is how a withdrawal is hidden. The
// codes of other packages stand here as text, since this package imports none.
func (c Code) Unavailable() bool {
	switch c {
	case CodeUnavailable, CodeNoCRL,
		"no_collateral",                                           // attest/tdx, attest/sgx
		"no_rim", "no_ocsp", "no_firmware_id", "place_not_proven", // attest/nvgpu, and the appraisal of devices
		"collateral_unavailable", "collateral_bad", "wrong_collateral": // endorse: no answer, or not to what was asked
		return true
	}
	return false
}

// Check is one thing that was looked at. Every check that ran is kept, passed
// or not, so that a Result can be read and argued with.
type Check struct {
	// Name is stable and dotted, "hardware.chip_id"; the part before the dot is the
	// group the check is printed under.
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Code says why, if the check failed or was skipped.
	Code     Code   `json:"code,omitempty"`
	Seen     string `json:"seen,omitempty"`
	Expected string `json:"expected,omitempty"`
}

// String returns one line: name, status, and what was seen and expected.
func (c Check) String() string {
	var b strings.Builder
	b.WriteString(c.Name + " " + c.Status.String())
	if c.Code != "" {
		b.WriteString(" " + string(c.Code))
	}
	if c.Seen != "" {
		b.WriteString(": " + c.Seen)
	}
	if c.Expected != "" && c.Status != Pass {
		b.WriteString(", expected " + c.Expected)
	}
	return b.String()
}

// Failure is a refusal. It holds every check that ran, including those that
// passed, because the first failure is not always the telling one.
//
// A Failure is one of two sorts. Where every failed check says that something was
// missing (a revocation list that the box did not staple, say), nothing speaks
// against the box, and errors.Is(err, [ErrUnavailable]) holds. If one of them says
// more, it does not. The tool's exit codes 3 and 2 are the same distinction.
// Neither is accepted: whoever must act on a Failure looks for it with errors.As
// first, since a host can withhold what it likes.
type Failure struct {
	Checks []Check
}

// NewFailure returns the refusal for a single failed check.
func NewFailure(name string, code Code, seen, expected string) *Failure {
	return &Failure{Checks: []Check{{Name: name, Code: code, Seen: seen, Expected: expected}}}
}

// FailureOf returns a *Failure if any check failed, nil otherwise. An empty
// list is a failure: nothing was checked.
func FailureOf(checks []Check) error {
	if len(checks) == 0 {
		return &Failure{}
	}
	for _, c := range checks {
		if c.Status == Fail {
			return &Failure{Checks: checks}
		}
	}
	return nil
}

// Failed returns the checks that failed, in the order they ran.
func (f *Failure) Failed() []Check {
	var out []Check
	for _, c := range f.Checks {
		if c.Status == Fail {
			out = append(out, c)
		}
	}
	return out
}

// Code returns the code of the first failed check.
func (f *Failure) Code() Code {
	for _, c := range f.Checks {
		if c.Status == Fail {
			return c.Code
		}
	}
	return ""
}

// Is makes errors.Is find [ErrUnavailable] where nothing but missing things is to
// blame.
func (f *Failure) Is(target error) bool {
	failed := f.Failed()
	return target == ErrUnavailable && len(failed) != 0 &&
		!slices.ContainsFunc(failed, func(c Check) bool { return !c.Code.Unavailable() })
}

// Error names every failed check.
func (f *Failure) Error() string {
	failed := f.Failed()
	if len(failed) == 0 {
		return "attest: refused: nothing was checked"
	}
	lines := make([]string, len(failed))
	for i, c := range failed {
		lines[i] = c.String()
	}
	return "attest: refused: " + strings.Join(lines, "; ")
}
