package op

import (
	"fmt"
	"math"
	"math/bits"
	"math/cmplx"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func fourierOperators() map[string]Spec {
	return map[string]Spec{
		"DFT":  {MinIn: 1, MaxIn: 3, MaxOut: 1, Make: makeDFT, Since: 17},
		"STFT": {MinIn: 2, MaxIn: 4, MaxOut: 1, Make: makeSTFT, Since: 17},
	}
}

// transform computes discrete Fourier transforms of one length: by halves if it is a
// power of two, else as a convolution of such a length (Bluestein).
type transform struct {
	n     int
	turns []complex128 // exp(-2*pi*i*k/size), half of them
	size  int          // power of two
	chirp []complex128 // exp(-pi*i*k*k/n); nil for a power of two
	image []complex128 // transform of the chirp that is convolved with
	work  []complex128
}

// newTransform prepares transforms of n numbers, and brings memory for these.
func newTransform(env *Env, n int) (t *transform, x []complex128, err error) {
	t = &transform{n: n, size: n}
	if n&(n-1) != 0 {
		t.size = 1 << bits.Len(uint(2*n-2))
	}
	if x, err = work[complex128](env, n); err != nil {
		return nil, nil, err
	}
	if t.turns, err = work[complex128](env, t.size/2); err != nil {
		return nil, nil, err
	}
	for k := range t.turns {
		t.turns[k] = cmplx.Rect(1, -2*math.Pi*float64(k)/float64(t.size))
	}
	if t.size == n {
		return t, x, nil
	}
	return t, x, t.convolve(env)
}

// convolve prepares for a length that is no power of two.
func (t *transform) convolve(env *Env) (err error) {
	n := t.n
	if t.chirp, err = work[complex128](env, n); err != nil {
		return err
	}
	if t.image, err = work[complex128](env, t.size); err != nil {
		return err
	}
	if t.work, err = work[complex128](env, t.size); err != nil {
		return err
	}
	for k := range t.chirp {
		t.chirp[k] = cmplx.Rect(1, -math.Pi*float64(k*k%(2*n))/float64(n))
		t.image[k] = cmplx.Conj(t.chirp[k])
		if k > 0 {
			t.image[t.size-k] = t.image[k]
		}
	}
	t.halve(t.image)
	return nil
}

// forward replaces n numbers by their transform.
func (t *transform) forward(x []complex128) {
	if t.chirp == nil {
		t.halve(x)
		return
	}
	clear(t.work)
	for k, c := range t.chirp {
		t.work[k] = x[k] * c
	}
	t.halve(t.work)
	for k, c := range t.image {
		t.work[k] = cmplx.Conj(t.work[k] * c)
	}
	t.halve(t.work)
	for k, c := range t.chirp {
		x[k] = cmplx.Conj(t.work[k]) * c / complex(float64(t.size), 0)
	}
}

// inverse replaces a transform by what it is of.
func (t *transform) inverse(x []complex128) {
	for k := range x {
		x[k] = cmplx.Conj(x[k])
	}
	t.forward(x)
	for k := range x {
		x[k] = cmplx.Conj(x[k]) / complex(float64(t.n), 0)
	}
}

// halve transforms as many numbers as a power of two (Cooley and Tukey 1965).
func (t *transform) halve(x []complex128) {
	n := len(x)
	shift := 64 - bits.Len(uint(n-1))
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); n > 1 && i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for width := 2; width <= n; width *= 2 {
		half, step := width/2, n/width
		for begin := 0; begin < n; begin += width {
			for k := range half {
				a, b := x[begin+k], x[begin+k+half]*t.turns[k*step]
				x[begin+k], x[begin+k+half] = a+b, a-b
			}
		}
	}
}

// dft transforms along an axis. The last axis of operand 0 holds one number, or a real
// and an imaginary part. Operand 1 is the length: of a longer axis the rest is left
// out, a shorter one is filled with zeros. With onesided the half of a spectrum that
// the other half tells is left out; an inverse then has real results.
type dft struct {
	axis              int64
	axisOperand       bool
	inverse, onesided bool
}

func makeDFT(a *Attributes, opset int64) (Operator, error) {
	o := dft{axis: -2, axisOperand: opset >= 20, inverse: a.flag("inverse", false), onesided: a.flag("onesided", false)}
	if !o.axisOperand {
		o.axis = a.int("axis", 1)
	}
	return o, nil
}

func (o dft) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	for i := 1; i < len(in); i++ {
		if !present(in, i) {
			continue
		}
		if err := needScalar(in, i, tensor.Int32, tensor.Int64); err != nil {
			return nil, err
		}
	}
	if len(in) > 2 && !o.axisOperand {
		return nil, BadInput(2, "is not expected: before operator set 20 the axis is an attribute")
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	shape := slices.Clone(in[0].Shape)
	if last := len(shape) - 1; last < 1 || shape[last] != -1 && shape[last] != 1 && shape[last] != 2 {
		return nil, BadInput(0, "has shape %v, whose last axis is not one number or two", shape)
	}
	return o.result(in, shape)
}

// result is shape with the axis and the parts of a number as they will be.
func (o dft) result(in []*Info, shape []int64) ([]Info, error) {
	at, length, err := o.place(in)
	if err != nil {
		return nil, err
	}
	if at < 0 {
		return []Info{sameRank(in[0])}, nil
	}
	shape[at] = length
	if o.onesided && !o.inverse && length != -1 {
		shape[at] = length/2 + 1
	}
	shape[len(shape)-1] = 2
	if o.onesided && o.inverse {
		shape[len(shape)-1] = 1
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// place returns the axis and the length of transforms; -1 for one that is not known.
func (o dft) place(in []*Info) (at int, length int64, err error) {
	which, rank := o.axis, len(in[0].Shape)
	if present(in, 2) {
		var known bool
		if which, known = in[2].number(); !known {
			return -1, -1, nil
		}
	}
	if at, err = axis(which, rank); err != nil || at == rank-1 {
		return 0, 0, BadInput(0, "has rank %d, axis %d cannot be transformed", rank, which)
	}
	length = in[0].Shape[at]
	if o.inverse && o.onesided && length != -1 {
		length = 2 * (length - 1)
	}
	known := length != -1
	if present(in, 1) {
		length, known = in[1].number()
	}
	if !known {
		return at, -1, nil
	}
	if length < 1 || length > maxTransform {
		return 0, 0, fmt.Errorf("a transform of length %d, expected 1 to %d", length, maxTransform)
	}
	return at, length, nil
}

// maxTransform bounds what one transform takes between two looks at the context: some
// milliseconds.
const maxTransform = 1 << 20

func (o dft) Run(env *Env, in, out []*tensor.Tensor) error {
	at, length, err := o.place(infosOf(in))
	if err != nil {
		return err
	}
	parts := int(in[0].Shape[len(in[0].Shape)-1])
	l := kernel.LanesOf(in[0].Shape, at)
	t, x, err := newTransform(env, int(length))
	if err != nil {
		return err
	}
	real, values := o.inverse && o.onesided, newComplexes(in[0], out[0], parts)
	bins := int(out[0].Shape[at])
	outer, inner := l.Outer, l.Inner/parts
	for lane := range outer * inner {
		if err := env.On.Err(); err != nil {
			return err
		}
		i, j := lane/inner, lane%inner
		clear(x)
		values.read(x[:min(l.N, len(x))], (i*l.N*inner+j)*parts, inner*parts)
		if real {
			mirror(x)
		}
		if o.inverse {
			t.inverse(x)
		} else {
			t.forward(x)
		}
		values.write(x[:bins], i*bins*inner+j, inner, real)
	}
	return nil
}

// mirror fills the half of a spectrum that belongs to real numbers from the other.
func mirror(x []complex128) {
	n := len(x)
	for k := n/2 + 1; k < n; k++ {
		x[k] = cmplx.Conj(x[n-k])
	}
}

// complexes reads and writes complex numbers of one or two parts.
type complexes struct {
	from       read[float64]
	to         write[float64]
	parts      int
	real, imag []float64
}

func newComplexes(in, out *tensor.Tensor, parts int) *complexes {
	return &complexes{from: reader[float64](in), to: writer[float64](out), parts: parts}
}

// read takes len(x) numbers, step elements apart.
func (c *complexes) read(x []complex128, at, step int) {
	c.real, c.imag = slices.Grow(c.real[:0], len(x))[:len(x)], slices.Grow(c.imag[:0], len(x))[:len(x)]
	c.from(c.real, at, step)
	clear(c.imag)
	if c.parts == 2 {
		c.from(c.imag, at+1, step)
	}
	for k := range x {
		x[k] = complex(c.real[k], c.imag[k])
	}
}

// write puts numbers at places that are step numbers apart: both parts, or the real one.
func (c *complexes) write(x []complex128, at, step int, real bool) {
	parts := 2
	if real {
		parts = 1
	}
	for k, v := range x {
		both := [2]float64{realPart(v), imagPart(v)}
		c.to(both[:parts], (at+k*step)*parts, 1)
	}
}

func realPart(v complex128) float64 { return real(v) }
func imagPart(v complex128) float64 { return imag(v) }
