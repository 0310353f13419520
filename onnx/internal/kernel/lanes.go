package kernel

import (
	"math"
)

// Lanes is an array cut along one dimension: Outer x N x Inner elements. A lane
// is the N elements that share an outer and an inner index.
type Lanes struct{ Outer, N, Inner int }

// LanesOf cuts shape along axis.
func LanesOf(shape []int64, axis int) Lanes {
	l := Lanes{Outer: 1, N: int(shape[axis]), Inner: 1}
	for _, d := range shape[:axis] {
		l.Outer *= int(d)
	}
	for _, d := range shape[axis+1:] {
		l.Inner *= int(d)
	}
	return l
}

// each calls do with the first element and the number of every lane.
func (l Lanes) each(on *On, do func(start, lane int)) error {
	if l.N == 0 { // nothing to do, however many lanes there are
		return nil
	}
	since := 0
	for o := range l.Outer {
		for i := range l.Inner {
			if since += l.N + 1; since > chunk {
				since = 0
				if err := on.Err(); err != nil {
					return err
				}
			}
			do(o*l.N*l.Inner+i, o*l.Inner+i)
		}
	}
	return nil
}

// Softmax writes exp(x - max) / sum along every lane, or its logarithm.
func Softmax(on *On, dst, src []float32, l Lanes, logarithm bool) error {
	end := l.N * l.Inner
	return l.each(on, func(start, _ int) {
		top := float32(math.Inf(-1))
		for i := start; i < start+end; i += l.Inner {
			top = max(top, src[i])
		}
		var sum float64
		for i := start; i < start+end; i += l.Inner {
			e := math.Exp(float64(src[i] - top))
			dst[i] = float32(e)
			sum += e
		}
		if logarithm {
			shift := math.Log(sum)
			for i := start; i < start+end; i += l.Inner {
				dst[i] = float32(float64(src[i]-top) - shift)
			}
			return
		}
		for i := start; i < start+end; i += l.Inner {
			dst[i] = float32(float64(dst[i]) / sum)
		}
	})
}

// ArgBest writes, for every lane, the position of the element that better
// prefers to all others: the first of equals, or the last. N must be positive.
func ArgBest[T any](on *On, dst []int64, src []T, l Lanes, last bool, better func(a, b T) bool) error {
	return l.each(on, func(start, lane int) {
		best := 0
		for n := 1; n < l.N; n++ {
			x, top := src[start+n*l.Inner], src[start+best*l.Inner]
			if better(x, top) || last && !better(top, x) {
				best = n
			}
		}
		dst[lane] = int64(best)
	})
}
