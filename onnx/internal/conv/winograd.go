package conv

import "math"

// winograd computes a convolution of 3x3 taps with stride 1 by Winograd's minimal
// filtering F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2015): each tile of 4x4 output pixels sees 6x6 pixels d, and is
//
//	A^T [(G g G^T) * (B^T d B)] A
//
// with a product of single elements in the middle, 36 of them where the direct form
// has 144. Over all channels and filters the middle is 36 products of matrices, which
// the microkernels of the direct form compute as layers of 1x1 taps whose pixels are
// tiles. Weights are transformed when they are packed, and are four times as many.
//
// The points of the interpolation are 0, +-sqrt(1/2), +-sqrt(2) and infinity: with
// them the mean error is 1 to 2.4 times that of plain summation, where the usual 0, +-1,
// +-2 have 1.6 to 3.4.
//
// A tile mixes its pixels, so the error of an output is relative to the largest pixel of
// its tile, and one that is infinite or NaN would spread to outputs that do not see it.
// Outputs that are not finite are therefore computed anew, one by one.
type winograd struct {
	plainOrder // of weights that are not finite
	p          *Plan

	high, wide  int // tiles of an image
	units, rows int // blocks of channels of the input and the output
	split       []int
	sets        []set
	chunk       int // input blocks whose weights are used at once
	band        int // tiles that are computed together
	taps        []int
}

// The pixels of a tile's side in the output and in the input, and how many products a
// tile has.
const (
	tileOut   = 4
	tileIn    = 6
	tileSpots = tileIn * tileIn
)

// tileFloats is how large the transforms of a band of tiles may get: they should stay
// in the second cache while all filters go over them.
const tileFloats = 480 << 10

// newWinograd plans a geometry; not ok means that it does not fit this form.
func newWinograd(p *Plan, like *Plan) (*winograd, bool) {
	if !minimal(p) {
		return nil, false
	}
	g := &p.g
	m := &winograd{plainOrder: plainOrder{p}, p: p, taps: []int{0}}
	m.high, m.wide = (g.Out[0]+tileOut-1)/tileOut, (g.Out[1]+tileOut-1)/tileOut
	m.units, m.rows = blocksOf(g.Channels, p.block), blocksOf(g.Filters, p.block)
	each := float64(tileSpots) * float64(m.units+m.rows) * float64(p.block)
	most, tiles := int(max(1, tileFloats/each)), max(1, m.high*m.wide)
	bands := (tiles + most - 1) / most
	m.band = (tiles + bands - 1) / bands
	m.split = divide(p.level, formBlocked, m.rows, m.band)
	if like != nil {
		old, ok := like.how.(*winograd)
		if !ok {
			return nil, false
		}
		m.split = old.split
	}
	m.arrange()
	return m, true
}

// minimal says that a geometry has the form that winograd computes.
func minimal(p *Plan) bool {
	g := &p.g
	if g.Groups != 1 || len(g.In) != 2 || g.Channels == 0 || g.Filters == 0 || p.in != Blocked || p.out != Blocked {
		return false
	}
	for d := range g.In {
		if g.Kernel[d] != 3 || g.Strides[d] != 1 || g.Dilation[d] != 1 {
			return false
		}
	}
	return true
}

// arrange lays the output blocks out in sets.
func (m *winograd) arrange() {
	block := m.p.block
	m.chunk = max(1, chunkFloats/(block*block*m.split[0]))
	for _, f := range m.split {
		done := 0
		if n := len(m.sets); n > 0 {
			done = m.sets[n-1].row + m.sets[n-1].f
		}
		m.sets = append(m.sets, set{row: done, f: f, weight: done * block * m.p.g.Channels})
	}
}

// spot is the number of weights of one of the products of a tile.
func (m *winograd) spot() int { return m.rows * m.p.block * m.p.g.Channels }

func (m *winograd) packedLen() int {
	if m.spot() > math.MaxInt/tileSpots {
		return -1
	}
	return tileSpots * m.spot()
}

// inStep and outStep are the distances of a tile's 36 values in the scratch. Powers of
// two would share their places in a cache.
func (m *winograd) inStep() int  { return m.units*m.p.block*m.band + maxBlock }
func (m *winograd) outStep() int { return m.rows*m.p.block*m.band + maxBlock }

func (m *winograd) scratch() int { return tileSpots * (m.inStep() + m.outStep()) }
