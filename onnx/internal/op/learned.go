package op

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// learnedOperators are those of the domain ai.onnx.ml, for models that were learned
// from tables.
func learnedOperators() map[string]Spec {
	return map[string]Spec{
		"ai.onnx.ml:ArrayFeatureExtractor": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: always(featureExtractor{})},
		"ai.onnx.ml:Binarizer":             {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeBinarizer},
		"ai.onnx.ml:LabelEncoder":          {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeLabelEncoder},
		"ai.onnx.ml:TreeEnsemble":          {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeTreeEnsemble, Since: 5},
	}
}

// featureExtractor picks places of the last axis of operand 0.
type featureExtractor struct{}

func (featureExtractor) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needType(in, 1, tensor.Int64); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	if len(in[0].Shape) == 0 {
		return nil, BadInput(0, "is a scalar")
	}
	picked := int64(-1)
	if in[1].Complete() {
		var err error
		if picked, err = tensor.Count(in[1].Shape); err != nil {
			return nil, &OperandError{1, err}
		}
	}
	lead := in[0].Shape[:len(in[0].Shape)-1]
	if len(lead) == 0 {
		return []Info{ranked(in[0].Type, 1, picked)}, nil
	}
	return []Info{ranked(in[0].Type, append(append([]int64{}, lead...), picked)...)}, nil
}

func (featureExtractor) Run(env *Env, in, out []*tensor.Tensor) error {
	indices := in[1].Reshaped([]int64{int64(in[1].Len())})
	last := in[0].Shape[len(in[0].Shape)-1]
	for _, i := range tensor.Data[int64](indices) {
		if i < 0 {
			return BadInput(1, "index %d is outside of dimension %d", i, last)
		}
	}
	return gather{axis: -1}.Run(env, []*tensor.Tensor{in[0], indices}, out)
}

// binarizer gives 1 for what is above a threshold, and else 0.
type binarizer struct{ threshold float32 }

func makeBinarizer(a *Attributes, _ int64) (Operator, error) {
	return binarizer{a.float("threshold", 0)}, nil
}

func (o binarizer) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64); err != nil {
		return nil, err
	}
	return []Info{openly(*in[0])}, nil
}

func (o binarizer) Run(env *Env, in, out []*tensor.Tensor) error {
	switch in[0].Type {
	case tensor.Float32:
		return above[float32](env, in[0], out[0], float64(o.threshold))
	case tensor.Float64:
		return above[float64](env, in[0], out[0], float64(o.threshold))
	case tensor.Int32:
		return above[int32](env, in[0], out[0], float64(o.threshold))
	}
	return above[int64](env, in[0], out[0], float64(o.threshold))
}

func above[T float32 | float64 | int32 | int64](env *Env, in, out *tensor.Tensor, threshold float64) error {
	return apply(env, tensor.Data[T](out), tensor.Data[T](in), func(x T) T {
		if float64(x) > threshold {
			return 1
		}
		return 0
	})
}

// labelEncoder replaces labels by what they stand for.
type labelEncoder struct {
	from   tensor.DataType
	index  map[any]int64  // of a label in values; a NaN is the label nan{}
	values *tensor.Tensor // those that labels stand for, then the default
}

// nan is the key of a label that is not a number: NaN itself is equal to nothing.
type nan struct{}

func makeLabelEncoder(a *Attributes, opset int64) (Operator, error) {
	keys, err := labels(a, "keys_")
	if err != nil {
		return nil, err
	}
	values, err := labels(a, "values_")
	if err != nil {
		return nil, err
	}
	otherwise := map[tensor.DataType]*tensor.Tensor{
		tensor.String:  tensor.List(a.string("default_string", "_Unused")),
		tensor.Int64:   tensor.List(a.int("default_int64", -1)),
		tensor.Float32: tensor.List(a.float("default_float", float32(math.Copysign(0, -1)))),
	}[values.Type]
	if t := tensorIn(a, "default_tensor"); t != nil {
		otherwise = t
	}
	if otherwise == nil {
		if otherwise, err = tensor.New(values.Type, []int64{1}); err != nil {
			return nil, err
		}
	}
	if otherwise.Type != values.Type || otherwise.Len() != 1 || values.Len() != keys.Len() {
		return nil, fmt.Errorf("%d keys, %d values of %s, and a default of %d elements of %s", keys.Len(), values.Len(), values.Type, otherwise.Len(), otherwise.Type)
	}
	o := labelEncoder{from: keys.Type, index: make(map[any]int64, keys.Len())}
	for i := range keys.Len() {
		o.index[label(keys, i)] = int64(i)
	}
	o.values, err = joined(values, otherwise)
	return o, err
}

// labels reads the one attribute with the given beginning that is there.
func labels(a *Attributes, begin string) (*tensor.Tensor, error) {
	var all []*tensor.Tensor
	if v, ok := a.strings(begin + "strings"); ok {
		all = append(all, tensor.List(v...))
	}
	if v, ok := a.ints(begin + "int64s"); ok {
		all = append(all, tensor.List(v...))
	}
	if v, ok := a.floats(begin + "floats"); ok {
		all = append(all, tensor.List(v...))
	}
	if t := tensorIn(a, begin+"tensor"); t != nil {
		all = append(all, t.Reshaped([]int64{int64(t.Len())}))
	}
	if len(all) != 1 || all[0].Len() == 0 {
		return nil, fmt.Errorf("has %d attributes %s..., expected 1 with labels", len(all), begin)
	}
	switch all[0].Type {
	case tensor.String, tensor.Int64, tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int16:
		return all[0], nil
	}
	return nil, fmt.Errorf("labels of %s are not supported", all[0].Type)
}

// tensorIn reads a tensor attribute; nil if it is not there.
func tensorIn(a *Attributes, name string) *tensor.Tensor {
	at, _ := a.take(name, graph.Tensor)
	return at.T
}

// label is the key of an element.
func label(t *tensor.Tensor, i int) any {
	switch t.Type {
	case tensor.String:
		return tensor.Data[string](t)[i]
	case tensor.Int64:
		return tensor.Data[int64](t)[i]
	case tensor.Int32:
		return tensor.Data[int32](t)[i]
	case tensor.Int16:
		return tensor.Data[int16](t)[i]
	}
	v := 0.0
	if t.Type == tensor.Float32 {
		v = float64(tensor.Data[float32](t)[i])
	} else {
		v = tensor.Data[float64](t)[i]
	}
	if math.IsNaN(v) {
		return nan{}
	}
	return v
}

// joined is two lists behind each other.
func joined(a, b *tensor.Tensor) (*tensor.Tensor, error) {
	out, err := tensor.New(a.Type, []int64{int64(a.Len() + b.Len())})
	if err != nil {
		return nil, err
	}
	return out, concat{}.Run(&Env{On: &kernel.On{}}, []*tensor.Tensor{a, b.Reshaped([]int64{int64(b.Len())})}, []*tensor.Tensor{out})
}

func (o labelEncoder) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, o.from); err != nil {
		return nil, err
	}
	return []Info{like(in[0], o.values.Type)}, nil
}

func (o labelEncoder) Run(env *Env, in, out []*tensor.Tensor) error {
	last := int64(o.values.Len() - 1)
	indices := make([]int64, in[0].Len())
	for i := range indices {
		if i%4096 == 0 {
			if err := env.On.Err(); err != nil {
				return err
			}
		}
		index, ok := o.index[label(in[0], i)]
		if !ok {
			index = last
		}
		indices[i] = index
	}
	at := tensor.Of(indices, in[0].Shape...)
	return gather{}.Run(env, []*tensor.Tensor{o.values, at}, out)
}
