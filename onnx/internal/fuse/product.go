package fuse

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
)

// productOf returns the product that a value is, if it is read once and nothing has
// been applied to it yet.
func (r *rewriter) productOf(id int) (*plan.Step, *op.Product) {
	st := r.makers[id]
	if st == nil || r.readers[id] != 1 {
		return nil, nil
	}
	o, ok := st.Op.(*op.Product)
	if !ok || o.Act.Kind != op.NoActivation {
		return nil, nil
	}
	return st, o
}

// addition moves what is added to a product into it: one number for each column, or a
// matrix of the product's shape.
func addition(r *rewriter, st *plan.Step) error {
	if !is(st, "Add") || !r.f32(st.Out[0]) {
		return nil
	}
	for k := range 2 {
		from, o := r.productOf(st.In[k])
		if from == nil {
			continue
		}
		added := st.In[1-k]
		in := append(append([]int{}, from.In...), -1, -1)[:4]
		switch {
		case in[2] < 0 && in[3] < 0 && r.rows(st.In[k], added) && r.sameRank(st.In[k], st.Out[0]):
			in[2] = added
		case in[3] < 0 && r.f32(added) && r.likely(added, st.In[k]):
			in[3] = added
		default:
			continue
		}
		made := *o
		r.replace(st, "MatMul", &made, in...)
		return nil
	}
	return nil
}

func (r *rewriter) sameRank(a, b int) bool {
	x, ok := r.shape(a)
	y, known := r.shape(b)
	return ok && known && len(x) == len(y)
}

// likely says whether two values have one shape as far as anything is known. If they
// turn out to differ, the product still adds them, only slower.
func (r *rewriter) likely(a, b int) bool {
	x, ok := r.shape(a)
	y, known := r.shape(b)
	return ok && known && len(x) > 0 && slices.Equal(x, y)
}

// activation moves a function of single elements into the product before it.
func activation(r *rewriter, st *plan.Step) error {
	act, ok := r.activationOf(st)
	if !ok {
		return nil
	}
	if from, o := r.productOf(st.In[0]); from != nil {
		made := *o
		made.Act = act
		r.replace(st, "MatMul", &made, from.In...)
		return nil
	}
	r.activationOfView(st, act)
	return nil
}

// activationOfView moves an activation through the Reshape between it and its product:
// each element has its own, wherever it stands.
func (r *rewriter) activationOfView(st *plan.Step, act op.Activation) {
	view := r.only(st.In[0], "Reshape")
	if view == nil {
		return
	}
	from, o := r.productOf(view.In[0])
	if from == nil {
		return
	}
	made := *o
	made.Act = act
	r.replace(from, "MatMul", &made, from.In...)
	r.replace(st, "Reshape", view.Op, view.In...)
}

// activationOf says which activation a step is.
func (r *rewriter) activationOf(st *plan.Step) (op.Activation, bool) {
	kinds := map[string]op.ActivationKind{"Relu": op.Relu, "Sigmoid": op.Sigmoid, "Tanh": op.Tanh, "Gelu": op.Gelu,
		"HardSwish": op.HardSwish, "fused:Gelu": op.Gelu, "fused:GeluTanh": op.GeluTanh, "fused:SiLU": op.SiLU, "fused:HardSwish": op.HardSwish}
	if len(st.Out) == 0 || !r.f32(st.Out[0]) {
		return op.Activation{}, false
	}
	name := op.Name(st.Node)
	switch name {
	case "LeakyRelu":
		return op.Activation{Kind: op.LeakyRelu, A: floatAttr(st, "alpha", 0.01)}, true
	case "HardSigmoid":
		return op.Activation{Kind: op.HardSigmoid, A: floatAttr(st, "alpha", 0.2), B: floatAttr(st, "beta", 0.5)}, true
	case "Clip":
		return r.clip(st)
	}
	kind, ok := kinds[name]
	if a, has := attr(st, "approximate"); ok && has && a.S == "tanh" {
		kind = op.GeluTanh
	}
	return op.Activation{Kind: kind}, ok
}

func floatAttr(st *plan.Step, name string, otherwise float32) float32 {
	if a, ok := attr(st, name); ok {
		return a.F
	}
	return otherwise
}

// clip reads the bounds of a Clip: attributes before operator set 11, then operands.
func (r *rewriter) clip(st *plan.Step) (op.Activation, bool) {
	act := op.Activation{Kind: op.Clip, A: float32(math.Inf(-1)), B: float32(math.Inf(1))}
	if st.Node.Opset < 11 {
		act.A, act.B = floatAttr(st, "min", -math.MaxFloat32), floatAttr(st, "max", math.MaxFloat32)
		return act, true
	}
	for k, bound := range []*float32{&act.A, &act.B} {
		if len(st.In) <= k+1 || st.In[k+1] < 0 {
			continue
		}
		v, ok := r.scalar(st.In[k+1])
		if !ok {
			return act, false
		}
		*bound = v
	}
	return act, true
}

// turnedOperands lets a product read a matrix as it is before a transposition: the
// kernels take both orders.
func turnedOperands(r *rewriter, st *plan.Step) error {
	o, ok := st.Op.(*op.Product)
	if !ok {
		return nil
	}
	made, in := *o, slices.Clone(st.In)
	for k, turned := range []*bool{&made.TransA, &made.TransB} {
		from := r.only(in[k], "Transpose")
		if from == nil || !r.f32(in[k]) || !r.turnsMatrices(from) {
			continue
		}
		*turned = !*turned
		in[k] = from.In[0]
	}
	if !slices.Equal(in, st.In) {
		r.replace(st, "MatMul", &made, in...)
	}
	return nil
}

// turnsMatrices says whether a transposition changes the last two dimensions with each
// other and leaves all others where they are.
func (r *rewriter) turnsMatrices(st *plan.Step) bool {
	shape, _ := r.shape(st.In[0])
	if len(shape) < 2 {
		return false
	}
	perm, has := attr(st, "perm")
	if !has {
		return len(shape) == 2
	}
	n := len(shape)
	if len(perm.Ints) != n {
		return false
	}
	for i, p := range perm.Ints {
		want := int64(i)
		if i >= n-2 {
			want = int64(2*n - 3 - i)
		}
		if p != want {
			return false
		}
	}
	return true
}
