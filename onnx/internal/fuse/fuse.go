// Package fuse answers: which steps of a program can be replaced by fewer and faster
// ones that compute the same? Exporters write a LayerNormalization as nine nodes and
// an attention as a dozen; each of them would read and write all of memory once.
//
// A rewrite looks for the last step of a pattern and replaces it by a step that reads
// what the pattern reads; the steps before it are then read by nobody and go away. It
// replaces nothing whose inside somebody else reads, and nothing that the program
// gives out. Results differ from those of the single steps by rounding only.
package fuse

import (
	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// All applies every rewrite, in the order in which they help each other.
func All(p *plan.Program) error {
	spare := rescales * p.FixedBytes()
	for _, rewrite := range []func(*rewriter, *plan.Step) error{
		identity, folded, scaledProduct, integerProduct, integerConv, integerProductToFloat, biasedProduct,
		gelu, geluTanh, hardSwish, gated, layerNorm, attention, guarded, turnedOperands, addition, residual, activation, activated,
	} {
		r := newRewriter(p)
		r.spare = &spare
		for i := range p.Steps {
			if err := p.Err(); err != nil {
				return err
			}
			if err := rewrite(r, &p.Steps[i]); err != nil {
				return err
			}
		}
		p.Prune()
	}
	projections(p)
	p.Prune()
	layouts(p)
	return nil
}

// rewriter knows who makes and who reads each value of a program.
type rewriter struct {
	p       *plan.Program
	makers  map[int]*plan.Step
	readers []int
	spare   *int64       // bytes of weights that may still be computed anew
	turns   map[int]bool // values that are turned from heads to rows; nil: nobody has asked
	own     map[int]bool // weights that a rewrite made and that nothing else reads
}

// rescales is how often all weights together may be computed anew: a model must not make
// loading slow by a thousand factors behind one convolution.
const rescales = 8

func newRewriter(p *plan.Program) *rewriter {
	r := &rewriter{p: p, makers: make(map[int]*plan.Step, len(p.Steps)), readers: p.Readers(), own: map[int]bool{}}
	for i := range p.Steps {
		st := &p.Steps[i]
		for _, id := range st.Out {
			r.makers[id] = st
		}
		if is(st, "Shape") || is(st, "Size") { // a plan knows the shape without the value
			r.readers[st.In[0]]--
		}
	}
	return r
}

// is says whether a step is of an operator of the standard domain.
func is(st *plan.Step, name string) bool { return st != nil && op.Name(st.Node) == name }

// from returns the step that makes a value, if it is of the given operator.
func (r *rewriter) from(id int, name string) *plan.Step {
	if st := r.makers[id]; id >= 0 && is(st, name) && st.Out[0] == id {
		return st
	}
	return nil
}

// only is from for a value that is read once.
func (r *rewriter) only(id int, name string) *plan.Step {
	if id < 0 || r.readers[id] != 1 {
		return nil
	}
	return r.from(id, name)
}

// oneOf finds which operand of a step with two comes from an operator and is read here
// only. It returns that operator's step and the other operand.
func (r *rewriter) oneOf(st *plan.Step, name string) (from *plan.Step, other int) {
	for k := range 2 {
		if from = r.only(st.In[k], name); from != nil {
			return from, st.In[1-k]
		}
	}
	return nil, -1
}

// scalar returns the number that a value is, if it is known and float32.
func (r *rewriter) scalar(id int) (float32, bool) {
	t := r.p.Fixed(id)
	if t == nil || t.Type != tensor.Float32 || t.Len() != 1 {
		return 0, false
	}
	return tensor.Data[float32](t)[0], true
}

// number is scalar for what does not add dimensions to a list or more.
func (r *rewriter) number(id int) (float32, bool) {
	v, ok := r.scalar(id)
	return v, ok && len(r.p.Fixed(id).Shape) < 2
}

// near says whether a value is a number that was rounded to float32 somewhere.
func (r *rewriter) near(id int, want float64) bool {
	v, ok := r.number(id)
	off := float64(v) - want
	return ok && off*off <= want*want*1e-10
}

// scaled finds which operand of a product of two is the given number, and returns the
// other one.
func (r *rewriter) scaled(st *plan.Step, by float64) (other int, ok bool) {
	for k := range 2 {
		if r.near(st.In[k], by) {
			return st.In[1-k], true
		}
	}
	return -1, false
}

// f32 says whether a value holds float32.
func (r *rewriter) f32(id int) bool {
	return id >= 0 && r.p.Values[id].Info.Type == tensor.Float32
}

// deeper says whether a result is known to have more dimensions than what it is made
// of: a list of one number makes a list of a scalar.
func (r *rewriter) deeper(result, of int) bool {
	x, ok := r.shape(result)
	y, known := r.shape(of)
	return ok && known && len(x) != len(y)
}

// shape is what is known of a value's shape.
func (r *rewriter) shape(id int) ([]int64, bool) {
	v := r.p.Values[id].Info
	return v.Shape, v.Ranked
}

// replace makes a step another one that gives the same result.
func (r *rewriter) replace(st *plan.Step, name string, o op.Operator, in ...int) {
	for _, id := range st.In {
		if id >= 0 {
			r.readers[id]--
		}
	}
	for _, id := range in {
		if id >= 0 {
			r.readers[id]++
		}
	}
	st.Node = &graph.Node{Index: st.Node.Index, Name: st.Node.Name, Op: name, Domain: "fused", Opset: st.Node.Opset}
	st.Op, st.In = o, in
}

// standard makes an operator of the standard set, as if the model had it.
func standard(table map[string]op.Spec, name string, opset int64, inputs int, attrs ...graph.Attribute) (op.Operator, error) {
	n := &graph.Node{Op: name, Opset: opset, Inputs: make([]string, inputs), Outputs: []string{""}, Attrs: attrs}
	return op.New(n, table, nil)
}

func float(name string, v float32) graph.Attribute {
	return graph.Attribute{Name: name, Kind: graph.Float, F: v}
}

func integer(name string, v int64) graph.Attribute {
	return graph.Attribute{Name: name, Kind: graph.Int, I: v}
}

func text(name, v string) graph.Attribute {
	return graph.Attribute{Name: name, Kind: graph.String, S: v}
}

// attr finds an attribute of a step's node.
func attr(st *plan.Step, name string) (graph.Attribute, bool) {
	for _, a := range st.Node.Attrs {
		if a.Name == name {
			return a, true
		}
	}
	return graph.Attribute{}, false
}

// identity lets readers of a copy read the original.
func identity(r *rewriter, st *plan.Step) error {
	for k, id := range st.In {
		for from := r.copied(id); from >= 0; from = r.copied(st.In[k]) {
			r.readers[st.In[k]]--
			r.readers[from]++
			st.In[k] = from
		}
	}
	return nil
}

// copied is the value that another one is a copy of; -1 if it is none. A cast to the
// type that a value has is one.
func (r *rewriter) copied(id int) int {
	if st := r.from(id, "Identity"); st != nil {
		return st.In[0]
	}
	if st := r.from(id, "Cast"); st != nil && r.p.Values[st.In[0]].Info.Type == r.p.Values[id].Info.Type {
		return st.In[0]
	}
	return -1
}
