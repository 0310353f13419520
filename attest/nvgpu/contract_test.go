package nvgpu_test

import (
	"flag"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

func forgedVerifier(t testing.TB, kind attest.Kind) *nvgpu.Verifier {
	t.Helper()
	device, rim := attesttest.NewNVIDIA().Roots(t)
	v, err := nvgpu.NewVerifierWithRoots(kind, nvgpu.Roots{Device: device, RIM: rim})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var full = flag.Bool("full", false, "change every byte in TestContract, not some")

// TestContract runs the suite that every verifier passes, once for each kind: a GPU
// with two manifests, a switch with one and all OCSP responses. Each verification
// takes up to eight milliseconds, so only some bytes of the evidence and of what
// comes with it are changed, unless all are asked for.
func TestContract(t *testing.T) {
	for _, c := range []struct {
		kind   attest.Kind
		stride int
		opts   []attesttest.GPUOption
	}{
		{attest.NVIDIAGPU, 1009, []attesttest.GPUOption{attesttest.NoOCSP()}},
		{attest.NVSwitch, 1409, []attesttest.GPUOption{attesttest.Switch()}},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			if *full {
				c.stride = 0
			}
			ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1, 2, 3}, c.opts...)
			attesttest.TestVerifier(t, attesttest.Harness{
				Verifier: forgedVerifier(t, c.kind), Evidence: ev, Endorsements: end, At: attesttest.Epoch(), Stride: c.stride,
				Nonce: append([]byte{1, 2, 3}, make([]byte, 29)...),
			})
		})
	}
}
