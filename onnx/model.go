package onnx

import "github.com/blindbox/blindbox/onnx/internal/graph"

// Model is a parsed model: well formed and bounded, not yet known to be
// runnable. It shares no memory with the bytes it was read from.
type Model struct {
	opset  int64 // of the standard operators; 0 if the model imports none
	graph  *graph.Graph
	limits Limits
}
