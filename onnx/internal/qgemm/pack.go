package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

const (
	quad  = 4  // steps of k that lie side by side: one lane of a dot product
	panel = 16 // columns of a panel: with a quad, 64 bytes
)

func quads(k int) int { return (k + quad - 1) / quad }

func panels(n int) int { return (n + panel - 1) / panel }

// Left is a packed left operand: rows of unsigned bytes, filled with zeros to a
// multiple of a quad.
type Left struct {
	m, k   int
	data   []uint8
	zero   []int32 // of each row
	excess []int32 // of each row: the sum of (a - zero)
}

// Right is a packed right operand: panels of signed bytes that follow each other,
// each with a quad of its first column, of its second, and so on; then the next
// quads. Columns beyond the last one, and the end of the last quad, are zeros.
type Right struct {
	k, n int
	data []uint8
	zero []int32 // of each column, panel by panel
	sum  []int32 // of each column
}

// LeftSize is the memory of a packed m x k operand.
func LeftSize(m, k int) Size { return Size{m * quads(k) * quad, 2 * m} }

// RightSize is the memory of a packed k x n operand.
func RightSize(k, n int) Size {
	return Size{panels(n) * panel * quads(k) * quad, 2 * panels(n) * panel}
}

// PackLeft packs an m x k operand. zero holds one zero point, or one for each row;
// nil stands for 0. The error is the context's.
func PackLeft[T Byte](on *kernel.On, v View[T], m, k int, zero []T, memory *Memory) (*Left, error) {
	v.check(m, k)
	size := LeftSize(m, k)
	l := &Left{m: m, k: k, data: memory.bytes(size.Bytes), zero: memory.words(m), excess: memory.words(m)}
	flip := flipLeft[T]()
	rows := batch(k)
	err := on.Parallel((m+rows-1)/rows, func(part int) {
		for r := part * rows; r < min(m, (part+1)*rows); r++ {
			l.zero[r] = shifted(zero, r, flip)
			l.excess[r] = packRow(on.Level, l.row(r), v, r, k, flip) - int32(k)*l.zero[r]
		}
	})
	return l, err
}

// PackRight packs a k x n operand. zero holds one zero point, or one for each
// column; nil stands for 0. The error is the context's.
func PackRight[T Byte](on *kernel.On, v View[T], k, n int, zero []T, memory *Memory) (*Right, error) {
	v.check(k, n)
	size := RightSize(k, n)
	r := &Right{k: k, n: n, data: memory.bytes(size.Bytes), zero: memory.words(size.Words / 2), sum: memory.words(size.Words / 2)}
	flip := 0x80 ^ flipLeft[T]()
	several := batch(k * panel)
	err := on.Parallel((panels(n)+several-1)/several, func(part int) {
		for p := part * several; p < min(panels(n), (part+1)*several); p++ {
			for c := p * panel; c < min(n, (p+1)*panel); c++ {
				r.zero[c] = shifted(zero, c, flip^0x80) - 128
			}
			clear(r.zero[min(n, (p+1)*panel) : (p+1)*panel])
			packPanel(on.Level, r.panel(p), r.sum[p*panel:(p+1)*panel], v, k, p*panel, min(panel, n-p*panel), flip)
		}
	})
	return r, err
}

// batch is how many lines of a length are packed in one part of the work.
func batch(length int) int { return max(1, 1<<16/max(1, length)) }

// flipLeft is what makes the bytes of a type unsigned, with 128 for a signed zero.
func flipLeft[T Byte]() uint8 {
	if ^T(0) < 0 {
		return 0x80
	}
	return 0
}

// shifted is the zero point of line i as an unsigned number.
func shifted[T Byte](zero []T, i int, flip uint8) int32 {
	switch len(zero) {
	case 0:
		return int32(flip)
	case 1:
		i = 0
	}
	return int32(uint8(zero[i]) ^ flip)
}

func (l *Left) row(r int) []uint8 {
	n := quads(l.k) * quad
	return l.data[r*n : (r+1)*n]
}

func (r *Right) panel(p int) []uint8 {
	n := quads(r.k) * quad * panel
	return r.data[p*n : (p+1)*n]
}

// packRow writes one row of a left operand and returns its sum.
func packRow[T Byte](level kernel.Level, dst []uint8, v View[T], r, k int, flip uint8) int32 {
	done, sum := 0, int32(0)
	if v.Col == 1 && k > 0 {
		done, sum = copyRow(level, dst, v.Data[r*v.Row:r*v.Row+k], flip)
	}
	for c := done; c < k; c++ {
		dst[c] = uint8(v.Data[r*v.Row+c*v.Col]) ^ flip
		sum += int32(dst[c])
	}
	clear(dst[k:])
	return sum
}

// packPanel writes the columns from c on, and their sums.
func packPanel[T Byte](level kernel.Level, dst []uint8, sum []int32, v View[T], k, c, columns int, flip uint8) {
	done := 0
	clear(sum)
	if v.Col == 1 && columns == panel && k >= quad {
		done = interleave(level, dst, v.Data[c:], v.Row, k/quad, sum, flip)
	}
	for q := done; q < quads(k); q++ {
		to := dst[q*quad*panel:][:quad*panel]
		clear(to)
		for i := range min(quad, k-q*quad) {
			from := (q*quad+i)*v.Row + c*v.Col
			for j := range columns {
				b := uint8(v.Data[from+j*v.Col]) ^ flip
				to[j*quad+i] = b
				sum[j] += int32(int8(b))
			}
		}
	}
}

// Columns is how many columns the operand has.
func (r *Right) Columns() int { return r.n }
