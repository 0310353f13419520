//go:build !race

package onnx_test

// raced says that the race detector slows this build down.
const raced = false
