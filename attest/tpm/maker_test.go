package tpm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

func attestTime() time.Time { return attesttest.Epoch() }

// maker certifies endorsement keys.
type maker struct {
	root *x509.Certificate
	key  crypto.Signer
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &maker{root: issue(t, template("maker", 1), nil, key.Public(), key), key: key}
}

func template(name string, pathLen int) *x509.Certificate {
	at := attestTime()
	return tpmforge.Template(name, 7, pathLen, at.AddDate(-1, 0, 0), at.AddDate(1, 0, 0))
}

func issue(t *testing.T, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	cert, err := tpmforge.Issue(template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// ek returns the certificate of an endorsement key, and the maker's, PEM. A maker
// of RSA keys has an RSA root.
func (m *maker) ek(t *testing.T, key crypto.PublicKey, edits ...func(*x509.Certificate)) []byte {
	t.Helper()
	if _, ok := key.(*rsa.PublicKey); ok {
		signer, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		m.root, m.key = issue(t, template("maker", 1), nil, signer.Public(), signer), signer
	}
	leaf, err := tpmforge.EKCertificate(template("", -1))
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		edit(leaf)
	}
	return tpmforge.PEM(issue(t, leaf, m.root, key, m.key), m.root)
}

// pemCertificates reads a chain with the standard library.
func pemCertificates(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}
