package attesttest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// Names for what the forge makes, so that tests outside of attest can say them.
type (
	IntelQuote    = intelforge.Quote
	IntelTD       = intelforge.TD
	IntelEnclave  = intelforge.Enclave
	IntelPCK      = intelforge.PCKFacts
	IntelCert     = intelforge.Certificate
	IntelCRL      = intelforge.CRL
	IntelTCBInfo  = intelforge.TCBInfo
	IntelIdentity = intelforge.Identity
	IntelLevel    = intelforge.PlatformLevel
)

// Intel is a vendor of SGX and TDX machines: a root, CAs, the TCB signing key,
// and the keys of any processor on demand. It is safe for concurrent use.
type Intel struct {
	vendor func() (*intelforge.Vendor, error)
}

var (
	newIntel         = sync.OnceValue(func() *Intel { return intelNamed("intel") })
	newIntelStranger = sync.OnceValue(func() *Intel { return intelNamed("stranger") })
)

// NewIntel returns the vendor. It is the same one throughout the process.
func NewIntel() *Intel { return newIntel() }

// IntelStranger returns somebody who has given his own keys the vendor's names.
func IntelStranger() *Intel { return newIntelStranger() }

func intelNamed(name string) *Intel {
	return &Intel{sync.OnceValues(func() (*intelforge.Vendor, error) { return intelforge.NewVendor(name, Epoch()) })}
}

// Root returns the certificate that a verifier would pin, DER.
func (i *Intel) Root(t testing.TB) []byte {
	t.Helper()
	v, err := i.vendor()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return v.Root.DER
}

// IntelMachine is everything that decides what an SGX or TDX machine sends.
// Options change it; the order of the fields is that in which they take effect.
type IntelMachine struct {
	Vendor  *intelforge.Vendor
	Kind    attest.Kind // the label on the evidence; the machine is one of tdx
	tdx     bool
	Version uint16 // of the quote
	Body    uint16 // body type; of version 4 it only says which TD report
	// PCK is what the processor's certificate says, CA who issued it.
	PCK       IntelPCK
	Processor bool // issued by the Processor CA
	Cert      []func(*intelforge.Vendor, *IntelCert)
	Issuer    *intelforge.Issuer // instead of the CA
	// Chain changes the certificates that the quote holds, leaf first.
	Chain []func(chain [][]byte) [][]byte

	TD      IntelTD
	Enclave IntelEnclave
	QE      IntelEnclave
	// Unsigned change the quote before it is signed, Signed after, Bytes when it
	// is encoded.
	Unsigned []func(*IntelQuote)
	Binding  func(q *IntelQuote, qe *IntelEnclave) // sets the QE's report data; nil: as it should be
	PCKKey   *ecdsa.PrivateKey                     // signs the QE report; nil: the PCK's
	Signed   []func(*IntelQuote)
	Bytes    []func([]byte) []byte

	Info     []func(*IntelTCBInfo)
	Identity []func(*IntelIdentity)
	// InfoText and IdentityText change a document's text before it is signed,
	// InfoAnswer and IdentityAnswer the answer with its signature.
	InfoText, IdentityText     []func([]byte) []byte
	InfoAnswer, IdentityAnswer []func([]byte) []byte
	// DocumentKey signs the documents; nil: the TCB signing key.
	DocumentKey *ecdsa.PrivateKey
	TCBChain    func(*intelforge.Vendor) []byte

	RootCRL, PCKCRL []func(*IntelCRL)
	RootCRLBy       *intelforge.Issuer
	PCKCRLBy        *intelforge.Issuer
	// Endorse change what is stapled.
	Endorse []func(attest.Endorsements) attest.Endorsements
}

// IntelOption changes an IntelMachine.
type IntelOption func(*IntelMachine)

// intelEvaluation is the TCB evaluation data number of all documents.
const intelEvaluation = 19

// machine returns a healthy machine, changed by the options in their order: TDX
// with quote version 4, SGX with version 3.
func (i *Intel) machine(kind attest.Kind, opts []IntelOption) (*IntelMachine, error) {
	v, err := i.vendor()
	if err != nil {
		return nil, err
	}
	m := &IntelMachine{
		Vendor: v, Kind: kind, tdx: kind == attest.TDX, Version: 3, Body: intelforge.BodySGX,
		PCK: intelforge.DefaultFacts(), TD: healthyTD(), Enclave: healthyEnclave(), QE: intelforge.QE(kind == attest.TDX),
		TCBChain: (*intelforge.Vendor).TCBChain,
	}
	if m.tdx {
		m.Version, m.Body = 4, intelforge.BodyTDX10
	}
	m.Info = append(m.Info, func(d *IntelTCBInfo) { d.Evaluation = intelEvaluation })
	m.Identity = append(m.Identity, func(d *IntelIdentity) { d.Evaluation = intelEvaluation })
	for _, o := range opts {
		o(m)
	}
	return m, nil
}

// TDRegister returns the value of a register of every trust domain unless an
// option says otherwise: "mrtd", "rtmr0" to "rtmr3".
func TDRegister(name string) [48]byte { return sha512.Sum384([]byte("attesttest td " + name)) }

// EnclaveMeasurement returns the MRENCLAVE, EnclaveSigner the MRSIGNER, of every
// enclave unless an option says otherwise.
func EnclaveMeasurement() [32]byte { return sha256.Sum256([]byte("attesttest enclave")) }

// EnclaveSigner: see [EnclaveMeasurement].
func EnclaveSigner() [32]byte { return sha256.Sum256([]byte("attesttest enclave signer")) }

// septVEDisable is the attribute that every healthy trust domain has.
const septVEDisable = 1 << 28

func healthyTD() IntelTD {
	return IntelTD{
		TCBSVN: intelforge.TCBSVN(), MRSEAM: TDRegister("mrseam"), Attributes: septVEDisable, XFAM: 0x602e7, MRTD: TDRegister("mrtd"),
		RTMR: [4][48]byte{TDRegister("rtmr0"), TDRegister("rtmr1"), TDRegister("rtmr2"), TDRegister("rtmr3")}, TCBSVN2: intelforge.TCBSVN(),
	}
}

func healthyEnclave() IntelEnclave {
	return IntelEnclave{
		CPUSVN: [16]byte{7, 7, 2, 2, 3, 1, 0, 3}, Attributes: 0x5, XFRM: 0xe7,
		MRENCLAVE: EnclaveMeasurement(), MRSIGNER: EnclaveSigner(), ISVProdID: 7, ISVSVN: 3,
	}
}

// Make returns what a machine of that kind, TDX or SGX, answers when its guest
// asks for reportData to be signed.
func (i *Intel) Make(t testing.TB, kind attest.Kind, reportData [64]byte, opts ...IntelOption) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	ev, end, err := i.make(kind, reportData, opts)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return ev, end
}

func (i *Intel) make(kind attest.Kind, reportData [64]byte, opts []IntelOption) (attest.Evidence, attest.Endorsements, error) {
	m, err := i.machine(kind, opts)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	pck, chain, err := m.certificate()
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	data, err := m.quote(reportData, pck, chain)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	end, err := m.endorsements()
	return attest.Evidence{Kind: m.Kind, Data: data}, end, err
}

func (m *IntelMachine) ca() *intelforge.Issuer {
	if m.Processor {
		return m.Vendor.Processor
	}
	return m.Vendor.Platform
}

// certificate makes the PCK certificate and the chain that the quote holds.
func (m *IntelMachine) certificate() (*intelforge.Issuer, [][]byte, error) {
	if m.Processor {
		m.PCK.PlatformID, m.PCK.Configuration = nil, nil
	}
	cert, key, err := m.Vendor.PCKCertificate("machine", m.PCK, m.ca())
	if err != nil {
		return nil, nil, err
	}
	for _, f := range m.Cert {
		f(m.Vendor, &cert)
	}
	issuer := m.ca()
	if m.Issuer != nil {
		issuer = m.Issuer
	}
	pck, err := m.Vendor.Issue(cert, key, issuer)
	if err != nil {
		return nil, nil, err
	}
	chain := [][]byte{pck.DER, m.ca().DER, m.Vendor.Root.DER}
	for _, f := range m.Chain {
		chain = f(chain)
	}
	return pck, chain, nil
}

// quote makes and signs one quote.
func (m *IntelMachine) quote(reportData [64]byte, pck *intelforge.Issuer, chain [][]byte) ([]byte, error) {
	q := (&intelforge.Package{PCK: pck, CA: m.ca(), Vendor: m.Vendor}).NewQuote(m.Version, intelforge.TEESGX, m.Body, nil)
	q.CertData = append(intelforge.PEM(chain...), 0)
	m.TD.ReportData, m.Enclave.ReportData = reportData, reportData
	q.Body = m.Enclave.Encode()
	if m.tdx {
		q.Header.TEE, q.Body = intelforge.TEETDX, m.TD.Encode(m.Body)
	}
	for _, f := range m.Unsigned {
		f(q)
	}
	key, err := intelforge.NewKey("attestation")
	if err != nil {
		return nil, err
	}
	signer := pck.Key
	if m.PCKKey != nil {
		signer = m.PCKKey
	}
	if m.Binding == nil {
		err = q.Sign(m.QE, key, signer)
	} else {
		m.Binding(q, &m.QE)
		err = q.SignAs(m.QE, key, signer)
	}
	if err != nil {
		return nil, err
	}
	for _, f := range m.Signed {
		f(q)
	}
	data := q.Encode()
	for _, f := range m.Bytes {
		data = f(data)
	}
	return data, nil
}

// endorsements returns what is stapled.
func (m *IntelMachine) endorsements() (attest.Endorsements, error) {
	info, err := m.tcbInfo()
	if err != nil {
		return nil, err
	}
	identity, err := m.identity()
	if err != nil {
		return nil, err
	}
	rootCRL, err := m.crl(m.Vendor.RootCRL(), m.RootCRL, m.RootCRLBy, m.Vendor.Root)
	if err != nil {
		return nil, err
	}
	pckCRL, err := m.crl(m.Vendor.PCKCRL(m.ca()), m.PCKCRL, m.PCKCRLBy, m.ca())
	if err != nil {
		return nil, err
	}
	end := attest.Endorsements{
		{Label: attest.LabelIntelTCBInfo, Data: info},
		{Label: attest.LabelIntelQEIdentity, Data: identity},
		{Label: attest.LabelIntelTCBChain, Data: m.TCBChain(m.Vendor)},
		{Label: attest.LabelIntelRootCRL, Data: rootCRL},
		{Label: attest.LabelIntelPCKCRL, Data: pckCRL},
	}
	for _, f := range m.Endorse {
		end = f(end)
	}
	return end, nil
}

func (m *IntelMachine) tcbInfo() ([]byte, error) {
	d := m.Vendor.SGXInfo()
	if m.tdx {
		d = m.Vendor.TDXInfo()
	}
	for _, f := range m.Info {
		f(&d)
	}
	text, err := d.Encode()
	if err != nil {
		return nil, err
	}
	return m.document(intelforge.MemberTCBInfo, text, m.InfoText, m.InfoAnswer)
}

func (m *IntelMachine) identity() ([]byte, error) {
	d := m.Vendor.QEIdentity(m.tdx)
	for _, f := range m.Identity {
		f(&d)
	}
	text, err := d.Encode()
	if err != nil {
		return nil, err
	}
	return m.document(intelforge.MemberIdentity, text, m.IdentityText, m.IdentityAnswer)
}

func (m *IntelMachine) document(member string, text []byte, edit, after []func([]byte) []byte) ([]byte, error) {
	for _, f := range edit {
		text = f(text)
	}
	key := m.Vendor.TCBSigning.Key
	if m.DocumentKey != nil {
		key = m.DocumentKey
	}
	answer, err := intelforge.SignDocument(member, text, key)
	for _, f := range after {
		answer = f(answer)
	}
	return answer, err
}

func (m *IntelMachine) crl(c IntelCRL, edit []func(*IntelCRL), by, usual *intelforge.Issuer) ([]byte, error) {
	if by == nil {
		by = usual
	} else {
		c.Issuer = by.Certificate.Subject
	}
	for _, f := range edit {
		f(&c)
	}
	return c.Sign(by.Key)
}

// IntelAttester is a machine as the box sees it. It is safe for concurrent use.
type IntelAttester struct {
	intel *Intel
	kind  attest.Kind
	opts  []IntelOption
}

// Attester returns a machine of that kind, TDX or SGX, that lives at [Epoch].
func (i *Intel) Attester(kind attest.Kind, opts ...IntelOption) *IntelAttester {
	return &IntelAttester{i, kind, opts}
}

// Kind returns TDX or SGX.
func (a *IntelAttester) Kind() attest.Kind { return a.kind }

// Attest answers as the machine would.
func (a *IntelAttester) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("attesttest: %w", err)
	}
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("attesttest: nothing to sign: the bound is zero")
	}
	return a.intel.make(a.kind, b.Bytes(), a.opts)
}

// Options of machines of both kinds.

// QuoteVersion writes a quote of another version: 3, 4 or 5 with an enclave, 4
// or 5 with a trust domain, whose report is one of TDX 1.5 in version 5.
func QuoteVersion(v uint16) IntelOption {
	return func(m *IntelMachine) {
		m.Version = v
		if m.tdx && v == 5 {
			m.Body = intelforge.BodyTDX15
		}
	}
}

// IntelKind labels the evidence, truly or not.
func IntelKind(k attest.Kind) IntelOption { return func(m *IntelMachine) { m.Kind = k } }

// EditTD changes the trust domain's report.
func EditTD(f func(*IntelTD)) IntelOption { return func(m *IntelMachine) { f(&m.TD) } }

// EditSGX changes the enclave's report.
func EditSGX(f func(*IntelEnclave)) IntelOption { return func(m *IntelMachine) { f(&m.Enclave) } }

// EditQE changes the quoting enclave's report.
func EditQE(f func(*IntelEnclave)) IntelOption { return func(m *IntelMachine) { f(&m.QE) } }

// EditPCK changes what the processor's certificate says.
func EditPCK(f func(*IntelPCK)) IntelOption { return func(m *IntelMachine) { f(&m.PCK) } }

// EditPCKCert changes the processor's certificate before it is signed.
func EditPCKCert(f func(*IntelCert)) IntelOption {
	return func(m *IntelMachine) {
		m.Cert = append(m.Cert, func(_ *intelforge.Vendor, c *IntelCert) { f(c) })
	}
}

// ByProcessorCA has the processor's certificate issued by the Processor CA.
func ByProcessorCA() IntelOption { return func(m *IntelMachine) { m.Processor = true } }

// EditChain changes the certificates in the quote, leaf first.
func EditChain(f func([][]byte) [][]byte) IntelOption {
	return func(m *IntelMachine) { m.Chain = append(m.Chain, f) }
}

// EditQuote changes the quote before it is signed.
func EditQuote(f func(*IntelQuote)) IntelOption {
	return func(m *IntelMachine) { m.Unsigned = append(m.Unsigned, f) }
}

// EditSignedQuote changes the quote after it was signed.
func EditSignedQuote(f func(*IntelQuote)) IntelOption {
	return func(m *IntelMachine) { m.Signed = append(m.Signed, f) }
}

// EditQuoteBytes changes the encoded quote.
func EditQuoteBytes(f func([]byte) []byte) IntelOption {
	return func(m *IntelMachine) { m.Bytes = append(m.Bytes, f) }
}

// EditInfo changes the TCB info before it is signed.
func EditInfo(f func(*IntelTCBInfo)) IntelOption {
	return func(m *IntelMachine) { m.Info = append(m.Info, f) }
}

// EditIdentity changes the QE identity before it is signed.
func EditIdentity(f func(*IntelIdentity)) IntelOption {
	return func(m *IntelMachine) { m.Identity = append(m.Identity, f) }
}

// EditInfoText changes the text of the TCB info before it is signed.
func EditInfoText(old, text string) IntelOption {
	return func(m *IntelMachine) { m.InfoText = append(m.InfoText, replaceOnce(old, text)) }
}

// EditIdentityText changes the text of the QE identity before it is signed.
func EditIdentityText(old, text string) IntelOption {
	return func(m *IntelMachine) { m.IdentityText = append(m.IdentityText, replaceOnce(old, text)) }
}

// EditInfoAnswer changes the TCB info with its signature.
func EditInfoAnswer(f func([]byte) []byte) IntelOption {
	return func(m *IntelMachine) { m.InfoAnswer = append(m.InfoAnswer, f) }
}

// EditIdentityAnswer changes the QE identity with its signature.
func EditIdentityAnswer(f func([]byte) []byte) IntelOption {
	return func(m *IntelMachine) { m.IdentityAnswer = append(m.IdentityAnswer, f) }
}

func replaceOnce(old, text string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(text), 1) }
}

// EditIntelEndorsements changes what is stapled.
func EditIntelEndorsements(f func(attest.Endorsements) attest.Endorsements) IntelOption {
	return func(m *IntelMachine) { m.Endorse = append(m.Endorse, f) }
}

// Without staples nothing under these labels.
func Without(labels ...string) IntelOption {
	return EditIntelEndorsements(func(end attest.Endorsements) attest.Endorsements {
		var out attest.Endorsements
		for _, e := range end {
			keep := true
			for _, l := range labels {
				keep = keep && e.Label != l
			}
			if keep {
				out = append(out, e)
			}
		}
		return out
	})
}

// Platform sets the status and advisories of the level that the machine is at.
func Platform(status string, advisories ...string) IntelOption {
	return EditInfo(func(d *IntelTCBInfo) { d.Levels[0].Status, d.Levels[0].Advisories = status, advisories })
}

// EditRootCRL changes the root's revocation list.
func EditRootCRL(f func(*IntelCRL)) IntelOption {
	return func(m *IntelMachine) { m.RootCRL = append(m.RootCRL, f) }
}

// EditPCKCRL changes the revocation list of the PCK's CA.
func EditPCKCRL(f func(*IntelCRL)) IntelOption {
	return func(m *IntelMachine) { m.PCKCRL = append(m.PCKCRL, f) }
}

func sha384(b []byte) [48]byte { return sha512.Sum384(b) }
