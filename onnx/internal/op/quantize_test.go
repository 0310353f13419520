package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// quantNode is one node of a model, to be run by itself.
type quantNode struct {
	op      string
	domain  string
	opset   int64
	attrs   []graph.Attribute
	outputs int
	fixed   []int // operands that the operator may pack
}

func intAttribute(name string, v int64) graph.Attribute {
	return graph.Attribute{Name: name, Kind: graph.Int, I: v}
}

func intsAttribute(name string, v ...int64) graph.Attribute {
	return graph.Attribute{Name: name, Kind: graph.Ints, Ints: v}
}

// run makes the operator, packs what is fixed, and runs it in memory that holds
// anything before.
func (n quantNode) run(on *kernel.On, in ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	inputs := make([]string, len(in))
	o, err := New(&graph.Node{Op: n.op, Domain: n.domain, Opset: max(n.opset, 10), Inputs: inputs, Outputs: make([]string, max(1, n.outputs)), Attrs: n.attrs}, Table(), nil)
	if err != nil {
		return nil, err
	}
	in = slices.Clone(in)
	infos := make([]*Info, len(in))
	for i, t := range in {
		if t != nil {
			v := Known(t)
			infos[i] = &v
		}
	}
	if p, ok := o.(Packer); ok && len(n.fixed) > 0 {
		packed, unread, err := p.Pack(on, func(i int) *tensor.Tensor {
			if slices.Contains(n.fixed, i) {
				return in[i]
			}
			return nil
		}, infos)
		if err != nil {
			return nil, err
		}
		for _, i := range unread {
			in[i] = nil
		}
		if packed != nil {
			o = packed
		}
	}
	results, err := o.Infer(infos)
	if err != nil {
		return nil, err
	}
	env := &Env{On: on}
	if s, ok := o.(Scratcher); ok {
		env.Scratch = slices.Repeat([]float32{float32(math.NaN())}, int(s.Scratch(on, infos)))
	}
	out := make([]*tensor.Tensor, len(results))
	for i, r := range results {
		if out[i], err = tensor.New(r.Type, r.Shape); err != nil {
			return nil, err
		}
	}
	return out, o.Run(env, in, out)
}

func must(t *testing.T, out []*tensor.Tensor, err error) []*tensor.Tensor {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestQuantizeAxes(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6}, 2, 3, 2)
	on := &kernel.On{}
	for _, c := range []struct {
		name  string
		attrs []graph.Attribute
		scale *tensor.Tensor
		zero  *tensor.Tensor
		want  []int8
	}{
		{"scalar", nil, tensor.Scalar[float32](0.5), tensor.Scalar[int8](1), []int8{3, 5, 7, 9, 11, 13, -1, -3, -5, -7, -9, -11}},
		{"one", nil, tensor.List[float32](2), tensor.List[int8](0), []int8{0, 1, 2, 2, 2, 3, 0, -1, -2, -2, -2, -3}},
		{"axis 1", nil, tensor.List[float32](1, 0.5, 0.1), tensor.List[int8](0, 1, 100), []int8{1, 2, 7, 9, 127, 127, -1, -2, -5, -7, 50, 40}},
		{"axis -1", []graph.Attribute{intAttribute("axis", -1)}, tensor.List[float32](1, 2), tensor.List[int8](0, 5), []int8{1, 6, 3, 7, 5, 8, -1, 4, -3, 3, -5, 2}},
		{"axis 0", []graph.Attribute{intAttribute("axis", 0)}, tensor.List[float32](1, 2), tensor.List[int8](0, 5), []int8{1, 2, 3, 4, 5, 6, 5, 4, 3, 3, 3, 2}},
		{"blocks", []graph.Attribute{intAttribute("axis", 1), intAttribute("block_size", 2)}, tensor.Of([]float32{1, 2, 0.5, 1, 1, 1, 1, 1}, 2, 2, 2),
			tensor.Of([]int8{0, 0, 0, 1, 0, 0, 0, 10}, 2, 2, 2), []int8{1, 1, 3, 2, 10, 7, -1, -2, -3, -4, -5, 4}},
		{"blocks of the last axis", []graph.Attribute{intAttribute("axis", 2), intAttribute("block_size", 2)}, tensor.Of([]float32{1, 2, 1, 1, 1, 0.5}, 2, 3, 1),
			tensor.Of([]int8{0, 0, 0, 1, 2, 3}, 2, 3, 1), []int8{1, 2, 2, 2, 5, 6, 0, -1, -1, -2, -7, -9}},
	} {
		n := quantNode{op: "QuantizeLinear", opset: 21, attrs: c.attrs}
		out, err := n.run(on, x, c.scale, c.zero)
		if got := tensor.Data[int8](must(t, out, err)[0]); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		n.op = "DequantizeLinear"
		out, err = n.run(on, tensor.Of(c.want, 2, 3, 2), c.scale, c.zero)
		back := tensor.Data[float32](must(t, out, err)[0])
		out, err = quantNode{op: "QuantizeLinear", opset: 21, attrs: c.attrs}.run(on, tensor.Of(back, 2, 3, 2), c.scale, c.zero)
		if got := tensor.Data[int8](must(t, out, err)[0]); !slices.Equal(got, c.want) {
			t.Errorf("%s, there and back: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestQuantizeEveryType goes there and back with numbers that every type holds.
func TestQuantizeEveryType(t *testing.T) {
	on := &kernel.On{Threads: 2}
	for _, to := range quantizedTypes() {
		for _, from := range []*tensor.Tensor{
			tensor.List[float32](0, 2, 1e9), tensor.List(narrow.F16FromFloat32(0), narrow.F16FromFloat32(2), narrow.F16FromFloat32(6e4)),
			tensor.List(narrow.BF16FromFloat32(0), narrow.BF16FromFloat32(2), narrow.BF16FromFloat32(1e9)), tensor.List[int32](0, 2, 1e9),
		} {
			n := quantNode{op: "QuantizeLinear", opset: 23, attrs: []graph.Attribute{intAttribute("output_dtype", int64(to))}}
			out, err := n.run(on, from, tensor.Scalar[float32](2))
			y := must(t, out, err)[0]
			if y.Type != to {
				t.Fatalf("got %s, want %s", y.Type, to)
			}
			out, err = quantNode{op: "DequantizeLinear", opset: 23}.run(on, y, tensor.Scalar[float32](2))
			got := tensor.Data[float32](must(t, out, err)[0])
			grows := got[2] > got[1] || to == tensor.Int2 // whose greatest number is 1
			if got[0] != 0 || got[1] != 2 || !grows {
				t.Errorf("%s to %s and back: %v", from.Type, to, got)
			}
		}
	}
}

// TestQuantizePrecision: the division is rounded to the type of the scale, or to the
// one that an attribute names.
func TestQuantizePrecision(t *testing.T) {
	x, on := tensor.List(float32(2050.5)), &kernel.On{}
	half := tensor.Scalar(narrow.F16FromFloat32(1))
	zero := tensor.Scalar[uint16](0)
	for _, c := range []struct {
		scale *tensor.Tensor
		attrs []graph.Attribute
		want  uint16
	}{{tensor.Scalar[float32](1), nil, 2050}, {half, nil, 2050}, {tensor.Scalar[float32](1), []graph.Attribute{intAttribute("precision", int64(tensor.BFloat16))}, 2048}} {
		out, err := quantNode{op: "QuantizeLinear", opset: 23, attrs: c.attrs}.run(on, x, c.scale, zero)
		if got := tensor.Data[uint16](must(t, out, err)[0])[0]; got != c.want {
			t.Errorf("%s: got %d, want %d", c.scale.Type, got, c.want)
		}
	}
}

// TestQuantizeInParts: the result does not depend on threads, and long operands with
// short runs are cut anywhere.
func TestQuantizeInParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	x := make([]float32, 3*(stretch+77)*5)
	for i := range x {
		x[i] = rng.Float32()*600 - 300
	}
	scale, zero := make([]float32, 5), make([]uint8, 5)
	for i := range scale {
		scale[i], zero[i] = rng.Float32()+1, uint8(rng.IntN(256))
	}
	for _, shape := range [][]int64{{3, int64(stretch + 77), 5}, {3, 5, int64(stretch + 77)}} {
		at := int64(2)
		if shape[1] == 5 {
			at = 1
		}
		for _, threads := range []int{1, 3} {
			n := quantNode{op: "QuantizeLinear", opset: 13, attrs: []graph.Attribute{intAttribute("axis", at)}}
			out, err := n.run(&kernel.On{Threads: threads}, tensor.Of(x, shape...), tensor.List(scale...), tensor.List(zero...))
			got := tensor.Data[uint8](must(t, out, err)[0])
			for i := range got {
				j := i % 5
				if at == 1 {
					j = i / (stretch + 77) % 5
				}
				want := min(max(math.RoundToEven(float64(x[i]/scale[j]))+float64(zero[j]), 0), 255)
				if float64(got[i]) != want {
					t.Fatalf("%v: element %d is %d, want %v", shape, i, got[i], want)
				}
			}
		}
	}
}

func TestDynamicQuantize(t *testing.T) {
	for _, c := range []struct {
		x     []float32
		y     []uint8
		scale float32
		zero  uint8
	}{ // the first three are the specification's
		{[]float32{0, 2, -3, -2.5, 1.34, 0.5}, []uint8{153, 255, 0, 26, 221, 179}, 0.0196078438, 153},
		{[]float32{-1, -2.1, -1.3, -2.5, -3.34, -4}, []uint8{191, 121, 172, 96, 42, 0}, 0.0156862754, 255},
		{[]float32{1, 2.1, 1.3, 2.5, 3.34, 4, 1.5, 2.6, 3.9, 4, 3, 2.345}, []uint8{64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149}, 0.0156862754, 0},
		{[]float32{0, 0}, []uint8{0, 0}, 1, 0},
		{[]float32{}, []uint8{}, 1, 0},
	} {
		out, err := quantNode{op: "DynamicQuantizeLinear", opset: 11, outputs: 3}.run(&kernel.On{}, tensor.List(c.x...))
		must(t, out, err)
		y, scale, zero := tensor.Data[uint8](out[0]), tensor.Data[float32](out[1])[0], tensor.Data[uint8](out[2])[0]
		if !slices.Equal(y, c.y) || scale != c.scale || zero != c.zero {
			t.Errorf("%v: got %v, %v, %v", c.x, y, scale, zero)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	x, one := tensor.Of(make([]float32, 6), 2, 3), tensor.Scalar[float32](1)
	for _, c := range []struct {
		op    string
		attrs []graph.Attribute
		in    []*tensor.Tensor
	}{
		{"QuantizeLinear", nil, []*tensor.Tensor{x, tensor.List[float32](1, 2)}},
		{"QuantizeLinear", nil, []*tensor.Tensor{x, one, tensor.List[int8](1, 2)}},
		{"QuantizeLinear", nil, []*tensor.Tensor{x, one, tensor.Scalar[int64](1)}},
		{"QuantizeLinear", nil, []*tensor.Tensor{tensor.List("a"), one}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("axis", 2)}, []*tensor.Tensor{x, tensor.List[float32](1, 2)}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("block_size", 2)}, []*tensor.Tensor{x, tensor.Of(make([]float32, 6), 2, 3)}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("block_size", -2)}, []*tensor.Tensor{x, one}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("output_dtype", 1)}, []*tensor.Tensor{x, one}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("output_dtype", 99)}, []*tensor.Tensor{x, one}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("precision", 7)}, []*tensor.Tensor{x, one}},
		{"QuantizeLinear", []graph.Attribute{intAttribute("output_dtype", 2)}, []*tensor.Tensor{x, one, tensor.Scalar[int8](0)}},
		{"DequantizeLinear", nil, []*tensor.Tensor{x, one}},
		{"DequantizeLinear", nil, []*tensor.Tensor{tensor.List[uint8](1), one, tensor.Scalar[int8](0)}},
		{"DequantizeLinear", []graph.Attribute{intAttribute("output_dtype", 6)}, []*tensor.Tensor{tensor.List[uint8](1), one}},
		{"DynamicQuantizeLinear", nil, []*tensor.Tensor{tensor.List[int32](1)}},
	} {
		if _, err := (quantNode{op: c.op, opset: 23, attrs: c.attrs}).run(&kernel.On{}, c.in...); err == nil {
			t.Errorf("%s with %v is accepted", c.op, fmt.Sprint(c.attrs))
		}
	}
}

// TestQuantizeWithOpenSizes: a scale of one dimension may turn out to be one number, for
// which the axis means nothing.
func TestQuantizeWithOpenSizes(t *testing.T) {
	x := &Info{Type: tensor.Float32, Ranked: true, Shape: []int64{-1}}
	for _, d := range []int64{1, -1} {
		scale := &Info{Type: tensor.Float32, Ranked: true, Shape: []int64{d}}
		if _, err := (quantize{scaling: scaling{axis: 1}}).Infer([]*Info{x, scale}); err != nil {
			t.Errorf("a scale of %d: %v", d, err)
		}
	}
}
