package onnx

import (
	"errors"
	"fmt"
	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
)

// origin says where a value of a graph comes from.
type origin struct {
	what string // "input", "initializer", "node"
	node int
}

// checkGraph holds a graph to the rules that every operator relies on: each
// value has one maker, and each node reads only what was made before it. The
// specification asks for nodes in topological order, so a cycle is a node that
// reads a value of its own or of a later node.
func checkGraph(g *graph.Graph) error {
	made := make(map[string]origin, len(g.Inputs)+len(g.Stored)+len(g.Nodes))
	if err := declareInputs(g, made); err != nil {
		return err
	}
	later := make(map[string]int, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			later[name] = n.Index
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if err := checkNode(n, made, later); err != nil {
			return failed(n, err)
		}
	}
	return checkOutputs(g, made)
}

// declareInputs enters inputs and initializers. An input that an initializer
// has too is that initializer: file format 3 listed every weight as an input.
func declareInputs(g *graph.Graph, made map[string]origin) error {
	for _, s := range g.Stored {
		if s.Name == "" {
			return errors.New("an initializer has no name")
		}
		if _, ok := made[s.Name]; ok {
			return fmt.Errorf("initializer %s is there twice", quote(s.Name))
		}
		made[s.Name] = origin{what: "initializer"}
	}
	seen := make(map[string]bool, len(g.Inputs))
	for _, v := range g.Inputs {
		if v.Name == "" {
			return errors.New("an input has no name")
		}
		if seen[v.Name] {
			return fmt.Errorf("input %s is there twice", quote(v.Name))
		}
		seen[v.Name] = true
		if _, ok := made[v.Name]; !ok {
			made[v.Name] = origin{what: "input"}
		}
	}
	return nil
}

func checkNode(n *graph.Node, made map[string]origin, later map[string]int) error {
	if n.Op == "" {
		return errors.New("no operator")
	}
	if !defaultDomain(n.Domain) {
		return fmt.Errorf("domain %s is not supported; this engine has the standard operators only", quote(n.Domain))
	}
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if _, ok := made[name]; ok {
			continue
		}
		at, ok := later[name]
		switch {
		case !ok:
			return op.BadInput(i, "no input, initializer or node makes it")
		case at == n.Index:
			return op.BadInput(i, "is made by this node itself: a cycle")
		default:
			return op.BadInput(i, "is made by node %d, which comes later: out of order, or a cycle", at)
		}
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		if by, ok := made[name]; ok {
			return fmt.Errorf("output %d %s: the name is taken by %s", i, quote(name), by)
		}
		made[name] = origin{what: "node", node: n.Index}
	}
	return nil
}

func (o origin) String() string {
	if o.what == "node" {
		return fmt.Sprintf("node %d", o.node)
	}
	return "an " + o.what
}

func checkOutputs(g *graph.Graph, made map[string]origin) error {
	if len(g.Outputs) == 0 {
		return errors.New("the graph has no output")
	}
	seen := make(map[string]bool, len(g.Outputs))
	for i, v := range g.Outputs {
		if seen[v.Name] {
			return fmt.Errorf("output %d %s is there twice", i, quote(v.Name))
		}
		seen[v.Name] = true
		if _, ok := made[v.Name]; !ok || v.Name == "" {
			return fmt.Errorf("output %d %s: no input, initializer or node makes it", i, quote(v.Name))
		}
	}
	return nil
}
