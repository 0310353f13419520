package fuse

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// projections lets attentions read queries, keys and values where one step wrote them: a
// model's own product, which it then splits, or one that is made here of two or three
// with the same left operand.
//
// The time is that of the products one by one (package gemm says why). What is gained is
// steps, and on several threads two of three times that they wake up; what is quantized is
// packed once.
func projections(p *plan.Program) {
	j := &joiner{rewriter: newRewriter(p), order: map[*plan.Step]int{}, before: map[*plan.Step][]plan.Step{}}
	j.readers = seen(p)
	for i := range p.Steps {
		j.order[&p.Steps[i]] = i
	}
	for i := range p.Steps {
		if o, ok := p.Steps[i].Op.(heads); ok {
			j.attention(&p.Steps[i], o)
		}
	}
	steps := make([]plan.Step, 0, len(p.Steps))
	for i := range p.Steps {
		steps = append(append(steps, j.before[&p.Steps[i]]...), p.Steps[i])
	}
	p.Steps = steps
}

// joiner joins products. Steps that it makes go before others.
type joiner struct {
	*rewriter
	order  map[*plan.Step]int
	before map[*plan.Step][]plan.Step
}

// seen counts who reads the elements of each value. What is read for its shape alone, by
// however many steps, is read by nobody: a plan knows shapes without values.
func seen(p *plan.Program) []int {
	readers := make([]int, len(p.Values))
	for _, id := range p.Outputs {
		readers[id]++
	}
	for _, st := range slices.Backward(p.Steps) {
		if is(&st, "Shape") || is(&st, "Size") || !slices.ContainsFunc(st.Out, func(id int) bool { return readers[id] > 0 }) {
			continue
		}
		for _, id := range st.In {
			if id >= 0 {
				readers[id]++
			}
		}
	}
	return readers
}

// projected is an operand of an attention that a Reshape cuts out of the rows of a
// matrix.
type projected struct {
	which   int // operand of the attention
	matrix  int // the value that the Reshape reads
	count   int64
	reshape *plan.Step
}

// attention finds its projected operands and joins what made them.
func (j *joiner) attention(st *plan.Step, o heads) {
	var all []projected
	for i := range o.columns {
		if v, ok := j.projected(st.In[i], i); ok {
			all = append(all, v)
		}
	}
	for len(all) > 1 {
		var alike, rest []projected
		for _, v := range all {
			if j.alike(all[0], v) {
				alike = append(alike, v)
			} else {
				rest = append(rest, v)
			}
		}
		switch {
		case len(alike) < 2: // nothing else is like the first, if that is like itself at all
			rest = all[1:]
		case j.split(all[0]) != nil:
			j.unsplit(st, alike)
		default:
			j.join(st, alike)
		}
		all = rest
	}
}

// projected finds a Reshape whose last two dimensions divide the columns of a matrix, as
// far as a model says that before it runs.
func (j *joiner) projected(id, which int) (v projected, ok bool) {
	reshape := j.only(id, "Reshape")
	if reshape == nil || !j.f32(reshape.In[0]) || j.readers[reshape.In[0]] != 1 {
		return v, false
	}
	shape, ok := j.shape(reshape.In[0])
	if !ok || len(shape) < 2 || shape[len(shape)-1] <= 0 {
		return v, false
	}
	v = projected{which, reshape.In[0], shape[len(shape)-1], reshape}
	wanted, ok := j.lastOf(reshape.In[1], 2)
	return v, ok && divide(wanted, v.count)
}

// divide says whether heads and their dimension, of which one may be -1, make n columns.
func divide(wanted []int64, n int64) bool {
	a, b := wanted[0], wanted[1]
	switch {
	case a > 0 && b > 0:
		return n%a == 0 && n/a == b
	case a == -1 && b > 0:
		return n%b == 0
	case a > 0 && b == -1:
		return n%a == 0
	}
	return false
}

// lastOf returns the last n numbers of a list that may be known in parts.
func (r *rewriter) lastOf(id, n int) ([]int64, bool) {
	if t := r.p.Fixed(id); t != nil {
		if t.Type != tensor.Int64 || t.Len() < n {
			return nil, false
		}
		return tensor.Data[int64](t)[t.Len()-n:], true
	}
	list := r.from(id, "Concat")
	if list == nil {
		return nil, false
	}
	var found []int64
	for _, part := range slices.Backward(list.In) {
		t := r.p.Fixed(part)
		if t == nil || t.Type != tensor.Int64 {
			break
		}
		found = append(slices.Clone(tensor.Data[int64](t)), found...)
	}
	if len(found) < n {
		return nil, false
	}
	return found[len(found)-n:], true
}

// alike says whether two stacks can be read from one matrix: they are parts of one that
// is split, or products with one left operand.
func (j *joiner) alike(a, b projected) bool {
	if x, y := j.split(a), j.split(b); x != nil || y != nil {
		return x == y
	}
	if x, y := j.product(a), j.product(b); x != nil || y != nil {
		return x != nil && y != nil && x.In[0] == y.In[0]
	}
	x, y := j.integers(a), j.integers(b)
	return x != nil && y != nil && x.In[0] == y.In[0] && x.In[2] == y.In[2] && x.In[4] == y.In[4]
}

// split returns the Split along columns of known number that makes the matrix, if nobody
// else reads any of its parts but the Reshapes of an attention.
func (j *joiner) split(v projected) *plan.Step {
	st := j.makers[v.matrix]
	if !is(st, "Split") {
		return nil
	}
	axis := int64(0)
	if a, ok := attr(st, "axis"); ok {
		axis = a.I
	}
	for _, id := range st.Out {
		shape, ok := j.shape(id)
		last := int64(len(shape)) - 1
		if !ok || shape[last] < 0 || axis != last && axis != -1 {
			return nil
		}
	}
	return st
}

// unsplit lets an attention read what a Split would copy.
func (j *joiner) unsplit(st *plan.Step, all []projected) {
	from := j.split(all[0])
	var first []int64
	width := int64(0)
	for _, id := range from.Out {
		shape, _ := j.shape(id)
		first = append(first, width)
		width += shape[len(shape)-1]
	}
	read := 0
	for _, id := range from.Out {
		read += j.readers[id]
	}
	if read != len(all) {
		return // the Split stays, whatever is done here
	}
	for _, v := range all {
		j.read(st, v, from.In[0], columns{first: first[slices.Index(from.Out, v.matrix)], count: v.count, width: width})
	}
}

// read makes an attention read columns of a matrix for one of its operands.
func (j *joiner) read(st *plan.Step, v projected, matrix int, c columns) {
	o := st.Op.(heads)
	in := slices.Clone(st.In)
	for len(in) < 4 {
		in = append(in, -1)
	}
	c.reshape, c.operand = v.reshape.Op, len(in)
	o.columns[v.which] = &c
	in[v.which] = matrix
	st.Op, st.In = o, append(in, v.reshape.In[1])
}

// product returns the product with a known matrix and biases that makes the matrix.
func (j *joiner) product(v projected) *plan.Step {
	st := j.makers[v.matrix]
	if st == nil {
		return nil
	}
	o, ok := st.Op.(*op.Product)
	if !ok || o.TransA || o.Alpha != 0 && o.Alpha != 1 || o.Beta != 0 && o.Beta != 1 || o.Act.Kind != op.NoActivation {
		return nil
	}
	weights := j.p.Fixed(st.In[1])
	if weights == nil || weights.Type != tensor.Float32 || len(weights.Shape) != 2 || len(st.In) > 3 && st.In[3] >= 0 {
		return nil
	}
	if len(st.In) > 2 && st.In[2] >= 0 {
		if bias := j.p.Fixed(st.In[2]); bias == nil || !slices.Equal(bias.Shape, []int64{v.count}) {
			return nil
		}
	}
	return st
}

// integers returns the product of bytes that makes the matrix, if the left ones have one
// scale and one zero point.
func (j *joiner) integers(v projected) *plan.Step {
	st := j.makers[v.matrix]
	if st == nil || op.Name(st.Node) != "fused:MatMulIntegerToFloat" || !j.single(st.In[2]) || st.In[4] >= 0 && !j.single(st.In[4]) {
		return nil
	}
	for _, k := range []int{1, 3, 5, 6} { // weights and what belongs to them
		if st.In[k] >= 0 && j.p.Fixed(st.In[k]) == nil {
			return nil
		}
	}
	if len(j.p.Fixed(st.In[1]).Shape) != 2 {
		return nil
	}
	return st
}

// join makes one product of those that make the given operands, where the first of them
// stood. Each of them takes its columns out of it then, for those who ask for its shape
// alone.
func (j *joiner) join(st *plan.Step, all []projected) {
	whole, width := plan.Step{}, int64(0)
	var made []*plan.Step
	for _, v := range all {
		made = append(made, j.makers[v.matrix])
		width += v.count
	}
	if j.integers(all[0]) != nil {
		whole.Op, whole.In = joinedIntegers(made)
	} else {
		whole.Op, whole.In = joinedProducts(made)
	}
	shape, _ := j.shape(all[0].matrix)
	shape = slices.Clone(shape)
	shape[len(shape)-1] = width
	id := j.p.Add("", op.Info{Type: tensor.Float32, Ranked: true, Shape: shape})
	at := slices.MinFunc(made, func(a, b *plan.Step) int { return j.order[a] - j.order[b] })
	whole.Node = &graph.Node{Index: at.Node.Index, Name: at.Node.Name, Op: "Projections", Domain: "fused", Opset: at.Node.Opset}
	whole.Out = []int{id}
	j.before[at] = append(j.before[at], whole)
	first := int64(0)
	for i, v := range all {
		j.read(st, v, id, columns{first: first, count: v.count, width: width, apart: true})
		made[i].Node = &graph.Node{Index: made[i].Node.Index, Name: made[i].Node.Name, Op: "Columns", Domain: "fused", Opset: made[i].Node.Opset}
		made[i].Op, made[i].In = taken{first, v.count, width}, []int{id}
		first += v.count
	}
}

// joinedProducts is one operator for several products, and its operands.
func joinedProducts(steps []*plan.Step) (op.Operator, []int) {
	o, in := &op.Projections{}, []int{steps[0].In[0]}
	for _, st := range steps {
		o.Turned = append(o.Turned, st.Op.(*op.Product).TransB)
		bias := -1
		if len(st.In) > 2 {
			bias = st.In[2]
		}
		in = append(in, st.In[1], bias)
	}
	return o, in
}

// joinedIntegers is joinedProducts for products of bytes.
func joinedIntegers(steps []*plan.Step) (op.Operator, []int) {
	in := []int{steps[0].In[0], steps[0].In[2], steps[0].In[4]}
	for _, st := range steps {
		in = append(in, st.In[1], st.In[3], st.In[5], st.In[6])
	}
	return op.NewIntegerProjections(len(steps)), in
}
