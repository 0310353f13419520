package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func matrixOperators() map[string]Spec {
	return map[string]Spec{
		"MatMul": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return &Product{}, nil }},
		"Gemm":   {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeGemm},
	}
}

// Product multiplies stacks of matrices and does what follows:
//
//	act(Alpha * A x B + Beta * C + D)
//
// Operands are A, B, C and D; C and D may be missing. Stacks follow numpy's rules: a
// vector on the left is a row, on the right a column, and stacks broadcast. C broadcasts
// to the product; D and the sum of the others broadcast both ways. Act and D are for
// float32 alone. It is immutable.
type Product struct {
	Matrices       bool    // Gemm: operands are matrices, not stacks
	TransA, TransB bool    // the matrices of A or B are given transposed
	Alpha, Beta    float32 // 0 stands for 1
	Act            Activation

	packed    *gemm.Packed // B, if it is known
	bias      []float32    // Beta * C, if it is known and one number for each column
	overwrite bool         // B is nobody else's
}

func makeGemm(a *Attributes, opset int64) (Operator, error) {
	o := &Product{Matrices: true, Alpha: a.float("alpha", 1), Beta: a.float("beta", 1),
		TransA: a.flag("transA", false), TransB: a.flag("transB", false)}
	if opset < 7 {
		a.int("broadcast", 0)
	}
	if o.Alpha == 0 || o.Beta == 0 {
		return zeroScaled{o, o.Alpha == 0, o.Beta == 0}, nil
	}
	return o, nil
}

// factor is a scale of which the zero value is 1.
func factor(f float32) float32 {
	if f == 0 {
		return 1
	}
	return f
}

// split cuts a shape into the stack and the rows and columns of its matrices, after a
// vector has become a matrix and transposition.
func split(shape []int64, left, turned bool) (stack []int64, rows, columns int64) {
	switch n := len(shape); {
	case n == 1 && left:
		return nil, 1, shape[0]
	case n == 1:
		return nil, shape[0], 1
	default:
		stack, rows, columns = shape[:n-2], shape[n-2], shape[n-1]
	}
	if turned {
		rows, columns = columns, rows
	}
	return stack, rows, columns
}

// Infer follows numpy's matmul, or ONNX's Gemm.
func (o *Product) Infer(in []*Info) ([]Info, error) {
	if err := o.check(in); err != nil {
		return nil, err
	}
	a, b := in[0], in[1]
	if !a.Ranked || !b.Ranked {
		return o.unranked(in)
	}
	stackA, m, k := split(a.Shape, true, o.TransA)
	stackB, kB, n := split(b.Shape, false, o.TransB)
	if _, ok := sameDim(k, kB); !ok {
		if o.Matrices {
			return nil, BadInput(1, "has %d rows after transposition, but A has %d columns", kB, k)
		}
		return nil, BadInput(1, "has shape %v, which does not multiply with %v", b.Shape, a.Shape)
	}
	shape, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return nil, &OperandError{1, err}
	}
	if len(a.Shape) > 1 {
		shape = append(shape, m)
	}
	if len(b.Shape) > 1 {
		shape = append(shape, n)
	}
	if present(in, 2) && in[2].Ranked && !fitsInto(in[2].Shape, shape) {
		return nil, BadInput(2, "has shape %v, which does not broadcast to %v", in[2].Shape, shape)
	}
	if present(in, 3) && in[3].Ranked {
		if shape, err = broadcastShapes(shape, in[3].Shape); err != nil {
			return nil, &OperandError{3, err}
		}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// InPlace lets the result take the place of D, which is read before it is written.
func (o *Product) InPlace() []int { return []int{3} }

func (o *Product) unranked(in []*Info) ([]Info, error) {
	if !o.Matrices {
		return []Info{unranked(in[0].Type)}, nil
	}
	m, n := int64(-1), int64(-1)
	if in[0].Ranked {
		_, m, _ = split(in[0].Shape, true, o.TransA)
	}
	if in[1].Ranked {
		_, _, n = split(in[1].Shape, false, o.TransB)
	}
	return []Info{ranked(in[0].Type, m, n)}, nil
}

func (o *Product) check(in []*Info) error {
	for i, v := range in {
		if i > 1 && v == nil {
			continue
		}
		allowed := numberTypes()
		if i > 0 {
			allowed = []tensor.DataType{in[0].Type}
		}
		if err := needType(in, i, allowed...); err != nil {
			return err
		}
		if v.Type != tensor.Float32 && (o.Act.Kind != NoActivation || len(in) > 3) {
			return BadInput(i, "is %s, fused products are of float32", v.Type)
		}
		switch {
		case i > 1 || !v.Ranked:
		case o.Matrices && len(v.Shape) != 2:
			return BadInput(i, "has shape %v, expected a matrix", v.Shape)
		case len(v.Shape) == 0:
			return BadInput(i, "is a scalar, expected at least one dimension")
		}
	}
	return nil
}

// fitsInto says whether shape can be repeated to fill target, which stays as it
// is (the one-way broadcast of ONNX, Broadcasting.md).
func fitsInto(shape, target []int64) bool {
	if len(shape) > len(target) {
		return false
	}
	tail := target[len(target)-len(shape):]
	for i, d := range shape {
		if d != 1 && d != -1 && tail[i] != -1 && d != tail[i] {
			return false
		}
	}
	return true
}

// Overwrite lets B be laid out where it is.
func (o *Product) Overwrite(own func(i int) bool) Packer {
	same := *o
	same.overwrite = own(1)
	return &same
}

// Shares is true for a known B that is given transposed: its rows are columns of what is
// multiplied.
func (o *Product) Shares(i int, in []*Info) bool {
	return i == 1 && o.TransB && o.packed == nil && in[1].Type == tensor.Float32 && len(in[1].Shape) == 2
}

// ReadRow copies row i of B as it was given, transposed.
func (o *Product) ReadRow(dst []float32, i int) { o.packed.Column(dst, i) }

// Pack lays out B for the tiles of the level if it is one known matrix, and keeps C if
// that is one known number for each column.
func (o *Product) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	b := fixed(1)
	if b == nil || b.Type != tensor.Float32 || len(b.Shape) != 2 || o.packed != nil {
		return nil, nil, nil
	}
	_, _, n := split(b.Shape, false, o.TransB)
	packed, unread := *o, []int{1}
	packed.packed = o.layOut(on.Level, b)
	if present(in, 2) {
		if c := fixed(2); c != nil && perColumn(c.Shape, n) {
			packed.bias = scaled(tensor.Data[float32](c), factor(o.Beta))
			unread = append(unread, 2)
		}
	}
	return &packed, unread, nil
}

// layOut packs a known B, where it is if it is nobody else's.
func (o *Product) layOut(level kernel.Level, b *tensor.Tensor) *gemm.Packed {
	_, k, n := split(b.Shape, false, o.TransB)
	if o.overwrite && !o.TransB {
		if there := tensor.Panels(b, gemm.PanelWidth(level)); there != nil {
			return gemm.InPanels(there, level, int(k), int(n))
		}
	}
	data := tensor.Data[float32](b)
	switch {
	case !o.overwrite:
		return gemm.Pack(level, view(data, b.Shape, o.TransB), int(k), int(n))
	case o.TransB:
		return gemm.PackOverTurned(data, level, int(k), int(n))
	}
	return gemm.PackOver(data, level, int(k), int(n))
}

// perColumn says whether a shape is one number for each of n columns.
func perColumn(shape []int64, n int64) bool {
	for i, d := range shape {
		if last := i == len(shape)-1; last && d != n || !last && d != 1 {
			return false
		}
	}
	return len(shape) > 0
}

func scaled(v []float32, by float32) []float32 {
	out := slices.Clone(v)
	for i := range out {
		out[i] *= by
	}
	return out
}

// view is the matrix in the last two dimensions of a shape.
func view(data []float32, shape []int64, turned bool) gemm.View {
	columns := int(shape[len(shape)-1])
	if turned {
		return gemm.View{Data: data, Row: 1, Col: columns}
	}
	return gemm.Dense(data, columns)
}

// Scratch is what products of two stacks need, and a product that D does not have the
// shape of.
func (o *Product) Scratch(on *kernel.On, in []*Info) int64 {
	if in[0].Type != tensor.Float32 {
		return 0
	}
	n := int64(0)
	if o.packed == nil {
		_, k, columns := split(in[1].Shape, false, o.TransB)
		n = int64(gemm.ScratchLen(on.Workers(), int(k), int(columns)))
	}
	if alone, differs := o.alone(in); differs {
		n += countStack(alone)
	}
	return n
}

// alone is the shape of the product without D, and whether D has another one.
func (o *Product) alone(in []*Info) ([]int64, bool) {
	if !present(in, 3) {
		return nil, false
	}
	results, err := o.Infer(in[:3])
	if err != nil {
		return nil, false
	}
	return results[0].Shape, !slices.Equal(results[0].Shape, in[3].Shape)
}

// Run multiplies.
func (o *Product) Run(env *Env, in, out []*tensor.Tensor) error {
	if in[0].Type != tensor.Float32 {
		return o.numbers(env, in, out, factor(o.Alpha), factor(o.Beta))
	}
	if present(in, 3) {
		if shape, differs := o.alone(o.infos(in)); differs {
			return o.apart(env, in, out, shape)
		}
	}
	return o.together(env, in, out)
}

// infos describes operands, of which B may be packed away.
func (o *Product) infos(in []*tensor.Tensor) []*Info {
	infos := infosOf(in)
	if in[1] == nil {
		k, n := int64(o.packed.K()), int64(o.packed.N())
		if o.TransB {
			k, n = n, k
		}
		v := ranked(tensor.Float32, k, n)
		infos[1] = &v
	}
	return infos
}

// apart multiplies first and adds D then, since one of them repeats.
func (o *Product) apart(env *Env, in, out []*tensor.Tensor, shape []int64) error {
	n := countStack(shape)
	product := tensor.Of(env.Scratch[:n], shape...)
	first := *o
	first.Act = Activation{}
	rest := *env
	rest.Scratch = env.Scratch[n:]
	if err := first.together(&rest, in[:3], []*tensor.Tensor{product}); err != nil {
		return err
	}
	if err := two(env, out[0], product, in[3], add[float64]); err != nil {
		return err
	}
	return o.Act.apply(env, tensor.Data[float32](out[0]))
}

// together multiplies and adds in one go.
func (o *Product) together(env *Env, in, out []*tensor.Tensor) error {
	dst := tensor.Data[float32](out[0])
	stackA, m, k := split(in[0].Shape, true, o.TransA)
	n := int64(1)
	if o.packed != nil {
		n = int64(o.packed.N())
	} else {
		_, _, n = split(in[1].Shape, false, o.TransB)
	}
	e, err := o.epilogue(env, in, out[0], int(n))
	if err != nil {
		return err
	}
	a := tensor.Data[float32](in[0])
	if o.packed != nil && !o.TransA {
		return gemm.Mul(env.On, dst, int(n), len(dst)/int(n), gemm.Dense(a, int(k)), o.packed, e)
	}
	if o.packed != nil {
		for i := range countStack(stackA) {
			at := view(a[i*m*k:], in[0].Shape, true)
			rows := *e
			if e.C != nil {
				rows.C = e.C[i*m*n:]
			}
			if err := gemm.Mul(env.On, dst[i*m*n:], int(n), int(m), at, o.packed, &rows); err != nil {
				return err
			}
		}
		return nil
	}
	return o.both(env, in, out, e)
}

func countStack(stack []int64) int64 {
	n := int64(1)
	for _, d := range stack {
		n *= d
	}
	return n
}

// both multiplies two stacks.
func (o *Product) both(env *Env, in, out []*tensor.Tensor, e *gemm.Epilogue) error {
	stackA, m, k := split(in[0].Shape, true, o.TransA)
	stackB, _, n := split(in[1].Shape, false, o.TransB)
	stack, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return err
	}
	a, b := tensor.Data[float32](in[0]), tensor.Data[float32](in[1])
	viewA, viewB := gemm.Dense(a, int(k)), gemm.Dense(b, int(n))
	if o.TransA {
		viewA = view(a, in[0].Shape, true)
	}
	if o.TransB && len(in[1].Shape) > 1 {
		viewB = view(b, in[1].Shape, true)
	}
	batch := gemm.Batch{Count: int(countStack(stack))}
	if batch.Count != 1 {
		batch.At = stacked(stack, stackA, stackB, int(m*k), int(k*n), int(m*n))
	}
	return gemm.MulBoth(env.On, tensor.Data[float32](out[0]), int(n), int(m), int(k), int(n), viewA, viewB, batch, e, env.Scratch)
}

// stacked finds where each product of a broadcast stack begins.
func stacked(stack, stackA, stackB []int64, a, b, dst int) func(int) (int, int, int) {
	dims := kernel.Strides(stack)
	stepsA, stepsB := kernel.BroadcastStrides(stackA, stack), kernel.BroadcastStrides(stackB, stack)
	return func(i int) (int, int, int) {
		atA, atB := 0, 0
		for d, rest := 0, i; d < len(dims); d++ {
			atA += rest / dims[d] * stepsA[d]
			atB += rest / dims[d] * stepsB[d]
			rest %= dims[d]
		}
		return atA * a, atB * b, i * dst
	}
}

// epilogue says what becomes of the product. What is added and is not one number for
// each column is put into the result first.
func (o *Product) epilogue(env *Env, in []*tensor.Tensor, out *tensor.Tensor, n int) (*gemm.Epilogue, error) {
	e := &gemm.Epilogue{Alpha: o.Alpha, Bias: o.bias, Row: o.Act.Row()}
	e.Lo, e.Hi, e.Clip = o.Act.Bounds()
	if d := operand(in, 3); d != nil {
		e.C, e.CRow, e.Beta = tensor.Data[float32](d), n, 1
	}
	c := operand(in, 2)
	switch {
	case c == nil || o.bias != nil:
		return e, nil
	case factor(o.Beta) == 1 && perColumn(c.Shape, int64(n)):
		e.Bias = tensor.Data[float32](c)
		return e, nil
	case e.C == nil && slices.Equal(c.Shape, out.Shape):
		e.C, e.CRow, e.Beta = tensor.Data[float32](c), n, factor(o.Beta)
		return e, nil
	}
	if err := o.spread(env, c, operand(in, 3), out); err != nil {
		return nil, err
	}
	e.C, e.CRow, e.Beta = tensor.Data[float32](out), n, 1
	return e, nil
}

// spread puts Beta * c + d into the result, which may be where d is.
func (o *Product) spread(env *Env, c, d, out *tensor.Tensor) error {
	dst, beta := tensor.Data[float32](out), factor(o.Beta)
	if d == nil {
		clear(dst)
	} else {
		copy(dst, tensor.Data[float32](d))
	}
	add := func(x, v float32) float32 { return x + beta*v }
	return zip(env, out, out, c, add)
}

// zeroScaled is a Gemm with alpha or beta zero. What is scaled by zero is left out,
// whatever it holds.
type zeroScaled struct {
	*Product
	noProduct, noC bool
}

func (o zeroScaled) Run(env *Env, in, out []*tensor.Tensor) error {
	in = slices.Clone(in)
	if o.noC && len(in) > 2 {
		in[2] = nil
	}
	if in[0].Type != tensor.Float32 {
		return o.numbers(env, in, out, o.Alpha, factor(o.Beta))
	}
	if !o.noProduct {
		return o.Product.Run(env, in, out)
	}
	if c := operand(in, 2); c != nil {
		return o.spread(env, c, nil, out[0])
	}
	clear(tensor.Data[float32](out[0]))
	return nil
}

// Pack keeps the plain form: a product by zero needs no speed.
func (o zeroScaled) Pack(kernel.Level, func(int) *tensor.Tensor, []*Info) (Operator, []int, error) {
	return nil, nil, nil
}
