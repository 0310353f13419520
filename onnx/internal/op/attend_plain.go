package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/attention"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// bias tells p what queries may see: by what it knows itself (a float mask, a causal
// order), or by a mask that is made here of all that the operands say.
func (o attend) bias(env *Env, p *attention.Problem, s attendSizes, in []*tensor.Tensor) error {
	mask := operand(in, 3)
	full := mask != nil && mask.Type == tensor.Float32 && mask.Shape[len(mask.Shape)-1] == s.total
	if o.left < 0 && o.right < 0 && operand(in, 6) == nil && (mask == nil || full) {
		p.Causal, p.Past = o.causal, int(s.past)
		if mask != nil {
			p.Mask, p.Guarded = repeatedMask(mask), true
		}
		return nil
	}
	v := &visible{attend: o, s: s}
	if lengths := operand(in, 6); lengths != nil {
		v.lengths = tensor.Data[int64](lengths)
		for _, n := range v.lengths {
			if n < 0 || n > s.total {
				return BadInput(6, "%d of %d keys", n, s.total)
			}
		}
	}
	if err := v.read(env, mask); err != nil {
		return err
	}
	made, err := v.mask(env)
	if err != nil {
		return err
	}
	p.Mask, p.Guarded = repeatedMask(made), true
	return nil
}

// repeatedMask sees a mask of rank 1 to 4 as one of rank 4; what has size 1 repeats.
func repeatedMask(mask *tensor.Tensor) attention.Strided {
	m := attention.Strided{Data: tensor.Data[float32](mask)}
	step := 1
	into := []*int{&m.Batch, &m.Head, &m.Row, &m.Col}
	for i := len(mask.Shape) - 1; i >= 0; i-- {
		if mask.Shape[i] > 1 || i == len(mask.Shape)-1 {
			*into[4-len(mask.Shape)+i] = step
		}
		step *= int(mask.Shape[i])
	}
	return m
}

// visible says what each query adds to the score of each key: -Inf if it must not see
// it.
type visible struct {
	attend
	s       attendSizes
	lengths []int64           // keys of each batch that are any; nil: all
	given   attention.Strided // the model's mask, if it has one
	width   int64             // of the model's mask; beyond it there is nothing to see
	perHead bool
	batches bool
}

// read takes the model's mask as float32.
func (v *visible) read(env *Env, mask *tensor.Tensor) error {
	v.width, v.batches = v.s.total, v.lengths != nil
	if mask == nil {
		return nil
	}
	wide, err := float32Of(env, mask)
	if err != nil {
		return err
	}
	if mask.Type == tensor.Bool {
		data := tensor.Data[float32](wide)
		for i, x := range data {
			data[i] = 0
			if x == 0 {
				data[i] = float32(math.Inf(-1))
			}
		}
	}
	v.given = repeatedMask(wide)
	v.width = mask.Shape[len(mask.Shape)-1]
	v.batches = v.batches || v.given.Batch != 0
	v.perHead = v.given.Head != 0
	return nil
}

// mask makes one mask of all.
func (v *visible) mask(env *Env) (*tensor.Tensor, error) {
	shape := []int64{1, 1, v.s.queries, v.s.total}
	if v.batches {
		shape[0] = v.s.batch
	}
	if v.perHead {
		shape[1] = v.s.queryHeads
	}
	out, err := env.New(tensor.Float32, shape)
	if err != nil {
		return nil, err
	}
	data, total, queries := tensor.Data[float32](out), int(v.s.total), int(v.s.queries)
	return out, env.On.Parallel(int(shape[0]*shape[1])*queries, func(part int) {
		lane, i := part/queries, part%queries
		b, h := lane/int(shape[1]), lane%int(shape[1])
		v.row(data[part*total:(part+1)*total], b, h, i)
	})
}

// row is what query i of a head adds.
func (v *visible) row(dst []float32, b, h, i int) {
	at, end := v.s.past+int64(i), v.s.total
	if v.lengths != nil {
		at, end = v.lengths[b]-v.s.queries+int64(i), v.lengths[b]
	}
	low, high := int64(0), min(end, v.width)
	if v.causal {
		high = min(high, at+1)
	}
	if v.left >= 0 {
		low = max(low, at-v.left)
	}
	if v.right >= 0 {
		high = min(high, at+v.right+1)
	}
	for j := range dst {
		switch {
		case int64(j) < low || int64(j) >= high:
			dst[j] = float32(math.Inf(-1))
		case v.given.Data != nil:
			dst[j] = v.given.Data[b*v.given.Batch+h*v.given.Head+i*v.given.Row+j*v.given.Col]
		default:
			dst[j] = 0
		}
	}
}

// plain computes p query by query, and writes the scores at the stage that the model
// asks for; nil: nobody does.
func (o attend) plain(env *Env, p *attention.Problem, stages []float32) error {
	return env.On.Parallel(p.Batches*p.Heads*p.Queries, func(part int) {
		b, h, i := part/(p.Heads*p.Queries), part/p.Queries%p.Heads, part%p.Queries
		scores := make([]float32, p.Keys)
		keep := func(stage int64) {
			if stages != nil && o.stage == stage {
				copy(stages[part*p.Keys:], scores)
			}
		}
		query := p.Q.Data[b*p.Q.Batch+h*p.Q.Head+i*p.Q.Row:]
		for j := range scores {
			key := p.K.Data[b*p.K.Batch+h/p.Group*p.K.Head+j*p.K.Row:]
			scores[j] = p.Scale * dot(query[:p.Dim], key[:p.Dim])
		}
		keep(0)
		if o.softcap != 0 {
			for j, x := range scores {
				scores[j] = o.softcap * float32(math.Tanh(float64(x/o.softcap)))
			}
		}
		keep(1)
		masked := addMask(p, scores, b, h, i)
		keep(2)
		distribute(scores, masked)
		keep(3)
		out := p.Out.Data[b*p.Out.Batch+h*p.Out.Head+i*p.Out.Row:][:p.Values]
		clear(out)
		for j, x := range scores {
			value := p.V.Data[b*p.V.Batch+h/p.Group*p.V.Head+j*p.V.Row:][:p.Values]
			for c, y := range value {
				if x != 0 { // a key that is not seen adds nothing, whatever its value is
					out[c] += x * y
				}
			}
		}
	})
}

func dot(a, b []float32) float32 {
	var sum float32
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// addMask adds what query i adds to its scores, and says whether it sees nothing.
func addMask(p *attention.Problem, scores []float32, b, h, i int) bool {
	hidden := float32(math.Inf(-1))
	masked := true
	for j := range scores {
		add := float32(0)
		if p.Mask.Data != nil {
			add = p.Mask.Data[b*p.Mask.Batch+h*p.Mask.Head+i*p.Mask.Row+j*p.Mask.Col]
		}
		if p.Causal && j > p.Past+i {
			add = hidden
		}
		scores[j] += add
		masked = masked && add == hidden
	}
	return masked
}

// distribute makes scores add up to one; those of a query that sees nothing are zero.
func distribute(scores []float32, masked bool) {
	if masked {
		clear(scores)
		return
	}
	top := float32(math.Inf(-1))
	for _, x := range scores {
		top = max(top, x)
	}
	sum := 0.0
	for j, x := range scores {
		e := math.Exp(float64(x - top))
		scores[j] = float32(e)
		sum += e
	}
	for j := range scores {
		scores[j] = float32(float64(scores[j]) / sum)
	}
}
