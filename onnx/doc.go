// Package onnx answers one question: what does this ONNX model say about these
// inputs? It reads a model, checks it, and runs it, in Go alone.
//
// It stands inside the box, where both the model file and the inputs may be
// hostile. So nothing in it opens a file, reaches a network or follows a
// reference out of the bytes it was given; every size is checked before memory
// is taken; an operator that it does not have is refused when the session is
// made and never in the middle of a run; and no input makes it panic.
//
// The steps, in the order in which a model meets them: parse*.go (bytes to a graph),
// inline*.go (the model's own functions), check.go (well formed), internal/plan (order,
// shapes, constants, memory; the run) with internal/op (what each node means), and
// session.go (what callers hold).
//
// It reads operator sets 1 to 28 and file formats 3 to 14. Which operators and types
// it has is in internal/op; a model that needs another one is refused with its name.
package onnx
