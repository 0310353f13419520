// Package attest is the vocabulary of attestation, and holds the only code
// that decides which bytes the hardware is asked to sign.
//
// It answers one question: what do the words mean that every other package
// uses? They are those of RFC 9334: an [Attester] produces [Evidence], someone
// provides [Endorsements] for it, a [Verifier] turns both into [Claims]. What is
// made of the Claims is the business of package appraise.
//
// The hardware signs 64 bytes of our choice. Those are always the hash of a
// [Statement], and a [Bound] can be made from nothing else, so no other code
// in the box can get a report over bytes of its own (an "evidence factory").
//
// The package stands on both sides of the trust boundary: the box writes with
// it, the relying party reads with it, and what is read comes from a stranger.
// Every length is checked before anything is allocated, and every zero value
// denies.
package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits of what a stranger may send. A machine with eight GPUs and four
// switches fills about a third of the first.
const (
	MaxEvidence     = 256 << 10 // bytes of one Evidence
	MaxEndorsements = 64        // items
	MaxEndorsement  = 128 << 10 // bytes of one item
	MaxPolicy       = 64 << 10  // bytes of a policy document
	MaxBundle       = 1 << 20   // bytes of an encoded Bundle
)

// Evidence is what the hardware said: a signed report in the vendor's own
// format, with the kind that says whose.
type Evidence struct {
	Kind Kind
	Data []byte
}

// An Attester asks the machine it runs on for Evidence over 64 bytes. The
// Endorsements are what the machine could provide with it and may be empty.
// Implementations must refuse the zero Bound.
type Attester interface {
	Kind() Kind
	Attest(ctx context.Context, b Bound) (Evidence, Endorsements, error)
}

// A Verifier establishes that Evidence was signed by genuine hardware of its
// Kind at the time given. It uses no network and no clock and is safe for
// concurrent use. It returns Claims or an error, never both; where the bytes
// could be read at all the error is a [*Failure] that holds every check that
// ran.
type Verifier interface {
	Kind() Kind
	Verify(ev Evidence, end Endorsements, at time.Time) (*Claims, error)
}

// Endorsement labels. A Verifier ignores labels that are not its own.
const (
	LabelSNPVEK       = "snp/vek"        // VCEK or VLEK certificate, DER
	LabelSNPCertTable = "snp/cert-table" // the GUID table the hypervisor supplied with the report (GHCB 2.0, 4.1.8.1)
	LabelSNPARKCRL    = "snp/ark-crl"    // CRL signed by the ARK, DER
	LabelSNPASKCRL    = "snp/ask-crl"    // CRL signed by the ASK or ASVK, DER
	LabelSimRoot      = "sim/root"       // the simulated ARK, DER; trusted only if its SHA-256 was pinned by the relying party
	LabelSimASK       = "sim/ask"        // the simulated ASK, DER

	// Intel, as the Provisioning Certification Service (PCS API v4) gives them out.
	LabelIntelPCKChain   = "intel/pck-chain"   // PCK certificate and its issuers, PEM; a quote holds its own
	LabelIntelTCBInfo    = "intel/tcb-info"    // the answer's body, {"tcbInfo":...,"signature":"..."}
	LabelIntelQEIdentity = "intel/qe-identity" // of the QE or TD-QE, {"enclaveIdentity":...,"signature":"..."}
	LabelIntelTCBChain   = "intel/tcb-chain"   // TCB signing certificate and its issuer, PEM
	LabelIntelRootCRL    = "intel/root-crl"    // CRL of the SGX Root CA, DER
	LabelIntelPCKCRL     = "intel/pck-crl"     // CRL of the PCK's issuer (Platform or Processor CA), DER

	LabelTPMAKChain = "tpm/ak-chain" // certificate of the attestation key and its issuers, PEM
	LabelEventLog   = "event-log"    // TCG PC Client log, crypto agile (TCG PFP 10); nobody signed it: its events count as far as they lead to measured registers
	LabelTPMAKCRL   = "tpm/ak-crl"   // CRL of the attestation key certificate's issuer, DER

	// NVIDIA. One machine needs several: the rest of the label says which.
	LabelNVIDIARIM  = "nvidia/rim/"  // + RIM id: a signed SWID tag, XML
	LabelNVIDIAOCSP = "nvidia/ocsp/" // + serial number of the certificate asked about, lower-case hex: OCSP response, DER
)

// Endorsement is one vendor-signed object that supports Evidence.
type Endorsement struct {
	Label string
	Data  []byte
}

// Endorsements travel beside the Evidence and prove nothing by themselves:
// each is signed by a vendor whose root the Verifier holds.
type Endorsements []Endorsement

// Get returns the item with that label. It returns an error if the label
// occurs twice, since two readers could then pick different ones.
func (e Endorsements) Get(label string) (data []byte, found bool, err error) {
	for _, item := range e {
		if item.Label != label {
			continue
		}
		if found {
			return nil, false, fmt.Errorf("attest: endorsement %q given twice", label)
		}
		data, found = item.Data, true
	}
	return data, found, nil
}

// Claims are what a Verifier established about a machine. They are facts, not
// a verdict: a debuggable guest has valid Claims that say so.
type Claims struct {
	Kind      Kind
	Simulated bool
	// ReportData is the 64 bytes that the hardware signed for the box; zero for
	// a kind that signs a nonce. Use [Claims.Proves] to compare.
	ReportData [64]byte
	// Nonce is what hardware signed that has no room for 64 bytes
	// ([Kind.SignsNonce]); nil for all other kinds.
	Nonce []byte
	// Measurement identifies the code that was launched (SNP: MEASUREMENT, 48
	// bytes; TDX: MRTD, 48; SGX: MRENCLAVE, 32; Nitro: PCR0, 48); nil where only
	// several registers together do (TPM).
	Measurement []byte
	// LaunchDigest is what was bound at launch next to the code, where a box puts
	// its policy's digest (SNP: HOST_DATA, 32 bytes; TDX: MRCONFIGID, 48; SGX:
	// CONFIGID, 64; Nitro: PCR16; TPM and Azure: PCR 15); nil if there is none.
	LaunchDigest []byte
	// Endorsed is the time span in which every certificate and CRL that was
	// used is valid.
	Endorsed Validity
	// Detail holds the claims that only this kind of hardware makes: *snp.Claims
	// for SNP and SimSNP, and so on for each package of a kind.
	Detail any
	// Parts are the claims of the devices beside the processor, from [Composite]
	// evidence, in its order.
	Parts []*Claims
	// Checks are those that were run to get here. None of them failed.
	Checks []Check
}

// Proves reports whether the hardware signed b. It compares everything that
// hardware of this kind can sign, and nothing proves the zero Bound.
func (c *Claims) Proves(b Bound) bool {
	switch {
	case c == nil || !c.Kind.Valid() || b.IsZero():
		return false
	case c.Kind.SignsNonce():
		want := b.Nonce(c.Kind)
		return c.ReportData == [64]byte{} && bytes.Equal(c.Nonce, want[:])
	default:
		return c.Nonce == nil && c.ReportData == b.Bytes()
	}
}

// Validity is a closed span of time.
type Validity struct {
	NotBefore, NotAfter time.Time
}

// Contains reports whether t lies in v. The zero Validity contains nothing.
func (v Validity) Contains(t time.Time) bool {
	return !v.NotBefore.IsZero() && !v.NotAfter.IsZero() && !t.Before(v.NotBefore) && !t.After(v.NotAfter)
}

// ErrUnavailable is wrapped by errors that say that Evidence or Endorsements
// could not be had, as opposed to having been refused. A [*Failure] of which
// nothing else can be said counts as one: see there.
var ErrUnavailable = errors.New("unavailable")
