package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// sequenceMap runs a graph once for each item of a sequence. Operand 0 is the
// sequence; of other sequences, each turn gets the item at the same place; tensors it
// gets whole. Each result is the sequence of what the turns gave.
type sequenceMap struct {
	maker
	body Body
	own  int
}

func makeSequenceMap(a *Attributes, _ int64) (Operator, error) {
	o := sequenceMap{body: a.body("body"), own: a.Inputs}
	if o.body == nil {
		return nil, errNoBody
	}
	if len(o.body.Inputs()) != o.own || o.body.Outputs() < a.Outputs {
		return nil, fmt.Errorf("the graph inside has %d inputs and %d outputs, the node %d and %d",
			len(o.body.Inputs()), o.body.Outputs(), a.Inputs, a.Outputs)
	}
	return o, nil
}

func (o sequenceMap) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Sequence); err != nil {
		return nil, err
	}
	items := make([]*Info, len(in))
	for i, v := range in {
		if v == nil {
			return nil, BadInput(i, "is required")
		}
		items[i] = v
		if i < o.own && v.Type == tensor.Sequence {
			one := itemOf(v)
			items[i] = &one
		}
	}
	out, err := o.body.Infer(items)
	if err != nil {
		return nil, err
	}
	for i, v := range out {
		out[i] = Info{Type: tensor.Sequence, Item: v.Type, Inner: v.Item}
	}
	return out, nil
}

func (o sequenceMap) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	infos, err := o.Infer(infosOf(in))
	if err != nil {
		return nil, err
	}
	n := len(in[0].Items)
	gathered := make([][]*tensor.Tensor, len(infos))
	for turn := range n {
		if err := env.turn(); err != nil {
			return nil, err
		}
		given := make([]*tensor.Tensor, len(in))
		for i, t := range in {
			given[i] = t
			if i >= o.own || t.Type != tensor.Sequence {
				continue
			}
			if len(t.Items) != n {
				return nil, BadInput(i, "has %d items, input 0 has %d", len(t.Items), n)
			}
			given[i] = t.Items[turn]
		}
		out, err := o.body.Run(env, given)
		if err != nil {
			return nil, err
		}
		if err := keepAll(env, gathered, out); err != nil {
			return nil, err
		}
	}
	results := make([]*tensor.Tensor, len(infos))
	for i, v := range infos {
		results[i] = &tensor.Tensor{Type: tensor.Sequence, ItemType: v.Item, Inner: v.Inner, Items: gathered[i]}
	}
	return results, nil
}
