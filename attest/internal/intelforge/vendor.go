package intelforge

import (
	"crypto/ecdsa"
	"time"
)

// Issuer is a certificate with its key.
type Issuer struct {
	Certificate Certificate
	DER         []byte
	Key         *ecdsa.PrivateKey
}

// Vendor is what Intel has: a root, below it the CAs of PCKs for single-socket
// and for registered machines, and the key that signs the service's documents.
type Vendor struct {
	Now                                   time.Time
	Root, Platform, Processor, TCBSigning *Issuer
}

// NewVendor returns the Vendor of that name, in force at the time given. Two
// names give two vendors that differ in nothing but their keys.
func NewVendor(name string, now time.Time) (*Vendor, error) {
	v := &Vendor{Now: now.UTC().Truncate(time.Second)}
	for _, c := range []struct {
		at      **Issuer
		cn      string
		usage   byte
		pathLen int
	}{
		{&v.Root, RootCN, UsageCertSign | UsageCRLSign, 1},
		{&v.Platform, PlatformCN, UsageCertSign | UsageCRLSign, 0},
		{&v.Processor, ProcessorCN, UsageCertSign | UsageCRLSign, 0},
		{&v.TCBSigning, TCBSigningCN, UsageDigitalSignature | UsageNonRepudiation, -1},
	} {
		cert, key, err := v.template(name, c.cn, c.usage, c.pathLen)
		if err != nil {
			return nil, err
		}
		if *c.at, err = v.Issue(cert, key, v.Root); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// template returns the form of one of the fixed certificates.
func (v *Vendor) template(name, cn string, usage byte, pathLen int) (Certificate, *ecdsa.PrivateKey, error) {
	key, err := NewKey(name + "/" + cn)
	if err != nil {
		return Certificate{}, nil, err
	}
	public, err := spki(key)
	if err != nil {
		return Certificate{}, nil, err
	}
	id, authority := keyID(public), keyID(public)
	if v.Root != nil {
		authority = keyID(v.Root.Certificate.PublicKey)
	}
	return Certificate{
		Serial: id, Issuer: IntelName(RootCN), Subject: IntelName(cn),
		NotBefore: v.Now.AddDate(-2, 0, 0), NotAfter: v.Now.AddDate(5, 0, 0), PublicKey: public,
		Extensions: []Extension{
			AuthorityKeyID(authority), CRLDistribution(rootCRLURL), SubjectKeyID(id), KeyUsage(usage), BasicConstraints(pathLen >= 0, pathLen),
		},
	}, key, nil
}

// Issue signs a certificate for key with by's key; nil for by means key itself.
func (v *Vendor) Issue(cert Certificate, key *ecdsa.PrivateKey, by *Issuer) (*Issuer, error) {
	signer := key
	if by != nil {
		signer = by.Key
	}
	der, err := cert.Sign(signer)
	if err != nil {
		return nil, err
	}
	return &Issuer{Certificate: cert, DER: der, Key: key}, nil
}

// Package is a processor package with its PCK certificate.
type Package struct {
	PCK    *Issuer
	CA     *Issuer
	Facts  PCKFacts
	Vendor *Vendor
}

// DefaultFacts are those of a Sapphire Rapids machine that is up to date under
// [Vendor.TDXInfo] and [Vendor.SGXInfo].
func DefaultFacts() PCKFacts {
	return PCKFacts{
		PPID:       []byte("forged PPID 0001"),
		Components: [16]byte{7, 7, 2, 2, 3, 1, 0, 3},
		PCESVN:     11,
		CPUSVN:     []byte{7, 7, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0},
		PCEID:      []byte{0, 0},
		FMSPC:      []byte{0xc0, 0x80, 0x6f, 0, 0, 0},
		SGXType:    1, PlatformID: []byte("forged platform1"), Configuration: []bool{true, true, true},
	}
}

// PCKCertificate returns the form of a PCK certificate and its key, to be issued
// by [Vendor.Issue] after any change.
func (v *Vendor) PCKCertificate(name string, facts PCKFacts, ca *Issuer) (Certificate, *ecdsa.PrivateKey, error) {
	key, err := NewKey("pck/" + name)
	if err != nil {
		return Certificate{}, nil, err
	}
	public, err := spki(key)
	if err != nil {
		return Certificate{}, nil, err
	}
	which := "platform"
	if ca == v.Processor {
		which = "processor"
	}
	id := keyID(public)
	return Certificate{
		Serial: id, Issuer: ca.Certificate.Subject, Subject: IntelName(PCKCN),
		NotBefore: v.Now.AddDate(-1, 0, 0), NotAfter: v.Now.AddDate(4, 0, 0), PublicKey: public,
		Extensions: []Extension{
			AuthorityKeyID(keyID(ca.Certificate.PublicKey)), CRLDistribution(pckCRLURLStem + which + "&encoding=der"), SubjectKeyID(id),
			KeyUsage(UsageDigitalSignature | UsageNonRepudiation), BasicConstraints(false, -1), SGXExtension(facts.Entries()),
		},
	}, key, nil
}

// NewPackage returns a machine whose PCK the given CA issued.
func (v *Vendor) NewPackage(name string, facts PCKFacts, ca *Issuer) (*Package, error) {
	cert, key, err := v.PCKCertificate(name, facts, ca)
	if err != nil {
		return nil, err
	}
	pck, err := v.Issue(cert, key, ca)
	if err != nil {
		return nil, err
	}
	return &Package{PCK: pck, CA: ca, Facts: facts, Vendor: v}, nil
}

// Chain returns the PCK certificate and its issuers as a quote holds them: PEM,
// ended by a zero byte.
func (p *Package) Chain() []byte {
	return append(PEM(p.PCK.DER, p.CA.DER, p.Vendor.Root.DER), 0)
}

// QE returns the report of the quoting enclave that the identities of v speak
// of: an enclave with the provisioning key.
func QE(tdx bool) Enclave {
	e := Enclave{
		CPUSVN: [16]byte{7, 7, 2, 2, 3, 1, 0, 3}, Attributes: 0x15, XFRM: 0xe7,
		MRENCLAVE: [32]byte{0xe9, 0xe0}, MRSIGNER: [32]byte{0x8c, 0x4f, 0x57}, ISVProdID: 1, ISVSVN: 8,
	}
	if tdx {
		e.MRSIGNER, e.ISVProdID, e.ISVSVN = [32]byte{0xdc, 0x9e, 0x2a}, 2, 4
	}
	return e
}

// NewQuote returns an unsigned quote of the package over a body. Sign it with
// [Package.Sign].
func (p *Package) NewQuote(version uint16, tee uint32, bodyType uint16, body []byte) *Quote {
	return &Quote{
		Header:   Header{Version: version, KeyType: 2, TEE: tee, VendorID: IntelQE(), UserData: [20]byte{0x46, 0x4f, 0x52, 0x47, 0x45}},
		BodyType: bodyType, Body: body, QEAuth: []byte("forged authentication data bytes"),
		CertType: CertPCKChain, CertData: p.Chain(), OuterType: CertQEReport,
	}
}

// Sign signs a quote as the package's quoting enclave would.
func (p *Package) Sign(q *Quote) error {
	key, err := NewKey("attestation")
	if err != nil {
		return err
	}
	return q.Sign(QE(q.Header.TEE == TEETDX), key, p.PCK.Key)
}

// RootCRL returns the form of the root's CRL.
func (v *Vendor) RootCRL(revoked ...[]byte) CRL { return v.crl(v.Root, revoked) }

// PCKCRL returns the form of a PCK CA's CRL.
func (v *Vendor) PCKCRL(ca *Issuer, revoked ...[]byte) CRL { return v.crl(ca, revoked) }

func (v *Vendor) crl(by *Issuer, revoked [][]byte) CRL {
	c := CRL{
		Issuer: by.Certificate.Subject, ThisUpdate: v.Now.AddDate(0, 0, -7), NextUpdate: v.Now.AddDate(0, 0, 23),
		Extensions: []Extension{CRLNumber(1), AuthorityKeyID(keyID(by.Certificate.PublicKey))},
	}
	for _, serial := range revoked {
		c.Entries = append(c.Entries, Revoked{serial, v.Now.AddDate(0, 0, -10), []Extension{KeyCompromise()}})
	}
	return c
}

// TCBChain returns the certificates of the documents' key, PEM.
func (v *Vendor) TCBChain() []byte { return PEM(v.TCBSigning.DER, v.Root.DER) }

func (v *Vendor) dates() (issued, next string) {
	const layout = "2006-01-02T15:04:05Z"
	return v.Now.AddDate(0, 0, -7).Format(layout), v.Now.AddDate(0, 0, 23).Format(layout)
}

const zeros48 = "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

// SGXInfo returns TCB info for SGX: three levels, of which [DefaultFacts] reach
// the first.
func (v *Vendor) SGXInfo() TCBInfo {
	issued, next := v.dates()
	return TCBInfo{
		ID: "SGX", Version: 3, IssueDate: issued, NextUpdate: next, FMSPC: "C0806F000000", PCEID: "0000", Evaluation: 17,
		Levels: []PlatformLevel{
			{TCB: PlatformTCB{SGX: Components(7, 7, 2, 2, 3, 1, 0, 3), PCESVN: 11}, Date: "2024-03-13T00:00:00Z", Status: "UpToDate"},
			{TCB: PlatformTCB{SGX: Components(6, 6, 2, 2, 3, 1, 0, 3), PCESVN: 11}, Date: "2023-08-09T00:00:00Z", Status: "OutOfDate",
				Advisories: []string{"INTEL-SA-00960", "INTEL-SA-00982"}},
			{TCB: PlatformTCB{SGX: Components(5, 5, 2, 2, 3, 1), PCESVN: 5}, Date: "2018-01-04T00:00:00Z", Status: "OutOfDate",
				Advisories: []string{"INTEL-SA-00106", "INTEL-SA-00960"}},
		},
	}
}

// TDXInfo returns TCB info for TDX. [DefaultFacts] and a TEE_TCB_SVN of
// [TCBSVN] reach the first level, module TDX_01 included.
func (v *Vendor) TDXInfo() TCBInfo {
	t := v.SGXInfo()
	t.ID = "TDX"
	t.TDXModule = &TDXModule{zeros48, "0000000000000000", "FFFFFFFFFFFFFFFF"}
	t.TDXModuleIdentities = []ModuleIdentity{
		{"TDX_03", zeros48, "0000000000000000", "FFFFFFFFFFFFFFFF", []SVNLevel{{SVN{2}, "2024-03-13T00:00:00Z", "UpToDate", nil}}},
		{"TDX_01", zeros48, "0000000000000000", "FFFFFFFFFFFFFFFF", []SVNLevel{
			{SVN{4}, "2024-03-13T00:00:00Z", "UpToDate", nil},
			{SVN{2}, "2023-08-09T00:00:00Z", "OutOfDate", []string{"INTEL-SA-01036"}},
		}},
	}
	t.Levels[0].TCB.TDX = Components(5, 0, 7)
	t.Levels[1].TCB.TDX = Components(3, 0, 6)
	t.Levels[2].TCB.TDX = Components(3, 0, 5)
	return t
}

// TCBSVN is the TEE_TCB_SVN of a machine that is up to date: module TDX_01 at
// SVN 5, microcode 7.
func TCBSVN() [16]byte { return [16]byte{5, 1, 7} }

// QEIdentity returns the identity of [QE].
func (v *Vendor) QEIdentity(tdx bool) Identity {
	issued, next := v.dates()
	i := Identity{
		ID: "QE", Version: 2, IssueDate: issued, NextUpdate: next, Evaluation: 17,
		MiscSelect: "00000000", MiscSelectMask: "FFFFFFFF",
		Attributes: "11000000000000000000000000000000", AttributesMask: "FBFFFFFFFFFFFFFF0000000000000000",
		MRSIGNER: "8C4F570000000000000000000000000000000000000000000000000000000000", ISVProdID: 1,
		Levels: []SVNLevel{
			{SVN{8}, "2024-03-13T00:00:00Z", "UpToDate", nil},
			{SVN{6}, "2021-11-10T00:00:00Z", "OutOfDate", []string{"INTEL-SA-00615"}},
			{SVN{1}, "2018-08-15T00:00:00Z", "OutOfDate", []string{"INTEL-SA-00202"}},
		},
	}
	if tdx {
		i.ID, i.ISVProdID = "TD_QE", 2
		i.MRSIGNER = "DC9E2A0000000000000000000000000000000000000000000000000000000000"
		i.Levels = []SVNLevel{{SVN{4}, "2024-03-13T00:00:00Z", "UpToDate", nil}, {SVN{2}, "2022-01-01T00:00:00Z", "OutOfDate", nil}}
	}
	return i
}
