package conv

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// inward is what one call of the first transform computes: B^T d B of count tiles
// side by side, of one block of channels. The assembly reads the fields by their
// offsets, which a test compares; distances are in bytes.
type inward struct {
	dst     []float32 // of the first tile's first value
	src     []float32 // the first tile's first pixel
	tmp     []float32 // 36 vectors
	count   int
	srcRow  int // from one input row to the next
	dstStep int // from one of the 36 values to the next
	factors [4]float32
}

// outward is the same of the second transform: A^T m A + bias + residual, activated.
type outward struct {
	dst      []float32 // the first tile's first pixel
	src      []float32 // of the first tile's first sum
	tmp      []float32 // 36 vectors
	bias     []float32 // one vector
	residual []float32 // as dst; empty: none
	bad      []float32 // one vector: NaN where a sum is not finite, else as before
	count    int
	srcStep  int // from one of the 36 sums to the next
	dstRow   int // from one output row to the next
	factors  [4]float32
	lo, hi   float32
	alpha    float32
	act      actKind
}

// The numbers in B and A.
func inwardFactors() [4]float32  { return [4]float32{2.5, 2, 0.5, math.Sqrt2} }
func outwardFactors() [4]float32 { return [4]float32{0.25, 2, 0.5, math.Sqrt2} }

func (t *inward) run(level kernel.Level) {
	switch {
	case level >= kernel.AVX512:
		t.assembly16()
	case level >= kernel.AVX2:
		t.assembly8()
	default:
		t.portable(Block(level))
	}
}

func (t *outward) run(level kernel.Level) {
	switch {
	case level >= kernel.AVX512:
		t.assembly16()
	case level >= kernel.AVX2:
		t.assembly8()
	default:
		t.portable(Block(level))
	}
}

// portable does what the assembly does, but for the rounding of products.
func (t *inward) portable(block int) {
	for i := range t.count {
		for lane := range block {
			t.lane(t.dst[i*block+lane:], t.src[i*tileOut*block+lane:], block)
		}
	}
}

// lane transforms one channel of one tile.
func (t *inward) lane(dst, src []float32, block int) {
	var half [tileIn][tileIn]float32 // its columns are done
	for j := range tileIn {
		var x [tileIn]float32
		for i := range x {
			x[i] = src[i*t.srcRow/4+j*block]
		}
		for i, y := range t.line(&x) {
			half[i][j] = y
		}
	}
	for i := range half {
		for j, y := range t.line(&half[i]) {
			dst[(i*tileIn+j)*t.dstStep/4] = y
		}
	}
}

// line is B^T x.
func (t *inward) line(x *[tileIn]float32) [tileIn]float32 {
	more, two, half, root := t.factors[0], t.factors[1], t.factors[2], t.factors[3]
	near, far := x[4]-two*x[2], x[4]-half*x[2]
	nearOdd, farOdd := half*x[3]-x[1], x[3]-half*x[1]
	return [tileIn]float32{
		x[0] + x[4] - more*x[2],
		near + root*nearOdd, near - root*nearOdd,
		far + root*farOdd, far - root*farOdd,
		x[1] + x[5] - more*x[3],
	}
}

func (t *outward) portable(block int) {
	for i := range t.count {
		for lane := range block {
			t.lane(i, lane, block)
		}
	}
}

// lane transforms one channel of one tile.
func (t *outward) lane(tile, lane, block int) {
	var half [tileOut][tileIn]float32 // its rows are done
	for i := range tileIn {
		var m [tileIn]float32
		for j := range m {
			m[j] = t.src[(i*tileIn+j)*t.srcStep/4+tile*block+lane]
		}
		for j, y := range t.line(&m) {
			half[j][i] = y
		}
	}
	act := Activation{kind: t.act, lo: t.lo, hi: t.hi, alpha: t.alpha}
	for j := range half {
		for i, y := range t.line(&half[j]) {
			y += t.bias[lane]
			t.bad[lane] += y * 0
			at := i*t.dstRow/4 + (tile*tileOut+j)*block + lane
			if len(t.residual) != 0 {
				y += t.residual[at]
			}
			t.dst[at] = act.at(y)
		}
	}
}

// line is A^T m.
func (t *outward) line(m *[tileIn]float32) [tileOut]float32 {
	quarter, two, half, root := t.factors[0], t.factors[1], t.factors[2], t.factors[3]
	near, nearOdd := m[1]+m[2], m[1]-m[2]
	far, farOdd := m[3]+m[4], m[3]-m[4]
	return [tileOut]float32{
		m[0] + near + far,
		root * (farOdd + half*nearOdd),
		half*near + two*far,
		m[5] + root*(two*farOdd+quarter*nearOdd),
	}
}
