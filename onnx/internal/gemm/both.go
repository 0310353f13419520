package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Batch is a number of products of one shape. At returns where the operands and
// the result of each begin in their slices; nil: there is one, at 0.
type Batch struct {
	Count int
	At    func(i int) (a, b, dst int)
}

// stripe is the most columns of B that are packed at a time.
const stripe = 256

// ScratchLen is the number of elements of scratch that MulBoth needs with as
// many threads, for products with k steps and n columns.
func ScratchLen(threads, k, n int) int { return max(1, threads) * k * min(n, stripe) }

// MulBoth computes dst = epilogue(a x b) for a of m x k and b of k x n elements,
// both known only now. Their strides are free: rows of b that are contiguous are
// read in place, if that is fast, others are packed into scratch, of ScratchLen
// elements; for one or two rows of a, a transposed b is not packed either. The
// epilogue's C begins where dst does; its biases are the same for the whole
// batch. No two results overlap.
func MulBoth(on *kernel.On, dst []float32, ldc, m, k, n int, a, b View, batch Batch, e *Epilogue, scratch []float32) error {
	if batch.At == nil {
		batch = Batch{1, func(int) (a, b, dst int) { return 0, 0, 0 }}
	}
	j := job{b: b, batch: batch, product: product{m: m, k: k, n: n, a: a, dst: dst, ldc: ldc, e: *e, level: on.Level}}
	if m == 0 || n == 0 || batch.Count <= 0 {
		return on.Err()
	}
	workers := j.workers(on, batch.Count)
	j.grid = j.cut(ceil(workers, batch.Count)) // whole products, if there are enough
	if !j.inPlace() {
		j.grid.width = min(j.grid.width, stripe)
		j.grid.columns = ceil(n, j.grid.width)
		j.scratch = scratch[:ScratchLen(workers, k, n)]
	}
	if workers > 1 {
		return j.spread(on)
	}
	held := none
	for part := range j.parts() {
		if err := on.Err(); err != nil {
			return err
		}
		held = j.part(on, 0, part, held)
	}
	return on.Err()
}

// none is what a lane's scratch holds at first.
const none = -1

// job is a batch of products.
type job struct {
	product
	b       View
	batch   Batch
	grid    grid
	scratch []float32
}

func (j *job) parts() int { return j.batch.Count * j.grid.units() }

func (j job) spread(on *kernel.On) error {
	held := make([]int, on.Workers())
	for lane := range held {
		held[lane] = none
	}
	return on.Share(j.parts(), func(lane, part int) { held[lane] = j.part(on, lane, part, held[lane]) })
}

// inPlace says that tiles can read b as it is, and should: rows that are a
// multiple of 2 KiB apart fall into the same few sets of a cache, which costs
// more than packing them once if there are many rows of a to multiply.
func (j *job) inPlace() bool {
	crowded := j.b.Row%512 == 0 && j.m >= 64
	return j.b.Col == 1 && j.b.Row > 0 && !crowded
}

// part computes one part of one product. held is the stripe that the lane's
// scratch has from before; it returns the one it has now.
func (j *job) part(on *kernel.On, lane, part, held int) int {
	units := j.grid.units()
	i, unit := part/units, part%units
	p, b := j.nth(i)
	p.check()
	b.check(j.k, j.n)
	at := j.grid.at(unit)
	if j.inPlace() {
		p.block(on, at, panels{data: b.Data, step: b.Row})
		return held
	}
	if j.dots() {
		at, held = p.dot(at, b), none
	}
	if at.c0 == at.c1 {
		return held
	}
	size := ScratchLen(1, j.k, j.n)
	own := j.scratch[lane*size : (lane+1)*size]
	if now := part / j.grid.rows; now != held {
		packStripe(j.level, own, b, j.k, at)
		held = now
	}
	p.block(on, at, panels{data: own, k: j.k, first: at.c0})
	return held
}

// nth is a product of the batch and its right-hand matrix.
func (j *job) nth(i int) (product, View) {
	p, b := j.product, j.b
	atA, atB, atDst := j.batch.At(i)
	if j.k > 0 {
		p.a.Data = p.a.Data[atA:]
		b.Data = b.Data[atB:]
	}
	p.dst = p.dst[atDst:]
	p.from = atDst
	return p, b
}

// packStripe packs the columns of at, panel by panel.
func packStripe(level kernel.Level, dst []float32, b View, k int, at area) {
	width := panelWidth(level)
	for c := at.c0; c < at.c1; c += width {
		packPanel(level, dst[(c-at.c0)*k:], b, k, c, min(width, at.c1-c))
	}
}
