package fuse

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/conv"
	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// layouts lets convolutions hand each other images in blocks of channels (package conv
// says why), through what stands between them, and puts a reorder where something needs
// the order that the specification has.
func layouts(p *plan.Program) {
	l := &layout{Program: p, block: int64(conv.Block(p.Level())), blocked: map[int]int{}, planar: map[int]bool{}}
	if l.block < 4 {
		return
	}
	steps := p.Steps
	p.Steps = nil
	for i := range steps {
		if st := steps[i]; !l.inBlocks(&st) {
			l.plain(&st)
		}
	}
	for _, id := range p.Outputs {
		l.needPlanar(id)
	}
}

// layout is a program while its values change their order.
type layout struct {
	*plan.Program
	block   int64
	blocked map[int]int  // the blocked form of a value
	planar  map[int]bool // of a value with a blocked form: whether the plain one is made too
}

// image is what is known of a value that may be an image with known channels.
func (l *layout) image(id int) (shape []int64, ok bool) {
	if id < 0 {
		return nil, false
	}
	v := l.Values[id].Info
	return v.Shape, v.Type == tensor.Float32 && v.Ranked && len(v.Shape) > 2 && v.Shape[1] > 0
}

// form is the shape of an image in blocks.
func (l *layout) form(shape []int64) []int64 {
	out := slices.Clone(shape)
	out[1] = (shape[1] + l.block - 1) / l.block
	return append(out, l.block)
}

// emit adds a step with the given result in blocks.
func (l *layout) emit(st *plan.Step, out int) {
	shape, _ := l.image(out)
	id := l.Add("", op.Info{Type: tensor.Float32, Ranked: true, Shape: l.form(shape)})
	l.blocked[out] = id
	made := *st
	made.Out = []int{id}
	l.Steps = append(l.Steps, made)
}

// needPlanar sees to it that a value is there as the specification has it.
func (l *layout) needPlanar(id int) {
	from, ok := l.blocked[id]
	if !ok || l.planar[id] {
		return
	}
	l.planar[id] = true
	shape, _ := l.image(id)
	l.Steps = append(l.Steps, plan.Step{Node: &graph.Node{Op: "FromBlocked", Domain: "fused"}, Op: &op.Reorder{To: conv.Planar, Channels: shape[1]}, In: []int{from}, Out: []int{id}})
}

// needBlocked returns the value in blocks.
func (l *layout) needBlocked(id int) int {
	if made, ok := l.blocked[id]; ok {
		return made
	}
	shape, _ := l.image(id)
	made := l.Add("", op.Info{Type: tensor.Float32, Ranked: true, Shape: l.form(shape)})
	l.Steps = append(l.Steps, plan.Step{Node: &graph.Node{Op: "ToBlocked", Domain: "fused"}, Op: &op.Reorder{To: conv.Blocked, Block: l.block}, In: []int{id}, Out: []int{made}})
	l.blocked[id], l.planar[id] = made, true
	return made
}

// plain leaves a step as it is.
func (l *layout) plain(st *plan.Step) {
	for _, id := range st.In {
		if id >= 0 {
			l.needPlanar(id)
		}
	}
	l.Steps = append(l.Steps, *st)
}

// inBlocks makes a step work on blocks, if it can and if that saves something.
func (l *layout) inBlocks(st *plan.Step) bool {
	if len(st.Out) != 1 {
		return false
	}
	if _, ok := l.image(st.Out[0]); !ok {
		return false
	}
	switch o := st.Op.(type) {
	case *op.Conv:
		return l.convolution(st, o)
	case *op.Pool:
		return l.pool(st, o)
	}
	switch {
	case is(st, "Concat"):
		return l.concat(st)
	case l.elementwise(st):
		return l.each(st)
	}
	return false
}

// convolution takes an image in blocks if it has enough channels to fill one, and gives
// one in blocks.
func (l *layout) convolution(st *plan.Step, o *op.Conv) bool {
	shape, ok := l.image(st.In[0])
	if !ok || l.Fixed(st.In[1]) == nil {
		return false
	}
	filters, _ := l.image(st.Out[0])
	if filters[1] < l.block && shape[1] < l.block {
		return false
	}
	made := *o
	made.In, made.Out, made.Block = conv.Planar, conv.Blocked, l.block
	in := slices.Clone(st.In)
	if _, has := l.blocked[in[0]]; has || shape[1] >= l.block {
		made.In = conv.Blocked
		in[0] = l.needBlocked(in[0])
	}
	if len(in) > 3 && in[3] >= 0 {
		in[3] = l.needBlocked(in[3])
	}
	l.emit(&plan.Step{Node: st.Node, Op: &made, In: in}, st.Out[0])
	return true
}

// has says whether a value is there in blocks already.
func (l *layout) has(id int) bool {
	_, ok := l.blocked[id]
	return ok
}

func (l *layout) pool(st *plan.Step, o *op.Pool) bool {
	if !l.has(st.In[0]) || !o.Blockable() {
		return false
	}
	made := *o
	made.Layout = conv.Blocked
	l.emit(&plan.Step{Node: st.Node, Op: &made, In: []int{l.blocked[st.In[0]]}}, st.Out[0])
	return true
}

// concat joins images along their channels, if all but the last fill their blocks.
func (l *layout) concat(st *plan.Step) bool {
	axis, ok := attr(st, "axis")
	shape, _ := l.image(st.Out[0])
	if !ok || axis.I != 1 && axis.I != 1-int64(len(shape)) {
		return false
	}
	some := false
	for i, id := range st.In {
		s, ok := l.image(id)
		if !ok || len(s) != len(shape) || i < len(st.In)-1 && s[1]%l.block != 0 {
			return false
		}
		some = some || l.has(id)
	}
	if !some {
		return false
	}
	o, err := standard(l.Operators(), "Concat", 13, len(st.In), integer("axis", 1))
	if err != nil {
		return false
	}
	in := make([]int, len(st.In))
	for i, id := range st.In {
		in[i] = l.needBlocked(id)
	}
	l.emit(&plan.Step{Node: st.Node, Op: o, In: in}, st.Out[0])
	return true
}

// elementwise says whether a step computes each element from those in the same place.
func (l *layout) elementwise(st *plan.Step) bool {
	switch op.Name(st.Node) {
	case "Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish", "Clip", "Elu", "Softplus", "Gelu", "Exp", "Sqrt", "Neg", "Abs",
		"fused:SiLU", "fused:HardSwish", "fused:Gelu", "fused:GeluTanh", "Add", "Sub", "Mul", "Div", "Max", "Min":
		return true
	}
	return false
}

// each takes operands in blocks that have the result's shape, or one pixel of the same
// channels, and single numbers as they are.
func (l *layout) each(st *plan.Step) bool {
	to, _ := l.image(st.Out[0])
	some := false
	for k, id := range st.In {
		if id < 0 || l.single(id) {
			continue
		}
		s, _ := l.image(id)
		if k > 1 || len(s) != len(to) || s[1] != to[1] || s[0] != to[0] {
			return false
		}
		some = some || l.has(id)
	}
	if !some {
		return false
	}
	in := slices.Clone(st.In)
	for k, id := range in {
		if id >= 0 && !l.single(id) {
			in[k] = l.needBlocked(id)
		}
	}
	l.emit(&plan.Step{Node: st.Node, Op: st.Op, In: in}, st.Out[0])
	return true
}

// single says whether a value is one known number.
func (l *layout) single(id int) bool {
	t := l.Fixed(id)
	return t != nil && t.Len() == 1
}
