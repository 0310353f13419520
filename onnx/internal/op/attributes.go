package op

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/blindbox/blindbox/onnx/internal/graph"
)

// ErrUnsupported says that the table has no operator of that name.
var ErrUnsupported = errors.New("operator is not supported by this engine")

// New checks a node's operands and attributes and makes its operator. bodies are the
// graphs inside the node by the attribute that holds them.
func New(n *graph.Node, table map[string]Spec, bodies map[string]Body) (Operator, error) {
	spec, ok := table[Name(n)]
	switch {
	case !ok:
		return nil, ErrUnsupported
	case n.Opset < spec.Since:
		return nil, fmt.Errorf("exists since operator set %d, the model says %d", spec.Since, n.Opset)
	}
	if err := spec.check(len(n.Inputs), len(n.Outputs)); err != nil {
		return nil, err
	}
	a := newAttributes(n, bodies)
	made, err := spec.Make(a, n.Opset)
	if a.err() != nil { // the first cause: what Make saw may be a default
		return nil, a.err()
	}
	return made, err
}

// Name is a node's name in the table.
func Name(n *graph.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

// Attributes hands out a node's attributes once each, by kind. What nobody asked for
// is an error: an attribute that is not understood may change the meaning.
type Attributes struct {
	Inputs, Outputs int // how many operands and results the node has
	left            map[string]graph.Attribute
	bodies          map[string]Body
	first           error
}

func newAttributes(n *graph.Node, bodies map[string]Body) *Attributes {
	a := &Attributes{Inputs: len(n.Inputs), Outputs: len(n.Outputs), left: make(map[string]graph.Attribute, len(n.Attrs)), bodies: bodies}
	for _, at := range n.Attrs {
		a.left[at.Name] = at
	}
	return a
}

// take removes an attribute of the given kind and returns it.
func (a *Attributes) take(name string, kind graph.Kind) (graph.Attribute, bool) {
	at, ok := a.left[name]
	if !ok {
		return at, false
	}
	delete(a.left, name)
	if at.Kind != kind {
		a.fail(fmt.Errorf("attribute %s is %s, expected %s", Quote(name), at.Kind, kind))
		return at, false
	}
	return at, true
}

// fail keeps the first thing that was wrong.
func (a *Attributes) fail(err error) {
	if a.first == nil {
		a.first = err
	}
}

func (a *Attributes) has(name string) bool {
	_, ok := a.left[name]
	return ok
}

// need refuses a node that does not have the attribute.
func (a *Attributes) need(name string) {
	if !a.has(name) {
		a.fail(fmt.Errorf("attribute %s is required", Quote(name)))
	}
}

func (a *Attributes) int(name string, otherwise int64) int64 {
	if at, ok := a.take(name, graph.Int); ok {
		return at.I
	}
	return otherwise
}

// flag reads an int that must be 0 or 1.
func (a *Attributes) flag(name string, otherwise bool) bool {
	at, ok := a.take(name, graph.Int)
	if !ok {
		return otherwise
	}
	if at.I != 0 && at.I != 1 {
		a.fail(fmt.Errorf("attribute %s is %d, expected 0 or 1", Quote(name), at.I))
	}
	return at.I == 1
}

func (a *Attributes) float(name string, otherwise float32) float32 {
	if at, ok := a.take(name, graph.Float); ok {
		return at.F
	}
	return otherwise
}

func (a *Attributes) ints(name string) ([]int64, bool) {
	at, ok := a.take(name, graph.Ints)
	return at.Ints, ok
}

func (a *Attributes) floats(name string) ([]float32, bool) {
	at, ok := a.take(name, graph.Floats)
	return at.Floats, ok
}

func (a *Attributes) string(name, otherwise string) string {
	if at, ok := a.take(name, graph.String); ok {
		return at.S
	}
	return otherwise
}

// oneOf reads a string that must be one of those allowed; the first is the default.
func (a *Attributes) oneOf(name string, allowed ...string) string {
	v := a.string(name, allowed[0])
	for _, ok := range allowed {
		if v == ok {
			return v
		}
	}
	a.fail(fmt.Errorf("attribute %s is %s, expected one of %q", Quote(name), Quote(v), allowed))
	return allowed[0]
}

func (a *Attributes) strings(name string) ([]string, bool) {
	at, ok := a.take(name, graph.Strings)
	return at.Strings, ok
}

// body returns the graph in an attribute, which must be there.
func (a *Attributes) body(name string) Body {
	a.need(name)
	a.take(name, graph.Sub)
	return a.bodies[name]
}

// err returns the first attribute that was wrong, or is left over.
func (a *Attributes) err() error {
	if a.first != nil {
		return a.first
	}
	worst := ""
	for name := range a.left {
		if worst == "" || name < worst {
			worst = name
		}
	}
	if len(a.left) > 0 {
		return fmt.Errorf("attribute %s is not known", Quote(worst))
	}
	return nil
}

// Quote bounds a name from a model before it goes into a message.
func Quote(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "..."
	}
	return strconv.Quote(name)
}
