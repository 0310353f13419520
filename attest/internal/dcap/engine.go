package dcap

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Engine verifies quotes of one TEE under one root. It is immutable and safe for
// concurrent use. The zero Engine refuses everything.
//
// The Verifiers of sgx and tdx are this type under their own names. It knows its
// TEE, so that one converted to the other refuses everything too.
type Engine struct {
	tee   TEE
	root  *x509.Certificate
	known []*x509.Certificate // issued by root, verified already
}

// NewEngine returns an Engine that trusts Intel's SGX Root CA and nothing else.
func NewEngine(tee TEE) (*Engine, error) { return pinnedEngine(tee, intelRoot(), intelKnown()...) }

func pinnedEngine(tee TEE, rootPin intelPin, pins ...intelPin) (*Engine, error) {
	root, err := rootPin.load()
	if err != nil {
		return nil, err
	}
	var known []*x509.Certificate
	for _, pin := range pins {
		cert, err := pin.load()
		if err != nil {
			return nil, err
		}
		known = append(known, cert)
	}
	return newEngine(tee, root, known...)
}

// NewEngineWithRoot returns an Engine that trusts the given root (DER) and not
// Intel's.
func NewEngineWithRoot(tee TEE, root []byte) (*Engine, error) {
	cert, err := pki.ParseCertificate(root)
	if err != nil {
		return nil, fmt.Errorf("dcap: root: %w", err)
	}
	return newEngine(tee, cert)
}

func newEngine(tee TEE, root *x509.Certificate, known ...*x509.Certificate) (*Engine, error) {
	if tee != SGX && tee != TDX {
		return nil, fmt.Errorf("dcap: no quotes of %s", tee)
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	for _, cert := range known {
		if err := cert.CheckSignatureFrom(root); err != nil {
			return nil, fmt.Errorf("dcap: %s is not signed by the root: %w", pki.Brief(cert.Subject.CommonName), err)
		}
	}
	return &Engine{tee: tee, root: root, known: known}, nil
}

// Verify establishes that genuine hardware signed the quote and that everything
// that says so is in force at the time given. It returns every check, and Facts
// only if none failed. With a nil quote, one that could not be read, it checks
// what does not depend on one and returns no Facts.
//
// A missing CRL is no error: the Facts say what was not checked.
func (e *Engine) Verify(q *Quote, end attest.Endorsements, at time.Time) (*Facts, []attest.Check) {
	m, checks := gather(end)
	if q != nil {
		checks = append(checks, useQuoteChain(q, &m)...)
	}
	c, signed := e.endorse(m, q)
	c.fixed = append(checks, c.fixed...)
	return c.conclude(q, signed, at)
}

// useQuoteChain takes the PCK chain from the quote. One that was also given as an
// endorsement must be the same.
func useQuoteChain(q *Quote, m *material) []attest.Check {
	given := m.pckChain
	m.pckChain = q.PCKChain
	if given == nil || samePEM(given, q.PCKChain) {
		return nil
	}
	return []attest.Check{pki.Judge(endorsements, false, attest.CodeAmbiguous, "another PCK chain than the quote's", "the same or none")}
}

// samePEM compares texts but for the zero byte and line breaks at their ends.
func samePEM(a, b []byte) bool {
	return bytes.Equal(bytes.TrimRight(a, "\x00\r\n"), bytes.TrimRight(b, "\x00\r\n"))
}

// Endorse verifies what does not depend on a quote, so that many quotes of one
// machine can be verified by [Chain.Verify] at the price of two signatures each.
// The PCK chain must be given under [attest.LabelIntelPCKChain]
// ([Quote.PCKChain] is one).
func (e *Engine) Endorse(end attest.Endorsements, at time.Time) (*Chain, error) {
	m, checks := gather(end)
	c, _ := e.endorse(m, nil)
	c.fixed = append(checks, c.fixed...)
	all := append(slices.Clone(c.fixed), c.checkTimes(at)...)
	if err := attest.FailureOf(all); err != nil {
		return nil, err
	}
	return c, nil
}

// Chain is a PCK that was verified up to the root, with the collateral that says
// how it stands. It is immutable and safe for concurrent use; each use checks
// again that all of it is in force. The zero Chain refuses everything.
type Chain struct {
	tee             TEE
	pck             *pckKey    // nil if it was refused
	documents       *documents // nil if any was refused
	certs           []*x509.Certificate
	rootCRL, pckCRL pki.Revocation
	fixed           []attest.Check // that depend on neither quote nor time
	endorsed        attest.Validity
}

// endorse runs every check that depends neither on the quote nor on the time, and
// those of the quote's signatures if there is one. The Chain it returns may have
// failed some of them: it must not leave the package without its checks being
// looked at.
//
// Two halves of about four signatures each are verified at the same time: what the
// PCK and its CA signed, and what the root and the TCB signing key did. In either,
// no key is used before its own chain was verified. The first half is the longer
// one: the second starts when a processor has woken up for it.
func (e *Engine) endorse(m material, q *Quote) (*Chain, signatures) {
	if e == nil || e.root == nil {
		return &Chain{fixed: []attest.Check{pki.Judge("hardware.pck_chain", false, attest.CodeUntrustedRoot, "no root to trust", "a Verifier from NewVerifier")}}, signatures{}
	}
	pck, below := make(chan *pckKey, 1), make(chan rootUse, 1)
	go func() { below <- e.use(m, pck) }()
	read := e.readPCKChain(m.pckChain)
	pck <- read.key
	quote := read.key.use(m.pckCRL, q, e.tee)
	root := <-below

	c := &Chain{tee: e.tee, pck: read.key, documents: root.documents, rootCRL: root.crl, pckCRL: quote.crl}
	c.fixed = slices.Concat(read.checks, root.read, c.checkPlatform(), root.checks, quote.checks)
	c.setValidity(e.root)
	return c, quote.signatures
}

// rootUse is what the keys below the root were used for: Intel's documents and the
// root's CRL.
type rootUse struct {
	documents *documents     // nil if any was refused
	read      []attest.Check // of the documents
	crl       pki.Revocation
	checks    []attest.Check // of the CRL
}

// use verifies the documents and looks up both keys below the root in its CRL: the
// one that signed them, and the CA of the PCK, which somebody else reads.
func (e *Engine) use(m material, pck <-chan *pckKey) rootUse {
	var u rootUse
	u.documents, u.read = e.readDocuments(m)
	var below []*x509.Certificate
	if k := <-pck; k != nil {
		below = append(below, k.ca)
	}
	if u.documents != nil {
		below = append(below, u.documents.signer)
	}
	if len(below) != 0 {
		u.crl, u.checks = pki.ReadCRL(rootCRL, m.rootCRL, e.root, algorithm, below...)
	}
	return u
}

// checkPlatform establishes that the TCB info speaks of this kind of machine. There
// is nothing to compare if either was refused.
func (c *Chain) checkPlatform() []attest.Check {
	if c.pck == nil || c.documents == nil {
		return nil
	}
	p, t := c.pck.facts, c.documents.tcbInfo
	return []attest.Check{pki.Judge("hardware.tcb_info_platform", t.covers(p), CodePlatformMismatch,
		fmt.Sprintf("FMSPC %x, PCE %x", p.FMSPC, p.PCEID), fmt.Sprintf("FMSPC %x, PCE %x, as the TCB info", t.FMSPC, t.PCEID))}
}

// covers reports whether the TCB info speaks of that kind of machine.
func (t *TCBInfo) covers(p *PCK) bool { return p.FMSPC == t.FMSPC && p.PCEID == t.PCEID }

// Names of the checks of the CRLs.
const (
	rootCRL = "hardware.root_crl"
	pckCRL  = "hardware.pck_crl"
)

// setValidity computes when everything is in force.
func (c *Chain) setValidity(root *x509.Certificate) {
	c.certs = append(c.certs, root)
	if c.pck != nil {
		c.certs = append(c.certs, c.pck.leaf, c.pck.ca)
	}
	if c.documents != nil {
		c.certs = append(c.certs, c.documents.signer)
	}
	c.endorsed = pki.Span(c.certs...)
	for _, r := range []pki.Revocation{c.rootCRL, c.pckCRL} {
		if r.Checked {
			c.endorsed = pki.Narrow(c.endorsed, r.Span())
		}
	}
	if c.documents != nil {
		c.endorsed = pki.Narrow(c.endorsed, c.documents.tcbInfo.Dates.span())
		c.endorsed = pki.Narrow(c.endorsed, c.documents.identity.Dates.span())
	}
}

// Endorsed returns the time span in which all of the chain is in force.
func (c *Chain) Endorsed() attest.Validity {
	if c == nil {
		return attest.Validity{}
	}
	return c.endorsed
}

// Verify is [Engine.Verify] for a quote of the chain's machine.
func (c *Chain) Verify(q *Quote, at time.Time) (*Facts, []attest.Check) {
	if c == nil || c.pck == nil || c.documents == nil {
		return nil, []attest.Check{pki.Judge("hardware.pck_chain", false, attest.CodeBadChain, "a chain that was never verified", "one from Endorse")}
	}
	return c.conclude(q, c.pck.checkQuote(q, c.tee), at)
}

// maxQuoteChecks is how many checks one use adds to the fixed ones.
const maxQuoteChecks = 12

// conclude puts all checks together.
func (c *Chain) conclude(q *Quote, by signatures, at time.Time) (*Facts, []attest.Check) {
	checks := append(make([]attest.Check, 0, len(c.fixed)+maxQuoteChecks), c.fixed...)
	checks = append(checks, c.checkTimes(at)...)
	checks = append(checks, by.checks...)
	var tcb *TCB
	if by.complete && c.documents != nil {
		var levels []attest.Check
		tcb, levels = c.checkLevels(q)
		checks = append(checks, levels...)
	}
	if tcb == nil || attest.FailureOf(checks) != nil {
		return nil, checks
	}
	return &Facts{
		Quote: q, PCK: c.pck.facts.clone(), Issuer: c.pck.issuer, TCB: *tcb,
		RootCRL: c.rootCRL.Clone(), PCKCRL: c.pckCRL.Clone(),
		TCBInfo: c.documents.tcbInfo.Dates, QEIdentity: c.documents.identity.Dates,
		Endorsed: c.endorsed,
	}, checks
}

// checkTimes runs at every use, cold or warm.
func (c *Chain) checkTimes(at time.Time) []attest.Check {
	checks := make([]attest.Check, 0, 5)
	if len(c.certs) > 1 {
		checks = append(checks, pki.CheckValidity("hardware.validity", at, c.certs...))
	}
	if c.documents != nil {
		checks = append(checks, c.documents.tcbInfo.Dates.check("hardware.tcb_info_time", at))
		checks = append(checks, c.documents.identity.Dates.check("hardware.qe_identity_time", at))
	}
	if c.rootCRL.Checked {
		checks = append(checks, pki.CheckCRLTime(rootCRL, c.rootCRL, at))
	}
	if c.pckCRL.Checked {
		checks = append(checks, pki.CheckCRLTime(pckCRL, c.pckCRL, at))
	}
	return checks
}

// check judges whether a document is in force. One that is not yet was not made
// by somebody who shares our calendar, which is another fault than being old.
func (d Dates) check(name string, at time.Time) attest.Check {
	c := attest.Check{Name: name, Status: attest.Pass}
	switch {
	case at.Before(d.Issued):
		c.Status, c.Code = attest.Fail, CodeBadCollateral
	case at.After(d.NextUpdate):
		c.Status, c.Code = attest.Fail, CodeStaleCollateral
	default:
		return c
	}
	c.Seen = "in force from " + pki.Date(d.Issued) + " to " + pki.Date(d.NextUpdate)
	c.Expected = "in force at " + pki.Date(at)
	return c
}

func (d Dates) span() attest.Validity {
	return attest.Validity{NotBefore: d.Issued, NotAfter: d.NextUpdate}
}

// checkLevels establishes that the quoting enclave is Intel's, and which levels the
// machine reaches. Levels of another machine say nothing.
func (c *Chain) checkLevels(q *Quote) (*TCB, []attest.Check) {
	const name = "hardware.qe"
	p, d := c.pck.facts, c.documents
	enclave := pki.Judge(name, true, "", fmt.Sprintf("Intel's, SVN %d", q.QEReport.ISVSVN), "")
	if problem := d.identity.match(&q.QEReport); problem != nil {
		enclave = problem.Check(name)
	}
	checks := append(make([]attest.Check, 0, 4), enclave)
	if !d.tcbInfo.covers(p) {
		return nil, checks
	}
	tcb, levels := d.tcbInfo.evaluate(p, q, d.identity)
	return tcb, append(checks, levels...)
}

// signatures are the checks of who signed a quote. They are complete if nothing
// spoke against looking at each; whether they failed is for the checks to say.
type signatures struct {
	checks   []attest.Check
	complete bool
}

// checkQuote checks a quote's two signatures and what ties them together, the
// second only with a PCK that was verified, and with that of the quote's machine.
func (k *pckKey) checkQuote(q *Quote, tee TEE) signatures {
	if q == nil {
		return signatures{}
	}
	if q.Header.TEE != tee {
		return signatures{checks: []attest.Check{pki.Judge("hardware.quote", false, attest.CodeKindMismatch, "a quote of "+q.Header.TEE.String(), tee.String())}}
	}
	checks := append(make([]attest.Check, 0, 3), q.checkSignature(), q.checkBinding())
	if k == nil {
		return signatures{checks: checks}
	}
	if !samePEM(q.PCKChain, k.pem) {
		return signatures{checks: append(checks, pki.Judge("hardware.pck_match", false, CodePCKMismatch, "a quote with another PCK chain", "that of the endorsed machine"))}
	}
	return signatures{checks: append(checks, k.checkQESignature(q)), complete: true}
}

// checkSignature establishes that the attestation key signed header and body.
func (q *Quote) checkSignature() attest.Check {
	key, _ := readKey(q.attestationKey) // nil if it is no point of the curve: verifies nothing
	sum := sha256.Sum256(q.signed)
	return judgeSignature("hardware.quote_signature", verifyRaw(key, sum[:], q.signature), "signed by the attestation key")
}

// checkBinding establishes that the quoting enclave vouches for the attestation
// key: its report data are SHA-256 over the key and the authentication data,
// followed by zeros (Quote Library Reference, A.4, QE report).
func (q *Quote) checkBinding() attest.Check {
	var want [64]byte
	var buf [publicKeySize + 64]byte
	sum := sha256.Sum256(append(append(buf[:0], q.attestationKey...), q.qeAuth...))
	copy(want[:], sum[:])
	const name = "hardware.qe_binding"
	if q.QEReport.ReportData != want {
		return pki.Judge(name, false, CodeQEBinding, fmt.Sprintf("QE report data %x...", q.QEReport.ReportData[:8]), fmt.Sprintf("%x..., then 32 zeros", want[:8]))
	}
	return pki.Judge(name, true, "", "attestation key named by the quoting enclave", "")
}

// checkQESignature establishes that the PCK signed the quoting enclave's report.
func (k *pckKey) checkQESignature(q *Quote) attest.Check {
	sum := sha256.Sum256(q.qeReport)
	const expected = "signed by the PCK"
	return judgeSignature("hardware.qe_signature", verifyRaw(k.key, sum[:], q.qeSignature), expected)
}

func judgeSignature(name string, ok bool, expected string) attest.Check {
	if ok {
		return pki.Judge(name, true, "", expected, "")
	}
	return pki.Judge(name, false, attest.CodeBadSignature, "another signature", expected)
}

// clone returns a copy that shares no memory with p.
func (p *PCK) clone() PCK {
	out := *p
	if p.PlatformID != nil {
		id := *p.PlatformID
		out.PlatformID = &id
	}
	if p.Configuration != nil {
		out.Configuration = &Configuration{
			DynamicPlatform: cloneFlag(p.Configuration.DynamicPlatform),
			CachedKeys:      cloneFlag(p.Configuration.CachedKeys),
			SMTEnabled:      cloneFlag(p.Configuration.SMTEnabled),
		}
	}
	return out
}

func cloneFlag(p *bool) *bool {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
