// Package onnx answers one question: what does this ONNX model say about these
// inputs? It reads a model, checks it, and runs it, in Go alone.
//
// It stands inside the box, where both the model file and the inputs may be
// hostile. So nothing in it opens a file, reaches a network or follows a
// reference out of the bytes it was given; every size is checked before memory
// is taken; an operator that it does not have is refused when the session is
// made and never in the middle of a run; and no input makes it panic.
//
// The steps are files, in the order in which a model meets them: parse.go
// (bytes to Model), check.go (one graph, well formed), operator.go and
// op_*.go (what each node means, one family a file), infer.go (types and
// shapes), plan.go (order, lifetimes, constants), run.go (the run), and
// internal/kernel (the loops).
//
// It has the element types float32, int64, bool and string, operator sets 13 to
// 25, and no graphs inside nodes (If, Loop, Scan) and no functions.
package onnx
