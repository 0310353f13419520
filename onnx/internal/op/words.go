package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// mover moves elements without looking at them. There is one for each size of
// elements, so that what only moves is written once for all types.
type mover interface {
	copy(env *Env, dst *tensor.Tensor, to kernel.Operand, src *tensor.Tensor, from kernel.Operand, shape []int64) error
	take(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error
	put(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error
	grid(env *Env, dst, src *tensor.Tensor, g kernel.Grid) error
	pick(dst, choose, a, b *tensor.Tensor) kernel.Run
}

// words is the mover of elements that look like T; see [tensor.Words].
type words[T tensor.Word] struct{}

func (words[T]) copy(env *Env, dst *tensor.Tensor, to kernel.Operand, src *tensor.Tensor, from kernel.Operand, shape []int64) error {
	return kernel.Copy(env.On, shape, tensor.Words[T](dst), to, tensor.Words[T](src), from)
}

func (words[T]) take(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error {
	return kernel.Take(env.On, tensor.Words[T](dst), tensor.Words[T](src), run, starts)
}

func (words[T]) put(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error {
	return kernel.Put(env.On, tensor.Words[T](dst), tensor.Words[T](src), run, starts)
}

func (words[T]) grid(env *Env, dst, src *tensor.Tensor, g kernel.Grid) error {
	return kernel.TakeGrid(env.On, tensor.Words[T](dst), tensor.Words[T](src), g)
}

func (words[T]) pick(dst, choose, a, b *tensor.Tensor) kernel.Run {
	return kernel.Pick(tensor.Words[T](dst), tensor.Data[bool](choose), tensor.Words[T](a), tensor.Words[T](b))
}

// moverOf returns the mover of a type of elements.
func moverOf(t tensor.DataType) mover {
	if t == tensor.String {
		return words[string]{}
	}
	switch t.Size() {
	case 1:
		return words[uint8]{}
	case 2:
		return words[uint16]{}
	case 4:
		return words[uint32]{}
	case 8:
		return words[uint64]{}
	}
	return words[[2]uint64]{}
}

// expand repeats src to fill dst; both have one type.
func expand(env *Env, dst, src *tensor.Tensor) error {
	return move(env, dst, 0, src, kernel.Broadcast(src.Shape, dst.Shape), dst.Shape)
}

// move copies the elements of src that the operand selects, in the shape given,
// to dst from element offset on, densely.
func move(env *Env, dst *tensor.Tensor, offset int, src *tensor.Tensor, from kernel.Operand, shape []int64) error {
	return copyTo(env, dst, kernel.Operand{Offset: offset, Strides: kernel.Strides(shape)}, src, from, shape)
}

func copyTo(env *Env, dst *tensor.Tensor, to kernel.Operand, src *tensor.Tensor, from kernel.Operand, shape []int64) error {
	return moverOf(dst.Type).copy(env, dst, to, src, from, shape)
}

// copyAll makes dst the same as src, which has as many elements.
func copyAll(env *Env, dst, src *tensor.Tensor) error {
	return move(env, dst, 0, src, kernel.Dense(src.Shape), src.Shape)
}

// zero clears dst: 0, false, "".
func zero(env *Env, dst *tensor.Tensor) error {
	one, err := tensor.New(dst.Type, nil)
	if err != nil {
		return err
	}
	return expand(env, dst, one)
}

// indexes reads the elements of an int32 or int64 tensor.
type indexes struct {
	narrow []int32
	wide   []int64
}

func indexesOf(t *tensor.Tensor) indexes {
	return indexes{tensor.Data[int32](t), tensor.Data[int64](t)}
}

func (x indexes) at(i int) int64 {
	if x.wide != nil {
		return x.wide[i]
	}
	return int64(x.narrow[i])
}

// in returns element i as an index into a dimension, which it may count from its
// end. operand is the one it comes from, for the message.
func (x indexes) in(i int, size int64, operand int) (int, error) {
	v := x.at(i)
	if v < -size || v >= size {
		return 0, BadInput(operand, "index %d is outside of dimension %d", v, size)
	}
	if v < 0 {
		v += size
	}
	return int(v), nil
}

// indices returns the elements of an int32 or int64 tensor if they are known.
func (v Info) indices() ([]int64, bool) {
	if v.Value == nil || v.Value.Type != tensor.Int32 {
		return v.ints()
	}
	narrow := tensor.Data[int32](v.Value)
	wide := make([]int64, len(narrow))
	for i, x := range narrow {
		wide[i] = int64(x)
	}
	return wide, true
}

// needTensor refuses a missing operand and lists.
func needTensor(in []*Info, index int) error {
	switch {
	case in[index] == nil:
		return BadInput(index, "is required")
	case !in[index].Type.Element():
		return BadInput(index, "is %s, expected a tensor", in[index].Type)
	}
	return nil
}

// needIndex refuses anything but int32 and int64.
func needIndex(in []*Info, index int) error { return needType(in, index, tensor.Int32, tensor.Int64) }

// needIndices refuses anything but a list of int32 or int64.
func needIndices(in []*Info, index int) error {
	if err := needIndex(in, index); err != nil {
		return err
	}
	return needRank(in, index, 1, "a list")
}

// needRank refuses operands that do not have as many dimensions; what says which
// kind of thing has.
func needRank(in []*Info, index, rank int, what string) error {
	if in[index].Ranked && len(in[index].Shape) != rank {
		return BadInput(index, "has shape %v, must be %s", in[index].Shape, what)
	}
	return nil
}

// needOne refuses operands of more or less than one element.
func needOne(in []*Info, index int) error {
	v := in[index]
	if !v.Complete() {
		return nil
	}
	if n, err := tensor.Count(v.Shape); err != nil || n != 1 {
		return BadInput(index, "has shape %v, must be one element", v.Shape)
	}
	return nil
}

// present says whether operand i is there.
func present[T any](in []*T, i int) bool { return i < len(in) && in[i] != nil }

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
