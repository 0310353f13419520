package mutate

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// Choice turns bytes into decisions, so that a fuzzer that changes a byte changes a
// decision. After the last byte decisions go on by a generator that all of them seed:
// one byte is enough to say something, and the same bytes always say the same.
type Choice struct {
	Huge  bool // it has given a number whose powers are beyond float32
	bytes []byte
	rest  *rand.Rand
}

// NewChoice makes decisions of bytes.
func NewChoice(bytes []byte) *Choice {
	h := fnv.New64a()
	h.Write(bytes)
	return &Choice{bytes: bytes, rest: rand.New(rand.NewPCG(h.Sum64(), 1))}
}

// Below is a number from 0 to n-1; 0 if there is none.
func (c *Choice) Below(n int) int {
	if n <= 1 {
		return 0
	}
	if len(c.bytes) == 0 {
		return c.rest.IntN(n)
	}
	v := int(c.bytes[0])
	c.bytes = c.bytes[1:]
	if n > 1<<8 && len(c.bytes) > 0 {
		v, c.bytes = v<<8|int(c.bytes[0]), c.bytes[1:]
	}
	return v % n
}

// One is true once in n times.
func (c *Choice) One(n int) bool { return c.Below(n) == n-1 }

// Of is one of a list; the zero value if it is empty.
func Of[T any](c *Choice, list []T) (v T) {
	if len(list) == 0 {
		return v
	}
	return list[c.Below(len(list))]
}

// Int is a number at an edge: of signs, of blocks of kernels, of types.
func (c *Choice) Int() int64 {
	v := Of(c, []int64{0, 1, -1, 2, 3, -2, 4, 5, 7, 8, 13, 15, 16, 17, 31, 33, 64, 100, 127, 128, 255, 256, 257, 1000, -128, 1 << 15, 1 << 16,
		math.MaxInt32, 1 << 31, math.MinInt32, 1 << 32, 1 << 40, 1 << 62, 1<<62 + 1, math.MaxInt64, math.MinInt64, -(1 << 40)})
	c.Huge = c.Huge || v > 1<<40 || v < -1<<40
	return v
}

// Small is a number that a loop may count to.
func (c *Choice) Small() int64 { return Of(c, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33}) }

// Dim is a dimension of a declaration.
func (c *Choice) Dim() int64 {
	if c.One(4) {
		return c.Int()
	}
	return c.Small()
}

// Float is a number at an edge of floating point.
func (c *Choice) Float() float64 {
	v := Of(c, []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 2, -2.5, 1e-3, 100, 65504, 65520, 3e38, -3e38, 0x1p-126, 0x1p-130, 0x1p-149,
		0x1p31, 0x1p63, -0x1p63, 1e300, math.Inf(1), math.Inf(-1), math.NaN()})
	c.Huge = c.Huge || math.Abs(v) > 1<<40 && !math.IsInf(v, 0)
	return v
}
