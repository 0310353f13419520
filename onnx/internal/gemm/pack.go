package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Packed is a right-hand matrix of k rows and n columns, laid out for the tiles
// of a level: panels of as many columns as a tile has, each row by row; the last
// panel has only the columns that are left. It is read only and shared by runs.
type Packed struct {
	data  []float32
	k, n  int
	level kernel.Level
}

// PackedLen is the number of elements of a packed k x n matrix: k*n, no padding.
func PackedLen(k, n int) int { return k * n }

// Pack lays out b, of k rows and n columns, in new memory.
func Pack(level kernel.Level, b View, k, n int) *Packed {
	return PackInto(make([]float32, PackedLen(k, n)), level, b, k, n)
}

// PackInto lays out b in data, which has PackedLen(k, n) elements, does not
// overlap b and belongs to the result from now on. Reading it is fastest if it
// begins at a multiple of 64 bytes, as large slices do by themselves.
func PackInto(data []float32, level kernel.Level, b View, k, n int) *Packed {
	b.check(k, n)
	packed := &Packed{data: data[:PackedLen(k, n)], k: k, n: n, level: level}
	width := panelWidth(level)
	for c := 0; c < n; c += width {
		packPanel(level, packed.data[c*k:], b, k, c, min(width, n-c))
	}
	return packed
}

// K is the number of rows.
func (p *Packed) K() int { return p.k }

// N is the number of columns.
func (p *Packed) N() int { return p.n }

// Level is the level that it is packed for, and that it is multiplied on.
func (p *Packed) Level() kernel.Level { return p.level }

// Bytes is the memory that it holds.
func (p *Packed) Bytes() int64 { return 4 * int64(len(p.data)) }

// Column copies column j to dst, which has K elements.
func (p *Packed) Column(dst []float32, j int) {
	first := j - j%panelWidth(p.level)
	width := min(panelWidth(p.level), p.n-first)
	panel := p.data[first*p.k:]
	for r := range dst[:p.k] {
		dst[r] = panel[r*width+j-first]
	}
}

func (p *Packed) panels() panels {
	return panels{data: p.data, k: p.k}
}

// packPanel writes columns c to c+width of b to dst, row by row.
func packPanel(level kernel.Level, dst []float32, b View, k, c, width int) {
	if k == 0 {
		return
	}
	if b.Col == 1 {
		for r := range k {
			copy(dst[r*width:(r+1)*width], b.Data[r*b.Row+c:])
		}
		return
	}
	rows, columns := 0, 0
	if b.Row == 1 && level != kernel.Portable {
		rows, columns = turn(dst, b, k, c, width)
	}
	gather(dst, b, 0, rows, c, columns, width)
	gather(dst, b, rows, k, c, 0, width)
}

// gather copies the columns from "from" on of some rows, one by one.
func gather(dst []float32, b View, r0, r1, c, from, width int) {
	if from == width {
		return
	}
	for r := r0; r < r1; r++ {
		row := dst[r*width+from : (r+1)*width]
		at := r*b.Row + (c+from)*b.Col
		for j := range row {
			row[j] = b.Data[at]
			at += b.Col
		}
	}
}
