package fuse

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/plan"
)

// gelu finds x * (1 + erf(x / sqrt(2))) * 1/2, whichever of its factors comes first.
func gelu(r *rewriter, st *plan.Step) error {
	if !is(st, "Mul") || !r.f32(st.Out[0]) {
		return nil
	}
	x, ok := r.geluHalfLast(st)
	if !ok {
		x, ok = r.geluHalfFirst(st)
	}
	if !ok {
		x, ok = r.geluHalfInside(st)
	}
	if !ok || r.deeper(st.Out[0], x) {
		return nil
	}
	o, err := standard(r.p.Operators(), "Gelu", 20, 1)
	if err != nil {
		return err
	}
	r.replace(st, "Gelu", o, x)
	return nil
}

// geluHalfLast is (x * (1 + erf)) * 1/2.
func (r *rewriter) geluHalfLast(st *plan.Step) (int, bool) {
	rest, _ := r.scaled(st, 0.5)
	mul := r.only(rest, "Mul")
	if mul == nil {
		return -1, false
	}
	add, x := r.oneOf(mul, "Add")
	return x, add != nil && r.onePlusErf(add, x)
}

// geluHalfFirst is (x * 1/2) * (1 + erf).
func (r *rewriter) geluHalfFirst(st *plan.Step) (int, bool) {
	add, half := r.oneOf(st, "Add")
	mul := r.only(half, "Mul")
	if mul == nil { // or the sum is missing, beside which it is looked for
		return -1, false
	}
	x, ok := r.scaled(mul, 0.5)
	return x, ok && r.onePlusErf(add, x)
}

// geluHalfInside is x * (1/2 * (1 + erf)).
func (r *rewriter) geluHalfInside(st *plan.Step) (int, bool) {
	mul, x := r.oneOf(st, "Mul")
	if mul == nil {
		return -1, false
	}
	rest, ok := r.scaled(mul, 0.5)
	add := r.only(rest, "Add")
	return x, ok && add != nil && r.onePlusErf(add, x)
}

// onePlusErf says whether a step is 1 + erf(x / sqrt(2)).
func (r *rewriter) onePlusErf(add *plan.Step, x int) bool {
	erf, one := r.oneOf(add, "Erf")
	if erf == nil || !r.near(one, 1) {
		return false
	}
	if div := r.only(erf.In[0], "Div"); div != nil {
		return div.In[0] == x && r.near(div.In[1], math.Sqrt2)
	}
	mul := r.only(erf.In[0], "Mul")
	if mul == nil {
		return false
	}
	from, ok := r.scaled(mul, 1/math.Sqrt2)
	return ok && from == x
}

// geluTanh finds x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
func geluTanh(r *rewriter, st *plan.Step) error {
	if !is(st, "Mul") || !r.f32(st.Out[0]) {
		return nil
	}
	add, half := r.oneOf(st, "Add")
	mul := r.only(half, "Mul")
	if add == nil || mul == nil {
		return nil
	}
	x, ok := r.scaled(mul, 0.5)
	tanh, one := r.oneOf(add, "Tanh")
	if !ok || tanh == nil || !r.near(one, 1) || !r.cubic(tanh.In[0], x) || r.deeper(st.Out[0], x) {
		return nil
	}
	o, err := standard(r.p.Operators(), "Gelu", 20, 1, text("approximate", "tanh"))
	if err != nil {
		return err
	}
	r.replace(st, "GeluTanh", o, x)
	return nil
}

// cubic says whether a value is sqrt(2/pi) * (x + 0.044715 x^3).
func (r *rewriter) cubic(id, x int) bool {
	outer := r.only(id, "Mul")
	if outer == nil {
		return false
	}
	sum, ok := r.scaled(outer, math.Sqrt(2/math.Pi))
	add := r.only(sum, "Add")
	if !ok || add == nil {
		return false
	}
	inner, other := r.oneOf(add, "Mul")
	if inner == nil || other != x {
		return false
	}
	cube, ok := r.scaled(inner, 0.044715)
	pow := r.only(cube, "Pow")
	return ok && pow != nil && pow.In[0] == x && r.near(pow.In[1], 3)
}

// hardSwish finds x * clip(x + 3, 0, 6) / 6, whatever is done first.
func hardSwish(r *rewriter, st *plan.Step) error {
	x, ok := -1, false
	switch {
	case is(st, "Div") && r.near(st.In[1], 6):
		x, ok = r.timesClip(r.only(st.In[0], "Mul"))
	case is(st, "Mul"):
		if rest, scaled := r.scaled(st, 1.0/6); scaled {
			x, ok = r.timesClip(r.only(rest, "Mul"))
		} else if div, other := r.oneOf(st, "Div"); div != nil && r.near(div.In[1], 6) {
			x, ok = other, r.shiftedClip(div.In[0], other)
		}
	}
	if !ok || !r.f32(x) || r.deeper(st.Out[0], x) {
		return nil
	}
	o, err := standard(r.p.Operators(), "HardSwish", 14, 1)
	if err != nil {
		return err
	}
	r.replace(st, "HardSwish", o, x)
	return nil
}

// timesClip is x of a step that is x * clip(x + 3, 0, 6).
func (r *rewriter) timesClip(mul *plan.Step) (int, bool) {
	if mul == nil {
		return -1, false
	}
	for k := range 2 {
		if x := mul.In[1-k]; r.shiftedClip(mul.In[k], x) {
			return x, true
		}
	}
	return -1, false
}

// shiftedClip says whether a value is clip(x + 3, 0, 6).
func (r *rewriter) shiftedClip(id, x int) bool {
	clip := r.only(id, "Clip")
	if clip == nil {
		return false
	}
	act, ok := r.clip(clip)
	add := r.only(clip.In[0], "Add")
	if !ok || act.A != 0 || act.B != 6 || add == nil {
		return false
	}
	for k := range 2 {
		if add.In[1-k] == x && r.near(add.In[k], 3) {
			return true
		}
	}
	return false
}

// gated finds x * sigmoid(x) and x * hardsigmoid(x).
func gated(r *rewriter, st *plan.Step) error {
	if !is(st, "Mul") || !r.f32(st.Out[0]) {
		return nil
	}
	if gate, x := r.oneOf(st, "Sigmoid"); gate != nil && gate.In[0] == x {
		r.replace(st, "SiLU", silu{}, x)
		return nil
	}
	gate, x := r.oneOf(st, "HardSigmoid")
	if gate == nil || gate.In[0] != x {
		return nil
	}
	alpha, hasAlpha := attr(gate, "alpha")
	beta, hasBeta := attr(gate, "beta")
	if !hasAlpha || math.Abs(float64(alpha.F)-1.0/6) > 1e-6 || hasBeta && beta.F != 0.5 {
		return nil
	}
	o, err := standard(r.p.Operators(), "HardSwish", 14, 1)
	if err != nil {
		return err
	}
	r.replace(st, "HardSwish", o, x)
	return nil
}
