package appraise

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// TestLaunchedWith: how each kind of hardware holds the digest of a policy.
func TestLaunchedWith(t *testing.T) {
	digest := attest.Digest(sha256.Sum256([]byte("policy")))
	zeros := func(n int) []byte { return make([]byte, n) }
	extended := sha256.Sum256(slices.Concat(zeros(32), digest[:]))
	extended384 := sha512.Sum384(slices.Concat(zeros(48), digest[:]))
	padded384 := sha512.Sum384(slices.Concat(zeros(48), digest[:], zeros(16)))
	right := map[attest.Kind][][]byte{
		attest.SNP:      {digest[:]},
		attest.SimSNP:   {digest[:]},
		attest.TDX:      {slices.Concat(digest[:], zeros(16))},
		attest.SGX:      {slices.Concat(digest[:], zeros(32))},
		attest.Nitro:    {extended384[:]},
		attest.TPM:      {extended[:], padded384[:]},
		attest.AzureSNP: {extended[:], padded384[:]},
		attest.AzureTDX: {extended[:], padded384[:]},
	}
	var values [][]byte
	for _, list := range right {
		values = append(values, list...)
	}
	values = append(values, nil, zeros(20), zeros(32), zeros(48), zeros(64), digest[:31], slices.Concat(digest[:], []byte{1}),
		slices.Concat(digest[:], zeros(15), []byte{1}), slices.Concat(digest[:], zeros(31), []byte{1}), slices.Concat(zeros(16), digest[:]))
	for k := range attest.Kind(255) {
		for _, v := range values {
			want := slices.ContainsFunc(right[k], func(r []byte) bool { return slices.Equal(r, v) })
			if got := launchedWith(&attest.Claims{Kind: k, LaunchDigest: v}, digest); got != want {
				t.Errorf("%s launched with %x: %v, expected %v", k, v, got, want)
			}
			if launchedWith(&attest.Claims{Kind: k, LaunchDigest: v}, attest.Digest{}) {
				t.Errorf("%s launched with %x is launched with no policy at all", k, v)
			}
		}
	}
}

// TestKinds: the kinds are those that accept has sections for, and a list must
// agree with them.
func TestKinds(t *testing.T) {
	for list, problem := range map[string]string{
		"":                                    "",
		"hardware: {kinds: [sev-snp]}\n":      "",
		"hardware: {kinds: [sev-snp, tdx]}\n": "no entry of accept has a section tdx",
		"hardware: {kinds: [tdx]}\n":          "an entry of accept has a section sev-snp, which is not listed",
		"hardware: {kinds: [nvidia-gpu]}\n":   "expected sev-snp or tdx",
		"hardware: {kinds: [composite]}\n":    "expected sev-snp or tdx",
		"hardware: {kinds: [sim-sev-snp]}\n":  "allow_simulated",
		"hardware: {kinds: [vtpm]}\n":         "expected sev-snp or tdx",
	} {
		trust, err := ParseTrust([]byte(strings.Replace(acceptOne, "AA", hexAA, 1) + list))
		if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v, expected %q", list, err, problem)
		}
		if err == nil && fmt.Sprint(trust.Kinds(), trust.GPUs()) != "[sev-snp] false" {
			t.Errorf("%q: kinds %v, GPUs %v", list, trust.Kinds(), trust.GPUs())
		}
	}
}

// TestSections: an entry without reference values, and rules that nothing could
// ever be held against, are errors.
func TestSections(t *testing.T) {
	one := strings.Replace(acceptOne, "AA", hexAA, 1)
	for doc, problem := range map[string]string{
		"version: 1\naccept:\n  - {name: v1, policy: any}\n":                                            "no reference values",
		one + "hardware: {tdx: {}}\n":                                                                   "empty mapping",
		"version: 1\naccept:\n  - {name: v1, nvidia-gpu: {measurement: " + hexAA + "}, policy: any}\n":  `unknown key "nvidia-gpu"`,
		"version: 1\naccept:\n  - {name: v1, sim-sev-snp: {measurement: " + hexAA + "}, policy: any}\n": `unknown key "sim-sev-snp"`,
	} {
		if _, err := ParseTrust([]byte(doc)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s%v, expected %q", doc, err, problem)
		}
	}
}

// withPart adds a GPU that proves the statement.
func (f *fixture) withPart(t testing.TB) *attest.Claims {
	t.Helper()
	bound, err := f.in.Statement.Bind()
	if err != nil {
		t.Fatal(err)
	}
	nonce := bound.Nonce(attest.NVIDIAGPU)
	part := &attest.Claims{
		Kind: attest.NVIDIAGPU, Nonce: nonce[:], Endorsed: f.claims.Endorsed,
		Checks: []attest.Check{{Name: "hardware.signature", Status: attest.Pass}},
	}
	f.claims.Parts = append(f.claims.Parts, part)
	return part
}

// TestPartWithoutRule: a genuine device is refused if the trust file says nothing
// of it, and with it the machine.
func TestPartWithoutRule(t *testing.T) {
	trust := parseTest(t, strictTrust)
	f := newFixture(t)
	f.sync()
	if r := trust.Appraise(f.in, f.at); !r.Trusted() {
		t.Fatal(r.Err())
	}
	f.withPart(t)
	r := trust.Appraise(f.in, f.at)
	if c := checkNamed(r, "hardware.parts"); r.Trusted() || c.Code != CodeParts || !strings.Contains(c.Seen, "1 nvidia-gpu") {
		t.Errorf("verdict %s, %+v", r.Verdict(), c)
	}
	if c := checkNamed(r, "channel.part2_bound"); c.Status != attest.Pass {
		t.Errorf("the part proves the statement: %+v", c)
	}
}

// TestPartMissing: where the trust file asks for devices, the machine alone is
// refused.
func TestPartMissing(t *testing.T) {
	trust := parseTest(t, strictTrust)
	trust.hardware.gpu = &gpuRules{}
	f := newFixture(t)
	f.sync()
	r := trust.Appraise(f.in, f.at)
	if c := checkNamed(r, "hardware.parts"); r.Trusted() || c.Code != CodeNoParts {
		t.Errorf("verdict %s, %+v", r.Verdict(), c)
	}
}

// TestParts: each differs in one thing from a part that is what it should be; what
// the rules for GPUs find is not looked at.
func TestParts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fixture, part *attest.Claims)
		check  string
		code   attest.Code
	}{
		"proves nothing":        {func(_ *fixture, p *attest.Claims) { p.Nonce = nil }, "channel.part2_bound", attest.CodeNotBound},
		"other statement":       {func(_ *fixture, p *attest.Claims) { p.Nonce[31] ^= 1 }, "channel.part2_bound", attest.CodeNotBound},
		"nonce of a switch":     {func(_ *fixture, p *attest.Claims) { p.Kind = attest.NVSwitch }, "channel.part2_bound", attest.CodeNotBound},
		"report data, no nonce": {func(f *fixture, p *attest.Claims) { p.Nonce, p.ReportData = nil, f.claims.ReportData }, "channel.part2_bound", attest.CodeNotBound},
		"a second machine":      {func(_ *fixture, p *attest.Claims) { p.Kind = attest.TDX }, "hardware.part2_kind", CodeParts},
		"a TPM":                 {func(_ *fixture, p *attest.Claims) { p.Kind = attest.TPM }, "hardware.part2_kind", CodeParts},
		"expired":               {func(f *fixture, p *attest.Claims) { p.Endorsed.NotAfter = f.at.AddDate(0, 0, -1) }, "hardware.part2_accepted_time", attest.CodeExpired},
		"never valid":           {func(_ *fixture, p *attest.Claims) { p.Endorsed = attest.Validity{} }, "hardware.part2_accepted_time", attest.CodeExpired},
		"no claims":             {func(f *fixture, _ *attest.Claims) { f.claims.Parts[0] = nil }, "hardware.parts", attest.CodeMalformed},
		"no claims to prove":    {func(f *fixture, _ *attest.Claims) { f.claims.Parts[0] = nil }, "channel.part2_bound", attest.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			trust := parseTest(t, strictTrust)
			trust.hardware.gpu = &gpuRules{}
			f := newFixture(t)
			part := f.withPart(t)
			f.sync()
			c.change(f, part)
			r := trust.Appraise(f.in, f.at)
			if got := checkNamed(r, c.check); r.Trusted() || got.Status != attest.Fail || got.Code != c.code {
				t.Errorf("verdict %s, %+v, expected %s", r.Verdict(), got, c.code)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
			r.Lines()
		})
	}
}

// TestAnyHardware looks, and trusts nothing.
func TestAnyHardware(t *testing.T) {
	trust := AnyHardware()
	f := newFixture(t)
	f.report.VMPL, f.report.Policy = 0, policyBits
	f.detail.ARKCRL.Checked = false
	f.withPart(t)
	f.sync()
	r := trust.Appraise(f.in, f.at)
	for _, c := range failed(r) {
		if groupOf(c.Name) == GroupHardware {
			t.Errorf("good hardware: %+v", c)
		}
	}
	if c := checkNamed(r, "hardware.parts"); c.Status != attest.Skip || c.Code != CodeNotChecked {
		t.Errorf("%+v", c)
	}
	if r.Trusted() || r.Verdict() != Refused || checkNamed(r, checkMeasurement).Status != attest.Fail {
		t.Errorf("verdict %s without any reference value", r.Verdict())
	}
	f.report.Policy |= 1 << 19
	if c := checkNamed(trust.Appraise(f.in, f.at), "hardware.debug"); c.Status != attest.Fail {
		t.Errorf("debug: %+v", c)
	}
}

// TestEssentialParts: where a part was not compared with the statement the
// verdict is no more than partial.
func TestEssentialParts(t *testing.T) {
	f := newFixture(t)
	f.withPart(t)
	f.sync()
	r := parseTest(t, strictTrust).Appraise(f.in, f.at)
	if !slices.Contains(r.essential(), "channel.part2_bound") || slices.Contains(r.essential(), "channel.part3_bound") {
		t.Errorf("essential: %v", r.essential())
	}
}

// TestValues: what somebody has to compare before relying on a file.
func TestValues(t *testing.T) {
	got := fmt.Sprint(parseTest(t, strings.Replace(acceptOne, "AA", hexAA, 1)).Values())
	if want := "[{v1 measurement " + hexAA + "}]"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

// TestPolicyBesideARawReport: without a statement there is none that could name
// the policy.
func TestPolicyBesideARawReport(t *testing.T) {
	f := newFixture(t)
	f.sync()
	in := Input{Claims: f.claims, Policy: f.in.Policy, Offline: true}
	r := parseTest(t, strictTrust).Appraise(in, f.at)
	if c := checkNamed(r, checkPolicyStatement); c.Status != attest.Skip || r.Verdict() != Partial {
		t.Errorf("verdict %s, %+v", r.Verdict(), c)
	}
	if c := checkNamed(r, checkPolicyDocument); c.Status != attest.Pass {
		t.Errorf("%+v", c)
	}
}

// TestLimitsOfNames: names are shown to people, and bounded.
func TestLimitsOfNames(t *testing.T) {
	for length, ok := range map[int]bool{1: true, maxName: true, maxName + 1: false} {
		name := strings.Repeat("x", length)
		for what, doc := range map[string]string{
			"name": strings.Replace(strings.Replace(acceptOne, "AA", hexAA, 1), "v1", name, 1),
			"csp":  strings.Replace(acceptOne, "AA", hexAA, 1) + "hardware: {vlek: {csp: [" + name + "]}}\n",
		} {
			if _, err := ParseTrust([]byte(doc)); (err == nil) != ok {
				t.Errorf("%s of %d bytes: %v", what, length, err)
			}
		}
	}
}

// TestNothingAccepted: a list that the decoder let through empty is an error too.
func TestNothingAccepted(t *testing.T) {
	r := reader{out: defaults()}
	r.accept(nil)
	if r.errs.Err() == nil {
		t.Error("no reference values, and no error")
	}
}

// TestSignersBesideVLEK: allowing a cloud's keys allows no report that nobody
// signed.
func TestSignersBesideVLEK(t *testing.T) {
	trust := parseTest(t, strings.Replace(strictTrust, "  masked_chip: forbid\n", "  masked_chip: forbid\n  vlek: {csp: [cloud]}\n", 1))
	f := newFixture(t)
	f.detail.Signer, f.report.SigningKey, f.detail.CSP = snp.SignerNone, snp.SignerNone, "cloud"
	f.sync()
	if c := checkNamed(trust.Appraise(f.in, f.at), "hardware.accepted_signer"); c.Status != attest.Fail {
		t.Errorf("%+v", c)
	}
}

// TestHostsReport: that the host asked is what people are told.
func TestHostsReport(t *testing.T) {
	f := newFixture(t)
	f.report.VMPL = 0xffffffff
	f.sync()
	if c := checkNamed(parseTest(t, strictTrust).Appraise(f.in, f.at), "hardware.vmpl"); c.Seen != "asked for by the host" {
		t.Errorf("%+v", c)
	}
}

// TestAnyIsShown: a register that nobody looked at is named in the Result.
func TestAnyIsShown(t *testing.T) {
	ref := reference{code: map[attest.Kind]codeValues{
		attest.SNP: snpReference{1},
		attest.TDX: tdxReference{{value: [48]byte{1}}, {any: true}, {}, {}, {any: true}},
	}}
	for k, want := range map[attest.Kind]string{attest.SNP: "[]", attest.SimSNP: "[]", attest.TDX: "[rtmr0 rtmr3]", attest.SGX: "[]"} {
		if got := fmt.Sprint(ref.anyOf(k)); got != want {
			t.Errorf("%s: %s, expected %s", k, got, want)
		}
	}
}
