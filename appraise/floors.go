package appraise

import (
	"time"

	"github.com/blindbox/blindbox/attest/snp"
)

// FloorsDate is the day on which the built-in table of TCB floors was last
// compared with AMD's security bulletins. A floor is only as good as its date:
// raise it in a trust file as soon as AMD publishes a fix.
const FloorsDate = "2026-11-22"

// floorsSince is the day from which the built-in table can be held against a
// machine: every bulletin that it quotes had been published. Evidence that is
// appraised for an earlier time is not measured by fixes that did not exist;
// without a floor in the trust file nothing is known about its firmware then,
// and the verdict is [Partial] at best.
func floorsSince() time.Time { return time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC) }

// Floor is one row of the built-in table.
type Floor struct {
	Product snp.Product
	// Stepping is the CPUID stepping the row is for. Microcode levels are
	// counted per stepping, so those of two steppings cannot be compared.
	Stepping uint8
	TCB      snp.TCB
	Sources  []string
}

// Floors returns the built-in table of TCB floors.
//
// The SNP and microcode levels are those that AMD's bulletins name as fixed.
// They were taken from public projects that quote the bulletins, not from the
// bulletins themselves, and agree where more than one quotes the same figure.
// No bulletin that we know of names levels for the boot loader, the TEE and the
// FMC that still stand (AMD-SB-3034 did and withdrew them on 2026-09-24). Those
// floors are the lowest levels that were seen together with a fixed SNP level,
// or that another public verifier requires.
func Floors() []Floor {
	return []Floor{
		{snp.Milan, 1, snp.TCB{Bootloader: 4, SNP: 0x1d, Microcode: 0xde}, []string{
			"SNP: AMD-SB-3030 (2026-05), CVE-2025-61971",
			"microcode: 0x0A0011DE, low byte, AMD-SB-3027, CVE-2025-29943",
			"boot loader: seen with SNP 0x1d",
		}},
		{snp.Milan, 2, snp.TCB{Bootloader: 4, SNP: 0x1d, Microcode: 0x47}, []string{
			"SNP: AMD-SB-3030 (2026-05), CVE-2025-61971",
			"microcode: 0x0A001247, low byte, AMD-SB-3027, CVE-2025-29943",
			"boot loader: as for stepping 1",
		}},
		{snp.Genoa, 1, snp.TCB{Bootloader: 10, SNP: 0x1b, Microcode: 0x56}, []string{
			"SNP: AMD-SB-3020, CVE-2025-0033, and AMD-SB-3016 (2026-04), CVE-2023-20585",
			"microcode: AMD-SB-3027, CVE-2025-29943",
			"boot loader: seen with SNP 0x17 and above",
		}},
		{snp.Genoa, 2, snp.TCB{Bootloader: 10, SNP: 0x1b, Microcode: 0x51}, []string{
			"SNP: AMD-SB-3020, CVE-2025-0033, and AMD-SB-3016 (2026-04), CVE-2023-20585",
			"microcode: AMD-SB-3027, CVE-2025-29943 (Genoa-X)",
			"boot loader: as for stepping 1",
		}},
		{snp.Turin, 1, snp.TCB{FMC: 1, Bootloader: 1, TEE: 1, SNP: 0x04, Microcode: 0x51}, []string{
			"SNP: AMD-SB-3020, CVE-2025-0033",
			"microcode: AMD-SB-3027, CVE-2025-29943",
			"FMC, boot loader, TEE: required by another public verifier",
		}},
	}
}

// builtInFloor returns the row for a chip. A stepping without a row gets the
// highest level of every component that any row of its product has, and a
// product without rows a floor that nothing reaches.
func builtInFloor(p snp.Product, stepping uint8) snp.TCB {
	var highest snp.TCB
	found := false
	for _, row := range Floors() {
		switch {
		case row.Product != p:
			continue
		case row.Stepping == stepping:
			return row.TCB
		}
		found = true
		highest = highestOf(highest, row.TCB)
	}
	if !found {
		return snp.TCB{FMC: 0xff, Bootloader: 0xff, TEE: 0xff, SNP: 0xff, Microcode: 0xff}
	}
	return highest
}

func highestOf(a, b snp.TCB) snp.TCB {
	return snp.TCB{
		FMC:        max(a.FMC, b.FMC),
		Bootloader: max(a.Bootloader, b.Bootloader),
		TEE:        max(a.TEE, b.TEE),
		SNP:        max(a.SNP, b.SNP),
		Microcode:  max(a.Microcode, b.Microcode),
	}
}
