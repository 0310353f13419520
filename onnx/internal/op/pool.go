package op

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/conv"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func poolOperators() map[string]Spec {
	one := func(make func(*Attributes, int64) (Operator, error)) Spec {
		return Spec{MinIn: 1, MaxIn: 1, MaxOut: 1, Make: make}
	}
	return map[string]Spec{
		"MaxPool":           {MinIn: 1, MaxIn: 1, MaxOut: 2, Make: makeMaxPool},
		"AveragePool":       one(makeAveragePool),
		"LpPool":            one(makeLpPool),
		"GlobalMaxPool":     one(makeGlobal(maxOf)),
		"GlobalAveragePool": one(makeGlobal(meanOf)),
		"GlobalLpPool":      one(makeGlobal(normOf)),
	}
}

// poolKind is what a pooling makes of the elements under a window.
type poolKind uint8

const (
	maxOf poolKind = iota
	meanOf
	normOf
)

// Pool is a pooling of images, in the layout that the planner chose; see Conv. It is
// immutable.
type Pool struct {
	frame
	Layout  conv.Layout
	kind    poolKind
	global  bool // the window is the whole image
	padded  bool // means count padding
	norm    float64
	indices bool // result 1 says where the maxima are
	columns bool // in an order where the first spatial dimension is the fastest
}

func makeMaxPool(a *Attributes, _ int64) (Operator, error) {
	o := &Pool{frame: readFrame(a), kind: maxOf, indices: a.Outputs > 1, columns: a.flag("storage_order", false)}
	o.readDilation(a)
	o.ceil = a.flag("ceil_mode", false)
	return o, o.needKernel()
}

func makeAveragePool(a *Attributes, opset int64) (Operator, error) {
	o := &Pool{frame: readFrame(a), kind: meanOf, padded: a.flag("count_include_pad", false)}
	if opset >= 19 {
		o.readDilation(a)
	}
	if opset >= 10 {
		o.ceil = a.flag("ceil_mode", false)
	}
	return o, o.needKernel()
}

func makeLpPool(a *Attributes, opset int64) (Operator, error) {
	o := &Pool{frame: readFrame(a), kind: normOf, norm: float64(a.int("p", 2))}
	if opset >= 18 {
		o.readDilation(a)
		o.ceil = a.flag("ceil_mode", false)
	}
	return o, o.needKernel()
}

func makeGlobal(kind poolKind) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, _ int64) (Operator, error) {
		o := &Pool{frame: frame{auto: "NOTSET"}, kind: kind, global: true}
		if kind == normOf {
			o.norm = float64(a.int("p", 2))
		}
		return o, nil
	}
}

// types are what the kind can work on.
func (o *Pool) types() []tensor.DataType {
	if o.kind == maxOf && !o.global {
		return []tensor.DataType{tensor.Float32, tensor.Float64, tensor.Int8, tensor.Uint8}
	}
	return []tensor.DataType{tensor.Float32}
}

// Infer follows ONNX's pools.
func (o *Pool) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, o.types()...); err != nil {
		return nil, err
	}
	if o.kind == normOf && o.norm < 1 {
		return nil, BadInput(0, "is to have its norm of order %v taken, expected at least 1", o.norm)
	}
	if err := needImage(in, 0, o.Layout); err != nil {
		return nil, err
	}
	x := in[0]
	out := []Info{unranked(x.Type)}
	if x.Ranked {
		p, err := o.over(x.Shape)
		if err != nil {
			return nil, &OperandError{0, err}
		}
		shape := slices.Clone(x.Shape)
		copy(shape[2:], p.out)
		out[0] = ranked(x.Type, shape...)
	}
	if o.indices {
		at := out[0]
		at.Type = tensor.Int64
		out = append(out, at)
	}
	return out, nil
}

// over places the window on an image.
func (o *Pool) over(shape []int64) (placed, error) {
	_, _, spatial := image(shape, o.Layout)
	if !o.global {
		return o.place(spatial, o.kernel)
	}
	whole := slices.Clone(spatial)
	for d := range whole {
		whole[d] = max(1, whole[d])
	}
	p, err := o.sizes(spatial, whole)
	for d := range p.out {
		p.out[d] = 1
	}
	return p, err
}

// Run pools.
func (o *Pool) Run(env *Env, in, out []*tensor.Tensor) error {
	shape := in[0].Shape
	p, err := o.over(shape)
	if err != nil {
		return err
	}
	channels := shape[1]
	if o.Layout == conv.Blocked {
		channels *= shape[len(shape)-1]
	}
	g := p.geometry(shape[0], channels, channels, 1)
	var pool *conv.Pool
	if o.kind == meanOf {
		pool, err = conv.AveragePool(env.On.Level, g, o.Layout, o.padded, integers(p.end))
	} else {
		pool, err = conv.MaxPool(env.On.Level, g, o.Layout)
	}
	if err != nil {
		return err
	}
	switch {
	case o.kind == normOf:
		return conv.LpPool(env.On, pool, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), o.norm)
	case in[0].Type == tensor.Float32 && (len(out) < 2 || !o.indices):
		return pool.Run(env.On, tensor.Data[float32](out[0]), tensor.Data[float32](in[0]))
	}
	return o.maxima(env, pool, in[0], out)
}

// maxima is the maximum of any type, with or without its place.
func (o *Pool) maxima(env *Env, pool *conv.Pool, in *tensor.Tensor, out []*tensor.Tensor) error {
	var at *conv.Indices
	if o.indices {
		at = &conv.Indices{At: tensor.Data[int64](out[1]), ColumnMajor: o.columns}
	}
	switch in.Type {
	case tensor.Float32:
		return conv.MaxPoolOf(env.On, pool, tensor.Data[float32](out[0]), tensor.Data[float32](in), float32(math.Inf(-1)), at)
	case tensor.Float64:
		return conv.MaxPoolOf(env.On, pool, tensor.Data[float64](out[0]), tensor.Data[float64](in), math.Inf(-1), at)
	case tensor.Int8:
		return conv.MaxPoolOf(env.On, pool, tensor.Data[int8](out[0]), tensor.Data[int8](in), math.MinInt8, at)
	}
	return conv.MaxPoolOf(env.On, pool, tensor.Data[uint8](out[0]), tensor.Data[uint8](in), 0, at)
}

// Reorder brings an image from one layout to the other; see Conv. It is what a planner
// puts between operators of different layouts.
type Reorder struct {
	To       conv.Layout
	Channels int64 // of the Planar result
	Block    int64 // of the Blocked result: conv.Block of the level
}

// Infer gives the shape in the other layout.
func (o Reorder) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	from := conv.Planar + conv.Blocked - o.To
	if err := needImage(in, 0, from); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(tensor.Float32)}, nil
	}
	batch, channels, spatial := image(in[0].Shape, from)
	if o.To == conv.Planar {
		channels = o.Channels
	}
	return []Info{ranked(tensor.Float32, imageShape(batch, channels, spatial, o.To, o.Block)...)}, nil
}

// Cheap says that it is one pass.
func (o Reorder) Cheap() {}

// Run copies.
func (o Reorder) Run(env *Env, in, out []*tensor.Tensor) error {
	dst, src := tensor.Data[float32](out[0]), tensor.Data[float32](in[0])
	plain, move := in[0].Shape, conv.ToBlocked
	if o.To == conv.Planar {
		plain, move = out[0].Shape, conv.FromBlocked
	}
	return move(env.On, dst, src, int(plain[0]), int(plain[1]), int(countStack(plain[2:])))
}

// Blockable says whether the pooling can work on images in blocks of channels.
func (o *Pool) Blockable() bool { return o.kind != normOf && !o.indices }
