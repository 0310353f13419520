// Package batches answers one question: how many rows may a run have that several requests
// share, and how long may one of them wait for others? The policy that asks for it, the
// models that do it and the command that brings one have the same bounds.
package batches

import "time"

// Bounds of what a policy, or who brings a model, may ask for.
const (
	MinRows = 2 // one row is a run of its own
	MaxRows = 64
	MaxWait = time.Second
)
