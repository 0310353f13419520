package appraise

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

var testTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const testPolicy = `name: demo
models:
  - {name: tumour, path: /models/tumour.onnx, sha256: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}
callers:
  - {name: clinic, api_key: "sha256:2222222222222222222222222222222222222222222222222222222222222222", may: [query]}
limits: {request: 1MiB, concurrent: 16}
logs: none
egress: none
`

// strictTrust asks for everything that can be asked for.
const strictTrust = `version: 1
accept:
  - name: old
    sev-snp: {measurement: MEASUREMENT}
    policy: sha256:9999999999999999999999999999999999999999999999999999999999999999
    expires: 2026-12-01
  - name: demo v1
    sev-snp: {measurement: MEASUREMENT}
    policy: sha256:POLICY
    expires: 2027-01-01
hardware:
  products: [Genoa]
  chips: [CHIP]
  tcb: {Genoa: {bootloader: 10, tee: 1, snp: 27, microcode: 86}}
  report_versions: [5]
  firmware: 1.55.49
  abi: 1.51
  vmpl: 1
  guest_svn: 7
  smt: forbid
  guest_policy: {single_socket: require, cxl: forbid, mem_aes_256_xts: require, rapl_disabled: require, ciphertext_hiding: require, page_swap_disabled: require}
  tsme: require
  ecc: require
  rapl_disabled: require
  ciphertext_hiding: require
  alias_check: require
  iommu_write_safe: require
  tio: forbid
  masked_chip: forbid
  id_key: [IDKEY]
  author_key: [AUTHORKEY]
  family_id: 01000000000000000000000000000000
  image_id: 02000000000000000000000000000000
  mitigations: {launch: [0, 1], current: [0, 1, 2]}
  revocation: require
  crl_max_age: 24h
require:
  callers: authenticated
  egress: none
  models: [sha256:1111111111111111111111111111111111111111111111111111111111111111]
  logs: [none, counters]
  images: [sha256:3333333333333333333333333333333333333333333333333333333333333333]
  operators: none
  isolation: [gvisor]
  request: 1MiB
  concurrent: 16
`

func fill[T [32]byte | [48]byte | [64]byte](b byte) T {
	var out T
	for i := range len(out) {
		out[i] = b
	}
	return out
}

func parseTest(t testing.TB, doc string) *Trust {
	t.Helper()
	policyDigest := sha256.Sum256([]byte(testPolicy))
	doc = strings.NewReplacer(
		"MEASUREMENT", strings.Repeat("aa", 48),
		"POLICY", fmt.Sprintf("%x", policyDigest),
		"CHIP", strings.Repeat("cc", 64),
		"IDKEY", strings.Repeat("dd", 48),
		"AUTHORKEY", strings.Repeat("ee", 48),
	).Replace(strings.ReplaceAll(doc, "AUTHORKEY", strings.Repeat("ee", 48)))
	trust, err := ParseTrust([]byte(doc))
	if err != nil {
		t.Fatalf("trust file: %v", err)
	}
	return trust
}

// fixture is an Input that the strict trust file accepts.
type fixture struct {
	in     Input
	at     time.Time
	claims *attest.Claims
	detail *snp.Claims
	report *snp.Report
	// expected is what the relying party knows about the connection.
	expected attest.Expected
}

// policyBits are the guest policy bits that strictTrust asks for: ABI 1.51,
// the reserved one, single socket, XTS, RAPL, hiding and page swap.
const policyBits = 1<<8 | 51 | 1<<17 | 1<<20 | 1<<22 | 1<<23 | 1<<24 | 1<<25

func newFixture(t testing.TB) *fixture {
	t.Helper()
	level := snp.TCB{Bootloader: 10, TEE: 1, SNP: 0x1b, Microcode: 0x56}
	f := &fixture{at: testTime, report: &snp.Report{
		Version: 5, GuestSVN: 7, Policy: policyBits, VMPL: 1, SigAlgo: 1, FamilyID: [16]byte{1}, ImageID: [16]byte{2},
		CurrentTCB: level, ReportedTCB: level, CommittedTCB: level, LaunchTCB: level,
		PlatformInfo: 0b0111_1110, AuthorKeyEn: true,
		Measurement: fill[[48]byte](0xaa), HostData: sha256.Sum256([]byte(testPolicy)),
		IDKeyDigest: fill[[48]byte](0xdd), AuthorKeyDigest: fill[[48]byte](0xee), ReportIDMA: fill[[32]byte](0xff),
		Family: 0x19, Model: 0x11, Stepping: 1, ChipID: fill[[64]byte](0xcc),
		CurrentVersion:   snp.FirmwareVersion{Major: 1, Minor: 55, Build: 49},
		CommittedVersion: snp.FirmwareVersion{Major: 1, Minor: 55, Build: 49},
		LaunchMitVector:  7, CurrentMitVector: 7, Product: snp.Genoa,
	}}
	chip := fill[[64]byte](0xcc)
	crl := snp.Revocation{Checked: true, ThisUpdate: testTime.Add(-3 * time.Hour), NextUpdate: testTime.AddDate(0, 1, 0)}
	f.detail = &snp.Claims{Product: snp.Genoa, Report: f.report, CertTCB: level, ChipID: chip[:], ARKCRL: crl, ASKCRL: crl}
	f.expected = attest.Expected{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: fill[[32]byte](1),
		SPKI: fill[[32]byte](2), AttestationKey: fill[[32]byte](3), Exporter: fill[[32]byte](4),
		Policy: sha256.Sum256([]byte(testPolicy)), At: testTime, Skew: time.Minute,
	}
	f.in.Statement = attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: f.expected.Nonce, SPKI: f.expected.SPKI,
		AttestationKey: f.expected.AttestationKey, Exporter: f.expected.Exporter, Policy: f.expected.Policy,
		NotBefore: testTime.Add(-time.Minute), NotAfter: testTime.Add(time.Minute),
	}
	f.in.Policy = []byte(testPolicy)
	f.claims = &attest.Claims{
		Kind: attest.SNP, Detail: f.detail,
		Endorsed: attest.Validity{NotBefore: testTime.AddDate(-1, 0, 0), NotAfter: testTime.AddDate(1, 0, 0)},
		Checks:   []attest.Check{{Name: "hardware.signature", Status: attest.Pass}},
	}
	f.in.Claims = f.claims
	f.in.Channel = f.in.Statement.Compare(f.expected)
	f.bind(t)
	return f
}

// bind has the hardware sign the statement.
func (f *fixture) bind(t testing.TB) {
	t.Helper()
	bound, err := f.in.Statement.Bind()
	if err != nil {
		t.Fatal(err)
	}
	f.report.ReportData = bound.Bytes()
}

// sync writes into the general claims what the report says.
func (f *fixture) sync() {
	f.claims.ReportData = f.report.ReportData
	f.claims.Measurement = f.report.Measurement[:]
	f.claims.LaunchDigest = f.report.HostData[:]
}

// setPolicy gives the box another policy, everywhere.
func (f *fixture) setPolicy(t testing.TB, document string) {
	t.Helper()
	f.in.Policy = []byte(document)
	digest := sha256.Sum256(f.in.Policy)
	f.report.HostData = digest
	f.in.Statement.Policy, f.expected.Policy = digest, digest
	f.in.Channel = f.in.Statement.Compare(f.expected)
	f.bind(t)
}

func failed(r Result) []attest.Check { return (&attest.Failure{Checks: r.Checks()}).Failed() }

func checkNamed(r Result, name string) attest.Check {
	for _, c := range r.Checks() {
		if c.Name == name {
			return c
		}
	}
	return attest.Check{}
}
