package fuse

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// layerNorm finds (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * scale + bias over
// the last dimension.
func layerNorm(r *rewriter, st *plan.Step) error {
	if !is(st, "Add") || !r.f32(st.Out[0]) {
		return nil
	}
	mul, bias := r.oneOf(st, "Mul")
	if mul == nil {
		return nil
	}
	div, scale := r.oneOf(mul, "Div")
	if div == nil {
		return nil
	}
	x, eps, ok := r.standardised(div)
	if !ok || !r.rows(x, scale) || !r.rows(x, bias) {
		return nil
	}
	o, err := standard(r.p.Operators(), "LayerNormalization", 17, 3, integer("axis", -1), float("epsilon", eps))
	if err != nil {
		return err
	}
	r.replace(st, "LayerNorm", o, x, scale, bias)
	return nil
}

// standardised says of what a division by a standard deviation is made.
func (r *rewriter) standardised(div *plan.Step) (x int, eps float32, ok bool) {
	sub := r.from(div.In[0], "Sub")
	root := r.only(div.In[1], "Sqrt")
	if sub == nil || root == nil {
		return -1, 0, false
	}
	add := r.only(root.In[0], "Add")
	if add == nil {
		return -1, 0, false
	}
	variance, epsilon := r.oneOf(add, "ReduceMean")
	if variance == nil || !r.lastAxis(variance) {
		return -1, 0, false
	}
	if eps, ok = r.number(epsilon); !ok {
		return -1, 0, false
	}
	mean := r.only(sub.In[1], "ReduceMean")
	if mean == nil || mean.In[0] != sub.In[0] || !r.lastAxis(mean) {
		return -1, 0, false
	}
	return sub.In[0], eps, r.squared(variance.In[0], sub) && r.readers[sub.Out[0]] <= 3
}

// squared says whether a value is the square of what a step gives.
func (r *rewriter) squared(id int, of *plan.Step) bool {
	if pow := r.only(id, "Pow"); pow != nil {
		return pow.In[0] == of.Out[0] && r.near(pow.In[1], 2)
	}
	mul := r.only(id, "Mul")
	return mul != nil && mul.In[0] == of.Out[0] && mul.In[1] == of.Out[0]
}

// lastAxis says whether a reduction is over the last dimension and keeps it.
func (r *rewriter) lastAxis(st *plan.Step) bool {
	if keep, ok := attr(st, "keepdims"); ok && keep.I != 1 {
		return false
	}
	axes, ok := attr(st, "axes")
	list := axes.Ints
	if len(st.In) > 1 && st.In[1] >= 0 {
		t := r.p.Fixed(st.In[1])
		ok = t != nil && t.Type == tensor.Int64
		if ok {
			list = tensor.Data[int64](t)
		}
	}
	shape, known := r.shape(st.In[0])
	last := []int64{-1}
	return ok && (slices.Equal(list, last) || known && slices.Equal(list, []int64{int64(len(shape)) - 1}))
}

// rows says whether a value is one number for each column of the last dimension of x.
func (r *rewriter) rows(x, id int) bool {
	shape, ok := r.shape(id)
	of, known := r.shape(x)
	return ok && known && len(shape) == 1 && len(of) > 0 && shape[0] >= 0 && shape[0] == of[len(of)-1]
}
