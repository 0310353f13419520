package mutate_test

import (
	"math"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/internal/mutate"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// giver makes values for a model's inputs: those that a case was published with, as
// they are or changed, or new ones of the declared shape.
type giver struct {
	*mutate.Choice
	recorded [][]byte
	symbols  map[string]int64
}

func (g *giver) values(s *onnx.Session) map[string]*tensor.Tensor {
	g.symbols = map[string]int64{}
	in := map[string]*tensor.Tensor{}
	for i, v := range s.Inputs() {
		t := g.file(i, v)
		if t == nil || g.One(6) {
			t = g.value(v)
		}
		if g.One(4) {
			g.spoil(t)
		}
		in[v.Name] = t
	}
	if g.One(30) && len(in) > 0 { // wrong on purpose
		name := s.Inputs()[g.Below(len(in))].Name
		switch g.Below(3) {
		case 0:
			delete(in, name)
		case 1:
			in[name] = nil
		default:
			in[name] = g.value(onnx.ValueInfo{Type: mutate.Of(g.Choice, tensor.Types())})
		}
	}
	return in
}

// file reads value i of the case.
func (g *giver) file(i int, v onnx.ValueInfo) *tensor.Tensor {
	if i >= len(g.recorded) {
		return nil
	}
	parse := onnx.ParseTensor
	switch v.Type {
	case tensor.Sequence:
		parse = onnx.ParseSequence
	case tensor.Optional:
		parse = onnx.ParseOptional
	}
	t, err := parse(g.recorded[i], limits())
	if err != nil {
		return nil
	}
	if v.Type == tensor.Sequence || v.Type == tensor.Optional {
		t.ItemType, t.Inner = v.Item, v.Inner
	}
	return t
}

func (g *giver) value(v onnx.ValueInfo) *tensor.Tensor {
	if v.Type != tensor.Sequence && v.Type != tensor.Optional {
		return g.tensor(v)
	}
	t := &tensor.Tensor{Type: v.Type, ItemType: v.Item, Inner: v.Inner}
	most := 4
	if v.Type == tensor.Optional {
		most = 2
	}
	for range g.Below(most) {
		t.Items = append(t.Items, g.value(onnx.ValueInfo{Type: v.Item, Item: v.Inner}))
	}
	return t
}

func (g *giver) tensor(v onnx.ValueInfo) *tensor.Tensor {
	shape := slices.Clone(v.Shape)
	if shape == nil {
		shape = slices.Repeat([]int64{-1}, g.Below(5))
	}
	for i := range shape {
		if shape[i] == -1 {
			shape[i] = g.size(v, i)
		}
	}
	if n, err := tensor.Count(shape); err != nil || n > limits().Elements {
		shape = []int64{0}
	}
	t, err := tensor.New(v.Type, shape)
	if err != nil {
		return tensor.Scalar(float32(1)) // of a wrong type: refused
	}
	for i := range t.Len() {
		g.element(t, i)
	}
	return t
}

// size is what an open dimension turns out to be: one of a name is the same in all.
func (g *giver) size(v onnx.ValueInfo, i int) int64 {
	name := ""
	if i < len(v.Symbols) {
		name = v.Symbols[i]
	}
	if n, ok := g.symbols[name]; ok && name != "" {
		return n
	}
	n := g.Small()
	g.symbols[name] = n
	return n
}

// spoil changes some elements.
func (g *giver) spoil(t *tensor.Tensor) {
	if !t.Type.Element() || t.Len() == 0 {
		return
	}
	for range 1 + g.Below(4) {
		g.edge(t, g.Below(t.Len()))
	}
}

// element sets one to a small number.
func (g *giver) element(t *tensor.Tensor, i int) {
	if g.One(40) {
		g.edge(t, i)
		return
	}
	v := int64(g.Below(9) - 2)
	switch {
	case t.Type == tensor.Float32:
		tensor.Data[float32](t)[i] = float32(v) / 4
	case t.Type == tensor.Float64:
		tensor.Data[float64](t)[i] = float64(v) / 4
	case t.Type == tensor.Float16:
		tensor.Words[uint16](t)[i] = 0x3c00 + uint16(v*512)
	case t.Type == tensor.BFloat16:
		tensor.Words[uint16](t)[i] = 0x3f80 + uint16(v*64)
	default:
		g.integer(t, i, v)
	}
}

// edge sets one to a number at an edge of its type.
func (g *giver) edge(t *tensor.Tensor, i int) {
	switch t.Type {
	case tensor.Float32:
		tensor.Data[float32](t)[i] = float32(g.Float())
	case tensor.Float64:
		tensor.Data[float64](t)[i] = g.Float()
	case tensor.Float16, tensor.BFloat16:
		tensor.Words[uint16](t)[i] = mutate.Of(g.Choice, []uint16{0, 1 << 15, 1, 0x7c00, 0xfc00, 0x7e00, 0x7f80, 0x7fc0, 0x7bff, 0x7f7f})
	default:
		g.integer(t, i, g.Int())
	}
}

func (g *giver) integer(t *tensor.Tensor, i int, v int64) {
	switch {
	case t.Type == tensor.Bool:
		tensor.Data[bool](t)[i] = v&1 == 1
	case t.Type == tensor.String:
		tensor.Data[string](t)[i] = mutate.Of(g.Choice, []string{"", "a", "A b", "1.5", "-3", "\u00e9\u4e16", strings.Repeat("ab ", 50), "NaN", "1e999"})
	case t.Type.Packed() > 1:
		tensor.Words[uint8](t)[i] = uint8(v) & 1
	case t.Type.Size() == 1:
		tensor.Words[uint8](t)[i] = uint8(v)
	case t.Type.Size() == 2:
		tensor.Words[uint16](t)[i] = uint16(v)
	case t.Type.Size() == 4:
		tensor.Words[uint32](t)[i] = uint32(v)
	case t.Type.Size() == 8:
		tensor.Words[uint64](t)[i] = uint64(v)
	case t.Type.Size() == 16:
		tensor.Words[[2]uint64](t)[i] = [2]uint64{math.Float64bits(float64(v)), uint64(v)}
	}
}
