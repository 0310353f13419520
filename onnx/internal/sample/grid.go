package sample

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Grid reads images at places between their elements (ONNX, GridSample).
type Grid struct {
	Mode    string // nearest, linear or cubic
	Padding string // zeros, border or reflection: what lies beyond the edge
	Corners bool   // -1 and 1 are the middle of the elements at the edge, not its outer side
}

// place turns a coordinate from -1 to 1 into a place along n elements.
func (g Grid) place(v float64, n int) float64 {
	if g.Corners {
		return (v + 1) / 2 * float64(n-1)
	}
	return ((v+1)*float64(n) - 1) / 2
}

// inside moves a place that is beyond the edge, as the padding says.
func (g Grid) inside(x float64, n int) float64 {
	low, high := -0.5, float64(n)-0.5
	if g.Corners {
		low, high = 0, float64(n-1)
	}
	if x >= low && x <= high {
		return x
	}
	switch g.Padding {
	case "border":
		return min(max(x, 0), float64(n-1))
	case "reflection":
		return reflect(x, low, high)
	}
	return x
}

// reflect mirrors x at both borders until it lies between them.
func reflect(x, low, high float64) float64 {
	span := high - low
	if !(span > 0) {
		return low
	}
	d := math.Mod(math.Abs(x-low), 2*span)
	if d > span {
		d = 2*span - d
	}
	return low + d
}

// index is the element at a whole place, or -1 for a zero.
func (g Grid) index(x float64, n int) int {
	if x >= 0 && x < float64(n) {
		return int(x)
	}
	switch g.Padding {
	case "zeros":
		return -1
	case "reflection":
		low, high := -0.5, float64(n)-0.5
		if g.Corners {
			low, high = 0, float64(n-1)
		}
		return clamp(math.Trunc(reflect(x, low, high)), n)
	}
	return clamp(x, n)
}

// Run computes dst, batch x channels x places, from src, batch x channels x the
// dimensions in size, at the places in grid: batch x places x len(size) coordinates,
// that of the last dimension first.
func Run[F Float](on *kernel.On, g Grid, dst, src, grid []F, batch, channels, places int, size []int) error {
	image, rank := 1, len(size)
	for _, d := range size {
		image *= d
	}
	each := max(1, chunk/(channels*g.points(rank)))
	parts := (places + each - 1) / each
	return on.Parallel(batch*parts, func(part int) {
		b := part / parts
		near := newNeighbours(g, size)
		for p := part % parts * each; p < min((part%parts+1)*each, places) && on.Err() == nil; p++ {
			near.find(func(d int) float64 { return float64(grid[(b*places+p)*rank+rank-1-d]) })
			for c := range channels {
				dst[(b*channels+c)*places+p] = read(near, src[(b*channels+c)*image:(b*channels+c+1)*image])
			}
		}
	})
}

// points is how many elements each place reads.
func (g Grid) points(rank int) int {
	per := map[string]int{"nearest": 1, "linear": 2, "cubic": 4}[g.Mode]
	n := 1
	for range rank {
		n *= per
	}
	return n
}

// neighbours is the elements around a place, and their weights.
type neighbours struct {
	Grid
	size    []int
	weights Weights
	from    [][]int // per dimension: index of each neighbour times the stride, or -1
	share   [][]float64
	at      []int // of all combinations
	weight  []float64
}

func newNeighbours(g Grid, size []int) *neighbours {
	n := &neighbours{Grid: g, size: size, weights: Weights{1, func(_ float64, w []float64) { w[0] = 1 }}}
	switch g.Mode {
	case "linear":
		n.weights = Linear()
	case "cubic":
		n.weights = Cubic(-0.75)
	}
	for range size {
		n.from = append(n.from, make([]int, n.weights.Width))
		n.share = append(n.share, make([]float64, n.weights.Width))
	}
	return n
}

// find works out the neighbours of the place whose coordinates at returns.
func (n *neighbours) find(at func(d int) float64) {
	stride := 1
	for d := len(n.size) - 1; d >= 0; d-- {
		size := n.size[d]
		x := n.place(at(d), size)
		if n.Mode == "nearest" {
			x = math.RoundToEven(x)
		}
		x = n.inside(x, size)
		left := math.Floor(x)
		if n.Mode == "nearest" {
			left = math.Trunc(x)
		}
		n.weights.Of(x-left, n.share[d])
		for k := range n.from[d] {
			n.from[d][k] = -1
			if i := n.index(left+float64(k-(n.weights.Width-1)/2), size); i >= 0 {
				n.from[d][k] = i * stride
			}
		}
		stride *= size
	}
	n.at, n.weight = append(n.at[:0], 0), append(n.weight[:0], 1)
	for d := range n.size {
		n.cross(d)
	}
}

// cross combines what has been found with dimension d.
func (n *neighbours) cross(d int) {
	before := len(n.at)
	for i := range before {
		for k, from := range n.from[d] {
			if from >= 0 {
				n.at = append(n.at, n.at[i]+from)
				n.weight = append(n.weight, n.weight[i]*n.share[d][k])
			}
		}
	}
	n.at, n.weight = n.at[:copy(n.at, n.at[before:])], n.weight[:copy(n.weight, n.weight[before:])]
}

func read[F Float](n *neighbours, src []F) F {
	var sum F
	for i, at := range n.at {
		sum += src[at] * F(n.weight[i])
	}
	return sum
}
