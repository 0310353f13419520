package tdx

import (
	"bytes"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// What SGX and TDX have in common: the platform and what Intel says of it.
type (
	Status        = dcap.Status        // of a TCB level, or of several that were converged
	Level         = dcap.Level         // a status, since when, and which advisories it misses
	TCB           = dcap.TCB           // how a machine stands, in parts and together
	PCK           = dcap.PCK           // what Intel certified about the processor package
	Configuration = dcap.Configuration // what the platform's owner may do to it
	Dates         = dcap.Dates         // of a document of Intel's
	Revocation    = pki.Revocation     // what a CRL established; zero: nothing
)

// The statuses. The zero Status is none of them.
const (
	UpToDate                             = dcap.UpToDate
	SWHardeningNeeded                    = dcap.SWHardeningNeeded
	ConfigurationNeeded                  = dcap.ConfigurationNeeded
	ConfigurationAndSWHardeningNeeded    = dcap.ConfigurationAndSWHardeningNeeded
	OutOfDate                            = dcap.OutOfDate
	OutOfDateConfigurationNeeded         = dcap.OutOfDateConfigurationNeeded
	Revoked                              = dcap.Revoked
	TDRelaunchAdvised                    = dcap.TDRelaunchAdvised
	TDRelaunchAdvisedConfigurationNeeded = dcap.TDRelaunchAdvisedConfigurationNeeded
)

// Claims are the facts in attest.Claims.Detail for TDX.
type Claims struct {
	QuoteVersion uint16 // 4 or 5
	Report       *Report
	// TCB is Intel's statement about platform, TDX module and quoting enclave.
	// Any status is possible: whether it is good enough is for the appraisal.
	TCB TCB
	// PCK is the certificate of the key that vouched for the quoting enclave.
	PCK PCK
	// RootCRL covers the PCK's CA and the TCB signing key, PCKCRL the PCK.
	RootCRL, PCKCRL Revocation
	// TCBInfo and QEIdentity are the dates of Intel's two documents.
	TCBInfo, QEIdentity Dates
	// EventLog explains the registers RTMR0 to RTMR3; nil if there was none.
	EventLog *EventLog
}

// CryptographicIntegrity reports whether the platform detects changes to memory
// by cryptographic means ("Scalable with Integrity"), and not only by a bit that
// says to whom it belongs.
func (c *Claims) CryptographicIntegrity() bool { return c.PCK.SGXType == dcap.SGXScalableIntegrity }

// newClaims takes facts over: each verification makes its own.
func newClaims(f *dcap.Facts, log *EventLog, checks []attest.Check) *attest.Claims {
	r := newReport(f.Quote)
	return &attest.Claims{
		Kind:         attest.TDX,
		ReportData:   r.ReportData,
		Measurement:  bytes.Clone(r.MRTD[:]),
		LaunchDigest: bytes.Clone(r.MRCONFIGID[:]),
		Endorsed:     f.Endorsed,
		Checks:       checks,
		Detail: &Claims{
			QuoteVersion: f.Quote.Header.Version,
			Report:       r,
			TCB:          f.TCB,
			PCK:          f.PCK,
			RootCRL:      f.RootCRL,
			PCKCRL:       f.PCKCRL,
			TCBInfo:      f.TCBInfo,
			QEIdentity:   f.QEIdentity,
			EventLog:     log,
		},
	}
}

func newReport(q *dcap.Quote) *Report {
	b := q.TD
	return &Report{
		TEETCBSVN: b.TEETCBSVN, MRSEAM: b.MRSEAM, MRSIGNERSEAM: b.MRSIGNERSEAM, SEAMAttributes: b.SEAMAttributes,
		Attributes: Attributes(b.TDAttributes), XFAM: XFAM(b.XFAM),
		MRTD: b.MRTD, MRCONFIGID: b.MRCONFIGID, MROWNER: b.MROWNER, MROWNERCONFIG: b.MROWNERCONFIG,
		RTMR: b.RTMR, ReportData: b.ReportData,
		HasExtension: q.BodyType == dcap.BodyTDX15, TEETCBSVN2: b.TEETCBSVN2, MRSERVICETD: b.MRSERVICETD,
	}
}
