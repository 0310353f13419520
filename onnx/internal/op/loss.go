package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func lossOperators() map[string]Spec {
	return map[string]Spec{
		"NegativeLogLikelihoodLoss": {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeLoss(false), Since: 12},
		"SoftmaxCrossEntropyLoss":   {MinIn: 2, MaxIn: 3, MaxOut: 2, Make: makeLoss(true), Since: 12},
	}
}

// loss takes, of each place in operand 0, the negative logarithm of the probability of
// the class that operand 1 says, weighted by operand 2, one weight a class. Axis 1 of
// operand 0 counts classes. The logarithms are operand 0 itself, or with softmax are
// computed from it, and are result 1.
type loss struct {
	softmax   bool
	results   int
	reduction string
	ignore    int64
	ignores   bool
}

func makeLoss(softmax bool) func(*Attributes, int64) (Operator, error) {
	return func(a *Attributes, _ int64) (Operator, error) {
		o := loss{softmax: softmax, results: a.Outputs, ignores: a.has("ignore_index")}
		o.ignore = a.int("ignore_index", 0)
		o.reduction = a.oneOf("reduction", "mean", "sum", "none")
		return o, nil
	}
}

func (o loss) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if err := needType(in, 1, tensor.Int64, tensor.Int32); err != nil {
		return nil, err
	}
	if present(in, 2) {
		if err := needType(in, 2, in[0].Type); err != nil {
			return nil, err
		}
	}
	result := Info{Type: in[0].Type, Ranked: true, Shape: []int64{}}
	if o.reduction == "none" {
		result.Ranked, result.Shape = in[1].Ranked, in[1].Shape
	}
	if err := o.fit(in); err != nil {
		return nil, err
	}
	return []Info{result, likeFirst(in)[0]}[:max(1, o.results)], nil
}

// fit holds the shapes to each other.
func (o loss) fit(in []*Info) error {
	if !in[0].Ranked || !in[1].Ranked {
		return nil
	}
	if len(in[0].Shape) < 2 {
		return BadInput(0, "has shape %v, expected at least two dimensions", in[0].Shape)
	}
	want := slices.Delete(slices.Clone(in[0].Shape), 1, 2)
	if err := sameShape(in[1].Shape, want); err != nil {
		return &OperandError{1, err}
	}
	return needLen(in, 2, in[0].Shape[1])
}

func (o loss) Run(env *Env, in, out []*tensor.Tensor) error {
	places := in[0]
	if o.softmax {
		logs, err := env.New(tensor.Float64, in[0].Shape)
		if err != nil {
			return err
		}
		along := along{axis: 1}
		if err := along.eachLane(env, logs, in[0], func(lane []float64) { softmaxOf(lane, true) }); err != nil {
			return err
		}
		places = logs
		if present(out, 1) {
			if err := one(env, out[1], logs, same[float64]); err != nil {
				return err
			}
		}
	}
	return o.choose(env, places, in, out[0])
}

// choose takes the logarithms that operand 1 says and reduces them.
func (o loss) choose(env *Env, logs *tensor.Tensor, in []*tensor.Tensor, out *tensor.Tensor) error {
	classes := int(in[0].Shape[1])
	inner := int(countStack(in[0].Shape[2:]))
	weights, err := spread(env, in, 2, []int64{int64(classes)}, 1)
	if err != nil {
		return err
	}
	from, put := reader[float64](logs), writer[float64](out)
	at, sum, weight, bad := 0, 0.0, 0.0, -1
	var v [1]float64
	err = each(env, in[1], func(class int64) {
		v[0] = 0
		if !o.ignores || class != o.ignore {
			if class < 0 || class >= int64(classes) {
				bad = at
				return
			}
			from(v[:], (at/inner*classes+int(class))*inner+at%inner, 1)
			weight += weights[class]
			v[0] *= -weights[class]
		}
		sum += v[0]
		if o.reduction == "none" {
			put(v[:], at, 1)
		}
		at++
	})
	if bad >= 0 {
		return BadInput(1, "element %d is not one of %d classes", bad, classes)
	}
	if o.reduction == "mean" {
		sum /= weight
	}
	if o.reduction != "none" {
		put([]float64{sum}, 0, 1)
	}
	return err
}
