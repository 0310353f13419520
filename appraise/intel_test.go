package appraise_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/tdx"
)

// intelClaims are the claims of a forged machine.
func intelClaims(t testing.TB, kind attest.Kind, opts ...attesttest.IntelOption) *attest.Claims {
	t.Helper()
	intel := attesttest.NewIntel()
	ev, end := intel.Make(t, kind, [64]byte{1, 2, 3}, opts...)
	return verifyIntel(t, ev, end)
}

func verifyIntel(t testing.TB, ev attest.Evidence, end attest.Endorsements) *attest.Claims {
	t.Helper()
	var v attest.Verifier
	var err error
	if ev.Kind == attest.TDX {
		v, err = tdx.NewVerifierWithRoot(attesttest.NewIntel().Root(t))
	} else {
		v, err = sgx.NewVerifierWithRoot(attesttest.NewIntel().Root(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func appraiseIntel(t testing.TB, c *attest.Claims, trust string) appraise.Result {
	t.Helper()
	parsed, err := appraise.ParseTrust([]byte(trust))
	if err != nil {
		t.Fatalf("%v in\n%s", err, trust)
	}
	return parsed.Appraise(appraise.Input{Claims: c, Offline: true}, attesttest.Epoch())
}

// TestIntelVectors appraises every case that a verifier lets through.
func TestIntelVectors(t *testing.T) {
	for _, v := range slices.Concat(attesttest.TDXVectors(t), attesttest.SGXVectors(t)) {
		if v.Stage == attesttest.StageVerify {
			continue
		}
		t.Run(v.Evidence.Kind.String()+" "+v.Row+" "+v.Name, func(t *testing.T) {
			c := verifyIntel(t, v.Evidence, v.Endorsements)
			if v.Stage == attesttest.StageNone {
				if r := appraiseIntel(t, c, attesttest.IntelTrust(c.Kind, "")); r.Verdict() != appraise.Partial && v.Row != "T22" {
					t.Errorf("%v: %v", r.Verdict(), r.Err())
				}
				return
			}
			r := appraiseIntel(t, c, v.Trust)
			if got := intelCheck(r, v.Check); r.Verdict() != appraise.Refused || got.Status != attest.Fail || got.Code != v.Code {
				t.Errorf("%s: %s, want %s", r.Verdict(), got, v.Code)
			}
		})
	}
}

// TestIntelAllowedByName: what is refused by default is accepted if the trust
// file names it, and only then.
func TestIntelAllowedByName(t *testing.T) {
	attribute := func(bit int) attesttest.IntelOption {
		return attesttest.EditTD(func(r *attesttest.IntelTD) { r.Attributes |= 1 << bit })
	}
	flag := func(bits uint64) attesttest.IntelOption {
		return attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.Attributes |= bits })
	}
	owner := strings.Repeat("5a", 48)
	own := func(f func(*attesttest.IntelTD) *[48]byte) attesttest.IntelOption {
		return attesttest.EditTD(func(r *attesttest.IntelTD) {
			for i := range f(r) {
				f(r)[i] = 0x5a
			}
		})
	}
	seam := attesttest.TDRegister("mrseam")
	for _, c := range []struct {
		kind  attest.Kind
		rules string
		opts  []attesttest.IntelOption
	}{
		{attest.TDX, "tcb_status: [SWHardeningNeeded], advisories: [INTEL-SA-00615, INTEL-SA-00837]", []attesttest.IntelOption{attesttest.Platform("SWHardeningNeeded", "INTEL-SA-00615", "INTEL-SA-00837")}},
		{attest.SGX, "tcb_status: [UpToDate, OutOfDate]", []attesttest.IntelOption{attesttest.Platform("OutOfDate")}},
		{attest.TDX, "tcb_evaluation: 18", []attesttest.IntelOption{attesttest.EditInfo(func(d *attesttest.IntelTCBInfo) { d.Evaluation = 18 })}},
		{attest.TDX, "pks: allow, perfmon: allow", []attesttest.IntelOption{attribute(30), attribute(63)}},
		{attest.TDX, "kl: require, lass: require, icssd: require, tpa: require", []attesttest.IntelOption{attribute(31), attribute(27), attribute(16), attribute(62)}},
		{attest.TDX, "xfam: 0x65ae7", []attesttest.IntelOption{attesttest.EditTD(func(r *attesttest.IntelTD) { r.XFAM |= 1 << 14 })}},
		{attest.TDX, "mrowner: " + owner, []attesttest.IntelOption{own(func(r *attesttest.IntelTD) *[48]byte { return &r.MROWNER })}},
		{attest.TDX, "mrowner_config: " + owner, []attesttest.IntelOption{own(func(r *attesttest.IntelTD) *[48]byte { return &r.MROWNERCONFIG })}},
		{attest.TDX, "service_td: " + owner, []attesttest.IntelOption{attesttest.QuoteVersion(5), own(func(r *attesttest.IntelTD) *[48]byte { return &r.MRSERVICETD })}},
		{attest.TDX, "mrseam: [" + hexOf(seam[:]) + "]", nil},
		{attest.TDX, `fmspc: ["c0806f000000"], piid: ["` + hexOf([]byte("forged platform1")) + `"]`, nil},
		{attest.TDX, "memory_integrity: require", []attesttest.IntelOption{attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.SGXType = 2 })}},
		{attest.TDX, "smt: allow", []attesttest.IntelOption{attesttest.Platform("UpToDate", "INTEL-SA-00615")}},
		{attest.SGX, "smt: forbid", []attesttest.IntelOption{attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.Configuration = []bool{true, true, false} })}},
		{attest.SGX, "kss: require", []attesttest.IntelOption{flag(1 << 7)}},
		{attest.SGX, "attributes: {value: 0x405, mask: 0xffffffffffffffff}", []attesttest.IntelOption{flag(1 << 10)}},
		{attest.SGX, "xfrm: {value: 0x3, mask: 0xfffffffffffffd1b}", []attesttest.IntelOption{attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.XFRM |= 1 << 9 })}},
		{attest.SGX, "misc_select: {value: 0x1, mask: 0xffffffff}", []attesttest.IntelOption{attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.MiscSelect = 1 })}},
	} {
		t.Run(c.rules, func(t *testing.T) {
			trust := attesttest.IntelTrust(c.kind, c.rules)
			if r := appraiseIntel(t, intelClaims(t, c.kind, c.opts...), trust); r.Verdict() != appraise.Partial {
				t.Errorf("%v: %v", r.Verdict(), r.Err())
			}
			parsed, err := appraise.ParseTrust([]byte(trust))
			if err != nil {
				t.Fatal(err)
			}
			again, err := appraise.ParseTrust(parsed.Marshal())
			if err != nil || len(appraise.Diff(parsed, again)) != 0 || !bytes.Equal(again.Marshal(), parsed.Marshal()) {
				t.Errorf("%v: not the same after it was written:\n%s", err, parsed.Marshal())
			}
		})
	}
}

// TestIntelTrustErrors: what can only be a mistake is refused.
func TestIntelTrustErrors(t *testing.T) {
	zero := strings.Repeat("0", 96)
	one := strings.Repeat("5a", 48)
	for _, c := range []struct {
		kind            attest.Kind
		reference, rule string
	}{
		{attest.TDX, "", "tcb_status: [Revoked]"},
		{attest.TDX, "", "tcb_status: [uptodate]"},
		{attest.TDX, "", "tcb_status: []"},
		{attest.TDX, "", "tcb_status: [UpToDate, UpToDate]"},
		{attest.TDX, "", "advisories: [SA-00615]"},
		{attest.TDX, "", "tcb_evaluation: 0"},
		{attest.TDX, "", "memory_integrity: forbid"},
		{attest.SGX, "", "smt: require"},
		{attest.TDX, "", "xfam: 0x2"},
		{attest.TDX, "", "xfam: 602e7"},
		{attest.TDX, "", "xfam: 0xzz"},
		{attest.TDX, "", "xfam: 0x100000000000602e7"},
		{attest.TDX, "{mrtd: " + one + ", rtmr0: 5a, rtmr1: any, rtmr2: any, rtmr3: any}", ""},
		{attest.TDX, "{mrtd: " + one + ", rtmr0: " + zero + ", rtmr1: any, rtmr2: any, rtmr3: any}", ""},
		{attest.SGX, "{config_svn: 1}", ""},
		{attest.TDX, "", "mrseam: [" + zero + "]"},
		{attest.TDX, "", "migratable: allow"},
		{attest.TDX, "", "debug: allow"},
		{attest.SGX, "", "xfrm: {value: 0x4, mask: 0x3}"},
		{attest.SGX, "", "debug: allow"},
		{attest.TDX, "{mrtd: zero, rtmr0: any, rtmr1: any, rtmr2: any, rtmr3: any}", ""},
		{attest.TDX, "{mrtd: " + zero + ", rtmr0: any, rtmr1: any, rtmr2: any, rtmr3: any}", ""},
		{attest.TDX, "{mrtd: " + one + ", rtmr0: any, rtmr1: any, rtmr2: any}", ""},
		{attest.TDX, "{mrtd: " + one + "}", ""},
		{attest.SGX, "{}", ""},
		{attest.SGX, "{mrsigner: " + one[:64] + "}", ""},
		{attest.SGX, "{mrsigner: " + one[:64] + ", product: 1}", ""},
		{attest.SGX, "{product: 1, svn: 1}", ""},
		{attest.SGX, "{mrenclave: " + one[:64] + ", svn: 1}", ""},
		{attest.SGX, "{mrenclave: " + zero[:64] + "}", ""},
		{attest.SGX, "{mrsigner: 83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e, product: 0, svn: 0}", ""},
	} {
		trust := attesttest.IntelTrust(c.kind, c.rule)
		if c.reference != "" {
			trust = "version: 1\naccept:\n  - name: x\n    " + c.kind.String() + ": " + c.reference + "\n    policy: any\n"
		}
		if _, err := appraise.ParseTrust([]byte(trust)); err == nil {
			t.Errorf("accepted: %s%s", c.reference, c.rule)
		}
	}
}

// TestIntelFirstUse: a trust file that is written from what a box shows accepts
// the box, says what it loosened, and accepts no other.
func TestIntelFirstUse(t *testing.T) {
	at := attesttest.Epoch()
	for _, c := range []struct {
		name     string
		kind     attest.Kind
		loosened int
		opts     []attesttest.IntelOption
	}{
		{"tdx", attest.TDX, 1, nil}, // no policy is shown
		{"sgx", attest.SGX, 1, nil},
		{"out of date", attest.TDX, 2, []attesttest.IntelOption{attesttest.Platform("OutOfDate", "INTEL-SA-00615")}},
		{"no lists", attest.SGX, 2, []attesttest.IntelOption{attesttest.Without(attest.LabelIntelRootCRL, attest.LabelIntelPCKCRL)}},
		{"old evaluation", attest.TDX, 2, []attesttest.IntelOption{attesttest.EditInfo(func(d *attesttest.IntelTCBInfo) { d.Evaluation = 15 })}},
		{"attributes", attest.TDX, 4, []attesttest.IntelOption{attesttest.EditTD(func(r *attesttest.IntelTD) {
			r.Attributes |= 1<<30 | 1<<63
			r.XFAM |= 1 << 8
		})}},
		{"enclave state", attest.SGX, 3, []attesttest.IntelOption{attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.XFRM |= 1 << 9; e.MiscSelect = 1 })}},
		{"service", attest.TDX, 2, []attesttest.IntelOption{attesttest.QuoteVersion(5), attesttest.EditTD(func(r *attesttest.IntelTD) { r.MRSERVICETD[0] = 1 })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims := intelClaims(t, c.kind, c.opts...)
			trust := appraise.FromClaims(claims, attest.Statement{}, nil, "first", at)
			if got := trust.Loosened(); len(got) != c.loosened {
				t.Errorf("loosened %q, want %d", got, c.loosened)
			}
			parsed, err := appraise.ParseTrust(trust.Marshal())
			if err != nil {
				t.Fatalf("%v in\n%s", err, trust.Marshal())
			}
			if r := parsed.Appraise(appraise.Input{Claims: claims, Offline: true}, at); r.Verdict() != appraise.Partial {
				t.Errorf("%v: %v", r.Verdict(), r.Err())
			}
			other := intelClaims(t, c.kind, append(c.opts, attesttest.EditTD(func(r *attesttest.IntelTD) { r.RTMR[2][0] ^= 1 }),
				attesttest.EditSGX(func(e *attesttest.IntelEnclave) { e.MRENCLAVE[0] ^= 1 }))...)
			if r := parsed.Appraise(appraise.Input{Claims: other, Offline: true}, at); r.Verdict() != appraise.Refused {
				t.Errorf("%v for other code", r.Verdict())
			}
		})
	}
	debug := intelClaims(t, attest.TDX, attesttest.EditTD(func(r *attesttest.IntelTD) { r.Attributes |= 1 }))
	trust := appraise.FromClaims(debug, attest.Statement{}, nil, "debug", at)
	if r := trust.Appraise(appraise.Input{Claims: debug, Offline: true}, at); r.Verdict() != appraise.Refused {
		t.Error("a trust domain under debug is accepted on first use")
	}
}

// TestIntelBeforeTheTable: for a day of which the built-in table knows nothing
// the evaluation number is not compared, and that is no pass.
func TestIntelBeforeTheTable(t *testing.T) {
	claims := intelClaims(t, attest.TDX)
	claims.Endorsed.NotBefore = attesttest.Epoch().AddDate(-10, 0, 0)
	trust, err := appraise.ParseTrust([]byte(attesttest.IntelTrust(attest.TDX, "")))
	if err != nil {
		t.Fatal(err)
	}
	r := trust.Appraise(appraise.Input{Claims: claims, Offline: true}, attesttest.Epoch().AddDate(-3, 0, 0))
	if got := intelCheck(r, "hardware.tcb_evaluation"); got.Status != attest.Skip || got.Code != appraise.CodeNotChecked {
		t.Errorf("%s, want it skipped", got)
	}
}

// TestIntelModule: a TDX module that is not Intel's is refused here too, even if a
// verifier let it through.
func TestIntelModule(t *testing.T) {
	for name, change := range map[string]func(*tdx.Report){
		"hardware.seam_signer":     func(r *tdx.Report) { r.MRSIGNERSEAM[0] = 1 },
		"hardware.seam_attributes": func(r *tdx.Report) { r.SEAMAttributes = 1 },
	} {
		claims := intelClaims(t, attest.TDX)
		change(claims.Detail.(*tdx.Claims).Report)
		r := appraiseIntel(t, claims, attesttest.IntelTrust(attest.TDX, ""))
		if got := intelCheck(r, name); got.Status != attest.Fail || got.Code != appraise.CodeSEAM {
			t.Errorf("%s, want it refused", got)
		}
	}
}

// TestIntelNothingAsked: what the trust file says nothing about is no pass.
func TestIntelNothingAsked(t *testing.T) {
	for _, kind := range []attest.Kind{attest.TDX, attest.SGX} {
		r := appraiseIntel(t, intelClaims(t, kind), attesttest.IntelTrust(kind, ""))
		for _, name := range []string{
			"hardware.accepted_fmspc", "hardware.accepted_piid", "hardware.memory_integrity", "hardware.smt", "hardware.advisories",
			map[attest.Kind]string{attest.TDX: "hardware.accepted_seam", attest.SGX: "hardware.enclave_attributes"}[kind],
		} {
			if got := intelCheck(r, name); got.Status != attest.Skip || got.Code != appraise.CodeNotRequired {
				t.Errorf("%s: %s, want it skipped", kind, got)
			}
		}
	}
}

// TestIntelClaimsMustAgree: general claims and details that differ are refused.
func TestIntelClaimsMustAgree(t *testing.T) {
	for _, kind := range []attest.Kind{attest.TDX, attest.SGX} {
		for name, change := range map[string]func(*attest.Claims){
			"report data":  func(c *attest.Claims) { c.ReportData[0] ^= 1 },
			"measurement":  func(c *attest.Claims) { c.Measurement[0] ^= 1 },
			"launch":       func(c *attest.Claims) { c.LaunchDigest[0] ^= 1 },
			"nonce":        func(c *attest.Claims) { c.Nonce = []byte{1} },
			"no report":    func(c *attest.Claims) { c.Detail = (*tdx.Claims)(nil) },
			"no enclave":   func(c *attest.Claims) { c.Detail = (*sgx.Claims)(nil) },
			"empty detail": func(c *attest.Claims) { c.Detail = &tdx.Claims{} },
		} {
			claims := intelClaims(t, kind)
			change(claims)
			r := appraiseIntel(t, claims, attesttest.IntelTrust(kind, ""))
			if got := intelCheck(r, "hardware.evidence"); got.Status != attest.Fail {
				t.Errorf("%s %s: %s, want it refused", kind, name, got)
			}
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, v := range b {
		out.WriteByte(digits[v>>4])
		out.WriteByte(digits[v&15])
	}
	return out.String()
}

const blindAIManifest = `# Enclave policy file
mr_enclave = "5f3ece17ab88f497b8e69832bcd93ff5f8ea886f2f41930e2d7cc4bb64240db5"
misc_select_hex = "0x0"  # SGX1
misc_mask_hex= "0xffffffff"
attributes_flags_hex= "0x4"
attributes_xfrm_hex= "0x3"
attributes_mask_flags_hex= "0xfffffffffffffffd"
attributes_mask_xfrm_hex= "0xffffffffffffff1b"
allow_debug = false
`

// TestBlindAIManifest: the trust file accepts what BlindAI's client accepted.
func TestBlindAIManifest(t *testing.T) {
	trust, err := appraise.FromBlindAIManifest([]byte(blindAIManifest), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	enclave := func(f func(*attesttest.IntelEnclave)) *attest.Claims {
		return intelClaims(t, attest.SGX, attesttest.EditSGX(func(e *attesttest.IntelEnclave) {
			copy(e.MRENCLAVE[:], "\x5f\x3e\xce\x17\xab\x88\xf4\x97\xb8\xe6\x98\x32\xbc\xd9\x3f\xf5\xf8\xea\x88\x6f\x2f\x41\x93\x0e\x2d\x7c\xc4\xbb\x64\x24\x0d\xb5")
			f(e)
		}))
	}
	for _, c := range []struct {
		name string
		edit func(*attesttest.IntelEnclave)
		want appraise.Verdict
	}{
		{"as it is", func(*attesttest.IntelEnclave) {}, appraise.Partial},
		{"avx", func(e *attesttest.IntelEnclave) { e.XFRM = 0x7 }, appraise.Partial},
		{"other enclave", func(e *attesttest.IntelEnclave) { e.MRENCLAVE[0] ^= 1 }, appraise.Refused},
		{"kss", func(e *attesttest.IntelEnclave) { e.Attributes |= 1 << 7 }, appraise.Refused},
		{"debug", func(e *attesttest.IntelEnclave) { e.Attributes |= 2 }, appraise.Refused},
		{"pkru", func(e *attesttest.IntelEnclave) { e.XFRM |= 1 << 9 }, appraise.Refused},
		{"misc", func(e *attesttest.IntelEnclave) { e.MiscSelect = 1 }, appraise.Refused},
	} {
		if r := trust.Appraise(appraise.Input{Claims: enclave(c.edit), Offline: true}, attesttest.Epoch()); r.Verdict() != c.want {
			t.Errorf("%s: %s, want %s: %v", c.name, r.Verdict(), c.want, r.Err())
		}
	}
	if parsed, err := appraise.ParseTrust(trust.Marshal()); err != nil || len(appraise.Diff(trust, parsed)) != 0 {
		t.Errorf("%v: not the same after it was written:\n%s", err, trust.Marshal())
	}
}

func TestBlindAIManifestErrors(t *testing.T) {
	change := func(old, text string) string { return strings.Replace(blindAIManifest, old, text, 1) }
	for name, text := range map[string]string{
		"empty":            "",
		"debug flag":       strings.NewReplacer(`"0x4"`, `"0x6"`, "fffd", "ffff").Replace(blindAIManifest),
		"one quote":        change(`"0x4"`, `"`),
		"no first quote":   change(`"0x4"`, `x0x4"`),
		"no last quote":    change(`"0x4"`, `"0x4x`),
		"long":             change("5f3ece", "05f3ece"),
		"not hex":          change("5f3ece", "5g3ece"),
		"comment":          blindAIManifest + "# \xff\n",
		"debug":            change("allow_debug = false", "allow_debug = true"),
		"no debug":         change("allow_debug = false", ""),
		"twice":            blindAIManifest + "allow_debug = false\n",
		"unknown key":      blindAIManifest + "isv_svn = 3\n",
		"table":            "[sgx]\n" + blindAIManifest,
		"short":            change("5f3ece", ""),
		"zero":             change("5f3ece17ab88f497b8e69832bcd93ff5f8ea886f2f41930e2d7cc4bb64240db5", strings.Repeat("0", 64)),
		"no quotes":        change(`"0x4"`, "0x4"),
		"no 0x":            change(`"0x4"`, `"4"`),
		"negative":         change(`"0x4"`, `"0x-4"`),
		"too long":         change(`"0xffffffff"`, `"0x1ffffffff"`),
		"underscore":       change(`"0x4"`, `"0x_4"`),
		"outside of mask":  change(`"0x4"`, `"0x6"`),
		"xfrm not in mask": change(`attributes_xfrm_hex= "0x3"`, `attributes_xfrm_hex= "0x7"`),
		"boolean word":     change("false", "no"),
		"escape":           change(`"0x4"`, `"0x\u0034"`),
		"not utf-8":        blindAIManifest + "\xff",
		"no value":         blindAIManifest + "allow_debug\n",
		"too large":        blindAIManifest + strings.Repeat("#\n", 64<<10),
		"long line":        blindAIManifest + strings.Repeat("#", 5<<10),
	} {
		if _, err := appraise.FromBlindAIManifest([]byte(text), nil, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := appraise.FromBlindAIManifest([]byte(blindAIManifest), nil, strings.Repeat("n", 200)); err == nil {
		t.Error("a name of 200 bytes: accepted")
	}
}

func FuzzBlindAIManifest(f *testing.F) {
	f.Add([]byte(blindAIManifest))
	f.Add([]byte("mr_enclave = \"\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		trust, err := appraise.FromBlindAIManifest(text, nil, "")
		if (trust == nil) == (err == nil) {
			t.Fatal("trust and error")
		}
		if err != nil {
			return
		}
		if _, err := appraise.ParseTrust(trust.Marshal()); err != nil {
			t.Fatalf("%v in\n%s", err, trust.Marshal())
		}
	})
}

// intelCheck returns the check of that name, one without a name if there is none.
func intelCheck(r appraise.Result, name string) attest.Check {
	for _, c := range r.Checks() {
		if c.Name == name {
			return c
		}
	}
	return attest.Check{}
}

// TestIntelPages: the trust files that the pages show can be read, and written
// back the same.
func TestIntelPages(t *testing.T) {
	for _, page := range []string{"tdx", "sgx"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", "hardware", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		_, block, found := strings.Cut(string(text), "```yaml\n")
		block, _, closed := strings.Cut(block, "```")
		if !found || !closed {
			t.Fatalf("%s.md shows no trust file", page)
		}
		trust, err := appraise.ParseTrust([]byte(block))
		if err != nil {
			t.Errorf("%s.md: %v", page, err)
			continue
		}
		again, err := appraise.ParseTrust(trust.Marshal())
		if err != nil || len(appraise.Diff(trust, again)) != 0 {
			t.Errorf("%s.md: %v: not the same after it was written:\n%s", page, err, trust.Marshal())
		}
	}
}
