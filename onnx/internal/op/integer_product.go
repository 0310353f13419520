package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/qgemm"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func integerProductOperators() map[string]Spec {
	product := func(at places) func(*Attributes, int64) (Operator, error) {
		return func(*Attributes, int64) (Operator, error) { return &integerProduct{at: at}, nil }
	}
	none := places{-1, -1, -1, -1, -1, -1, -1, -1, -1}
	sums, quantized, scaled := none, none, scaledPlaces()
	sums.a, sums.b, sums.zeroA, sums.zeroB = 0, 1, 2, 3
	quantized.a, quantized.scaleA, quantized.zeroA, quantized.b = 0, 1, 2, 3
	quantized.scaleB, quantized.zeroB, quantized.scaleY, quantized.zeroY = 4, 5, 6, 7
	return map[string]Spec{
		"MatMulInteger":                      {MinIn: 2, MaxIn: 4, MaxOut: 1, Make: product(sums), Since: 10},
		"QLinearMatMul":                      {MinIn: 8, MaxIn: 8, MaxOut: 1, Make: product(quantized), Since: 10},
		"com.microsoft:MatMulIntegerToFloat": {MinIn: 4, MaxIn: 7, MaxOut: 1, Make: product(scaled)},
	}
}

// scaledPlaces is the order of operands if the result is float32.
func scaledPlaces() places {
	return places{a: 0, b: 1, scaleA: 2, scaleB: 3, zeroA: 4, zeroB: 5, bias: 6, scaleY: -1, zeroY: -1}
}

// integerProduct multiplies stacks of 8-bit matrices, as [Product] does with float32.
// Without scales the result is int32; with those of the operands, float32; with one for
// the result too, 8 bits. Zero points and scales of A are one number or one for each
// row, those of B one number or one for each column.
//
// Sums wrap around as int32 does: ONNX lets them ("the accumulation may overflow if and
// only if in 32 bits"), and onnxruntime's do.
type integerProduct struct {
	at    places
	right *qgemm.Right // B, if it is one known matrix
	fits  bool         // sums that could wrap around are refused
}

// LongestSum is how many products of 8-bit numbers an int32 holds the sum of, whatever
// they are.
const LongestSum = math.MaxInt32 / (255 * 255)

// WithoutOverflow makes a product of integers that stands for one of float32 refuse
// sums of more than LongestSum.
func WithoutOverflow(o Operator) Operator {
	if p, ok := o.(*integerProduct); ok {
		same := *p
		same.fits = true
		return &same
	}
	return o
}

// places says which operand is what; -1: there is none.
type places struct{ a, b, zeroA, zeroB, scaleA, scaleB, scaleY, zeroY, bias int }

func (o *integerProduct) Infer(in []*Info) ([]Info, error) {
	if err := o.checkTypes(in); err != nil {
		return nil, err
	}
	to := o.result(in)
	a, b := in[o.at.a], in[o.at.b]
	for _, i := range []int{o.at.a, o.at.b} {
		if in[i].Ranked && len(in[i].Shape) == 0 {
			return nil, BadInput(i, "is a scalar, expected at least one dimension")
		}
	}
	if !a.Ranked || !b.Ranked {
		return []Info{unranked(to)}, nil
	}
	stackA, m, k := split(a.Shape, true, false)
	stackB, kB, n := split(b.Shape, false, false)
	terms, ok := sameDim(k, kB)
	if !ok {
		return nil, BadInput(o.at.b, "has shape %v, which does not multiply with %v", b.Shape, a.Shape)
	}
	if o.fits && terms > LongestSum {
		return nil, BadInput(o.at.b, "has %d rows, but sums of more than %d products in 8 bits may not fit into int32: a session without fusion computes them in float32", terms, LongestSum)
	}
	shape, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return nil, &OperandError{o.at.b, err}
	}
	if err := o.checkLines(in, stackA, m, stackB, n); err != nil {
		return nil, err
	}
	if len(a.Shape) > 1 {
		shape = append(shape, m)
	}
	if len(b.Shape) > 1 {
		shape = append(shape, n)
	}
	return []Info{ranked(to, shape...)}, nil
}

// result is the type of the result.
func (o *integerProduct) result(in []*Info) tensor.DataType {
	switch {
	case o.at.zeroY >= 0:
		return in[o.at.zeroY].Type
	case o.at.scaleA >= 0:
		return tensor.Float32
	}
	return tensor.Int32
}

func (o *integerProduct) checkTypes(in []*Info) error {
	for _, i := range []int{o.at.a, o.at.b} {
		if err := needType(in, i, tensor.Uint8, tensor.Int8); err != nil {
			return err
		}
	}
	for _, i := range []int{o.at.scaleA, o.at.scaleB, o.at.scaleY} {
		if i >= 0 {
			if err := needType(in, i, shortFloats()...); err != nil {
				return err
			}
		}
	}
	if o.at.zeroY >= 0 {
		if err := needType(in, o.at.zeroY, tensor.Uint8, tensor.Int8); err != nil {
			return err
		}
	}
	for _, pair := range [][2]int{{o.at.zeroA, o.at.a}, {o.at.zeroB, o.at.b}} {
		if !present(in, pair[0]) {
			continue
		}
		if err := needTypeOf(in, pair[0], pair[1]); err != nil {
			return err
		}
	}
	if bias := operand(in, o.at.bias); bias != nil {
		return needType(in, o.at.bias, tensor.Float32)
	}
	return nil
}

// checkLines holds what belongs to rows and columns against their number.
func (o *integerProduct) checkLines(in []*Info, stackA []int64, m int64, stackB []int64, n int64) error {
	for _, c := range []struct {
		place int
		stack []int64
		lines int64
	}{
		{o.at.zeroA, stackA, m}, {o.at.scaleA, stackA, m}, {o.at.zeroB, stackB, n}, {o.at.scaleB, stackB, n},
		{o.at.bias, nil, n}, {o.at.scaleY, nil, 1}, {o.at.zeroY, nil, 1},
	} {
		v := operand(in, c.place)
		if v == nil || !v.Complete() || c.lines < 0 || !ranked(0, c.stack...).Complete() {
			continue
		}
		got := countStack(v.Shape)
		if got != 1 && got != c.lines && got != c.lines*countStack(c.stack) {
			return BadInput(c.place, "has shape %v, expected one number or %d", v.Shape, c.lines)
		}
	}
	scaleA, scaleB := operand(in, o.at.scaleA), operand(in, o.at.scaleB)
	if scaleA != nil && scaleA.Complete() && countStack(scaleA.Shape) > 1 && scaleB.Complete() && countStack(scaleB.Shape) > 1 {
		return BadInput(o.at.scaleB, "one scale for each row of A and for each column of B at the same time is not supported by this engine")
	}
	if bias := operand(in, o.at.bias); bias != nil && bias.Complete() && n >= 0 && countStack(bias.Shape) != n {
		return BadInput(o.at.bias, "has shape %v, expected %d numbers", bias.Shape, n)
	}
	return nil
}

// Pack keeps B for the kernels, if it is one known matrix with known zero points.
func (o *integerProduct) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	b := fixed(o.at.b)
	if b == nil || len(b.Shape) != 2 || o.right != nil {
		return nil, nil, nil
	}
	unread := []int{o.at.b}
	var zero *tensor.Tensor
	if operand(in, o.at.zeroB) != nil {
		if zero = fixed(o.at.zeroB); zero == nil {
			return nil, nil, nil
		}
		unread = append(unread, o.at.zeroB)
	}
	packed := *o
	k, n := int(b.Shape[0]), int(b.Shape[1])
	if zero != nil && zero.Len() != 1 && zero.Len() != n { // while A's rank is open, nobody has looked
		return nil, nil, BadInput(o.at.zeroB, "has shape %v, expected one number or %d", zero.Shape, n)
	}
	var err error
	packed.right, err = packRight(on, b, zero, 0, k, n, qgemm.RightSize(k, n).Make())
	return &packed, unread, err
}

// Scratch is the memory of packed operands, of sums, and of the scales of columns.
func (o *integerProduct) Scratch(on *kernel.On, in []*Info) int64 {
	_, k, n := split(in[o.at.b].Shape, false, false)
	stack, m, _ := split(in[o.at.a].Shape, true, false)
	if o.right != nil {
		m *= countStack(stack)
	}
	lines := max(m, n)
	return scratchOf(o.size(on, int(m), int(k), int(n))) + lines
}

func (o *integerProduct) size(on *kernel.On, m, k, n int) qgemm.Size {
	return qgemm.LeftSize(m, k).Plus(o.beside(on, k, n))
}

// scratchOf is a kernel's memory in float32.
func scratchOf(s qgemm.Size) int64 { return (int64(s.Bytes)+3)/4 + int64(s.Words) }

// memoryOf cuts scratch memory of a size off the front.
func memoryOf(s qgemm.Size, scratch []float32) (*qgemm.Memory, []float32) {
	bytes := (s.Bytes + 3) / 4
	m := &qgemm.Memory{Bytes: tensor.Reuse[uint8](scratch[:bytes]), Words: tensor.Reuse[int32](scratch[bytes : bytes+s.Words])}
	return m, scratch[bytes+s.Words:]
}

// packLeft packs the matrix of A that begins with element from.
func packLeft(on *kernel.On, t, zero *tensor.Tensor, from, m, k int, memory *qgemm.Memory) (*qgemm.Left, error) {
	if t.Type == tensor.Int8 {
		return qgemm.PackLeft(on, qgemm.Dense(tensor.Data[int8](t)[from:], k), m, k, linesOf[int8](zero, from/max(1, k), m), memory)
	}
	return qgemm.PackLeft(on, qgemm.Dense(tensor.Data[uint8](t)[from:], k), m, k, linesOf[uint8](zero, from/max(1, k), m), memory)
}

// packRight packs the matrix of B that begins with element from.
func packRight(on *kernel.On, t, zero *tensor.Tensor, from, k, n int, memory *qgemm.Memory) (*qgemm.Right, error) {
	if t.Type == tensor.Int8 {
		return qgemm.PackRight(on, qgemm.Dense(tensor.Data[int8](t)[from:], n), k, n, linesOf[int8](zero, from/max(1, k), n), memory)
	}
	return qgemm.PackRight(on, qgemm.Dense(tensor.Data[uint8](t)[from:], n), k, n, linesOf[uint8](zero, from/max(1, k), n), memory)
}

// linesOf is the numbers that spanOf finds, or none.
func linesOf[T tensor.Elem](t *tensor.Tensor, from, n int) []T {
	if t == nil {
		return nil
	}
	at, count := spanOf(t, from, n)
	return tensor.Data[T](t)[at : at+count]
}

// Run multiplies: all rows of A at once if B is one matrix and nothing belongs to the
// rows of every matrix of A alike.
func (o *integerProduct) Run(env *Env, in, out []*tensor.Tensor) error {
	a, b := in[o.at.a], in[o.at.b]
	stackA, m, k := split(a.Shape, true, false)
	if o.right != nil && o.together(in, stackA) {
		return o.one(env, in, out[0], 0, 0, 0, int(countStack(stackA)*m), int(k), o.right.Columns())
	}
	stackB, n := []int64(nil), int64(0)
	if o.right != nil {
		n = int64(o.right.Columns())
	} else {
		stackB, _, n = split(b.Shape, false, false)
	}
	stack, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return err
	}
	at := stacked(stack, stackA, stackB, int(m*k), int(k*n), int(m*n))
	for i := range int(countStack(stack)) {
		atA, atB, atY := at(i)
		if err := o.one(env, in, out[0], atA, atB, atY, int(m), int(k), int(n)); err != nil {
			return err
		}
	}
	return nil
}

// together says whether the stack of A is as good as one matrix: nothing belongs to
// the rows of each of its matrices alike.
func (o *integerProduct) together(in []*tensor.Tensor, stackA []int64) bool {
	_, m, _ := split(in[o.at.a].Shape, true, false)
	for _, place := range []int{o.at.zeroA, o.at.scaleA} {
		t := operand(in, place)
		if t != nil && t.Len() != 1 && int64(t.Len()) != countStack(stackA)*m {
			return false
		}
	}
	return true
}

// one multiplies two matrices.
func (o *integerProduct) one(env *Env, in []*tensor.Tensor, y *tensor.Tensor, atA, atB, atY, m, k, n int) error {
	memory, rest := memoryOf(o.size(env.On, m, k, n), env.Scratch)
	left, err := packLeft(env.On, in[o.at.a], operand(in, o.at.zeroA), atA, m, k, memory)
	if err != nil {
		return err
	}
	right := o.right
	if right == nil {
		if right, err = packRight(env.On, in[o.at.b], operand(in, o.at.zeroB), atB, k, n, memory); err != nil {
			return err
		}
	}
	scale := o.scale(in, atA/max(1, k), atB/max(1, k), m, n, rest)
	return qgemm.Mul(env.On, left, right, o.output(in, y, atY, n, scale), memory)
}

// scale is what the sums are multiplied by: the product of the operands' scales, of
// which one is a single number, through the result's.
func (o *integerProduct) scale(in []*tensor.Tensor, row, column, m, n int, room []float32) (s qgemm.PerLine[float32]) {
	if o.at.scaleA < 0 {
		return s
	}
	many, single := in[o.at.scaleB], in[o.at.scaleA]
	at, count := spanOf(many, column, n)
	if single.Len() > 1 {
		many, single, s.ByRow = single, many, true
		at, count = spanOf(many, row, m)
	}
	s.Values = room[:count]
	widen(s.Values, many, at)
	factor := firstFloat(single)
	for i := range s.Values {
		s.Values[i] *= factor
		if o.at.scaleY >= 0 {
			s.Values[i] /= firstFloat(in[o.at.scaleY])
		}
	}
	return s
}

// spanOf is which of the numbers belong to n lines of one matrix of a stack, of which
// the first is line from: one for all, one for each line of every matrix, or one for
// each line of the stack.
func spanOf(t *tensor.Tensor, from, n int) (at, count int) {
	if t.Len() == 1 || t.Len() == n {
		return 0, t.Len()
	}
	return from, n
}

func firstFloat(t *tensor.Tensor) float32 {
	var v [1]float32
	widen(v[:], t, 0)
	return v[0]
}

func (o *integerProduct) output(in []*tensor.Tensor, y *tensor.Tensor, from, row int, scale qgemm.PerLine[float32]) qgemm.Output {
	switch y.Type {
	case tensor.Int32:
		return &qgemm.Sums{Dst: tensor.Data[int32](y)[from:], Row: row}
	case tensor.Uint8:
		return &qgemm.Requantized[uint8]{Dst: tensor.Data[uint8](y)[from:], Row: row, Scale: scale, Zero: tensor.Data[uint8](in[o.at.zeroY])[0]}
	case tensor.Int8:
		return &qgemm.Requantized[int8]{Dst: tensor.Data[int8](y)[from:], Row: row, Scale: scale, Zero: tensor.Data[int8](in[o.at.zeroY])[0]}
	}
	s := &qgemm.Scaled{Dst: tensor.Data[float32](y)[from:], Row: row, Scale: scale}
	if bias := operand(in, o.at.bias); bias != nil {
		s.Bias.Values = tensor.Data[float32](bias)
	}
	return s
}
