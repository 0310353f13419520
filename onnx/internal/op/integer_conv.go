package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/qgemm"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func integerConvOperators() map[string]Spec {
	sums := convPlaces{x: 0, w: 1, zeroX: 2, zeroW: 3, scaleX: -1, scaleW: -1, scaleY: -1, zeroY: -1, bias: -1}
	quantized := convPlaces{x: 0, scaleX: 1, zeroX: 2, w: 3, scaleW: 4, zeroW: 5, scaleY: 6, zeroY: 7, bias: 8}
	makeAt := func(at convPlaces) func(*Attributes, int64) (Operator, error) {
		return func(a *Attributes, _ int64) (Operator, error) {
			o := &integerConv{at: at, frame: readFrame(a), groups: a.int("group", 1)}
			o.readDilation(a)
			return o, nil
		}
	}
	return map[string]Spec{
		"ConvInteger": {MinIn: 2, MaxIn: 4, MaxOut: 1, Make: makeAt(sums), Since: 10},
		"QLinearConv": {MinIn: 8, MaxIn: 9, MaxOut: 1, Make: makeAt(quantized), Since: 10},
	}
}

// integerConv is a convolution of 8-bit integers, for each group a product of filters
// and of what the positions of the result take of the input. Without scales the result
// is int32, otherwise 8 bits. Zero points and scales of filters are one number or one
// for each. Padding is the input's zero point.
type integerConv struct {
	frame
	at     convPlaces
	groups int64
	left   []*qgemm.Left // the filters of each group, if they are known
	shape  []int64       // of the filters, if they are packed
}

// convPlaces says which operand is what; -1: there is none.
type convPlaces struct{ x, w, zeroX, zeroW, scaleX, scaleW, scaleY, zeroY, bias int }

func (o *integerConv) Infer(in []*Info) ([]Info, error) {
	if err := o.checkTypes(in); err != nil {
		return nil, err
	}
	to := tensor.Int32
	if o.at.zeroY >= 0 {
		to = in[o.at.zeroY].Type
	}
	x, w := in[o.at.x], in[o.at.w]
	if !x.Ranked || !w.Ranked {
		return []Info{unranked(to)}, nil
	}
	if len(x.Shape) < 3 {
		return nil, BadInput(o.at.x, "has shape %v, expected at least 3 dimensions", x.Shape)
	}
	if err := o.checkFilters(x.Shape, w.Shape); err != nil {
		return nil, err
	}
	if err := o.checkNumbers(in, w.Shape[0]); err != nil {
		return nil, err
	}
	shape := append([]int64{x.Shape[0], w.Shape[0]}, openShape(len(x.Shape)-2)...)
	if slices.Contains(w.Shape, -1) {
		return []Info{ranked(to, shape...)}, nil
	}
	p, err := o.place(x.Shape[2:], w.Shape[2:])
	if err != nil {
		return nil, &OperandError{o.at.x, err}
	}
	copy(shape[2:], p.out)
	return []Info{ranked(to, shape...)}, nil
}

func (o *integerConv) checkTypes(in []*Info) error {
	for _, i := range []int{o.at.x, o.at.w} {
		if err := needType(in, i, tensor.Uint8, tensor.Int8); err != nil {
			return err
		}
	}
	for _, pair := range [][2]int{{o.at.zeroX, o.at.x}, {o.at.zeroW, o.at.w}} {
		if !present(in, pair[0]) {
			continue
		}
		if err := needTypeOf(in, pair[0], pair[1]); err != nil {
			return err
		}
	}
	if o.at.scaleX < 0 {
		return nil
	}
	for _, i := range []int{o.at.scaleX, o.at.scaleW, o.at.scaleY} {
		if err := needType(in, i, tensor.Float32); err != nil {
			return err
		}
	}
	if operand(in, o.at.bias) != nil {
		if err := needType(in, o.at.bias, tensor.Int32); err != nil {
			return err
		}
	}
	return needType(in, o.at.zeroY, tensor.Uint8, tensor.Int8)
}

// checkFilters holds filters x channels per group x kernel against the input.
func (o *integerConv) checkFilters(x, w []int64) error {
	if len(w) != len(x) {
		return BadInput(o.at.w, "has shape %v, expected %d dimensions", w, len(x))
	}
	channels, filters, per := x[1], w[0], w[1]
	if o.groups < 1 || filters > 0 && filters%o.groups != 0 || channels >= 0 && (channels%o.groups != 0 || per >= 0 && channels/o.groups != per) {
		return BadInput(o.at.w, "has %d filters of %d channels in %d groups, but there are %d channels", filters, per, o.groups, channels)
	}
	if o.kernel != nil && !scalesAgree(o.kernel, w[2:]) {
		return BadInput(o.at.w, "has shape %v, but kernel_shape is %v", w, o.kernel)
	}
	return nil
}

// checkNumbers holds what belongs to the whole or to each filter to its size.
func (o *integerConv) checkNumbers(in []*Info, filters int64) error {
	for _, c := range []struct {
		place int
		most  int64
	}{{o.at.zeroX, 1}, {o.at.scaleX, 1}, {o.at.scaleY, 1}, {o.at.zeroY, 1}, {o.at.zeroW, filters}, {o.at.scaleW, filters}} {
		v := operand(in, c.place)
		if v == nil || !v.Complete() || c.most < 0 {
			continue
		}
		if n := countStack(v.Shape); n != 1 && n != c.most {
			return BadInput(c.place, "has shape %v, expected %d numbers", v.Shape, c.most)
		}
	}
	if bias := operand(in, o.at.bias); bias != nil && bias.Complete() && filters >= 0 && countStack(bias.Shape) != filters {
		return BadInput(o.at.bias, "has shape %v, expected %d numbers", bias.Shape, filters)
	}
	return nil
}

// Pack keeps the filters for the kernels, if they and their zero points are known.
func (o *integerConv) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	w := fixed(o.at.w)
	if w == nil || o.left != nil {
		return nil, nil, nil
	}
	unread := []int{o.at.w}
	var zero *tensor.Tensor
	if operand(in, o.at.zeroW) != nil {
		if zero = fixed(o.at.zeroW); zero == nil {
			return nil, nil, nil
		}
		unread = append(unread, o.at.zeroW)
	}
	packed := *o
	packed.shape = slices.Clone(w.Shape)
	m, k := o.group(w.Shape)
	size := qgemm.LeftSize(m, k)
	for g := range int(o.groups) {
		l, err := packFilters(on, w, zero, g, m, k, size.Make())
		if err != nil {
			return nil, nil, err
		}
		packed.left = append(packed.left, l)
	}
	return &packed, unread, nil
}

// group is how many filters a group has, and the numbers of each.
func (o *integerConv) group(w []int64) (filters, numbers int) {
	return int(w[0] / o.groups), int(countStack(w[1:]))
}

func packFilters(on *kernel.On, w, zero *tensor.Tensor, group, m, k int, memory *qgemm.Memory) (*qgemm.Left, error) {
	if w.Type == tensor.Int8 {
		return qgemm.PackLeft(on, qgemm.Dense(tensor.Data[int8](w)[group*m*k:], k), m, k, linesOf[int8](zero, group*m, m), memory)
	}
	return qgemm.PackLeft(on, qgemm.Dense(tensor.Data[uint8](w)[group*m*k:], k), m, k, linesOf[uint8](zero, group*m, m), memory)
}

// window is what a group of one image is to the kernels.
func (o *integerConv) window(x, w []int64) (*qgemm.Window, error) {
	p, err := o.place(x[2:], w[2:])
	if err != nil {
		return nil, err
	}
	return &qgemm.Window{
		Channels: int(w[1]), In: integers(p.in), Kernel: integers(p.kernel), Strides: integers(p.strides),
		Dilation: integers(p.dilation), Begin: integers(p.begin), Out: integers(p.out),
	}, nil
}

// convStretch is how many positions are computed at a time.
func convStretch(w *qgemm.Window) int {
	const bytes = 1 << 18 // of packed positions: they stay in a second-level cache
	n := min(max(bytes/max(1, w.Depth()), 64), 1024) &^ 31
	return max(1, min(n, w.Positions()))
}

// sizes is the memory of one thread, and of all filters if they come with the run.
func (o *integerConv) sizes(w *qgemm.Window, filters []int64) (lane, shared qgemm.Size) {
	lane = w.WindowSize(convStretch(w)).Plus(qgemm.MulSize(1))
	lane.Bytes = (lane.Bytes + 3) &^ 3
	if o.left == nil {
		m, k := o.group(filters)
		shared = qgemm.LeftSize(m, k)
		shared = qgemm.Size{Bytes: shared.Bytes * int(o.groups), Words: shared.Words * int(o.groups)}
	}
	return lane, shared
}

// Scratch is the memory of packed operands, of sums, and of the scales of filters.
func (o *integerConv) Scratch(on *kernel.On, in []*Info) int64 {
	filters := in[o.at.w].Shape
	w, err := o.window(in[o.at.x].Shape, filters)
	if err != nil {
		return 0
	}
	lane, shared := o.sizes(w, filters)
	return int64(on.Workers())*scratchOf(lane) + scratchOf(shared) + filters[0]
}

// Run computes stretches of positions, one image and group after the other.
func (o *integerConv) Run(env *Env, in, out []*tensor.Tensor) error {
	x, filters := in[o.at.x], o.shape
	if filters == nil {
		filters = in[o.at.w].Shape
	}
	w, err := o.window(x.Shape, filters)
	if err != nil {
		return err
	}
	c := integerConvRun{integerConv: o, in: in, y: out[0], window: w, positions: w.Positions(), stretch: convStretch(w)}
	c.filters, _ = o.group(filters)
	c.scales, c.scratch = o.scales(in, env.Scratch[:filters[0]]), env.Scratch[filters[0]:]
	lane, shared := o.sizes(w, filters)
	memory, rest := memoryOf(shared, c.scratch)
	c.scratch, c.lane = rest, lane
	if c.lefts = o.left; c.lefts == nil {
		if c.lefts, err = o.pack(env.On, in, filters, memory); err != nil {
			return err
		}
	}
	blocks := (c.positions + c.stretch - 1) / c.stretch
	return env.On.Share(int(x.Shape[0]*o.groups)*blocks, func(lane, part int) {
		c.part(env.On, lane, part/blocks, part%blocks*c.stretch)
	})
}

// scales is what the sums of each filter are multiplied by.
func (o *integerConv) scales(in []*tensor.Tensor, room []float32) []float32 {
	if o.at.scaleX < 0 {
		return nil
	}
	x, y := tensor.Data[float32](in[o.at.scaleX])[0], tensor.Data[float32](in[o.at.scaleY])[0]
	w := tensor.Data[float32](in[o.at.scaleW])
	for i := range room {
		room[i] = x * w[min(i, len(w)-1)] / y
	}
	return room
}

// pack packs filters that come with the run.
func (o *integerConv) pack(on *kernel.On, in []*tensor.Tensor, filters []int64, memory *qgemm.Memory) (all []*qgemm.Left, err error) {
	m, k := o.group(filters)
	all = make([]*qgemm.Left, o.groups)
	for g := range all {
		if all[g], err = packFilters(on, in[o.at.w], operand(in, o.at.zeroW), g, m, k, memory); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// integerConvRun is what the parts of one run share.
type integerConvRun struct {
	*integerConv
	in                          []*tensor.Tensor
	y                           *tensor.Tensor
	window                      *qgemm.Window
	lefts                       []*qgemm.Left
	scales                      []float32
	scratch                     []float32
	lane                        qgemm.Size // of scratch for each thread
	filters, positions, stretch int        // filters of a group
}

// part computes a stretch of positions of one image and group. The context's end is
// for the caller to see.
func (c *integerConvRun) part(on *kernel.On, lane, image, from int) {
	group := image % int(c.groups)
	own := int(scratchOf(c.lane))
	memory, _ := memoryOf(c.lane, c.scratch[lane*own:][:own])
	n := min(c.stretch, c.positions-from)
	x, zero := c.in[c.at.x], operand(c.in, c.at.zeroX)
	numbers := x.Len() / max(1, int(x.Shape[0]*c.groups))
	var right *qgemm.Right
	if x.Type == tensor.Int8 {
		right = qgemm.PackWindow(on.Level, tensor.Data[int8](x)[image*numbers:], c.window, from, n, quantAt[int8](zero, 0), memory)
	} else {
		right = qgemm.PackWindow(on.Level, tensor.Data[uint8](x)[image*numbers:], c.window, from, n, quantAt[uint8](zero, 0), memory)
	}
	alone := &kernel.On{Context: on.Context, Level: on.Level}
	_ = qgemm.Mul(alone, c.lefts[group], right, c.output(group, image*c.filters*c.positions+from), memory)
}

func (c *integerConvRun) output(group, at int) qgemm.Output {
	if c.y.Type == tensor.Int32 {
		return &qgemm.Sums{Dst: tensor.Data[int32](c.y)[at:], Row: c.positions}
	}
	scale, bias := qgemm.PerLine[float32]{ByRow: true}, qgemm.PerLine[int32]{ByRow: true}
	first := group * c.filters
	scale.Values = c.scales[first : first+c.filters]
	if b := operand(c.in, c.at.bias); b != nil {
		bias.Values = tensor.Data[int32](b)[first : first+c.filters]
	}
	zero := c.in[c.at.zeroY]
	if c.y.Type == tensor.Int8 {
		return &qgemm.Requantized[int8]{Dst: tensor.Data[int8](c.y)[at:], Row: c.positions, Scale: scale, Bias: bias, Zero: quantAt[int8](zero, 0)}
	}
	return &qgemm.Requantized[uint8]{Dst: tensor.Data[uint8](c.y)[at:], Row: c.positions, Scale: scale, Bias: bias, Zero: quantAt[uint8](zero, 0)}
}
