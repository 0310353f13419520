package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func flowOperators() map[string]Spec {
	return map[string]Spec{
		"If":          {MinIn: 1, MaxIn: 1, MaxOut: Variadic, Make: makeIf},
		"Loop":        {MinIn: 2, MaxIn: Variadic, MaxOut: Variadic, NoOut: true, Make: makeLoop},
		"Scan":        {MinIn: 1, MaxIn: Variadic, MaxOut: Variadic, Make: makeScan, Since: 8},
		"SequenceMap": {MinIn: 1, MaxIn: Variadic, MaxOut: Variadic, Make: makeSequenceMap, Since: 17},
	}
}

// turn counts one turn of a loop, and ends the run when there are none left or its
// time is over.
func (e *Env) turn() error {
	if err := e.On.Err(); err != nil {
		return err
	}
	if e.Steps == nil || *e.Steps <= 0 {
		return fmt.Errorf("%w: the loops of one run take more turns together than they may", ErrLimit)
	}
	*e.Steps--
	return nil
}

// hold counts memory that is not of the elements of a tensor.
func (e *Env) hold(bytes int64) error {
	if e.Hold == nil {
		return fmt.Errorf("%w: nothing counts memory here", ErrLimit)
	}
	return e.Hold(bytes)
}

// branching runs one of two graphs, by a bool.
type branching struct {
	maker
	then, otherwise Body
}

func makeIf(a *Attributes, _ int64) (Operator, error) {
	o := branching{then: a.body("then_branch"), otherwise: a.body("else_branch")}
	if o.then == nil || o.otherwise == nil {
		return nil, errNoBody
	}
	for _, b := range []Body{o.then, o.otherwise} {
		if len(b.Inputs()) > 0 || b.Outputs() != a.Outputs {
			return nil, fmt.Errorf("a branch has %d inputs and %d outputs, the node needs 0 and %d", len(b.Inputs()), b.Outputs(), a.Outputs)
		}
	}
	return o, nil
}

// Choose returns the graph that a known condition selects.
func (o branching) Choose(condition *tensor.Tensor) (Body, error) {
	yes, err := oneBool(condition, 0)
	if yes {
		return o.then, err
	}
	return o.otherwise, err
}

// oneBool reads a condition.
func oneBool(t *tensor.Tensor, index int) (bool, error) {
	d := tensor.Data[bool](t)
	if len(d) != 1 {
		return false, BadInput(index, "has %d elements, expected one bool", len(d))
	}
	return d[0], nil
}

// Infer joins what both branches say. One that cannot be with these shapes is left
// out: the condition may be there to avoid it.
func (o branching) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Bool); err != nil {
		return nil, err
	}
	if in[0].Value != nil {
		b, err := o.Choose(in[0].Value)
		if err != nil {
			return nil, err
		}
		return b.Infer(in[1:])
	}
	yes, errYes := o.then.Infer(in[1:])
	no, errNo := o.otherwise.Infer(in[1:])
	switch {
	case errYes != nil && errNo != nil:
		return nil, errYes
	case errYes != nil:
		return no, nil
	case errNo != nil:
		return yes, nil
	}
	for i := range yes {
		var err error
		if yes[i], err = either(yes[i], no[i]); err != nil {
			return nil, fmt.Errorf("output %d of the branches: %w", i, err)
		}
	}
	return yes, nil
}

func (o branching) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	b, err := o.Choose(in[0])
	if err != nil {
		return nil, err
	}
	return b.Run(env, in[1:])
}

// either is what is known of a value that is either a or b.
func either(a, b Info) (Info, error) {
	if a.Type != b.Type {
		return a, fmt.Errorf("is %s or %s", a, b)
	}
	out := Info{Type: a.Type}
	var same bool
	if out.Item, same = sameItem(a.Item, b.Item); !same {
		return a, fmt.Errorf("is %s or %s", a, b)
	}
	if out.Inner, same = sameItem(a.Inner, b.Inner); !same {
		return a, fmt.Errorf("is %s or %s", a, b)
	}
	if a.Ranked && b.Ranked && len(a.Shape) == len(b.Shape) {
		out.Ranked, out.Shape = true, slices.Clone(a.Shape)
		for i, d := range b.Shape {
			if out.Shape[i] != d {
				out.Shape[i] = -1
			}
		}
	}
	return out, nil
}

// sameItem joins two views of what a list holds, of which either may be open.
func sameItem(a, b tensor.DataType) (tensor.DataType, bool) {
	if a == 0 {
		return b, true
	}
	return a, b == 0 || a == b
}

// refer lists infos as operands.
func refer(infos []Info) []*Info {
	out := make([]*Info, len(infos))
	for i := range infos {
		out[i] = &infos[i]
	}
	return out
}
