package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// convCase is a convolution of images with two spatial dimensions.
type convCase struct {
	x, w                     []int64
	groups                   int64
	strides, dilations, pads []int64
	signedX, signedW, each   bool // each: numbers for each filter
}

func (c convCase) attrs() []graph.Attribute {
	return []graph.Attribute{intAttribute("group", c.groups), intsAttribute("strides", c.strides...), intsAttribute("dilations", c.dilations...), intsAttribute("pads", c.pads...)}
}

func convCases() []convCase {
	return []convCase{
		{[]int64{1, 1, 3, 3}, []int64{1, 1, 2, 2}, 1, []int64{1, 1}, []int64{1, 1}, []int64{1, 1, 1, 1}, false, false, false},
		{[]int64{2, 3, 9, 7}, []int64{5, 3, 3, 3}, 1, []int64{2, 1}, []int64{1, 2}, []int64{0, 1, 2, 3}, false, true, true},
		{[]int64{2, 6, 8, 8}, []int64{4, 3, 3, 1}, 2, []int64{1, 1}, []int64{1, 1}, []int64{1, 0, 1, 0}, true, true, true},
		{[]int64{1, 4, 40, 41}, []int64{4, 1, 3, 3}, 4, []int64{1, 1}, []int64{1, 1}, []int64{1, 1, 1, 1}, true, false, true},
		{[]int64{1, 5, 6, 6}, []int64{20, 5, 1, 1}, 1, []int64{1, 1}, []int64{1, 1}, []int64{0, 0, 0, 0}, false, true, false},
	}
}

// naiveConv is the definition, in integers.
func naiveConv(c convCase, x, w, zeroX, zeroW *tensor.Tensor, y []int64) []float64 {
	xs, ws := asNumbers(x), asNumbers(w)
	per, filters := c.w[1], c.w[0]
	var out []float64
	for n := range y[0] {
		for m := range filters {
			for oy := range y[2] {
				for ox := range y[3] {
					sum := 0.0
					for i := range per * c.w[2] * c.w[3] {
						ch, ky, kx := i/(c.w[2]*c.w[3]), i/c.w[3]%c.w[2], i%c.w[3]
						iy, ix := oy*c.strides[0]+ky*c.dilations[0]-c.pads[0], ox*c.strides[1]+kx*c.dilations[1]-c.pads[1]
						if iy < 0 || ix < 0 || iy >= c.x[2] || ix >= c.x[3] {
							continue
						}
						channel := m/(filters/c.groups)*per + ch
						a := float64(xs[((n*c.x[1]+channel)*c.x[2]+iy)*c.x[3]+ix]) - perLine(zeroX, 0, 0, 1)
						sum += a * (float64(ws[m*per*c.w[2]*c.w[3]+i]) - perLine(zeroW, 0, int(m), int(filters)))
					}
					out = append(out, sum)
				}
			}
		}
	}
	return out
}

func (c convCase) operands(rng *rand.Rand) (x, w, zeroX, zeroW *tensor.Tensor) {
	lines := []int64{}
	if c.each {
		lines = []int64{c.w[0]}
	}
	return quantBytes(rng, c.signedX, c.x...), quantBytes(rng, c.signedW, c.w...), quantBytes(rng, c.signedX), quantBytes(rng, c.signedW, lines...)
}

func TestConvInteger(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for i, c := range convCases() {
		x, w, zeroX, zeroW := c.operands(rng)
		for _, level := range kernel.Levels() {
			for threads, fixed := range [][]int{nil, {1, 3}, {1}} {
				on := &kernel.On{Level: level, Threads: 1 + threads}
				n := quantNode{op: "ConvInteger", attrs: c.attrs(), fixed: fixed}
				out, err := n.run(on, x, w, zeroX, zeroW)
				y := must(t, out, err)[0]
				checkIntegers(t, fmt.Sprintf("case %d, %s, fixed %v", i, level, fixed), y, naiveConv(c, x, w, zeroX, zeroW, y.Shape))
				out, err = n.run(on, x, w)
				y = must(t, out, err)[0]
				checkIntegers(t, fmt.Sprintf("case %d, %s, fixed %v, no zero points", i, level, fixed), y, naiveConv(c, x, w, nil, nil, y.Shape))
			}
		}
	}
}

func TestQLinearConv(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 9))
	for i, c := range convCases() {
		x, w, zeroX, zeroW := c.operands(rng)
		scaleX, scaleW, scaleY := quantFloats(rng), quantFloats(rng, zeroW.Shape...), quantFloats(rng)
		bias := make([]int32, c.w[0])
		for j := range bias {
			bias[j] = rng.Int32N(20000) - 10000
		}
		for _, signed := range []bool{false, true} {
			zeroY := quantBytes(rng, signed)
			low, high := rangeOf(zeroY.Type)
			for threads, fixed := range [][]int{nil, {3, 5}} {
				n := quantNode{op: "QLinearConv", attrs: c.attrs(), fixed: fixed}
				out, err := n.run(&kernel.On{Level: kernel.Best(), Threads: 1 + threads}, x, scaleX, zeroX, w, scaleW, zeroW, scaleY, zeroY, tensor.List(bias...))
				y := must(t, out, err)[0]
				sums := naiveConv(c, x, w, zeroX, zeroW, y.Shape)
				for e, got := range asNumbers(y) {
					m := e / int(y.Shape[2]*y.Shape[3]) % int(c.w[0])
					scale := perLine(scaleX, 0, 0, 1) * perLine(scaleW, 0, m, int(c.w[0])) / perLine(scaleY, 0, 0, 1)
					want := min(max((sums[e]+float64(bias[m]))*scale+perLine(zeroY, 0, 0, 1), float64(low)), float64(high))
					if math.Abs(float64(got)-want) > 0.51 {
						t.Fatalf("case %d, fixed %v: element %d is %v, want %v", i, fixed, e, got, want)
					}
				}
			}
		}
	}
}

// TestConvIntegerDimensions: one and three spatial dimensions, and automatic padding.
func TestConvIntegerDimensions(t *testing.T) {
	x := tensor.Of([]uint8{1, 2, 3, 4}, 1, 1, 4)
	out, err := quantNode{op: "ConvInteger", attrs: []graph.Attribute{{Name: "auto_pad", Kind: graph.String, S: "SAME_UPPER"}}}.run(&kernel.On{}, x, tensor.Of([]uint8{1, 1, 1}, 1, 1, 3), tensor.Scalar[uint8](1))
	checkIntegers(t, "line", must(t, out, err)[0], []float64{1, 3, 6, 5})
	x = tensor.Of([]uint8{1, 2, 3, 4, 5, 6, 7, 8}, 1, 1, 2, 2, 2)
	out, err = quantNode{op: "ConvInteger"}.run(&kernel.On{}, x, tensor.Of([]uint8{1, 0, 0, 0, 0, 0, 0, 1}, 1, 1, 2, 2, 2))
	checkIntegers(t, "cube", must(t, out, err)[0], []float64{9})
}

func TestIntegerConvRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 9))
	x, w := quantBytes(rng, false, 1, 4, 5, 5), quantBytes(rng, true, 6, 2, 3, 3)
	one, zero, signed := quantFloats(rng), quantBytes(rng, false), quantBytes(rng, true)
	two := []graph.Attribute{intAttribute("group", 2)}
	bias := tensor.List(make([]int32, 6)...)
	for i, c := range []struct {
		op    string
		attrs []graph.Attribute
		in    []*tensor.Tensor
	}{
		{"ConvInteger", nil, []*tensor.Tensor{x, w}},
		{"ConvInteger", []graph.Attribute{intAttribute("group", 0)}, []*tensor.Tensor{x, w}},
		{"ConvInteger", []graph.Attribute{intAttribute("group", -2)}, []*tensor.Tensor{x, w}},
		{"ConvInteger", append([]graph.Attribute{intsAttribute("strides", 0, 1)}, two...), []*tensor.Tensor{x, w}},
		{"ConvInteger", append([]graph.Attribute{intsAttribute("kernel_shape", 2, 3)}, two...), []*tensor.Tensor{x, w}},
		{"ConvInteger", append([]graph.Attribute{intsAttribute("pads", 1, 1)}, two...), []*tensor.Tensor{x, w}},
		{"ConvInteger", two, []*tensor.Tensor{x, w, signed}},
		{"ConvInteger", two, []*tensor.Tensor{x, w, zero, quantBytes(rng, true, 5)}},
		{"ConvInteger", two, []*tensor.Tensor{x, w, quantBytes(rng, false, 4)}},
		{"ConvInteger", two, []*tensor.Tensor{x, quantFloats(rng, 6, 2, 3, 3)}},
		{"ConvInteger", two, []*tensor.Tensor{x, quantBytes(rng, true, 6, 2, 3)}},
		{"ConvInteger", two, []*tensor.Tensor{quantBytes(rng, false, 4, 5), w}},
		{"QLinearConv", two, []*tensor.Tensor{x, one, zero, w, one, signed, one, one}},
		{"QLinearConv", two, []*tensor.Tensor{x, one, zero, w, quantFloats(rng, 4), signed, one, zero}},
		{"QLinearConv", two, []*tensor.Tensor{x, one, zero, w, one, signed, one, zero, tensor.List[int32](1)}},
		{"QLinearConv", two, []*tensor.Tensor{x, one, zero, w, one, signed, quantFloats(rng, 2), zero, bias}},
	} {
		if out, err := (quantNode{op: c.op, attrs: c.attrs}).run(&kernel.On{}, c.in...); err == nil {
			t.Errorf("case %d is accepted: %v", i, out[0].Shape)
		}
	}
}
