package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Common names by which Intel's certificates are told apart (PCK Certificate and
// CRL Profile, tables 1 to 5). A name proves nothing; it only says which role the
// root gave to a key.
const (
	namePCK        = "Intel SGX PCK Certificate"
	namePlatform   = "Intel SGX PCK Platform CA"
	nameProcessor  = "Intel SGX PCK Processor CA"
	nameTCBSigning = "Intel SGX TCB Signing"
)

// Lengths of Intel's two chains, root included.
const (
	pckChainLength = 3
	tcbChainLength = 2
)

// algorithm is that of all of Intel's certificates and CRLs.
const algorithm = x509.ECDSAWithSHA256

// certificates reads a chain in PEM, leaf first. The pinned root and what is known
// to be issued by it are recognised by their bytes and not read again.
func (e *Engine) certificates(pem []byte, limit int) ([]*x509.Certificate, *pki.Problem) {
	blocks, err := pki.SplitPEM(pem, limit)
	if err != nil {
		return nil, malformed(err)
	}
	chain := make([]*x509.Certificate, len(blocks))
	for i, der := range blocks {
		if chain[i] = e.recognise(der); chain[i] != nil {
			continue
		}
		if chain[i], err = pki.ParseCertificate(der); err != nil {
			return nil, malformed(err)
		}
	}
	return chain, nil
}

func (e *Engine) recognise(der []byte) *x509.Certificate {
	if bytes.Equal(der, e.root.Raw) {
		return e.root
	}
	for _, cert := range e.known {
		if bytes.Equal(der, cert.Raw) {
			return cert
		}
	}
	return nil
}

func malformed(err error) *pki.Problem {
	return &pki.Problem{Code: attest.CodeMalformed, Seen: err.Error(), Expected: "certificates in PEM"}
}

// chain reads a chain and verifies it up to the pinned root. names are those that
// the leaf's issuer chain may have, leaf first.
func (e *Engine) chain(pem []byte, length int, leaf string) ([]*x509.Certificate, *pki.Problem) {
	chain, problem := e.certificates(pem, length)
	if problem != nil {
		return nil, problem
	}
	path := pki.Path{Root: e.root, Algorithm: algorithm, Curve: elliptic.P256(), Length: length, Known: e.known}
	if problem := path.Check(chain); problem != nil {
		return nil, problem
	}
	if cn := chain[0].Subject.CommonName; cn != leaf {
		return nil, &pki.Problem{Code: attest.CodeBadChain, Seen: pki.Brief(cn), Expected: leaf}
	}
	return chain, nil
}

// pckKey is a PCK that was verified up to the root.
type pckKey struct {
	pem      []byte // as it stood in the quote
	leaf, ca *x509.Certificate
	issuer   CA
	key      *ecdsa.PublicKey
	facts    *PCK
}

// pckReading is a PCK, nil if it was refused, and the checks of its chain.
type pckReading struct {
	key    *pckKey
	checks []attest.Check
}

// readPCKChain verifies a PCK chain and reads what it says about the machine.
func (e *Engine) readPCKChain(text []byte) pckReading {
	const name = "hardware.pck_chain"
	refuse := func(p pki.Problem) pckReading { return pckReading{checks: []attest.Check{p.Check(name)}} }
	if text == nil {
		return refuse(pki.Problem{Code: CodeNoPCKChain, Seen: "none given", Expected: "a PCK certificate chain"})
	}
	pem := bytes.TrimSuffix(text, []byte{0}) // quotes hold a C string
	chain, problem := e.chain(pem, pckChainLength, namePCK)
	if problem != nil {
		return refuse(*problem)
	}
	k := &pckKey{pem: bytes.Clone(pem), leaf: chain[0], ca: chain[1]}
	k.key, _ = k.leaf.PublicKey.(*ecdsa.PublicKey) // its curve was checked with the chain
	switch k.ca.Subject.CommonName {
	case namePlatform:
		k.issuer = PlatformCA
	case nameProcessor:
		k.issuer = ProcessorCA
	default:
		return refuse(pki.Problem{Code: attest.CodeBadChain, Seen: "issued by " + pki.Brief(k.ca.Subject.CommonName), Expected: namePlatform + " or " + nameProcessor})
	}
	extensions := k.readFacts()
	checks := []attest.Check{pki.Judge(name, true, "", k.leaf.Subject.CommonName+", "+k.ca.Subject.CommonName+", "+e.root.Subject.CommonName, ""), extensions}
	if extensions.Status != attest.Pass {
		return pckReading{checks: checks}
	}
	return pckReading{k, checks}
}

// pckUse is what the keys of a PCK chain were used for: the CRL that its CA signed
// and the quote.
type pckUse struct {
	crl        pki.Revocation
	checks     []attest.Check // of the CRL
	signatures signatures     // of the quote
}

// use looks the PCK up in the CRL of the CA that issued it and checks the quote's
// signatures. A CRL of Intel's other CA is refused by its issuer's name; a PCK that
// was refused is not looked up.
func (k *pckKey) use(crl []byte, q *Quote, tee TEE) pckUse {
	var u pckUse
	if k != nil {
		u.crl, u.checks = pki.ReadCRL(pckCRL, crl, k.ca, algorithm, k.leaf)
	}
	u.signatures = k.checkQuote(q, tee)
	return u
}

// readFacts reads the SGX extension. Only the Platform CA certifies a platform.
func (k *pckKey) readFacts() attest.Check {
	const name = "hardware.pck"
	facts, err := readPCK(k.leaf)
	if err != nil {
		return pki.Judge(name, false, attest.CodeMalformed, err.Error(), "Intel's extensions, each once")
	}
	if (facts.PlatformID != nil) != (k.issuer == PlatformCA) {
		return pki.Judge(name, false, CodeInconsistent, fmt.Sprintf("platform id given: %t", facts.PlatformID != nil), "one from the Platform CA, none from the Processor CA")
	}
	k.facts = facts
	return pki.Judge(name, true, "", fmt.Sprintf("FMSPC %x, PCE %x, PCE SVN %d", facts.FMSPC, facts.PCEID, facts.PCESVN), "")
}

// documents is the collateral that the TCB signing key vouches for.
type documents struct {
	signer   *x509.Certificate
	tcbInfo  *TCBInfo
	identity *QEIdentity
}

// readDocuments verifies the TCB signing chain and what that key signed. Each
// missing one fails: without the QE identity any enclave that may use the
// provisioning key could have signed the quote.
func (e *Engine) readDocuments(m material) (*documents, []attest.Check) {
	d := &documents{}
	var key *ecdsa.PublicKey
	checks := m.checkMissing()
	if m.tcbChain != nil {
		var chain attest.Check
		key, chain = e.readTCBChain(m.tcbChain, d)
		checks = append(checks, chain)
	}
	if m.tcbInfo != nil {
		checks = append(checks, d.readTCBInfo(m, key, e.tee))
	}
	if m.qeIdentity != nil {
		checks = append(checks, d.readIdentity(m, key, e.tee))
	}
	if attest.FailureOf(checks) != nil {
		return nil, checks
	}
	return d, checks
}

// unsigned is said of a document whose signature cannot be checked, since the
// chain of the key that made it was not given: that it is missing has failed.
func unsigned(name string) attest.Check {
	return attest.Check{Name: name, Status: attest.Skip, Code: CodeNoCollateral, Seen: "no TCB signing chain to check it with"}
}

func (e *Engine) readTCBChain(pem []byte, d *documents) (*ecdsa.PublicKey, attest.Check) {
	const name = "hardware.tcb_chain"
	chain, problem := e.chain(pem, tcbChainLength, nameTCBSigning)
	if problem != nil {
		return nil, problem.Check(name)
	}
	d.signer = chain[0]
	key, _ := d.signer.PublicKey.(*ecdsa.PublicKey)
	return key, pki.Judge(name, true, "", d.signer.Subject.CommonName+", "+e.root.Subject.CommonName, "")
}

// readTCBInfo reads the TCB info. Without a verified key there is nothing to
// compare its signature with: where its chain was refused this fails too, where
// none was given it is skipped.
func (d *documents) readTCBInfo(m material, key *ecdsa.PublicKey, tee TEE) attest.Check {
	const name = "hardware.tcb_info"
	t, signed, err := parseTCBInfo(m.tcbInfo)
	switch {
	case err != nil:
		return pki.Judge(name, false, codeOf(err), err.Error(), "Intel's TCB info for "+tee.String()+", version 3")
	case m.tcbChain == nil:
		return unsigned(name)
	case !signed.signedBy(key):
		return pki.Judge(name, false, CodeBadCollateral, "not signed by the TCB signing key", "signed by "+nameTCBSigning)
	case t.TEE != tee:
		return pki.Judge(name, false, CodePlatformMismatch, "TCB info for "+t.TEE.String(), tee.String())
	}
	d.tcbInfo = t
	return pki.Judge(name, true, "", fmt.Sprintf("FMSPC %x, evaluation %d", t.FMSPC, t.Evaluation), "")
}

func (d *documents) readIdentity(m material, key *ecdsa.PublicKey, tee TEE) attest.Check {
	const name = "hardware.qe_identity"
	q, signed, err := parseQEIdentity(m.qeIdentity)
	switch {
	case err != nil:
		return pki.Judge(name, false, codeOf(err), err.Error(), "Intel's QE identity for "+tee.String()+", version 2")
	case m.tcbChain == nil:
		return unsigned(name)
	case !signed.signedBy(key):
		return pki.Judge(name, false, CodeBadCollateral, "not signed by the TCB signing key", "signed by "+nameTCBSigning)
	case q.TEE != tee:
		return pki.Judge(name, false, CodePlatformMismatch, "QE identity for "+q.TEE.String(), tee.String())
	}
	d.identity = q
	return pki.Judge(name, true, "", fmt.Sprintf("product %d, evaluation %d", q.ISVProdID, q.Evaluation), "")
}

// material is the collateral as it was given.
type material struct {
	pckChain, tcbInfo, qeIdentity, tcbChain, rootCRL, pckCRL []byte
}

// endorsements is the name of the checks of what was given.
const endorsements = "hardware.endorsements"

// checkMissing returns a failed check for each document that was not given.
func (m material) checkMissing() []attest.Check {
	checks := make([]attest.Check, 0, 3)
	for _, item := range []struct {
		data []byte
		what string
	}{{m.tcbChain, "the TCB signing chain"}, {m.tcbInfo, "Intel's TCB info"}, {m.qeIdentity, "Intel's QE identity"}} {
		if item.data == nil {
			checks = append(checks, pki.Judge(endorsements, false, CodeNoCollateral, "none given", item.what))
		}
	}
	return checks
}

// gather takes the collateral out of the endorsements.
func gather(end attest.Endorsements) (material, []attest.Check) {
	var m material
	var checks []attest.Check
	for _, item := range []struct {
		label string
		into  *[]byte
	}{
		{attest.LabelIntelPCKChain, &m.pckChain}, {attest.LabelIntelTCBInfo, &m.tcbInfo}, {attest.LabelIntelQEIdentity, &m.qeIdentity},
		{attest.LabelIntelTCBChain, &m.tcbChain}, {attest.LabelIntelRootCRL, &m.rootCRL}, {attest.LabelIntelPCKCRL, &m.pckCRL},
	} {
		data, found, err := end.Get(item.label)
		switch {
		case err != nil:
			checks = append(checks, pki.Judge(endorsements, false, attest.CodeAmbiguous, err.Error(), "each once"))
		case len(data) > attest.MaxEndorsement:
			checks = append(checks, pki.Judge(endorsements, false, attest.CodeTooLarge, fmt.Sprintf("%s of %d bytes", item.label, len(data)), fmt.Sprintf("at most %d", attest.MaxEndorsement)))
		case found:
			if *item.into = data; data == nil {
				*item.into = []byte{} // given but empty is malformed, not missing
			}
		}
	}
	return m, checks
}
