package snp

import (
	"time"

	"github.com/blindbox/blindbox/attest"
)

// VEK is what AMD certifies about the key that signs reports.
type VEK struct {
	Product Product
	Signer  Signer
	TCB     TCB
	ChipID  []byte // as long as the product's hardware id; nil for a VLEK
	CSP     string // cloud provider of a VLEK
}

// CheckVEK verifies a VCEK or VLEK certificate alone, without a report, as one
// does before one keeps it. The error is an [*attest.Failure].
func (v *Verifier) CheckVEK(der []byte, at time.Time) (VEK, error) {
	c, err := v.Endorse(attest.Endorsements{{Label: attest.LabelSNPVEK, Data: der}}, at)
	if err != nil {
		return VEK{}, err
	}
	ext := c.vek.ext
	return VEK{Product: ext.product, Signer: ext.signer, TCB: ext.tcb, ChipID: append([]byte(nil), ext.hwid...), CSP: ext.csp}, nil
}

// CheckARKCRL verifies the CRL of a product's ARK alone: its signature and its
// dates. What it withdraws is not looked at, since a CRL that withdraws something
// is the one that must not get lost. The error is an [*attest.Failure].
func (v *Verifier) CheckARKCRL(p Product, der []byte, at time.Time) (Revocation, error) {
	for _, a := range v.trusted() {
		if a.product != p || len(der) == 0 {
			continue
		}
		list, err := arkCRL.from(a.ark).Parse(der)
		if err != nil {
			return Revocation{}, attest.NewFailure(arkCRL.name, attest.CodeBadCRL, err.Error(), arkCRL.wanted)
		}
		r := Revocation{Checked: true, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, Number: list.Number}
		if err := attest.FailureOf([]attest.Check{arkCRL.checkTime(r, at)}); err != nil {
			return Revocation{}, err
		}
		return r, nil
	}
	return Revocation{}, attest.NewFailure(arkCRL.name, attest.CodeUntrustedRoot, "no CRL, or no trusted root of "+p.String(), "both")
}
