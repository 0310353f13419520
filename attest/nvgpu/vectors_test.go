package nvgpu_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
)

// TestVectors runs every case of the catalogue that speaks of GPUs and switches.
func TestVectors(t *testing.T) {
	casetest.Run(t, attest.NVIDIAGPU, 100, attesttest.NVIDIAVectors(t))
}
