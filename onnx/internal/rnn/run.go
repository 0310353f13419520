package rnn

import (
	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

// Sequences are what a cell runs over: Batch sequences of up to Steps steps.
type Sequences struct {
	Steps, Batch int
	Reverse      bool  // from the last step to the first
	Lengths      []int // how many steps each sequence has, up to Steps; nil: all

	X             []float32 // Steps*Batch rows of Input elements
	XStep, XBatch int       // from row to row, in rows: the next step, the next sequence

	// Y takes the state after each step, zeros where a sequence has ended; nil: nothing
	// does.
	Y             []float32
	YStep, YBatch int // in elements
}

func (s *Sequences) length(b int) int {
	if s.Lengths == nil {
		return s.Steps
	}
	return s.Lengths[b]
}

// at is the step that comes k-th in sequence b.
func (s *Sequences) at(b, k int) int {
	if s.Reverse {
		return s.length(b) - 1 - k
	}
	return k
}

// ScratchLen is the number of elements of scratch that Run needs.
func (c *Config) ScratchLen(steps, batch int) int {
	return (steps+1)*batch*c.width() + batch*c.Hidden
}

// Run goes over all steps. h is the state, Batch rows of Hidden elements, and cell that
// of an LSTM's cells: the initial ones, then the last ones of each sequence. The error
// is the context's.
func (c *Cell) Run(on *kernel.On, s *Sequences, h, cell, scratch []float32) error {
	n := c.width()
	rows := s.Steps * s.Batch
	fromInput, scratch := scratch[:rows*n], scratch[rows*n:]
	gates, reset := scratch[:s.Batch*n], scratch[s.Batch*n:]
	err := gemm.Mul(on, fromInput, n, rows, gemm.Dense(s.X, c.Input), c.input, &gemm.Epilogue{Bias: c.bias})
	if err != nil {
		return err
	}
	s.clearEnds(c.Hidden)
	for k := range s.Steps {
		run := step{c, on, s, k, fromInput, gates, reset, h, cell}
		if err := run.do(); err != nil {
			return err
		}
	}
	return nil
}

// clearEnds writes zeros where sequences have ended.
func (s *Sequences) clearEnds(hidden int) {
	if s.Y == nil || s.Lengths == nil {
		return
	}
	for b := range s.Batch {
		for t := s.length(b); t < s.Steps; t++ {
			clear(s.Y[t*s.YStep+b*s.YBatch:][:hidden])
		}
	}
}

// step is one step of all sequences.
type step struct {
	*Cell
	on        *kernel.On
	s         *Sequences
	k         int
	fromInput []float32 // what the input adds to the gates, of all steps
	gates     []float32 // of this step
	reset     []float32 // GRU: the state after the reset gate
	h, cell   []float32
}

func (r *step) do() error {
	n := r.width()
	if err := gemm.Mul(r.on, r.gates, n, r.s.Batch, gemm.Dense(r.h, r.Hidden), r.state, &gemm.Epilogue{}); err != nil {
		return err
	}
	switch r.Kind {
	case GRU:
		if err := r.gru(); err != nil {
			return err
		}
	case LSTM:
		r.each(r.lstm)
	default:
		r.each(r.simple)
	}
	r.each(r.write)
	return nil
}

// each calls f for every sequence that has not ended.
func (r *step) each(f func(b int)) {
	for b := range r.s.Batch {
		if r.k < r.s.length(b) {
			f(b)
		}
	}
}

// row is row b of a matrix with n columns.
func row(m []float32, b, n int) []float32 { return m[b*n : (b+1)*n] }

// inputs is what the input adds to the gates of sequence b.
func (r *step) inputs(b int) []float32 {
	return row(r.fromInput, r.s.at(b, r.k)*r.s.XStep+b*r.s.XBatch, r.width())
}

// write puts the state into Y.
func (r *step) write(b int) {
	if r.s.Y != nil {
		copy(r.s.Y[r.s.at(b, r.k)*r.s.YStep+b*r.s.YBatch:][:r.Hidden], row(r.h, b, r.Hidden))
	}
}

// activate limits gates and applies f.
func (r *step) activate(f Activation, gates []float32) {
	if r.Clip > 0 {
		vec.Clip(r.level, gates, gates, -r.Clip, r.Clip)
	}
	f(r.level, gates, gates)
}

// simple: h = F(x W + h R + b).
func (r *step) simple(b int) {
	h := row(r.h, b, r.Hidden)
	vec.Add(r.level, h, row(r.gates, b, r.Hidden), r.inputs(b))
	r.activate(r.F, h)
}

// lstm: with i, o, f, n the gates and P the peepholes,
//
//	i = F(i + Pi c); f = F(f + Pf c); c = f c + i G(n); o = F(o + Po c); h = o H(c)
func (r *step) lstm(b int) {
	n := r.Hidden
	gates, h, cell := row(r.gates, b, 4*n), row(r.h, b, n), row(r.cell, b, n)
	vec.Add(r.level, gates, gates, r.inputs(b))
	in, out, forget, new := row(gates, 0, n), row(gates, 1, n), row(gates, 2, n), row(gates, 3, n)
	r.peep(in, 0, cell)
	r.activate(r.F, in)
	if r.InputForget {
		vec.ScalarSub(r.level, forget, 1, in)
	} else {
		r.peep(forget, 2, cell)
		r.activate(r.F, forget)
	}
	r.activate(r.G, new)
	vec.Mul(r.level, cell, cell, forget)
	vec.MulAdd(r.level, cell, in, new, cell)
	r.peep(out, 1, cell)
	r.activate(r.F, out)
	r.H(r.level, h, cell)
	vec.Mul(r.level, h, h, out)
}

// peep adds what peephole p shows of the cell to a gate.
func (r *step) peep(gate []float32, p int, cell []float32) {
	if r.peepholes != nil {
		vec.MulAdd(r.level, gate, row(r.peepholes, p, r.Hidden), cell, gate)
	}
}

// gru: z and r are gates of F; then h = (1-z) n + z h, where
//
//	n = G(x W + (r h) R + b), or G(x W + r (h R + bR) + bW) with LinearBeforeReset
func (r *step) gru() error {
	n := r.Hidden
	r.each(func(b int) {
		gates := row(r.gates, b, 3*n)[:2*n]
		vec.Add(r.level, gates, gates, r.inputs(b))
		r.activate(r.F, gates)
		vec.Mul(r.level, row(r.reset, b, n), gates[n:], row(r.h, b, n))
	})
	state, e := r.reset, gemm.Epilogue{}
	if r.LinearBeforeReset {
		state, e.Bias = r.h, r.later
	}
	if err := gemm.Mul(r.on, r.gates[2*n:], 3*n, r.s.Batch, gemm.Dense(state, n), r.hidden, &e); err != nil {
		return err
	}
	r.each(r.update)
	return nil
}

// update ends a GRU's step: h = n + z (h-n).
func (r *step) update(b int) {
	n := r.Hidden
	gates, h, in := row(r.gates, b, 3*n), row(r.h, b, n), r.inputs(b)[2*n:]
	z, reset, new := row(gates, 0, n), row(gates, 1, n), row(gates, 2, n)
	if r.LinearBeforeReset {
		vec.MulAdd(r.level, new, reset, new, in)
	} else {
		vec.Add(r.level, new, new, in)
	}
	r.activate(r.G, new)
	vec.Sub(r.level, h, h, new)
	vec.MulAdd(r.level, h, z, h, new)
}
