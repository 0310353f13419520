package nvgpu

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Object identifiers of OCSP (RFC 6960, 4.2.1; RFC 5758, 3.2).
var (
	oidBasicResponse = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidECDSA384      = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidSHA1          = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

const (
	maxOCSP       = 16 << 10
	maxResponders = 4
	reasonHold    = 6 // certificateHold (RFC 5280, 5.3.1)
)

// The structures of RFC 6960, 4.2.1. encoding/asn1 refuses non-minimal lengths
// and integers; bytes after an end are looked for by decode.
type ocspResponse struct {
	Status asn1.Enumerated
	Bytes  ocspBytes `asn1:"explicit,tag:0,optional"`
}

type ocspBytes struct {
	Type     asn1.ObjectIdentifier
	Response []byte
}

type basicResponse struct {
	TBS       asn1.RawValue
	Algorithm algorithmID
	Signature asn1.BitString
	Certs     []asn1.RawValue `asn1:"explicit,tag:0,optional"`
}

type algorithmID struct {
	OID        asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

type responseData struct {
	Version    int `asn1:"explicit,tag:0,default:0,optional"`
	Responder  asn1.RawValue
	ProducedAt time.Time `asn1:"generalized"`
	Responses  []singleResponse
	Extensions []extension `asn1:"explicit,tag:1,optional"`
}

type singleResponse struct {
	ID         certID
	Status     asn1.RawValue
	ThisUpdate time.Time   `asn1:"generalized"`
	NextUpdate time.Time   `asn1:"generalized,explicit,tag:0,optional"`
	Extensions []extension `asn1:"explicit,tag:1,optional"`
}

type certID struct {
	Hash       algorithmID
	IssuerName []byte
	IssuerKey  []byte
	Serial     *big.Int
}

type extension struct {
	ID       asn1.ObjectIdentifier
	Critical bool `asn1:"optional"`
	Value    []byte
}

type revokedInfo struct {
	At     time.Time       `asn1:"generalized"`
	Reason asn1.Enumerated `asn1:"explicit,tag:0,optional,default:0"`
}

// What a response says of its making (producedAt) and a nonce decide nothing: it was
// fetched by somebody else, and thisUpdate and nextUpdate say when it counts.

// ParseOCSP reads the form of an OCSP response and trusts nothing in it. It
// exists so that whoever fetches responses can refuse what is none.
func ParseOCSP(der []byte) error {
	_, _, err := parseOCSP(der)
	return err
}

func parseOCSP(der []byte) (*basicResponse, *responseData, error) {
	if len(der) > maxOCSP {
		return nil, nil, fmt.Errorf("nvgpu: OCSP response of %d bytes, the limit is %d", len(der), maxOCSP)
	}
	var outer ocspResponse
	if err := decode(der, &outer, ""); err != nil {
		return nil, nil, fmt.Errorf("nvgpu: OCSP response: %w", err)
	}
	if outer.Status != 0 || !outer.Bytes.Type.Equal(oidBasicResponse) {
		return nil, nil, fmt.Errorf("nvgpu: OCSP response with status %d and type %v, expected a successful basic one", outer.Status, outer.Bytes.Type)
	}
	basic, data := &basicResponse{}, &responseData{}
	if err := decode(outer.Bytes.Response, basic, ""); err != nil {
		return nil, nil, fmt.Errorf("nvgpu: OCSP basic response: %w", err)
	}
	if err := exact(der, outer.Bytes, *basic); err != nil {
		return nil, nil, err
	}
	if err := decode(basic.TBS.FullBytes, data, ""); err != nil {
		return nil, nil, fmt.Errorf("nvgpu: OCSP response data: %w", err)
	}
	switch {
	case data.Version != 0:
		return nil, nil, fmt.Errorf("nvgpu: OCSP version %d, expected 0", data.Version)
	case len(data.Responses) != 1:
		return nil, nil, fmt.Errorf("nvgpu: OCSP response about %d certificates, expected one", len(data.Responses))
	case len(basic.Certs) > maxResponders:
		return nil, nil, fmt.Errorf("nvgpu: OCSP response with %d certificates, expected at most %d", len(basic.Certs), maxResponders)
	case len(basic.Algorithm.Parameters.FullBytes) != 0: // ECDSA has none (RFC 5758, 3.2), and nobody signs these
		return nil, nil, fmt.Errorf("nvgpu: OCSP response with parameters of %v, expected none", basic.Algorithm.OID)
	}
	if err := critical(data); err != nil {
		return nil, nil, err
	}
	return basic, data, nil
}

// exact refuses elements that encoding/asn1 passes over at the end of a
// sequence. What the responder signed need not be looked at: nobody else could
// have put them there.
func exact(der []byte, outer ocspBytes, basic basicResponse) error {
	inner, _ := asn1.Marshal(basic) // nil, another encoding, if there is none
	whole, _ := asn1.Marshal(ocspResponse{Bytes: ocspBytes{Type: outer.Type, Response: inner}})
	if !bytes.Equal(whole, der) {
		return errors.New("nvgpu: OCSP response with elements that are not known, expected its one encoding")
	}
	return nil
}

// critical refuses an extension that must be understood: none is.
func critical(data *responseData) error {
	for _, list := range [][]extension{data.Extensions, data.Responses[0].Extensions} {
		for _, x := range list {
			if x.Critical {
				return fmt.Errorf("nvgpu: OCSP response with critical extension %v, expected none", x.ID)
			}
		}
	}
	return nil
}

// ocspAnswer is what is known of one certificate, and what is wrong with it.
type ocspAnswer struct {
	revocation Revocation
	cert       *x509.Certificate
	signer     *x509.Certificate // a delegated responder, whose dates count too
	problem    *pki.Problem
}

// collateral is what came beside one device's evidence. What several objects
// have in common, such as the signer of two manifests, is verified once.
type collateral struct {
	end     attest.Endorsements
	answers map[string]*ocspAnswer
	paths   map[string]*pki.Problem
}

func newCollateral(end attest.Endorsements) *collateral {
	return &collateral{end: end, answers: make(map[string]*ocspAnswer), paths: make(map[string]*pki.Problem)}
}

// lookUpAll reads the answers about each certificate of a path but its root, two at
// a time: none depends on another.
func (c *collateral) lookUpAll(path []*x509.Certificate) []*ocspAnswer {
	out := make([]*ocspAnswer, len(path)-1)
	var unread []func()
	for i := range out {
		var read func()
		if out[i], read = c.lookUp(path[i], path[i+1]); read != nil {
			unread = append(unread, read)
		}
	}
	var beside sync.WaitGroup
	beside.Go(func() { readAll(unread[:len(unread)/2]) })
	readAll(unread[len(unread)/2:])
	beside.Wait()
	return out
}

func readAll(unread []func()) {
	for _, read := range unread {
		read()
	}
}

// lookUp finds the response about cert, which issuer issued. If there is one that
// was not read yet, read does so, and touches nothing but the answer.
func (c *collateral) lookUp(cert, issuer *x509.Certificate) (a *ocspAnswer, read func()) {
	key := string(cert.Raw) + string(issuer.Raw)
	if a := c.answers[key]; a != nil {
		return a, nil
	}
	a = &ocspAnswer{cert: cert, revocation: Revocation{Subject: cert.Subject.CommonName, Serial: fmt.Sprintf("%x", cert.SerialNumber)}}
	c.answers[key] = a
	der, found, err := c.end.Get(attest.LabelNVIDIAOCSP + a.revocation.Serial)
	switch {
	case err != nil:
		a.problem = &pki.Problem{Code: attest.CodeAmbiguous, Seen: err.Error(), Expected: "one response for each certificate"}
	case found:
		return a, func() { a.read(der, issuer) }
	}
	return a, nil
}

// path verifies a chain up to the root, and what its leaf signed; see [checkPath].
func (c *collateral) path(chain []*x509.Certificate, root *x509.Certificate, signed func(*x509.Certificate) bool) (*pki.Problem, bool) {
	var key strings.Builder
	for _, cert := range chain {
		key.Write(cert.Raw)
	}
	if problem, done := c.paths[key.String()]; done {
		return problem, problem == nil && signed(chain[0])
	}
	problem, good := checkPath(root, chain, signed)
	c.paths[key.String()] = problem
	return problem, good
}

func (a *ocspAnswer) bad(code attest.Code, format string, args ...any) {
	seen := "about " + pki.Brief(a.revocation.Subject) + ": " + fmt.Sprintf(format, args...)
	a.problem = &pki.Problem{Code: code, Seen: seen, Expected: "a response by the certificate's issuer that it is good"}
}

func (a *ocspAnswer) read(der []byte, issuer *x509.Certificate) {
	basic, data, err := parseOCSP(der)
	if err != nil {
		a.bad(attest.CodeMalformed, "%v", err)
		return
	}
	single := data.Responses[0]
	if !single.ID.names(a.cert, issuer) {
		a.bad(CodeBadOCSP, "a response about another certificate")
		return
	}
	if a.signer, err = responder(basic, data, issuer); err != nil {
		a.bad(CodeBadOCSP, "%v", err)
		return
	}
	if single.NextUpdate.IsZero() {
		a.bad(CodeBadOCSP, "no date of the next update")
		return
	}
	a.revocation.ThisUpdate, a.revocation.NextUpdate = single.ThisUpdate, single.NextUpdate
	a.status(single.Status)
}

// status reads CertStatus: [0] good and [2] unknown, both NULL, and [1] revoked.
func (a *ocspAnswer) status(v asn1.RawValue) {
	empty := !v.IsCompound && len(v.Bytes) == 0
	switch {
	case v.Class == asn1.ClassContextSpecific && v.Tag == 0 && empty:
		a.revocation.Status = Good
	case v.Class == asn1.ClassContextSpecific && v.Tag == 1:
		a.revoked(v.FullBytes)
	case v.Class == asn1.ClassContextSpecific && v.Tag == 2 && empty:
		a.bad(CodeOCSPUnknown, "the responder does not know it")
	default:
		a.bad(attest.CodeMalformed, "status with tag %d", v.Tag)
	}
}

// revoked tells a hold, which NVIDIA may lift again, from the rest.
func (a *ocspAnswer) revoked(der []byte) {
	var info revokedInfo
	if err := decode(der, &info, "tag:1"); err != nil {
		a.bad(attest.CodeMalformed, "%v", err)
		return
	}
	// That of the first of January 1970 is how a responder says of a serial number
	// that no certificate was ever issued with it (RFC 6960, 2.2): nothing to lift.
	neverIssued := time.Unix(24*60*60, 0)
	switch {
	case info.Reason == reasonHold && info.At.Before(neverIssued):
		a.bad(CodeOCSPUnknown, "never issued, says the responder")
	case info.Reason == reasonHold:
		a.revocation.Status = Held
	default:
		a.bad(attest.CodeRevoked, "revoked %s, reason %d", pki.Date(info.At), info.Reason)
	}
}

// names reports whether id is that of cert (RFC 6960, 4.1.1). The hash only
// names an issuer that the caller knows, so SHA-1 is good enough for it.
func (id certID) names(cert, issuer *x509.Certificate) bool {
	key := keyBits(issuer)
	var name, bits []byte
	switch {
	case id.Hash.OID.Equal(oidSHA1):
		a, b := sha1.Sum(issuer.RawSubject), sha1.Sum(key)
		name, bits = a[:], b[:]
	case id.Hash.OID.Equal(oidSHA256):
		a, b := sha256.Sum256(issuer.RawSubject), sha256.Sum256(key)
		name, bits = a[:], b[:]
	case id.Hash.OID.Equal(oidSHA384):
		a, b := sha512.Sum384(issuer.RawSubject), sha512.Sum384(key)
		name, bits = a[:], b[:]
	default:
		return false
	}
	return bytes.Equal(id.IssuerName, name) && bytes.Equal(id.IssuerKey, bits) && id.Serial.Cmp(cert.SerialNumber) == 0
}

// responder establishes who signed: the issuer itself, or one certificate that
// the issuer issued for this purpose (RFC 6960, 4.2.2.2). It returns the latter.
func responder(basic *basicResponse, data *responseData, issuer *x509.Certificate) (*x509.Certificate, error) {
	if !basic.Algorithm.OID.Equal(oidECDSA384) {
		return nil, fmt.Errorf("signed with %v, expected ECDSA with SHA-384", basic.Algorithm.OID)
	}
	if data.signedBy(issuer) {
		return nil, basic.checkSignature(issuer)
	}
	for _, raw := range basic.Certs {
		cert, err := pki.ParseCertificate(raw.FullBytes)
		if err != nil {
			return nil, err
		}
		if !data.signedBy(cert) {
			continue
		}
		if err := checkDelegate(cert, issuer); err != nil {
			return nil, err
		}
		return cert, basic.checkSignature(cert)
	}
	return nil, fmt.Errorf("the responder is neither %s nor in the response", pki.Brief(issuer.Subject.CommonName))
}

// signedBy reports whether the responder's id is that of cert: [1] its name or
// [2] SHA-1 over its key. It only says whose key to try; the signature decides.
func (d *responseData) signedBy(cert *x509.Certificate) bool {
	switch {
	case d.Responder.Class != asn1.ClassContextSpecific:
		return false
	case d.Responder.Tag == 1:
		return bytes.Equal(d.Responder.Bytes, cert.RawSubject)
	case d.Responder.Tag == 2:
		var want []byte
		err := decode(d.Responder.Bytes, &want, "")
		sum := sha1.Sum(keyBits(cert))
		return err == nil && bytes.Equal(want, sum[:])
	}
	return false
}

// keyBits returns the key of a certificate that crypto/x509 could read, without
// its algorithm.
func keyBits(cert *x509.Certificate) []byte {
	var key struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	_ = decode(cert.RawSubjectPublicKeyInfo, &key, "")
	return key.Key.Bytes
}

// checkDelegate refuses a certificate of the issuer that is for something else:
// a GPU could answer for itself with its own. Whether the responder's certificate
// was withdrawn in turn nobody is asked (RFC 6960, 4.2.2.2.1 leaves that to local
// policy): its dates bound what it says.
func checkDelegate(cert, issuer *x509.Certificate) error {
	name := pki.Brief(cert.Subject.CommonName)
	purpose := false
	for _, u := range cert.ExtKeyUsage {
		purpose = purpose || u == x509.ExtKeyUsageOCSPSigning
	}
	switch {
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("responder %s was issued by %s, expected %s", name, pki.Brief(cert.Issuer.CommonName), pki.Brief(issuer.Subject.CommonName))
	case !purpose:
		return fmt.Errorf("responder %s may not sign OCSP responses (extended key usage)", name)
	case cert.IsCA || cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("responder %s may not sign (key usage)", name)
	case len(cert.UnhandledCriticalExtensions) != 0:
		return fmt.Errorf("responder %s has critical extension %v", name, cert.UnhandledCriticalExtensions[0])
	case pki.KeyKind(cert) != "ECDSA P-384" || cert.SignatureAlgorithm != x509.ECDSAWithSHA384:
		return fmt.Errorf("responder %s has a key of %s, signed with %s, expected ECDSA P-384 and SHA-384", name, pki.KeyKind(cert), cert.SignatureAlgorithm)
	}
	if err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("responder %s is not signed by %s", name, pki.Brief(issuer.Subject.CommonName))
	}
	return nil
}

func (b *basicResponse) checkSignature(cert *x509.Certificate) error {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	sum := sha512.Sum384(b.TBS.FullBytes)
	if !ok || key.Curve != elliptic.P384() || b.Signature.BitLength%8 != 0 || !ecdsa.VerifyASN1(key, sum[:], b.Signature.Bytes) {
		return fmt.Errorf("not signed by %s", pki.Brief(cert.Subject.CommonName))
	}
	return nil
}

// span is the time in which the answer is in force.
func (a *ocspAnswer) span() attest.Validity {
	v := attest.Validity{NotBefore: a.revocation.ThisUpdate, NotAfter: a.revocation.NextUpdate}
	if a.signer != nil {
		v = pki.Narrow(v, pki.Span(a.signer))
	}
	return v
}

// checkTime runs at every use.
func (a *ocspAnswer) checkTime(at time.Time) *pki.Problem {
	span := a.span()
	expected := "in force at " + pki.Date(at)
	seen := "about " + pki.Brief(a.revocation.Subject) + ": in force from " + pki.Date(span.NotBefore) + " to " + pki.Date(span.NotAfter)
	switch {
	case at.Before(span.NotBefore):
		return &pki.Problem{Code: CodeBadOCSP, Seen: seen, Expected: expected}
	case at.After(span.NotAfter):
		return &pki.Problem{Code: CodeStaleOCSP, Seen: seen, Expected: expected}
	}
	return nil
}
