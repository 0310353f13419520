package appraise

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

func TestAcceptsWhatMeetsEveryRequirement(t *testing.T) {
	f := newFixture(t)
	f.sync()
	r := parseTest(t, strictTrust).Appraise(f.in, f.at)
	if !r.Trusted() || r.Err() != nil || r.Verdict() != Trusted {
		t.Fatalf("verdict %s, failed %v", r.Verdict(), failed(r))
	}
	if r.Code() != "demo v1" || r.Simulated() || r.Policy() == nil || r.PolicyDigest() != f.in.Statement.Policy {
		t.Errorf("code %q, simulated %v, policy %v, digest %s", r.Code(), r.Simulated(), r.Policy(), r.PolicyDigest())
	}
	for _, c := range r.Checks() {
		if c.Status == attest.Skip {
			t.Errorf("%s was skipped although everything is required", c)
		}
	}
}

// tcbBut returns the level of the fixture with one component one lower.
func tcbBut(component int) snp.TCB {
	t := snp.TCB{Bootloader: 10, TEE: 1, SNP: 0x1b, Microcode: 0x56}
	switch component {
	case 0:
		t.Bootloader--
	case 1:
		t.TEE--
	case 2:
		t.SNP--
	case 3:
		t.Microcode--
	}
	return t
}

// each case breaks one thing in an Input that the strict trust file accepts.
var refusals = []struct {
	name   string
	change func(t *testing.T, f *fixture)
	check  string
	code   attest.Code
}{
	{"no claims and no error", func(_ *testing.T, f *fixture) { f.in.Claims = nil }, "hardware.evidence", CodeNotChecked},
	{"G33 claims and error", func(_ *testing.T, f *fixture) { f.in.Err = errors.New("snp: half a report") }, "hardware.evidence", attest.CodeMalformed},
	{"verifier refused", func(_ *testing.T, f *fixture) {
		f.in.Claims, f.in.Err = nil, attest.NewFailure("hardware.chain", attest.CodeUntrustedRoot, "another", "AMD's")
	}, "hardware.chain", attest.CodeUntrustedRoot},
	{"verifier refused without a reason", func(_ *testing.T, f *fixture) { f.in.Claims, f.in.Err = nil, &attest.Failure{} }, "hardware.evidence", attest.CodeMalformed},
	{"endorsements unavailable", func(_ *testing.T, f *fixture) {
		f.in.Claims, f.in.Err = nil, fmt.Errorf("no VCEK: %w", attest.ErrUnavailable)
	}, "hardware.evidence", attest.CodeUnavailable},
	{"a verifier that reports a failed check in its claims", func(_ *testing.T, f *fixture) {
		f.claims.Checks = []attest.Check{{Name: "hardware.signature", Code: attest.CodeBadSignature}}
	}, "hardware.signature", attest.CodeBadSignature},
	{"no details", func(_ *testing.T, f *fixture) { f.claims.Detail = nil }, "hardware.evidence", attest.CodeMalformed},
	{"nil details", func(_ *testing.T, f *fixture) { f.claims.Detail = (*snp.Claims)(nil) }, "hardware.evidence", attest.CodeMalformed},
	{"details without a report", func(_ *testing.T, f *fixture) { f.detail.Report = nil }, "hardware.evidence", attest.CodeMalformed},
	{"signer is not the report's", func(_ *testing.T, f *fixture) { f.report.SigningKey = snp.SignerVLEK }, "hardware.evidence", snp.CodeInconsistent},
	{"product is not the report's", func(_ *testing.T, f *fixture) { f.report.Product = snp.Turin }, "hardware.evidence", snp.CodeInconsistent},
	{"certified TCB is not the reported one", func(_ *testing.T, f *fixture) { f.detail.CertTCB.SNP++ }, "hardware.evidence", snp.CodeInconsistent},
	{"kind and claims disagree on simulation", func(_ *testing.T, f *fixture) { f.claims.Simulated = true }, "hardware.evidence", snp.CodeInconsistent},

	{"simulated", func(_ *testing.T, f *fixture) { f.claims.Kind, f.claims.Simulated = attest.SimSNP, true }, "hardware.genuine", CodeSimulated},
	{"claims that only say simulated", func(_ *testing.T, f *fixture) { f.claims.Simulated = true }, "hardware.genuine", CodeSimulated},
	{"kind that was not asked for", func(_ *testing.T, f *fixture) { f.claims.Kind = attest.SimSNP }, "hardware.accepted_kind", attest.CodeKindMismatch},
	{"no kind", func(_ *testing.T, f *fixture) { f.claims.Kind = attest.KindInvalid }, "hardware.accepted_kind", attest.CodeKindMismatch},
	{"G18 certificates expired", func(_ *testing.T, f *fixture) { f.claims.Endorsed.NotAfter = f.at.Add(-time.Second) }, "hardware.accepted_time", attest.CodeExpired},
	{"G18 certificates not valid yet", func(_ *testing.T, f *fixture) { f.claims.Endorsed.NotBefore = f.at.Add(time.Second) }, "hardware.accepted_time", attest.CodeExpired},
	{"no validity", func(_ *testing.T, f *fixture) { f.claims.Endorsed = attest.Validity{} }, "hardware.accepted_time", attest.CodeExpired},
	{"G19 no CRL", func(_ *testing.T, f *fixture) { f.detail.ARKCRL = snp.Revocation{} }, "hardware.revocation_ca", attest.CodeNoCRL},
	{"G20 CRL that has run out since", func(_ *testing.T, f *fixture) { f.detail.ARKCRL.NextUpdate = f.at.Add(-time.Second) }, "hardware.revocation_ca", attest.CodeStaleCRL},
	{"G20 CRL of the ASK that has run out since", func(_ *testing.T, f *fixture) { f.detail.ASKCRL.NextUpdate = f.at.Add(-time.Second) }, "hardware.revocation_key", attest.CodeStaleCRL},

	{"G22 CRL older than the trust file tolerates", func(_ *testing.T, f *fixture) { f.detail.ARKCRL.ThisUpdate = f.at.Add(-25 * time.Hour) }, "hardware.revocation_ca", attest.CodeStaleCRL},

	{"S01 debug", func(_ *testing.T, f *fixture) { f.report.Policy |= 1 << 19 }, "hardware.debug", CodeDebug},
	{"S02 migration agent allowed", func(_ *testing.T, f *fixture) { f.report.Policy |= 1 << 18 }, "hardware.migration", CodeMigration},
	{"S02 migration agent attached", func(_ *testing.T, f *fixture) { f.report.ReportIDMA[31] = 0 }, "hardware.migration", CodeMigration},
	{"S03 SMT in the guest policy", func(_ *testing.T, f *fixture) { f.report.Policy |= 1 << 16 }, "hardware.smt", CodeSMT},
	{"S03 SMT on the platform", func(_ *testing.T, f *fixture) { f.report.PlatformInfo |= 1 }, "hardware.smt", CodeSMT},
	{"S04 reserved policy bit", func(_ *testing.T, f *fixture) { f.report.Policy |= 1 << 26 }, "hardware.guest_policy_reserved", CodeGuestPolicy},
	{"S04 reserved policy bit 17 not one", func(_ *testing.T, f *fixture) { f.report.Policy &^= 1 << 17 }, "hardware.guest_policy_reserved", CodeGuestPolicy},
	{"S05 ABI minor too low", func(_ *testing.T, f *fixture) { f.report.Policy-- }, "hardware.guest_abi", CodeGuestPolicy},
	{"S05 ABI major too low, minor higher", func(_ *testing.T, f *fixture) { f.report.Policy = f.report.Policy&^0xffff | 0x00ff }, "hardware.guest_abi", CodeGuestPolicy},
	{"S05 single socket off", func(_ *testing.T, f *fixture) { f.report.Policy &^= 1 << 20 }, "hardware.guest_single_socket", CodeGuestPolicy},
	{"S05 CXL allowed", func(_ *testing.T, f *fixture) { f.report.Policy |= 1 << 21 }, "hardware.guest_cxl", CodeGuestPolicy},
	{"S05 XTS off", func(_ *testing.T, f *fixture) { f.report.Policy &^= 1 << 22 }, "hardware.guest_mem_aes_256_xts", CodeGuestPolicy},
	{"S05 RAPL not disabled", func(_ *testing.T, f *fixture) { f.report.Policy &^= 1 << 23 }, "hardware.guest_rapl_disabled", CodeGuestPolicy},
	{"S05 ciphertext hiding off", func(_ *testing.T, f *fixture) { f.report.Policy &^= 1 << 24 }, "hardware.guest_ciphertext_hiding", CodeGuestPolicy},
	{"S05 page swap not disabled", func(_ *testing.T, f *fixture) { f.report.Policy &^= 1 << 25 }, "hardware.guest_page_swap_disabled", CodeGuestPolicy},
	{"S06 another VMPL", func(_ *testing.T, f *fixture) { f.report.VMPL = 0 }, "hardware.vmpl", CodeVMPL},
	{"S06 VMPL that does not exist", func(_ *testing.T, f *fixture) { f.report.VMPL = 4 }, "hardware.vmpl", CodeVMPL},
	{"S06 asked for by the host", func(_ *testing.T, f *fixture) { f.report.VMPL = 0xffffffff }, "hardware.vmpl", CodeVMPL},
	{"S07 report version not listed", func(_ *testing.T, f *fixture) { f.report.Version = 2 }, "hardware.accepted_version", snp.CodeUnsupported},
	{"S10 product not listed", func(_ *testing.T, f *fixture) { f.detail.Product, f.report.Product = snp.Milan, snp.Milan }, "hardware.accepted_product", CodeProduct},
	{"S08 no product", func(_ *testing.T, f *fixture) { f.detail.Product, f.report.Product = 0, 0 }, "hardware.accepted_product", CodeProduct},
	{"S12 VLEK", func(_ *testing.T, f *fixture) { f.detail.Signer, f.report.SigningKey = snp.SignerVLEK, snp.SignerVLEK }, "hardware.accepted_signer", CodeSigner},
	{"S11 no signer", func(_ *testing.T, f *fixture) { f.detail.Signer, f.report.SigningKey = snp.SignerNone, snp.SignerNone }, "hardware.accepted_signer", CodeSigner},
	{"S12 VLEK has no chip for the list", func(_ *testing.T, f *fixture) {
		f.detail.Signer, f.report.SigningKey, f.detail.ChipID = snp.SignerVLEK, snp.SignerVLEK, nil
	}, "hardware.accepted_chip", CodeChip},
	{"S14 chip id all zero", func(_ *testing.T, f *fixture) { f.report.ChipID = [64]byte{} }, "hardware.chip_shown", CodeMaskedChip},
	{"S14 chip id masked, says the verifier", func(_ *testing.T, f *fixture) { f.detail.ChipIDMasked = true }, "hardware.chip_shown", CodeMaskedChip},
	{"S14 chip key masked", func(_ *testing.T, f *fixture) { f.report.MaskChipKey = true }, "hardware.chip_shown", CodeMaskedChip},
	{"S16 another chip", func(_ *testing.T, f *fixture) { f.detail.ChipID[63] ^= 1 }, "hardware.accepted_chip", CodeChip},
	{"S16 only the first bytes of the chip", func(_ *testing.T, f *fixture) { f.detail.ChipID = f.detail.ChipID[:8] }, "hardware.accepted_chip", CodeChip},
	{"S18 current TCB", func(_ *testing.T, f *fixture) { f.report.CurrentTCB = tcbBut(2) }, "hardware.tcb_current", CodeTCBLow},
	{"S18 reported TCB", func(_ *testing.T, f *fixture) { f.report.ReportedTCB = tcbBut(3) }, "hardware.tcb_reported", CodeTCBLow},
	{"S18 one component low, another high", func(_ *testing.T, f *fixture) {
		f.report.ReportedTCB = snp.TCB{Bootloader: 9, TEE: 200, SNP: 200, Microcode: 200}
	}, "hardware.tcb_reported", CodeTCBLow},
	{"S17 certified TCB", func(_ *testing.T, f *fixture) { f.detail.CertTCB = tcbBut(0) }, "hardware.tcb_certified", CodeTCBLow},
	{"S19 committed TCB", func(_ *testing.T, f *fixture) { f.report.CommittedTCB = tcbBut(2) }, "hardware.tcb_committed", CodeProvisional},
	{"S20 launch TCB", func(_ *testing.T, f *fixture) { f.report.LaunchTCB = tcbBut(1) }, "hardware.tcb_launch", CodeLaunchTCB},
	{"S21 current below committed", func(_ *testing.T, f *fixture) { f.report.CommittedTCB.SNP++ }, "hardware.tcb_order", snp.CodeInconsistent},
	{"S21 current below reported", func(_ *testing.T, f *fixture) { f.report.ReportedTCB.TEE++; f.detail.CertTCB.TEE++ }, "hardware.tcb_order", snp.CodeInconsistent},
	{"S21 current firmware older than committed", func(_ *testing.T, f *fixture) { f.report.CommittedVersion.Build++ }, "hardware.tcb_order", snp.CodeInconsistent},
	{"firmware below the minimum", func(_ *testing.T, f *fixture) { f.report.CurrentVersion.Build = 39 }, "hardware.firmware", CodeFirmware},
	{"firmware not committed", func(_ *testing.T, f *fixture) { f.report.CommittedVersion.Build = 39 }, "hardware.firmware", CodeFirmware},
	{"S25 no id block", func(_ *testing.T, f *fixture) { f.report.IDKeyDigest = [48]byte{} }, "hardware.id_key", snp.CodeIDBlock},
	{"S25 another id key", func(_ *testing.T, f *fixture) { f.report.IDKeyDigest[0] ^= 1 }, "hardware.id_key", snp.CodeIDBlock},
	{"S25 another author key", func(_ *testing.T, f *fixture) { f.report.AuthorKeyDigest[47] ^= 1 }, "hardware.author_key", snp.CodeIDBlock},
	{"S25 author key not in use", func(_ *testing.T, f *fixture) { f.report.AuthorKeyEn = false }, "hardware.author_key", snp.CodeIDBlock},
	{"S25 another family id", func(_ *testing.T, f *fixture) { f.report.FamilyID[15] = 1 }, "hardware.family_id", snp.CodeIDBlock},
	{"S25 another image id", func(_ *testing.T, f *fixture) { f.report.ImageID[15] = 1 }, "hardware.image_id", snp.CodeIDBlock},
	{"S26 guest SVN", func(_ *testing.T, f *fixture) { f.report.GuestSVN = 6 }, "hardware.guest_svn", CodeGuestSVN},
	{"S27 TSME off", func(_ *testing.T, f *fixture) { f.report.PlatformInfo &^= 1 << 1 }, "hardware.platform_tsme", CodePlatform},
	{"S27 ECC off", func(_ *testing.T, f *fixture) { f.report.PlatformInfo &^= 1 << 2 }, "hardware.platform_ecc", CodePlatform},
	{"S29 RAPL on", func(_ *testing.T, f *fixture) { f.report.PlatformInfo &^= 1 << 3 }, "hardware.platform_rapl_disabled", CodePlatform},
	{"S29 no ciphertext hiding", func(_ *testing.T, f *fixture) { f.report.PlatformInfo &^= 1 << 4 }, "hardware.platform_ciphertext_hiding", CodePlatform},
	{"S28 no alias check", func(_ *testing.T, f *fixture) { f.report.PlatformInfo &^= 1 << 5 }, "hardware.platform_alias_check", CodePlatform},
	{"S27 IOMMU writes not safe", func(_ *testing.T, f *fixture) { f.report.PlatformInfo &^= 1 << 6 }, "hardware.platform_iommu_write_safe", CodePlatform},
	{"S27 TIO on", func(_ *testing.T, f *fixture) { f.report.PlatformInfo |= 1 << 7 }, "hardware.platform_tio", CodePlatform},
	{"S27 unknown bit", func(_ *testing.T, f *fixture) { f.report.PlatformInfo |= 1 << 8 }, "hardware.platform_bits", CodePlatformBits},
	{"S27 highest unknown bit", func(_ *testing.T, f *fixture) { f.report.PlatformInfo |= 1 << 63 }, "hardware.platform_bits", CodePlatformBits},
	{"S30 launch mitigation", func(_ *testing.T, f *fixture) { f.report.LaunchMitVector = 1 }, "hardware.mitigation_launch", CodeMitigation},
	{"S30 current mitigation", func(_ *testing.T, f *fixture) { f.report.CurrentMitVector = 3 }, "hardware.mitigation_current", CodeMitigation},
	{"S30 a report that cannot say", func(_ *testing.T, f *fixture) { f.report.Version = 3 }, "hardware.mitigation_current", CodeMitigation},

	{"S23 one bit of the measurement", func(_ *testing.T, f *fixture) { f.report.Measurement[47] ^= 1 }, "code.measurement", CodeMeasurement},
	{"S23 measurement all zero", func(_ *testing.T, f *fixture) { f.report.Measurement = [48]byte{} }, "code.measurement", CodeMeasurement},
	{"reference value ended", func(_ *testing.T, f *fixture) { f.at = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }, "code.expiry", CodeReferenceEnded},

	{"F07 last byte of the report data", func(_ *testing.T, f *fixture) { f.report.ReportData[63] ^= 1 }, "channel.bound", attest.CodeNotBound},
	{"F07 first byte of the report data", func(_ *testing.T, f *fixture) { f.report.ReportData[0] ^= 1 }, "channel.bound", attest.CodeNotBound},
	{"F07 second half of the report data", func(_ *testing.T, f *fixture) { clear(f.report.ReportData[32:]) }, "channel.bound", attest.CodeNotBound},
	{"no statement", func(_ *testing.T, f *fixture) { f.in.Statement = attest.Statement{} }, "channel.bound", attest.CodeMalformed},
	{"not compared with the connection", func(_ *testing.T, f *fixture) { f.in.Channel = nil }, "channel.tls_exporter", CodeNotChecked},
	{"one comparison left out", func(_ *testing.T, f *fixture) { f.in.Channel = f.in.Channel[1:] }, "channel.purpose", CodeNotChecked},
	{"one comparison skipped", func(_ *testing.T, f *fixture) { f.in.Channel[4].Status = attest.Skip }, "channel.tls_exporter", CodeNotChecked},
	{"F06 another connection", func(_ *testing.T, f *fixture) {
		f.expected.Exporter[0] ^= 1
		f.in.Channel = f.in.Statement.Compare(f.expected)
	}, "channel.tls_exporter", attest.CodeChannelMismatch},

	{"no policy", func(_ *testing.T, f *fixture) { f.in.Policy = nil }, "policy.document", attest.CodeMalformed},
	{"policy that cannot be read", func(t *testing.T, f *fixture) { f.setPolicy(t, "name: demo\nunknown: 1\n") }, "policy.document", attest.CodeMalformed},
	{"one byte of the policy", func(_ *testing.T, f *fixture) { f.in.Policy = []byte(testPolicy + "#") }, "policy.statement", attest.CodePolicyMismatch},
	{"S24 launched with another policy", func(_ *testing.T, f *fixture) { f.report.HostData[31] ^= 1 }, "policy.launch", CodeLaunchPolicy},
	{"S24 launched with no policy", func(_ *testing.T, f *fixture) { f.report.HostData = [32]byte{} }, "policy.launch", CodeLaunchPolicy},
	{"F15 policy of another box", func(t *testing.T, f *fixture) { f.setPolicy(t, testPolicy+"# other\n") }, "policy.digest", attest.CodePolicyMismatch},
	{"anyone may call", func(t *testing.T, f *fixture) {
		f.setPolicy(t, testPolicy+"")
		f.setPolicy(t, strings.Replace(testPolicy, "callers:", "callers:\n  - {anyone: true, may: [query]}", 1))
	}, "policy.callers", CodeRequirement},
	{"another model", func(t *testing.T, f *fixture) { f.setPolicy(t, strings.Replace(testPolicy, "sha256:1", "sha256:0", 1)) }, "policy.models", CodeRequirement},
	{"a model without a digest", func(t *testing.T, f *fixture) {
		f.setPolicy(t, strings.Replace(testPolicy, "models:", "models:\n  - {name: other, builtin: tumour}", 1))
	}, "policy.models", CodeRequirement},
	{"an app where an image is required", func(t *testing.T, f *fixture) {
		f.setPolicy(t, "name: demo\napp: {command: [/bin/app], listen: \"127.0.0.1:8000\"}\n")
	}, "policy.images", CodeRequirement},
	{"larger requests", func(t *testing.T, f *fixture) { f.setPolicy(t, strings.Replace(testPolicy, "1MiB", "2MiB", 1)) }, "policy.request", CodeRequirement},
	{"more at once", func(t *testing.T, f *fixture) {
		f.setPolicy(t, strings.Replace(testPolicy, "concurrent: 16", "concurrent: 17", 1))
	}, "policy.concurrent", CodeRequirement},
}

func TestRefusals(t *testing.T) {
	trust := parseTest(t, strictTrust)
	for _, tc := range refusals {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t)
			tc.change(t, f)
			f.sync()
			r := trust.Appraise(f.in, f.at)
			if r.Trusted() || r.Verdict() != Refused {
				t.Fatalf("verdict %s", r.Verdict())
			}
			if c := checkNamed(r, tc.check); c.Status != attest.Fail || c.Code != tc.code {
				t.Errorf("check %s is %s, want FAIL %s; failed: %v", tc.check, c, tc.code, failed(r))
			}
			var failure *attest.Failure
			if err := r.Err(); !errors.As(err, &failure) || len(failure.Failed()) == 0 {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Claims whose general part and details disagree are refused, whichever is
// right: two readers could act on different ones.
func TestRefusesClaimsThatDisagree(t *testing.T) {
	trust := parseTest(t, strictTrust)
	for name, change := range map[string]func(*attest.Claims){
		"report data":   func(c *attest.Claims) { c.ReportData[40] ^= 1 },
		"measurement":   func(c *attest.Claims) { c.Measurement = make([]byte, 48) },
		"short":         func(c *attest.Claims) { c.Measurement = c.Measurement[:32] },
		"launch digest": func(c *attest.Claims) { c.LaunchDigest = nil },
	} {
		f := newFixture(t)
		f.sync()
		f.claims.Measurement = append([]byte(nil), f.claims.Measurement...)
		change(f.claims)
		if r := trust.Appraise(f.in, f.at); r.Trusted() || checkNamed(r, "hardware.evidence").Code != snp.CodeInconsistent {
			t.Errorf("%s: %s %v", name, r.Verdict(), failed(r))
		}
	}
}

func TestReportsAllFailures(t *testing.T) {
	f := newFixture(t)
	f.report.Policy |= 1 << 19
	f.report.VMPL = 2
	f.report.Measurement[0] ^= 1
	f.report.HostData[0] ^= 1
	f.sync()
	f.expected.Nonce[0] ^= 1
	f.in.Channel = f.in.Statement.Compare(f.expected)
	r := parseTest(t, strictTrust).Appraise(f.in, f.at)
	want := []attest.Code{CodeDebug, CodeVMPL, CodeMeasurement, attest.CodeNonceMismatch, CodeLaunchPolicy}
	if got := r.Codes(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("codes %v, want %v", got, want)
	}
}

func TestZeroResultIsRefused(t *testing.T) {
	var r Result
	var failure *attest.Failure
	if r.Trusted() || r.Verdict() != Refused || !errors.As(r.Err(), &failure) {
		t.Errorf("verdict %s, error %v", r.Verdict(), r.Err())
	}
	for _, l := range r.Lines() {
		if l.Status != attest.Fail {
			t.Errorf("line %s", l)
		}
	}
}

// TestResultIsNotDecoded reads a result back, into one that is trusted too.
func TestResultIsNotDecoded(t *testing.T) {
	text, err := json.Marshal(Result{verdict: Trusted})
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range []string{string(text), "{}", `{"verdict":"refused"}`} {
		r := Result{verdict: Trusted}
		if err := json.Unmarshal([]byte(doc), &r); err == nil || r.Trusted() {
			t.Errorf("%s: %s, %v", doc, r.Verdict(), err)
		}
	}
}

func TestZeroTrustAcceptsNothing(t *testing.T) {
	f := newFixture(t)
	f.sync()
	if r := new(Trust).Appraise(f.in, f.at); r.Verdict() != Refused {
		t.Errorf("verdict %s", r.Verdict())
	}
	if r := defaults().Appraise(f.in, f.at); checkNamed(r, "code.measurement").Status != attest.Fail {
		t.Errorf("no reference values: %v", r.Checks())
	}
}

// A requirement on a policy that cannot be read is not met, and one on a policy
// that is not there is only unknown if this is a file.
func TestRequirementsWithoutPolicy(t *testing.T) {
	trust := parseTest(t, strictTrust)
	for _, tc := range []struct {
		offline bool
		policy  string
		want    attest.Status
	}{{false, "", attest.Fail}, {false, "name: 1\n", attest.Fail}, {true, "name: 1\n", attest.Fail}, {true, "", attest.Skip}} {
		f := newFixture(t)
		f.sync()
		f.in.Offline, f.in.Policy = tc.offline, []byte(tc.policy)
		r := trust.Appraise(f.in, f.at)
		if c := checkNamed(r, "policy.callers"); c.Status != tc.want {
			t.Errorf("offline %v, policy %q: %s, want %s", tc.offline, tc.policy, c, tc.want)
		}
	}
}

// A rule that nobody set refuses, whichever way the bit is.
func TestUnsetRuleRefuses(t *testing.T) {
	trust := parseTest(t, strictTrust)
	trust.hardware.platform.tio = ruleUnset
	for _, bit := range []snp.PlatformInfo{0, 1 << 7} {
		f := newFixture(t)
		f.report.PlatformInfo |= bit
		f.sync()
		r := trust.Appraise(f.in, f.at)
		if c := checkNamed(r, "hardware.platform_tio"); c.Status != attest.Fail {
			t.Errorf("%s", c)
		}
	}
}

const simTrust = `version: 1
accept:
  - name: demo v1
    sev-snp: {measurement: MEASUREMENT}
    policy: any
hardware: {chips: [CHIP], vmpl: any}
allow_simulated: true
simulated_root: sha256:3333333333333333333333333333333333333333333333333333333333333333
`

func TestSimulatedIsAcceptedOnlyInSoManyWords(t *testing.T) {
	f := newFixture(t)
	f.claims.Kind, f.claims.Simulated = attest.SimSNP, true
	f.sync()
	r := parseTest(t, simTrust).Appraise(f.in, f.at)
	if !r.Trusted() || !r.Simulated() {
		t.Fatalf("verdict %s, simulated %v: %v", r.Verdict(), r.Simulated(), failed(r))
	}
	if line := r.Lines()[0]; !strings.Contains(line.Text, "SIMULATED - proves nothing about hardware") {
		t.Errorf("hardware line does not shout: %s", line)
	}
	without := strings.Split(simTrust, "allow_simulated")[0]
	r = parseTest(t, without).Appraise(f.in, f.at)
	if r.Trusted() || !r.Simulated() || checkNamed(r, "hardware.genuine").Code != CodeSimulated {
		t.Errorf("verdict %s: %v", r.Verdict(), failed(r))
	}
	if line := r.Lines()[0]; !strings.Contains(line.Text, "SIMULATED") {
		t.Errorf("hardware line of a refusal does not shout: %s", line)
	}
}

// What the trust file leaves open is said in the Result.
func TestAnyShowsInResult(t *testing.T) {
	f := newFixture(t)
	f.sync()
	r := parseTest(t, strings.Replace(simTrust, "allow_simulated: true\nsimulated_root: sha256:"+strings.Repeat("3", 64), "", 1)).Appraise(f.in, f.at)
	if !r.Trusted() {
		t.Fatalf("refused: %v", failed(r))
	}
	for _, name := range []string{"policy.digest", "hardware.vmpl", "hardware.id_key", "policy.callers", "code.expiry", "hardware.firmware"} {
		if c := checkNamed(r, name); c.Status != attest.Skip || c.Code != CodeNotRequired {
			t.Errorf("%s: %s", name, c)
		}
	}
	if text := r.Lines()[3].Text; !strings.Contains(text, "any policy accepted") {
		t.Errorf("policy line: %s", text)
	}
}

func TestRevocationMayBeMissingIfSaid(t *testing.T) {
	f := newFixture(t)
	f.detail.ARKCRL, f.detail.ASKCRL = snp.Revocation{}, snp.Revocation{}
	f.sync()
	r := parseTest(t, strings.Replace(strictTrust, "revocation: require", "revocation: allow_missing", 1)).Appraise(f.in, f.at)
	if c := checkNamed(r, "hardware.revocation_ca"); !r.Trusted() || c.Status != attest.Skip || c.Code != attest.CodeNoCRL {
		t.Errorf("%s, verdict %s: %v", c, r.Verdict(), failed(r))
	}
	if text := r.Lines()[0].Text; !strings.Contains(text, "revocation NOT checked") {
		t.Errorf("hardware line: %s", text)
	}
}

func TestMaskedChipMayBeAcceptedIfSaid(t *testing.T) {
	f := newFixture(t)
	f.report.ChipID, f.detail.ChipIDMasked = [64]byte{}, true
	f.sync()
	r := parseTest(t, strings.Replace(strictTrust, "masked_chip: forbid", "masked_chip: allow", 1)).Appraise(f.in, f.at)
	if c := checkNamed(r, "hardware.chip_shown"); !r.Trusted() || c.Status != attest.Skip {
		t.Errorf("%s, verdict %s: %v", c, r.Verdict(), failed(r))
	}
}

func TestVLEK(t *testing.T) {
	trust := parseTest(t, `version: 1
accept:
  - {name: v, sev-snp: {measurement: MEASUREMENT}, policy: any}
hardware: {vmpl: 1, vlek: {csp: ["CN=cloud-1"]}}
`)
	for csp, want := range map[string]attest.Code{"CN=cloud-1": "", "CN=cloud-2": CodeCSP, "": CodeCSP} {
		f := newFixture(t)
		f.detail.Signer, f.report.SigningKey, f.detail.ChipID, f.detail.CSP = snp.SignerVLEK, snp.SignerVLEK, nil, csp
		f.report.ChipID, f.detail.ChipIDMasked = [64]byte{}, true
		f.sync()
		r := trust.Appraise(f.in, f.at)
		if r.Trusted() != (want == "") || checkNamed(r, "hardware.accepted_csp").Code != want {
			t.Errorf("%q: verdict %s, %v", csp, r.Verdict(), failed(r))
		}
	}
}

func TestMilanNeedsAListedChip(t *testing.T) {
	f := newFixture(t)
	f.detail.Product, f.report.Product = snp.Milan, snp.Milan
	level := snp.TCB{Bootloader: 4, SNP: 0x1d, Microcode: 0xde}
	f.report.CurrentTCB, f.report.ReportedTCB, f.report.CommittedTCB, f.report.LaunchTCB, f.detail.CertTCB = level, level, level, level, level
	f.report.Model = 1
	f.sync()
	doc := strings.Replace(strings.Split(simTrust, "allow_simulated")[0], "vmpl: any", "vmpl: any, products: [Milan]", 1)
	trust := parseTest(t, doc)
	if r := trust.Appraise(f.in, f.at); !r.Trusted() {
		t.Errorf("listed chip refused: %v", failed(r))
	}
	f.detail.ChipID[0] ^= 1
	if r := trust.Appraise(f.in, f.at); r.Trusted() || checkNamed(r, "hardware.accepted_chip").Code != CodeChip {
		t.Errorf("another chip: %v", failed(r))
	}
	// A Trust that did not come from a file and lists no chips.
	bare := *trust
	bare.hardware.chips = nil
	if r := bare.Appraise(f.in, f.at); r.Trusted() || checkNamed(r, "hardware.accepted_chip").Code != CodeChip {
		t.Errorf("no list: %v", failed(r))
	}
}

func TestVersion2OnlyIfListed(t *testing.T) {
	f := newFixture(t)
	f.report.Version, f.report.Product, f.report.Family, f.report.Model, f.report.Stepping = 2, 0, 0, 0, 0
	f.sync()
	doc := strings.Split(simTrust, "allow_simulated")[0]
	if r := parseTest(t, doc).Appraise(f.in, f.at); r.Trusted() {
		t.Error("version 2 accepted by default")
	}
	if r := parseTest(t, strings.Replace(doc, "vmpl: any", "vmpl: any, report_versions: [2]", 1)).Appraise(f.in, f.at); !r.Trusted() {
		t.Errorf("version 2 refused although listed: %v", failed(r))
	}
}

func TestOffline(t *testing.T) {
	trust := parseTest(t, strictTrust)
	t.Run("bundle", func(t *testing.T) {
		f := newFixture(t)
		f.sync()
		f.in.Offline, f.in.Channel = true, nil
		r := trust.Appraise(f.in, f.at)
		if r.Verdict() != Partial || r.Trusted() || !IsPartial(r.Err()) {
			t.Fatalf("verdict %s, error %v", r.Verdict(), r.Err())
		}
		for name, want := range map[string]attest.Status{
			"channel.bound": attest.Pass, "channel.time": attest.Pass, "channel.policy": attest.Pass,
			"channel.nonce": attest.Skip, "channel.tls_exporter": attest.Skip, "channel.tls_key": attest.Skip,
			"policy.launch": attest.Pass, "policy.statement": attest.Pass, "policy.digest": attest.Pass,
		} {
			if c := checkNamed(r, name); c.Status != want {
				t.Errorf("%s, want %s", c, want)
			}
		}
	})
	t.Run("bundle seen later", func(t *testing.T) {
		f := newFixture(t)
		f.sync()
		f.in.Offline, f.in.Channel = true, nil
		r := trust.Appraise(f.in, f.at.Add(time.Hour))
		if c := checkNamed(r, "channel.time"); r.Verdict() != Refused || c.Code != attest.CodeStaleEvidence {
			t.Errorf("verdict %s, %s", r.Verdict(), c)
		}
	})
	t.Run("bundle with another statement", func(t *testing.T) {
		f := newFixture(t)
		f.report.ReportData[9] ^= 1
		f.sync()
		f.in.Offline = true
		if r := trust.Appraise(f.in, f.at); r.Verdict() != Refused {
			t.Errorf("verdict %s", r.Verdict())
		}
	})
	t.Run("bundle with another policy", func(t *testing.T) {
		f := newFixture(t)
		f.sync()
		f.in.Offline, f.in.Channel, f.in.Policy = true, nil, []byte(testPolicy+"#")
		r := trust.Appraise(f.in, f.at)
		if c := checkNamed(r, "channel.policy"); r.Verdict() != Refused || c.Code != attest.CodePolicyMismatch {
			t.Errorf("verdict %s, %s", r.Verdict(), c)
		}
	})
	t.Run("raw report", func(t *testing.T) {
		f := newFixture(t)
		f.sync()
		f.in = Input{Claims: f.claims, Offline: true}
		r := trust.Appraise(f.in, f.at)
		if r.Verdict() != Partial {
			t.Fatalf("verdict %s: %v", r.Verdict(), failed(r))
		}
		for _, name := range []string{"channel.bound", "channel.nonce", "policy.document", "policy.statement", "policy.digest", "policy.callers"} {
			if c := checkNamed(r, name); c.Status != attest.Skip {
				t.Errorf("%s", c)
			}
		}
		// The trust file names the policy, and the hardware recorded which one
		// the box was launched with, so this can be compared without either.
		if c := checkNamed(r, "policy.launch"); c.Status != attest.Pass {
			t.Errorf("%s", c)
		}
	})
	t.Run("offline is never trusted", func(t *testing.T) {
		f := newFixture(t)
		f.sync()
		f.in.Offline = true // with comparisons that claim to be from a connection
		if r := trust.Appraise(f.in, f.at); r.Trusted() {
			t.Error("trusted")
		}
	})
}

// One Trust serves many goroutines (G34).
func TestConcurrentAppraisals(t *testing.T) {
	trust := parseTest(t, strictTrust)
	var wg sync.WaitGroup
	for i := range 100 {
		f := newFixture(t)
		if i%2 == 1 {
			f.report.Policy |= 1 << 19
		}
		f.sync()
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := trust.Appraise(f.in, f.at)
			if r.Trusted() != (i%2 == 0) {
				t.Errorf("input %d: %s", i, r.Verdict())
			}
			_, _ = r.MarshalJSON()
			_ = trust.Marshal()
		}()
	}
	wg.Wait()
}

func TestBuiltInFloors(t *testing.T) {
	for _, row := range Floors() {
		if got := builtInFloor(row.Product, row.Stepping); got != row.TCB {
			t.Errorf("%s stepping %d: %s, want %s", row.Product, row.Stepping, got, row.TCB)
		}
		if len(row.Sources) == 0 {
			t.Errorf("%s stepping %d has no source", row.Product, row.Stepping)
		}
		if strictest := builtInFloor(row.Product, 0); !strictest.AtLeast(row.TCB) {
			t.Errorf("%s: a stepping without a row gets %s, below %s", row.Product, strictest, row.TCB)
		}
	}
	if got := builtInFloor(0, 0); got.SNP != 0xff {
		t.Errorf("no product: %s", got)
	}
}

func BenchmarkAppraise(b *testing.B) {
	trust := parseTest(b, strictTrust)
	f := newFixture(b)
	f.sync()
	b.ReportAllocs()
	for b.Loop() {
		if r := trust.Appraise(f.in, f.at); !r.Trusted() {
			b.Fatal(r.Err())
		}
	}
}

// Without a floor in the trust file, a connection that would be trusted is at
// best partial for a time before the built-in floors hold: a clock that was set
// back must not open anything.
func TestNoFloorBeforeTheBuiltInOnes(t *testing.T) {
	f := newFixture(t)
	f.sync()
	f.detail.ARKCRL.ThisUpdate, f.detail.ASKCRL.ThisUpdate = floorsSince().Add(-time.Hour), floorsSince().Add(-time.Hour)
	withFloor := parseTest(t, strictTrust)
	without := parseTest(t, strings.Replace(strictTrust, "  tcb: {Genoa: {bootloader: 10, tee: 1, snp: 27, microcode: 86}}\n", "", 1))
	if r := without.Appraise(f.in, floorsSince()); !r.Trusted() {
		t.Fatalf("on the first day: verdict %s, failed %v", r.Verdict(), failed(r))
	}
	before := floorsSince().Add(-time.Second)
	if r := withFloor.Appraise(f.in, before); !r.Trusted() {
		t.Errorf("with a floor in the trust file: verdict %s, failed %v", r.Verdict(), failed(r))
	}
	r := without.Appraise(f.in, before)
	if r.Verdict() != Partial || r.Trusted() || r.Err() == nil {
		t.Fatalf("the second before: verdict %s, expected partial", r.Verdict())
	}
	if !strings.Contains(text(r), "NOT compared with a floor") {
		t.Errorf("the skipped comparison is not shown:\n%s", text(r))
	}
	for _, name := range []string{"current", "reported", "certified", "committed", "launch"} {
		if c := checkNamed(r, "hardware.tcb_"+name); c.Status != attest.Skip || c.Code != CodeNotChecked {
			t.Errorf("tcb_%s: %s", name, c)
		}
	}
}
