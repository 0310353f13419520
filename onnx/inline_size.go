package onnx

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/graph"
)

// size counts what the limits count of nodes and all graphs inside of them, and how
// deep functions call each other there.
type size struct{ nodes, values, attributes, stored, calls int }

// plus adds two sizes that are within the limits of a model, which are far from what
// an int can hold.
func (s size) plus(o size) size {
	return size{s.nodes + o.nodes, s.values + o.values, s.attributes + o.attributes, s.stored + o.stored, max(s.calls, o.calls)}
}

// check holds a size to the limits of one model.
func (s size) check(lim Limits) error {
	for _, c := range []struct {
		n, limit int
		what     string
	}{
		{s.nodes, lim.Nodes, "nodes"}, {s.values, lim.Values, "inputs and outputs"}, {s.attributes, lim.Attributes, "attributes"},
		{s.stored, lim.Initializers, "stored tensors"}, {s.calls, maxCalls, "levels of functions that call functions"},
	} {
		if c.n > c.limit {
			return fmt.Errorf("%w, with the bodies of functions where they are called", tooMany(c.limit, c.what))
		}
	}
	return nil
}

// visit is how far a function has been measured.
type visit uint8

const (
	unseen visit = iota
	entered
	measured
)

// maxCalls is how deep functions call each other.
const maxCalls = 64

// measure finds out what the nodes add up to when each call is replaced by what the
// function does, before any is: a chain of functions that each call the next one
// twice is refused by its size, without being written out.
func (in *file) measure(nodes []graph.Node, lim Limits, depth int) (total size, err error) {
	for i := range nodes {
		n := &nodes[i]
		own := size{nodes: 1, values: len(n.Inputs) + len(n.Outputs), attributes: len(n.Attrs)}
		if fn := in.functions[calls(n)]; fn != nil {
			if err := in.visit(fn, lim, depth+1); err != nil {
				return total, failed(n, err)
			}
			own = own.plus(fn.inlined)
			own.calls++
		}
		for _, a := range n.Attrs {
			if a.G == nil {
				continue
			}
			inside, err := in.measureGraph(a.G, lim, depth)
			if err != nil {
				return total, failed(n, fmt.Errorf("attribute %s: %w", quote(a.Name), err))
			}
			own = own.plus(inside)
		}
		total = total.plus(own)
		if err := total.check(lim); err != nil {
			return total, failed(n, err)
		}
	}
	return total, nil
}

func (in *file) measureGraph(g *graph.Graph, lim Limits, depth int) (size, error) {
	total, err := in.measure(g.Nodes, lim, depth)
	total.values += len(g.Inputs) + len(g.Outputs) + len(g.Values)
	total.stored += len(g.Stored)
	return total, err
}

// visit measures a function once, and refuses one that calls itself.
func (in *file) visit(fn *function, lim Limits, depth int) (err error) {
	switch {
	case fn.visit == entered:
		return fmt.Errorf("function %s calls itself", quote(fn.name.name))
	case depth > maxCalls:
		return tooMany(maxCalls, "levels of functions that call functions")
	case fn.visit == measured:
		return nil
	}
	fn.visit = entered
	fn.inlined, err = in.measure(fn.nodes, lim, depth)
	fn.inlined.values += len(fn.inputs) + len(fn.outputs)
	fn.inlined.attributes += len(fn.attributes) + len(fn.defaults)
	fn.visit = measured
	return err
}
