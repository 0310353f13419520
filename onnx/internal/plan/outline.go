package plan

import (
	"context"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Outline is a program as the model has it, before its steps were rewritten and its
// weights laid out: what there is to reason about, and nothing to run.
type Outline struct {
	Values  []Value // of large weights type and shape alone
	Fixed   []bool  // of each value: it is a weight or a constant
	Steps   []Step
	Inputs  []int
	Outputs []int
	options Options
}

// outlined is the most elements of a constant that an outline keeps: tables of positions
// and shapes, and not weights.
const outlined = 1 << 12

// Outline is the program's outline, nil if the options did not ask for one.
func (p *Program) Outline() *Outline { return p.outline }

// outlines notes what the program is before it is rewritten. Steps share their
// operators with it, which do not change; constants are copied, since packing may write
// over them.
func (p *Program) outlines() *Outline {
	o := &Outline{Values: slices.Clone(p.Values), Fixed: make([]bool, len(p.Values)), Steps: slices.Clone(p.Steps),
		Inputs: slices.Clone(p.Inputs), Outputs: slices.Clone(p.Outputs), options: p.options}
	for i := range o.Steps {
		o.Steps[i].In, o.Steps[i].Out = slices.Clone(o.Steps[i].In), slices.Clone(o.Steps[i].Out)
	}
	for id := range o.Values {
		v := &o.Values[id].Info
		if v.Value == nil {
			continue
		}
		o.Fixed[id] = true
		v.Shape = slices.Clone(v.Shape)
		if v.Value.Len() <= outlined && v.Type.Size() > 0 {
			v.Value = v.Value.Clone()
		} else {
			v.Value = nil
		}
	}
	return o
}

// Infer is what is known of a step's results, within the limits of a run.
func (o *Outline) Infer(st *Step, in []*op.Info) ([]op.Info, error) {
	results, err := st.Op.Infer(in)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if err := o.options.Limits.checkShape(r); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// Compute runs a step whose operands are known, outside of any run. Its results are
// complete. It ends with the context.
func (o *Outline) Compute(ctx context.Context, st *Step, in []*tensor.Tensor, results []op.Info) ([]*tensor.Tensor, error) {
	return compute(&kernel.On{Context: ctx, Level: o.options.Level}, st.Op, in, results)
}
