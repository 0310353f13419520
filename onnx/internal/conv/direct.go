package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// direct computes a convolution of up to three dimensions without any matrix in
// between: microkernels hold some blocks of output channels for a few pixels in
// registers, and broadcast the input or, depthwise, multiply it lane by lane.
//
// The work is cut in bands of the output. The band's input is staged if need be;
// then sets of filters go over it one after the other, in chunks of input
// channels whose weights stay in the first cache.
type direct struct {
	p      *Plan
	form   form
	grid   *grid
	taps   []int // bytes; of one block, or of all channels of a group
	units  int   // planes of the input: blocks of channels, or channels
	sets   []set
	direct bool   // microkernels write into the output itself
	rows   int    // output blocks of all groups
	split  []int  // blocks of the sets of a group
	chunk  int    // input blocks whose weights are used at once
	bare   *depth // how the input is read where it lies; nil: it is not depthwise, or staged
}

// set is some output blocks that are computed together.
type set struct {
	row    int // first block among direct.rows
	f      int // blocks
	weight int // where its filter begins
	bias   int
	unit   int // where its input begins
	lanes  int // how many of its output channels are there
	filter int // first output channel
}

// maxStage is the most floats that a band may have at the least: beyond it the
// geometry is not worth staging.
const maxStage = 64 << 20

// newDirect plans a geometry; not ok means that another method has to.
func newDirect(p *Plan, like *Plan) (*direct, bool) {
	g := &p.g
	per := g.Channels / g.Groups
	m := &direct{p: p, form: formPlanar}
	whole := per%p.block == 0 && g.Filters/g.Groups%p.block == 0
	switch {
	case per == 0 || g.Filters == 0 || len(g.In) > 3:
		return nil, false
	case per == 1 && g.Filters == g.Groups && g.Groups > 1:
		m.form = formDepth
	case p.in == Planar && per < p.block && per*pixels(g.Kernel) < 4096, g.Groups > 1 && !whole:
	default:
		m.form = formBlocked
	}
	m.units = g.Channels
	unitFloats := 1
	if m.form != formPlanar {
		m.units, unitFloats = blocksOf(g.Channels, p.block), p.block
	}
	other := (p.in == Blocked) != (m.form != formPlanar)
	m.grid = newGrid(g, other, m.units*unitFloats)
	if m.form == formDepth {
		m.bare = newDepth(p, m.grid)
	}
	if m.bare == nil && m.grid.least > maxStage {
		return nil, false
	}
	m.direct = p.out == Blocked && (g.Groups == 1 || whole || m.form == formDepth)
	m.offsets()
	if like == nil {
		m.arrange(divide(p.level, m.form, blocksOf(g.Filters/g.Groups, p.block), m.grid.cols))
		return m, true
	}
	old, ok := like.how.(*direct)
	if ok {
		m.arrange(old.split)
	}
	return m, ok
}

// offsets fills the taps: bytes from the first tap's pixel.
func (m *direct) offsets() {
	m.taps = m.grid.taps()
	unit := 4 * m.lane()
	for i := range m.taps {
		m.taps[i] *= unit
	}
	switch m.form {
	case formBlocked:
		return
	case formDepth:
		m.pairs()
		return
	}
	one := m.taps
	m.taps = nil
	for c := range m.p.g.Channels / m.p.g.Groups {
		for _, t := range one {
			m.taps = append(m.taps, t+c*m.grid.planePixels()*4)
		}
	}
}

// pairs puts the bytes to its weights behind each tap.
func (m *direct) pairs() {
	one := m.taps
	m.taps = nil
	for i, t := range one {
		m.taps = append(m.taps, t, 4*i*m.p.block)
	}
}

// lane is the number of floats of a pixel in a plane of the input.
func (m *direct) lane() int {
	if m.form == formPlanar {
		return 1
	}
	return m.p.block
}

// chunkFloats is how many weights a chunk should have: they stay in the first cache.
const chunkFloats = 8 << 10

// arrange divides the output blocks of each group into sets.
func (m *direct) arrange(split []int) {
	m.split = split
	g, block := &m.p.g, m.p.block
	if m.form == formDepth {
		m.arrangeDepth()
		return
	}
	filters, per := g.Filters/g.Groups, g.Channels/g.Groups
	m.chunk = max(1, chunkFloats/(len(m.taps)*block*block*split[0]))
	weight := 0
	for group := range g.Groups {
		done := 0
		for _, f := range split {
			s := set{row: m.rows, f: f, weight: weight, filter: group*filters + done, bias: group*filters + done}
			s.lanes = min(f*block, filters-done)
			s.unit = group * per / m.lane()
			m.sets = append(m.sets, s)
			m.rows += f
			done += f * block
			weight += f * block * per * m.grid.kernel.pixels()
		}
	}
}

// arrangeDepth has a set for each block: its input and output are the same block.
func (m *direct) arrangeDepth() {
	block := m.p.block
	m.chunk = 1
	for b := range m.units {
		m.sets = append(m.sets, set{
			row: b, f: 1, weight: b * block * m.grid.kernel.pixels(), bias: b * block, unit: b,
			lanes: min(block, m.p.g.Filters-b*block), filter: b * block,
		})
	}
	m.rows = m.units
}

// divide cuts n blocks into sets so that the microkernels take the fewest cycles
// for a row of pixels.
func divide(level kernel.Level, how form, n, pixels int) []int {
	best := make([]float64, n+1)
	from := make([]int, n+1)
	for i := 1; i <= n; i++ {
		for f := 1; f <= min(maxSet, i); f++ {
			c := best[i-f] + cycles(level, how, f, pixels)
			if from[i] == 0 || c < best[i]-1e-9 {
				best[i], from[i] = c, f
			}
		}
	}
	var sets []int
	for ; n > 0; n -= from[n] {
		sets = append(sets, from[n])
	}
	return sets
}

// cycles estimates the time for a row of n pixels of f blocks per input channel:
// two multiplications or two loads a cycle, and four cycles until a sum can go on.
// More than two blocks were measured to be slower than that.
func cycles(level kernel.Level, how form, f, n int) float64 {
	most := widest(level, how, f)
	calls := (n + most - 1) / most
	total, slow := 0.0, 1.0
	if f > 2 {
		slow = 1.1
	}
	for i := range calls {
		q := (n + i) / calls
		total += max(float64(f*q)/2*slow, float64(f+q)/2, 4) + 0.3
	}
	return total
}

func (m *direct) packedLen() int {
	if m.form == formDepth {
		return m.units * m.p.block * m.grid.kernel.pixels()
	}
	per := m.p.g.Channels / m.p.g.Groups
	return m.rows * m.p.block * per * m.grid.kernel.pixels()
}

// filterAt is where the weights of a filter begin, and how many filters lie side by
// side.
func (m *direct) filterAt(f int) (base, width int) {
	per, taps, block := m.p.g.Channels/m.p.g.Groups, m.grid.kernel.pixels(), m.p.block
	if m.form == formDepth {
		return f/block*taps*block + f%block, block
	}
	filters := m.p.g.Filters / m.p.g.Groups
	base, lane := f/filters*(m.rows/m.p.g.Groups)*block*per*taps, f%filters
	for _, size := range m.split {
		width = size * block
		if lane < width {
			break
		}
		lane -= width
		base += width * per * taps
	}
	return base + lane, width
}

// channelAt is where channel c stands in a set: by blocks of channels, then taps,
// or by channels.
func (m *direct) channelAt(c int) (at, step int) {
	taps := m.grid.kernel.pixels()
	if m.form != formBlocked {
		return c * taps, 1
	}
	block := m.p.block
	first := c - c%block
	return first*taps + c%block, min(block, m.p.g.Channels/m.p.g.Groups-first)
}

// stageLen and bandLen are the floats of the staged input and of an output that
// is computed before it is reordered.
func (m *direct) stageLen() int {
	if !m.grid.staged {
		return 0
	}
	return m.units * m.lane() * m.grid.planePixels()
}

func (m *direct) bandLen() int {
	if m.direct {
		return 0
	}
	return m.rows * m.p.block * m.grid.rows * m.grid.cols
}

func (m *direct) scratch() int { return m.stageLen() + m.bandLen() }
