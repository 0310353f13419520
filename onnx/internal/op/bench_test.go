package op

import (
	"fmt"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// BenchmarkMoves measures what models do most, in bytes of the result.
func BenchmarkMoves(b *testing.B) {
	image := counted[float32](1, 64, 80, 80)
	mask := tensor.Of(make([]bool, 128*128), 1, 1, 128, 128)
	for _, c := range []struct {
		op   string
		what string
		at   attrs
		in   []*tensor.Tensor
	}{
		{"Transpose", "heads", attrs{"perm": []int64{0, 2, 1, 3}}, []*tensor.Tensor{counted[float32](1, 128, 12, 64)}},
		{"Transpose", "keys", attrs{"perm": []int64{0, 2, 3, 1}}, []*tensor.Tensor{counted[float32](1, 128, 12, 64)}},
		{"Transpose", "matrix", nil, []*tensor.Tensor{counted[float32](768, 512)}},
		{"Transpose", "channels last", attrs{"perm": []int64{0, 2, 3, 1}}, []*tensor.Tensor{image}},
		{"Gather", "embedding", nil, []*tensor.Tensor{counted[float32](30522, 384), tensor.Of(make([]int64, 128), 1, 128)}},
		{"Concat", "channels", attrs{"axis": 1}, []*tensor.Tensor{image, image}},
		{"Slice", "channels", nil, []*tensor.Tensor{image, tensor.List[int64](32), tensor.List[int64](64), tensor.List[int64](1)}},
		{"Slice", "every second", nil, []*tensor.Tensor{image, tensor.List[int64](0), tensor.List[int64](80), tensor.List[int64](3), tensor.List[int64](2)}},
		{"Pad", "image", nil, []*tensor.Tensor{image, tensor.List[int64](0, 0, 1, 1, 0, 0, 1, 1)}},
		{"Pad", "reflect", attrs{"mode": "reflect"}, []*tensor.Tensor{image, tensor.List[int64](0, 0, 1, 1, 0, 0, 1, 1)}},
		{"Resize", "nearest", attrs{"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, []*tensor.Tensor{image, nil, tensor.List[float32](1, 1, 2, 2)}},
		{"Resize", "linear", attrs{"mode": "linear"}, []*tensor.Tensor{image, nil, tensor.List[float32](1, 1, 2, 2)}},
		{"Expand", "rows", nil, []*tensor.Tensor{counted[float32](1, 1, 128), tensor.List[int64](12, 128, 128)}},
		{"Where", "mask", nil, []*tensor.Tensor{mask, counted[float32](1, 12, 128, 128), tensor.Scalar[float32](-1e9)}},
		{"TopK", "boxes", attrs{"axis": 1}, []*tensor.Tensor{counted[float32](1, 25200), tensor.Scalar[int64](100)}},
	} {
		b.Run(fmt.Sprint(c.op, " ", c.what), func(b *testing.B) {
			outputs := 1
			if c.op == "TopK" {
				outputs = 2
			}
			o, err := New(nodeOf(c.op, 13, c.at, len(c.in), outputs), Table(), nil)
			if err != nil {
				b.Fatal(err)
			}
			infos, err := o.Infer(infosOf(c.in))
			if err != nil {
				b.Fatal(err)
			}
			env := &Env{On: testOn(b), New: tensor.New}
			var out []*tensor.Tensor
			for _, v := range infos {
				t, _ := tensor.New(v.Type, v.Shape)
				out = append(out, t)
			}
			b.SetBytes(out[0].Bytes())
			for b.Loop() {
				if err := o.Run(env, c.in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
