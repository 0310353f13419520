package fetch

import (
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/source"
)

// Codes of what a server did.
const (
	CodeUnavailable attest.Code = "collateral_unavailable" // no answer, or one that says "not now" or "not here"
	CodeBad         attest.Code = "collateral_bad"         // an answer that cannot be what was asked for
)

// Error says which server answered what, what was not done, and what helps. It
// wraps [attest.ErrUnavailable]: nothing was judged.
type Error struct {
	Object   source.Object
	Host     string // that was asked: the vendor's, or the mirror's
	Code     attest.Code
	Status   int    // of HTTP, 0 if there was none
	Answered string // "429 Too Many Requests, asks for 30s"
	Asked    int    // how often
	Fix      string
	Cause    error // nil unless the connection failed
}

// Error is one line.
func (e *Error) Error() string {
	return fmt.Sprintf("fetch: %s from %s: %s (asked %s); nothing was fetched or replaced; %s", e.Object.What(), e.Host, e.Answered, times(e.Asked), e.Fix)
}

// Unwrap makes errors.Is find ErrUnavailable and the connection's error.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{attest.ErrUnavailable}
	}
	return []error{attest.ErrUnavailable, e.Cause}
}

// Check is the error as one failed check.
func (e *Error) Check() attest.Check {
	return attest.Check{Name: "endorsements.fetch", Code: e.Code, Seen: e.Host + ": " + e.Answered, Expected: e.Object.What()}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// Advice for what can be done about it.
const (
	fixLater   = "try again later, or use a mirror (--endorsements-from)"
	fixNetwork = "check that this machine can reach the host, or use a mirror (--endorsements-from)"
	fixProxy   = "something between here and the vendor answers in its place (a proxy, a login page, a wrong mirror): take it away"
	fixMissing = "the vendor does not have it: compare the address with the machine, or ask the vendor"
	fixVCEK    = "AMD has no certificate for this chip at this TCB: it may be too new, or the host may report a TCB that its firmware does not have"
)

func fixFor(o source.Object, status int) string {
	switch {
	case status == 429 || status >= 500 || status == 408:
		return fixLater
	case status >= 300 && status < 400:
		return fixProxy
	case o.Form() == source.FormVCEK:
		return fixVCEK
	}
	return fixMissing
}

// tooLong says that the server wants more patience than there is.
func tooLong(wait, left time.Duration) string {
	return fmt.Sprintf(", asks to wait %s and there are %s left", wait.Round(time.Second), max(left, 0).Round(time.Second))
}
