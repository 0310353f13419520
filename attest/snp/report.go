package snp

import "fmt"

// ReportSize is the length of every attestation report in bytes.
const ReportSize = 1184

// signedSize is the length of the part that the signature covers.
const signedSize = 0x2a0

// hostVMPL is the VMPL of a report that the host asked for (AMD 56860, VMPL).
const hostVMPL = 0xffffffff

// Report is an attestation report (AMD 56860, ATTESTATION_REPORT), decoded.
// It is what the bytes say; only a [Verifier] can tell whether they are signed.
type Report struct {
	Version  uint32 // 2, 3 or 5
	GuestSVN uint32 // from the ID block
	Policy   GuestPolicy
	FamilyID [16]byte // from the ID block
	ImageID  [16]byte // from the ID block
	VMPL     uint32   // 0 to 3, or 0xffffffff: see FromHost
	SigAlgo  uint32   // 1: ECDSA P-384 with SHA-384

	CurrentTCB   TCB // of the firmware that runs now
	PlatformInfo PlatformInfo

	AuthorKeyEn bool // the ID key was itself signed, by the author key
	MaskChipKey bool // the host switched the VCEK off
	SigningKey  Signer

	ReportData      [64]byte // chosen by the guest
	Measurement     [48]byte // of what was launched
	HostData        [32]byte // chosen by the host at launch
	IDKeyDigest     [48]byte // SHA-384, zero without ID block
	AuthorKeyDigest [48]byte // SHA-384, zero without author key
	ReportID        [32]byte // of this guest
	ReportIDMA      [32]byte // of its migration agent; all 0xff if it has none

	ReportedTCB TCB // the signing key was derived for it

	// CPUID of the processor, combined values; zero before version 3.
	Family   uint8
	Model    uint8
	Stepping uint8

	ChipID           [64]byte // zero if the host masks it; Turin uses 8 bytes
	CommittedTCB     TCB      // the host cannot go back below it
	CurrentVersion   FirmwareVersion
	CommittedVersion FirmwareVersion
	LaunchTCB        TCB // current when the guest was launched or imported

	// Mitigations in force at launch and now, one bit each; version 5.
	LaunchMitVector  uint64
	CurrentMitVector uint64

	// Product follows from Family and Model. It is 0 in version 2, which does
	// not name the processor; see Claims.Product.
	Product Product
}

// FromHost reports whether the host asked for the report. Such a report says
// nothing about who holds the guest's keys.
func (r *Report) FromHost() bool { return r.VMPL == hostVMPL }

// HasMigrationAgent reports whether REPORT_ID_MA names a migration agent.
func (r *Report) HasMigrationAgent() bool {
	for _, b := range r.ReportIDMA {
		if b != 0xff {
			return true
		}
	}
	return false
}

// ChipIDMasked reports whether CHIP_ID is all zero.
func (r *Report) ChipIDMasked() bool { return allZero(r.ChipID[:]) }

// FirmwareVersion is the version of the SNP firmware, for example 1.55 build 43.
type FirmwareVersion struct {
	Major uint8
	Minor uint8
	Build uint8
}

// String returns "1.55.43".
func (v FirmwareVersion) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Build)
}

// Less reports whether v is older than w.
func (v FirmwareVersion) Less(w FirmwareVersion) bool { return v.number() < w.number() }

func (v FirmwareVersion) number() int {
	return int(v.Major)<<16 | int(v.Minor)<<8 | int(v.Build)
}
