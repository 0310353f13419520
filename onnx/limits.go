package onnx

import "fmt"

// Limits bounds what a model may make this process hold and do. Every field
// must be positive: a limit that was forgotten is an error, not "unlimited".
// The sizes of elements are those of [tensor.DataType.Size]; the text of strings is
// not counted.
type Limits struct {
	Bytes        int64 // length of the model file in bytes
	Nodes        int   // nodes of all graphs together
	Initializers int   // stored tensors (weights and constants) together
	Values       int   // inputs, outputs and value descriptions together
	Attributes   int   // attributes of all nodes together
	Depth        int   // graphs inside graphs
	Rank         int   // dimensions of one tensor
	StringBytes  int   // length of one name or string element in bytes
	Weights      int64 // elements of all stored tensors together
	Elements     int64 // elements of any one tensor during a run
	RunBytes     int64 // bytes of all tensors alive at the same time during one run
	RunSteps     int64 // turns of all loops of one run together
}

// DefaultLimits returns bounds that fit models of up to about 1 GB of
// weights on a small server.
func DefaultLimits() Limits {
	return Limits{
		Bytes:        1 << 30,
		Nodes:        20_000,
		Initializers: 20_000,
		Values:       100_000,
		Attributes:   200_000,
		Depth:        8,
		Rank:         16,
		StringBytes:  64 << 10,
		Weights:      256 << 20,
		Elements:     64 << 20,
		RunBytes:     1 << 30,
		RunSteps:     1 << 20,
	}
}

func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Bytes", l.Bytes}, {"Nodes", int64(l.Nodes)}, {"Initializers", int64(l.Initializers)},
		{"Values", int64(l.Values)}, {"Attributes", int64(l.Attributes)}, {"Depth", int64(l.Depth)},
		{"Rank", int64(l.Rank)}, {"StringBytes", int64(l.StringBytes)}, {"Weights", l.Weights},
		{"Elements", l.Elements}, {"RunBytes", l.RunBytes}, {"RunSteps", l.RunSteps},
	} {
		if f.value <= 0 {
			return fmt.Errorf("onnx: limit %s is %d, it must be positive", f.name, f.value)
		}
	}
	return nil
}
