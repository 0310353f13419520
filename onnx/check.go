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

func (o origin) String() string {
	if o.what == "node" {
		return fmt.Sprintf("node %d", o.node)
	}
	return "an " + o.what
}

// names is what can be read at one place of a graph: what has been made in it before,
// and, if it is a graph inside a node, what could be read there.
type names struct {
	made   map[string]origin
	later  map[string]int // nodes that make the values of this graph
	around *names
}

func (s *names) find(name string) (o origin, ok bool) {
	for at := s; at != nil && !ok; at = at.around {
		o, ok = at.made[name]
	}
	return o, ok
}

// checkGraph holds a graph, and those inside its nodes, to the rules that every
// operator relies on: each value has one maker, and each node reads only what was
// made before it. The specification asks for nodes in topological order, so a cycle is
// a node that reads a value of its own or of a later node.
//
// A graph inside a node reads the values around it (IR.md, "Graphs"). A node in it
// must not make a value by one of their names; an input of it may hide one, which the
// specification forbids, but its own checker lets through.
func checkGraph(g *graph.Graph, around *names) error {
	s := &names{make(map[string]origin, len(g.Inputs)+len(g.Stored)+len(g.Nodes)), make(map[string]int, len(g.Nodes)), around}
	if err := s.declare(g); err != nil {
		return err
	}
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			s.later[name] = n.Index
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if err := s.node(n); err != nil {
			return failed(n, err)
		}
	}
	return s.outputs(g)
}

// declare enters inputs and initializers. An input that an initializer has too is
// that initializer: file format 3 listed every weight as an input.
func (s *names) declare(g *graph.Graph) error {
	for _, st := range g.Stored {
		if st.Name == "" {
			return errors.New("an initializer has no name")
		}
		if _, ok := s.made[st.Name]; ok {
			return fmt.Errorf("initializer %s is there twice", quote(st.Name))
		}
		s.made[st.Name] = origin{what: "initializer"}
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
		if _, ok := s.made[v.Name]; !ok {
			s.made[v.Name] = origin{what: "input"}
		}
	}
	return nil
}

func (s *names) node(n *graph.Node) error {
	if n.Op == "" {
		return errors.New("no operator")
	}
	for i, name := range n.Inputs {
		if _, ok := s.find(name); name != "" && !ok {
			return s.missing(n, i, name)
		}
	}
	for _, a := range n.Attrs {
		if a.G == nil {
			continue
		}
		if err := checkGraph(a.G, s); err != nil {
			return fmt.Errorf("attribute %s: %w", quote(a.Name), err)
		}
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		if by, ok := s.find(name); ok {
			return fmt.Errorf("output %d %s: the name is taken by %s", i, quote(name), by)
		}
		s.made[name] = origin{what: "node", node: n.Index}
	}
	return nil
}

// missing says why an operand cannot be read.
func (s *names) missing(n *graph.Node, i int, name string) error {
	at, ok := s.later[name]
	switch {
	case !ok:
		return op.BadInput(i, "no input, initializer or node makes it")
	case at == n.Index:
		return op.BadInput(i, "is made by this node itself: a cycle")
	}
	return op.BadInput(i, "is made by node %d, which comes later: out of order, or a cycle", at)
}

func (s *names) outputs(g *graph.Graph) error {
	if len(g.Outputs) == 0 {
		return errors.New("the graph has no output")
	}
	seen := make(map[string]bool, len(g.Outputs))
	for i, v := range g.Outputs {
		if seen[v.Name] && s.around == nil {
			return fmt.Errorf("output %d %s is there twice", i, quote(v.Name))
		}
		seen[v.Name] = true
		if _, ok := s.find(v.Name); !ok { // nothing makes "", either
			return fmt.Errorf("output %d %s: no input, initializer or node makes it", i, quote(v.Name))
		}
	}
	return nil
}
