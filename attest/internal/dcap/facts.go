package dcap

import (
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// TEE is the kind of a quote (quote header, TEE type).
type TEE uint32

// The kinds of quotes.
const (
	SGX TEE = 0x00
	TDX TEE = 0x81
)

// CA is which of Intel's two CAs issued a PCK certificate. Each has a CRL of its
// own.
type CA uint8

// The CAs. ProcessorCA is for single-socket machines, PlatformCA for those whose
// sockets were registered together.
const (
	UnknownCA CA = iota
	ProcessorCA
	PlatformCA
)

// PCK is what Intel certifies about a processor package (PCK Certificate and CRL
// Profile, 1.3.5; OID 1.2.840.113741.1.13.1).
type PCK struct {
	PPID       [16]byte // provisioning id of the package
	Components [16]uint8
	PCESVN     uint16
	CPUSVN     [16]byte
	PCEID      [2]byte
	FMSPC      [6]byte // family, model, stepping, platform type, custom SKU
	SGXType    SGXType
	// Only of the Platform CA:
	PlatformID    *[16]byte // platform instance id, the same for all packages of one machine
	Configuration *Configuration
}

// SGXType says how enclave memory is protected.
type SGXType uint8

// The types.
const (
	SGXStandard          SGXType = 0
	SGXScalable          SGXType = 1
	SGXScalableIntegrity SGXType = 2
)

// Configuration says what the platform's owner may do to it. Nil fields are not
// in the certificate.
type Configuration struct {
	DynamicPlatform, CachedKeys, SMTEnabled *bool
}

// Facts are what the verification of a quote established.
type Facts struct {
	Quote  *Quote
	PCK    PCK
	Issuer CA
	TCB    TCB
	// RootCRL covers the PCK CA and the TCB signing key, PCKCRL the PCK.
	RootCRL, PCKCRL pki.Revocation
	// Dates of TCB info and QE identity.
	TCBInfo, QEIdentity Dates
	// Endorsed is the time in which every certificate, CRL, TCB info and QE
	// identity used is valid.
	Endorsed attest.Validity
}

// Dates are those of a document of Intel's: it is in force from the first to the
// second.
type Dates struct {
	Issued, NextUpdate time.Time
}
