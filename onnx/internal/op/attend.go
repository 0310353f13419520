package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/attention"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// attend is Attention: softmax(scale x Q x K^T + bias) x V for every head. Operands: Q,
// K, V, a mask (optional), keys and values of the past (optional), how many keys of
// each batch are none (optional). Results: Y, then the keys and values with those of
// the past in front, then the scores at the stage that the model asks for.
type attend struct {
	queryHeads, heads int64 // of operands of rank 3; 0: not given
	scale, softcap    float32
	scaled            bool
	causal            bool
	stage             int64 // qk_matmul_output_mode
	left, right       int64 // how many keys a query sees on either side of it; -1: all
	results           int
}

func makeAttend(a *Attributes, opset int64) (Operator, error) {
	o := attend{queryHeads: a.int("q_num_heads", 0), heads: a.int("kv_num_heads", 0), scaled: a.has("scale"), left: -1, right: -1}
	o.scale, o.softcap = a.float("scale", 1), a.float("softcap", 0)
	o.causal, o.stage, o.results = a.flag("is_causal", false), a.int("qk_matmul_output_mode", 0), a.Outputs
	a.int("softmax_precision", 1) // it is float32, whatever is asked for
	if opset < 24 {
		atMost(a, 6)
	}
	if opset >= 25 {
		o.left, o.right = a.int("left_window_size", -1), a.int("right_window_size", -1)
	}
	const most = math.MaxInt32
	switch {
	case min(o.queryHeads, o.heads) < 0 || max(o.queryHeads, o.heads) > most:
		return nil, fmt.Errorf("has %d heads of queries and %d of keys", o.queryHeads, o.heads)
	case min(o.left, o.right) < -1 || max(o.left, o.right) > most:
		return nil, fmt.Errorf("has windows of %d and %d", o.left, o.right)
	case o.stage < 0 || o.stage > 3:
		return nil, fmt.Errorf(`attribute "qk_matmul_output_mode" is %d, expected 0 to 3`, o.stage)
	}
	return o, nil
}

// attendSizes are the dimensions of one call; -1 for those that are open.
type attendSizes struct {
	batch, queryHeads, heads   int64
	queries, keys, past, total int64
	dim, values                int64
	flat                       bool // heads lie beside each other in rows: rank 3
}

func (o attend) Infer(in []*Info) ([]Info, error) {
	if err := o.types(in); err != nil {
		return nil, err
	}
	s, err := o.sizes(in)
	if err != nil {
		return nil, err
	}
	out := []Info{
		ranked(in[0].Type, s.batch, s.queryHeads, s.queries, s.values),
		ranked(in[1].Type, s.batch, s.heads, s.total, s.dim),
		ranked(in[2].Type, s.batch, s.heads, s.total, s.values),
		ranked(in[0].Type, s.batch, s.queryHeads, s.queries, s.total),
	}
	switch {
	case !in[0].Ranked:
		out[0] = unranked(in[0].Type)
	case s.flat:
		width := int64(-1)
		if s.values != -1 {
			if s.values > math.MaxInt64/max(1, s.queryHeads) {
				return nil, BadInput(2, "makes rows overflow")
			}
			width = s.queryHeads * s.values
		}
		out[0] = ranked(in[0].Type, s.batch, s.queries, width)
	}
	return out[:o.results], nil
}

func (o attend) types(in []*Info) error {
	for i := range 3 {
		if err := needType(in, i, shortFloats()...); err != nil {
			return err
		}
	}
	if err := needTypeOf(in, 1, 0); err != nil {
		return err
	}
	if present(in, 3) {
		if err := needType(in, 3, append(numberTypes(), tensor.Bool)...); err != nil {
			return err
		}
	}
	if present(in, 4) != present(in, 5) {
		return errors.New("has past keys without past values, or the other way round")
	}
	if present(in, 4) {
		for i := 4; i <= 5; i++ {
			if err := needType(in, i, in[i-3].Type); err != nil {
				return err
			}
			if err := needRank(in, i, 4, "of rank 4"); err != nil {
				return err
			}
		}
	}
	if !present(in, 6) {
		return nil
	}
	if present(in, 4) {
		return BadInput(6, "and past keys exclude each other")
	}
	return needVector(in, 6)
}

// laid is the batch, heads, rows and columns of an operand.
func laid(in []*Info, i int, heads int64) ([4]int64, error) {
	v := in[i]
	switch {
	case !v.Ranked:
		return [4]int64{-1, -1, -1, -1}, nil
	case len(v.Shape) == 4:
		if _, ok := sameDim(v.Shape[1], heads); heads > 0 && !ok {
			return [4]int64{}, BadInput(i, "has shape %v, the attributes say %d heads", v.Shape, heads)
		}
		return [4]int64(v.Shape), nil
	case len(v.Shape) != 3:
		return [4]int64{}, BadInput(i, "has shape %v, expected rank 3 or 4", v.Shape)
	case heads == 0 || v.Shape[2] != -1 && v.Shape[2]%heads != 0:
		return [4]int64{}, BadInput(i, `has shape %v, which is not %d heads (attributes "q_num_heads", "kv_num_heads")`, v.Shape, heads)
	}
	size := int64(-1)
	if v.Shape[2] != -1 {
		size = v.Shape[2] / heads
	}
	return [4]int64{v.Shape[0], heads, v.Shape[1], size}, nil
}

// sizes joins what the operands say.
func (o attend) sizes(in []*Info) (s attendSizes, err error) {
	var at [3][4]int64
	for i, heads := range []int64{o.queryHeads, o.heads, o.heads} {
		if at[i], err = laid(in, i, heads); err != nil {
			return s, err
		}
		if in[i].Ranked && in[0].Ranked && len(in[i].Shape) != len(in[0].Shape) {
			return s, BadInput(i, "has shape %v, input 0 has %v", in[i].Shape, in[0].Shape)
		}
	}
	past := [2][4]int64{{-1, -1, 0, -1}, {-1, -1, 0, -1}}
	for i := 4; i <= 5 && present(in, 4); i++ {
		past[i-4] = [4]int64{-1, -1, -1, -1}
		if in[i].Ranked {
			past[i-4] = [4]int64(in[i].Shape)
		}
	}
	q, k, v := at[0], at[1], at[2]
	s = attendSizes{queryHeads: q[1], queries: q[2], flat: in[0].Ranked && len(in[0].Shape) == 3}
	for _, j := range []struct {
		into *int64
		all  []int64
		what string
	}{
		{&s.batch, []int64{q[0], k[0], v[0], past[0][0], past[1][0]}, "batch"},
		{&s.heads, []int64{k[1], v[1], past[0][1], past[1][1]}, "number of heads"},
		{&s.keys, []int64{k[2], v[2]}, "number of keys and values"},
		{&s.past, []int64{past[0][2], past[1][2]}, "number of past keys and values"},
		{&s.dim, []int64{q[3], k[3], past[0][3]}, "size of heads"},
		{&s.values, []int64{v[3], past[1][3]}, "size of values"},
	} {
		*j.into = -1
		for _, n := range j.all {
			var ok bool
			if *j.into, ok = sameDim(*j.into, n); !ok {
				return s, fmt.Errorf("operands do not agree on the %s: %v", j.what, j.all)
			}
		}
	}
	if s.heads == 0 || s.heads > 0 && s.queryHeads != -1 && s.queryHeads%s.heads != 0 {
		return s, BadInput(1, "has %d heads, the queries %d", s.heads, s.queryHeads)
	}
	if s.total = -1; s.keys != -1 && s.past != -1 {
		if s.past > math.MaxInt64-s.keys {
			return s, BadInput(4, "makes the number of keys overflow")
		}
		s.total = s.keys + s.past
	}
	return s, s.check(in)
}

// check holds the mask and the lengths to the sizes.
func (s attendSizes) check(in []*Info) error {
	if present(in, 6) && in[6].Ranked {
		if _, ok := sameDim(in[6].Shape[0], s.batch); !ok {
			return BadInput(6, "has %d entries for a batch of %d", in[6].Shape[0], s.batch)
		}
	}
	if !present(in, 3) || !in[3].Ranked {
		return nil
	}
	mask, full := in[3].Shape, []int64{s.batch, s.queryHeads, s.queries, s.total}
	ok := len(mask) >= 1 && len(mask) <= 4
	for i := 0; ok && i < len(mask); i++ {
		d, most := mask[i], full[4-len(mask)+i]
		if last := i == len(mask)-1; last {
			ok = d == -1 || most == -1 || d <= most
		} else {
			ok = d == 1 || d == -1 || most == -1 || d == most
		}
	}
	if !ok {
		return BadInput(3, "has shape %v, which does not broadcast to %v", mask, full)
	}
	return nil
}

// Scratch is for the scores that are held at a time.
func (o attend) Scratch(on *kernel.On, in []*Info) int64 {
	s, err := o.sizes(in)
	if err != nil || s.total < 0 || s.queries < 0 || s.dim < 0 || s.values < 0 {
		return 0
	}
	p := s.problem()
	return int64(p.ScratchLen(on.Workers()))
}

func (s attendSizes) problem() attention.Problem {
	return attention.Problem{Batches: int(s.batch), Heads: int(s.queryHeads), Queries: int(s.queries), Keys: int(s.total),
		Dim: int(s.dim), Values: int(s.values), Group: int(s.queryHeads / s.heads)}
}

func (o attend) Run(env *Env, in, out []*tensor.Tensor) error {
	s, err := o.sizes(infosOf(in))
	if err != nil {
		return err
	}
	p := s.problem()
	p.Scale = o.scale
	if !o.scaled {
		p.Scale = float32(1 / math.Sqrt(float64(s.dim)))
	}
	keys, values, err := o.cache(env, s, in, out)
	if err != nil {
		return err
	}
	for i, t := range []*tensor.Tensor{in[0], keys, values} {
		wide, err := float32Of(env, t)
		if err != nil {
			return err
		}
		rank4 := len(t.Shape) == 4
		heads := []int64{s.queryHeads, s.heads, s.heads}[i]
		*[]*attention.Strided{&p.Q, &p.K, &p.V}[i] = strided(wide, heads, rank4)
	}
	y := out[0]
	if y.Type != tensor.Float32 {
		if y, err = env.New(tensor.Float32, y.Shape); err != nil {
			return err
		}
	}
	p.Out = strided(y, s.queryHeads, !s.flat)
	if err := o.bias(env, &p, s, in); err != nil {
		return err
	}
	if err := o.solve(env, &p, out); err != nil {
		return err
	}
	return fromFloat32(env, out[0], y)
}

// solve computes p, by the kernel if nothing happens to the scores on their way.
func (o attend) solve(env *Env, p *attention.Problem, out []*tensor.Tensor) error {
	if o.softcap == 0 && len(out) < 4 && p.Keys > 0 {
		return p.Run(env.On, env.Scratch)
	}
	if len(out) < 4 {
		return o.plain(env, p, nil)
	}
	stage := out[3]
	if stage.Type != tensor.Float32 {
		var err error
		if stage, err = env.New(tensor.Float32, stage.Shape); err != nil {
			return err
		}
	}
	if err := o.plain(env, p, tensor.Data[float32](stage)); err != nil {
		return err
	}
	return fromFloat32(env, out[3], stage)
}

// strided sees an array as batch, head, row and column.
func strided(t *tensor.Tensor, heads int64, rank4 bool) attention.Strided {
	data, h := tensor.Data[float32](t), int(heads)
	if rank4 {
		rows, columns := int(t.Shape[2]), int(t.Shape[3])
		return attention.Strided{Data: data, Batch: h * rows * columns, Head: rows * columns, Row: columns, Col: 1}
	}
	rows, width := int(t.Shape[1]), int(t.Shape[2])
	return attention.Strided{Data: data, Batch: rows * width, Head: width / h, Row: width, Col: 1}
}

// cache puts keys and values behind those of the past, if there are any or the model
// wants them back.
func (o attend) cache(env *Env, s attendSizes, in, out []*tensor.Tensor) (keys, values *tensor.Tensor, err error) {
	both := [2]*tensor.Tensor{in[1], in[2]}
	for i, now := range both {
		var into, past *tensor.Tensor
		if len(out) > i+1 {
			into = out[i+1]
		}
		if present(in, 4) {
			past = in[4+i]
		}
		if into == nil && past == nil {
			continue
		}
		if into == nil {
			width := []int64{s.dim, s.values}[i]
			if into, err = env.New(now.Type, []int64{s.batch, s.heads, s.total, width}); err != nil {
				return nil, nil, err
			}
		}
		if err := appended(env, into, past, now); err != nil {
			return nil, nil, err
		}
		both[i] = into
	}
	return both[0], both[1], nil
}

// appended makes into, of rank 4, from past (or nil) and now, of rank 3 or 4.
func appended(env *Env, into, past, now *tensor.Tensor) error {
	to := kernel.Dense(into.Shape)
	shape := append([]int64{}, into.Shape...)
	if past != nil {
		if err := copyTo(env, into, to, past, kernel.Dense(past.Shape), past.Shape); err != nil {
			return err
		}
		to.Offset = int(past.Shape[2]) * to.Strides[2]
		shape[2] -= past.Shape[2]
	}
	from := kernel.Dense(shape)
	if len(now.Shape) == 3 {
		width, size := int(now.Shape[2]), int(shape[3])
		from.Strides = []int{int(now.Shape[1]) * width, size, width, 1}
	}
	return copyTo(env, into, to, now, from, shape)
}
