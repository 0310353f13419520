package snp_test

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/snp"
)

func collateralVerifier(t *testing.T) *snp.Verifier {
	t.Helper()
	r := attesttest.New().Roots(t, attesttest.Genoa)
	v, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: r.ARK.Raw, ASK: r.ASK.Raw, ASVK: r.ASVK.Raw})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func codeOf(err error) attest.Code {
	var f *attest.Failure
	if errors.As(err, &f) {
		return f.Code()
	}
	return ""
}

func TestCheckVEK(t *testing.T) {
	v := collateralVerifier(t)
	_, end := attesttest.New().Make(t, [64]byte{1})
	der, _, _ := end.Get(attest.LabelSNPVEK)
	vek, err := v.CheckVEK(der, attesttest.Epoch())
	if err != nil || vek.Product != snp.Genoa || vek.Signer != snp.SignerVCEK || string(vek.ChipID) != string(attesttest.ChipID(attesttest.Genoa)) {
		t.Errorf("CheckVEK = %+v, %v", vek, err)
	}
	if _, err := v.CheckVEK(der, attesttest.Epoch().AddDate(20, 0, 0)); codeOf(err) != attest.CodeExpired {
		t.Errorf("expired: %v", err)
	}
	_, end = attesttest.Stranger().Make(t, [64]byte{1})
	der, _, _ = end.Get(attest.LabelSNPVEK)
	if _, err := v.CheckVEK(der, attesttest.Epoch()); codeOf(err) != attest.CodeUntrustedRoot {
		t.Errorf("a stranger's: %v", err)
	}
	if _, err := v.CheckVEK(nil, attesttest.Epoch()); err == nil {
		t.Error("no certificate accepted")
	}
}

func TestCheckARKCRL(t *testing.T) {
	v, chain := collateralVerifier(t), attesttest.New().Chain(t, attesttest.Genoa)
	now := attesttest.Epoch()
	list := func(ca *attesttest.CA, from time.Time, revoked ...*big.Int) []byte {
		var o attesttest.CRL
		o.ThisUpdate, o.NextUpdate, o.Number, o.Revoked = from, from.AddDate(0, 1, 0), big.NewInt(7), revoked
		der, err := ca.CRL(o.CRLOptions)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	r, err := v.CheckARKCRL(snp.Genoa, list(chain.ARK, now.Add(-time.Hour)), now)
	if err != nil || !r.Checked || r.Number.Int64() != 7 {
		t.Errorf("CheckARKCRL = %+v, %v", r, err)
	}
	if r, err := v.CheckARKCRL(snp.Genoa, list(chain.ARK, now.Add(-time.Hour), chain.ASK.Cert.SerialNumber), now); err != nil || !r.Checked {
		t.Errorf("a CRL that withdraws the ASK is not kept: %v", err)
	}
	for name, c := range map[string]struct {
		product snp.Product
		der     []byte
		want    attest.Code
	}{
		"none":             {snp.Genoa, nil, attest.CodeUntrustedRoot},
		"other product":    {snp.Milan, list(chain.ARK, now), attest.CodeUntrustedRoot},
		"stale":            {snp.Genoa, list(chain.ARK, now.AddDate(-1, 0, 0)), attest.CodeStaleCRL},
		"from the future":  {snp.Genoa, list(chain.ARK, now.Add(time.Hour)), attest.CodeBadCRL},
		"signed by ASK":    {snp.Genoa, list(chain.ASK, now.Add(-time.Hour)), attest.CodeBadCRL},
		"not a CRL at all": {snp.Genoa, []byte("0"), attest.CodeBadCRL},
	} {
		if r, err := v.CheckARKCRL(c.product, c.der, now); codeOf(err) != c.want || r.Checked {
			t.Errorf("%s: %+v, %v, expected %s", name, r, err, c.want)
		}
	}
}
