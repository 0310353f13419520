package rnn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

// oracle is the equations of ONNX in float64, one sequence at a time.
type oracle struct {
	Config
	Weights
	f, g, h func(float64) float64
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// gate is gate g of x W + h R, with the biases asked for.
func (o *oracle) gate(g int, x, h []float64, wb, rb bool) []float64 {
	n := o.Hidden
	out := make([]float64, n)
	for j := range n {
		r := g*n + j
		for i, v := range x {
			out[j] += v * float64(o.W[r*o.Input+i])
		}
		for i, v := range h {
			out[j] += v * float64(o.R[r*n+i])
		}
		if o.B != nil && wb {
			out[j] += float64(o.B[r])
		}
		if o.B != nil && rb {
			out[j] += float64(o.B[o.width()+r])
		}
	}
	return out
}

func (o *oracle) act(f func(float64) float64, v []float64) []float64 {
	for i, x := range v {
		if o.Clip > 0 {
			x = math.Max(-float64(o.Clip), math.Min(float64(o.Clip), x))
		}
		v[i] = f(x)
	}
	return v
}

func (o *oracle) peep(v []float64, p int, c []float64) []float64 {
	for i := range v {
		if o.P != nil {
			v[i] += float64(o.P[p*o.Hidden+i]) * c[i]
		}
	}
	return v
}

// next is the state after a step.
func (o *oracle) next(x, h, c []float64) (newH, newC []float64) {
	out := make([]float64, o.Hidden)
	switch o.Kind {
	case Simple:
		return o.act(o.f, o.gate(0, x, h, true, true)), c
	case GRU:
		z, r := o.act(o.f, o.gate(0, x, h, true, true)), o.act(o.f, o.gate(1, x, h, true, true))
		n := o.gate(2, x, nil, true, false)
		if o.LinearBeforeReset {
			for i, v := range o.gate(2, nil, h, false, true) {
				n[i] += r[i] * v
			}
		} else {
			for i := range r {
				r[i] *= h[i]
			}
			for i, v := range o.gate(2, nil, r, false, true) {
				n[i] += v
			}
		}
		n = o.act(o.g, n)
		for i := range out {
			out[i] = (1-z[i])*n[i] + z[i]*h[i]
		}
		return out, c
	}
	in := o.act(o.f, o.peep(o.gate(0, x, h, true, true), 0, c))
	forget := o.act(o.f, o.peep(o.gate(2, x, h, true, true), 2, c))
	n := o.act(o.g, o.gate(3, x, h, true, true))
	newC = make([]float64, o.Hidden)
	for i := range newC {
		if o.InputForget {
			forget[i] = 1 - in[i]
		}
		newC[i] = forget[i]*c[i] + in[i]*n[i]
	}
	for i, v := range o.act(o.f, o.peep(o.gate(1, x, h, true, true), 1, newC)) {
		out[i] = v * o.h(newC[i])
	}
	return out, newC
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64()) / 2
	}
	return v
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// layer is a cell, its oracle and sequences, chosen at random.
func layer(rng *rand.Rand) (*oracle, *Sequences) {
	o := &oracle{f: sigmoid, g: math.Tanh, h: math.Tanh}
	o.Config = Config{
		Kind: Kind(rng.IntN(3)), Input: 1 + rng.IntN(20), Hidden: 1 + rng.IntN(40),
		F: vec.Sigmoid, G: vec.Tanh, H: vec.Tanh,
		InputForget: rng.IntN(3) == 0, LinearBeforeReset: rng.IntN(2) == 0, Clip: float32(rng.IntN(2)) * 0.75,
	}
	n := o.width()
	o.Weights = Weights{W: random(rng, n*o.Input), R: random(rng, n*o.Hidden)}
	if rng.IntN(2) == 0 {
		o.B = random(rng, 2*n)
	}
	if o.Kind == LSTM && rng.IntN(2) == 0 {
		o.P = random(rng, 3*o.Hidden)
	}
	s := &Sequences{Steps: 1 + rng.IntN(6), Batch: 1 + rng.IntN(5), Reverse: rng.IntN(2) == 0}
	if s.XStep, s.XBatch = s.Batch, 1; rng.IntN(2) == 0 {
		s.XStep, s.XBatch = 1, s.Steps
	}
	s.YStep, s.YBatch = s.XStep*o.Hidden, s.XBatch*o.Hidden
	if rng.IntN(2) == 0 {
		for range s.Batch {
			s.Lengths = append(s.Lengths, rng.IntN(s.Steps+1))
		}
	}
	s.X = random(rng, s.Steps*s.Batch*o.Input)
	return o, s
}

func TestAgainstTheEquations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		o, s := layer(rng)
		h, c := random(rng, s.Batch*o.Hidden), random(rng, s.Batch*o.Hidden)
		for _, level := range kernel.Levels() {
			if err := compare(level, o, s, h, c); err != nil {
				t.Fatalf("%v: %v", level, err)
			}
		}
	}
}

func compare(level kernel.Level, o *oracle, s *Sequences, h0, c0 []float32) error {
	n := o.Hidden
	h, c := append([]float32{}, h0...), append([]float32{}, c0...)
	s.Y = random(rand.New(rand.NewPCG(3, 4)), s.Steps*s.Batch*n)
	cell := New(level, o.Config, o.Weights, nil)
	if err := cell.Run(&kernel.On{Level: level}, s, h, c, make([]float32, o.ScratchLen(s.Steps, s.Batch))); err != nil {
		return err
	}
	for b := range s.Batch {
		wantH, wantC := wide(row(h0, b, n)), wide(row(c0, b, n))
		for k := range s.Steps {
			if k >= s.length(b) {
				if err := same("Y after the end", s.Y[k*s.YStep+b*s.YBatch:][:n], make([]float64, n)); err != nil {
					return err
				}
				continue
			}
			at := s.at(b, k)
			x := wide(s.X[(at*s.XStep+b*s.XBatch)*o.Input:][:o.Input])
			wantH, wantC = o.next(x, wantH, wantC)
			if err := same("Y", s.Y[at*s.YStep+b*s.YBatch:][:n], wantH); err != nil {
				return fmt.Errorf("kind %d, step %d: %w", o.Kind, at, err)
			}
		}
		if err := same("h", row(h, b, n), wantH); err != nil {
			return err
		}
		if o.Kind == LSTM {
			if err := same("c", row(c, b, n), wantC); err != nil {
				return err
			}
		}
	}
	return nil
}

func same(what string, got []float32, want []float64) error {
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) < 2e-5) {
			return fmt.Errorf("%s: element %d is %g, want %g", what, i, got[i], w)
		}
	}
	return nil
}

// TestThreadsAndBatchDoNotMatter: a sequence gives the same bits alone and beside
// others, on any number of threads.
func TestThreadsAndBatchDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		o, s := layer(rng)
		s.XStep, s.XBatch = 1, s.Steps
		h0, c0 := random(rng, s.Batch*o.Hidden), random(rng, s.Batch*o.Hidden)
		run := func(threads int, s Sequences, from int) []float32 {
			end := from + s.Batch
			h, c := append([]float32{}, h0[from*o.Hidden:end*o.Hidden]...), append([]float32{}, c0[from*o.Hidden:end*o.Hidden]...)
			on := &kernel.On{Level: kernel.Best(), Threads: threads}
			if err := New(on.Level, o.Config, o.Weights, nil).Run(on, &s, h, c, make([]float32, o.ScratchLen(s.Steps, s.Batch))); err != nil {
				t.Fatal(err)
			}
			return h
		}
		whole, threaded := run(1, *s, 0), run(3, *s, 0)
		for b := range s.Batch {
			one := *s
			one.Batch, one.X = 1, s.X[b*s.Steps*o.Input:]
			if s.Lengths != nil {
				one.Lengths = s.Lengths[b:]
			}
			for i, x := range run(1, one, b) {
				if y := whole[b*o.Hidden+i]; x != y || y != threaded[b*o.Hidden+i] {
					t.Fatalf("kind %d, sequence %d: %g alone, %g in a batch, %g on threads", o.Kind, b, x, y, threaded[b*o.Hidden+i])
				}
			}
		}
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, s := layer(rand.New(rand.NewPCG(7, 8)))
	on := &kernel.On{Context: ctx}
	n := s.Batch * o.Hidden
	err := New(on.Level, o.Config, o.Weights, nil).Run(on, s, make([]float32, n), make([]float32, n), make([]float32, o.ScratchLen(s.Steps, s.Batch)))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func BenchmarkCell(b *testing.B) {
	for _, kind := range []Kind{GRU, LSTM} {
		for _, level := range kernel.Levels() {
			b.Run(fmt.Sprintf("%d/%v", kind, level), func(b *testing.B) {
				c := Config{Kind: kind, Input: 128, Hidden: 128, F: vec.Sigmoid, G: vec.Tanh, H: vec.Tanh}
				rng := rand.New(rand.NewPCG(9, 10))
				w := Weights{W: random(rng, c.width()*128), R: random(rng, c.width()*128), B: random(rng, 2*c.width())}
				cell, on := New(level, c, w, nil), &kernel.On{Level: level}
				s := &Sequences{Steps: 32, Batch: 1, XStep: 1, XBatch: 32, X: random(rng, 32*128)}
				h, cs, scratch := make([]float32, 128), make([]float32, 128), make([]float32, c.ScratchLen(32, 1))
				for b.Loop() {
					if err := cell.Run(on, s, h, cs, scratch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/step")
			})
		}
	}
}
