package pipeline

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestHalf: every number of 16 bits is what its definition says.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		exponent, fraction := h>>10&31, float64(h&1023)
		want := math.Ldexp(1024+fraction, exponent-25)
		switch {
		case exponent == 0:
			want = math.Ldexp(fraction, -24)
		case exponent == 31 && fraction == 0:
			want = math.Inf(1)
		case exponent == 31:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = -want
		}
		got := float64(half(tensor.F16(h)))
		if same := got == want && math.Signbit(got) == math.Signbit(want) || got != got && want != want; !same {
			t.Fatalf("%#04x is %v, expected %v", h, got, want)
		}
	}
}

// TestOtherFloats: models that give other floating types are read as float32.
func TestOtherFloats(t *testing.T) {
	for _, scores := range []*tensor.Tensor{
		tensor.Of([]tensor.F16{0x3c00, 0x4200, 0x4000}, 1, 3), tensor.Of([]tensor.BF16{0x3f80, 0x4040, 0x4000}, 1, 3), tensor.Of([]float64{1, 3, 2}, 1, 3),
	} {
		m := textModel(value("logits", scores.Type, -1, 3))
		for output, want := range map[string][]float32{"[top: 2]": {3, 2}, "[take: logits]": {1, 3, 2}, "[take: logits, top: 3]": {3, 2, 1}} {
			p := open(t, plainDoc(shortText, output), m)
			name := p.Outputs()[0].Name
			if got := runFor(t, p, texts("a"), answer("logits", scores), name); !slices.Equal(got, want) {
				t.Errorf("%v, %s: %v, expected %v", scores.Type, output, got, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := widened(ctx, scores); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v", scores.Type, err)
		}
	}
}
