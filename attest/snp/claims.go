package snp

// Signer is the kind of key that signed a report (AMD 56860, SIGNING_KEY).
type Signer uint8

const (
	SignerVCEK Signer = 0 // versioned chip endorsement key: one chip at one TCB
	SignerVLEK Signer = 1 // versioned loaded endorsement key: one cloud provider at one TCB, any chip
	SignerNone Signer = 7 // the report is not signed
)

// String returns VCEK, VLEK, none or reserved.
func (s Signer) String() string {
	switch s {
	case SignerVCEK:
		return "VCEK"
	case SignerVLEK:
		return "VLEK"
	case SignerNone:
		return "none"
	}
	return "reserved"
}

// MarshalText makes JSON say "VCEK" rather than 0.
func (s Signer) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Claims are the facts in attest.Claims.Detail for SNP and SimSNP.
type Claims struct {
	// Product is the same in the chain, the certificate and (from version 3
	// on) the report.
	Product Product
	Report  *Report
	Signer  Signer
	// CertTCB is the TCB that AMD certified the signing key for. It equals
	// Report.ReportedTCB.
	CertTCB TCB
	// ChipID is the hardware id in the VCEK certificate, 64 bytes, or 8 for
	// Turin. It is known even if the host masks it in the report. It is nil for
	// a VLEK, which is shared by all chips of a provider.
	ChipID []byte
	// ChipIDMasked says that CHIP_ID in the report is all zero.
	ChipIDMasked bool
	// CSP names the cloud provider in a VLEK certificate, for example
	// "CN=cc-us-east-2.amazonaws.com"; empty for a VCEK.
	CSP string
	// ARKCRL covers the ASK or ASVK, ASKCRL the VCEK or VLEK.
	ARKCRL Revocation
	ASKCRL Revocation
}
