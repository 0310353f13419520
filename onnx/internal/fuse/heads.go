package fuse

import (
	att "github.com/blindbox/blindbox/onnx/internal/attention"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// heads is an attention of stacks of heads. Operands are queries, keys, values and a
// mask, which may be missing. Each of q, k, v and out says whether that operand is
// [batch, sequence, heads, dim]; otherwise it is [batch, heads, sequence, dim].
type heads struct {
	scale        float32
	q, k, v, out bool
	guarded      bool
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

// agreed joins two views of a dimension.
func agreed(a, b int64) (int64, bool) {
	switch {
	case a == -1:
		return b, true
	case b == -1 || a == b:
		return a, true
	}
	return a, false
}

func (o heads) Infer(in []*op.Info) ([]op.Info, error) {
	var s [3]stack
	for i, turned := range []bool{o.q, o.k, o.v} {
		if in[i] == nil || !in[i].Ranked || len(in[i].Shape) != 4 || in[i].Type != tensor.Float32 {
			return nil, op.BadInput(i, "is not a stack of heads of float32")
		}
		s[i] = stackOf(in[i].Shape, turned)
	}
	out := stack{s[0].batch, s[0].heads, s[0].rows, s[2].dim}
	fits := true
	join := func(a, b int64) int64 {
		v, ok := agreed(a, b)
		fits = fits && ok
		return v
	}
	for _, other := range s[1:] {
		out.batch, out.heads = join(out.batch, other.batch), join(out.heads, other.heads)
	}
	join(s[0].dim, s[1].dim)
	keys := join(s[1].rows, s[2].rows)
	if !fits {
		return nil, op.BadInput(1, "has shape %v, which does not go with queries of %v and values of %v", in[1].Shape, in[0].Shape, in[2].Shape)
	}
	if m := in[3]; m != nil && m.Ranked && !repeats(m.Shape, []int64{out.batch, out.heads, out.rows, keys}) {
		return nil, op.BadInput(3, "has shape %v, which does not broadcast to the scores", m.Shape)
	}
	return []op.Info{{Type: tensor.Float32, Ranked: true, Shape: out.shape(o.out)}}, nil
}

// repeats says whether a shape broadcasts to another one that stays as it is.
func repeats(shape, to []int64) bool {
	if len(shape) > len(to) {
		return false
	}
	for i, d := range shape {
		if t := to[len(to)-len(shape)+i]; d != 1 && d != -1 && t != -1 && d != t {
			return false
		}
	}
	return true
}

// problem describes the call; the data is filled in by Run.
func (o heads) problem(q, k, v stack) *att.Problem {
	return &att.Problem{
		Batches: int(q.batch), Heads: int(q.heads), Queries: int(q.rows), Keys: int(k.rows), Dim: int(q.dim), Values: int(v.dim),
		Scale: o.scale, Guarded: o.guarded,
	}
}

func (o heads) Scratch(on *kernel.On, in []*op.Info) int64 {
	q, k, v := stackOf(in[0].Shape, o.q), stackOf(in[1].Shape, o.k), stackOf(in[2].Shape, o.v)
	return int64(o.problem(q, k, v).ScratchLen(on.Workers()))
}

func (o heads) Run(env *op.Env, in, out []*tensor.Tensor) error {
	q, k, v := stackOf(in[0].Shape, o.q), stackOf(in[1].Shape, o.k), stackOf(in[2].Shape, o.v)
	p := o.problem(q, k, v)
	p.Q, p.K, p.V = q.strided(in[0], o.q), k.strided(in[1], o.k), v.strided(in[2], o.v)
	p.Out = stackOf(out[0].Shape, o.out).strided(out[0], o.out)
	if len(in) > 3 && in[3] != nil {
		s := kernel.BroadcastStrides(in[3].Shape, []int64{q.batch, q.heads, q.rows, k.rows})
		p.Mask = att.Strided{Data: tensor.Data[float32](in[3]), Batch: s[0], Head: s[1], Row: s[2], Col: s[3]}
	}
	return p.Run(env.On, env.Scratch)
}

// strided is where the elements of an operand are.
func (s stack) strided(t *tensor.Tensor, turned bool) att.Strided {
	n := kernel.Strides(t.Shape)
	if turned {
		return att.Strided{Data: tensor.Data[float32](t), Batch: n[0], Head: n[2], Row: n[1], Col: n[3]}
	}
	return att.Strided{Data: tensor.Data[float32](t), Batch: n[0], Head: n[1], Row: n[2], Col: n[3]}
}
