package nvgpu_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

func forgedVerifier(t testing.TB, kind attest.Kind) *nvgpu.Verifier {
	t.Helper()
	device, rim := attesttest.NewNVIDIA().Roots(t)
	return verifierWith(t, kind, nvgpu.Roots{Device: device, RIM: rim})
}

// TestContract runs the suite that every verifier passes, once for each kind.
// Each verification takes up to eight milliseconds, so only some bytes of the
// evidence and of what comes with it are changed.
func TestContract(t *testing.T) {
	for _, c := range []struct {
		kind   attest.Kind
		stride int
		opts   []attesttest.GPUOption
	}{
		{attest.NVIDIAGPU, 2003, nil},
		{attest.NVSwitch, 1409, []attesttest.GPUOption{attesttest.Switch()}},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1, 2, 3}, c.opts...)
			attesttest.TestVerifier(t, attesttest.Harness{
				Verifier: forgedVerifier(t, c.kind), Evidence: ev, Endorsements: end, At: attesttest.Epoch(), Stride: c.stride,
				Nonce: append([]byte{1, 2, 3}, make([]byte, 29)...),
			})
		})
	}
}
