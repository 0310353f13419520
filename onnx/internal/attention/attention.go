// Package attention answers what queries take from values when they look at
// keys: softmax(scale * Q x K^T + mask) x V for every head of every batch, in
// blocks of queries whose scores stay in a core's cache. Queries, keys and values
// are read where they are, for example in the rows of one projection of all
// three; nothing is transposed in memory first.
//
// It knows nothing of models; its callers have checked every shape. The result
// does not depend on the number of threads.
package attention

import (
	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

// Strided is an array of four dimensions: element (batch, head, row, column) is
// Data[batch*Batch + head*Head + row*Row + column*Col]. No distance is negative.
type Strided struct {
	Data                  []float32
	Batch, Head, Row, Col int
}

// at is the matrix of one head.
func (s Strided) at(batch, head int) gemm.View {
	return gemm.View{Data: s.Data[batch*s.Batch+head*s.Head:], Row: s.Row, Col: s.Col}
}

// Problem is one call: queries x dim, keys x dim and keys x values elements in
// each head.
type Problem struct {
	Batches, Heads, Queries, Keys, Dim, Values int

	// Group is how many neighbouring heads of Q share a head of K and V; 0 is 1.
	Group int

	Q, K, V Strided
	Out     Strided // queries x values; its columns are neighbours (Col 1)

	Scale float32 // of the products of Q and K

	// Mask is added to the scores, queries x keys; a distance of zero repeats.
	// Without Data there is none. A query that may see no key, because all of its
	// scores are -Inf, gets NaN, as it would from the operators by themselves.
	Mask Strided

	// Guarded lets a query whose weights are not numbers, for example since it may see
	// no key, take zero from every value.
	Guarded bool

	// Causal lets query i see the keys 0 to Past+i only; none of the others is
	// looked at, whatever it holds.
	Causal bool
	Past   int
}

// scores is how many scores a block has, about: 256 KiB.
const scores = 1 << 16

// fewest is the least queries of a block: packing the keys must pay.
const fewest = 24

// block is the number of queries whose scores are held at a time.
func (p *Problem) block() int {
	return min(p.Queries, max(fewest, scores/max(1, p.Keys)))
}

// lane is the memory for one thread: the scores of a block, and what gemm packs.
func (p *Problem) lane() (scores, packed int) {
	return p.block() * p.Keys, max(gemm.ScratchLen(1, p.Dim, p.Keys), gemm.ScratchLen(1, p.Keys, p.Values))
}

// ScratchLen is the number of elements of scratch that Run needs.
func (p *Problem) ScratchLen(threads int) int {
	scores, packed := p.lane()
	return max(1, threads) * (scores + packed)
}

// Run computes p. Out overlaps none of the operands. The error is the context's.
func (p *Problem) Run(on *kernel.On, scratch []float32) error {
	if p.Queries == 0 || p.Values == 0 {
		return on.Err()
	}
	blocks := (p.Queries + p.block() - 1) / p.block()
	parts := p.Batches * p.Heads * blocks
	if on.Workers() > 1 && p.work() > alone {
		return p.spread(on, parts, blocks, scratch)
	}
	for part := range parts {
		if err := p.part(on, part, blocks, scratch); err != nil {
			return err
		}
	}
	return on.Err()
}

// alone is how many multiplications take less time than it takes to start a
// goroutine for a part of them.
const alone = 1 << 18

// work is the number of multiplications.
func (p *Problem) work() float64 {
	return float64(p.Batches) * float64(p.Heads) * float64(p.Queries) * float64(p.Keys) * float64(p.Dim+p.Values)
}

// spread is apart from Run: what goroutines share is on the heap.
func (p *Problem) spread(on *kernel.On, parts, blocks int, scratch []float32) error {
	one := &kernel.On{Context: on.Context, Level: on.Level}
	size := p.ScratchLen(1)
	return on.Share(parts, func(lane, part int) {
		_ = p.part(one, part, blocks, scratch[lane*size:(lane+1)*size]) // Share looks at the context itself
	})
}

// part computes a block of queries of one head.
func (p *Problem) part(on *kernel.On, part, blocks int, scratch []float32) error {
	head, block := part/blocks, part%blocks
	b, h := head/p.Heads, head%p.Heads
	from := block * p.Queries / blocks
	queries := (block+1)*p.Queries/blocks - from
	keys := p.visible(from + queries - 1)

	size, _ := p.lane()
	weights, packed := scratch[:size], scratch[size:]
	if err := p.weigh(on, b, h, from, queries, keys, weights, packed); err != nil {
		return err
	}
	if p.Guarded {
		guard(weights, queries, keys)
	}
	out := p.Out.at(b, h)
	v := p.V.at(b, h/max(1, p.Group))
	return gemm.MulBoth(on, out.Data[from*out.Row:], out.Row, queries, keys, p.Values,
		gemm.Dense(weights, keys), v, gemm.Batch{}, &gemm.Epilogue{}, packed)
}

// guard clears rows of weights that are not numbers: one such weight makes all of its
// row so.
func guard(weights []float32, queries, keys int) {
	for i := range queries {
		if row := weights[i*keys : (i+1)*keys]; len(row) > 0 && row[0] != row[0] {
			clear(row)
		}
	}
}

// visible is the number of keys that query i may see.
func (p *Problem) visible(i int) int {
	if !p.Causal {
		return p.Keys
	}
	return max(0, min(p.Keys, p.Past+i+1))
}

// weigh computes the softmax of the scores of some queries.
func (p *Problem) weigh(on *kernel.On, b, h, from, queries, keys int, weights, packed []float32) error {
	if keys == 0 {
		return nil
	}
	q, k := p.Q.at(b, h), p.K.at(b, h/max(1, p.Group))
	q.Data = q.Data[from*q.Row:]
	err := gemm.MulBoth(on, weights, keys, queries, p.Dim, keys, q, k.Turned(), gemm.Batch{}, &gemm.Epilogue{}, packed)
	if err != nil {
		return err
	}
	if p.Mask.Data == nil && !p.Causal {
		vec.SoftmaxMasked(on.Level, weights, weights, queries, keys, p.Scale, nil)
		return nil
	}
	for i := range queries {
		p.normalise(on.Level, b, h, from+i, weights[i*keys:(i+1)*keys])
	}
	return nil
}

// normalise makes weights of the scores of query i, zero for what it may not see.
func (p *Problem) normalise(level kernel.Level, b, h, i int, row []float32) {
	seen := p.visible(i)
	clear(row[seen:])
	row = row[:seen]
	if p.Mask.Data == nil {
		vec.SoftmaxMasked(level, row, row, 1, seen, p.Scale, nil)
		return
	}
	mask := p.Mask.at(b, h)
	mask.Data = mask.Data[i*mask.Row:]
	if mask.Col == 1 {
		vec.SoftmaxMasked(level, row, row, 1, seen, p.Scale, mask.Data[:seen])
		return
	}
	for j := range row {
		row[j] = row[j]*p.Scale + mask.Data[j*mask.Col]
	}
	vec.Softmax(level, row, row, 1, seen)
}
