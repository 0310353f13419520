package snp

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// ParseReport reads a report without trusting it. It accepts exactly
// [ReportSize] bytes of version 2, 3 or 5 from a processor it knows, with every
// reserved bit as AMD 56860 fixes it. The error is an [*attest.Failure] that
// names every rule the bytes break.
func ParseReport(data []byte) (*Report, error) {
	r, checks := readReport(data)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return r, nil
}

// readReport decodes a report and returns the checks of its form. The report is
// nil if its length or version leaves nothing to decode; otherwise it can be
// compared with other things even if a check failed, so that all failures are
// reported together.
func readReport(data []byte) (*Report, []attest.Check) {
	checks := make([]attest.Check, 0, maxReportChecks)
	checks = append(checks, checkSize(data))
	if len(data) != ReportSize {
		return nil, checks
	}
	version := binary.LittleEndian.Uint32(data)
	checks = append(checks, checkVersion(version))
	if !versionKnown(version) {
		return nil, checks
	}
	r := decodeReport(data)
	return r, append(checks, checkCPUID(r), checkReserved(data, r), checkAlgorithm(r))
}

// maxReportChecks is room for the checks of one report's form and content.
const maxReportChecks = 16

func checkSize(data []byte) attest.Check {
	c := attest.Check{Name: "hardware.report", Expected: "a report of 1184 bytes", Seen: strconv.Itoa(len(data)) + " bytes"}
	switch {
	case len(data) > attest.MaxEvidence:
		c.Code = attest.CodeTooLarge
	case len(data) != ReportSize:
		c.Code = attest.CodeMalformed
	default:
		c.Status = attest.Pass
	}
	return c
}

// versionKnown reports whether this package knows the layout of the version.
// AMD has published 2, 3 and 5 (56860 revision 1.58); the layout of 4 is not
// public, so nobody outside can say what its bytes mean.
func versionKnown(v uint32) bool { return v == 2 || v == 3 || v == 5 }

func checkVersion(v uint32) attest.Check {
	return judge("hardware.version", versionKnown(v), CodeUnsupported, strconv.FormatUint(uint64(v), 10), "2, 3 or 5")
}

// decodeReport reads the fields at their offsets in AMD 56860,
// ATTESTATION_REPORT. data has ReportSize bytes.
func decodeReport(data []byte) *Report {
	le := binary.LittleEndian
	r := &Report{
		Version:      le.Uint32(data[0x000:]),
		GuestSVN:     le.Uint32(data[0x004:]),
		Policy:       GuestPolicy(le.Uint64(data[0x008:])),
		FamilyID:     [16]byte(data[0x010:]),
		ImageID:      [16]byte(data[0x020:]),
		VMPL:         le.Uint32(data[0x030:]),
		SigAlgo:      le.Uint32(data[0x034:]),
		PlatformInfo: PlatformInfo(le.Uint64(data[0x040:])),

		AuthorKeyEn: data[0x048]&1 != 0,
		MaskChipKey: data[0x048]&2 != 0,
		SigningKey:  Signer(data[0x048] >> 2 & 7),

		ReportData:      [64]byte(data[0x050:]),
		Measurement:     [48]byte(data[0x090:]),
		HostData:        [32]byte(data[0x0c0:]),
		IDKeyDigest:     [48]byte(data[0x0e0:]),
		AuthorKeyDigest: [48]byte(data[0x110:]),
		ReportID:        [32]byte(data[0x140:]),
		ReportIDMA:      [32]byte(data[0x160:]),

		ChipID:           [64]byte(data[0x1a0:]),
		CurrentVersion:   FirmwareVersion{Build: data[0x1e8], Minor: data[0x1e9], Major: data[0x1ea]},
		CommittedVersion: FirmwareVersion{Build: data[0x1ec], Minor: data[0x1ed], Major: data[0x1ee]},
	}
	if r.Version >= 3 {
		r.Family, r.Model, r.Stepping = data[0x188], data[0x189], data[0x18a]
		r.Product = productOfCPUID(r.Family, r.Model, r.Stepping)
	}
	if r.Version >= 5 {
		r.LaunchMitVector = le.Uint64(data[0x1f8:])
		r.CurrentMitVector = le.Uint64(data[0x200:])
	}
	for _, f := range r.tcbFields() {
		*f.tcb, _ = decodeTCB(data[f.offset:], r.Product)
	}
	return r
}

type tcbField struct {
	name   string
	offset int
	tcb    *TCB
}

func (r *Report) tcbFields() [4]tcbField {
	return [4]tcbField{
		{"CURRENT_TCB", 0x038, &r.CurrentTCB},
		{"REPORTED_TCB", 0x180, &r.ReportedTCB},
		{"COMMITTED_TCB", 0x1e0, &r.CommittedTCB},
		{"LAUNCH_TCB", 0x1f0, &r.LaunchTCB},
	}
}

func checkCPUID(r *Report) attest.Check {
	const name, expected = "hardware.cpuid", "an EPYC processor with SEV-SNP: family 0x19 (Milan, Genoa) or 0x1a (Turin)"
	if r.Version < 3 {
		return attest.Check{Name: name, Status: attest.Skip, Code: CodeUnsupported, Seen: "a report of version 2 names no processor", Expected: expected}
	}
	seen := fmt.Sprintf("family %#x model %#x stepping %d (%s)", r.Family, r.Model, r.Stepping, r.Product)
	return judge(name, r.Product.Valid(), CodeUnknownProduct, seen, expected)
}

func checkAlgorithm(r *Report) attest.Check {
	return judge("hardware.algorithm", r.SigAlgo == 1, CodeUnsupportedAlg, strconv.FormatUint(uint64(r.SigAlgo), 10), "1 (ECDSA P-384 with SHA-384)")
}

// checkReserved refuses any bit that AMD has not given a meaning: a future
// meaning could weaken what the other fields say.
func checkReserved(data []byte, r *Report) attest.Check {
	const name = "hardware.reserved"
	var bad violations
	bad.flags(data, r)
	bad.zeros(data, r)
	if len(bad) > 0 {
		return judge(name, false, attest.CodeMalformed, strings.Join(bad, ", "), "reserved bits as AMD 56860 fixes them")
	}
	return judge(name, true, "", "as AMD 56860 fixes them", "")
}

// violations says what is wrong, place by place. Nothing is written down of what
// is right: that is every report.
type violations []string

func (v *violations) note(format string, args ...any) { *v = append(*v, fmt.Sprintf(format, args...)) }

func (v *violations) flags(data []byte, r *Report) {
	if r.Policy&policyReservedOne == 0 {
		v.note("POLICY bit 17 is 0")
	}
	if r.Policy&policyReservedZero != 0 {
		v.note("POLICY is %#x", uint64(r.Policy))
	}
	if r.PlatformInfo&^platformInfoKnown(r.Product) != 0 {
		v.note("PLATFORM_INFO is %#x", uint64(r.PlatformInfo))
	}
	if r.SigningKey > SignerVLEK && r.SigningKey != SignerNone {
		v.note("SIGNING_KEY is %d", r.SigningKey)
	}
	if data[0x048]&0xe0 != 0 {
		v.note("byte 0x48 is %#x", data[0x048])
	}
	if r.VMPL > 3 && !r.FromHost() {
		v.note("VMPL is %d", r.VMPL)
	}
}

func (v *violations) zeros(data []byte, r *Report) {
	for _, f := range r.tcbFields() {
		if _, zero := decodeTCB(data[f.offset:], r.Product); !zero {
			v.note("%s is %x", f.name, data[f.offset:f.offset+8])
		}
	}
	if r.Product == Turin && !allZero(r.ChipID[turinChipID:]) {
		v.note("CHIP_ID is longer than 8 bytes")
	}
	for _, s := range reservedSpans(r.Version) {
		if !allZero(data[s[0]:s[1]]) {
			v.note("bytes %#x to %#x are not zero", s[0], s[1])
		}
	}
}

// turinChipID is the length of Turin's hardware id; CHIP_ID is padded with
// zeros behind it.
const turinChipID = 8

// reservedSpans are the byte ranges that must be zero: [from, to). Version 3
// took three bytes for the CPUID, version 5 sixteen for the mitigation vectors.
// The signature field is 512 bytes, of which r and s take 144.
func reservedSpans(version uint32) [6][2]int {
	spans := [6][2]int{{0x049, 0x050}, {0x188, 0x1a0}, {0x1eb, 0x1ec}, {0x1ef, 0x1f0}, {0x1f8, signedSize}, {signedSize + 144, ReportSize}}
	if version >= 3 {
		spans[1][0] = 0x18b
	}
	if version >= 5 {
		spans[4][0] = 0x208
	}
	return spans
}

// judge makes a check from its outcome. The code is kept only if it failed; what
// was expected always, unlike by pki.Judge: Results show it.
func judge(name string, ok bool, code attest.Code, seen, expected string) attest.Check {
	if ok {
		return attest.Check{Name: name, Status: attest.Pass, Seen: seen, Expected: expected}
	}
	return attest.Check{Name: name, Status: attest.Fail, Code: code, Seen: seen, Expected: expected}
}
