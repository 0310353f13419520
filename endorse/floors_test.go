package endorse_test

import (
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/endorse"
)

func snpClaims(parts ...*attest.Claims) *attest.Claims {
	return &attest.Claims{Kind: attest.SNP, Parts: parts}
}

func listed(der []byte) attest.Endorsements {
	return attest.Endorsements{{Label: attest.LabelSNPARKCRL, Data: der}}
}

func TestCheckFloors(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	nine := listed(crl(t, ark, 9, now))
	code := func(c *attest.Claims, end attest.Endorsements) attest.Code {
		t.Helper()
		checks := endorse.CheckFloors(d, c, end)
		if len(checks) != 1 {
			t.Fatalf("%d checks, expected 1", len(checks))
		}
		return checks[0].Code
	}
	if got := code(snpClaims(), nine); got != "" {
		t.Errorf("first time: %s", got)
	}
	if got := code(snpClaims(), listed(crl(t, ark, 8, now))); got != "" {
		t.Error("a check raised the floor")
	}
	if err := endorse.RaiseFloors(d, snpClaims(), nine); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		der  []byte
		want attest.Code
	}{
		"the same":                        {nine[0].Data, ""},
		"a newer one":                     {crl(t, ark, 10, now.Add(time.Hour)), ""},
		"an older one":                    {crl(t, ark, 8, now), endorse.CodeCRLRollback},
		"the same number, an older date":  {crl(t, ark, 9, now.Add(-time.Second)), endorse.CodeCRLRollback},
		"a higher number, but older date": {crl(t, ark, 10, now.Add(-time.Second)), endorse.CodeCRLRollback},
		"another line's older one":        {crl(t, attesttest.New().Chain(t, attesttest.Milan).ARK, 1, now.Add(-time.Hour)), ""},
	} {
		if got := code(snpClaims(), listed(c.der)); got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// TestFloorsIgnore: what the verifier of the claims did not check raises no
// floor, or a stranger could make every later box look old.
func TestFloorsIgnore(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	high := crl(t, ark, 99, now)
	for name, c := range map[string]struct {
		claims *attest.Claims
		end    attest.Endorsements
	}{
		"no claims":         {nil, listed(high)},
		"simulated":         {&attest.Claims{Kind: attest.SimSNP, Simulated: true}, listed(high)},
		"another kind":      {&attest.Claims{Kind: attest.TDX}, listed(high)},
		"another label":     {snpClaims(), attest.Endorsements{{Label: attest.LabelIntelRootCRL, Data: high}}},
		"GPU beside nobody": {&attest.Claims{Kind: attest.NVIDIAGPU}, listed(high)},
	} {
		if checks := endorse.CheckFloors(d, c.claims, c.end); len(checks) != 0 {
			t.Errorf("%s: %v", name, checks)
		}
		if err := endorse.RaiseFloors(d, c.claims, c.end); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if checks := endorse.CheckFloors(d, snpClaims(), listed(crl(t, ark, 1, now))); attest.FailureOf(checks) != nil {
		t.Errorf("a floor was raised: %v", checks)
	}
	composite := &attest.Claims{Kind: attest.Composite, Parts: []*attest.Claims{snpClaims()}}
	if checks := endorse.CheckFloors(d, composite, listed(high)); len(checks) != 1 {
		t.Errorf("a part of a composite: %v", checks)
	}
}

// TestFloorsOfTPM: whoever certified the attestation key has a list too.
func TestFloorsOfTPM(t *testing.T) {
	v := newVendors(t)
	d, ca, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	c, list := &attest.Claims{Kind: attest.TPM}, func(number int64) attest.Endorsements {
		return attest.Endorsements{{Label: attest.LabelTPMAKCRL, Data: crl(t, ca, number, now)}}
	}
	if err := endorse.RaiseFloors(d, c, list(9)); err != nil {
		t.Fatal(err)
	}
	if checks := endorse.CheckFloors(d, c, list(8)); len(checks) != 1 || checks[0].Code != endorse.CodeCRLRollback {
		t.Errorf("%v", checks)
	}
}

// TestFloorsUnreadable: an object of which nobody knows the age is not new enough.
func TestFloorsUnreadable(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	list := listed(crl(t, ark, 9, now))
	for name, end := range map[string]attest.Endorsements{
		"given twice": append(list, list...), "cannot be read": listed([]byte("x")),
		"table cannot be read": {{Label: attest.LabelSNPCertTable, Data: []byte("x")}},
		"tables":               {{Label: attest.LabelSNPCertTable, Data: []byte("x")}, {Label: attest.LabelSNPCertTable, Data: []byte("x")}},
	} {
		if checks := endorse.CheckFloors(d, snpClaims(), end); len(checks) != 1 || checks[0].Code != attest.CodeMalformed {
			t.Errorf("%s: %v", name, checks)
		}
		if err := endorse.RaiseFloors(d, snpClaims(), end); err == nil {
			t.Errorf("%s: a floor was raised", name)
		}
	}
}

// TestFloorsInTable: the verifier takes the root's list from the host's table as
// well, so an old one must not pass there.
func TestFloorsInTable(t *testing.T) {
	v := newVendors(t)
	d, chain, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa), attesttest.Epoch()
	roots := attesttest.New().Roots(t, attesttest.Genoa)
	verifier, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: roots.ARK.Raw, ASK: roots.ASK.Raw, ASVK: roots.ASVK.Raw})
	if err != nil {
		t.Fatal(err)
	}
	guid := [16]byte{0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea}
	verify := func(number int64) (*attest.Claims, attest.Endorsements) {
		inTable := attesttest.InTable(attesttest.TableEntry{GUID: guid, Data: crl(t, chain.ARK, number, now)})
		ev, end := attesttest.New().Make(t, [64]byte{1}, attesttest.NoCRL(), inTable)
		c, err := verifier.Verify(ev, end, now.Add(time.Minute))
		if err != nil || !c.Detail.(*snp.Claims).ARKCRL.Checked {
			t.Fatalf("list %d: %v", number, err)
		}
		return c, end
	}
	c, end := verify(9)
	if err := endorse.RaiseFloors(d, c, end); err != nil {
		t.Fatal(err)
	}
	if c, end = verify(8); attest.FailureOf(endorse.CheckFloors(d, c, end)) == nil {
		t.Error("an older list in the host's table is accepted")
	}
	if c, end = verify(9); len(endorse.CheckFloors(d, c, end)) != 1 || attest.FailureOf(endorse.CheckFloors(d, c, end)) != nil {
		t.Error("the same list in the host's table is refused")
	}
}

// brokenFloors cannot be read.
type brokenFloors struct{}

func (brokenFloors) Floor(string) (*big.Int, error) { return nil, errors.New("damaged") }
func (brokenFloors) Raise(string, *big.Int) error   { return errors.New("damaged") }

func TestBrokenFloorsRefuse(t *testing.T) {
	end := listed(crl(t, attesttest.New().Chain(t, attesttest.Genoa).ARK, 9, attesttest.Epoch()))
	if checks := endorse.CheckFloors(brokenFloors{}, snpClaims(), end); attest.FailureOf(checks) == nil {
		t.Error("a floor that cannot be read counts as none")
	}
	if err := endorse.RaiseFloors(brokenFloors{}, snpClaims(), end); err == nil {
		t.Error("a floor that cannot be raised is no error")
	}
}

// TestListWithoutNumber: where others of its series had one.
func TestListWithoutNumber(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	if err := endorse.RaiseFloors(d, snpClaims(), listed(crl(t, ark, 9, now))); err != nil {
		t.Fatal(err)
	}
	bare := crl(t, ark, 10, now, func(l *x509.RevocationList) { l.Number = big.NewInt(0) })
	if checks := endorse.CheckFloors(d, snpClaims(), listed(bare)); attest.FailureOf(checks) == nil {
		t.Error("number 0 after 9 accepted")
	}
}
