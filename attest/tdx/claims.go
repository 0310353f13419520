package tdx

import (
	"bytes"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// What SGX and TDX have in common: the platform and what Intel says of it. The
// comments name the fields, which documentation does not show for aliases.
type (
	// Status is that of a TCB level, or of several that were converged. String
	// returns Intel's word for it.
	Status = dcap.Status
	// Level is one of Intel's TCB levels: Status, Date (tcbDate) and Advisories
	// ("INTEL-SA-00837").
	Level = dcap.Level
	// TCB is how a machine stands. Status is what its parts amount to together; the
	// parts are the Levels Platform, Hardware (the processor's components alone),
	// QE, and Module of the TDX module ModuleID (nil where Platform covers it).
	// Evaluation and QEEvaluation are Intel's tcbEvaluationDataNumber, Advisories
	// those of all the parts, sorted.
	TCB = dcap.TCB
	// PCK is what Intel certified about the processor package: PPID, PCEID, PCESVN,
	// CPUSVN with its 16 Components, FMSPC, SGXType (how memory is protected), and
	// of certificates by the Platform CA PlatformID and Configuration, else nil.
	PCK = dcap.PCK
	// Configuration is what the platform's owner may do to it: DynamicPlatform,
	// CachedKeys and SMTEnabled, each nil if the certificate does not say.
	Configuration = dcap.Configuration
	// Dates are Issued and NextUpdate of a document of Intel's.
	Dates = dcap.Dates
	// Revocation is what a CRL established: Checked, ThisUpdate, NextUpdate and
	// Number (RFC 5280, 5.2.3; nil if it has none). Zero: nothing.
	Revocation = pki.Revocation
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
func newClaims(f *dcap.Facts, log *EventLog) *attest.Claims {
	r := newReport(f.Quote)
	return &attest.Claims{
		ReportData:   r.ReportData,
		Measurement:  bytes.Clone(r.MRTD[:]),
		LaunchDigest: bytes.Clone(r.MRCONFIGID[:]),
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
