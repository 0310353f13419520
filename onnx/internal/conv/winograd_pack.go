package conv

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// transformer is a method whose weights are not those of ONNX in another order.
type transformer interface {
	// transform fills packed, and says whether all of it is finite. It ends with the
	// context, whose error it returns.
	transform(on *kernel.On, packed, weights []float32) (finite bool, err error)
}

// transform computes G g G^T of all filters in float64. They lie by product, then as
// sets of filters over all channels.
func (m *winograd) transform(on *kernel.On, packed, weights []float32) (finite bool, err error) {
	channels, block := m.p.g.Channels, m.p.block
	var made [tileSpots][maxSet * maxBlock]float32
	var sum float32
	for _, s := range m.sets {
		width := s.f * block
		first := s.row * block
		used := min(width, m.p.g.Filters-first)
		for c := range channels {
			if err := on.Err(); err != nil {
				return false, err
			}
			for lane := range used {
				at := ((first+lane)*channels + c) * 9
				for spot, u := range filterTile((*[9]float32)(weights[at:])) {
					made[spot][lane] = u
					sum += u * 0
				}
			}
			for spot := range made {
				copy(packed[spot*m.spot()+s.weight+c*width:][:used], made[spot][:used])
			}
		}
	}
	return sum == 0, nil
}

// filterTile is G g G^T.
func filterTile(g *[9]float32) (tile [tileSpots]float32) {
	var columns [3][tileIn]float64
	for j := range columns {
		columns[j] = filterLine(float64(g[j]), float64(g[3+j]), float64(g[6+j]))
	}
	for i := range tileIn {
		for j, u := range filterLine(columns[0][i], columns[1][i], columns[2][i]) {
			tile[i*tileIn+j] = float32(u)
		}
	}
	return tile
}

// filterLine is G g.
func filterLine(a, b, c float64) [tileIn]float64 {
	near, far := -(2*a+c)/3, (a+2*c)/6
	odd := b * (math.Sqrt2 / 3)
	return [tileIn]float64{a, near - odd, near + odd, far + odd/2, far - odd/2, c}
}

// filterParts says how a weight of a line comes out of its transform again: g1 is the
// difference of two values.
func filterParts(tap int) (spots [2]int, factors [2]float32, n int) {
	switch tap {
	case 0:
		return [2]int{0}, [2]float32{1}, 1
	case 1:
		return [2]int{3, 4}, [2]float32{1.5 * math.Sqrt2, -1.5 * math.Sqrt2}, 2
	}
	return [2]int{5}, [2]float32{1}, 1
}
