package main

import "math"

// one makes a function of one slice.
func one(name, does string, f func(m *machine, x vector) vector, scalars ...string) *loop {
	return with(name, does, func(m *machine, x vector, _ []vector) vector { return f(m, x) })
}

// normal makes a function of numbers that are normal.
func normal(f func(m *machine, x vector) vector) func(m *machine, x vector) vector {
	return func(m *machine, x vector) vector { return f(m, m.flushed(x)) }
}

// with makes a function of one slice and scalars.
func with(name, does string, f func(m *machine, x vector, s []vector) vector, scalars ...string) *loop {
	return &loop{
		name: name, does: does, out: []string{"dst"}, in: []string{"src"}, scalars: scalars,
		body: func(m *machine, in, s []vector) []vector { return []vector{f(m, in[0], s)} },
	}
}

// two makes a function of two slices.
func two(name, does string, f func(m *machine, a, b vector) vector) *loop {
	return &loop{
		name: name, does: does, out: []string{"dst"}, in: []string{"a", "b"}, unroll: 4,
		body: func(m *machine, in, _ []vector) []vector { return []vector{f(m, in[0], in[1])} },
	}
}

// folded makes a function that combines f of all elements of the slices.
func folded(name, does string, how *fold, f func(m *machine, x, s []vector) vector, in ...string) *loop {
	return &loop{
		name: name, does: does, in: in, fold: how, unroll: 4,
		body: func(m *machine, in, s []vector) []vector { return []vector{f(m, in, s)} },
	}
}

func unary() []*loop {
	return []*loop{
		one("exp", "computes e^src", normal((*machine).exp)),
		one("log", "computes ln src", (*machine).log),
		one("tanh", "computes tanh src", normal((*machine).tanh)),
		one("erf", "computes erf src", normal((*machine).erf)),
		one("sigmoid", "computes 1/(1+e^-src)", normal(func(m *machine, x vector) vector {
			return m.logistic(nil, x)
		})),
		one("gelu", "computes src/2 * (1+erf(src/sqrt 2))", normal((*machine).gelu)),
		one("geluTanh", "computes gelu with a hyperbolic tangent", normal((*machine).geluTanh)),
		one("silu", "computes src/(1+e^-src)", normal(func(m *machine, x vector) vector {
			return m.logistic(m.finite(x), x)
		})),
		one("softplus", "computes ln(1+e^src)", normal((*machine).softplus)),
		one("relu", "computes max(src, 0)", func(m *machine, x vector) vector {
			return m.max(m.load(m.bits(0)), x)
		}),
		one("hardSwish", "computes src * clip(src/6 + 1/2, 0, 1)", normal(func(m *machine, x vector) vector {
			h := m.clamped(m.add(m.mul(x, m.number(1.0/6)), m.number(0.5)), 0, 1)
			return m.mul(m.max(m.load(m.number(-3)), x), h)
		})),
		one("root", "computes square roots", func(m *machine, x vector) vector { return m.sqrt(x) }),
		one("reciprocal", "computes 1/src", func(m *machine, x vector) vector { return m.div(m.number(1), x) }),
		one("negate", "computes -src", func(m *machine, x vector) vector { return m.xor(x, m.bits(signBit)) }),
		one("absolute", "computes |src|", func(m *machine, x vector) vector { return m.and(x, m.bits(allButTop)) }),
		one("floor", "rounds down", func(m *machine, x vector) vector { return m.round(down, x) }),
		one("ceil", "rounds up", func(m *machine, x vector) vector { return m.round(up, x) }),
		one("round", "rounds half to even", func(m *machine, x vector) vector { return m.round(nearest, x) }),
		with("clip", "limits src", func(m *machine, x vector, s []vector) vector {
			return m.min(s[1], m.max(s[0], x))
		}, "low", "high"),
		with("leakyRelu", "multiplies what is below 0", func(m *machine, x vector, s []vector) vector {
			return m.choose(m.compare(less, x, m.bits(0)), m.mul(x, s[0]), x)
		}, "alpha"),
		with("hardSigmoid", "computes clip(alpha*src+beta, 0, 1)", func(m *machine, x vector, s []vector) vector {
			return m.clamped(m.add(m.mul(x, s[0]), s[1]), 0, 1)
		}, "alpha", "beta"),
		with("elu", "computes src, or alpha*(e^src-1) below 0", func(m *machine, x vector, s []vector) vector {
			return m.elu(m.flushed(x), s[0])
		}, "alpha"),
	}
}

func binary() []*loop {
	scalar := func(name, does string, f func(m *machine, a, s vector) vector) *loop {
		l := with(name, does, func(m *machine, a vector, s []vector) vector { return f(m, a, s[0]) }, "s")
		l.unroll = 4
		return l
	}
	return []*loop{
		two("add", "computes a+b", func(m *machine, a, b vector) vector { return m.add(a, b) }),
		two("subtract", "computes a-b", func(m *machine, a, b vector) vector { return m.sub(a, b) }),
		two("multiply", "computes a*b", func(m *machine, a, b vector) vector { return m.mul(a, b) }),
		two("divide", "computes a/b", func(m *machine, a, b vector) vector { return m.div(a, b) }),
		two("larger", "computes the larger of a and b", (*machine).larger),
		two("smaller", "computes the smaller of a and b", (*machine).smaller),
		two("addRelu", "computes max(a+b, 0)", func(m *machine, a, b vector) vector {
			return m.max(m.load(m.bits(0)), m.add(a, b))
		}),
		scalar("addScalar", "computes src+s", func(m *machine, a, s vector) vector { return m.add(a, s) }),
		scalar("subtractScalar", "computes src-s", func(m *machine, a, s vector) vector { return m.sub(a, s) }),
		scalar("scalarSubtract", "computes s-src", func(m *machine, a, s vector) vector { return m.sub(s, a) }),
		scalar("multiplyScalar", "computes src*s", func(m *machine, a, s vector) vector { return m.mul(a, s) }),
		scalar("divideScalar", "computes src/s", func(m *machine, a, s vector) vector { return m.div(a, s) }),
		scalar("scalarDivide", "computes s/src", func(m *machine, a, s vector) vector { return m.div(s, a) }),
		scalar("largerScalar", "computes the larger of src and s", (*machine).larger),
		scalar("smallerScalar", "computes the smaller of src and s", (*machine).smaller),
		{
			name: "multiplyAdd", does: "computes a*b+c, rounded once",
			out: []string{"dst"}, in: []string{"a", "b", "c"}, unroll: 2,
			body: func(m *machine, in, _ []vector) []vector { return []vector{m.fma(in[0], in[1], in[2])} },
		},
	}
}

func rows() []*loop {
	sum := &fold{0, func(m *machine, all, x vector) vector { return m.add(all, x) }}
	largest := &fold{math.Inf(-1), func(m *machine, all, x vector) vector { return m.larger(x, all) }}
	smallest := &fold{math.Inf(1), func(m *machine, all, x vector) vector { return m.smaller(x, all) }}
	first := func(_ *machine, x, _ []vector) vector { return x[0] }
	about := folded("sumSquaresAbout", "adds up (src-center)^2", sum, func(m *machine, x, s []vector) vector {
		d := m.sub(x[0], s[0])
		return m.mul(d, d)
	}, "src")
	about.scalars = []string{"center"}
	sumExp := folded("sumExp", "adds up e^(src-largest)", sum, func(m *machine, x, s []vector) vector {
		return m.expNegative(m.sub(x[0], s[0]))
	}, "src")
	sumExp.scalars, sumExp.unroll = []string{"largest"}, 2
	return []*loop{
		folded("sum", "adds up src", sum, first, "src"),
		folded("dot", "adds up a*b", sum, func(m *machine, x, _ []vector) vector { return m.mul(x[0], x[1]) }, "a", "b"),
		folded("largest", "finds the largest element", largest, first, "src"),
		folded("smallest", "finds the smallest element", smallest, first, "src"),
		about,
		sumExp,
		{
			name: "expSum", does: "computes e^(src-largest) and adds it up",
			out: []string{"dst"}, in: []string{"src"}, scalars: []string{"largest"}, fold: sum, unroll: 2,
			body: func(m *machine, in, s []vector) []vector {
				e := m.expNegative(m.sub(in[0], s[0]))
				return []vector{e, e}
			},
		},
		{
			name: "scaleAddLargest", does: "computes src*scale+mask and finds the largest",
			out: []string{"dst"}, in: []string{"src", "mask"}, scalars: []string{"scale"}, fold: largest, unroll: 2,
			body: func(m *machine, in, s []vector) []vector {
				x := m.fma(in[0], s[0], in[1])
				return []vector{x, x}
			},
		},
		{
			name: "scaleLargest", does: "computes src*scale and finds the largest",
			out: []string{"dst"}, in: []string{"src"}, scalars: []string{"scale"}, fold: largest, unroll: 2,
			body: func(m *machine, in, s []vector) []vector {
				x := m.mul(in[0], s[0])
				return []vector{x, x}
			},
		},
		{
			name: "subtractTwice", does: "computes src-s-t",
			out: []string{"dst"}, in: []string{"src"}, scalars: []string{"s", "t"}, unroll: 4,
			body: func(m *machine, in, s []vector) []vector {
				return []vector{m.sub(m.sub(in[0], s[0]), s[1])}
			},
		},
		{
			name: "addSum", does: "computes a+b and adds it up",
			out: []string{"dst"}, in: []string{"a", "b"}, fold: sum, unroll: 4,
			body: func(m *machine, in, _ []vector) []vector {
				x := m.add(in[0], in[1])
				return []vector{x, x}
			},
		},
		{
			name: "normal", does: "computes (src-center)*factor*gamma + beta",
			out: []string{"dst"}, in: []string{"src", "gamma", "beta"}, scalars: []string{"center", "factor"}, unroll: 2,
			body: func(m *machine, in, s []vector) []vector {
				x := m.mul(m.sub(in[0], s[0]), s[1])
				return []vector{m.fma(x, in[1], in[2])}
			},
		},
		{
			name: "normalScale", does: "computes (src-center)*factor*gamma",
			out: []string{"dst"}, in: []string{"src", "gamma"}, scalars: []string{"center", "factor"}, unroll: 2,
			body: func(m *machine, in, s []vector) []vector {
				return []vector{m.mul(m.mul(m.sub(in[0], s[0]), s[1]), in[1])}
			},
		},
	}
}
