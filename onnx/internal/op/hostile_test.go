package op

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// hostile makes operands that no honest model has.
type hostile struct{ *rand.Rand }

func (h hostile) number() int64 {
	odd := []int64{0, 1, 2, 3, -1, -2, 5, 1 << 31, 1 << 32, 1 << 40, 1 << 62, math.MaxInt64, math.MinInt64, -1 << 40}
	if h.IntN(3) > 0 {
		return h.Int64N(5) - 1
	}
	return odd[h.IntN(len(odd))]
}

func (h hostile) shape() []int64 {
	shape := make([]int64, h.IntN(5))
	for d := range shape {
		shape[d] = max(-1, h.number())
	}
	return shape
}

func (h hostile) elementType() tensor.DataType {
	return []tensor.DataType{tensor.Float32, tensor.Float32, tensor.Int64, tensor.Int64, tensor.Int32, tensor.Bool, tensor.Float16, tensor.String, tensor.Uint8}[h.IntN(9)]
}

// operand is a value of which anything may be known, and its tensor if all is.
func (h hostile) operand() (*Info, *tensor.Tensor) {
	switch h.IntN(12) {
	case 0:
		return nil, nil
	case 1:
		return &Info{Type: h.elementType()}, nil
	case 2:
		return &Info{Type: tensor.Sequence, Item: tensor.Float32}, nil
	case 3, 4:
		return &Info{Type: h.elementType(), Ranked: true, Shape: h.shape()}, nil
	case 5, 6:
		list := make([]int64, h.IntN(5))
		for i := range list {
			list[i] = h.number()
		}
		v := Known(tensor.List(list...))
		return &v, v.Value
	case 7:
		list := make([]float32, h.IntN(5))
		for i := range list {
			list[i] = []float32{0, 1, 2, 0.5, -1, 1e30, float32(math.NaN()), float32(math.Inf(1))}[h.IntN(8)]
		}
		v := Known(tensor.List(list...))
		return &v, v.Value
	case 8:
		v := Known(tensor.Scalar(h.number()))
		return &v, v.Value
	}
	shape := make([]int64, h.IntN(5))
	for d := range shape {
		shape[d] = h.Int64N(4)
	}
	t, _ := dirty(h.elementType(), shape)
	if t.Type == tensor.Bool {
		clear(tensor.Data[bool](t)) // no byte but 0 and 1 is a bool
	}
	v := Known(t)
	return &v, t
}

func (h hostile) attributes() attrs {
	at := attrs{}
	for _, name := range []string{"axis", "blocksize", "k", "batch_dims", "num_outputs", "upper", "largest", "sorted", "allowzero", "start", "end", "to",
		"batch_axis", "time_axis", "num_heads", "q_num_heads", "kv_num_heads", "is_causal", "output_height", "sampling_ratio", "antialias", "exclude_outside"} {
		if h.IntN(4) == 0 {
			at[name] = int(h.number())
		}
	}
	strings := map[string][]string{"mode": {"constant", "edge", "reflect", "wrap", "nearest", "linear", "cubic", "CRD", "max", "circular"},
		"reduction": {"add", "max"}, "coordinate_transformation_mode": {"align_corners", "tf_crop_and_resize", "asymmetric"}, "keep_aspect_ratio_policy": {"not_larger"}}
	for _, name := range slices.Sorted(maps.Keys(strings)) {
		if values := strings[name]; h.IntN(3) == 0 {
			at[name] = values[h.IntN(len(values))]
		}
	}
	for _, name := range []string{"axes", "pads", "perm", "split", "starts", "ends"} {
		if h.IntN(3) == 0 {
			at[name] = h.shape()
		}
	}
	return at
}

// TestNothingPanics gives operators whatever comes to mind. They may refuse all of it,
// but what they infer with everything known must be what they can compute.
func TestNothingPanics(t *testing.T) {
	h := hostile{rand.New(rand.NewPCG(17, 18))}
	families := []map[string]Spec{shapeOperators(), moveOperators(), imageOperators(), selectOperators(), transformerOperators()}
	computed := map[string]int{}
	for range 300 {
		for _, family := range families {
			for _, name := range slices.Sorted(maps.Keys(family)) {
				if h.try(t, name, family[name]) {
					computed[name]++
				}
			}
		}
	}
	if len(computed) < 10 {
		t.Errorf("only %d operators got as far as computing: %v", len(computed), computed)
	}
}

// try infers once and computes if it can; it says whether it could.
func (h hostile) try(t *testing.T, name string, spec Spec) bool {
	opset := []int64{7, 9, 10, 11, 12, 13, 18, 19, 24, 26, 28}[h.IntN(11)]
	count := spec.MinIn + h.IntN(min(spec.MaxIn, 7)-spec.MinIn+1)
	outputs := 1 + h.IntN(min(spec.MaxOut, 4))
	at := h.attributes()
	in, infos, known := make([]*tensor.Tensor, count), make([]*Info, count), true
	for i := range in {
		infos[i], in[i] = h.operand()
		known = known && (infos[i] == nil || in[i] != nil)
	}
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("%s of operator set %d, %v, %s: panic: %v", name, opset, at, describe(infos), r)
		}
	}()
	o := h.make(map[string]Spec{name: spec}, name, opset, at, count, outputs)
	if o == nil {
		return false
	}
	results, err := o.Infer(infos)
	if err != nil {
		return false
	}
	for i, r := range results {
		for _, d := range r.Shape {
			if d < -1 {
				t.Fatalf("%s: result %d is %s", name, i, r)
			}
		}
		if n, err := tensor.Count(r.Shape); known && (err != nil || n > 1<<16) {
			return false // the engine would refuse that much memory
		}
	}
	if !known {
		return false
	}
	_, err = run(&kernel.On{Context: t.Context()}, o, in, results)
	return err == nil
}

// make makes the operator with those of the attributes that it knows.
func (h hostile) make(table map[string]Spec, name string, opset int64, at attrs, inputs, outputs int) Operator {
	for range 40 {
		o, err := New(nodeOf(name, opset, at, inputs, outputs), table, nil)
		if err == nil {
			return o
		}
		unknown := ""
		if _, scanErr := fmt.Sscanf(err.Error(), "attribute %q is not known", &unknown); scanErr != nil {
			if _, scanErr := fmt.Sscanf(err.Error(), "attribute %q", &unknown); scanErr != nil {
				return nil
			}
		}
		if _, there := at[unknown]; !there {
			return nil
		}
		delete(at, unknown)
	}
	return nil
}

func describe(infos []*Info) string {
	s := ""
	for _, v := range infos {
		if v == nil {
			s += "none, "
			continue
		}
		s += v.String()
		if v.Value != nil && v.Value.Type == tensor.Int64 {
			s += fmt.Sprint(tensor.Data[int64](v.Value))
		}
		s += ", "
	}
	return s
}
