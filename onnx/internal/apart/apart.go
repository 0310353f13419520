// Package apart answers one question: may the requests of several callers run as one?
//
// A run of n rows, one behind the other in dimension 0 of every input, answers each
// row as a run of it alone does if no step lets one row see another. [Check] follows a
// program's steps through two runs at the same time: one of a single row, and one of n.
// For given shapes of the inputs every shape in between is known, and so is every value
// that depends on shapes alone, such as the positions of tokens. So each value is one
// of three things:
//
//   - the same in both runs: weights, and what is made of them;
//   - known in both, and not the same: what is made of the number of rows;
//   - rows: equal in shape but for one axis, which is n times as long, and of which
//     each n-th part is, bit for bit, the value of the run of that row.
//
// What a step makes of rows is looked up by its operator (rules.go and those beside it).
// An operator without a rule is refused, and so is every use that a rule does not know:
// a wrong yes would show one caller's data in another's answer. A scale of quantization
// that is taken over the whole tensor is such a case.
//
// The proof is about the operators as the model has them, and their kernels compute an
// element in the same order whatever lies beside it (package gemm). What fusion makes
// of them is held to that by tests, as is this package: runs of batches equal single
// ones bit by bit.
//
// Models may be hostile: what is computed here is bounded.
package apart

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ErrMixes is wrapped by errors that say that rows are not, or are not known to be,
// apart. Other errors are about shapes that the program does not take.
var ErrMixes = errors.New("rows of a batch are not apart")

// Where a value that is not of rows has its axis.
const (
	same  = -1 // no axis: the value is the same in both runs
	loose = -2 // it is known in both runs, and not the same
)

// fact is what is known of a value in a run of one row and in one of many.
type fact struct {
	one, many op.Info
	axis      int // of the rows; same, loose
}

// Bounds of what is computed for one check, in elements of results and, of all together,
// operands: tables of positions and masks are made of shapes, but not weights.
const (
	maxKnown = 1 << 16
	maxSpent = 1 << 22
)

// factBytes is about what a fact takes, with its shapes.
const factBytes = 512

type checker struct {
	*plan.Outline
	ctx   context.Context
	n     int64
	take  func(bytes int64) error
	facts []fact
	spent int
}

// Check says whether a run of n rows answers each of them as a run of that row alone.
// Shapes are those of the inputs for one row: dimension 0 is 1. The error names the
// step that may mix rows and wraps [ErrMixes], or says what does not fit the shapes; or
// it is that of the context, with which the check ends. take is asked for the memory that
// is held until then, and its error ends the check, too.
func Check(ctx context.Context, o *plan.Outline, shapes [][]int64, n int64, take func(bytes int64) error) error {
	if err := take(factBytes * int64(len(o.Values))); err != nil {
		return err
	}
	c := &checker{Outline: o, ctx: ctx, n: n, take: take, facts: make([]fact, len(o.Values))}
	for id, v := range o.Values {
		c.facts[id] = fact{v.Info, v.Info, same}
	}
	for i, id := range o.Inputs {
		if err := c.input(&c.facts[id], shapes[i]); err != nil {
			return err
		}
	}
	for i := range o.Steps {
		st := &o.Steps[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.follow(st); err != nil {
			return &plan.StepError{Node: st.Node, Reason: err}
		}
	}
	return c.outputs()
}

// input is a value of which every row is a caller's.
func (c *checker) input(f *fact, shape []int64) error {
	if len(shape) == 0 || shape[0] != 1 || slices.Contains(shape, 0) {
		return mixes("an input of shape %v has no row", shape)
	}
	many := slices.Clone(shape)
	many[0] = c.n
	f.one.Ranked, f.one.Shape, f.many.Ranked, f.many.Shape, f.axis = true, shape, true, many, 0
	return nil
}

func (c *checker) outputs() error {
	for _, id := range c.Outputs {
		f := &c.facts[id]
		if axis, ok := f.rows(c.n); !ok || axis != 0 || f.one.Shape[0] != 1 {
			return mixes("output %s does not have a row for each row of the inputs: a run of one has %s, of %d %s",
				op.Quote(c.Values[id].Name), f.one, c.n, f.many)
		}
	}
	return nil
}

// follow finds out what a step makes in both runs.
func (c *checker) follow(st *plan.Step) error {
	if err := refused(st); err != nil {
		return err
	}
	s := &step{Node: st.Node, n: c.n, in: make([]*fact, len(st.In))}
	for i, id := range st.In {
		if id >= 0 {
			s.in[i] = &c.facts[id]
		}
	}
	var err error
	if s.one, err = c.Infer(st, infos(s.in, func(f *fact) *op.Info { return &f.one })); err != nil {
		return err
	}
	if s.many, err = c.Infer(st, infos(s.in, func(f *fact) *op.Info { return &f.many })); err != nil {
		return err
	}
	if err := s.complete(len(st.Out)); err != nil {
		return err
	}
	axes, err := c.axes(st, s)
	if err != nil {
		return err
	}
	for i, id := range st.Out {
		if id < 0 {
			continue
		}
		f := fact{s.one[i], s.many[i], axes[i]}
		if axes[i] >= 0 && !grown(f.one.Shape, f.many.Shape, axes[i], c.n) {
			return mixes("result %d is %s for one row and %s for %d", i, f.one, f.many, c.n)
		}
		c.facts[id] = f
	}
	return nil
}

// axes is where the results of a step have their rows.
func (c *checker) axes(st *plan.Step, s *step) ([]int, error) {
	if known(s.one) && known(s.many) {
		return compared(s.one, s.many), nil
	}
	free, settled := true, true
	for _, f := range s.in {
		if f != nil {
			free = free && f.axis == same
			settled = settled && f.one.Value != nil && f.many.Value != nil
		}
	}
	switch {
	case free && (!settled || !c.affords(st, s)):
		return slices.Repeat([]int{same}, len(s.one)), nil
	case settled:
		return c.computed(st, s, free)
	}
	rule, ok := rules()[op.Name(st.Node)]
	if !ok {
		return nil, mixes("is not known to leave rows apart")
	}
	return rule(s)
}

// affords says that a step may be computed here, and counts what is read and made.
// Operators of which one may take longer than that says are never.
func (c *checker) affords(st *plan.Step, s *step) bool {
	if _, dear := st.Op.(op.Dear); dear {
		return false
	}
	for _, f := range s.in {
		if f != nil {
			c.spent += f.many.Value.Len()
		}
	}
	for _, r := range s.many {
		n, err := tensor.Count(r.Shape)
		if err != nil || n > maxKnown || r.Type == tensor.String {
			return false
		}
		c.spent += int(n)
	}
	return c.spent <= maxSpent
}

// computed are results of operands that are known in both runs.
func (c *checker) computed(st *plan.Step, s *step, free bool) ([]int, error) {
	if !free && !c.affords(st, s) {
		return nil, mixes("is computed from the number of rows, and too much for a check")
	}
	if err := c.compute(st, s, s.one, func(f *fact) *tensor.Tensor { return f.one.Value }); err != nil {
		return nil, err
	}
	if free {
		s.many = s.one
		return slices.Repeat([]int{same}, len(s.one)), nil
	}
	if err := c.compute(st, s, s.many, func(f *fact) *tensor.Tensor { return f.many.Value }); err != nil {
		return nil, err
	}
	return compared(s.one, s.many), nil
}

// compute replaces what is known of results by their values, which are held from then on.
func (c *checker) compute(st *plan.Step, s *step, results []op.Info, value func(*fact) *tensor.Tensor) error {
	for _, r := range results {
		n, err := tensor.Count(r.Shape)
		if err != nil {
			return err
		}
		if err := c.take(n * r.Type.Size()); err != nil {
			return err
		}
	}
	in := make([]*tensor.Tensor, len(s.in))
	for i, f := range s.in {
		if f != nil {
			in[i] = value(f)
		}
	}
	out, err := c.Compute(c.ctx, st, in, results)
	if err != nil {
		return err
	}
	for i, t := range out {
		results[i] = op.Known(t)
	}
	return nil
}

// compared are known results of both runs: the same or not.
func compared(one, many []op.Info) []int {
	axes := make([]int, len(one))
	for i := range one {
		if axes[i] = loose; equal(one[i].Value, many[i].Value) {
			axes[i] = same
		}
	}
	return axes
}

func known(results []op.Info) bool {
	return !slices.ContainsFunc(results, func(r op.Info) bool { return r.Value == nil })
}

func infos(in []*fact, of func(*fact) *op.Info) []*op.Info {
	out := make([]*op.Info, len(in))
	for i, f := range in {
		if f != nil {
			out[i] = of(f)
		}
	}
	return out
}

// refused are operators whose results are not a matter of their operands, or that make
// them in ways that are not followed.
func refused(st *plan.Step) error {
	switch op.Name(st.Node) {
	case "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial":
		return mixes("draws numbers for the run, and not for each row")
	case "DynamicQuantizeLinear":
		return mixes("takes one scale from all rows: what one request holds would change the answer to another")
	}
	if slices.ContainsFunc(st.Node.Attrs, func(a graph.Attribute) bool { return a.Kind == graph.Sub }) {
		return mixes("has a graph inside, which is not followed")
	}
	if _, ok := st.Op.(op.Maker); ok {
		return mixes("makes results whose size shows in the run alone")
	}
	return nil
}

func mixes(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMixes, fmt.Sprintf(format, args...))
}
