package vector

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/attest/tpm"
)

// verifier makes the Verifier that a case asks for: with the vendor's roots, or
// with those of the case.
func (c *Case) verifier() (attest.Verifier, error) {
	if len(c.Roots) == 0 && len(c.Pins) == 0 {
		return vendorVerifier(c.Verifier)
	}
	switch kind := c.Verifier; kind {
	case attest.SNP, attest.SimSNP:
		return c.snp(kind)
	case attest.TDX:
		return tdx.NewVerifierWithRoot(c.root(0))
	case attest.SGX:
		return sgx.NewVerifierWithRoot(c.root(0))
	case attest.Nitro:
		return nitro.NewVerifierWithRoots(c.Roots...)
	case attest.TPM:
		return c.tpm()
	case attest.AzureSNP:
		inner, err := c.snp(attest.SNP)
		if err != nil {
			return nil, err
		}
		return azure.NewVerifierWithHardware(kind, inner)
	case attest.AzureTDX:
		inner, err := tdx.NewVerifierWithRoot(c.root(0))
		if err != nil {
			return nil, err
		}
		return azure.NewVerifierWithHardware(kind, inner)
	case attest.NVIDIAGPU, attest.NVSwitch:
		return c.nvidia(kind)
	case attest.Composite:
		return c.composite()
	}
	return nil, fmt.Errorf("no roots of kind %s", c.Verifier)
}

func (c *Case) root(i int) []byte {
	if i >= len(c.Roots) {
		return nil
	}
	return c.Roots[i]
}

// snp takes ARK, ASK and, except for the last, ASVK of each product line, which
// their names tell.
func (c *Case) snp(kind attest.Kind) (attest.Verifier, error) {
	var roots []snp.Root
	for i := 0; i < len(c.Roots); i += 3 {
		ark, err := x509.ParseCertificate(c.root(i))
		if err != nil {
			return nil, err
		}
		p, err := productOf(ark.Subject.CommonName)
		if err != nil {
			return nil, err
		}
		roots = append(roots, snp.Root{Product: p, ARK: c.root(i), ASK: c.root(i + 1), ASVK: c.root(i + 2)})
	}
	return snp.NewVerifierWithRoots(kind, roots...)
}

// composite takes NVIDIA's roots, then AMD's: a machine on SEV-SNP.
func (c *Case) composite() (attest.Verifier, error) {
	machine, err := (&Case{Roots: c.Roots[min(2, len(c.Roots)):]}).snp(attest.SNP)
	if err != nil {
		return nil, err
	}
	parts := []attest.Verifier{machine}
	for _, kind := range []attest.Kind{attest.NVIDIAGPU, attest.NVSwitch} {
		device, err := c.nvidia(kind)
		if err != nil {
			return nil, err
		}
		parts = append(parts, device)
	}
	return composite.NewVerifier(parts...)
}

// productOf reads the name of an ARK, "ARK-Genoa" (AMD 57230).
func productOf(name string) (snp.Product, error) {
	for _, p := range []snp.Product{snp.Milan, snp.Genoa, snp.Turin} {
		if name == "ARK-"+p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("ARK named %q", name)
}

func (c *Case) nvidia(kind attest.Kind) (attest.Verifier, error) {
	return nvgpu.NewVerifierWithRoots(kind, nvgpu.Roots{Device: c.root(0), RIM: c.root(1)})
}

func vendorVerifier(kind attest.Kind) (attest.Verifier, error) {
	switch kind {
	case attest.SNP:
		return snp.NewVerifier()
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
		return everyPart()
	}
	return nil, errors.New("no vendor")
}

func everyPart() (attest.Verifier, error) {
	var parts []attest.Verifier
	for _, kind := range attest.Kinds() {
		if kind.Simulated() || kind == attest.Composite {
			continue
		}
		v, err := vendorVerifier(kind)
		if err != nil {
			return nil, err
		}
		parts = append(parts, v)
	}
	return composite.NewVerifier(parts...)
}

// tpm believes the pinned keys for a year around the time of the case.
func (c *Case) tpm() (attest.Verifier, error) {
	trust := tpm.Trust{Roots: c.Roots}
	for _, name := range c.Pins {
		trust.Pins = append(trust.Pins, tpm.Pin{Name: name, Validity: attest.Validity{
			NotBefore: c.At.AddDate(-1, 0, 0), NotAfter: c.At.AddDate(1, 0, 0),
		}})
	}
	return tpm.NewVerifierWithRoots(trust)
}
