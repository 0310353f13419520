package op

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func softmaxOperators() map[string]Spec {
	return map[string]Spec{
		"Softmax":         {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeSoftmax(false)},
		"LogSoftmax":      {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeSoftmax(true)},
		"Hardmax":         {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeHardmax},
		"LpNormalization": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeLpNormalization},
	}
}

// along is an operator on lanes of floats: the elements that differ in their place
// along one axis alone. Before operator set 13, softmax and hardmax took the axis and
// all behind it for one.
type along struct {
	axis    int64
	flatten bool
}

func alongOf(a *Attributes, opset int64) along {
	if opset < 13 {
		return along{a.int("axis", 1), true}
	}
	return along{axis: a.int("axis", -1)}
}

func (o along) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if in[0].Ranked {
		if _, err := o.lanes(in[0].Shape); err != nil {
			return nil, &OperandError{0, err}
		}
	}
	return likeFirst(in), nil
}

func (along) InPlace() []int { return []int{0} }

// lanes cuts a shape.
func (o along) lanes(shape []int64) (kernel.Lanes, error) {
	at, err := axis(o.axis, len(shape))
	if o.flatten && o.axis == int64(len(shape)) {
		at, err = len(shape), nil
	}
	if err != nil {
		return kernel.Lanes{}, err
	}
	if !o.flatten {
		return kernel.LanesOf(shape, at), nil
	}
	l := kernel.Lanes{Outer: 1, N: 1, Inner: 1}
	for i, d := range shape {
		if i < at {
			l.Outer *= int(d)
		} else {
			l.N *= int(d)
		}
	}
	return l, nil
}

// eachLane reads every lane, lets do change it, and writes it.
func (o along) eachLane(env *Env, out, in *tensor.Tensor, do func(lane []float64)) error {
	l, err := o.lanes(in.Shape)
	if err != nil {
		return err
	}
	return lanes(env, l, out, in, do)
}

// lanes reads every lane, lets do change it, and writes it. Both tensors have the same
// lanes and may be one.
func lanes[V numeric](env *Env, l kernel.Lanes, out, in *tensor.Tensor, do func(lane []V)) error {
	lane, err := work[V](env, l.N)
	if err != nil {
		return err
	}
	from, to := reader[V](in), writer[V](out)
	since := 0
	for outer := range l.Outer {
		for inner := range l.Inner {
			if since += l.N + 1; since > 1<<14 {
				since = 0
				if err := env.On.Err(); err != nil {
					return err
				}
			}
			at := outer*l.N*l.Inner + inner
			from(lane, at, l.Inner)
			do(lane)
			to(lane, at, l.Inner)
		}
	}
	return nil
}

// softmax makes of every lane exp(x) / sum(exp(x)), or its logarithm.
type softmax struct {
	along
	logarithm bool
}

func makeSoftmax(logarithm bool) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, opset int64) (Operator, error) {
		return softmax{alongOf(a, opset), logarithm}, nil
	}
}

func (o softmax) Run(env *Env, in, out []*tensor.Tensor) error {
	l, err := o.lanes(in[0].Shape)
	if err != nil {
		return err
	}
	if in[0].Type == tensor.Float32 {
		return o.vectors(env, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), l)
	}
	return o.eachLane(env, out[0], in[0], func(lane []float64) { softmaxOf(lane, o.logarithm) })
}

// vectors computes rows, or columns of a stack of matrices.
func (o softmax) vectors(env *Env, dst, src []float32, l kernel.Lanes) error {
	level, n := env.On.Level, l.N*l.Inner
	return rows(env.On, l.Outer, n, func(from, to int) {
		switch {
		case l.Inner == 1 && o.logarithm:
			vec.LogSoftmax(level, dst[from*n:to*n], src[from*n:to*n], to-from, n)
		case l.Inner == 1:
			vec.Softmax(level, dst[from*n:to*n], src[from*n:to*n], to-from, n)
		default:
			for i := from; i < to; i++ {
				vec.SoftmaxColumns(level, dst[i*n:(i+1)*n], src[i*n:(i+1)*n], l.N, l.Inner, o.logarithm)
			}
		}
	})
}

func softmaxOf(lane []float64, logarithm bool) {
	top, sum := math.Inf(-1), 0.0
	for _, x := range lane {
		top = max(top, x)
	}
	for _, x := range lane {
		sum += math.Exp(x - top)
	}
	for i, x := range lane {
		if logarithm {
			lane[i] = x - top - math.Log(sum)
		} else {
			lane[i] = math.Exp(x-top) / sum
		}
	}
}

// hardmax makes 1 of the first largest number of every lane, and 0 of all others.
type hardmax struct{ along }

func makeHardmax(a *Attributes, opset int64) (Operator, error) {
	return hardmax{alongOf(a, opset)}, nil
}

func (o hardmax) Run(env *Env, in, out []*tensor.Tensor) error {
	return o.eachLane(env, out[0], in[0], func(lane []float64) {
		best := 0
		for i, x := range lane {
			if x > lane[best] {
				best = i
			}
		}
		clear(lane)
		lane[best] = 1
	})
}

// lpNormalization divides every lane by its norm: the sum of magnitudes (p 1) or the
// root of the sum of squares (p 2). A lane of zeros stays.
type lpNormalization struct {
	along
	p int64
}

func makeLpNormalization(a *Attributes, _ int64) (Operator, error) {
	o := lpNormalization{along{axis: a.int("axis", -1)}, a.int("p", 2)}
	if o.p != 1 && o.p != 2 {
		return nil, fmt.Errorf(`attribute "p" is %d, expected 1 or 2`, o.p)
	}
	return o, nil
}

func (o lpNormalization) Run(env *Env, in, out []*tensor.Tensor) error {
	return o.eachLane(env, out[0], in[0], func(lane []float64) {
		norm := 0.0
		for _, x := range lane {
			if o.p == 1 {
				norm += math.Abs(x)
			} else {
				norm += x * x
			}
		}
		if o.p == 2 {
			norm = math.Sqrt(norm)
		}
		if norm == 0 {
			return
		}
		for i := range lane {
			lane[i] /= norm
		}
	})
}
