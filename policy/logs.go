package policy

import "strings"

// Logs says what the box may tell its operator about requests: "none",
// "counters", or "sealed:" and an age recipient. Unless it is sealed it is never
// a part of a request or answer.
type Logs string

const (
	// LogsNone is nothing about requests at all. It is the default.
	LogsNone Logs = "none"
	// LogsCounters is how many requests were answered with which kind of status.
	LogsCounters Logs = "counters"
)

// Audit says who keeps the log of what was decided: who called when, what for, and
// whether that was allowed. It never holds a part of a request.
type Audit string

const (
	// AuditBox is the last records, in the box's memory. It is the default.
	AuditBox Audit = "box"
	// AuditHost is all records, on storage of the host, which reads them.
	AuditHost Audit = "host"
)

const sealed = "sealed:"

// Recipient returns the age recipient ("age1...") that logs are encrypted to,
// and whether they are.
func (l Logs) Recipient() (recipient string, ok bool) {
	return strings.CutPrefix(string(l), sealed)
}
