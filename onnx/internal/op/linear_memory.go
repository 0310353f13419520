package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// memory is the state of one head while it goes through the steps, with its operands.
type memory struct {
	o                  linearAttention
	in, out            []*tensor.Tensor
	keySize, valueSize int
	scale              float64

	read             [6]read[float64]
	state            []float64 // keySize x valueSize
	query, key, rate []float64 // of a step; rate: what of each row of the state stays
	value, sum       []float64
}

// bring takes memory and makes operands readable.
func (m *memory) bring(env *Env) error {
	for i, t := range m.in {
		if t != nil {
			m.read[i] = reader[float64](t)
		}
	}
	for _, w := range []struct {
		into *[]float64
		n    int
	}{{&m.state, m.keySize * m.valueSize}, {&m.query, m.keySize}, {&m.key, m.keySize}, {&m.rate, m.keySize},
		{&m.value, m.valueSize}, {&m.sum, m.valueSize}} {
		var err error
		if *w.into, err = work[float64](env, w.n); err != nil {
			return err
		}
	}
	return nil
}

// head takes one head of one record through all steps.
func (m *memory) head(env *Env, batch, head int) error {
	heads, steps := int(m.o.stateHeads), int(m.in[0].Shape[1])
	at := (batch*heads + head) * len(m.state)
	clear(m.state)
	if m.read[3] != nil {
		m.read[3](m.state, at, 1)
	}
	for step := range steps {
		if err := env.On.Err(); err != nil {
			return err
		}
		row := batch*steps + step
		m.read[1](m.key, (row*heads+head)*m.keySize, 1)
		m.read[2](m.value, (row*heads+head)*m.valueSize, 1)
		if m.o.gated {
			m.decay(row, head)
		}
		if m.o.delta {
			m.correct(row, head)
		}
		for i, k := range m.key {
			for j, v := range m.value {
				m.state[i*m.valueSize+j] += k * v
			}
		}
		m.answer(row, head)
	}
	if len(m.out) > 1 && m.out[1] != nil {
		writer[float64](m.out[1])(m.state, at, 1)
	}
	return nil
}

// decay shrinks the rows of the state, each by a rate of its own or all by one.
func (m *memory) decay(row, head int) {
	if width := int(m.in[4].Shape[2]); width == int(m.o.stateHeads) && m.keySize != 1 {
		m.read[4](m.rate, row*width+head, 0)
	} else {
		m.read[4](m.rate, row*width+head*m.keySize, 1)
	}
	for i, rate := range m.rate {
		f := math.Exp(rate)
		for j := range m.valueSize {
			m.state[i*m.valueSize+j] *= f
		}
	}
}

// correct leaves of the value what the state does not recall by the key.
func (m *memory) correct(row, head int) {
	m.recall(m.key)
	var beta [1]float64
	if width := int(m.in[5].Shape[2]); width == 1 {
		m.read[5](beta[:], row, 1)
	} else {
		m.read[5](beta[:], row*width+head, 1)
	}
	for j := range m.value {
		m.value[j] = beta[0] * (m.value[j] - m.sum[j])
	}
}

// recall reads the state by a key into sum.
func (m *memory) recall(key []float64) {
	clear(m.sum)
	for i, k := range key {
		for j := range m.sum {
			m.sum[j] += k * m.state[i*m.valueSize+j]
		}
	}
}

// answer writes what the queries that share the head read.
func (m *memory) answer(row, head int) {
	group, heads := int(m.o.heads/m.o.stateHeads), int(m.o.heads)
	put := writer[float64](m.out[0])
	for g := range group {
		at := row*heads + head*group + g
		m.read[0](m.query, at*m.keySize, 1)
		m.recall(m.query)
		for j := range m.sum {
			m.sum[j] *= m.scale
		}
		put(m.sum, at*m.valueSize, 1)
	}
}
