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
	v, err := newVerifier(kind, trust)
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

func newVerifier(kind attest.Kind, trust *appraise.Trust) (attest.Verifier, error) {
	switch kind {
	case attest.SNP:
		return snp.NewVerifier()
	case attest.SimSNP:
		return newSimulated(trust)
	case attest.TDX:
		return tdx.NewVerifier()
	case attest.SGX:
		return sgx.NewVerifier()
	case attest.Nitro:
		return nitro.NewVerifier()
	case attest.TPM:
		return tpm.NewVerifier()
	case attest.AzureSNP, attest.AzureTDX:
		return azure.NewVerifier(kind)
	case attest.NVIDIAGPU, attest.NVSwitch:
		return nvgpu.NewVerifier(kind)
	case attest.Composite:
		return newComposite(trust)
	}
	return nil, errors.New("this version has none")
}

func newSimulated(trust *appraise.Trust) (attest.Verifier, error) {
	root, ok := trust.SimulatedRoot()
	if !ok {
		return nil, errors.New("the trust has no simulated root")
	}
	return sim.NewVerifier(root)
}

// newComposite takes any accepted machine with any devices; which they must be,
// the appraisal knows.
func newComposite(trust *appraise.Trust) (attest.Verifier, error) {
	var parts []attest.Verifier
	for _, kind := range append(machineKinds(trust), attest.NVIDIAGPU, attest.NVSwitch) {
		one, err := newVerifier(kind, trust)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		parts = append(parts, one)
	}
	return composite.NewVerifier(parts...)
}

// verifiersFor makes one Verifier for each kind that the trust accepts.
func verifiersFor(trust *appraise.Trust) (map[attest.Kind]attest.Verifier, error) {
	out := make(map[attest.Kind]attest.Verifier)
	for _, kind := range KindsFor(trust) {
		v, err := VerifierFor(kind, trust)
		if err != nil {
			return nil, err
		}
		out[kind] = v
	}
	return out, nil
}
