package azure_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
)

// fakeVerifier trusts the fake AMD.
func fakeVerifier(t testing.TB) *azure.Verifier {
	t.Helper()
	roots := attesttest.AzureRoots(t)
	hardware, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: roots[0], ASK: roots[1], ASVK: roots[2]})
	if err != nil {
		t.Fatal(err)
	}
	v, err := azure.NewVerifierWithHardware(attest.AzureSNP, hardware)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// fakeTDXVerifier trusts the fake Intel.
func fakeTDXVerifier(t testing.TB) *azure.Verifier {
	t.Helper()
	hardware, err := tdx.NewVerifierWithRoot(attesttest.NewIntel().Root(t))
	if err != nil {
		t.Fatal(err)
	}
	v, err := azure.NewVerifierWithHardware(attest.AzureTDX, hardware)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVectors runs every row of the attack catalogue that speaks of Azure VMs.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range attesttest.AzureVectors(t) {
		name := v.Row + " " + v.Name
		if seen[name] || v.About == "" || v.Spec == "" {
			t.Errorf("%s: not one case with a description and a source", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) { testVector(t, v) })
	}
	if len(seen) < 45 {
		t.Errorf("%d vectors, want 45 or more", len(seen))
	}
}

func testVector(t *testing.T, v attesttest.Vector) {
	verifier := fakeVerifier(t)
	if v.Evidence.Kind == attest.AzureTDX {
		verifier = fakeTDXVerifier(t)
	}
	claims, err := verifier.Verify(v.Evidence, v.Endorsements, v.At)
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, want exactly one", claims, err)
	}
	if v.Stage != attesttest.StageVerify {
		if err != nil {
			t.Fatal(err)
		}
		if v.Stage == attesttest.StageAppraise {
			testAppraised(t, v, claims)
		}
		return
	}
	var f *attest.Failure
	if !errors.As(err, &f) || !slices.ContainsFunc(f.Failed(), func(c attest.Check) bool { return c.Name == v.Check && c.Code == v.Code }) {
		t.Errorf("error %v, want %s to fail with %s", err, v.Check, v.Code)
	}
}

func testAppraised(t *testing.T, v attesttest.Vector, claims *attest.Claims) {
	trust, err := appraise.ParseTrust([]byte(v.Trust))
	if err != nil {
		t.Fatal(err)
	}
	result := trust.Appraise(appraise.Input{Claims: claims, Offline: true}, v.At)
	if result.Trusted() || result.Err() == nil {
		t.Fatal("trusted")
	}
	if !slices.ContainsFunc(result.Checks(), func(c attest.Check) bool {
		return c.Name == v.Check && c.Code == v.Code && c.Status == attest.Fail
	}) {
		t.Errorf("error %v, want %s to fail with %s", result.Err(), v.Check, v.Code)
	}
}

// TestContract: what holds of every verifier holds of this one.
func TestContract(t *testing.T) {
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce())
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: fakeVerifier(t), Evidence: ev, Endorsements: end, At: attesttest.Epoch(), Nonce: attesttest.TPMNonce(),
		Required: []string{attest.LabelSNPVEK}, Stride: 9,
	})
}

// TestContractTDX: the same on TDX. Of a TDREPORT, CPUSVN and MAC can be checked on
// its own machine only, and which bits of TEE_TCB_INFO are valid says its hash.
func TestContractTDX(t *testing.T) {
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce(), attesttest.OnTDX())
	const report = 8 + 4 + 32 // form, length, HCL header
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: fakeTDXVerifier(t), Evidence: ev, Endorsements: end, At: attesttest.Epoch(), Nonce: attesttest.TPMNonce(),
		Required: []string{attest.LabelIntelTCBInfo, attest.LabelIntelQEIdentity, attest.LabelIntelTCBChain}, Stride: 151,
		Unsigned: [][2]int{{report + 16, report + 32}, {report + 224, report + 256}},
	})
}

// TestHealthyIsAppraised: the trust file of the vectors finds nothing wrong with a
// healthy machine, so that each of them fails for its own reason.
func TestHealthyIsAppraised(t *testing.T) {
	ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce())
	claims, err := fakeVerifier(t).Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	trust, err := appraise.ParseTrust([]byte(attesttest.AzureTrust(t)))
	if err != nil {
		t.Fatal(err)
	}
	first := appraise.FromClaims(claims, attest.Statement{}, nil, "first use", attesttest.Epoch())
	if _, err := appraise.ParseTrust(first.Marshal()); err != nil {
		t.Errorf("first use writes a file that cannot be read: %v\n%s", err, first.Marshal())
	}
	for name, trust := range map[string]*appraise.Trust{"vectors": trust, "first use": first} {
		for _, c := range trust.Appraise(appraise.Input{Claims: claims, Offline: true}, attesttest.Epoch()).Checks() {
			if c.Status == attest.Fail {
				t.Errorf("%s: %s", name, c)
			}
		}
	}
}

// TestTDXFirstUse: what is written down on first use accepts the machine again, and
// not another trust domain, console or register.
func TestTDXFirstUse(t *testing.T) {
	verify := func(opts ...attesttest.ParavisorOption) *attest.Claims {
		ev, end := attesttest.MakeAzure(t, attesttest.TPMNonce(), append([]attesttest.ParavisorOption{attesttest.OnTDX()}, opts...)...)
		claims, err := fakeTDXVerifier(t).Verify(ev, end, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		return claims
	}
	claims := verify()
	first := appraise.FromClaims(claims, attest.Statement{}, nil, "first use", attesttest.Epoch())
	trust, err := appraise.ParseTrust(first.Marshal())
	if err != nil {
		t.Fatalf("%v\n%s", err, first.Marshal())
	}
	failed := func(c *attest.Claims) (out []string) {
		for _, check := range trust.Appraise(appraise.Input{Claims: c, Offline: true}, attesttest.Epoch()).Checks() {
			if check.Status == attest.Fail {
				out = append(out, check.Name)
			}
		}
		return out
	}
	if got := failed(claims); len(got) != 0 {
		t.Errorf("failed %v", got)
	}
	for name, c := range map[string]struct {
		opt   attesttest.ParavisorOption
		check string
	}{
		"other paravisor": {func(p *attesttest.Paravisor) {
			p.Intel = append(p.Intel, attesttest.EditTD(func(td *attesttest.IntelTD) { td.MRTD[0] ^= 1 }))
		}, "code.measurement"},
		"other register": {func(p *attesttest.Paravisor) { p.TPM.Registers[4] = make([]byte, 32); p.TPM.Registers[4][0] = 1 }, "code.measurement"},
		"console":        {func(p *attesttest.Paravisor) { p.Console = true }, "hardware.azure_console"},
	} {
		if got := failed(verify(c.opt)); !slices.Contains(got, c.check) {
			t.Errorf("%s: failed %v, want %s", name, got, c.check)
		}
	}
}
