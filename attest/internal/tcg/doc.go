// Package tcg reads the event log that firmware and boot loaders write while
// they measure what they start (TCG PC Client Platform Firmware Profile 1.05
// revision 23, section 10; the same format is used for TDX, UEFI 2.10, 38.4).
//
// It answers one question: which events led to these registers? Nobody signs a
// log. It comes from a stranger, and all it can do is to explain register values
// that hardware signed. So a log counts only after it was replayed to exactly
// those values, and of an event's data only what the measured digest covers:
// Event.Verified says so. Everything else in a log is talk.
//
// The parser is our own, for reasons in docs/rfc/002. It has a limit on every
// length and reads a log in one way or not at all.
package tcg
