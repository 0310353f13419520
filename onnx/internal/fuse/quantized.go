package fuse

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// scaledProduct finds what quantizers write for a product of integers that becomes
// float32 again: float32(MatMulInteger(a, b)) * (scaleA * scaleB).
func scaledProduct(r *rewriter, st *plan.Step) error {
	if !is(st, "Mul") {
		return nil
	}
	cast, other := r.oneOf(st, "Cast")
	if cast == nil || !r.f32(st.Out[0]) {
		return nil
	}
	product, scales := r.only(cast.In[0], "MatMulInteger"), r.only(other, "Mul")
	if product == nil || scales == nil || !r.sameRank(product.Out[0], st.Out[0]) {
		return nil
	}
	a, b := scales.In[0], scales.In[1]
	if !r.single(a) {
		a, b = b, a
	}
	if !r.single(a) || !r.f32(a) || !r.single(b) && !r.columns(b, product.In[1]) {
		return nil
	}
	in := append(append([]int{}, product.In...), -1, -1)[:4]
	return r.toFloat(st, in[0], in[1], a, b, in[2], in[3])
}

// toFloat makes a step the product of two quantized matrices as float32.
func (r *rewriter) toFloat(st *plan.Step, a, b, scaleA, scaleB, zeroA, zeroB int) error {
	n := &graph.Node{Op: "MatMulIntegerToFloat", Domain: "com.microsoft", Inputs: make([]string, 7), Outputs: []string{""}}
	o, err := op.New(n, op.Table(), nil)
	if err != nil {
		return err
	}
	r.replace(st, "MatMulIntegerToFloat", o, a, b, scaleA, scaleB, zeroA, zeroB, -1)
	return nil
}

// biasedProduct moves what is added to each column into such a product.
func biasedProduct(r *rewriter, st *plan.Step) error {
	if !is(st, "Add") {
		return nil
	}
	for k := range 2 {
		from, bias := r.makers[st.In[k]], st.In[1-k]
		if from == nil || r.readers[st.In[k]] != 1 || op.Name(from.Node) != "fused:MatMulIntegerToFloat" || from.In[6] >= 0 {
			continue
		}
		if r.f32(bias) && r.columns(bias, from.In[1]) && r.sameRank(st.In[k], st.Out[0]) {
			in := append([]int{}, from.In...)
			in[6] = bias
			r.replace(st, "MatMulIntegerToFloat", from.Op, in...)
			return nil
		}
	}
	return nil
}

// single says whether a value is known to be one number, of a rank that does not show
// in what it is multiplied with.
func (r *rewriter) single(id int) bool {
	shape, ok := r.shape(id)
	return ok && (len(shape) == 0 || len(shape) == 1 && shape[0] == 1)
}

// columns says whether a value is a list with one number for each column of a matrix.
func (r *rewriter) columns(id, matrix int) bool {
	shape, ok := r.shape(id)
	m, known := r.shape(matrix)
	return ok && known && len(shape) == 1 && len(m) == 2 && shape[0] > 0 && shape[0] == m[1]
}

// quantity is an 8-bit value with what makes it float32. along is the axis with a scale
// for each index, or -1.
type quantity struct{ q, scale, zero, along int }

// dequantized finds the integers that a float32 value is made of.
func (r *rewriter) dequantized(id int) (v quantity, ok bool) {
	st := r.from(id, "DequantizeLinear")
	if st == nil || !r.f32(id) || !r.bytes(st.In[0]) || !r.f32(st.In[1]) {
		return v, false
	}
	v = quantity{q: st.In[0], scale: st.In[1], zero: -1, along: -1}
	if len(st.In) > 2 {
		v.zero = st.In[2]
	}
	if r.single(v.scale) {
		return v, true
	}
	shape, known := r.shape(v.q)
	scale, listed := r.shape(v.scale)
	if !known || !listed || len(scale) != 1 {
		return v, false // blocks
	}
	v.along = 1
	if a, has := attr(st, "axis"); has {
		v.along = int(a.I)
	}
	if v.along < 0 {
		v.along += len(shape)
	}
	return v, true
}

func (r *rewriter) bytes(id int) bool {
	t := r.p.Values[id].Info.Type
	return t == tensor.Uint8 || t == tensor.Int8
}

// requantizes says whether a step makes 8 bits by one scale and zero point.
func (r *rewriter) requantizes(st *plan.Step) bool {
	if _, has := attr(st, "precision"); has {
		return false
	}
	return is(st, "QuantizeLinear") && len(st.In) == 3 && st.In[2] >= 0 && r.single(st.In[1]) && r.f32(st.In[1]) && r.single(st.In[2]) && r.bytes(st.In[2])
}

// integerProduct finds products of values that were dequantized only for them, and
// that are quantized again: nothing of it needs to be float32.
func integerProduct(r *rewriter, st *plan.Step) error {
	if !r.requantizes(st) {
		return nil
	}
	product := r.only(st.In[0], "MatMul")
	if product == nil {
		return nil
	}
	a, b, ok := r.quantities(product)
	if !ok {
		return nil
	}
	o, err := standard(r.p.Operators(), "QLinearMatMul", 10, 8)
	if err != nil {
		return err
	}
	r.replace(st, "QLinearMatMul", op.WithoutOverflow(o), a.q, a.scale, a.zero, b.q, b.scale, b.zero, st.In[1], st.In[2])
	return nil
}

// integerProductToFloat finds those whose result stays float32.
func integerProductToFloat(r *rewriter, st *plan.Step) error {
	if !is(st, "MatMul") {
		return nil
	}
	a, b, ok := r.quantities(st)
	if !ok {
		return nil
	}
	if err := r.toFloat(st, a.q, b.q, a.scale, b.scale, a.zero, b.zero); err != nil {
		return err
	}
	st.Op = op.WithoutOverflow(st.Op)
	return nil
}

// quantities are the operands of a product that no rewrite has changed, which would have
// renamed it, if their scales are those that the kernels take: one for the left matrix,
// one or one for each column of the right one.
func (r *rewriter) quantities(st *plan.Step) (a, b quantity, ok bool) {
	a, okA := r.dequantized(st.In[0])
	b, okB := r.dequantized(st.In[1])
	if !okA || !okB || a.along >= 0 || !r.sumsFit(b.q) {
		return a, b, false
	}
	return a, b, b.along < 0 || b.along == 1 && r.columns(b.scale, b.q)
}

// sumsFit says whether the sums of a product with a right matrix stay within int32, as
// they would as float32. A length that is open counts as a sequence, which is shorter: the
// product refuses one that turns out not to be.
func (r *rewriter) sumsFit(matrix int) bool {
	shape, ok := r.shape(matrix)
	return !ok || len(shape) == 0 || shape[max(0, len(shape)-2)] <= op.LongestSum
}

// filtersFit is sumsFit for a convolution: each result is a sum over one filter.
func (r *rewriter) filtersFit(weights int) bool {
	shape, ok := r.shape(weights)
	if !ok || len(shape) < 2 {
		return false
	}
	n := int64(1)
	for _, d := range shape[1:] {
		if d < 0 || d > op.LongestSum || n*d > op.LongestSum {
			return false
		}
		n *= d
	}
	return true
}

// integerConv finds convolutions of dequantized values that are quantized again. Their
// bias is an int32 with the scale of the sums.
func integerConv(r *rewriter, st *plan.Step) error {
	if !r.requantizes(st) {
		return nil
	}
	conv := r.only(st.In[0], "Conv")
	if conv == nil {
		return nil
	}
	x, okX := r.dequantized(conv.In[0])
	w, okW := r.dequantized(conv.In[1])
	if !okX || !okW || x.along >= 0 || w.along > 0 || !r.filtersFit(w.q) {
		return nil
	}
	in := []int{x.q, x.scale, x.zero, w.q, w.scale, w.zero, st.In[1], st.In[2]}
	if len(conv.In) > 2 && conv.In[2] >= 0 {
		bias, ok := r.sumsBias(conv.In[2], x.scale, w.scale)
		if !ok {
			return nil
		}
		in = append(in, bias)
	}
	o, err := standard(r.p.Operators(), "QLinearConv", 10, len(in), conv.Node.Attrs...)
	if err != nil {
		return err
	}
	r.replace(st, "QLinearConv", o, in...)
	return nil
}

// sumsBias finds the int32 that a bias is made of, if its scale is the product of the
// operands' scales. A short bias is a float32 constant by now: then it makes them again.
func (r *rewriter) sumsBias(id, scaleX, scaleW int) (int, bool) {
	x, w := r.numbers(scaleX), r.numbers(scaleW)
	if len(x) != 1 || len(w) == 0 {
		return -1, false
	}
	if v := r.numbers(id); v != nil {
		return r.sumsAgain(v, x[0], w)
	}
	st := r.from(id, "DequantizeLinear")
	if st == nil || r.p.Values[st.In[0]].Info.Type != tensor.Int32 || len(st.In) > 2 && !r.zeros(st.In[2]) {
		return -1, false
	}
	bias := r.numbers(st.In[1])
	if len(bias) == 0 || len(bias) != 1 && len(w) != 1 && len(bias) != len(w) {
		return -1, false
	}
	for i := range max(len(bias), len(w)) {
		if !near(float64(bias[min(i, len(bias)-1)]), sumScale(x[0], w, i)) {
			return -1, false
		}
	}
	return st.In[0], true
}

// sumScale is the scale of the sums of filter i.
func sumScale(x float32, w []float32, i int) float64 {
	return float64(x) * float64(w[min(i, len(w)-1)])
}

func near(v, want float64) bool { return math.Abs(v-want) <= 1e-5*math.Abs(want) }

// sumsAgain divides a bias by the scales. What does not give integers was none.
func (r *rewriter) sumsAgain(v []float32, x float32, w []float32) (int, bool) {
	if len(w) != 1 && len(w) != len(v) {
		return -1, false
	}
	sums := make([]int32, len(v))
	for i := range v {
		exact := float64(v[i]) / sumScale(x, w, i)
		n := math.RoundToEven(exact)
		if !(math.Abs(exact-n) <= 0.01+1e-6*math.Abs(n) && math.Abs(n) <= math.MaxInt32) {
			return -1, false
		}
		sums[i] = int32(n)
	}
	return r.constant(tensor.List(sums...)), true
}

// zeros says whether a value is missing, or known and zero.
func (r *rewriter) zeros(id int) bool {
	if id < 0 {
		return true
	}
	t := r.p.Fixed(id)
	if t == nil || t.Type != tensor.Int32 {
		return false
	}
	return !slices.ContainsFunc(tensor.Data[int32](t), func(v int32) bool { return v != 0 })
}

// numbers are the elements of a known float32 value.
func (r *rewriter) numbers(id int) []float32 {
	if t := r.p.Fixed(id); t != nil {
		return tensor.Data[float32](t)
	}
	return nil
}
