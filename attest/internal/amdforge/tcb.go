package amdforge

import "fmt"

// Line is a product line. It decides the root, the shape of a TCB version and
// the length of the hardware id.
type Line uint8

// The lines that SEV-SNP exists on. Zero is none of them.
const (
	Milan Line = iota + 1
	Genoa
	Turin
)

// Lines returns every Line.
func Lines() []Line { return []Line{Milan, Genoa, Turin} }

// String returns the name as AMD's certificates write it.
func (l Line) String() string {
	switch l {
	case Milan:
		return "Milan"
	case Genoa:
		return "Genoa"
	case Turin:
		return "Turin"
	}
	return fmt.Sprintf("Line(%d)", uint8(l))
}

// CPUID returns family, model and stepping of one processor of the line as a
// report of version 3 or later gives them.
func (l Line) CPUID() (family, model, stepping uint8) {
	switch l {
	case Milan:
		return 0x19, 0x01, 0x01
	case Genoa:
		return 0x19, 0x11, 0x01
	case Turin:
		return 0x1a, 0x02, 0x01
	}
	return 0, 0, 0
}

// HWIDSize returns the bytes of hardware id in a VCEK of the line. Turin has 8;
// its CHIP_ID in the report is padded with zeros (AMD 57230, table 10).
func (l Line) HWIDSize() int {
	if l == Turin {
		return 8
	}
	return 64
}

// TCB is a TCB version, each component a security patch level. FMC exists on
// Turin only and is not encoded elsewhere.
type TCB struct {
	FMC, Bootloader, TEE, SNP, Microcode uint8
}

// Encode returns the eight bytes of TCB_VERSION (AMD 56860, section 2.2). On
// Milan and Genoa bytes 2 to 5 are reserved, on Turin 4 to 6.
func (t TCB) Encode(l Line) [8]byte {
	if l == Turin {
		return [8]byte{0: t.FMC, 1: t.Bootloader, 2: t.TEE, 3: t.SNP, 7: t.Microcode}
	}
	return [8]byte{0: t.Bootloader, 1: t.TEE, 6: t.SNP, 7: t.Microcode}
}

// DecodeTCB is the inverse of Encode. It ignores the reserved bytes.
func DecodeTCB(l Line, b [8]byte) TCB {
	if l == Turin {
		return TCB{FMC: b[0], Bootloader: b[1], TEE: b[2], SNP: b[3], Microcode: b[7]}
	}
	return TCB{Bootloader: b[0], TEE: b[1], SNP: b[6], Microcode: b[7]}
}
