// Package appraise answers one question: are these Claims what I accept?
//
// A Verifier has established facts about a machine. This package compares them
// with a trust file (trust.yaml): the reference values its owner accepts, the
// appraisal policy for the hardware, and requirements on the box's own policy.
// The outcome is a [Result] that lists every check as PASS, FAIL or SKIP with
// what was seen and what was expected. Nothing stops at the first failure.
//
// It stands with the relying party and is pure: no clock, no network, no files.
// Whatever it does not know it refuses. A check that could not be made is a
// SKIP, and a SKIP is never a pass: a Result is trusted only if the code, the
// binding to the channel and the policy were looked at and passed.
//
// Only [Trust.Appraise] makes a Result that is trusted. A [Trust] does not
// change after it was made and may be shared between goroutines.
package appraise
