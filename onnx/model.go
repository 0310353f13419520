package onnx

import "github.com/blindbox/blindbox/onnx/internal/graph"

// Model is a parsed model: well formed and bounded, not yet known to be
// runnable. It shares no memory with the bytes it was read from.
type Model struct {
	graph  *graph.Graph
	limits Limits
}
