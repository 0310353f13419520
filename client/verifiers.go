package client

import (
	"fmt"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/attest/tpm"
)

// Verifiers verify evidence of several kinds. They are immutable and safe for
// concurrent use; the zero Verifiers refuse everything.
type Verifiers struct {
	kinds  []attest.Kind
	byKind map[attest.Kind]attest.Verifier
}

// VerifiersFor returns a Verifier for each kind that trust accepts, with the
// vendors' pinned roots and those that trust names. Without a trust it is every
// kind of hardware, which is for looking at evidence: what is genuine is not
// thereby acceptable.
func VerifiersFor(trust *appraise.Trust) (*Verifiers, error) {
	if trust == nil {
		return verifiersOf(hardwareKinds(), nil, true)
	}
	return verifiersOf(trust.Kinds(), trust, trust.GPUs())
}

// hardwareKinds are the kinds of machine that are not simulated.
func hardwareKinds() []attest.Kind {
	var out []attest.Kind
	for _, k := range attest.Kinds() {
		if !k.Simulated() && !k.Device() && k != attest.Composite {
			out = append(out, k)
		}
	}
	return out
}

func verifiersOf(kinds []attest.Kind, trust *appraise.Trust, devices bool) (*Verifiers, error) {
	v := &Verifiers{byKind: make(map[attest.Kind]attest.Verifier)}
	for _, kind := range kinds {
		one, err := verifierFor(kind, trust)
		if err != nil {
			return nil, fmt.Errorf("client: verifier of kind %s: %w", kind, err)
		}
		v.add(one)
	}
	if devices && trust != nil {
		return v.withDevices()
	}
	return v, nil
}

// Kinds returns the kinds of evidence that can be verified.
func (v *Verifiers) Kinds() []attest.Kind { return append([]attest.Kind(nil), v.kinds...) }

// Verify has the evidence verified by the Verifier of its kind.
func (v *Verifiers) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	one, ok := v.byKind[ev.Kind]
	if !ok {
		return nil, attest.NewFailure("hardware.evidence", attest.CodeKindMismatch, ev.Kind.String(), "a kind that the trust file accepts")
	}
	return one.Verify(ev, end, at)
}

func (v *Verifiers) add(one attest.Verifier) {
	v.kinds = append(v.kinds, one.Kind())
	v.byKind[one.Kind()] = one
}

// verifierFor returns the Verifier of one kind of machine.
func verifierFor(kind attest.Kind, trust *appraise.Trust) (attest.Verifier, error) {
	switch kind {
	case attest.SNP:
		return snp.NewVerifier()
	case attest.SimSNP:
		return simulatedFor(trust)
	case attest.TDX:
		return tdx.NewVerifier()
	case attest.SGX:
		return sgx.NewVerifier()
	case attest.Nitro:
		return nitro.NewVerifier()
	case attest.TPM:
		return tpm.NewVerifier()
	}
	return nil, fmt.Errorf("this version has none")
}

func simulatedFor(trust *appraise.Trust) (attest.Verifier, error) {
	if trust == nil {
		return nil, fmt.Errorf("there is no trust, and so no simulated root")
	}
	root, ok := trust.SimulatedRoot()
	if !ok {
		return nil, fmt.Errorf("the trust has no simulated root")
	}
	return sim.NewVerifier(root)
}

// withDevices adds the evidence of machines with devices beside the processor.
func (v *Verifiers) withDevices() (*Verifiers, error) {
	parts, err := deviceVerifiers()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for _, kind := range v.kinds {
		parts = append(parts, v.byKind[kind])
	}
	one, err := composite.NewVerifier(parts...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	v.add(one)
	return v, nil
}

// WithSimulated returns Verifiers that accept simulated evidence under that root
// too (SHA-256 of its DER).
func (v *Verifiers) WithSimulated(root attest.Digest) (*Verifiers, error) {
	one, err := sim.NewVerifier(root)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	out := &Verifiers{byKind: make(map[attest.Kind]attest.Verifier)}
	for _, kind := range v.kinds {
		if kind != attest.Composite && kind != attest.SimSNP {
			out.add(v.byKind[kind])
		}
	}
	out.add(one)
	if v.byKind[attest.Composite] == nil {
		return out, nil
	}
	return out.withDevices()
}

// deviceVerifiers are those of the devices that can be beside a processor.
func deviceVerifiers() ([]attest.Verifier, error) {
	return nil, nil
}
