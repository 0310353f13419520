package kernel

// Grid says where the elements of a dense result come from, dimension by dimension:
// index (i, j, ...) is the run of elements of src at At[0][i] + At[1][j] + ... An
// entry of -1 leaves what is there.
type Grid struct {
	At  [][]int64
	Run int // elements that follow each other in both arrays
}

// TakeGrid copies what the grid says. Rows that are the same as the one before are
// copied from it, which is what enlarging an image mostly does.
func TakeGrid[T any](on *On, dst, src []T, g Grid) error {
	last := len(g.At) - 1
	row := g.At[last]
	outer := 1
	for _, at := range g.At[:last] {
		outer *= len(at)
	}
	width := len(row) * g.Run
	if width == 0 || outer == 0 {
		return nil
	}
	each := max(1, chunk/width)
	return on.Parallel((outer+each-1)/each, func(part int) {
		before := int64(-1)
		for i := part * each; i < min((part+1)*each, outer); i++ {
			base := g.base(i, last)
			to := dst[i*width : (i+1)*width]
			switch {
			case base < 0:
			case base == before:
				long(on, to, dst[(i-1)*width:i*width])
			default:
				takeRow(on, to, src[base:], row, g.Run)
			}
			before = base
		}
	})
}

// base is where row number i begins in src, or -1.
func (g Grid) base(i, last int) int64 {
	base := int64(0)
	for d := last - 1; d >= 0; d-- {
		at := g.At[d][i%len(g.At[d])]
		if at < 0 {
			return -1
		}
		i /= len(g.At[d])
		base += at
	}
	return base
}

func takeRow[T any](on *On, dst, src []T, row []int64, run int) {
	for most := max(1, chunk/run); len(row) > 0 && on.Err() == nil; {
		n := min(most, len(row))
		takePiece(on, dst[:n*run], src, row[:n], run)
		dst, row = dst[n*run:], row[n:]
	}
}

func takePiece[T any](on *On, dst, src []T, row []int64, run int) {
	if run == 1 {
		dst = dst[:len(row)]
		for i, at := range row {
			if at >= 0 {
				dst[i] = src[at]
			}
		}
		return
	}
	for i, at := range row {
		if at >= 0 {
			long(on, dst[i*run:(i+1)*run], src[at:])
		}
	}
}
