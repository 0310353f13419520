// Package onnx answers one question: what does this ONNX model say about these
// inputs? It reads a model, checks it, and runs it, in Go and Go assembly alone.
//
// It stands inside the box, where both the model file and the inputs may be
// hostile. So nothing in it opens a file, reaches a network or follows a
// reference out of the bytes it was given; every size is checked before memory
// is taken; an operator that it does not have is refused when the session is
// made and never in the middle of a run; and no input makes it panic.
//
// # Steps
//
// [Parse] or [ParseFrom] makes a [Model] of a file: bytes to a graph (parse*.go,
// internal/wire), the model's own functions written out (inline*.go), the graph
// well formed (check.go). [Model.Describe] tells what the file says, also of a
// model that cannot be run.
//
// [NewSession] makes a [Session] of it: order, types, shapes, constants computed
// (internal/plan), with internal/op for what each node means; several operators
// replaced by one (internal/fuse); weights laid out for the kernels. It takes the
// weights over: a model makes one session.
//
// [Session.Plan] gives every value its place in memory for inputs of given shapes,
// and tells how much that is. [Session.Run] does the same and computes, with the
// kernels of internal/kernel, gemm, qgemm, conv, attention, rnn, sample and vec.
//
// # Threads and memory
//
// A session is immutable: as many runs as you like may go on at the same time, on
// one copy of the weights. A run uses its caller's goroutine alone, or with
// [WithThreads] up to n at a time; none of them spins. Results are the same, bit
// for bit, for every number of threads.
//
// The tensors given to a run are only read. Those that it returns are the caller's.
// A run's own memory is kept for the next run with the same shapes until the
// garbage collector wants it.
//
// # Hostile models
//
// [Limits] bound what one file may hold and one run may take: bytes, nodes, depth,
// elements, turns of loops. A [Budget] bounds what all runs take together
// ([Session.RunWithin]). A run ends within some milliseconds of its context. There
// is no limit on time: give the context a deadline. NewSession has no context; it
// computes only what is small, or as much as the weights.
//
// # Instructions
//
// On amd64 kernels are written for AVX2 with FMA, AVX-512 and AVX-512 VNNI, and the
// best that the machine has is used; [WithInstructions] names another one. Results
// of different instructions differ by rounding. The build tag purego leaves the
// assembly out; then, and on other processors such as arm64, all is portable Go and
// much slower.
//
// # What it is not
//
// It reads operator sets 1 to 28 and file formats 3 to 14, with the standard
// operators, some of the domain ai.onnx.ml and few of com.microsoft. It does not
// train, uses no GPU, and refuses external data, sparse tensors, maps and training
// graphs. Not every operator takes every type that the specification gives it: many
// compute in float32 only. What a model needs and the engine lacks is refused with
// its name. docs/onnx.md has more, docs/conformance.md every case that fails.
package onnx
