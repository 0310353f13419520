package fuse

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/plan"
)

// attention finds softmax(scale * Q x K^T + mask) x V for stacks of heads, with the
// transpositions that exporters put around it: queries, keys and values come as
// [batch, sequence, heads, dim] and are turned to [batch, heads, sequence, dim] for the
// products. The fused step reads and writes them where they are.
func attention(r *rewriter, st *plan.Step) error {
	outer := st
	turned := r.turned(st, 0, 2, 1, 3)
	if turned {
		outer = r.only(st.In[0], "MatMul")
	}
	if outer == nil || !is(outer, "MatMul") || len(outer.In) != 2 || turned && !r.rank4(st.In[0]) {
		return nil
	}
	if !turned && r.turnedLater(outer) {
		return nil // found again at the transposition
	}
	h := heads{scale: 1, out: turned}
	scores, guarded, ok := r.probabilities(outer.In[0])
	if !ok {
		return nil
	}
	h.guarded = guarded
	product, mask := r.scores(scores, &h.scale)
	if product == nil {
		return nil
	}
	q, k, v := product.In[0], product.In[1], outer.In[1]
	q = r.unscaled(q, &h.scale)
	q, h.q = r.heads(q)
	k, h.k, ok = r.keys(k, &h.scale)
	v, h.v = r.heads(v)
	if !ok || !r.rank4(q) || !r.rank4(k) || !r.rank4(v) {
		return nil
	}
	r.replace(st, "Attention", h, q, k, v, mask)
	return nil
}

// turned says whether a step is a transposition by the given permutation.
func (r *rewriter) turned(st *plan.Step, perm ...int64) bool {
	if !is(st, "Transpose") {
		return false
	}
	a, ok := attr(st, "perm")
	return ok && slices.Equal(a.Ints, perm)
}

// turnedLater says whether the only reader of a step is a transposition of heads.
func (r *rewriter) turnedLater(st *plan.Step) bool {
	if r.turns == nil {
		r.turns = map[int]bool{}
		for i := range r.p.Steps {
			if next := &r.p.Steps[i]; r.turned(next, 0, 2, 1, 3) {
				r.turns[next.In[0]] = true
			}
		}
	}
	return r.readers[st.Out[0]] == 1 && r.turns[st.Out[0]]
}

func (r *rewriter) rank4(id int) bool {
	shape, ok := r.shape(id)
	return ok && len(shape) == 4 && r.f32(id)
}

// probabilities finds the softmax of scores along the last dimension. Some exporters
// replace what is not a number by zero: rows that may see no key.
func (r *rewriter) probabilities(id int) (scores int, guarded, ok bool) {
	soft := r.only(id, "Softmax")
	if guard := r.only(id, "Where"); guard != nil {
		nan := r.only(guard.In[0], "IsNaN")
		zero, known := r.scalar(guard.In[1])
		soft = r.from(guard.In[2], "Softmax")
		if nan == nil || !known || zero != 0 || nan.In[0] != guard.In[2] || r.readers[guard.In[2]] != 2 {
			return -1, false, false
		}
		guarded = true
	}
	if soft == nil || !r.rank4(soft.In[0]) {
		return -1, false, false
	}
	axis, has := attr(soft, "axis")
	if !has && soft.Node.Opset < 13 || has && axis.I != -1 && axis.I != 3 {
		return -1, false, false
	}
	return soft.In[0], guarded, true
}

// scores finds scale * product + mask; mask is -1 if there is none.
func (r *rewriter) scores(id int, scale *float32) (product *plan.Step, mask int) {
	mask = -1
	if add := r.only(id, "Add"); add != nil {
		for k := range 2 {
			factor := *scale // of this operand, which may turn out to be the mask
			inner := r.unscaled(add.In[k], &factor)
			if product = r.only(inner, "MatMul"); product != nil && r.broadcasts(add.In[1-k], id) {
				*scale = factor
				return product, add.In[1-k]
			}
		}
		return nil, -1
	}
	return r.only(r.unscaled(id, scale), "MatMul"), mask
}

// broadcasts says whether a mask repeats to the scores' shape, whatever they are: it
// has at most their rank, and they are four dimensions of their own.
func (r *rewriter) broadcasts(mask, scores int) bool {
	shape, ok := r.shape(mask)
	return ok && len(shape) <= 4 && r.f32(mask) && r.rank4(scores)
}

// unscaled takes a known factor off a value and puts it into scale.
func (r *rewriter) unscaled(id int, scale *float32) int {
	if div := r.only(id, "Div"); div != nil {
		if by, ok := r.scalar(div.In[1]); ok && by != 0 {
			*scale /= by
			return div.In[0]
		}
	}
	if mul := r.only(id, "Mul"); mul != nil {
		for k := range 2 {
			if by, ok := r.scalar(mul.In[k]); ok && r.f32(mul.In[1-k]) {
				*scale *= by
				return mul.In[1-k]
			}
		}
	}
	return id
}

// heads takes the transposition off a stack of heads, if there is one.
func (r *rewriter) heads(id int) (int, bool) {
	if st := r.makers[id]; id >= 0 && r.turned(st, 0, 2, 1, 3) {
		return st.In[0], true
	}
	return id, false
}

// keys takes off the transposition for the product, and that of the heads.
func (r *rewriter) keys(id int, scale *float32) (keys int, turned, ok bool) {
	id = r.unscaled(id, scale)
	st := r.makers[id]
	switch {
	case r.turned(st, 0, 2, 3, 1):
		return st.In[0], true, true
	case r.turned(st, 0, 1, 3, 2):
		keys, turned = r.heads(st.In[0])
		return keys, turned, true
	case is(st, "Reshape"):
		if keys, ok = r.turnedAsMatrices(st); ok {
			keys, turned = r.heads(keys)
			return keys, turned, true
		}
	}
	return -1, false, false
}
