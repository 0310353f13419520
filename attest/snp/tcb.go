package snp

import "strconv"

// TCB is the set of security patch levels of the firmware that a platform
// runs (AMD 56860, TCB_VERSION). Each component counts alone: a TCB is at least
// another only if no component is lower.
type TCB struct {
	FMC        uint8 `json:"fmc"`        // first mutable code; Turin only, otherwise 0
	Bootloader uint8 `json:"bootloader"` // ASP boot loader
	TEE        uint8 `json:"tee"`        // ASP operating system
	SNP        uint8 `json:"snp"`        // SEV-SNP firmware
	Microcode  uint8 `json:"microcode"`  // lowest microcode patch level of all cores
}

// String returns bootloader/tee/snp/microcode, "10/0/24/85", with the FMC level
// in front of it if there is one: "fmc 1 10/0/24/85".
func (t TCB) String() string {
	b := make([]byte, 0, 24)
	if t.FMC != 0 {
		b = append(strconv.AppendUint(append(b, "fmc "...), uint64(t.FMC), 10), ' ')
	}
	for i, level := range [4]uint8{t.Bootloader, t.TEE, t.SNP, t.Microcode} {
		if i > 0 {
			b = append(b, '/')
		}
		b = strconv.AppendUint(b, uint64(level), 10)
	}
	return string(b)
}

// AtLeast reports whether every component of t is at or above the floor's.
func (t TCB) AtLeast(floor TCB) bool {
	return t.FMC >= floor.FMC && t.Bootloader >= floor.Bootloader && t.TEE >= floor.TEE &&
		t.SNP >= floor.SNP && t.Microcode >= floor.Microcode
}

// decodeTCB reads the eight bytes of a TCB_VERSION and reports whether the
// reserved ones are zero. Turin moved the fields: its byte 0 is the FMC level
// and SNP follows the TEE level, where Milan and Genoa keep byte 0 for the boot
// loader and bytes 2 to 5 reserved (AMD 56860, TCB_VERSION).
func decodeTCB(b []byte, p Product) (tcb TCB, reservedZero bool) {
	if p == Turin {
		return TCB{FMC: b[0], Bootloader: b[1], TEE: b[2], SNP: b[3], Microcode: b[7]}, allZero(b[4:7])
	}
	return TCB{Bootloader: b[0], TEE: b[1], SNP: b[6], Microcode: b[7]}, allZero(b[2:6])
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
