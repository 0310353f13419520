package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/conv"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// allOnes is a tensor of ones.
func allOnes(shape ...int64) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	return tensor.Of(slices.Repeat([]float32{1}, int(n)), shape...)
}

// uniform is a tensor of random elements.
func uniform(seed uint64, shape ...int64) *tensor.Tensor {
	rng := rand.New(rand.NewPCG(seed, 1))
	t := allOnes(shape...)
	for i := range tensor.Data[float32](t) {
		tensor.Data[float32](t)[i] = rng.Float32()*2 - 1
	}
	return t
}

// TestConv has the examples of ONNX's Conv.
func TestConv(t *testing.T) {
	x, w := counted[float32](1, 1, 5, 5), allOnes(1, 1, 3, 3)
	padded := []float32{12, 21, 27, 33, 24, 33, 54, 63, 72, 51, 63, 99, 108, 117, 81, 93, 144, 153, 162, 111, 72, 111, 117, 123, 84}
	nearTensor(t, mustCompute(t, "Conv", 11, attrs{"pads": []int64{1, 1, 1, 1}, "kernel_shape": []int64{3, 3}}, x, w), []int64{1, 1, 5, 5}, padded)
	nearTensor(t, mustCompute(t, "Conv", 7, attrs{}, x, w), []int64{1, 1, 3, 3}, []float32{54, 63, 72, 99, 108, 117, 144, 153, 162})
	same := attrs{"auto_pad": "SAME_LOWER", "kernel_shape": []int64{3, 3}, "strides": []int64{2, 2}}
	nearTensor(t, mustCompute(t, "Conv", 22, same, x, w), []int64{1, 1, 3, 3}, []float32{12, 27, 24, 63, 108, 81, 72, 117, 84})
	upper := attrs{"auto_pad": "SAME_UPPER"}
	nearTensor(t, mustCompute(t, "Conv", 11, upper, counted[float32](1, 1, 4), allOnes(1, 1, 2), tensor.List[float32](1)), []int64{1, 1, 4}, []float32{2, 4, 6, 4})
	nearTensor(t, mustCompute(t, "Conv", 11, attrs{"auto_pad": "VALID", "group": 2}, counted[float32](1, 2, 2), allOnes(2, 1, 1)), []int64{1, 2, 2}, []float32{0, 1, 2, 3})
}

// TestConvTranspose has the examples of ONNX's ConvTranspose.
func TestConvTranspose(t *testing.T) {
	x, w := counted[float32](1, 1, 3, 3), allOnes(1, 1, 3, 3)
	full := []float32{0, 1, 3, 3, 2, 3, 8, 15, 12, 7, 9, 21, 36, 27, 15, 9, 20, 33, 24, 13, 6, 13, 21, 15, 8}
	nearTensor(t, mustCompute(t, "ConvTranspose", 11, nil, x, w), []int64{1, 1, 5, 5}, full)
	line, pair := counted[float32](1, 1, 3), allOnes(1, 1, 2)
	for name, c := range map[string]struct {
		at   attrs
		want []float32
	}{
		"strides":        {attrs{"strides": []int64{3}}, []float32{0, 0, 0, 1, 1, 0, 2, 2}},
		"output padding": {attrs{"strides": []int64{3}, "output_padding": []int64{1}}, []float32{0, 0, 0, 1, 1, 0, 2, 2, 0}},
		"output shape":   {attrs{"strides": []int64{3}, "output_shape": []int64{9}}, []float32{0, 0, 0, 1, 1, 0, 2, 2, 0}},
		"pads":           {attrs{"strides": []int64{3}, "pads": []int64{1, 2}}, []float32{0, 0, 1, 1, 0}},
		"same, upper":    {attrs{"strides": []int64{1}, "auto_pad": "SAME_UPPER"}, []float32{0, 1, 3}},
		"same, lower":    {attrs{"strides": []int64{1}, "auto_pad": "SAME_LOWER"}, []float32{1, 3, 2}},
	} {
		out, err := compute("ConvTranspose", 11, c.at, 1, line, pair)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		nearTensor(t, out[0], []int64{1, 1, int64(len(c.want))}, c.want)
	}
}

// TestPackedConvolutions: with the weights packed, for open and for known sizes, and in
// every layout, the result is that of the plain operator.
func TestPackedConvolutions(t *testing.T) {
	x, b, d := uniform(1, 2, 20, 7, 6), uniform(3, 24), uniform(4, 2, 24, 4, 3)
	w := uniform(2, 24, 20, 3, 3)
	at := attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}
	for _, level := range kernel.Levels() {
		on := &kernel.On{Context: t.Context(), Level: level}
		plain := &Conv{frame: frame{auto: "NOTSET", strides: at["strides"].([]int64), pads: at["pads"].([]int64)}, Groups: 1, Act: Activation{Kind: SiLU}}
		want := runOne(t, on, plain, x, w, b, d)
		for _, open := range []bool{false, true} {
			for _, l := range []conv.Layout{conv.Planar, conv.Blocked} {
				o := *plain
				o.In, o.Out, o.Block = l, l, int64(conv.Block(level))
				from, sum := x, d
				if l == conv.Blocked {
					from = runOne(t, on, Reorder{To: l, Block: o.Block}, x)
					sum = runOne(t, on, Reorder{To: l, Block: o.Block}, d)
				}
				got := packedRun(t, on, &o, open, from, w, b, sum)
				if l == conv.Blocked {
					got = runOne(t, on, Reorder{To: conv.Planar, Channels: 24}, got)
				}
				nearTensor(t, got, want.Shape, tensor.Data[float32](want))
			}
			turned := &ConvTranspose{frame: plain.frame, Groups: 1}
			v := uniform(5, 20, 12, 3, 3)
			nearTensor(t, packedRun(t, on, turned, open, x, v), []int64{2, 12, 13, 11}, tensor.Data[float32](runOne(t, on, turned, x, v)))
		}
	}
}

// runOne infers and runs an operator.
func runOne(t *testing.T, on *kernel.On, o Operator, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	infos, err := o.Infer(infosOf(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(on, o, in, infos)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// packedRun is runOne after operands 1 and 2 were packed, without them.
func packedRun(t *testing.T, on *kernel.On, o Operator, open bool, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	infos := infosOf(in)
	if open {
		infos[0].Value, infos[0].Shape = nil, append(slices.Clone(infos[0].Shape[:1]), openShape(len(infos[0].Shape)-1)...)
	}
	packed, unread, err := o.(Packer).Pack(on, func(i int) *tensor.Tensor {
		if i == 1 || i == 2 {
			return in[i]
		}
		return nil
	}, infos)
	if err != nil || packed == nil {
		t.Fatalf("not packed: %v", err)
	}
	in = slices.Clone(in)
	for _, i := range unread {
		in[i] = nil
	}
	return runOne(t, on, packed, in...)
}

func TestConvolutionsRefuse(t *testing.T) {
	x, w := allOnes(1, 2, 5, 5), allOnes(4, 2, 3, 3)
	for what, c := range map[string]struct {
		at attrs
		in []*tensor.Tensor
	}{
		"strides":               {attrs{"strides": []int64{1}}, []*tensor.Tensor{x, w}},
		"strides [0 1]":         {attrs{"strides": []int64{0, 1}}, []*tensor.Tensor{x, w}},
		"dilations":             {attrs{"dilations": []int64{1, math.MaxInt64}}, []*tensor.Tensor{x, w}},
		"too large":             {attrs{"dilations": []int64{1, math.MaxInt32 / 2}}, []*tensor.Tensor{x, w}},
		"pads":                  {attrs{"pads": []int64{-1, 0, 0, 0}}, []*tensor.Tensor{x, w}},
		"kernel_shape":          {attrs{"kernel_shape": []int64{3, 2}}, []*tensor.Tensor{x, w}},
		"expected 4 elements":   {nil, []*tensor.Tensor{x, w, allOnes(3)}},
		"expected 4 dimensions": {nil, []*tensor.Tensor{x, allOnes(4, 2, 3)}},
		"at least 3 dimensions": {nil, []*tensor.Tensor{allOnes(2, 2), allOnes(2, 2)}},
		"in 3 groups":           {attrs{"group": 3}, []*tensor.Tensor{x, w}},
		"in 0 groups":           {attrs{"group": 0}, []*tensor.Tensor{x, w}},
		"expected float32":      {nil, []*tensor.Tensor{x, counted[int64](4, 2, 3, 3)}},
	} {
		refused(t, what, "Conv", 11, c.at, 1, c.in...)
	}
	for what, at := range map[string]attrs{
		"is too large":    {"strides": []int64{1 << 29, 1}},
		"output sizes":    {"output_shape": []int64{1}},
		"output paddings": {"output_padding": []int64{-1, 0}},
		"groups":          {"group": math.MaxInt32},
	} {
		refused(t, what, "ConvTranspose", 11, at, 1, x, allOnes(2, 4, 3, 3))
	}
}

func TestPools(t *testing.T) {
	x := tensor.Of(tensor.Data[float32](counted[float32](1, 1, 26))[1:], 1, 1, 5, 5)
	at := attrs{"kernel_shape": []int64{5, 5}, "pads": []int64{2, 2, 2, 2}}
	top := []float32{13, 14, 15, 15, 15, 18, 19, 20, 20, 20, 23, 24, 25, 25, 25, 23, 24, 25, 25, 25, 23, 24, 25, 25, 25}
	mean := []float32{7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5, 11, 11.5, 12, 12.5, 13, 13.5, 14, 14.5, 15, 15.5, 16, 16.5, 17, 17.5, 18, 18.5, 19}
	sameTensor(t, mustCompute(t, "MaxPool", 7, at, x), x.Shape, top)
	nearTensor(t, mustCompute(t, "AveragePool", 7, at, x), x.Shape, mean)
	out, err := compute("MaxPool", 12, at, 2, x)
	if err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[0], x.Shape, top)
	places := make([]int64, len(top))
	for i, v := range top {
		places[i] = int64(v) - 1
	}
	sameTensor(t, out[1], x.Shape, places)
	columns := attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}, "storage_order": 1}
	if out, err = compute("MaxPool", 8, columns, 2, x); err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[0], []int64{1, 1, 2, 2}, []float32{7, 9, 17, 19})
	sameTensor(t, out[1], []int64{1, 1, 2, 2}, []int64{6, 16, 8, 18})
	ceil := attrs{"kernel_shape": []int64{3, 3}, "strides": []int64{2, 2}, "ceil_mode": 1}
	small := counted[uint8](1, 1, 4, 4)
	sameTensor(t, mustCompute(t, "MaxPool", 12, ceil, small), []int64{1, 1, 2, 2}, []uint8{10, 11, 14, 15})
	line := tensor.Of([]float32{3, -4, 0, 5}, 1, 1, 4)
	nearTensor(t, mustCompute(t, "LpPool", 18, attrs{"kernel_shape": []int64{2}, "strides": []int64{2}}, line), []int64{1, 1, 2}, []float32{5, 5})
	padded := attrs{"kernel_shape": []int64{2}, "pads": []int64{1, 1}, "count_include_pad": 1}
	nearTensor(t, mustCompute(t, "AveragePool", 11, padded, line), []int64{1, 1, 5}, []float32{1.5, -0.5, -2, 2.5, 2.5})
	nearTensor(t, mustCompute(t, "GlobalLpPool", 7, attrs{"p": 1}, line), []int64{1, 1, 1}, []float32{12})
	nearTensor(t, mustCompute(t, "GlobalAveragePool", 7, nil, line), []int64{1, 1, 1}, []float32{1})
	nearTensor(t, mustCompute(t, "GlobalMaxPool", 7, nil, line), []int64{1, 1, 1}, []float32{5})
	refused(t, "kernel_shape", "MaxPool", 7, nil, 1, x)
	refused(t, "of order 0", "LpPool", 7, attrs{"kernel_shape": []int64{1, 1}, "p": 0}, 1, x)
}

func TestMaxUnpool(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 2, 2)
	places := tensor.Of([]int64{5, 7, 13, 15}, 1, 1, 2, 2)
	at := attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}
	want := []float32{0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4}
	sameTensor(t, mustCompute(t, "MaxUnpool", 9, at, x, places), []int64{1, 1, 4, 4}, want)
	larger := []float32{0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0}
	sameTensor(t, mustCompute(t, "MaxUnpool", 11, at, x, places, tensor.List[int64](1, 1, 5, 5)), []int64{1, 1, 5, 5}, larger)
	for _, bad := range []int64{-1, 16, math.MaxInt64} {
		refused(t, fmt.Sprint("place ", bad), "MaxUnpool", 9, at, 1, x, tensor.Of([]int64{0, 1, bad, 2}, 1, 1, 2, 2))
	}
}

func TestMaxRoiPool(t *testing.T) {
	x := counted[float32](1, 1, 4, 4)
	rois := tensor.Of([]float32{0, 0, 0, 3, 3, 0, 2, 2, 3, 3}, 2, 5)
	at := attrs{"pooled_shape": []int64{2, 2}}
	sameTensor(t, mustCompute(t, "MaxRoiPool", 7, at, x, rois), []int64{2, 1, 2, 2}, []float32{5, 7, 13, 15, 10, 11, 14, 15})
	nan := float32(math.NaN())
	mustCompute(t, "MaxRoiPool", 7, at, x, tensor.Of([]float32{0, nan, nan, 1e30, -1e30}, 1, 5))
	refused(t, "region of image", "MaxRoiPool", 7, at, 1, x, tensor.Of([]float32{nan, 0, 0, 1, 1}, 1, 5))
	refused(t, "region of image", "MaxRoiPool", 7, at, 1, x, tensor.Of([]float32{1, 0, 0, 1, 1}, 1, 5))
}

func TestCol2Im(t *testing.T) {
	x := counted[float32](1, 5, 5)
	want := make([]float32, 25)
	for i := range want {
		want[i] = float32(i%5*5 + i/5)
	}
	sameTensor(t, mustCompute(t, "Col2Im", 18, nil, x, tensor.List[int64](5, 5), tensor.List[int64](1, 5)), []int64{1, 1, 5, 5}, want)
	overlapping := mustCompute(t, "Col2Im", 18, attrs{"pads": []int64{1, 0}}, allOnes(1, 2, 4), tensor.List[int64](4), tensor.List[int64](2))
	sameTensor(t, overlapping, []int64{1, 1, 4}, []float32{2, 2, 2, 1})
	refused(t, "columns", "Col2Im", 18, nil, 1, x, tensor.List[int64](5, 4), tensor.List[int64](1, 5))
	refused(t, "too large", "Col2Im", 18, nil, 1, x, tensor.List[int64](5, 5), tensor.List[int64](1<<40, 1<<40))
}

// TestDeformConv: without offsets it is Conv; a shift by whole pixels shifts the input.
func TestDeformConv(t *testing.T) {
	x, w, b := uniform(1, 2, 4, 6, 5), uniform(2, 6, 2, 3, 3), uniform(3, 6)
	at := attrs{"group": 2, "pads": []int64{1, 1, 1, 1}}
	want := mustCompute(t, "Conv", 11, at, x, w, b)
	still := tensor.Of(make([]float32, 2*36*30), 2, 36, 6, 5)
	moving := attrs{"group": 2, "pads": []int64{1, 1, 1, 1}, "offset_group": 2}
	got := mustCompute(t, "DeformConv", 19, moving, x, w, still, b, allOnes(2, 18, 6, 5))
	nearTensor(t, got, want.Shape, tensor.Data[float32](want))
	line := tensor.Of([]float32{1, 3, 7}, 1, 1, 1, 3)
	half := tensor.Of([]float32{0, 0, 0, 0.5, 0.5, 0.5}, 1, 2, 1, 3)
	nearTensor(t, mustCompute(t, "DeformConv", 19, nil, line, allOnes(1, 1, 1, 1), half), []int64{1, 1, 1, 3}, []float32{2, 5, 3.5})
	refused(t, "expected 4 numbers", "DeformConv", 19, moving, 1, x, w, allOnes(2, 18, 6, 5))
}

func TestChannelNorms(t *testing.T) {
	x := tensor.Of([]float32{-1, 0, 1, 2, 3, 4}, 1, 2, 1, 3)
	scale, bias := tensor.List[float32](1, 1.5), tensor.List[float32](0, 1)
	want := []float32{-1, 0, 1, 0, 1.5, 3}
	sameTensor(t, mustCompute(t, "BatchNormalization", 9, attrs{"epsilon": 0.0}, x, scale, tensor.List[float32](0, 0), tensor.List[float32](0, 2), tensor.List[float32](1, 1)), x.Shape, want)
	third := float32(math.Sqrt(1.5))
	normal := []float32{-third, 0, third, 1 - 1.5*third, 1, 1 + 1.5*third}
	zero := attrs{"epsilon": 0.0}
	nearTensor(t, mustCompute(t, "InstanceNormalization", 7, zero, x, scale, bias), x.Shape, normal)
	each := attrs{"epsilon": 0.0, "num_groups": 2}
	for _, opset := range []int64{18, 21} {
		nearTensor(t, mustCompute(t, "GroupNormalization", opset, each, x, scale, bias), x.Shape, normal)
	}
	out, err := compute("BatchNormalization", 15, attrs{"training_mode": 1, "momentum": 0.5, "epsilon": 0.0}, 3, x, scale, bias, tensor.List[float32](2, 2), tensor.List[float32](0, 0))
	if err != nil {
		t.Fatal(err)
	}
	nearTensor(t, out[0], x.Shape, normal)
	nearTensor(t, out[1], []int64{2}, []float32{1, 2.5})
	nearTensor(t, out[2], []int64{2}, []float32{1. / 3, 1. / 3})
	one := allOnes(1, 3, 1)
	s := float32(math.Pow(1+0.5/2*2, -0.75))
	nearTensor(t, mustCompute(t, "LRN", 13, attrs{"size": 2, "alpha": 0.5}, one), one.Shape, []float32{s, s, float32(math.Pow(1.25, -0.75))})
	refused(t, "groups", "GroupNormalization", 21, attrs{"num_groups": 3}, 1, x, scale, bias)
	refused(t, "elements", "InstanceNormalization", 7, nil, 1, x, allOnes(3), bias)
	refused(t, "channels", "LRN", 7, nil, 1, x)
}

// TestConvIsPlannedOnce: for shapes that it was settled for, a run plans nothing.
func TestConvIsPlannedOnce(t *testing.T) {
	w := uniform(1, 8, 3, 3, 3)
	open := ranked(tensor.Float32, -1, 3, -1, -1)
	weights := Known(w)
	o := &Conv{Groups: 1}
	packed, _, err := o.Pack(&kernel.On{Level: kernel.Best()}, func(i int) *tensor.Tensor { return []*tensor.Tensor{nil, w}[i] }, []*Info{&open, &weights})
	if err != nil {
		t.Fatal(err)
	}
	x := []int64{2, 3, 9, 9}
	shape := ranked(tensor.Float32, x...)
	settled := packed.(*Conv).Settle(kernel.Best(), []*Info{&shape, &weights}).(*Conv)
	if c, _, err := settled.plan(kernel.Best(), x, w.Shape); c != settled.packed || err != nil {
		t.Errorf("planned again: %v", err)
	}
	if c, _, err := packed.(*Conv).plan(kernel.Best(), x, w.Shape); c == settled.packed || err != nil {
		t.Errorf("the one that was settled is another operator's: %v", err)
	}
}
