package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// The operators that draw numbers. With a seed each run draws the same; without one
// every run draws others, which nobody can foresee. They are Makers so that no run's
// numbers are kept when a session is made.
func randomOperators() map[string]Spec {
	normal := func(a *Attributes) distribution {
		return normally{float64(a.float("mean", 0)), float64(a.float("scale", 1))}
	}
	evenly := func(a *Attributes) distribution {
		return evenly{float64(a.float("low", 0)), float64(a.float("high", 1))}
	}
	return map[string]Spec{
		"RandomNormal":      {MaxOut: 1, Make: drawn(normal, false)},
		"RandomUniform":     {MaxOut: 1, Make: drawn(evenly, false)},
		"RandomNormalLike":  {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: drawn(normal, true)},
		"RandomUniformLike": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: drawn(evenly, true)},
		"Bernoulli":         {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeBernoulli, Since: 15},
		"Multinomial":       {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeMultinomial},
		"Dropout":           {MinIn: 1, MaxIn: 3, MaxOut: 2, Make: makeDropout},
	}
}

// seeding is the part that operators share which draw numbers: the attribute seed, a
// float.
type seeding struct {
	maker
	seed   uint32
	seeded bool
}

func seedOf(a *Attributes) seeding {
	s := seeding{seeded: a.has("seed")}
	s.seed = uint32(int64Of(float64(a.float("seed", 0))))
	return s
}

func (s seeding) source() source { return sourceOf(s.seed, s.seeded) }

// distribution says how numbers are drawn.
type distribution interface {
	draw(s source) func() float64
}

type evenly struct{ low, high float64 }

func (d evenly) draw(s source) func() float64 {
	return func() float64 { return d.low + (d.high-d.low)*s.Float64() }
}

type normally struct{ mean, scale float64 }

// draw gives out the two numbers that are drawn together one after the other.
func (d normally) draw(s source) func() float64 {
	var next float64
	have := false
	return func() float64 {
		if have = !have; !have {
			return d.mean + d.scale*next
		}
		var x float64
		x, next = gauss(s)
		return d.mean + d.scale*x
	}
}

// draw makes a tensor of random numbers, of the shape in an attribute or of operand 0.
type draw struct {
	seeding
	from  distribution
	to    tensor.DataType // 0: that of operand 0
	like  bool
	shape []int64
}

func drawn(of func(*Attributes) distribution, like bool) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, _ int64) (Operator, error) {
		o := draw{seeding: seedOf(a), from: of(a), like: like}
		if like {
			o.to = resultType(a, "dtype", 0)
			return o, nil
		}
		o.to = resultType(a, "dtype", tensor.Float32)
		o.shape, _ = a.ints("shape")
		_, err := tensor.Count(o.shape)
		return o, err
	}
}

func (o draw) Infer(in []*Info) ([]Info, error) {
	result := Info{Type: o.to, Ranked: true, Shape: slices.Clone(o.shape)}
	if o.like {
		if in[0] == nil {
			return nil, BadInput(0, "is required")
		}
		result = likeFirst(in)[0]
		if o.to != 0 {
			result.Type = o.to
		}
	}
	if !slices.Contains(floatTypes(), result.Type) {
		return nil, fmt.Errorf("results of type %s cannot be drawn", result.Type)
	}
	return []Info{result}, nil
}

// Make draws.
func (o draw) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, to := o.shape, o.to
	if o.like {
		shape = in[0].Shape
	}
	if to == 0 {
		to = in[0].Type
	}
	out, err := env.New(to, shape)
	if err != nil {
		return nil, err
	}
	next := o.from.draw(o.source())
	return []*tensor.Tensor{out}, fillBy(env, out, func(int) float64 { return next() })
}

// bernoulli draws 1 with the probability that operand 0 says, else 0.
type bernoulli struct {
	seeding
	to tensor.DataType // 0: that of operand 0
}

func makeBernoulli(a *Attributes, _ int64) (Operator, error) {
	return bernoulli{seedOf(a), resultType(a, "dtype", 0)}, nil
}

func (o bernoulli) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	result := likeFirst(in)
	if o.to != 0 {
		result[0].Type = o.to
	}
	if classOf(result[0].Type) == none && result[0].Type != tensor.Bool {
		return nil, fmt.Errorf("results of type %s cannot be drawn", result[0].Type)
	}
	return result, nil
}

// Make draws.
func (o bernoulli) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	to := o.to
	if to == 0 {
		to = in[0].Type
	}
	out, err := env.New(to, in[0].Shape)
	if err != nil {
		return nil, err
	}
	s := o.source()
	return []*tensor.Tensor{out}, one(env, out, in[0], func(p float64) uint64 { return truth(s.Float64() < p) })
}

// multinomial draws classes by the logarithms of their probabilities, which need not
// sum to one: operand 0 has a row of them for each row of the result.
type multinomial struct {
	seeding
	to      tensor.DataType
	samples int64
}

func makeMultinomial(a *Attributes, _ int64) (Operator, error) {
	o := multinomial{seedOf(a), resultType(a, "dtype", tensor.Int32), a.int("sample_size", 1)}
	if o.samples < 0 || o.to != tensor.Int32 && o.to != tensor.Int64 {
		return nil, fmt.Errorf("%d samples of type %s", o.samples, o.to)
	}
	return o, nil
}

func (o multinomial) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{ranked(o.to, -1, o.samples)}, nil
	}
	if len(in[0].Shape) != 2 || in[0].Shape[1] == 0 {
		return nil, BadInput(0, "has shape %v, expected rows of at least one class", in[0].Shape)
	}
	return []Info{ranked(o.to, in[0].Shape[0], o.samples)}, nil
}

// Make draws.
func (o multinomial) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	count, classes := in[0].Shape[0], int(in[0].Shape[1])
	out, err := env.New(o.to, []int64{count, o.samples})
	if err != nil {
		return nil, err
	}
	row, err := work[float64](env, classes)
	if err != nil {
		return nil, err
	}
	s, from := o.source(), reader[float64](in[0])
	return []*tensor.Tensor{out}, fillBy(env, out, func(i int) int64 {
		if i%int(o.samples) == 0 {
			from(row, i/int(o.samples)*classes, 1)
			softmaxOf(row, false)
		}
		left := s.Float64()
		for class, p := range row {
			if left -= p; left < 0 {
				return int64(class)
			}
		}
		return int64(classes - 1)
	})
}
