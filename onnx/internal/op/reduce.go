package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// reduction says how numbers along the reduced axes become one.
type reduction struct {
	axesSince int64 // operator set from which the axes are an operand, not an attribute
	start     start
	f         func(sum, x float64) float64
	i         func(sum, x int64) int64 // without i and u, integers compute as floats
	u         func(sum, x uint64) uint64
	finish    func(sum, n float64) float64 // nil: the sum is the result
	v         vectorReduction              // for float32 and axes beside each other
}

func reduceOperators() map[string]Spec {
	sum := reduction{axesSince: 18, f: add[float64], i: add[int64], u: add[uint64]}
	squares := reduction{axesSince: 18, f: addSquare[float64], i: addSquare[int64], u: addSquare[uint64]}
	table := map[string]reduction{
		"ReduceL1": {axesSince: 18, f: func(s, x float64) float64 { return s + math.Abs(x) },
			i: func(s, x int64) int64 { return s + absInt(x) }, u: add[uint64]},
		"ReduceMax":       {axesSince: 18, start: startLowest, f: larger[float64], i: larger[int64], u: larger[uint64]},
		"ReduceMin":       {axesSince: 18, start: startHighest, f: smaller[float64], i: smaller[int64], u: smaller[uint64]},
		"ReduceProd":      {axesSince: 18, start: startOne, f: mul[float64], i: mul[int64], u: mul[uint64]},
		"ReduceSumSquare": squares,
		"ReduceMean":      sum.then(func(sum, n float64) float64 { return sum / n }),
		"ReduceL2":        squares.then(func(sum, _ float64) float64 { return math.Sqrt(sum) }),
		"ReduceLogSum":    sum.then(func(sum, _ float64) float64 { return math.Log(sum) }),
	}
	sum.axesSince = 13
	table["ReduceSum"] = sum
	specs := map[string]Spec{"ReduceLogSumExp": reducer(18, func(over axes) Operator { return logSumExp{over} })}
	v := vectorReductions()
	for name, r := range table {
		r.v = v[name]
		specs[name] = reducer(r.axesSince, func(over axes) Operator { return reduce{over, r} })
	}
	return specs
}

func reducer(axesSince int64, of func(axes) Operator) Spec {
	return Spec{MinIn: 1, MaxIn: 2, MaxOut: 1, Make: func(a *Attributes, opset int64) (Operator, error) {
		return of(axesOf(a, opset, axesSince)), nil
	}}
}

func addSquare[V numeric](s, x V) V { return s + x*x }

// then is the reduction with one more step. It computes integers as floats.
func (r reduction) then(f func(sum, n float64) float64) reduction {
	r.i, r.u, r.finish = nil, nil, f
	return r
}

// start is the sum over no elements.
type start int

const (
	startZero start = iota
	startOne
	startLowest  // number of the type
	startHighest // number of the type
)

func startOf[V numeric](s start, t tensor.DataType) V {
	if s == startZero || s == startOne {
		return V(s)
	}
	var v V
	bits := 8 * t.Size()
	switch p := any(&v).(type) {
	case *float64:
		*p = math.Inf(1)
		if s == startLowest {
			*p = math.Inf(-1)
		}
	case *int64:
		*p = -1 << (bits - 1)
		if s == startHighest {
			*p = -1 - *p
		}
	case *uint64:
		if s == startHighest {
			*p = 1<<bits - 1
		}
		if s == startHighest && t == tensor.Bool {
			*p = 1
		}
	}
	return v
}

// reduce is a reduction over axes.
type reduce struct {
	axes
	reduction
}

func (o reduce) Run(env *Env, in, out []*tensor.Tensor) error {
	if done, err := o.vectors(env, in, out[0]); done {
		return err
	}
	class := classOf(in[0].Type)
	switch {
	case o.i == nil || class == floating:
		return reduceTo(env, o, in, out[0], o.f)
	case class == signed:
		return reduceTo(env, o, in, out[0], o.i)
	}
	return reduceTo(env, o, in, out[0], o.u)
}

func reduceTo[V numeric](env *Env, o reduce, in []*tensor.Tensor, out *tensor.Tensor, f func(sum, x V) V) error {
	sums, err := work[V](env, out.Len())
	if err != nil {
		return err
	}
	from := startOf[V](o.start, in[0].Type)
	for i := range sums {
		sums[i] = from
	}
	if err := accumulate(env, o.axes, in, sums, f); err != nil {
		return err
	}
	if o.finish != nil {
		n := float64(in[0].Len()) / float64(len(sums))
		for i, s := range sums {
			sums[i] = V(o.finish(float64(s), n))
		}
	}
	writer[V](out)(sums, 0, 1)
	return nil
}

// logSumExp is log(sum(exp(x))). The largest x is taken out of the sum first, so that
// no power overflows.
type logSumExp struct{ axes }

func (o logSumExp) Run(env *Env, in, out []*tensor.Tensor) error {
	tops, err := work[float64](env, out[0].Len())
	if err != nil {
		return err
	}
	sums, err := work[float64](env, out[0].Len())
	if err != nil {
		return err
	}
	for i := range tops {
		tops[i] = math.Inf(-1)
	}
	if err := accumulate(env, o.axes, in, tops, larger[float64]); err != nil {
		return err
	}
	for i, top := range tops {
		if math.IsInf(top, 0) {
			tops[i] = 0
		}
	}
	err = o.visit(env, in, func(x float64, to int) { sums[to] += math.Exp(x - tops[to]) })
	for i := range sums {
		sums[i] = tops[i] + math.Log(sums[i])
	}
	writer[float64](out[0])(sums, 0, 1)
	return err
}
