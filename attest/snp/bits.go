package snp

import (
	"fmt"
	"strings"
)

// GuestPolicy is the policy that the guest was launched with, as its 64 raw
// bits (AMD 56860, GUEST_POLICY). It is not part of the measurement: a
// relying party has to look at each bit itself.
type GuestPolicy uint64

const (
	policyReservedOne  GuestPolicy = 1 << 17                    // must be 1
	policyReservedZero GuestPolicy = (1<<64 - 1) &^ (1<<26 - 1) // must be 0
)

// ABIMinor is the least firmware ABI minor version the guest accepts.
func (p GuestPolicy) ABIMinor() uint8 { return uint8(p) }

// ABIMajor is the least firmware ABI major version the guest accepts.
func (p GuestPolicy) ABIMajor() uint8 { return uint8(p >> 8) }

// SMT says that the guest may run while hyperthreading is on.
func (p GuestPolicy) SMT() bool { return p&(1<<16) != 0 }

// MigrateMA says that a migration agent may be attached and export the guest.
func (p GuestPolicy) MigrateMA() bool { return p&(1<<18) != 0 }

// Debug says that the host may read and write the guest's memory.
func (p GuestPolicy) Debug() bool { return p&(1<<19) != 0 }

// SingleSocket says that the guest may run on one socket only.
func (p GuestPolicy) SingleSocket() bool { return p&(1<<20) != 0 }

// CXLAllowed says that CXL may be populated with devices or memory.
func (p GuestPolicy) CXLAllowed() bool { return p&(1<<21) != 0 }

// MemAES256XTS says that memory must be encrypted with AES-256-XTS.
func (p GuestPolicy) MemAES256XTS() bool { return p&(1<<22) != 0 }

// RAPLDisabled says that power measurement (RAPL) must be off.
func (p GuestPolicy) RAPLDisabled() bool { return p&(1<<23) != 0 }

// CiphertextHidingDRAM says that ciphertext in memory must be hidden from the
// host.
func (p GuestPolicy) CiphertextHidingDRAM() bool { return p&(1<<24) != 0 }

// PageSwapDisabled says that the host may not move or swap the guest's pages.
func (p GuestPolicy) PageSwapDisabled() bool { return p&(1<<25) != 0 }

// String returns the raw value and the names of the bits that are set.
func (p GuestPolicy) String() string {
	names := []string{fmt.Sprintf("abi>=%d.%d", p.ABIMajor(), p.ABIMinor())}
	names = append(names, setBits(uint64(p), []bitName{
		{16, "smt"}, {18, "migrate_ma"}, {19, "debug"}, {20, "single_socket"}, {21, "cxl_allowed"},
		{22, "mem_aes_256_xts"}, {23, "rapl_dis"}, {24, "ciphertext_hiding_dram"}, {25, "page_swap_disable"},
	})...)
	return fmt.Sprintf("%#x (%s)", uint64(p), strings.Join(names, " "))
}

// PlatformInfo says how the platform is configured, as its 64 raw bits
// (AMD 56860, PLATFORM_INFO).
type PlatformInfo uint64

// platformInfoKnown returns the bits that have a meaning. Bit 6 has one on Turin
// only, where firmware sets it.
func platformInfoKnown(p Product) PlatformInfo {
	if p == Turin {
		return 0xff
	}
	return 0xbf
}

// SMT says that hyperthreading is on.
func (p PlatformInfo) SMT() bool { return p&(1<<0) != 0 }

// TSME says that all memory is encrypted, not only the guests'.
func (p PlatformInfo) TSME() bool { return p&(1<<1) != 0 }

// ECC says that memory has error correcting codes.
func (p PlatformInfo) ECC() bool { return p&(1<<2) != 0 }

// RAPLDisabled says that power measurement (RAPL) is off.
func (p PlatformInfo) RAPLDisabled() bool { return p&(1<<3) != 0 }

// CiphertextHidingDRAM says that ciphertext in memory is hidden from the host.
func (p PlatformInfo) CiphertextHidingDRAM() bool { return p&(1<<4) != 0 }

// AliasCheckComplete says that the firmware looked for aliased memory since the
// last reset and found none (AMD-SB-3015, "BadRAM").
func (p PlatformInfo) AliasCheckComplete() bool { return p&(1<<5) != 0 }

// IOMMUWriteSafe is set by Turin's firmware (IOMMU_WRITE_SAFE). AMD 56860
// revision 1.58 still reserves the bit, so what exactly it promises is not public.
func (p PlatformInfo) IOMMUWriteSafe() bool { return p&(1<<6) != 0 }

// TIO says that SEV-TIO (trusted devices) is enabled.
func (p PlatformInfo) TIO() bool { return p&(1<<7) != 0 }

// String returns the raw value and the names of the bits that are set.
func (p PlatformInfo) String() string {
	names := setBits(uint64(p), []bitName{
		{0, "smt"}, {1, "tsme"}, {2, "ecc"}, {3, "rapl_dis"}, {4, "ciphertext_hiding_dram"},
		{5, "alias_check_complete"}, {6, "iommu_write_safe"}, {7, "tio"},
	})
	return fmt.Sprintf("%#x (%s)", uint64(p), strings.Join(names, " "))
}

type bitName struct {
	bit  uint
	name string
}

func setBits(v uint64, names []bitName) []string {
	var out []string
	for _, n := range names {
		if v&(1<<n.bit) != 0 {
			out = append(out, n.name)
		}
	}
	return out
}
