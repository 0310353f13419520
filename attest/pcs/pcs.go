// Package pcs verifies the objects that Intel's Provisioning Certification
// Service hands out, each by itself. It answers one question: did Intel sign
// this, whatever quote it may be for?
//
// It stands on the relying party's side of the trust boundary, where objects are
// fetched and kept before there is a quote to verify. Which TCB they speak of,
// and what follows from it, is the business of packages tdx and sgx;
// [FromCollateralJSON] reads what others kept for them.
package pcs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// Verifier verifies objects up to one root. It is immutable and safe for
// concurrent use. The zero Verifier refuses everything.
type Verifier struct{ root *x509.Certificate }

// NewVerifier returns the Verifier that trusts Intel's SGX Root CA.
func NewVerifier() (*Verifier, error) {
	root, err := dcap.Root()
	if err != nil {
		return nil, fmt.Errorf("pcs: %w", err)
	}
	return &Verifier{root}, nil
}

// NewVerifierWithRoot returns a Verifier that trusts the given root, DER, and
// not Intel's.
func NewVerifierWithRoot(der []byte) (*Verifier, error) {
	root, err := dcap.RootOf(der)
	if err != nil {
		return nil, fmt.Errorf("pcs: %w", err)
	}
	return &Verifier{root}, nil
}

// Names of the checks.
const (
	checkSigner   = "hardware.tcb_chain"
	checkDocument = "hardware.tcb_signature"
	checkCRL      = "hardware.pck_crl"
)

// chainLength is what Intel sends beside an object: its signer and the root.
const chainLength = 2

// tcbSigner is the name of the only certificate that signs TCB info and QE
// identities (PCS API v4, Get TCB Info).
const tcbSigner = "Intel SGX TCB Signing"

// The members of the two documents that are signed.
const (
	MemberTCBInfo    = "tcbInfo"
	MemberQEIdentity = "enclaveIdentity"
)

// CheckDocument verifies the signature of a TCB info or QE identity, whose
// signed part is the member given. chain is the signer and the root, PEM. The
// error is an [*attest.Failure].
func (v *Verifier) CheckDocument(doc, chain []byte, member string, at time.Time) error {
	signer, err := v.signer(chain, at)
	if err != nil {
		return err
	}
	if name := signer.Subject.CommonName; name != tcbSigner || signer.IsCA {
		return attest.NewFailure(checkSigner, attest.CodeBadChain, pki.Brief(name), tcbSigner+", which is no CA")
	}
	raw, signature, err := splitSigned(doc, member)
	if err != nil {
		return attest.NewFailure(checkDocument, attest.CodeMalformed, err.Error(), member+" and its signature")
	}
	key, ok := signer.PublicKey.(*ecdsa.PublicKey)
	sum := sha256.Sum256(raw)
	if !ok || !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return attest.NewFailure(checkDocument, attest.CodeBadSignature, member+" that its signer did not sign", "signed by "+tcbSigner)
	}
	return nil
}

// CheckCRL verifies the signature of a CRL and returns the name of its issuer.
// chain is the issuing CA and the root, PEM; without one the root itself must
// have issued it. Neither its dates nor what it withdraws are looked at. The
// error is an [*attest.Failure].
func (v *Verifier) CheckCRL(der, chain []byte, at time.Time) (issuer string, err error) {
	if v == nil || v.root == nil {
		return "", attest.NewFailure(checkCRL, attest.CodeUntrustedRoot, "no root to trust", "one")
	}
	ca := v.root
	if chain != nil {
		if ca, err = v.signer(chain, at); err != nil {
			return "", err
		}
	}
	if _, err := pki.ParseCRL(der, ca, x509.ECDSAWithSHA256); err != nil {
		return "", attest.NewFailure(checkCRL, attest.CodeBadCRL, err.Error(), "a CRL of "+pki.Brief(ca.Subject.CommonName))
	}
	return ca.Subject.CommonName, nil
}

// signer verifies a chain of two and returns its leaf.
func (v *Verifier) signer(text []byte, at time.Time) (*x509.Certificate, error) {
	if v == nil || v.root == nil {
		return nil, attest.NewFailure(checkSigner, attest.CodeUntrustedRoot, "no root to trust", "one")
	}
	chain, err := pki.ParsePEM(text, chainLength)
	if err != nil {
		return nil, attest.NewFailure(checkSigner, attest.CodeMalformed, err.Error(), "the signer and the root, PEM")
	}
	path := pki.Path{Root: v.root, Algorithm: x509.ECDSAWithSHA256, Curve: elliptic.P256(), Length: chainLength, LeafIssues: true}
	if problem := path.Check(chain); problem != nil {
		return nil, &attest.Failure{Checks: []attest.Check{problem.Check(checkSigner)}}
	}
	if span := pki.Span(chain...); !span.Contains(at) {
		return nil, attest.NewFailure(checkSigner, attest.CodeExpired, "valid from "+pki.Date(span.NotBefore)+" to "+pki.Date(span.NotAfter), "valid at "+pki.Date(at))
	}
	return chain[0], nil
}

// splitSigned returns the text of the member as it stands in the document, which
// is what is signed, and the signature: r and s, 32 bytes each, in hex.
func splitSigned(doc []byte, member string) (raw, signature []byte, err error) {
	r, err := strictjson.NewReader(doc, strictjson.Limits{Bytes: attest.MaxEndorsement})
	if err != nil {
		return nil, nil, err
	}
	err = r.Object(func(name string) error {
		var err error
		switch name {
		case member:
			raw, err = r.Skip()
		case "signature":
			var text string
			if text, err = r.String(); err == nil {
				signature, err = hex.DecodeString(text)
			}
		default:
			err = fmt.Errorf("member %s, expected %s and signature", pki.Brief(name), member)
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err == nil && (len(raw) == 0 || len(signature) != 64) {
		err = fmt.Errorf("signature of %d bytes over %d, expected 64 over some", len(signature), len(raw))
	}
	if err != nil {
		return nil, nil, err
	}
	return raw, signature, nil
}
