package tdx

import "github.com/blindbox/blindbox/attest/internal/dcap"

// Attributes is TD_ATTRIBUTES: what the host chose when it made the trust
// domain (TDX Module ABI 1.5, table "ATTRIBUTES"). It is signed with the quote
// and is no part of MRTD.
type Attributes uint64

// The named bits. Bits 0 to 7 (TUD) each make the trust domain debuggable or
// observable from outside; bits 8 to 31 (SEC) touch its security.
const (
	AttributeDebug         Attributes = 1 << 0
	AttributeICSSD         Attributes = 1 << 16 // ICSSD of the specification
	AttributeLASS          Attributes = 1 << 27 // linear address space separation
	AttributeSeptVEDisable Attributes = 1 << 28 // a page taken away stops the guest instead of raising #VE
	AttributeMigratable    Attributes = 1 << 29
	AttributePKS           Attributes = 1 << 30 // supervisor protection keys
	AttributeKL            Attributes = 1 << 31 // key locker
	AttributeTPA           Attributes = 1 << 62 // the trust domain is a TDX Connect provisioning agent
	AttributePerfmon       Attributes = 1 << 63 // the guest uses performance monitoring and perf metrics

	// AttributeTUD is the whole group "TD under debug".
	AttributeTUD Attributes = 0xff
	// AttributesNamed are all bits above.
	AttributesNamed = AttributeTUD | AttributeICSSD | AttributeLASS | AttributeSeptVEDisable | AttributeMigratable |
		AttributePKS | AttributeKL | AttributeTPA | AttributePerfmon
)

// Has reports whether every bit of mask is set.
func (a Attributes) Has(mask Attributes) bool { return a&mask == mask }

// Debug reports whether any bit of the group TUD is set.
func (a Attributes) Debug() bool { return a&AttributeTUD != 0 }

// SeptVEDisable reports whether the guest is safe from pages that are taken
// away and given back.
func (a Attributes) SeptVEDisable() bool { return a.Has(AttributeSeptVEDisable) }

// Migratable reports whether the trust domain may be moved to another machine.
func (a Attributes) Migratable() bool { return a.Has(AttributeMigratable) }

// Reserved returns the bits that have no name here.
func (a Attributes) Reserved() Attributes { return a &^ AttributesNamed }

// String lists the names of the bits that are set.
func (a Attributes) String() string {
	return dcap.NameBits(a, []struct {
		Bit  Attributes
		Name string
	}{
		{AttributeDebug, "debug"}, {AttributeICSSD, "icssd"}, {AttributeLASS, "lass"},
		{AttributeSeptVEDisable, "sept_ve_disable"}, {AttributeMigratable, "migratable"}, {AttributePKS, "pks"},
		{AttributeKL, "kl"}, {AttributeTPA, "tpa"}, {AttributePerfmon, "perfmon"},
	})
}

// XFAM is the mask of processor state that the trust domain may use, in the
// layout of XCR0 and IA32_XSS (TDX Module ABI 1.5, "XFAM"; SDM volume 1, 13).
type XFAM uint64
