package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/attest/tpm"
)

// KindsFor returns the kinds of evidence that can be accepted by trust: what a box
// is told. It is those of its machines and, if they must have GPUs,
// [attest.Composite]. Without a trust it is every kind of hardware, which is for
// looking at evidence: what is genuine is not thereby acceptable.
func KindsFor(trust *appraise.Trust) []attest.Kind {
	kinds := machineKinds(trust)
	if trust == nil || trust.GPUs() {
		kinds = append(kinds, attest.Composite)
	}
	return kinds
}

func machineKinds(trust *appraise.Trust) []attest.Kind {
	if trust != nil {
		return trust.Kinds()
	}
	return slices.DeleteFunc(attest.Kinds(), func(k attest.Kind) bool {
		return k.Simulated() || k.Device() || k == attest.Composite
	})
}

// VerifierFor returns the Verifier for one of the kinds that [KindsFor] lists,
// with the vendors' pinned roots and those that trust names. For any other kind it
// is an [*attest.Failure].
func VerifierFor(kind attest.Kind, trust *appraise.Trust) (attest.Verifier, error) {
	if kinds := KindsFor(trust); !slices.Contains(kinds, kind) {
		return nil, attest.NewFailure("hardware.evidence", attest.CodeKindMismatch, kind.String(), kindNames(kinds))
	}
	return verifierFor(maker{trust: trust}, kind)
}

func verifierFor(m maker, kind attest.Kind) (attest.Verifier, error) {
	v, err := m.verifier(kind)
	if err != nil {
		return nil, fmt.Errorf("client: verifier of kind %s: %w", kind, err)
	}
	return v, nil
}

func kindNames(kinds []attest.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return strings.Join(names, " or ")
}

// maker makes Verifiers for one trust. Those that it makes share the chains that
// are kept; without kept each verifies everything every time.
type maker struct {
	trust *appraise.Trust
	kept  *chains
}

func (m maker) verifier(kind attest.Kind) (attest.Verifier, error) {
	switch kind {
	case attest.SNP:
		v, err := snp.NewVerifier()
		return warmed(v, snpChains(v), m.kept), err
	case attest.SimSNP:
		return m.simulated()
	case attest.TDX:
		v, err := tdx.NewVerifier()
		return warmed(v, tdxChains(v), m.kept), err
	case attest.SGX:
		v, err := sgx.NewVerifier()
		return warmed(v, sgxChains(v), m.kept), err
	case attest.Nitro:
		v, err := nitro.NewVerifier()
		return warmed(v, nitroChains(v), m.kept), err
	case attest.TPM:
		return tpm.NewVerifier()
	case attest.AzureSNP:
		return m.azure(kind, attest.SNP)
	case attest.AzureTDX:
		return m.azure(kind, attest.TDX)
	case attest.NVIDIAGPU, attest.NVSwitch:
		v, err := nvgpu.NewVerifier(kind)
		return warmed(v, nvgpuChains(v), m.kept), err
	case attest.Composite:
		return m.composite()
	}
	return nil, errors.New("this version has none")
}

func (m maker) simulated() (attest.Verifier, error) {
	root, ok := m.trust.SimulatedRoot()
	if !ok {
		return nil, errors.New("the trust has no simulated root")
	}
	return sim.NewVerifier(root)
}

// azure leaves the hardware's report to the Verifier of the hardware.
func (m maker) azure(kind, hardware attest.Kind) (attest.Verifier, error) {
	v, err := m.verifier(hardware)
	if err != nil {
		return nil, err
	}
	return azure.NewVerifierWithHardware(kind, v)
}

// composite takes any accepted machine with any devices; which they must be,
// the appraisal knows.
func (m maker) composite() (attest.Verifier, error) {
	var parts []attest.Verifier
	for _, kind := range append(machineKinds(m.trust), attest.NVIDIAGPU, attest.NVSwitch) {
		one, err := m.verifier(kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		parts = append(parts, one)
	}
	return composite.NewVerifier(parts...)
}

// verifiersFor makes one Verifier for each kind that the trust accepts.
func verifiersFor(trust *appraise.Trust, kept *chains) (map[attest.Kind]attest.Verifier, error) {
	out := make(map[attest.Kind]attest.Verifier)
	m := maker{trust, kept}
	for _, kind := range KindsFor(trust) {
		v, err := verifierFor(m, kind)
		if err != nil {
			return nil, err
		}
		out[kind] = v
	}
	return out, nil
}
