package op

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func normalizeOperators() map[string]Spec {
	return map[string]Spec{
		"LayerNormalization":        {MinIn: 2, MaxIn: 3, MaxOut: 3, Make: makeLayerNorm, Since: 17},
		"RMSNormalization":          {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeRMSNorm, Since: 23},
		"MeanVarianceNormalization": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeMeanVariance},
	}
}

// layerNorm normalises all elements behind an axis together: it takes their mean
// away, divides by their standard deviation, multiplies by operand 1 and adds operand
// 2. The RMS form has no mean and no operand 2. Results 1 and 2 are the means and the
// inverse deviations.
type layerNorm struct {
	axis    int64
	epsilon float32
	stash   tensor.DataType
	rms     bool
	results int
}

func makeLayerNorm(a *Attributes, _ int64) (Operator, error) {
	return layerNorm{a.int("axis", -1), a.float("epsilon", 1e-5), stashType(a), false, a.Outputs}, nil
}

func makeRMSNorm(a *Attributes, _ int64) (Operator, error) {
	return layerNorm{a.int("axis", -1), a.float("epsilon", 1e-5), stashType(a), true, 1}, nil
}

// stashType is the type that the specification computes in. Here it is float64, or
// float32 in kernels, and only the type of results 1 and 2 is left of it.
func stashType(a *Attributes) tensor.DataType {
	return tensor.TypeNumbered(a.int("stash_type", int64(tensor.Float32)))
}

func (o layerNorm) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	for i := 1; i < len(in); i++ {
		if i == 1 || in[i] != nil {
			if err := needType(in, i, floatTypes()...); err != nil {
				return nil, err
			}
		}
	}
	side := Info{Type: o.stash}
	if in[0].Ranked {
		at, err := o.normalised(in)
		if err != nil {
			return nil, err
		}
		side.Ranked, side.Shape = true, slices.Clone(in[0].Shape)
		for i := at; i < len(side.Shape); i++ {
			side.Shape[i] = 1
		}
	}
	return []Info{likeFirst(in)[0], side, side}[:max(1, o.results)], nil
}

// normalised returns the first axis that is normalised, and refuses operands that do
// not broadcast to all from there on.
func (o layerNorm) normalised(in []*Info) (int, error) {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return 0, &OperandError{0, err}
	}
	for i, v := range in[1:] {
		if v != nil && v.Ranked && !fitsInto(v.Shape, in[0].Shape[at:]) {
			return 0, BadInput(i+1, "has shape %v, which does not broadcast to %v", v.Shape, in[0].Shape[at:])
		}
	}
	return at, nil
}

func (layerNorm) InPlace() []int { return []int{0} }

func (o layerNorm) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	inner := in[0].Shape[at:]
	if o.dense(in, out, inner) {
		return o.vectors(env, in, out)
	}
	scale, err := spread(env, in, 1, inner, 1)
	if err != nil {
		return err
	}
	bias, err := spread(env, in, 2, inner, 0)
	if err != nil {
		return err
	}
	l := kernel.Lanes{Outer: in[0].Len() / max(1, len(scale)), N: len(scale), Inner: 1}
	at = 0
	return lanes(env, l, out[0], in[0], func(lane []float64) {
		mean, inverse := o.moments(lane)
		o.keep(out, at, mean, inverse)
		at++
		for i, x := range lane {
			lane[i] = (x-mean)*inverse*scale[i] + bias[i]
		}
	})
}

// moments are the mean and the inverse standard deviation of a lane.
func (o layerNorm) moments(lane []float64) (mean, inverse float64) {
	n := float64(len(lane))
	if !o.rms {
		for _, x := range lane {
			mean += x
		}
		mean /= n
	}
	variance := 0.0
	for _, x := range lane {
		variance += (x - mean) * (x - mean)
	}
	return mean, 1 / math.Sqrt(variance/n+float64(o.epsilon))
}

// keep writes results 1 and 2 of a lane.
func (o layerNorm) keep(out []*tensor.Tensor, at int, values ...float64) {
	for i, t := range out[1:] {
		if t != nil {
			writer[float64](t)(values[i:i+1], at, 1)
		}
	}
}

// spread is an operand repeated to fill a shape, or a constant if it is left out.
func spread(env *Env, in []*tensor.Tensor, index int, shape []int64, otherwise float64) ([]float64, error) {
	n, err := tensor.Count(shape)
	if err != nil {
		return nil, err
	}
	values, err := work[float64](env, int(n))
	if err != nil {
		return nil, err
	}
	if !present(in, index) {
		for i := range values {
			values[i] = otherwise
		}
		return values, nil
	}
	from := reader[float64](in[index])
	operands := []kernel.Operand{kernel.Dense(shape), kernel.Broadcast(in[index].Shape, shape)}
	return values, kernel.Walk(env.On, shape, operands, func(n int, at, step []int) error {
		from(values[at[0]:at[0]+n], at[1], step[1])
		return nil
	})
}

// meanVariance takes the mean over some axes away and divides by the standard
// deviation over them.
type meanVariance struct{ axes }

func makeMeanVariance(a *Attributes, opset int64) (Operator, error) {
	o := meanVariance{axes{attribute: true, keep: true}}
	if opset < 9 { // before, a sum over all channels could be asked for
		if a.flag("across_channels", false) {
			o.list = []int64{0, 1, 2, 3}
		}
		a.flag("normalize_variance", true)
	}
	if list, ok := a.ints("axes"); ok {
		o.list = list
	} else if o.list == nil {
		o.list = []int64{0, 2, 3}
	}
	return o, nil
}

func (o meanVariance) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if in[0].Ranked {
		if _, err := o.reduced(in); err != nil {
			return nil, err
		}
	}
	return likeFirst(in), nil
}

func (o meanVariance) Run(env *Env, in, out []*tensor.Tensor) error {
	operands, err := o.operands(in)
	if err != nil {
		return err
	}
	groups := 1
	for i, stride := range operands[1].Strides {
		if stride != 0 {
			groups *= int(in[0].Shape[i])
		}
	}
	n := float64(in[0].Len()) / float64(groups)
	means, err := work[float64](env, groups)
	if err != nil {
		return err
	}
	deviations, err := work[float64](env, groups)
	if err != nil {
		return err
	}
	err = o.visit(env, in, func(x float64, to int) { means[to] += x / n })
	if err == nil {
		err = o.visit(env, in, func(x float64, to int) { deviations[to] += (x - means[to]) * (x - means[to]) / n })
	}
	if err != nil {
		return err
	}
	put, at := writer[float64](out[0]), 0
	return o.visit(env, in, func(x float64, to int) {
		const epsilon = 1e-9 // of the operator's definition
		put([]float64{(x - means[to]) / (math.Sqrt(deviations[to]) + epsilon)}, at, 1)
		at++
	})
}
