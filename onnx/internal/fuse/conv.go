package fuse

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// convolutionOf returns the convolution that a value is, if it is read once and nothing
// has been added or applied to it yet.
func (r *rewriter) convolutionOf(id int) (*plan.Step, *op.Conv) {
	if id < 0 || r.readers[id] != 1 {
		return nil, nil
	}
	st := r.makers[id]
	if st == nil {
		return nil, nil
	}
	o, ok := st.Op.(*op.Conv)
	if !ok || o.Act.Kind != op.NoActivation || len(st.In) > 3 {
		return nil, nil
	}
	return st, o
}

// folded moves what is known of each channel into the weights of the convolution before
// it: a factor, something added, a BatchNormalization.
func folded(r *rewriter, st *plan.Step) error {
	if len(st.In) < 2 || !r.f32(st.Out[0]) {
		return nil
	}
	for k := range min(2, len(st.In)) {
		from, o := r.convolutionOf(st.In[k])
		if from == nil {
			continue
		}
		w := r.p.Fixed(from.In[1])
		if w == nil || len(w.Shape) < 3 || w.Bytes() > *r.spare || len(from.In) > 2 && from.In[2] >= 0 && r.p.Fixed(from.In[2]) == nil {
			continue
		}
		factor, shift, ok := r.perChannel(st, k, w.Shape)
		if !ok {
			continue
		}
		*r.spare -= w.Bytes()
		made, old := *o, from.In[1]
		weights, bias := r.rescaled(from, w, factor, shift)
		id := old
		if weights != w {
			id = r.constant(weights)
			r.own[id] = true
		}
		r.replace(st, "Conv", &made, from.In[0], id, r.constant(bias))
		return nil
	}
	return nil
}

// constant enters a tensor as a value.
func (r *rewriter) constant(t *tensor.Tensor) int {
	r.readers = append(r.readers, 0)
	return r.p.Add("", op.Known(t))
}

// perChannel says which factor and which sum a step gives each channel of operand k.
func (r *rewriter) perChannel(st *plan.Step, k int, w []int64) (factor, shift []float32, ok bool) {
	n, rank := int(w[0]), len(w)
	switch {
	case is(st, "BatchNormalization") && k == 0 && len(st.Out) == 1:
		return r.normalisation(st, n)
	case is(st, "Mul"):
		factor, ok = r.channels(st.In[1-k], n, rank)
		return factor, make([]float32, n), ok
	case is(st, "Add"):
		shift, ok = r.channels(st.In[1-k], n, rank)
		return slices.Repeat([]float32{1}, n), shift, ok
	}
	return nil, nil, false
}

// channels reads a known value that is one number for each of n channels of an image of
// the given rank, or one for all.
func (r *rewriter) channels(id, n, rank int) ([]float32, bool) {
	t := r.p.Fixed(id)
	if t == nil || t.Type != tensor.Float32 || len(t.Shape) > rank {
		return nil, false
	}
	data := tensor.Data[float32](t)
	if len(data) == 1 {
		return slices.Repeat(data, n), true
	}
	at := rank - len(t.Shape) // of the value's first dimension
	for d, size := range t.Shape {
		if at+d != 1 && size != 1 {
			return nil, false
		}
	}
	return data, len(data) == n
}

// normalisation is what a BatchNormalization does to each channel.
func (r *rewriter) normalisation(st *plan.Step, n int) (factor, shift []float32, ok bool) {
	if training, has := attr(st, "training_mode"); has && training.I != 0 || len(st.In) != 5 {
		return nil, nil, false
	}
	var p [4][]float32 // scale, bias, mean, variance
	for i := range p {
		t := r.p.Fixed(st.In[i+1])
		if t == nil || t.Type != tensor.Float32 || t.Len() != n {
			return nil, nil, false
		}
		p[i] = tensor.Data[float32](t)
	}
	factor, shift = make([]float32, n), make([]float32, n)
	eps := float64(floatAttr(st, "epsilon", 1e-5))
	for c := range n {
		f := float64(p[0][c]) / math.Sqrt(float64(p[3][c])+eps)
		factor[c] = float32(f)
		shift[c] = float32(float64(p[1][c]) - float64(p[2][c])*f)
	}
	return factor, shift, true
}

// rescaled makes the weights and the bias of factor * (w * x + b) + shift. Weights that
// were made for the convolution, which is about to go away, are overwritten.
func (r *rewriter) rescaled(from *plan.Step, w *tensor.Tensor, factor, shift []float32) (weights, bias *tensor.Tensor) {
	if weights = w; !r.own[from.In[1]] {
		weights = w.Clone()
	}
	data := tensor.Data[float32](weights)
	per := len(data) / max(1, len(factor))
	sum := slices.Clone(shift)
	var before []float32
	if len(from.In) > 2 && from.In[2] >= 0 {
		before = tensor.Data[float32](r.p.Fixed(from.In[2]))
	}
	for c, f := range factor {
		for i := range per {
			data[c*per+i] *= f
		}
		if before != nil {
			sum[c] += before[c] * f
		}
	}
	return weights, tensor.List(sum...)
}

// image says whether a value has a batch, channels and at least one more dimension.
func (r *rewriter) image(id int) bool {
	shape, ok := r.shape(id)
	return ok && len(shape) > 2 && r.f32(id)
}

// residual moves what is added to a convolution, and has its shape, into it.
func residual(r *rewriter, st *plan.Step) error {
	if !is(st, "Add") || !r.f32(st.Out[0]) {
		return nil
	}
	for k := range 2 {
		from, o := r.convolutionOf(st.In[k])
		other := st.In[1-k]
		if from == nil || !r.image(other) || !r.likely(st.In[k], other) {
			continue
		}
		in := append(append([]int{}, from.In...), -1)[:3]
		made := *o
		r.replace(st, "Conv", &made, append(in, other)...)
		return nil
	}
	return nil
}

// activated moves a function of single elements into the convolution before it.
func activated(r *rewriter, st *plan.Step) error {
	act, ok := r.activationOf(st)
	if !ok || len(st.In) == 0 || st.In[0] < 0 || r.readers[st.In[0]] != 1 {
		return nil
	}
	from := r.makers[st.In[0]]
	if from == nil {
		return nil
	}
	o, ok := from.Op.(*op.Conv)
	if !ok || o.Act.Kind != op.NoActivation {
		return nil
	}
	made := *o
	made.Act = act
	r.replace(st, "Conv", &made, from.In...)
	return nil
}
