package client

import (
	"errors"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
)

// RefusedError says that a box was asked, answered, and was not accepted.
// Nothing of the application was sent to it.
type RefusedError struct {
	// Addr is the address that was connected to.
	Addr string
	// Result holds every check. It is partial if nothing failed and something
	// essential could not be looked at, and the zero Result, which is refused, if
	// the peer showed nothing that could be appraised.
	Result appraise.Result
	// Failure holds the checks that led to the refusal, those of the connection
	// among them. What a partial Result could not look at has failed here, with
	// appraise.CodeNotChecked. It is never nil.
	Failure *attest.Failure
}

// Error names the address and every failed check.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("client: %s was refused, nothing was sent: %v", e.Addr, e.Failure)
}

// Unwrap returns the Failure, so that errors.As finds an [*attest.Failure], and
// errors.Is finds [attest.ErrUnavailable] where only something was missing.
func (e *RefusedError) Unwrap() error { return e.Failure }

// refused turns an error of package atls into one of ours.
func refused(addr string, v Verification, err error) error {
	var failure *attest.Failure
	if errors.As(err, &failure) {
		return &RefusedError{Addr: addr, Result: v.Result, Failure: failure}
	}
	return fmt.Errorf("client: %s: nothing was sent: %w", addr, err)
}

// refusalOf returns why a box with that Result gets nothing, nil if it is
// trusted. A partial Result, in which nothing failed, refuses too: what was
// essential and could not be looked at has failed, on a live connection.
func refusalOf(result appraise.Result) error {
	err := result.Err()
	var partial *appraise.PartialError
	if !errors.As(err, &partial) {
		return err
	}
	checks := result.Checks()
	for _, skipped := range partial.Skipped {
		skipped.Status, skipped.Code = attest.Fail, appraise.CodeNotChecked
		i := slices.IndexFunc(checks, func(c attest.Check) bool { return c.Name == skipped.Name })
		if i < 0 {
			checks = append(checks, skipped)
		} else {
			checks[i] = skipped
		}
	}
	return &attest.Failure{Checks: checks}
}

// refusedResult returns the Result of a refusal, nil if there is none.
func refusedResult(err error) *appraise.Result {
	var r *RefusedError
	if !errors.As(err, &r) || len(r.Result.Checks()) == 0 {
		return nil
	}
	return &r.Result
}
