package op

import "github.com/blindbox/blindbox/onnx/tensor"

// list is integers that are an attribute in old operator sets and an operand in newer
// ones.
type list struct {
	name    string
	values  []int64
	given   bool
	operand int  // 0: the attribute
	scalar  bool // one may come as a scalar: PyTorch writes axes so, and other engines take it
}

// listFrom reads the attribute, or notes which operand takes its place.
func listFrom(a *Attributes, name string, attribute bool, operand int) list {
	if !attribute {
		return list{name: name, operand: operand}
	}
	atMost(a, operand)
	values, given := a.ints(name)
	return list{name: name, values: values, given: given}
}

// atMost refuses operands that an operator does not have in the model's operator set.
func atMost(a *Attributes, most int) {
	if a.Inputs > most {
		a.fail(tooMany(a.Inputs, most))
	}
}

// get returns the integers: whether the model gives them, and whether they are known.
func (l list) get(in []*Info) (values []int64, given, known bool, err error) {
	if l.operand == 0 || !present(in, l.operand) {
		return l.values, l.given, true, nil
	}
	if l.scalar && in[l.operand].Ranked && len(in[l.operand].Shape) == 0 {
		err = needType(in, l.operand, tensor.Int64)
	} else {
		err = needIndices(in, l.operand)
	}
	if err != nil {
		return nil, false, false, err
	}
	values, known = in[l.operand].indices()
	return values, true, known, nil
}

// wrong says what is wrong with the list.
func (l list) wrong(err error) error {
	if l.operand == 0 {
		return attributeError(l.name, err)
	}
	return &OperandError{l.operand, err}
}
