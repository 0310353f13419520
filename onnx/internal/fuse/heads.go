package fuse

import (
	att "github.com/blindbox/blindbox/onnx/internal/attention"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// heads is an attention of stacks of heads. Operands are queries, keys, values, a mask,
// which may be missing, and what the columns of the first three need. Each of q, k, v and
// out says whether that operand is [batch, sequence, heads, dim]; otherwise it is [batch,
// heads, sequence, dim].
type heads struct {
	scale        float32
	q, k, v, out bool
	guarded      bool
	columns      [3]*columns // of queries, keys and values that are part of a wider matrix
}

// stack is the four dimensions of an operand in one order.
type stack struct{ batch, heads, rows, dim int64 }

func stackOf(shape []int64, turned bool) stack {
	if turned {
		return stack{shape[0], shape[2], shape[1], shape[3]}
	}
	return stack{shape[0], shape[1], shape[2], shape[3]}
}

func (s stack) shape(turned bool) []int64 {
	if turned {
		return []int64{s.batch, s.rows, s.heads, s.dim}
	}
	return []int64{s.batch, s.heads, s.rows, s.dim}
}

// joined is the dimension of two that numpy's rules make of them; fits is left alone if
// they go together.
func joined(a, b int64, fits *bool) int64 {
	switch {
	case a == b || b == 1:
		return a
	case a == 1 || a == -1:
		return b
	case b == -1:
		return a
	}
	*fits = false
	return a
}

// whole is the dimensions of the scores, dim of the values, with all that repeats: as
// products of stacks do, an operand of one batch, head or row serves all of them.
func (o heads) whole(stacks [3][]int64, in []*op.Info) (s stack, keys int64, fits bool) {
	q, k, v := stackOf(stacks[0], o.q), stackOf(stacks[1], o.k), stackOf(stacks[2], o.v)
	m := stack{1, 1, 1, 1}
	if len(in) > 3 && in[3] != nil && in[3].Ranked {
		if len(in[3].Shape) > 4 {
			return s, 0, false
		}
		m = stackOf(append([]int64{1, 1, 1, 1}[:4-len(in[3].Shape)], in[3].Shape...), false)
	}
	fits = true
	scores := stack{
		batch: joined(joined(q.batch, k.batch, &fits), m.batch, &fits), heads: joined(joined(q.heads, k.heads, &fits), m.heads, &fits),
		rows: joined(q.rows, m.rows, &fits), dim: joined(k.rows, m.dim, &fits),
	}
	same := func(a, b int64) bool { return a == b || a == -1 || b == -1 }
	fits = fits && same(q.dim, k.dim) && same(scores.dim, v.rows)
	s = stack{joined(scores.batch, v.batch, &fits), joined(scores.heads, v.heads, &fits), scores.rows, v.dim}
	return s, max(scores.dim, v.rows), fits
}

// stacks is the shapes of queries, keys and values.
func (o heads) stacks(in []*op.Info) (shapes [3][]int64, err error) {
	for i := range shapes {
		if in[i] == nil || !in[i].Ranked || in[i].Type != tensor.Float32 {
			return shapes, op.BadInput(i, "is not a stack of heads of float32")
		}
		shapes[i] = in[i].Shape
		if c := o.columns[i]; c != nil {
			if shapes[i], err = c.stack(i, in); err != nil {
				return shapes, err
			}
		}
		if len(shapes[i]) != 4 {
			return shapes, op.BadInput(i, "is not a stack of heads: it has shape %v", shapes[i])
		}
	}
	return shapes, nil
}

func (o heads) Infer(in []*op.Info) ([]op.Info, error) {
	stacks, err := o.stacks(in)
	if err != nil {
		return nil, err
	}
	out, _, fits := o.whole(stacks, in)
	if !fits {
		return nil, op.BadInput(1, "has shape %v, which does not go with queries of %v, values of %v and the mask", stacks[1], stacks[0], stacks[2])
	}
	return []op.Info{{Type: tensor.Float32, Ranked: true, Shape: out.shape(o.out)}}, nil
}

// problem describes the call; the data is filled in by Run.
func (o heads) problem(stacks [3][]int64, in []*op.Info) *att.Problem {
	s, keys, _ := o.whole(stacks, in)
	return &att.Problem{
		Batches: int(s.batch), Heads: int(s.heads), Queries: int(s.rows), Keys: int(keys), Dim: int(stackOf(stacks[0], o.q).dim), Values: int(s.dim),
		Scale: o.scale, Guarded: o.guarded,
	}
}

// Scratch is what the kernel needs, and columns that cannot be read where they are.
func (o heads) Scratch(on *kernel.On, in []*op.Info) int64 {
	stacks, err := o.stacks(in)
	if err != nil {
		return 0
	}
	n := int64(o.problem(stacks, in).ScratchLen(on.Workers()))
	for i, c := range o.columns {
		n += c.copies(in[i], stacks[i])
	}
	return n
}

func (o heads) Run(env *op.Env, in, out []*tensor.Tensor) error {
	infos := make([]*op.Info, len(in))
	for i, t := range in {
		if t != nil {
			v := op.Known(t)
			infos[i] = &v
		}
	}
	stacks, err := o.stacks(infos)
	if err != nil {
		return err
	}
	p, scratch := o.problem(stacks, infos), env.Scratch
	all := stackOf(out[0].Shape, o.out)
	keys := stack{batch: all.batch, heads: all.heads, rows: int64(p.Keys)}
	serves := [3]stack{all, keys, keys}
	into := [3]*att.Strided{&p.Q, &p.K, &p.V}
	for i, turned := range [3]bool{o.q, o.k, o.v} {
		data, steps := tensor.Data[float32](in[i]), kernel.Strides(stacks[i])
		if c := o.columns[i]; c != nil {
			if data, steps, scratch, err = c.read(env.On, in[i], stacks[i], scratch); err != nil {
				return err
			}
		}
		*into[i] = stackOf(stacks[i], turned).repeated(strided(data, steps, turned), serves[i])
	}
	p.Out = strided(tensor.Data[float32](out[0]), kernel.Strides(out[0].Shape), o.out)
	if len(in) > 3 && in[3] != nil {
		s := kernel.BroadcastStrides(in[3].Shape, []int64{int64(p.Batches), int64(p.Heads), int64(p.Queries), int64(p.Keys)})
		p.Mask = att.Strided{Data: tensor.Data[float32](in[3]), Batch: s[0], Head: s[1], Row: s[2], Col: s[3]}
	}
	return p.Run(env.On, scratch)
}

// strided is where the elements of an operand are, of which n are the distances of its
// own four dimensions.
func strided(data []float32, n []int, turned bool) att.Strided {
	if turned {
		return att.Strided{Data: data, Batch: n[0], Head: n[2], Row: n[1], Col: n[3]}
	}
	return att.Strided{Data: data, Batch: n[0], Head: n[1], Row: n[2], Col: n[3]}
}

// repeated is for an operand that serves more batches, heads or rows than it has.
func (s stack) repeated(at att.Strided, all stack) att.Strided {
	if s.batch != all.batch {
		at.Batch = 0
	}
	if s.heads != all.heads {
		at.Head = 0
	}
	if s.rows != all.rows {
		at.Row = 0
	}
	return at
}
