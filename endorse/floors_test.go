package endorse_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"
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

// TestCheckFloors: a list older than one that was seen is a rollback if it withdraws
// anything else, and only then.
func TestCheckFloors(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	nine := listed(crl(t, ark, 9, now, withdraws(5, 6)))
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
	before := now.Add(-24 * time.Hour)
	for name, c := range map[string]struct {
		der  []byte
		want attest.Code
	}{
		"the same":                        {nine[0].Data, ""},
		"a newer one":                     {crl(t, ark, 10, now.Add(time.Hour)), ""},
		"the same again, other content":   {crl(t, ark, 9, now, withdraws(7)), ""},
		"an older one":                    {crl(t, ark, 8, now, withdraws(5)), endorse.CodeCRLRollback},
		"the same number, an older date":  {crl(t, ark, 9, now.Add(-time.Second), withdraws(6)), endorse.CodeCRLRollback},
		"a higher number, but older date": {crl(t, ark, 10, now.Add(-time.Second)), endorse.CodeCRLRollback},
		"older, withdraws less":           {crl(t, ark, 8, before), endorse.CodeCRLRollback},
		"older, withdraws more":           {crl(t, ark, 8, before, withdraws(5, 6, 7)), endorse.CodeCRLRollback},
		"older, withdraws others":         {crl(t, ark, 8, before, withdraws(5, 7)), endorse.CodeCRLRollback},
		"older, other digits":             {crl(t, ark, 8, before, withdraws(56)), endorse.CodeCRLRollback},
		"yesterday's, before a reissue":   {crl(t, ark, 8, before, withdraws(5, 6)), ""},
		"yesterday's, in another order":   {crl(t, ark, 9, before, withdraws(6, 5)), ""},
		"a lower number, the same date":   {crl(t, ark, 8, now, withdraws(5, 6)), ""},
		"another line's older one":        {crl(t, attesttest.New().Chain(t, attesttest.Milan).ARK, 1, now.Add(-time.Hour)), ""},
	} {
		if got := code(snpClaims(), listed(c.der)); got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
	// A list that was accepted because it is as good lowers nothing.
	if err := endorse.RaiseFloors(d, snpClaims(), listed(crl(t, ark, 8, before, withdraws(5, 6)))); err != nil {
		t.Fatal(err)
	}
	if got := code(snpClaims(), listed(crl(t, ark, 8, now, withdraws(5)))); got != endorse.CodeCRLRollback {
		t.Errorf("the floor fell: %q", got)
	}
	// What counts is the newest: after a withdrawal yesterday's list is no longer as good.
	if err := endorse.RaiseFloors(d, snpClaims(), listed(crl(t, ark, 10, now.Add(time.Hour), withdraws(5, 6, 7)))); err != nil {
		t.Fatal(err)
	}
	if got := code(snpClaims(), nine); got != endorse.CodeCRLRollback {
		t.Errorf("a list without the new withdrawal: %q", got)
	}
}

// TestTwoListsOfOneSecond: the number says which is the newer, whatever they list.
func TestTwoListsOfOneSecond(t *testing.T) {
	v := newVendors(t)
	ark, now := attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	for n := range int64(8) { // of several sets, since their digests have an order too
		d := v.cache(t.TempDir())
		older, newer := listed(crl(t, ark, 8, now, withdraws(100+n))), listed(crl(t, ark, 9, now, withdraws(200+n)))
		for _, list := range []attest.Endorsements{older, newer} {
			if err := endorse.RaiseFloors(d, snpClaims(), list); err != nil {
				t.Fatal(err)
			}
		}
		if checks := endorse.CheckFloors(d, snpClaims(), older); len(checks) != 1 || checks[0].Code != endorse.CodeCRLRollback {
			t.Errorf("%d: %v", n, checks)
		}
		if checks := endorse.CheckFloors(d, snpClaims(), newer); attest.FailureOf(checks) != nil {
			t.Errorf("%d: %v", n, checks)
		}
	}
}

// TestLongNumbers: numbers of 20 bytes are allowed (RFC 5280, 5.2.3), and fit.
func TestLongNumbers(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	long := func(low int64, from time.Time, serials ...int64) attest.Endorsements {
		return listed(crl(t, ark, 0, from, func(l *x509.RevocationList) {
			withdraws(serials...)(l)
			l.Number = new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 150), big.NewInt(low))
		}))
	}
	if err := endorse.RaiseFloors(d, snpClaims(), long(5, now, 1)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		end  attest.Endorsements
		want attest.Code
	}{
		"the same":              {long(5, now, 1), ""},
		"older":                 {long(4, now.Add(-time.Hour), 2), endorse.CodeCRLRollback},
		"older, withdraws same": {long(4, now.Add(-time.Hour), 1), ""},
		"newer":                 {long(6, now.Add(time.Hour), 2), ""},
	} {
		if checks := endorse.CheckFloors(d, snpClaims(), c.end); len(checks) != 1 || checks[0].Code != c.want {
			t.Errorf("%s: %v", name, checks)
		}
	}
}

// TestFloorOfTCBDataIsStrict: TCB data that were replaced have other levels, so
// that none of them is as good as the newer.
func TestFloorOfTCBDataIsStrict(t *testing.T) {
	v := newVendors(t)
	d := v.cache(t.TempDir())
	info := func(number int) attest.Endorsements {
		text := fmt.Sprintf(`{"tcbInfo":{"id":"TDX","fmspc":"00606a000000","issueDate":"2026-06-01T00:00:00Z","nextUpdate":"2026-07-01T00:00:00Z","tcbEvaluationDataNumber":%d}}`, number)
		return attest.Endorsements{{Label: attest.LabelIntelTCBInfo, Data: []byte(text)}}
	}
	c := &attest.Claims{Kind: attest.TDX}
	if err := endorse.RaiseFloors(d, c, info(18)); err != nil {
		t.Fatal(err)
	}
	for number, want := range map[int]attest.Code{17: endorse.CodeTCBRollback, 18: "", 19: ""} {
		checks := endorse.CheckFloors(d, c, info(number))
		if len(checks) != 1 || checks[0].Code != want {
			t.Errorf("%d: %v, expected %q", number, checks, want)
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
		return attest.Endorsements{{Label: attest.LabelTPMAKCRL, Data: crl(t, ca, number, now, withdraws(number))}}
	}
	if err := endorse.RaiseFloors(d, c, list(9)); err != nil {
		t.Fatal(err)
	}
	if checks := endorse.CheckFloors(d, c, list(8)); len(checks) != 1 || checks[0].Code != endorse.CodeCRLRollback {
		t.Errorf("%v", checks)
	}
	// Its CA can be called what AMD's is. It does not say what AMD withdrew, or when.
	vendors := listed(crl(t, ca, 7, now, withdraws(7)))
	if checks := endorse.CheckFloors(d, snpClaims(), vendors); len(checks) != 1 || attest.FailureOf(checks) != nil {
		t.Errorf("a TPM's list made AMD's count as old: %v", checks)
	}
	if err := endorse.RaiseFloors(d, snpClaims(), listed(crl(t, ca, 20, now, withdraws(20)))); err != nil {
		t.Fatal(err)
	}
	if checks := endorse.CheckFloors(d, c, list(9)); len(checks) != 1 || attest.FailureOf(checks) != nil {
		t.Errorf("AMD's list made a TPM's count as old: %v", checks)
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
		inTable := attesttest.InTable(attesttest.TableEntry{GUID: guid, Data: crl(t, chain.ARK, number, now, withdraws(1000+number))})
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

// fullFloors notes one more number and then none.
type fullFloors struct {
	endorse.Floors
	room int
}

func (f *fullFloors) Raise(series string, number *big.Int) error {
	if f.room--; f.room < 0 {
		return errors.New("no space left")
	}
	return f.Floors.Raise(series, number)
}

// TestHalfRaised: of a new list only the first half could be noted. The list before
// it must not count as good as the newest.
func TestHalfRaised(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	older, newer := listed(crl(t, ark, 8, now.Add(-time.Hour), withdraws(5))), listed(crl(t, ark, 9, now, withdraws(5, 6)))
	if err := endorse.RaiseFloors(d, snpClaims(), older); err != nil {
		t.Fatal(err)
	}
	if err := endorse.RaiseFloors(&fullFloors{d, 1}, snpClaims(), newer); err == nil {
		t.Fatal("half a floor is no error")
	}
	if checks := endorse.CheckFloors(d, snpClaims(), older); len(checks) != 1 || checks[0].Code != endorse.CodeCRLRollback {
		t.Errorf("%v", checks)
	}
}

// TestListWithoutNumber: where others of its series had one.
func TestListWithoutNumber(t *testing.T) {
	v := newVendors(t)
	d, ark, now := v.cache(t.TempDir()), attesttest.New().Chain(t, attesttest.Genoa).ARK, attesttest.Epoch()
	if err := endorse.RaiseFloors(d, snpClaims(), listed(crl(t, ark, 9, now))); err != nil {
		t.Fatal(err)
	}
	bare := crl(t, ark, 10, now, func(l *x509.RevocationList) { withdraws(5)(l); l.Number = big.NewInt(0) })
	if checks := endorse.CheckFloors(d, snpClaims(), listed(bare)); attest.FailureOf(checks) == nil {
		t.Error("number 0 after 9 accepted")
	}
}

// halfBroken knows numbers; what the newest list withdraws cannot be read.
type halfBroken struct{ number *big.Int }

func (h halfBroken) Floor(series string) (*big.Int, error) {
	if strings.HasSuffix(series, "/list") {
		return nil, errors.New("damaged")
	}
	return h.number, nil
}

func (halfBroken) Raise(string, *big.Int) error { return nil }

// TestWithdrawnUnreadable: an older list is as good as the newest only if somebody
// knows what that one withdraws.
func TestWithdrawnUnreadable(t *testing.T) {
	end := listed(crl(t, attesttest.New().Chain(t, attesttest.Genoa).ARK, 8, attesttest.Epoch()))
	for _, f := range []endorse.Floors{halfBroken{big.NewInt(9)}, numbersOnly{big.NewInt(9)}} {
		if checks := endorse.CheckFloors(f, snpClaims(), end); len(checks) != 1 || checks[0].Code != endorse.CodeCRLRollback {
			t.Errorf("%T: %v", f, checks)
		}
	}
}

// numbersOnly has never seen what a list withdraws.
type numbersOnly struct{ number *big.Int }

func (n numbersOnly) Floor(series string) (*big.Int, error) {
	if strings.HasSuffix(series, "/list") {
		return nil, nil
	}
	return n.number, nil
}

func (numbersOnly) Raise(string, *big.Int) error { return nil }
