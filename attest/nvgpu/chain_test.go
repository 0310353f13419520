package nvgpu_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/internal/nvforge"
)

// TestRefusedChainSignsNothing: the report's signature is verified beside those of
// the chain. A stranger's report that its own leaf signed well is refused for the
// chain alone, and of several bad certificates the one nearest to the root is named.
func TestRefusedChainSignsNothing(t *testing.T) {
	var stranger []*nvforge.CA
	attesttest.StrangerNVIDIA().MakeGPU(t, [32]byte{1}, attesttest.EditGPUChain(func(c []*nvforge.CA) []*nvforge.CA {
		stranger = slices.Clone(c)
		return c
	}))
	for name, c := range map[string]struct {
		theirs []int // the certificates that are the stranger's, from the leaf up
		words  string
	}{
		"leaf":             {[]int{0}, `is not signed by "Fake NVIDIA device`},
		"all but the root": {[]int{0, 1, 2, 3}, `"Fake NVIDIA identity" is not signed by "Fake NVIDIA root"`},
		"leaf and another": {[]int{0, 3}, `"Fake NVIDIA identity" is not signed by "Fake NVIDIA root"`},
		"device":           {[]int{1}, `is not signed by "Fake NVIDIA ica"`},
	} {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, attesttest.EditGPUChain(func(chain []*nvforge.CA) []*nvforge.CA {
			out := slices.Clone(chain)
			for _, i := range c.theirs {
				out[i] = stranger[i]
			}
			return out
		}))
		_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
		casetest.Refused(t, err, "hardware.chain", attest.CodeUntrustedRoot)
		var f *attest.Failure
		if !errors.As(err, &f) || len(f.Failed()) != 1 || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %s and no more", name, err, c.words)
		}
		if slices.ContainsFunc(f.Checks, func(k attest.Check) bool { return k.Name == "hardware.signature" }) {
			t.Errorf("%s: something is said of the signature: %v", name, f.Checks)
		}
	}
}
