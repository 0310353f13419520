//go:build race

package onnx_test

// raced says that the race detector slows this build down: the portable kernels, which
// are Go, by ten times.
const raced = true
