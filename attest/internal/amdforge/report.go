package amdforge

import (
	"encoding/binary"
	"fmt"
)

// Sizes of AMD 56860, table "ATTESTATION_REPORT Structure".
const (
	ReportSize   = 0x4a0 // 1184 bytes
	SignedSize   = 0x2a0 // the signature is over everything before it
	SignatureAt  = SignedSize
	ReportDataAt = 0x50
)

// Values of SIGNING_KEY (bits 4:2 of the word at 0x48).
const (
	KeyVCEK uint8 = 0
	KeyVLEK uint8 = 1
	KeyNone uint8 = 7
)

// AlgoECDSAP384 is the only SIGNATURE_ALGO that is defined for reports.
const AlgoECDSAP384 uint32 = 1

// FirmwareVersion is a build, minor and major number, in that order in memory.
type FirmwareVersion struct{ Build, Minor, Major uint8 }

// Report holds every field of an attestation report. Line is no field: it says
// how the TCB versions are laid out. Reserved bytes are not fields either; to
// set them, change the encoded bytes before they are signed.
type Report struct {
	Line Line

	Version, GuestSVN uint32
	Policy            uint64
	FamilyID, ImageID [16]byte
	VMPL, SigAlgo     uint32
	CurrentTCB        TCB
	PlatformInfo      uint64
	// AuthorKeyEn, MaskChipKey and SigningKey share the word at 0x48.
	AuthorKeyEn, MaskChipKey     bool
	SigningKey                   uint8
	ReportData                   [64]byte
	Measurement                  [48]byte
	HostData                     [32]byte
	IDKeyDigest, AuthorKeyDigest [48]byte
	ReportID, ReportIDMA         [32]byte
	ReportedTCB                  TCB
	// Family, Model and Stepping are written from version 3 on.
	Family, Model, Stepping uint8
	ChipID                  [64]byte
	CommittedTCB            TCB
	Current, Committed      FirmwareVersion
	LaunchTCB               TCB
	// The mitigation vectors are written from version 5 on.
	LaunchMitVector, CurrentMitVector uint64
	// R and S are little-endian, as the firmware writes them.
	R, S [72]byte
}

// codec moves one field between a Report and its place in the bytes. The same
// table of fields runs in both directions, so that a wrong offset in it fails
// against a real report instead of being undone by its mirror image.
type codec struct {
	buf    []byte
	decode bool
	line   Line
}

func (c codec) bytes(at int, v []byte) {
	if c.decode {
		copy(v, c.buf[at:])
		return
	}
	copy(c.buf[at:], v)
}

func (c codec) u32(at int, v *uint32) {
	if c.decode {
		*v = binary.LittleEndian.Uint32(c.buf[at:])
		return
	}
	binary.LittleEndian.PutUint32(c.buf[at:], *v)
}

func (c codec) u64(at int, v *uint64) {
	if c.decode {
		*v = binary.LittleEndian.Uint64(c.buf[at:])
		return
	}
	binary.LittleEndian.PutUint64(c.buf[at:], *v)
}

func (c codec) u8(at int, v *uint8) {
	if c.decode {
		*v = c.buf[at]
		return
	}
	c.buf[at] = *v
}

func (c codec) tcb(at int, v *TCB) {
	if c.decode {
		*v = DecodeTCB(c.line, [8]byte(c.buf[at:]))
		return
	}
	b := v.Encode(c.line)
	copy(c.buf[at:], b[:])
}

func (c codec) firmware(at int, v *FirmwareVersion) {
	c.u8(at, &v.Build)
	c.u8(at+1, &v.Minor)
	c.u8(at+2, &v.Major)
}

// keyInfo is the word at 0x48: AUTHOR_KEY_EN bit 0, MASK_CHIP_KEY bit 1,
// SIGNING_KEY bits 4:2.
func (c codec) keyInfo(at int, r *Report) {
	if c.decode {
		w := binary.LittleEndian.Uint32(c.buf[at:])
		r.AuthorKeyEn, r.MaskChipKey, r.SigningKey = w&1 != 0, w&2 != 0, uint8(w>>2&7)
		return
	}
	w := uint32(r.SigningKey&7) << 2
	if r.AuthorKeyEn {
		w |= 1
	}
	if r.MaskChipKey {
		w |= 2
	}
	binary.LittleEndian.PutUint32(c.buf[at:], w)
}

// fields is AMD's table, one line for each field.
func (c codec) fields(r *Report) {
	c.u32(0x000, &r.Version)
	c.u32(0x004, &r.GuestSVN)
	c.u64(0x008, &r.Policy)
	c.bytes(0x010, r.FamilyID[:])
	c.bytes(0x020, r.ImageID[:])
	c.u32(0x030, &r.VMPL)
	c.u32(0x034, &r.SigAlgo)
	c.tcb(0x038, &r.CurrentTCB)
	c.u64(0x040, &r.PlatformInfo)
	c.keyInfo(0x048, r)
	c.bytes(ReportDataAt, r.ReportData[:])
	c.bytes(0x090, r.Measurement[:])
	c.bytes(0x0c0, r.HostData[:])
	c.bytes(0x0e0, r.IDKeyDigest[:])
	c.bytes(0x110, r.AuthorKeyDigest[:])
	c.bytes(0x140, r.ReportID[:])
	c.bytes(0x160, r.ReportIDMA[:])
	c.tcb(0x180, &r.ReportedTCB)
	if r.Version >= 3 {
		c.u8(0x188, &r.Family)
		c.u8(0x189, &r.Model)
		c.u8(0x18a, &r.Stepping)
	}
	c.bytes(0x1a0, r.ChipID[:])
	c.tcb(0x1e0, &r.CommittedTCB)
	c.firmware(0x1e8, &r.Current)
	c.firmware(0x1ec, &r.Committed)
	c.tcb(0x1f0, &r.LaunchTCB)
	if r.Version >= 5 {
		c.u64(0x1f8, &r.LaunchMitVector)
		c.u64(0x200, &r.CurrentMitVector)
	}
	c.bytes(SignatureAt, r.R[:])
	c.bytes(SignatureAt+72, r.S[:])
}

// Encode returns the report's 1184 bytes. They are signed only if R and S are.
func (r *Report) Encode() []byte {
	c := codec{buf: make([]byte, ReportSize), line: r.Line}
	c.fields(r)
	return c.buf
}

// DecodeReport reads the fields of a report whose product line is known. It
// checks nothing but the length and is meant for changing a report, not for
// judging one.
func DecodeReport(l Line, data []byte) (*Report, error) {
	if len(data) != ReportSize {
		return nil, fmt.Errorf("amdforge: report of %d bytes, expected %d", len(data), ReportSize)
	}
	r := &Report{Line: l}
	codec{buf: data, decode: true, line: l}.fields(r)
	return r, nil
}

// NewReport returns a report of the given version as a healthy machine of the
// line would make it: no debugging, no migration, VMPL 0, firmware 1.55, one
// TCB everywhere, memory alias check complete, signed by a VCEK. What a caller
// has to add is the guest: measurement, host data, report data, chip id.
func NewReport(l Line, version uint32) *Report {
	tcb := HealthyTCB(l)
	r := &Report{
		Line: l, Version: version,
		Policy:       1<<17 | 1<<16, // bit 17 is reserved and must be one; bit 16 allows SMT
		SigAlgo:      AlgoECDSAP384,
		PlatformInfo: 1 | 1<<2 | 1<<5, // SMT_EN, ECC_EN, ALIAS_CHECK_COMPLETE
		CurrentTCB:   tcb, ReportedTCB: tcb, CommittedTCB: tcb, LaunchTCB: tcb,
		Current: FirmwareVersion{0x28, 55, 1}, Committed: FirmwareVersion{0x28, 55, 1},
	}
	r.Family, r.Model, r.Stepping = l.CPUID()
	for i := range r.ReportIDMA {
		r.ReportIDMA[i] = 0xff // no migration agent
	}
	return r
}

// HealthyTCB returns a TCB version of the line, for stepping 1, above every level
// that a bulletin of AMD named as fixed until November 2026.
func HealthyTCB(l Line) TCB {
	switch l {
	case Milan:
		return TCB{Bootloader: 4, SNP: 30, Microcode: 224}
	case Turin:
		return TCB{FMC: 1, Bootloader: 1, TEE: 1, SNP: 4, Microcode: 82}
	default:
		return TCB{Bootloader: 11, SNP: 28, Microcode: 90}
	}
}
