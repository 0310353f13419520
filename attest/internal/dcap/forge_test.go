package dcap

import (
	"crypto/ecdsa"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// now is the time of everything forged here.
func now() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }

// forged is a machine with its collateral and a quote, any part of which a case
// may spoil before it is encoded.
type forged struct {
	vendor   *intelforge.Vendor
	tee      TEE
	version  uint16
	bodyType uint16
	td       intelforge.TD
	enclave  intelforge.Enclave
	facts    intelforge.PCKFacts
	ca       *intelforge.Issuer
	cert     func(*intelforge.Certificate)
	qe       intelforge.Enclave
	unsigned func(*intelforge.Quote) // before the quote is signed
	signed   func(*intelforge.Quote) // after
	bytes    func([]byte) []byte
	chain    func(*intelforge.Package) []byte
	pckKey   *ecdsa.PrivateKey // that signs the QE report
	asIs     bool              // the QE report as it is, whatever it binds

	info                       intelforge.TCBInfo
	identity                   intelforge.Identity
	infoText, identityText     func([]byte) []byte // before they are signed
	infoAnswer, identityAnswer func([]byte) []byte // after
	documentKey                *ecdsa.PrivateKey
	tcbChain                   []byte
	rootCRL, pckCRL            intelforge.CRL
	rootCRLKey, pckCRLKey      *ecdsa.PrivateKey
	endorsements               func(attest.Endorsements) attest.Endorsements
	at                         time.Time
}

func newForged(t testing.TB, tee TEE) *forged {
	t.Helper()
	v, err := intelforge.NewVendor("dcap", now())
	if err != nil {
		t.Fatal(err)
	}
	f := &forged{
		vendor: v, tee: tee, version: 4, bodyType: intelforge.BodyTDX10, facts: intelforge.DefaultFacts(), ca: v.Platform,
		td:          intelforge.TD{TCBSVN: intelforge.TCBSVN(), Attributes: 1 << 28, XFAM: 0xe7, MRTD: [48]byte{1}, TCBSVN2: intelforge.TCBSVN()},
		enclave:     intelforge.Enclave{Attributes: 5, XFRM: 3, MRENCLAVE: [32]byte{2}},
		qe:          intelforge.QE(tee == TDX),
		info:        v.TDXInfo(),
		identity:    v.QEIdentity(tee == TDX),
		documentKey: v.TCBSigning.Key,
		tcbChain:    v.TCBChain(),
		rootCRL:     v.RootCRL(), rootCRLKey: v.Root.Key,
		pckCRL: v.PCKCRL(v.Platform), pckCRLKey: v.Platform.Key,
		at: now(),
	}
	if tee == SGX {
		f.version, f.bodyType, f.info = 3, intelforge.BodySGX, v.SGXInfo()
	}
	return f
}

// pack issues the PCK.
func (f *forged) pack(t testing.TB) *intelforge.Package {
	t.Helper()
	cert, key, err := f.vendor.PCKCertificate("dcap", f.facts, f.ca)
	if err != nil {
		t.Fatal(err)
	}
	if f.cert != nil {
		f.cert(&cert)
	}
	pck, err := f.vendor.Issue(cert, key, f.ca)
	if err != nil {
		t.Fatal(err)
	}
	return &intelforge.Package{PCK: pck, CA: f.ca, Facts: f.facts, Vendor: f.vendor}
}

func (f *forged) quote(t testing.TB) []byte {
	t.Helper()
	p := f.pack(t)
	body, tee := f.td.Encode(f.bodyType), intelforge.TEETDX
	if f.tee == SGX {
		body, tee = f.enclave.Encode(), intelforge.TEESGX
	}
	q := p.NewQuote(f.version, tee, f.bodyType, body)
	if f.chain != nil {
		q.CertData = f.chain(p)
	}
	if f.unsigned != nil {
		f.unsigned(q)
	}
	key, err := intelforge.NewKey("attestation")
	if err != nil {
		t.Fatal(err)
	}
	pck := p.PCK.Key
	if f.pckKey != nil {
		pck = f.pckKey
	}
	if sign := q.Sign; f.asIs {
		err = q.SignAs(f.qe, key, pck)
	} else {
		err = sign(f.qe, key, pck)
	}
	if err != nil {
		t.Fatal(err)
	}
	if f.signed != nil {
		f.signed(q)
	}
	out := q.Encode()
	if f.bytes != nil {
		out = f.bytes(out)
	}
	return out
}

func (f *forged) document(t testing.TB, member string, text []byte, err error, before, after func([]byte) []byte) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if before != nil {
		text = before(text)
	}
	out, err := intelforge.SignDocument(member, text, f.documentKey)
	if err != nil {
		t.Fatal(err)
	}
	if after != nil {
		out = after(out)
	}
	return out
}

func (f *forged) collateral(t testing.TB) attest.Endorsements {
	t.Helper()
	info, err := f.info.Encode()
	infoBody := f.document(t, intelforge.MemberTCBInfo, info, err, f.infoText, f.infoAnswer)
	identity, err := f.identity.Encode()
	identityBody := f.document(t, intelforge.MemberIdentity, identity, err, f.identityText, f.identityAnswer)
	root, err := f.rootCRL.Sign(f.rootCRLKey)
	if err != nil {
		t.Fatal(err)
	}
	pck, err := f.pckCRL.Sign(f.pckCRLKey)
	if err != nil {
		t.Fatal(err)
	}
	end := attest.Endorsements{
		{Label: attest.LabelIntelTCBInfo, Data: infoBody},
		{Label: attest.LabelIntelQEIdentity, Data: identityBody},
		{Label: attest.LabelIntelTCBChain, Data: f.tcbChain},
		{Label: attest.LabelIntelRootCRL, Data: root},
		{Label: attest.LabelIntelPCKCRL, Data: pck},
	}
	if f.endorsements != nil {
		end = f.endorsements(end)
	}
	return end
}

// verify runs the whole verification, as the verifiers of both kinds do.
func (f *forged) verify(t testing.TB) (*Facts, []attest.Check) {
	t.Helper()
	return verify(t, f.engine(t), f.tee, f.quote(t), f.collateral(t), f.at)
}

func (f *forged) engine(t testing.TB) *Engine {
	t.Helper()
	e, err := NewEngineWithRoot(f.tee, f.vendor.Root.DER)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func verify(t testing.TB, e *Engine, tee TEE, quote []byte, end attest.Endorsements, at time.Time) (*Facts, []attest.Check) {
	t.Helper()
	q, form := ReadQuote(quote, tee)
	if (q != nil) != (form.Status == attest.Pass) {
		t.Fatalf("ReadQuote returned a quote: %t, with the check %v", q != nil, form)
	}
	facts, checks := e.Verify(q, end, at)
	checks = append([]attest.Check{form}, checks...)
	if (facts != nil) != (attest.FailureOf(checks) == nil) {
		t.Fatalf("facts: %t, with the checks %v", facts != nil, checks)
	}
	return facts, checks
}

// failed returns the failed checks as "name code".
func failed(checks []attest.Check) []string {
	var out []string
	for _, c := range checks {
		if c.Status == attest.Fail {
			out = append(out, c.Name+" "+string(c.Code))
		}
	}
	return out
}

func without(label string) func(attest.Endorsements) attest.Endorsements {
	return func(end attest.Endorsements) attest.Endorsements {
		var out attest.Endorsements
		for _, e := range end {
			if e.Label != label {
				out = append(out, e)
			}
		}
		return out
	}
}
