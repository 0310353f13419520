package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// tile is what one call of a microkernel computes: count times q output pixels of
// f blocks of channels. The assembly reads the fields by their offsets, which a
// test compares; distances are in bytes.
type tile struct {
	dst      []float32 // first pixel of the first block
	src      []float32 // the pixel that tap 0 would read if its offset were 0
	filter   []float32 // [input block][tap][channel][f][lane]
	bias     []float32 // [f][lane]; empty: dst holds a sum to go on with
	residual []float32 // as dst; empty: none
	taps     []int     // offset of each tap's input pixel; depthwise, and of its weights
	blocks   int       // of input channels
	last     int       // channels in the last of them
	srcBlock int       // from one input block to the next
	dstBlock int       // from one output block to the next
	count    int
	lo, hi   float32
	alpha    float32
	act      actKind
	ahead    []float32 // weights that will be needed later: the cache is told
	stride   int       // bytes from one hint to the next
}

// form is a family of microkernels.
type form uint8

const (
	formBlocked form = iota // input pixels are blocks of channels
	formPlanar              // input pixels are single floats; one channel, the taps are all
	formDepth               // each lane is convolved by itself
	formSkip                // the same, of every other pixel
)

// widest returns the most pixels that a microkernel for f blocks has in registers.
func widest(level kernel.Level, how form, f int) int {
	wide, narrow := [...]int{0, 14, 14, 9, 7}, [...]int{0, 12, 6, 4, 3}
	if level >= kernel.AVX512 {
		return wide[f]
	}
	return narrow[f]
}

// maxSet is the most blocks of output channels that a microkernel has.
const maxSet = 4

// run computes a row of n pixels of f blocks, in microkernels of nearly equal
// width. The tile is left at the row's end.
func (t *tile) run(level kernel.Level, how form, f, n int) {
	most := widest(level, how, f)
	calls := (n + most - 1) / most
	width, wider := n/calls, n%calls
	block := Block(level)
	t.step(level, how, f, width+1, wider, block)
	t.step(level, how, f, width, calls-wider, block)
}

// step computes count times q pixels and moves on.
func (t *tile) step(level kernel.Level, how form, f, q, count, block int) {
	if count == 0 {
		return
	}
	t.count = count
	if level < kernel.AVX2 {
		t.portable(how, f, q, block)
	} else {
		t.assembly(level, how, f, q)
	}
	n := q * count
	pixel := block
	switch how {
	case formPlanar:
		pixel = 1
	case formSkip:
		pixel = 2 * block
	}
	t.dst = t.dst[n*block:]
	t.src = t.src[min(n*pixel, len(t.src)):]
	if len(t.residual) != 0 {
		t.residual = t.residual[n*block:]
	}
}

// portable does what the assembly does, but for rounding: it rounds products, which FMA
// does not. A net of many layers that cancel (PP-OCRv4's detector) was 2.3e-4 off by
// that, and is 2e-5 off with sums in float64. In float32, which is faster, it adds up
// one tap of one block of channels at a time.
func (t *tile) portable(how form, f, q, block int) {
	for i := range t.count * q {
		for b := range f {
			at := b*t.dstBlock/4 + i*block
			t.lanes(how, t.dst[at:at+block], i, b, f, block)
			t.finish(t.dst[at:at+block], at)
		}
	}
}

// lanes sums up one pixel of output block b.
func (t *tile) lanes(how form, dst []float32, pixel, b, f, block int) {
	var sum [maxBlock]float64
	from := dst
	if len(t.bias) != 0 {
		from = t.bias[b*block:]
	}
	for l := range block {
		sum[l] = float64(from[l])
	}
	switch how {
	case formBlocked:
		t.sumBlocked(sum[:block], pixel, b, f)
	case formPlanar:
		t.sumPlanar(sum[:block], pixel, b, f)
	case formDepth:
		t.sumDepth(sum[:block], pixel)
	case formSkip:
		t.sumDepth(sum[:block], 2*pixel)
	}
	for l := range dst {
		dst[l] = float32(sum[l])
	}
}

func (t *tile) sumBlocked(sum []float64, pixel, b, f int) {
	block := len(sum)
	filter := t.filter[b*block:]
	for in := range t.blocks {
		channels := block
		if in == t.blocks-1 {
			channels = t.last
		}
		for _, tap := range t.taps {
			at := (in*t.srcBlock+tap)/4 + pixel*block
			var part [maxBlock]float32
			for _, x := range t.src[at : at+channels] {
				axpy(part[:block], filter, x)
				filter = filter[min(f*block, len(filter)):]
			}
			for l := range sum {
				sum[l] += float64(part[l])
			}
		}
	}
}

func (t *tile) sumPlanar(sum []float64, pixel, b, f int) {
	block := len(sum)
	filter := t.filter[b*block:]
	for _, tap := range t.taps {
		x := float64(t.src[tap/4+pixel])
		for l, w := range filter[:block] {
			sum[l] += x * float64(w)
		}
		filter = filter[min(f*block, len(filter)):]
	}
}

func (t *tile) sumDepth(sum []float64, pixel int) {
	block := len(sum)
	for i := 0; i < len(t.taps); i += 2 {
		x := t.src[t.taps[i]/4+pixel*block:]
		w := t.filter[t.taps[i+1]/4:]
		for l := range sum {
			sum[l] += float64(x[l]) * float64(w[l])
		}
	}
}

func axpy(sum, w []float32, x float32) {
	w = w[:len(sum)]
	for l := range sum {
		sum[l] += x * w[l]
	}
}

// finish adds the residual and activates one pixel, which lies at t.dst[at].
func (t *tile) finish(dst []float32, at int) {
	if len(t.residual) != 0 {
		for l, r := range t.residual[at : at+len(dst)] {
			dst[l] += r
		}
	}
	if t.act == actNone {
		return
	}
	act := Activation{kind: t.act, lo: t.lo, hi: t.hi, alpha: t.alpha}
	for l := range dst {
		dst[l] = act.at(dst[l])
	}
}
