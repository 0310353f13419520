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
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits of what a stranger may send.
const (
	MaxEvidence     = 64 << 10  // bytes of one Evidence
	MaxEndorsements = 16        // items
	MaxEndorsement  = 64 << 10  // bytes of one item
	MaxPolicy       = 64 << 10  // bytes of a policy document
	MaxBundle       = 256 << 10 // bytes of an encoded Bundle
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
	// ReportData is the 64 bytes that the hardware signed for the box.
	ReportData [64]byte
	// Measurement identifies the code that was launched (SNP: 48 bytes).
	Measurement []byte
	// LaunchDigest is what was bound at launch next to the code
	// (SNP: HOST_DATA, 32 bytes); a box puts its policy's digest there.
	LaunchDigest []byte
	// Endorsed is the time span in which every certificate and CRL that was
	// used is valid.
	Endorsed Validity
	// Detail holds the claims that only this kind of hardware makes,
	// *snp.Claims for SNP and SimSNP.
	Detail any
	// Checks are those that were run to get here. None of them failed.
	Checks []Check
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
// could not be had, as opposed to having been refused.
var ErrUnavailable = errors.New("unavailable")
