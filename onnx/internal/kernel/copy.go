package kernel

import "errors"

// Copy moves elements between two arrays: for every index of shape, the element of
// src that from selects goes to the place in dst that to selects. The places in dst
// must differ from each other, so that threads may share the work.
func Copy[T any](on *On, shape []int64, dst []T, to Operand, src []T, from Operand) error {
	dims, strides := merge(shape, []Operand{to, from})
	for _, d := range dims {
		if d == 0 {
			return nil
		}
	}
	c := copying[T]{dst: dst, src: src, to: to.Offset, from: from.Offset, dims: dims, strides: strides}
	if d := c.turned(); d >= 0 {
		return c.planes(on, d)
	}
	return c.rows(on)
}

// copying is one Copy with dimensions joined as far as they can be.
type copying[T any] struct {
	dst, src []T
	to, from int
	dims     []int
	strides  [][]int // of each dimension: in dst, in src
}

// turned is the dimension whose neighbours are neighbours in src, when those of the
// last dimension are neighbours in dst: the two make a plane to transpose. It is -1
// if there is none that is worth it.
func (c *copying[T]) turned() int {
	last := len(c.dims) - 1
	if c.strides[last][0] != 1 || c.strides[last][1] <= 1 || c.dims[last] < 4 {
		return -1
	}
	for d := range last {
		if c.strides[d][1] == 1 && c.dims[d] >= 4 {
			return d
		}
	}
	return -1
}

// rows copies along the last dimension, piece by piece.
func (c *copying[T]) rows(on *On) error {
	last := len(c.dims) - 1
	inner, step := c.dims[last], c.strides[last]
	outer := product(c.dims[:last])
	if inner >= chunk {
		pieces := (inner + chunk - 1) / chunk
		return on.Parallel(outer*pieces, func(part int) {
			to, from := c.place(part/pieces, last)
			start := part % pieces * chunk
			n := min(chunk, inner-start)
			run(c.dst, to+start*step[0], step[0], c.src, from+start*step[1], step[1], n)
		})
	}
	each := chunk / inner
	return on.Parallel((outer+each-1)/each, func(part int) {
		c.someRows(part*each, min((part+1)*each, outer))
	})
}

// someRows copies the rows from low to high.
func (c *copying[T]) someRows(low, high int) {
	last := len(c.dims) - 1
	inner, step := c.dims[last], c.strides[last]
	if last == 0 {
		run(c.dst, c.to, step[0], c.src, c.from, step[1], inner)
		return
	}
	size, next := c.dims[last-1], c.strides[last-1]
	for row := low; row < high; {
		to, from := c.place(row, last)
		n := min(high-row, size-row%size)
		for range n {
			run(c.dst, to, step[0], c.src, from, step[1], inner)
			to, from = to+next[0], from+next[1]
		}
		row += n
	}
}

// place is where index number i of the first count dimensions begins.
func (c *copying[T]) place(i, count int) (to, from int) {
	to, from = c.to, c.from
	for d := count - 1; d >= 0; d-- {
		digit := i % c.dims[d]
		i /= c.dims[d]
		to, from = to+digit*c.strides[d][0], from+digit*c.strides[d][1]
	}
	return to, from
}

// run copies n elements that lie evenly in both arrays.
func run[T any](dst []T, to, stepTo int, src []T, from, stepFrom, n int) {
	switch {
	case stepTo == 1 && stepFrom == 1:
		copy(dst[to:to+n], src[from:from+n])
	case stepTo == 1 && stepFrom == 0:
		x, row := src[from], dst[to:to+n]
		for i := range row {
			row[i] = x
		}
	case stepTo == 1:
		row := dst[to : to+n]
		for i := range row {
			row[i] = src[from]
			from += stepFrom
		}
	default:
		for range n {
			dst[to] = src[from]
			to, from = to+stepTo, from+stepFrom
		}
	}
}

// block is the side of the squares in which planes are transposed: as many rows of
// src and of dst stay in the nearest cache.
const block = 32

// planes transposes the planes of dimension d and the last one.
func (c *copying[T]) planes(on *On, d int) error {
	last := len(c.dims) - 1
	p := plane[T]{dst: c.dst, src: c.src, rows: c.dims[d], columns: c.dims[last], stepTo: c.strides[d][0], stepFrom: c.strides[last][1]}
	others := copying[T]{to: c.to, from: c.from}
	for i := range last {
		if i != d {
			others.dims, others.strides = append(others.dims, c.dims[i]), append(others.strides, c.strides[i])
		}
	}
	strips := (p.rows + block - 1) / block
	columns := max(block, chunk/block)
	wide := (p.columns + columns - 1) / columns
	return on.Parallel(product(others.dims)*strips*wide, func(part int) {
		to, from := others.place(part/(strips*wide), len(others.dims))
		row, column := part/wide%strips*block, part%wide*columns
		for j := column; j < min(column+columns, p.columns); j += block {
			p.square(to, from, row, min(row+block, p.rows), j, min(j+block, p.columns))
		}
	})
}

// plane is a matrix whose rows are dense in dst and whose columns are dense in src.
type plane[T any] struct {
	dst, src         []T
	rows, columns    int
	stepTo, stepFrom int // from row to row in dst, from column to column in src
}

// square copies a part of the plane that begins at to and from, four columns at once.
func (p *plane[T]) square(to, from, row, rowEnd, column, columnEnd int) {
	n := rowEnd - row
	j := column
	for ; j+4 <= columnEnd; j += 4 {
		at := from + row + j*p.stepFrom
		a := p.src[at : at+n]
		b := p.src[at+p.stepFrom:][:n]
		c := p.src[at+2*p.stepFrom:][:n]
		d := p.src[at+3*p.stepFrom:][:n]
		put := to + row*p.stepTo + j
		for i := range a {
			four := p.dst[put : put+4 : put+4]
			four[0], four[1], four[2], four[3] = a[i], b[i], c[i], d[i]
			put += p.stepTo
		}
	}
	for ; j < columnEnd; j++ {
		run(p.dst, to+row*p.stepTo+j, p.stepTo, p.src, from+row+j*p.stepFrom, 1, n)
	}
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Starts writes into at where the runs number first, first+1, ... begin. Threads
// may call it at the same time.
type Starts func(first int, at []int) error

// some is how many runs are asked for at once.
const some = 256

// Take copies runs of so many elements: run i of dst, which is dense, is the one of
// src that begins where starts says. Every start must leave room for a run.
func Take[T any](on *On, dst, src []T, run int, starts Starts) error {
	if run == 0 || len(dst) == 0 {
		return nil
	}
	count := len(dst) / run
	each := max(1, chunk/run)
	parts := (count + each - 1) / each
	wrong := make([]error, parts)
	err := on.Parallel(parts, func(part int) {
		wrong[part] = takeRuns(on, dst, src, run, part*each, min((part+1)*each, count), starts)
	})
	return errors.Join(err, firstOf(wrong))
}

func takeRuns[T any](on *On, dst, src []T, run, low, high int, starts Starts) error {
	buffer := make([]int, min(some, high-low))
	for ; low < high; low += some {
		at := buffer[:min(some, high-low)]
		if err := starts(low, at); err != nil {
			return err
		}
		to := dst[low*run : (low+len(at))*run]
		if run == 1 {
			for i, from := range at {
				to[i] = src[from]
			}
			continue
		}
		for i, from := range at {
			long(on, to[i*run:(i+1)*run], src[from:])
		}
	}
	return nil
}

// long copies until the context ends.
func long[T any](on *On, dst, src []T) {
	for len(dst) > chunk {
		if on.Err() != nil {
			return
		}
		copy(dst[:chunk], src)
		dst, src = dst[chunk:], src[chunk:]
	}
	copy(dst, src)
}

// Put is the reverse of Take: run i of src, which is dense, goes to where starts says
// in dst, one after the other: of two at the same place the later one stays.
func Put[T any](on *On, dst, src []T, run int, starts Starts) error {
	return EachRun(on, len(src), run, starts, func(i, at int) {
		long(on, dst[at:at+run], src[i*run:(i+1)*run])
	})
}

// EachRun calls do with the number of each run and where it begins, in order; n
// elements are that many divided by run.
func EachRun(on *On, n, run int, starts Starts, do func(i, at int)) error {
	if run == 0 || n == 0 {
		return nil
	}
	count := n / run
	buffer := make([]int, min(some, count))
	done := 0
	for low := 0; low < count; low += some {
		at := buffer[:min(some, count-low)]
		if err := starts(low, at); err != nil {
			return err
		}
		for i, to := range at {
			if done += run; done > chunk {
				done = 0
				if err := on.Err(); err != nil {
					return err
				}
			}
			do(low+i, to)
		}
	}
	return on.Err()
}

func firstOf(wrong []error) error {
	for _, err := range wrong {
		if err != nil {
			return err
		}
	}
	return nil
}
