package op

import (
	"math"
	"math/rand/v2"
)

// source gives numbers evenly spread over [0, 1).
type source interface{ Float64() float64 }

// sourceOf is the generator of an operator with a seed, which begins anew with every
// run, so that every run draws the same; or one that nobody can foresee.
func sourceOf(seed uint32, seeded bool) source {
	if seeded {
		return newTwister(seed)
	}
	return unforeseen{}
}

// unforeseen is Go's generator, which the runtime seeds with what the machine has.
type unforeseen struct{}

func (unforeseen) Float64() float64 { return rand.Float64() }

// gauss draws from the normal distribution, by the polar method (Marsaglia).
func gauss(s source) (a, b float64) {
	for {
		x, y := 2*s.Float64()-1, 2*s.Float64()-1
		r := x*x + y*y
		if r < 1 && r != 0 {
			f := math.Sqrt(-2 * math.Log(r) / r)
			return f * y, f * x
		}
	}
}

// twister is the generator MT19937 (Matsumoto and Nishimura 1998) with the seeding and
// the 53-bit numbers of numpy's RandomState, on which the cases of ONNX rely.
type twister struct {
	state [624]uint32
	at    int
}

func newTwister(seed uint32) *twister {
	t := &twister{at: len(twister{}.state)}
	for i := range t.state {
		t.state[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	return t
}

// turn makes the next 624 words.
func (t *twister) turn() {
	const shift, matrix = 397, 0x9908b0df
	n := len(t.state)
	for i := range n {
		y := t.state[i]&0x80000000 | t.state[(i+1)%n]&0x7fffffff
		next := t.state[(i+shift)%n] ^ y>>1
		if y&1 == 1 {
			next ^= matrix
		}
		t.state[i] = next
	}
	t.at = 0
}

func (t *twister) word() uint32 {
	if t.at == len(t.state) {
		t.turn()
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// Float64 has 53 random bits.
func (t *twister) Float64() float64 {
	high, low := t.word()>>5, t.word()>>6
	return (float64(high)*(1<<26) + float64(low)) / (1 << 53)
}
