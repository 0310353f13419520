package sgx

import "github.com/blindbox/blindbox/attest/internal/dcap"

// Attributes are the flags in the first half of ATTRIBUTES (SDM volume 3D,
// "ATTRIBUTES Structure").
type Attributes uint64

// The named bits.
const (
	AttributeInit         Attributes = 1 << 0 // the enclave was initialised
	AttributeDebug        Attributes = 1 << 1 // its memory can be read and changed from outside
	AttributeMode64Bit    Attributes = 1 << 2
	AttributeProvisionKey Attributes = 1 << 4 // may ask for the provisioning key
	AttributeEINITToken   Attributes = 1 << 5 // may ask for the launch token key
	AttributeCET          Attributes = 1 << 6
	AttributeKSS          Attributes = 1 << 7 // key separation and sharing: CONFIGID, ISVEXTPRODID, ISVFAMILYID
	AttributeAEXNotify    Attributes = 1 << 10

	// AttributesNamed are all bits above.
	AttributesNamed = AttributeInit | AttributeDebug | AttributeMode64Bit | AttributeProvisionKey | AttributeEINITToken |
		AttributeCET | AttributeKSS | AttributeAEXNotify
)

// Has reports whether every bit of mask is set.
func (a Attributes) Has(mask Attributes) bool { return a&mask == mask }

// Reserved returns the bits that have no name here.
func (a Attributes) Reserved() Attributes { return a &^ AttributesNamed }

// String lists the names of the bits that are set.
func (a Attributes) String() string {
	return dcap.NameBits(a, []struct {
		Bit  Attributes
		Name string
	}{
		{AttributeInit, "init"}, {AttributeDebug, "debug"}, {AttributeMode64Bit, "mode64bit"},
		{AttributeProvisionKey, "provisionkey"}, {AttributeEINITToken, "einittoken_key"}, {AttributeCET, "cet"},
		{AttributeKSS, "kss"}, {AttributeAEXNotify, "aex_notify"},
	})
}

// XFRM is the mask of processor state that the enclave may use, in the layout
// of XCR0.
type XFRM uint64

// MiscSelect says which extra information is written when the enclave is
// interrupted (SDM volume 3D, "MISCSELECT").
type MiscSelect uint32
