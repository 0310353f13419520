package attesttest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/snp"
)

func verifier(t testing.TB, amd *attesttest.AMD) *snp.Verifier {
	t.Helper()
	var roots []snp.Root
	for line, product := range map[attesttest.Line]snp.Product{
		attesttest.Milan: snp.Milan, attesttest.Genoa: snp.Genoa, attesttest.Turin: snp.Turin,
	} {
		r := amd.Roots(t, line)
		roots = append(roots, snp.Root{Product: product, ARK: r.ARK.Raw, ASK: r.ASK.Raw, ASVK: r.ASVK.Raw})
	}
	v, err := snp.NewVerifierWithRoots(attest.SNP, roots...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func bound(t testing.TB) attest.Bound {
	t.Helper()
	at := attesttest.Epoch()
	b, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: attest.Digest{4}, NotBefore: at, NotAfter: at.Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCases runs the catalogue against the real verifier: what it must refuse
// is refused for the right reason, everything else is a fact it reports.
func TestCases(t *testing.T) {
	amd := attesttest.New()
	verifiers := make(map[*attesttest.AMD]*snp.Verifier)
	for _, c := range amd.Cases(t) {
		t.Run(c.Row+" "+c.Name, func(t *testing.T) {
			v := verifiers[c.AMD]
			if v == nil {
				v = verifier(t, c.AMD)
				verifiers[c.AMD] = v
			}
			ev, end := c.Make(t, bound(t).Bytes())
			claims, err := v.Verify(ev, end, attesttest.Epoch())
			if c.Stage != attesttest.StageVerify {
				if err != nil || claims.ReportData != bound(t).Bytes() {
					t.Errorf("not a case for the verifier: %v", err)
				}
				return
			}
			var f *attest.Failure
			if !errors.As(err, &f) {
				t.Fatalf("accepted or refused with %v, expected a failure with code %s", err, c.Code)
			}
			if !slices.ContainsFunc(f.Failed(), func(k attest.Check) bool { return k.Code == c.Code }) {
				t.Errorf("refused without code %s: %v", c.Code, err)
			}
		})
	}
}

func TestContract(t *testing.T) {
	amd := attesttest.New()
	for _, c := range []struct {
		name   string
		stride int
		opts   []attesttest.Option
	}{
		{"Genoa", 0, []attesttest.Option{attesttest.On(attesttest.Genoa, 5), attesttest.ASKCRL(func(*attesttest.CRL) {})}},
		{"Turin VLEK", 3, []attesttest.Option{attesttest.On(attesttest.Turin, 5), attesttest.VLEK("CN=csp.example")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, end := amd.Make(t, bound(t).Bytes(), c.opts...)
			attesttest.TestVerifier(t, attesttest.Harness{
				Verifier: verifier(t, amd), Evidence: ev, Endorsements: end, At: attesttest.Epoch(),
				ReportData: bound(t).Bytes(), Required: []string{attest.LabelSNPVEK}, Stride: c.stride,
			})
		})
	}
}

func TestAttester(t *testing.T) {
	amd := attesttest.New()
	a := amd.Attester(attesttest.HostData([32]byte{7}))
	if _, _, err := a.Attest(t.Context(), attest.Bound{}); err == nil {
		t.Error("signed a bound that came from no statement")
	}
	ev, end, err := a.Attest(t.Context(), bound(t))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := verifier(t, amd).Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	if claims.ReportData != bound(t).Bytes() || claims.LaunchDigest[0] != 7 || a.Kind() != attest.SNP {
		t.Errorf("claims %+v", claims)
	}
	end[0].Data[0] ^= 1
	if _, again, err := a.Attest(t.Context(), bound(t)); err != nil || again[0].Data[0] == end[0].Data[0] {
		t.Error("a caller's change reached the next caller")
	}
}

// TestStrangerIsNotTrusted is the row that costs everything: the right names,
// on keys of one's own.
func TestStrangerIsNotTrusted(t *testing.T) {
	ev, end := attesttest.Stranger().Make(t, bound(t).Bytes())
	if _, err := verifier(t, attesttest.New()).Verify(ev, end, attesttest.Epoch()); err == nil {
		t.Error("a stranger's evidence was accepted")
	}
	genuine, err := snp.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	ev, end = attesttest.New().Make(t, bound(t).Bytes())
	if _, err := genuine.Verify(ev, end, attesttest.Epoch()); err == nil || !strings.Contains(err.Error(), "untrusted_root") {
		t.Errorf("the fake vendor against the real roots: %v", err)
	}
}

// TestRows expects a case for every row that bytes of one SNP report and its
// endorsements can show. Not here: G04 to G08 (formats that SNP does not use),
// G16 (which certificate is pinned: attest/sim), G22 (needs a memory), G28 to
// G38 (more than one piece of evidence, the trust file, the network), S32 (a
// genuine report of somebody else: S23 and the statement).
func TestRows(t *testing.T) {
	seen := make(map[string]bool)
	rows := make(map[string]bool)
	for _, c := range attesttest.New().Cases(t) {
		if seen[c.Row+c.Name] {
			t.Errorf("two cases are called %s %s", c.Row, c.Name)
		}
		seen[c.Row+c.Name], rows[c.Row] = true, true
		if (c.Stage == attesttest.StageNone) != (c.Code == "") || c.AMD == nil || c.Line == 0 {
			t.Errorf("%s %s: stage %q, code %q, line %s", c.Row, c.Name, c.Stage, c.Code, c.Line)
		}
	}
	for _, want := range strings.Fields(`G01 G02 G03 G09 G10 G11 G12 G13 G14 G15 G17 G18 G19 G20 G21 G23 G24 G25 G26 G27
		S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S25 S26 S27 S28
		S29 S30 S31 S33`) {
		if !rows[want] {
			t.Errorf("no case for row %s", want)
		}
	}
}
