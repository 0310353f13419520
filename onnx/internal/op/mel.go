package op

import (
	"errors"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// mel is the matrix that weighs the bins of a spectrum into bands that are equally wide
// on the mel scale. Its operands are scalars: the number of bands, the length of the
// Fourier transform, samples per second, and the lowest and highest frequency.
type mel struct{ to tensor.DataType }

func makeMel(a *Attributes, _ int64) (Operator, error) {
	return mel{resultType(a, "output_datatype", tensor.Float32)}, nil
}

func (o mel) Infer(in []*Info) ([]Info, error) {
	for i := range in {
		types := []tensor.DataType{tensor.Int32, tensor.Int64}
		if i > 2 {
			types = floatTypes()
		}
		if err := needScalar(in, i, types...); err != nil {
			return nil, err
		}
	}
	if err := needNumber(o.to); err != nil {
		return nil, err
	}
	bands, knownBands := in[0].number()
	length, knownLength := in[1].number()
	if knownBands && bands < 0 {
		return nil, BadInput(0, "is %d, expected 0 or more bands", bands)
	}
	if knownLength && length < 0 {
		return nil, BadInput(1, "is %d, expected a length of 0 or more", length)
	}
	bins := int64(-1)
	if knownLength {
		bins = length/2 + 1
	}
	return []Info{ranked(o.to, bins, bands)}, nil
}

func (o mel) Run(env *Env, in, out []*tensor.Tensor) error {
	bins, bands := out[0].Shape[0], out[0].Shape[1]
	edges, err := melEdges(env, in, bins, bands)
	if err != nil {
		return err
	}
	return fillBy(env, out[0], func(i int) float64 {
		bin, band := int64(i)/bands, int64(i)%bands
		return triangle(bin, edges[band], edges[band+1], edges[band+2])
	})
}

// triangle is 1 at its centre and falls to 0 at both ends.
func triangle(at, left, centre, right int64) float64 {
	switch {
	case at == centre:
		return 1
	case at < left || at >= right:
		return 0
	case at < centre:
		return float64(at-left) / float64(centre-left)
	}
	return float64(right-at) / float64(right-centre)
}

// melEdges are the bins where bands begin, have their centre, and end.
func melEdges(env *Env, in []*tensor.Tensor, bins, bands int64) ([]int64, error) {
	length, rate := scalarOr[float64](in, 1, 0), scalarOr[float64](in, 2, 0)
	toMel := func(hertz float64) float64 { return 2595 * math.Log10(1+hertz/700) }
	low, high := toMel(scalarOr[float64](in, 3, 0)), toMel(scalarOr[float64](in, 4, 0))
	step := (high - low) / float64(bands+2)
	edges, err := work[int64](env, int(bands)+2)
	if err != nil {
		return nil, err
	}
	for i := range edges {
		hertz := 700 * (math.Pow(10, (low+float64(i)*step)/2595) - 1)
		bin := math.Floor((length + 1) * hertz / rate)
		if !(bin >= 0 && bin < float64(bins)+1) {
			return nil, errors.New("the frequencies lie outside of the spectrum")
		}
		edges[i] = int64(bin)
	}
	return edges, nil
}
