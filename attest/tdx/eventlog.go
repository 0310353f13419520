package tdx

import (
	"bytes"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/attest/internal/tcg"
)

// EventLog is a log that leads to exactly the registers in the quote, so that
// its digests are what was measured, in this order.
type EventLog struct {
	Events []Event
}

// Event is one entry of the log.
type Event struct {
	// RTMR is the register, 0 to 3, that the event extended.
	RTMR int
	// Type is the name in the TCG's specification of what the log calls the event.
	// No digest covers it.
	Type   string
	Digest [48]byte
	// Data is what the digest is the SHA-384 of; nil where it is not, because
	// the digest is of something else (an image that was started) or because
	// whoever wrote the log made the data up.
	Data []byte
}

const checkEventLog = "hardware.event_log"

// replay reads the event log if there is one. A log that does not lead to the
// registers is refused: it is about another trust domain, or somebody added to
// it, left something out or changed the order.
func replay(end attest.Endorsements, rtmr [4][48]byte) (*EventLog, []attest.Check) {
	data, found, err := end.Get(attest.LabelEventLog)
	switch {
	case err != nil:
		return nil, logFailed(attest.CodeAmbiguous, "two event logs", "one")
	case !found:
		return nil, []attest.Check{{Name: checkEventLog, Status: attest.Skip, Code: CodeNoEventLog, Seen: "none given", Expected: "a log that leads to RTMR0 to RTMR3"}}
	case len(data) > attest.MaxEndorsement:
		return nil, logFailed(attest.CodeTooLarge, fmt.Sprintf("event log of %d bytes", len(data)), fmt.Sprintf("at most %d", attest.MaxEndorsement))
	}
	log, err := tcg.ParseArea(data)
	if err != nil {
		return nil, logFailed(attest.CodeMalformed, err.Error(), "a TCG log")
	}
	registers, err := log.ReplayTDX()
	if err != nil {
		return nil, logFailed(CodeEventLog, err.Error(), "a log of RTMR0 to RTMR3")
	}
	for i, r := range registers {
		if !bytes.Equal(r.Value, rtmr[i][:]) {
			return nil, logFailed(CodeEventLog, fmt.Sprintf("RTMR%d %x", i, r.Value), fmt.Sprintf("%x, as in the quote", rtmr[i]))
		}
	}
	out := newEventLog(log)
	return out, []attest.Check{pki.Judge(checkEventLog, true, "", fmt.Sprintf("%d events lead to RTMR0 to RTMR3", len(out.Events)), "")}
}

func logFailed(code attest.Code, seen, expected string) []attest.Check {
	return []attest.Check{pki.Judge(checkEventLog, false, code, seen, expected)}
}

func newEventLog(log *tcg.Log) *EventLog {
	out := &EventLog{}
	for _, e := range log.Events {
		if e.Type == tcg.NoAction {
			continue // extends nothing, so nothing vouches for it
		}
		event := Event{RTMR: int(e.Register) - 1, Type: e.Type.String()}
		copy(event.Digest[:], e.Digest(tcg.SHA384))
		if e.Verified(tcg.SHA384) {
			event.Data = bytes.Clone(e.Data)
		}
		out.Events = append(out.Events, event)
	}
	return out
}
