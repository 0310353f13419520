package audit

import (
	"fmt"
	"io"

	"github.com/blindbox/blindbox/receipt"
)

// State is where a log goes on. The zero State is refused: whether there was a log
// before is for the caller to say.
type State struct {
	known  bool
	next   uint64
	chain  receipt.Digest
	reason string // why the log is broken here; empty if it is not
	torn   bool   // the last line has no end
}

// The reasons of records of type broken.
const (
	ReasonTorn    = "torn"    // the last line was cut off, by a crash or by somebody
	ReasonAltered = "altered" // a record is not what it was
	ReasonMissing = "missing" // there was a log, and nothing is left of it
)

// First is the state of a box that never had a log.
func First() State { return State{known: true} }

// Broken says why the log goes on behind nothing, or behind something that cannot
// be believed; empty if it goes on in order.
func (s State) Broken() string { return s.reason }

// Resume reads the log of earlier runs and returns where to go on. What cannot be
// believed in it is no error: the next record will say so. The error is one of
// reading. The keeper of the log can show an older state of it; that is seen by
// whoever has a later head or receipt.
func Resume(r io.Reader) (State, error) {
	report, err := Verify(r)
	if err != nil {
		return State{}, fmt.Errorf("audit: resume: %w", err)
	}
	s := State{known: true, next: report.Next, chain: report.Chain, torn: report.Torn}
	switch {
	case report.Fault != nil, report.First > 0: // only what is in memory begins in the middle
		s.reason = ReasonAltered
	case report.Torn:
		s.reason = ReasonTorn
	case report.Next == 0:
		s.reason = ReasonMissing
	}
	return s, nil
}
