package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// tolerance is how far an output may be from the peer's: for every element
// |got - want| <= tolerance * (largest |want| of the output + |want|). Two orders
// of summing in float32 differ by up to about a tenth of it in deep networks.
const tolerance = 1e-4

// compare returns the worst element's share of the tolerance: up to 1 is within
// it. Whole numbers must be equal.
func compare(got, want *tensor.Tensor) (float64, error) {
	if got == nil {
		return 0, errors.New("is missing")
	}
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return 0, fmt.Errorf("is %s%v, expected %s%v", got.Type, got.Shape, want.Type, want.Shape)
	}
	if !slices.Equal(tensor.Data[int64](got), tensor.Data[int64](want)) {
		return 0, errors.New("has other integers")
	}
	return deviation(tensor.Data[float32](got), tensor.Data[float32](want)), nil
}

func deviation(got, want []float32) float64 {
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(float64(w)))
	}
	worst := 0.0
	for i, w := range want {
		off := math.Abs(float64(got[i]) - float64(w))
		switch {
		case off == 0:
		case math.IsNaN(off):
			return math.Inf(1)
		default:
			worst = max(worst, off/(largest+math.Abs(float64(w)))/tolerance)
		}
	}
	return worst
}
