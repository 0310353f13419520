package nitro_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
)

// TestVectors runs every row of the attack catalogue that speaks of this kind.
func TestVectors(t *testing.T) {
	casetest.Run(t, attest.Nitro, 50, attesttest.NitroVectors(t))
}
