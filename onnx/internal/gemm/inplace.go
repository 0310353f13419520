package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// PackOver lays out a matrix of k rows of n elements in its own memory, which belongs
// to the result from now on: a large model's weights need not be there twice. It takes
// memory for one panel and a bit for each row of each panel.
func PackOver(data []float32, level kernel.Level, k, n int) *Packed {
	Dense(data, n).check(k, n)
	packed := &Packed{data: data[:PackedLen(k, n)], k: k, n: n, level: level}
	width := panelWidth(level)
	rest := cutRest(packed.data, k, n, n%width)
	whole := packed.data[:k*(n-n%width)]
	turnRecords(whole, k, n/width, width)
	copy(packed.data[len(whole):], rest)
	return packed
}

// PackOverTurned lays out the transpose of a matrix of n rows of k elements in its own
// memory, as PackOver does. It takes memory for one panel.
func PackOverTurned(data []float32, level kernel.Level, k, n int) *Packed {
	Dense(data, k).check(n, k)
	packed := &Packed{data: data[:PackedLen(k, n)], k: k, n: n, level: level}
	width := panelWidth(level)
	panel := make([]float32, k*min(width, n))
	for c := 0; c < n; c += width { // the rows that make a panel lie where it will
		w := min(width, n-c)
		packPanel(level, panel, Dense(packed.data[c*k:(c+w)*k], k).Turned(), k, 0, w)
		copy(packed.data[c*k:], panel[:w*k])
	}
	return packed
}

// cutRest takes the last columns out of a matrix, and closes the gaps that they leave.
func cutRest(data []float32, k, n, columns int) []float32 {
	if columns == 0 {
		return nil
	}
	rest := make([]float32, 0, k*columns)
	for r := range k {
		row := data[r*n : (r+1)*n]
		rest = append(rest, row[n-columns:]...)
		copy(data[r*(n-columns):], row[:n-columns])
	}
	return rest
}

// turnRecords transposes a matrix of records, each of width elements, in place: record
// by record along the cycles of the permutation.
func turnRecords(data []float32, rows, columns, width int) {
	if rows < 2 || columns < 2 {
		return
	}
	record := func(i int) []float32 { return data[i*width : (i+1)*width] }
	done := make([]uint64, (rows*columns+63)/64)
	first := make([]float32, width)
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
