// Package panel answers one question: where do the elements of a matrix lie that a
// product reads panel by panel?
//
// A matrix of k rows of n elements is cut into panels of width columns each, but for the
// last one, which has the rest. The panels lie one after the other, each row by row and
// without gaps, so that it takes the same memory as row by row. Callers have checked
// that the memory has k*n elements and that width is positive.
package panel

import "slices"

// Over puts a matrix that lies row by row into panels, in its own memory. Beside that it
// takes memory for the last panel if that is narrower, and a bit for each row of each
// panel.
func Over[T any](data []T, k, n, width int) {
	last := n % width
	rest := cut(data, k, n, last)
	whole := data[:k*(n-last)]
	turn(whole, k, n/width, width)
	copy(data[len(whole):], rest)
}

// Back undoes Over.
func Back[T any](data []T, k, n, width int) {
	last := n % width
	whole := data[:k*(n-last)]
	rest := slices.Clone(data[len(whole) : k*n])
	turn(whole, n/width, k, width)
	if last == 0 {
		return
	}
	for r := k - 1; r >= 0; r-- { // from the end on, where the room is
		copy(data[r*n:], data[r*(n-last):(r+1)*(n-last)])
		copy(data[(r+1)*n-last:], rest[r*last:(r+1)*last])
	}
}

// cut takes the last columns out of a matrix, and closes the gaps that they leave.
func cut[T any](data []T, k, n, columns int) []T {
	if columns == 0 {
		return nil
	}
	rest := make([]T, 0, k*columns)
	for r := range k {
		row := data[r*n : (r+1)*n]
		rest = append(rest, row[n-columns:]...)
		copy(data[r*(n-columns):], row[:n-columns])
	}
	return rest
}

// turn transposes a matrix of records, each of width elements, in place: record by
// record along the cycles of the permutation.
func turn[T any](data []T, rows, columns, width int) {
	if rows < 2 || columns < 2 {
		return
	}
	record := func(i int) []T { return data[i*width : (i+1)*width] }
	done := make([]uint64, (rows*columns+63)/64)
	first := make([]T, width)
	for start := range rows * columns {
		if done[start/64]>>(start%64)&1 != 0 {
			continue
		}
		copy(first, record(start))
		for at := start; ; {
			done[at/64] |= 1 << (at % 64)
			from := at%rows*columns + at/rows
			if from == start {
				copy(record(at), first)
				break
			}
			copy(record(at), record(from))
			at = from
		}
	}
}

// Row copies the elements of a row from column c on, as many as dst takes, out of a
// matrix in panels.
func Row[T any](dst, data []T, k, n, width, row, c int) {
	for len(dst) > 0 {
		begin := c / width * width
		w := min(width, n-begin)
		m := copy(dst, data[begin*k+row*w+c-begin:begin*k+(row+1)*w])
		dst, c = dst[m:], c+m
	}
}

// Filler puts a matrix into panels that comes row by row, in pieces of any length.
type Filler[T any] struct {
	to          []T
	k, n, width int
	row, column int // of what comes next
}

// NewFiller fills to.
func NewFiller[T any](to []T, k, n, width int) *Filler[T] {
	return &Filler[T]{to: to, k: k, n: n, width: width}
}

// Add puts the next elements where they belong. Together they are k*n at most.
func (f *Filler[T]) Add(b []T) {
	if f.n == 0 {
		return
	}
	if f.column > 0 {
		b = f.part(b)
	}
	rows := len(b) / f.n
	f.rows(b[:rows*f.n], rows)
	f.part(b[rows*f.n:])
}

// rows adds whole rows, panel by panel: panels are far from each other, and a processor
// is slow to write a little here and there.
func (f *Filler[T]) rows(b []T, rows int) {
	for begin := 0; begin < f.n && rows > 0; begin += f.width {
		w := min(f.width, f.n-begin)
		to := f.to[begin*f.k+f.row*w:][:rows*w]
		for r := range rows {
			copy(to[r*w:(r+1)*w], b[r*f.n+begin:])
		}
	}
	f.row += rows
}

// part adds what goes into the row that has begun, and returns what is left.
func (f *Filler[T]) part(b []T) []T {
	for len(b) > 0 {
		begin := f.column / f.width * f.width // of the panel
		w := min(f.width, f.n-begin)
		at := begin*f.k + f.row*w
		m := copy(f.to[at+f.column-begin:at+w], b)
		b, f.column = b[m:], f.column+m
		if f.column == f.n {
			f.row, f.column = f.row+1, 0
			break
		}
	}
	return b
}
