package nvgpu

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// Names of XML Signature (W3C XMLDSIG, 6) that NVIDIA's manifests use. No others
// are known here: an algorithm that nobody signs with is one more to attack.
const (
	dsigSpace     = "http://www.w3.org/2000/09/xmldsig#"
	algC14N11     = "http://www.w3.org/2006/12/xml-c14n11"
	algEnveloped  = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	algECDSA384   = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
	algSHA384     = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	maxRIMCerts   = 6
	rimSignatures = 1
)

// signedXML is the one signature of a document, read but not yet verified.
type signedXML struct {
	root, signature, signedInfo *element
	digest, value               []byte
	chain                       []*x509.Certificate
}

// readSignature finds the signature and holds it to the one form that covers
// the whole document: a child of the root, alone in the document, with one
// reference to everything but itself. A signature that covers less, or a second
// one, is how content is smuggled past a reader that looks elsewhere.
func readSignature(root *element) (*signedXML, error) {
	found := root.find(dsigSpace, "Signature", nil)
	if len(found) != rimSignatures {
		return nil, fmt.Errorf("%d signatures, expected one", len(found))
	}
	if found[0].parent != root {
		return nil, errors.New("signature is not a child of the root element")
	}
	s := &signedXML{root: root, signature: found[0]}
	parts, err := s.signature.exactly("SignedInfo", "SignatureValue", "KeyInfo")
	if err != nil {
		return nil, err
	}
	s.signedInfo = parts[0]
	if err := s.readSignedInfo(); err != nil {
		return nil, err
	}
	s.value, err = parts[1].base64()
	if err == nil && len(s.value) != signatureSize {
		err = fmt.Errorf("signature of %d bytes, expected %d", len(s.value), signatureSize)
	}
	if err == nil {
		s.chain, err = readKeyInfo(parts[2])
	}
	return s, err
}

// find returns all elements of that name in e.
func (e *element) find(space, local string, out []*element) []*element {
	if e.is(space, local) {
		out = append(out, e)
	}
	for _, c := range e.content {
		if c.child != nil {
			out = c.child.find(space, local, out)
		}
	}
	return out
}

// exactly returns the children of an XML Signature element, which must have these
// names in this order and no attributes.
func (e *element) exactly(names ...string) ([]*element, error) {
	children, err := e.children()
	if err != nil {
		return nil, err
	}
	if len(children) != len(names) || len(e.attrs) != 0 {
		return nil, fmt.Errorf("%s with %d children and %d attributes, expected %d and none", e.local, len(children), len(e.attrs), len(names))
	}
	for i, c := range children {
		if !c.is(dsigSpace, names[i]) {
			return nil, fmt.Errorf("%.40q in %s, expected %s", c.local, e.local, names[i])
		}
	}
	return children, nil
}

// algorithm refuses an element that names another algorithm or says more.
func (e *element) algorithm(want string) error {
	got, _ := e.attr("", "Algorithm")
	if got != want || len(e.attrs) != 1 || len(e.content) != 0 {
		return fmt.Errorf("%s %.80q, expected %s", e.local, got, want)
	}
	return nil
}

func (e *element) base64() ([]byte, error) {
	text, err := e.onlyText()
	if err != nil {
		return nil, err
	}
	out, err := base64.StdEncoding.Strict().DecodeString(strings.Trim(text, " \t\n"))
	if err != nil {
		return nil, fmt.Errorf("%s is not base64", e.local)
	}
	return out, nil
}

// readSignedInfo reads W3C XMLDSIG, 4.4.
func (s *signedXML) readSignedInfo() error {
	info, err := s.signedInfo.exactly("CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return err
	}
	if err := errors.Join(info[0].algorithm(algC14N11), info[1].algorithm(algECDSA384)); err != nil {
		return err
	}
	return s.readReference(info[2])
}

// readReference reads the one reference. URI="" is the document that holds the
// signature.
func (s *signedXML) readReference(e *element) error {
	uri, found := e.attr("", "URI")
	if !found || uri != "" || len(e.attrs) != 1 {
		return fmt.Errorf("reference to %.80q, expected the whole document", uri)
	}
	bare := *e
	bare.attrs = nil
	parts, err := bare.exactly("Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	transforms, err := parts[0].exactly("Transform", "Transform")
	if err != nil {
		return err
	}
	if err := errors.Join(transforms[0].algorithm(algEnveloped), transforms[1].algorithm(algC14N11), parts[1].algorithm(algSHA384)); err != nil {
		return err
	}
	s.digest, err = parts[2].base64()
	return err
}

func readKeyInfo(e *element) ([]*x509.Certificate, error) {
	data, err := e.exactly("X509Data")
	if err != nil {
		return nil, err
	}
	items, err := data[0].children()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 || len(items) > maxRIMCerts || len(data[0].attrs) != 0 {
		return nil, fmt.Errorf("%d certificates, expected 1 to %d", len(items), maxRIMCerts)
	}
	chain := make([]*x509.Certificate, len(items))
	for i, item := range items {
		if !item.is(dsigSpace, "X509Certificate") {
			return nil, fmt.Errorf("%.40q in X509Data, expected X509Certificate", item.local)
		}
		der, err := item.base64()
		if err == nil {
			chain[i], err = pki.ParseCertificate(der)
		}
		if err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// verify establishes that the root signed the document through the chain. The
// cheap comparison of digests comes before the signatures.
func (s *signedXML) verify(root *x509.Certificate, beside *collateral) *pki.Problem {
	sum := sha512.Sum384(canonical(s.root, s.signature))
	if !bytes.Equal(sum[:], s.digest) {
		return &pki.Problem{Code: attest.CodeBadSignature, Seen: "a document that was changed after it was signed", Expected: "the signed digest"}
	}
	problem, signed := beside.path(s.chain, root, func(signer *x509.Certificate) bool {
		return verifyRaw(signer, canonical(s.signedInfo, nil), s.value)
	})
	if problem != nil {
		return problem
	}
	if !signed {
		return &pki.Problem{Code: attest.CodeBadSignature, Seen: "a signature by another key", Expected: "by " + pki.Brief(s.chain[0].Subject.CommonName)}
	}
	return nil
}

// verifyRaw checks an ECDSA P-384 signature over SHA-384, r and s of 48 bytes
// each, big-endian.
func verifyRaw(cert *x509.Certificate, signed, signature []byte) bool {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() || len(signature) != signatureSize {
		return false
	}
	sum := sha512.Sum384(signed)
	half := signatureSize / 2
	return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
}
