package op

import (
	"errors"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func channelNormOperators() map[string]Spec {
	return map[string]Spec{
		"BatchNormalization":    {MinIn: 5, MaxIn: 5, MaxOut: 5, Make: makeBatchNorm},
		"InstanceNormalization": {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeInstanceNorm},
		"GroupNormalization":    {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeGroupNorm, Since: 18},
		"LRN":                   {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeLRN},
	}
}

// needFloats refuses operands that are missing or not float32.
func needFloats(in []*Info) error {
	for i := range in {
		if err := needType(in, i, tensor.Float32); err != nil {
			return err
		}
	}
	return nil
}

// perChannel refuses operands from first on that are no list with one element for
// each channel of operand 0, and operand 0 if it has no channels.
func perChannel(in []*Info, first int) error {
	x := in[0]
	if !x.Ranked {
		return nil
	}
	if len(x.Shape) < 2 {
		return BadInput(0, "has shape %v, expected batch and channels", x.Shape)
	}
	for i := first; i < len(in); i++ {
		if err := needLen(in, i, x.Shape[1]); err != nil {
			return err
		}
	}
	return nil
}

// planes calls do for each channel of each image, on several threads.
func planes(env *Env, shape []int64, do func(channel, from, to int)) error {
	channels, size := int(shape[1]), int(countStack(shape[2:]))
	return env.On.Parallel(int(shape[0])*channels, func(part int) {
		do(part%channels, part*size, (part+1)*size)
	})
}

// affine computes dst = src*scale + shift.
func affine(dst, src []float32, scale, shift float32) {
	src = src[:len(dst)]
	for i, x := range src {
		dst[i] = x*scale + shift
	}
}

// BatchNorm normalises channels by a mean and a variance that are given or, while
// training, by those of its operand.
type BatchNorm struct {
	epsilon, momentum float32
	training          bool
	results           int
}

func makeBatchNorm(a *Attributes, opset int64) (Operator, error) {
	o := BatchNorm{epsilon: a.float("epsilon", 1e-5), momentum: a.float("momentum", 0.9), results: a.Outputs}
	if opset >= 14 {
		o.training = a.flag("training_mode", false)
	}
	if opset < 9 && !a.flag("spatial", true) {
		return nil, errors.New("means of single pixels are not supported")
	}
	if opset < 7 {
		o.training = !a.flag("is_test", false)
		a.ints("consumed_inputs")
	}
	return o, nil
}

// Infer gives the shape of X and, for the running values, that of the channels.
func (o BatchNorm) Infer(in []*Info) ([]Info, error) {
	if err := needFloats(in); err != nil {
		return nil, err
	}
	if err := perChannel(in, 1); err != nil {
		return nil, err
	}
	out := []Info{like(in[0], tensor.Float32)}
	for i := 1; i < o.results; i++ {
		v := in[3+(i-1)%2]
		out = append(out, like(v, tensor.Float32))
	}
	return out, nil
}

// Run normalises.
func (o BatchNorm) Run(env *Env, in, out []*tensor.Tensor) error {
	src, dst := tensor.Data[float32](in[0]), tensor.Data[float32](out[0])
	scale, bias := tensor.Data[float32](in[1]), tensor.Data[float32](in[2])
	mean, variance := tensor.Data[float32](in[3]), tensor.Data[float32](in[4])
	if o.training {
		var err error
		if mean, variance, err = batchMoments(env, in[0]); err != nil {
			return err
		}
	}
	for i := 1; i < o.results; i++ {
		o.running(tensor.Data[float32](out[i]), tensor.Data[float32](in[3+(i-1)%2]), [][]float32{mean, variance}[(i-1)%2])
	}
	return planes(env, in[0].Shape, func(c, from, to int) {
		s := scale[c] / float32(math.Sqrt(float64(variance[c]+o.epsilon)))
		affine(dst[from:to], src[from:to], s, bias[c]-mean[c]*s)
	})
}

// running moves a running value towards that of the batch. Without training both are
// the same.
func (o BatchNorm) running(dst, old, batch []float32) {
	for i := range dst {
		dst[i] = batch[i]
		if o.training {
			dst[i] = old[i]*o.momentum + batch[i]*(1-o.momentum)
		}
	}
}

// batchMoments are mean and variance of each channel over all images.
func batchMoments(env *Env, x *tensor.Tensor) (mean, variance []float32, err error) {
	channels, size := int(x.Shape[1]), int(countStack(x.Shape[2:]))
	mean, variance = make([]float32, channels), make([]float32, channels)
	data := tensor.Data[float32](x)
	err = env.On.Parallel(channels, func(c int) {
		var m moments
		for n := range int(x.Shape[0]) {
			at := (n*channels + c) * size
			m.add(data[at : at+size])
		}
		mu := m.mean()
		var v moments
		for n := range int(x.Shape[0]) {
			at := (n*channels + c) * size
			v.addSquares(data[at:at+size], mu)
		}
		mean[c], variance[c] = float32(mu), float32(v.mean())
	})
	return mean, variance, err
}

// moments is a mean on its way, in float64: the order of a sum is no part of what it
// means.
type moments struct {
	sum float64
	n   int
}

func (m *moments) add(x []float32) {
	for _, v := range x {
		m.sum += float64(v)
	}
	m.n += len(x)
}

// addSquares adds squared distances from mu.
func (m *moments) addSquares(x []float32, mu float64) {
	for _, v := range x {
		d := float64(v) - mu
		m.sum += d * d
	}
	m.n += len(x)
}

func (m *moments) mean() float64 { return m.sum / float64(max(1, m.n)) }

// groupNorm normalises groups of channels of each image: each channel by itself
// (InstanceNormalization) or several together, with scale and bias for each channel
// or, in the operator sets 18 to 20, for each group.
type groupNorm struct {
	groups   int64 // 0: as many as channels
	perGroup bool
	epsilon  float32
}

func makeInstanceNorm(a *Attributes, _ int64) (Operator, error) {
	return groupNorm{epsilon: a.float("epsilon", 1e-5)}, nil
}

func makeGroupNorm(a *Attributes, opset int64) (Operator, error) {
	o := groupNorm{groups: a.int("num_groups", -1), perGroup: opset < 21, epsilon: a.float("epsilon", 1e-5)}
	if opset >= 21 {
		a.int("stash_type", 1)
	}
	return o, nil
}

func (o groupNorm) Infer(in []*Info) ([]Info, error) {
	if err := needFloats(in); err != nil {
		return nil, err
	}
	first := 1
	if o.perGroup {
		first = len(in)
	}
	if err := perChannel(in, first); err != nil {
		return nil, err
	}
	for i := 1; o.perGroup && i < len(in); i++ {
		if err := needLen(in, i, o.groups); err != nil {
			return nil, err
		}
	}
	if x := in[0]; o.groups < 0 || x.Ranked && o.groups > 0 && x.Shape[1]%o.groups != 0 && x.Shape[1] >= 0 {
		return nil, BadInput(0, "is %s, whose channels do not divide into %d groups", x, o.groups)
	}
	return []Info{like(in[0], tensor.Float32)}, nil
}

func (o groupNorm) Run(env *Env, in, out []*tensor.Tensor) error {
	shape := slices.Clone(in[0].Shape)
	channels, size := int(shape[1]), int(countStack(shape[2:]))
	groups := int(o.groups)
	if groups == 0 {
		groups = channels
	}
	per := channels / groups
	src, dst := tensor.Data[float32](in[0]), tensor.Data[float32](out[0])
	scale, bias := tensor.Data[float32](in[1]), tensor.Data[float32](in[2])
	return env.On.Parallel(int(shape[0])*groups, func(part int) {
		at := part * per * size
		var sum, squares moments
		sum.add(src[at : at+per*size])
		mu := sum.mean()
		squares.addSquares(src[at:at+per*size], mu)
		inverse := 1 / math.Sqrt(squares.mean()+float64(o.epsilon))
		for c := range per {
			which := part%groups*per + c
			if o.perGroup {
				which = part % groups
			}
			s := float64(scale[which]) * inverse
			from := at + c*size
			affine(dst[from:from+size], src[from:from+size], float32(s), float32(float64(bias[which])-mu*s))
		}
	})
}

// lrn divides by a power of the sum of squares over neighbouring channels (local
// response normalisation).
type lrn struct {
	size              int64
	alpha, beta, bias float64
}

func makeLRN(a *Attributes, _ int64) (Operator, error) {
	return lrn{a.int("size", 0), float64(a.float("alpha", 1e-4)), float64(a.float("beta", 0.75)), float64(a.float("bias", 1))}, nil
}

func (o lrn) Infer(in []*Info) ([]Info, error) {
	if err := needFloats(in); err != nil {
		return nil, err
	}
	if o.size < 1 || o.size > maxWindow {
		return nil, BadInput(0, "is to be normalised over %d channels", o.size)
	}
	if err := perChannel(in, 1); err != nil {
		return nil, err
	}
	return []Info{like(in[0], tensor.Float32)}, nil
}

func (o lrn) Run(env *Env, in, out []*tensor.Tensor) error {
	channels, size := int(in[0].Shape[1]), int(countStack(in[0].Shape[2:]))
	src, dst := tensor.Data[float32](in[0]), tensor.Data[float32](out[0])
	before := int(o.size-1) / 2
	after := int(o.size-1) - before
	return planes(env, in[0].Shape, func(c, from, to int) {
		first := from - c*size
		low, high := max(0, c-before), min(channels-1, c+after)
		for i := range to - from {
			if i%1024 == 0 && env.On.Err() != nil {
				return
			}
			sum := 0.0
			for k := low; k <= high; k++ {
				v := float64(src[first+k*size+i])
				sum += v * v
			}
			dst[from+i] = float32(float64(src[from+i]) / math.Pow(o.bias+o.alpha/float64(o.size)*sum, o.beta))
		}
	})
}
