package op

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// stateOperators carry a state from one call to the next, as an operand and a result.
func stateOperators() map[string]Spec {
	return map[string]Spec{
		"LinearAttention":     {MinIn: 3, MaxIn: 6, MaxOut: 2, Make: makeLinearAttention, Since: 27},
		"CausalConvWithState": {MinIn: 2, MaxIn: 4, MaxOut: 2, Make: makeCausalConv, Since: 27},
	}
}

// linearAttention reads query (operand 0), key and value of shape [batch, steps,
// heads * size]. A state, a matrix for each head, takes up key x value with every step,
// after operand 4 has let it decay and, for a delta rule, as far as the key does not
// recall the value already (times operand 5). A query reads it. Operand 3 and result 1
// are the state before and after.
type linearAttention struct {
	heads, stateHeads int64
	scale             float64 // 0: one by the root of the key's size
	gated, delta      bool
	results           int
}

func makeLinearAttention(a *Attributes, _ int64) (Operator, error) {
	o := linearAttention{heads: a.int("q_num_heads", 0), stateHeads: a.int("kv_num_heads", 0), scale: float64(a.float("scale", 0)), results: a.Outputs}
	a.int("chunk_size", 64) // how to compute, not what
	rule := a.oneOf("update_rule", "gated_delta", "linear", "gated", "delta")
	o.gated, o.delta = rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
	const most = 1 << 20
	if o.stateHeads < 1 || o.heads < 1 || o.heads > most || o.heads%o.stateHeads != 0 {
		return nil, fmt.Errorf("%d heads of queries and %d of keys: the first must be a multiple of the second, at most %d", o.heads, o.stateHeads, most)
	}
	return o, nil
}

func (o linearAttention) Infer(in []*Info) ([]Info, error) {
	if err := o.check(in); err != nil {
		return nil, err
	}
	q, k, v := in[0], in[1], in[2]
	if !q.Ranked || !k.Ranked || !v.Ranked {
		return []Info{ranked(q.Type, -1, -1, -1), ranked(o.stateType(in), -1, o.stateHeads, -1, -1)}[:max(1, o.results)], nil
	}
	keySize, valueSize := int64(-1), int64(-1)
	if k.Shape[2] != -1 {
		keySize = k.Shape[2] / o.stateHeads
	}
	width := int64(-1)
	if v.Shape[2] != -1 {
		valueSize = v.Shape[2] / o.stateHeads
		width = valueSize * o.heads
	}
	state := ranked(o.stateType(in), q.Shape[0], o.stateHeads, keySize, valueSize)
	if err := o.fit(in, keySize, state.Shape); err != nil {
		return nil, err
	}
	return []Info{ranked(q.Type, q.Shape[0], q.Shape[1], width), state}[:max(1, o.results)], nil
}

func (o linearAttention) stateType(in []*Info) tensor.DataType {
	if len(in) > 3 && in[3] != nil {
		return in[3].Type
	}
	return in[0].Type
}

// check holds operands to the rule and to their ranks.
func (o linearAttention) check(in []*Info) error {
	for i := range 6 {
		there := i < len(in) && in[i] != nil
		switch {
		case i == 4 && there != o.gated, i == 5 && there != o.delta:
			return fmt.Errorf("input %d does not go with the update rule", i)
		case !there && i < 3:
			return BadInput(i, "is required")
		case !there:
			continue
		}
		if err := needType(in, i, floatTypes()...); err != nil {
			return err
		}
		rank := 3
		if i == 3 {
			rank = 4
		}
		if in[i].Ranked && len(in[i].Shape) != rank {
			return BadInput(i, "has shape %v, must have %d dimensions", in[i].Shape, rank)
		}
	}
	return nil
}

// fit holds the shapes to each other.
func (o linearAttention) fit(in []*Info, keySize int64, state []int64) error {
	batch, steps := in[0].Shape[0], in[0].Shape[1]
	last := [][]int64{{keySize * o.heads}, {keySize * o.stateHeads}, {-1}, nil, {o.stateHeads, keySize * o.stateHeads}, {o.stateHeads, 1}}
	for i, v := range in {
		switch {
		case v == nil || !v.Ranked || keySize == -1:
			continue
		case i == 3:
			if !agreeing(v.Shape, state) {
				return BadInput(i, "has shape %v, expected %v", v.Shape, state)
			}
			continue
		}
		ok := false
		for _, size := range last[i] {
			ok = ok || agreeing(v.Shape, []int64{batch, steps, size})
		}
		if !ok || i == 2 && v.Shape[2] > 0 && v.Shape[2]%o.stateHeads != 0 {
			return BadInput(i, "has shape %v, which does not go with %v", v.Shape, in[0].Shape)
		}
	}
	return nil
}

// agreeing says whether two shapes may be one.
func agreeing(a, b []int64) bool {
	ok := len(a) == len(b)
	for i := 0; ok && i < len(a); i++ {
		_, ok = sameDim(a[i], b[i])
	}
	return ok
}

func (o linearAttention) Run(env *Env, in, out []*tensor.Tensor) error {
	k, v := int(in[1].Shape[2]/o.stateHeads), int(in[2].Shape[2]/o.stateHeads)
	m := memory{o: o, in: in, out: out, keySize: k, valueSize: v, scale: o.scale}
	if m.scale == 0 {
		m.scale = 1 / math.Sqrt(float64(k))
	}
	if err := m.bring(env); err != nil {
		return err
	}
	for i := range int(in[0].Shape[0] * o.stateHeads) {
		if err := m.head(env, i/int(o.stateHeads), i%int(o.stateHeads)); err != nil {
			return err
		}
	}
	return nil
}
