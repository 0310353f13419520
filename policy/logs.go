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

const sealed = "sealed:"

// Recipient returns the age recipient ("age1...") that logs are encrypted to,
// and whether they are.
func (l Logs) Recipient() (recipient string, ok bool) {
	return strings.CutPrefix(string(l), sealed)
}
