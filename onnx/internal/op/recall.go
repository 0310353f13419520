package op

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// recall is LinearAttention: instead of all keys and values it keeps, for each head, a
// matrix of the sums of their products, which queries read. Operands: queries, keys and
// values, [batch, steps, heads x size], the matrices to begin with (optional), how
// fast each forgets, and how much of each new value counts.
type recall struct {
	queryHeads, heads int64
	scale             float32
	forgets, corrects bool
}

func makeRecall(a *Attributes, _ int64) (Operator, error) {
	rule := a.oneOf("update_rule", "gated_delta", "linear", "gated", "delta")
	o := recall{queryHeads: a.int("q_num_heads", 0), heads: a.int("kv_num_heads", 0), scale: a.float("scale", 0)}
	o.forgets = rule == "gated" || rule == "gated_delta"
	o.corrects = rule == "delta" || rule == "gated_delta"
	a.int("chunk_size", 64) // a hint
	both(a)
	if o.heads < 1 || o.queryHeads < 1 || o.queryHeads > math.MaxInt32 || o.queryHeads%o.heads != 0 {
		return nil, fmt.Errorf("has %d heads of queries and %d of keys", o.queryHeads, o.heads)
	}
	return o, nil
}

// recallSizes are the dimensions of one call; -1 for those that are open.
type recallSizes struct{ batch, steps, dim, values int64 }

func (o recall) Infer(in []*Info) ([]Info, error) {
	if err := o.types(in); err != nil {
		return nil, err
	}
	s, err := o.sizes(in)
	if err != nil {
		return nil, err
	}
	state := in[0].Type
	if present(in, 3) {
		state = in[3].Type
	}
	width := int64(-1)
	if s.values != -1 {
		if s.values > math.MaxInt64/o.queryHeads {
			return nil, BadInput(2, "makes rows overflow")
		}
		width = s.values * o.queryHeads
	}
	return []Info{ranked(in[0].Type, s.batch, s.steps, width), ranked(state, s.batch, o.heads, s.dim, s.values)}, nil
}

func (o recall) types(in []*Info) error {
	for i := range 6 {
		needed := i < 3 || i == 4 && o.forgets || i == 5 && o.corrects
		if !present(in, i) {
			if needed {
				return BadInput(i, "is required")
			}
			continue
		}
		if i >= 4 && !needed {
			return BadInput(i, "is not expected by this update rule")
		}
		if err := needType(in, i, shortFloats()...); err != nil {
			return err
		}
		rank := 3
		if i == 3 {
			rank = 4
		} else if err := needTypeOf(in, i, 0); err != nil {
			return err
		}
		if err := needRank(in, i, rank, fmt.Sprintf("of rank %d", rank)); err != nil {
			return err
		}
	}
	return nil
}

// sizes joins what the operands say.
func (o recall) sizes(in []*Info) (recallSizes, error) {
	s := recallSizes{-1, -1, -1, -1}
	for i, c := range []struct {
		heads int64
		size  *int64
	}{{o.queryHeads, &s.dim}, {o.heads, &s.dim}, {o.heads, &s.values}} {
		if !in[i].Ranked {
			continue
		}
		shape := in[i].Shape
		size := int64(-1)
		if shape[2] != -1 {
			if shape[2]%c.heads != 0 {
				return s, BadInput(i, "has shape %v, which is not %d heads", shape, c.heads)
			}
			size = shape[2] / c.heads
		}
		var okBatch, okSteps, okSize bool
		s.batch, okBatch = sameDim(s.batch, shape[0])
		s.steps, okSteps = sameDim(s.steps, shape[1])
		*c.size, okSize = sameDim(*c.size, size)
		if !okBatch || !okSteps || !okSize {
			return s, BadInput(i, "has shape %v, which does not go with those before", shape)
		}
	}
	return s, o.check(in, s)
}

// check holds the state and the gates to the sizes.
func (o recall) check(in []*Info, s recallSizes) error {
	if present(in, 3) && in[3].Ranked {
		if err := sameShape(in[3].Shape, []int64{s.batch, o.heads, s.dim, s.values}); err != nil {
			return &OperandError{3, err}
		}
	}
	for i := 4; i <= 5; i++ {
		if !present(in, i) || !in[i].Ranked {
			continue
		}
		if err := sameShape(in[i].Shape, []int64{s.batch, s.steps, -1}); err != nil {
			return &OperandError{i, err}
		}
		width := in[i].Shape[2]
		perElement := i == 4 && (s.dim == -1 || width%o.heads == 0 && width/o.heads == s.dim)
		if width != -1 && width != o.heads && !perElement && !(i == 5 && width == 1) {
			return BadInput(i, "has shape %v, which does not go with %d heads", in[i].Shape, o.heads)
		}
	}
	return nil
}

func (o recall) Run(env *Env, in, out []*tensor.Tensor) error {
	s, err := o.sizes(infosOf(in))
	if err != nil {
		return err
	}
	r := recalling{recall: o, s: s, scale: o.scale}
	if r.scale == 0 {
		r.scale = float32(1 / math.Sqrt(float64(s.dim)))
	}
	for i, into := range []*[]float32{&r.q, &r.k, &r.v, &r.past, &r.decay, &r.beta} {
		if !present(in, i) {
			continue
		}
		wide, err := float32Of(env, in[i])
		if err != nil {
			return err
		}
		*into = tensor.Data[float32](wide)
	}
	y, err := env.New(tensor.Float32, out[0].Shape)
	if err != nil {
		return err
	}
	state, err := env.New(tensor.Float32, []int64{s.batch, o.heads, s.dim, s.values})
	if err != nil {
		return err
	}
	r.y = tensor.Data[float32](y)
	all, each := tensor.Data[float32](state), int(s.dim*s.values)
	err = env.On.Parallel(int(s.batch*o.heads), func(lane int) {
		if r.past != nil {
			copy(all[lane*each:(lane+1)*each], r.past[lane*each:])
		} else {
			clear(all[lane*each : (lane+1)*each])
		}
		for t := range int(s.steps) {
			if env.On.Err() != nil {
				return
			}
			r.step(all[lane*each:(lane+1)*each], lane/int(o.heads), lane%int(o.heads), t)
		}
	})
	if err != nil {
		return err
	}
	if err := fromFloat32(env, out[0], y); err != nil {
		return err
	}
	return fromFloat32(env, out[1], state)
}

// recalling is one call, with all operands as float32.
type recalling struct {
	recall
	s                             recallSizes
	scale                         float32
	q, k, v, past, decay, beta, y []float32
}

// step takes one key and value into the matrix of a head, and reads it.
func (r *recalling) step(state []float32, b, h, t int) {
	heads, dim, values := int(r.heads), int(r.s.dim), int(r.s.values)
	row := b*int(r.s.steps) + t
	key := r.k[(row*heads+h)*dim:][:dim]
	value := append([]float32{}, r.v[(row*heads+h)*values:][:values]...)
	if r.forgets {
		r.forget(state, row, h)
	}
	if r.corrects {
		width := len(r.beta) / int(r.s.batch*r.s.steps)
		beta := r.beta[row*width+h%width]
		for m := range value {
			for d, x := range key {
				value[m] -= state[d*values+m] * x
			}
			value[m] *= beta
		}
	}
	for d, x := range key {
		for m, v := range value {
			state[d*values+m] += x * v
		}
	}
	group := int(r.queryHeads / r.heads)
	for g := h * group; g < (h+1)*group; g++ {
		out := r.y[(row*int(r.queryHeads)+g)*values:][:values]
		clear(out)
		for d, x := range r.q[(row*int(r.queryHeads)+g)*dim:][:dim] {
			for m := range out {
				out[m] += r.scale * x * state[d*values+m]
			}
		}
	}
}

// forget makes the rows of a matrix smaller, each by its own rate or all by one.
func (r *recalling) forget(state []float32, row, h int) {
	values, dim := int(r.s.values), int(r.s.dim)
	width := len(r.decay) / int(r.s.batch*r.s.steps)
	each := width / int(r.heads) // 1 or dim
	for d := range dim {
		keep := float32(math.Exp(float64(r.decay[row*width+h*each+d%each])))
		for m := range values {
			state[d*values+m] *= keep
		}
	}
}
