package tdx

import "github.com/blindbox/blindbox/attest"

// Codes that only this format has. The shared ones are in package attest.
const (
	CodeEventLog   attest.Code = "event_log"    // a log that does not lead to the registers
	CodeNoEventLog attest.Code = "no_event_log" // nothing explains the registers (a skipped check)
)
