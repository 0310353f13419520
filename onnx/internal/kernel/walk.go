// Package kernel holds the loops of the ONNX engine: arithmetic on slices whose
// sizes the caller has already checked. It knows nothing of models, names or
// limits. A loop that can take long looks at the context on its way.
package kernel

import (
	"slices"
)

// chunk is the most elements a loop handles between two looks at the context:
// well under a millisecond of arithmetic.
const chunk = 1 << 15

// Strides returns the distance in elements between neighbours along each
// dimension of a dense row-major array.
func Strides(shape []int64) []int {
	s := make([]int, len(shape))
	n := 1
	for i, d := range slices.Backward(shape) {
		s[i] = n
		n *= int(d)
	}
	return s
}

// BroadcastStrides returns strides that make an array of the given shape look
// as if it had shape out: zero wherever one element is repeated (the rules of
// numpy, aligned at the last dimension). shape must broadcast to out.
func BroadcastStrides(shape, out []int64) []int {
	s := make([]int, len(out))
	own := Strides(shape)
	lead := len(out) - len(shape)
	for i, d := range shape {
		if d != 1 {
			s[lead+i] = own[i]
		}
	}
	return s
}

// Operand is an array seen through strides, starting at element Offset.
type Operand struct {
	Offset  int
	Strides []int
}

// Dense is an operand that lies in memory as its shape says.
func Dense(shape []int64) Operand { return Operand{Strides: Strides(shape)} }

// Broadcast is an operand repeated to fill shape out.
func Broadcast(shape, out []int64) Operand {
	return Operand{Strides: BroadcastStrides(shape, out)}
}

// Run is a stretch of n elements: of operand k, the elements
// at[k], at[k]+step[k], at[k]+2*step[k], ...
type Run func(n int, at, step []int) error

// Walk visits every index of shape in row-major order and hands the operands'
// elements to do in runs, as long as the operands allow and the context lives.
func Walk(on *On, shape []int64, operands []Operand, do Run) error {
	dims, strides := merge(shape, operands)
	last := len(dims) - 1
	inner, step := dims[last], strides[last]
	outer := 1
	for _, d := range dims[:last] {
		outer *= d
	}
	if outer == 0 || inner == 0 {
		return nil
	}
	at := make([]int, len(operands))
	for k, o := range operands {
		at[k] = o.Offset
	}
	index := make([]int, last)
	for done, i := 0, 0; i < outer; i++ {
		if done += inner; done > chunk {
			done = 0
			if err := on.Err(); err != nil {
				return err
			}
		}
		if err := runInner(on, inner, at, step, do); err != nil {
			return err
		}
		advance(index, dims, strides, at)
	}
	return nil
}

// runInner cuts a long innermost run into chunks.
func runInner(on *On, inner int, at, step []int, do Run) error {
	if inner <= chunk {
		return do(inner, at, step)
	}
	pos := slices.Clone(at)
	for left := inner; left > 0; {
		if err := on.Err(); err != nil {
			return err
		}
		n := min(left, chunk)
		if err := do(n, pos, step); err != nil {
			return err
		}
		left -= n
		for k := range pos {
			pos[k] += n * step[k]
		}
	}
	return nil
}

// advance moves index one step in row-major order and at along with it.
func advance(index, dims []int, strides [][]int, at []int) {
	for d := len(index) - 1; d >= 0; d-- {
		index[d]++
		for k := range at {
			at[k] += strides[d][k]
		}
		if index[d] < dims[d] {
			return
		}
		for k := range at {
			at[k] -= strides[d][k] * dims[d]
		}
		index[d] = 0
	}
}

// merge drops dimensions of size one and joins neighbours that every operand
// crosses evenly. It returns at least one dimension, and per dimension the
// stride of each operand.
func merge(shape []int64, operands []Operand) (dims []int, strides [][]int) {
	for d, size := range shape {
		if size == 1 {
			continue
		}
		s := make([]int, len(operands))
		for k, o := range operands {
			s[k] = o.Strides[d]
		}
		if n := len(dims); n > 0 && joins(strides[n-1], s, int(size)) {
			dims[n-1] *= int(size)
			strides[n-1] = s
			continue
		}
		dims = append(dims, int(size))
		strides = append(strides, s)
	}
	if len(dims) == 0 {
		return []int{1}, [][]int{make([]int, len(operands))}
	}
	return dims, strides
}

func joins(outer, inner []int, size int) bool {
	for k := range outer {
		if outer[k] != inner[k]*size {
			return false
		}
	}
	return true
}
