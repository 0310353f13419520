package tpm

import (
	"bytes"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/attest/internal/tcg"
)

// What other kinds of evidence share. The comments name the fields, which
// documentation does not show for aliases.
type (
	// Algorithm is a hash algorithm's TPM_ALG_ID (TCG Algorithm Registry); String
	// returns "sha256".
	Algorithm = tcg.Algorithm
	// Revocation is what a CRL established: Checked, ThisUpdate, NextUpdate and
	// Number (RFC 5280, 5.2.3; nil if it has none). Zero: nothing.
	Revocation = pki.Revocation
	// SecureBoot is what a log says about UEFI Secure Boot: Enabled, the variables
	// PK, KEK, DB and DBX, the Authorities that let something start, and how many
	// of them are Unread.
	SecureBoot = tcg.SecureBoot
)

// Binding says why the attestation key is believed to be a TPM's.
type Binding uint8

const (
	Unbound    Binding = iota // nothing says so: anybody can make a key and sign a quote with it
	Certified                 // a certificate that leads to a trusted root
	Activated                 // its name is pinned, after a challenge that only the TPM could answer
	ByHardware                // a report that other hardware signed names the key
)

// String returns the word for people.
func (b Binding) String() string {
	switch b {
	case Unbound:
		return "unbound"
	case Certified:
		return "certified"
	case Activated:
		return "activated"
	case ByHardware:
		return "by hardware"
	}
	return fmt.Sprintf("invalid(%d)", uint8(b))
}

// Hierarchy says under which seed of the TPM the attestation key was made, as far
// as its qualified name tells: that of a primary key does (Part 1, 16).
type Hierarchy uint32

const (
	HierarchyUnknown     Hierarchy = 0          // not a primary key: its parents are not in the quote
	HierarchyOwner       Hierarchy = 0x40000001 // TPM_RH_OWNER
	HierarchyEndorsement Hierarchy = 0x4000000b // TPM_RH_ENDORSEMENT
	HierarchyPlatform    Hierarchy = 0x4000000c // TPM_RH_PLATFORM
)

// String returns the hierarchy's name.
func (h Hierarchy) String() string {
	switch h {
	case HierarchyOwner:
		return "owner"
	case HierarchyEndorsement:
		return "endorsement"
	case HierarchyPlatform:
		return "platform"
	}
	return "unknown"
}

// Claims are the facts in attest.Claims.Detail for kind TPM.
type Claims struct {
	Binding   Binding
	AKName    []byte // algorithm and hash over AK's public area
	Hierarchy Hierarchy
	Quote     *Quote
	Bank      Algorithm // of the registers
	// PCRs are the quoted registers, by index.
	PCRs map[uint8][]byte
	// AKCRL covers the attestation key's certificate.
	AKCRL Revocation
	// Boot is what the event log explains, nil if there was none.
	Boot *Boot
}

// Boot is read from an event log that leads to the quoted registers.
type Boot struct {
	// SecureBoot is nil if PCR 7 was not quoted or the log does not tell.
	SecureBoot *SecureBoot
	// ExitedBootServices says that the firmware handed over to an operating
	// system; only then are the firmware's registers final.
	ExitedBootServices bool
	Events             int
}

// PCR returns a register's value, nil if it was not quoted.
func (c *Claims) PCR(index uint8) []byte { return c.PCRs[index] }

// policyPCR is where a box extends its policy's digest.
const policyPCR = 15

// LaunchDigest returns the value of PCR 15, nil if it was not quoted.
func (c *Claims) LaunchDigest() []byte { return bytes.Clone(c.PCRs[policyPCR]) }

// Nonce returns the quote's extraData if it has the 32 bytes of a nonce of ours,
// nil otherwise: then the quote proves no statement.
func (c *Claims) Nonce() []byte {
	if len(c.Quote.ExtraData) != 32 {
		return nil
	}
	return bytes.Clone(c.Quote.ExtraData)
}

func pcrMap(list []form.PCR) map[uint8][]byte {
	out := make(map[uint8][]byte, len(list))
	size := 0
	for _, p := range list {
		size += len(p.Value)
	}
	room := make([]byte, 0, size) // one copy for all
	for _, p := range list {
		begin := len(room)
		room = append(room, p.Value...)
		out[p.Index] = room[begin:len(room):len(room)]
	}
	return out
}

var _ attest.Verifier = (*Verifier)(nil)
