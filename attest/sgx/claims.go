package sgx

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
	// parts are the Levels Platform, Hardware (the same for SGX) and QE. Module is
	// nil. Evaluation and QEEvaluation are Intel's tcbEvaluationDataNumber,
	// Advisories those of all the parts, sorted.
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
	UpToDate                          = dcap.UpToDate
	SWHardeningNeeded                 = dcap.SWHardeningNeeded
	ConfigurationNeeded               = dcap.ConfigurationNeeded
	ConfigurationAndSWHardeningNeeded = dcap.ConfigurationAndSWHardeningNeeded
	OutOfDate                         = dcap.OutOfDate
	OutOfDateConfigurationNeeded      = dcap.OutOfDateConfigurationNeeded
	Revoked                           = dcap.Revoked
)

// Claims are the facts in attest.Claims.Detail for SGX.
type Claims struct {
	QuoteVersion uint16 // 3, 4 or 5
	Report       *Report
	// TCB is Intel's statement about platform and quoting enclave.
	// Any status is possible: whether it is good enough is for the appraisal.
	TCB TCB
	// PCK is the certificate of the key that vouched for the quoting enclave.
	PCK PCK
	// RootCRL covers the PCK's CA and the TCB signing key, PCKCRL the PCK.
	RootCRL, PCKCRL Revocation
	// TCBInfo and QEIdentity are the dates of Intel's two documents.
	TCBInfo, QEIdentity Dates
}

// CryptographicIntegrity reports whether the platform detects changes to memory
// by cryptographic means ("Scalable with Integrity"), and not only by a bit that
// says to whom it belongs.
func (c *Claims) CryptographicIntegrity() bool { return c.PCK.SGXType == dcap.SGXScalableIntegrity }

// newClaims takes facts over: each verification makes its own.
func newClaims(f *dcap.Facts) *attest.Claims {
	r := newReport(f.Quote)
	return &attest.Claims{
		ReportData:   r.ReportData,
		Measurement:  bytes.Clone(r.MRENCLAVE[:]),
		LaunchDigest: bytes.Clone(r.ConfigID[:]),
		Detail: &Claims{
			QuoteVersion: f.Quote.Header.Version,
			Report:       r,
			TCB:          f.TCB,
			PCK:          f.PCK,
			RootCRL:      f.RootCRL,
			PCKCRL:       f.PCKCRL,
			TCBInfo:      f.TCBInfo,
			QEIdentity:   f.QEIdentity,
		},
	}
}

func newReport(q *dcap.Quote) *Report {
	b := q.Enclave
	return &Report{
		CPUSVN: b.CPUSVN, MiscSelect: MiscSelect(b.MiscSelect), ISVExtProdID: b.ISVExtProdID,
		Attributes: Attributes(b.Attributes), XFRM: XFRM(b.XFRM), MRENCLAVE: b.MRENCLAVE, MRSIGNER: b.MRSIGNER,
		ConfigID: b.ConfigID, ISVProdID: b.ISVProdID, ISVSVN: b.ISVSVN, ConfigSVN: b.ConfigSVN,
		ISVFamilyID: b.ISVFamilyID, ReportData: b.ReportData,
	}
}
