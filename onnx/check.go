package onnx

import (
	"errors"
	"fmt"
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
func checkGraph(g *graph) error {
	made := make(map[string]origin, len(g.inputs)+len(g.stored)+len(g.nodes))
	if err := declareInputs(g, made); err != nil {
		return err
	}
	later := make(map[string]int, len(g.nodes))
	for _, n := range g.nodes {
		for _, name := range n.outputs {
			later[name] = n.index
		}
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		if err := checkNode(n, made, later); err != nil {
			return n.fail(err)
		}
	}
	return checkOutputs(g, made)
}

// declareInputs enters inputs and initializers. An input that an initializer
// has too is that initializer: file format 3 listed every weight as an input.
func declareInputs(g *graph, made map[string]origin) error {
	for _, s := range g.stored {
		if s.name == "" {
			return errors.New("an initializer has no name")
		}
		if _, ok := made[s.name]; ok {
			return fmt.Errorf("initializer %s is there twice", quote(s.name))
		}
		made[s.name] = origin{what: "initializer"}
	}
	seen := make(map[string]bool, len(g.inputs))
	for _, v := range g.inputs {
		if v.name == "" {
			return errors.New("an input has no name")
		}
		if seen[v.name] {
			return fmt.Errorf("input %s is there twice", quote(v.name))
		}
		seen[v.name] = true
		if _, ok := made[v.name]; !ok {
			made[v.name] = origin{what: "input"}
		}
	}
	return nil
}

func checkNode(n *node, made map[string]origin, later map[string]int) error {
	if n.op == "" {
		return errors.New("no operator")
	}
	if !defaultDomain(n.domain) {
		return fmt.Errorf("domain %s is not supported; this engine has the standard operators only", quote(n.domain))
	}
	for i, name := range n.inputs {
		if name == "" {
			continue
		}
		if _, ok := made[name]; ok {
			continue
		}
		at, ok := later[name]
		switch {
		case !ok:
			return badInput(i, "no input, initializer or node makes it")
		case at == n.index:
			return badInput(i, "is made by this node itself: a cycle")
		default:
			return badInput(i, "is made by node %d, which comes later: out of order, or a cycle", at)
		}
	}
	for i, name := range n.outputs {
		if name == "" {
			continue
		}
		if by, ok := made[name]; ok {
			return fmt.Errorf("output %d %s: the name is taken by %s", i, quote(name), by)
		}
		made[name] = origin{what: "node", node: n.index}
	}
	return nil
}

func (o origin) String() string {
	if o.what == "node" {
		return fmt.Sprintf("node %d", o.node)
	}
	return "an " + o.what
}

func checkOutputs(g *graph, made map[string]origin) error {
	if len(g.outputs) == 0 {
		return errors.New("the graph has no output")
	}
	seen := make(map[string]bool, len(g.outputs))
	for i, v := range g.outputs {
		if seen[v.name] {
			return fmt.Errorf("output %d %s is there twice", i, quote(v.name))
		}
		seen[v.name] = true
		if _, ok := made[v.name]; !ok || v.name == "" {
			return fmt.Errorf("output %d %s: no input, initializer or node makes it", i, quote(v.name))
		}
	}
	return nil
}
