package kernel

// Matrix is a view of a slice: element (r, c) is Data[r*Row + c*Col].
type Matrix struct {
	Data     []float32
	Row, Col int
}

// MatMul adds scale * (a x b) to dst, which is dense and has m rows and n
// columns; a is m x k and b is k x n.
//
// The sums run over k in rising order, in float32, so that an element does not
// depend on how many rows are computed together: one record gives the same
// answer alone and in a batch.
func MatMul(on *On, dst []float32, m, k, n int, scale float32, a, b Matrix) error {
	since := 0
	for i := range m {
		row := dst[i*n : (i+1)*n]
		for p := 0; p < k; p++ {
			if since += n; since > chunk {
				since = 0
				if err := on.Err(); err != nil {
					return err
				}
			}
			axpy(row, scale*a.Data[i*a.Row+p*a.Col], b, p)
		}
	}
	return nil
}

// axpy adds x times row p of b to dst.
func axpy(dst []float32, x float32, b Matrix, p int) {
	if len(dst) == 0 {
		return
	}
	if b.Col == 1 {
		src := b.Data[p*b.Row:]
		src = src[:len(dst)]
		for j := range dst {
			dst[j] += x * src[j]
		}
		return
	}
	at := p * b.Row
	for j := range dst {
		dst[j] += x * b.Data[at]
		at += b.Col
	}
}
