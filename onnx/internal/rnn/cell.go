// Package rnn answers how a sequence goes through a recurrent layer: the cells RNN,
// GRU and LSTM of ONNX, on slices of float32. It knows nothing of models: its callers
// have checked every size.
//
// What the input adds to the gates is one product for all steps; each step then
// multiplies the state with packed weights. One direction of a layer is one Cell; a
// layer with two runs two cells over the same input.
package rnn

import (
	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

// Kind is a kind of cell.
type Kind uint8

// The kinds, with the gates in the order of their weights.
const (
	Simple Kind = iota // one gate: the new state
	GRU                // update, reset, hidden: z r h
	LSTM               // input, output, forget, cell: i o f c
)

// Gates is the number of gates.
func (k Kind) Gates() int { return [...]int{Simple: 1, GRU: 3, LSTM: 4}[k] }

// Activation computes a function of each element of src; dst may be src.
type Activation func(level kernel.Level, dst, src []float32)

// Config is what a cell is apart from its weights.
type Config struct {
	Kind          Kind
	Input, Hidden int // elements of a step's input and of the state

	// F, G and H are the functions of ONNX's equations. A simple cell has F, a GRU F and
	// G, an LSTM all.
	F, G, H Activation

	Clip              float32 // gates are limited to -Clip..Clip before F and G; 0: not
	InputForget       bool    // LSTM: the forget gate is 1 less the input gate
	LinearBeforeReset bool    // GRU: the state is multiplied by weights before the reset gate
}

// Weights are those of one direction, as ONNX lays them out.
type Weights struct {
	W []float32 // gates*Hidden rows of Input elements
	R []float32 // gates*Hidden rows of Hidden elements
	B []float32 // gates*Hidden for W, then as many for R; nil: 0
	P []float32 // LSTM's peepholes, Hidden each for i, o and f; nil: 0
}

// Cell is one direction of a layer. It is immutable and safe for concurrent use.
type Cell struct {
	Config
	level     kernel.Level
	input     *gemm.Packed
	state     *gemm.Packed // of a GRU, the part for z and r
	hidden    *gemm.Packed // of a GRU, the part for h
	bias      []float32    // what no state is multiplied with
	later     []float32    // the bias of hidden, where that comes before the reset gate
	peepholes []float32
}

// width is the number of elements that all gates have.
func (c *Config) width() int { return c.Kind.Gates() * c.Hidden }

// Len is the number of elements that a cell takes.
func (c *Config) Len() int {
	n := c.width()
	return gemm.PackedLen(c.Input, n) + gemm.PackedLen(c.Hidden, n) + n + c.Hidden
}

// New lays out weights for a level, in memory of Len elements that belong to the cell
// from then on; nil takes new memory. Peepholes are not copied.
func New(level kernel.Level, c Config, w Weights, memory []float32) *Cell {
	if memory == nil {
		memory = make([]float32, c.Len())
	}
	take := func(n int) []float32 {
		part := memory[:n:n]
		memory = memory[n:]
		return part
	}
	pack := func(rows []float32, k, n int) *gemm.Packed {
		return gemm.PackInto(take(gemm.PackedLen(k, n)), level, gemm.Dense(rows, k).Turned(), k, n)
	}
	n, h := c.width(), c.Hidden
	cell := &Cell{Config: c, level: level, peepholes: w.P, input: pack(w.W, c.Input, n)}
	if c.Kind == GRU {
		cell.state, cell.hidden = pack(w.R[:2*h*h], h, 2*h), pack(w.R[2*h*h:], h, h)
	} else {
		cell.state = pack(w.R, h, n)
	}
	cell.bias, cell.later = take(n), take(h)
	cell.setBias(w.B)
	return cell
}

// setBias joins the two biases, but for the part that the reset gate acts on.
func (c *Cell) setBias(b []float32) {
	clear(c.bias)
	clear(c.later)
	if b == nil {
		return
	}
	n := c.width()
	joined := n
	if c.Kind == GRU && c.LinearBeforeReset {
		joined = 2 * c.Hidden
		copy(c.later, b[n+joined:])
	}
	copy(c.bias, b[:n])
	vec.Add(c.level, c.bias[:joined], c.bias, b[n:])
}

// Bytes is the memory that it holds.
func (c *Cell) Bytes() int64 { return int64(c.Len()) * 4 }
