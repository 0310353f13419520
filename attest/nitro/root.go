package nitro

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// pinned returns a Verifier for a root that is compiled in, if it is the one that
// was published.
func pinned(files embed.FS, name, sum string) (*Verifier, error) {
	der, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("nitro: root: %w", err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(der)); got != sum {
		return nil, fmt.Errorf("nitro: embedded root has SHA-256 %s, expected %s", got, sum)
	}
	return NewVerifierWithRoots(der)
}

// parseRoot reads a certificate that is going to be trusted.
func parseRoot(der []byte) (*x509.Certificate, error) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("nitro: root: %w", err)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || key.Curve != elliptic.P384():
		return nil, fmt.Errorf("nitro: root has a key of %s, expected ECDSA P-384", pki.KeyKind(cert))
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("nitro: root may not sign certificates (key usage)")
	}
	// This asks for the CA bit too.
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, fmt.Errorf("nitro: root did not sign itself as a CA: %w", err)
	}
	return cert, nil
}
