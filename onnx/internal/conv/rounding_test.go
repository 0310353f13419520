package conv

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// TestRounding: the portable form's error stays near that of rounding the result. Summed
// up in float32, these layers are at 1.4e-7 to 6.7e-7.
func TestRounding(t *testing.T) {
	rng := rand.New(rand.NewPCG(70, 71))
	for name, g := range map[string]Geometry{
		"blocked":   square(256, 32, 1, 6, 3, 2),
		"planar":    square(3, 32, 1, 20, 9, 1),
		"depthwise": square(32, 32, 32, 20, 9, 1),
	} {
		tr := newTrial(rng, g)
		tr.act, tr.residual, tr.bias = Activation{}, nil, nil
		want, _ := naive(&g, tr.src, tr.weights, nil)
		for _, level := range levels() {
			var off, size float64
			for i, got := range tr.run(t, &kernel.On{Level: level}, Planar, Planar) {
				off += math.Abs(float64(got) - want[i])
				size += math.Abs(want[i])
			}
			allowed := 1e-6
			if level == kernel.Portable {
				allowed = 1e-7
			}
			if off > allowed*size {
				t.Errorf("%v, %s: mean error %.3g of the mean result, %g allowed", level, name, off/size, allowed)
			}
		}
	}
}
