package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func listOperators() map[string]Spec {
	return map[string]Spec{
		"SequenceEmpty":      {MaxOut: 1, Make: makeSequenceEmpty, Since: 11},
		"SequenceConstruct":  {MinIn: 1, MaxIn: Variadic, MaxOut: 1, Make: always(sequenceConstruct{}), Since: 11},
		"SequenceAt":         {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: always(sequenceAt{}), Since: 11},
		"SequenceInsert":     {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: always(sequenceInsert{}), Since: 11},
		"SequenceErase":      {MinIn: 1, MaxIn: 2, MaxOut: 1, Make: always(sequenceErase{}), Since: 11},
		"SequenceLength":     {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: always(sequenceLength{}), Since: 11},
		"SplitToSequence":    {MinIn: 1, MaxIn: 2, MaxOut: 1, Make: makeSplitToSequence, Since: 11},
		"ConcatFromSequence": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeConcatFromSequence, Since: 11},
		"Optional":           {MaxIn: 1, MaxOut: 1, Make: makeOptional, Since: 15},
		"OptionalGetElement": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: always(optionalGet{}), Since: 15},
		"OptionalHasElement": {MaxIn: 1, MaxOut: 1, Make: always(optionalHas{}), Since: 15},
	}
}

// itemOf is what is known of an item of a list.
func itemOf(list *Info) Info {
	if list.Item.Element() || list.Item == 0 {
		return unranked(list.Item)
	}
	return Info{Type: list.Item, Item: list.Inner}
}

// listOf is what is known of a list of such items.
func listOf(list tensor.DataType, item *Info) Info {
	return Info{Type: list, Item: item.Type, Inner: item.Item}
}

// sameItems makes a list of other items of the same type as those of t.
func sameItems(env *Env, t *tensor.Tensor, items []*tensor.Tensor) ([]*tensor.Tensor, error) {
	out := &tensor.Tensor{Type: t.Type, ItemType: t.ItemType, Inner: t.Inner, Items: items}
	return []*tensor.Tensor{out}, env.hold(int64(len(items)) * listItem)
}

// sequenceEmpty makes a sequence without items.
type sequenceEmpty struct {
	maker
	item tensor.DataType
}

func makeSequenceEmpty(a *Attributes, _ int64) (Operator, error) {
	item := tensor.TypeNumbered(a.int("dtype", int64(tensor.Float32)))
	if !item.Element() {
		return nil, fmt.Errorf(`attribute "dtype" is %s`, item)
	}
	return sequenceEmpty{item: item}, nil
}

func (o sequenceEmpty) Infer([]*Info) ([]Info, error) {
	return []Info{{Type: tensor.Sequence, Item: o.item}}, nil
}

func (o sequenceEmpty) Make(*Env, []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return []*tensor.Tensor{tensor.SequenceOf(o.item)}, nil
}

// sequenceConstruct makes a sequence of its operands.
type sequenceConstruct struct{ maker }

func (sequenceConstruct) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, anyType()...); err != nil {
		return nil, err
	}
	return []Info{listOf(tensor.Sequence, in[0])}, nil
}

func (sequenceConstruct) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return sameItems(env, tensor.SequenceOf(in[0].Type), slices.Clone(in))
}

// place reads a position in a list of n items: one number, from the end if negative.
func place(t *tensor.Tensor, index, n int) (int, error) {
	at, err := oneInt(t, index)
	if err != nil {
		return 0, err
	}
	if at < -int64(n) || at >= int64(n) {
		return 0, BadInput(index, "position %d is outside of %d", at, n)
	}
	if at < 0 {
		at += int64(n)
	}
	return int(at), nil
}

// oneInt reads an int32 or int64 scalar.
func oneInt(t *tensor.Tensor, index int) (int64, error) {
	if t.Len() != 1 {
		return 0, BadInput(index, "has %d elements, expected one number", t.Len())
	}
	if t.Type == tensor.Int32 {
		return int64(tensor.Data[int32](t)[0]), nil
	}
	return tensor.Data[int64](t)[0], nil
}

func needPosition(in []*Info, index int) error {
	if len(in) <= index || in[index] == nil && index > 0 {
		return nil
	}
	return needType(in, index, tensor.Int32, tensor.Int64)
}

// sequenceAt picks an item.
type sequenceAt struct{ maker }

func (sequenceAt) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Sequence); err != nil {
		return nil, err
	}
	return []Info{itemOf(in[0])}, needType(in, 1, tensor.Int32, tensor.Int64)
}

func (sequenceAt) Make(_ *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	at, err := place(in[1], 1, len(in[0].Items))
	if err != nil {
		return nil, err
	}
	return in[0].Items[at : at+1 : at+1], nil
}

// sequenceInsert puts operand 1 into a sequence, at the end or where operand 2 says.
type sequenceInsert struct{ maker }

func (sequenceInsert) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Sequence); err != nil {
		return nil, err
	}
	if in[1] == nil {
		return nil, BadInput(1, "is required")
	}
	if in[0].Item != 0 && in[0].Item != in[1].Type {
		return nil, BadInput(1, "is %s, the sequence is of %s", in[1].Type, in[0].Item)
	}
	return []Info{listOf(tensor.Sequence, in[1])}, needPosition(in, 2)
}

func (sequenceInsert) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	items := in[0].Items
	at := len(items)
	if present(in, 2) {
		var err error
		if at, err = place(in[2], 2, len(items)+1); err != nil {
			return nil, err
		}
		if v, _ := oneInt(in[2], 2); v < 0 { // from the end of what was there
			at--
		}
		if at < 0 {
			return nil, BadInput(2, "position is outside of the sequence")
		}
	}
	more := make([]*tensor.Tensor, 0, len(items)+1)
	more = append(append(append(more, items[:at]...), in[1]), items[at:]...)
	like := *in[0]
	like.ItemType, like.Inner = in[1].Type, in[1].ItemType
	return sameItems(env, &like, more)
}

// sequenceErase leaves out an item, the last or the one that operand 1 says.
type sequenceErase struct{ maker }

func (sequenceErase) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Sequence); err != nil {
		return nil, err
	}
	return []Info{openly(*in[0])}, needPosition(in, 1)
}

func (sequenceErase) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	items := in[0].Items
	if len(items) == 0 {
		return nil, BadInput(0, "is empty")
	}
	at := len(items) - 1
	if present(in, 1) {
		var err error
		if at, err = place(in[1], 1, len(items)); err != nil {
			return nil, err
		}
	}
	return sameItems(env, in[0], slices.Delete(slices.Clone(items), at, at+1))
}

// sequenceLength counts the items.
type sequenceLength struct{}

func (sequenceLength) Infer(in []*Info) ([]Info, error) {
	return []Info{ranked(tensor.Int64)}, needType(in, 0, tensor.Sequence)
}

func (sequenceLength) Run(_ *Env, in, out []*tensor.Tensor) error {
	tensor.Data[int64](out[0])[0] = int64(len(in[0].Items))
	return nil
}

// optional makes an optional of its operand, or an empty one of a type.
type optional struct {
	maker
	of Info // of the empty one
}

func makeOptional(a *Attributes, _ int64) (Operator, error) {
	at, typed := a.take("type", graph.Type)
	if !typed && a.Inputs == 0 {
		return nil, errors.New(`attribute "type" is required`)
	}
	d := at.Type
	if typed && (d.Type == 0 || d.Type == tensor.Optional) {
		return nil, fmt.Errorf(`attribute "type" is %s`, d.Type)
	}
	return optional{of: Info{Type: d.Type, Item: d.Item}}, nil
}

func (o optional) Infer(in []*Info) ([]Info, error) {
	of := o.of
	if present(in, 0) {
		of = *in[0]
	}
	if of.Type == 0 || of.Type == tensor.Optional {
		return nil, BadInput(0, "is %s", of.Type)
	}
	return []Info{listOf(tensor.Optional, &of)}, nil
}

func (o optional) Make(_ *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if !present(in, 0) {
		return []*tensor.Tensor{tensor.OptionalOf(o.of.Type, o.of.Item, nil)}, nil
	}
	return []*tensor.Tensor{tensor.OptionalOf(in[0].Type, in[0].ItemType, in[0])}, nil
}

// optionalGet takes out what an optional holds. A value that is no optional is there.
type optionalGet struct{ maker }

func (optionalGet) Infer(in []*Info) ([]Info, error) {
	switch {
	case in[0] == nil:
		return nil, BadInput(0, "is required")
	case in[0].Type != tensor.Optional:
		return []Info{openly(*in[0])}, nil
	}
	return []Info{itemOf(in[0])}, nil
}

func (optionalGet) Make(_ *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	switch {
	case in[0].Type != tensor.Optional:
		return in[:1], nil
	case len(in[0].Items) == 0:
		return nil, BadInput(0, "is empty")
	}
	return in[0].Items[:1:1], nil
}

// optionalHas says whether an optional holds something.
type optionalHas struct{}

func (optionalHas) Infer([]*Info) ([]Info, error) { return []Info{ranked(tensor.Bool)}, nil }

func (optionalHas) Run(_ *Env, in, out []*tensor.Tensor) error {
	there := present(in, 0) && (in[0].Type != tensor.Optional || len(in[0].Items) > 0)
	tensor.Data[bool](out[0])[0] = there
	return nil
}
