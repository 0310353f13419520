package nitro

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// awsRoot is CN=aws.nitro-enclaves, valid from 2019 to 2049, of AWS's commercial
// regions.
//
//go:embed roots/aws-nitro-enclaves-g1.der
var awsRoot []byte

// awsRootSHA256 is the fingerprint that AWS publishes for it (Nitro Enclaves
// User Guide, "Verifying the root of trust").
const awsRootSHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

// loadAWSRoot returns the embedded root if it is the published one.
func loadAWSRoot() ([]byte, error) {
	if got := fmt.Sprintf("%x", sha256.Sum256(awsRoot)); got != awsRootSHA256 {
		return nil, fmt.Errorf("nitro: embedded AWS root has SHA-256 %s, expected %s", got, awsRootSHA256)
	}
	return awsRoot, nil
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
	case !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("nitro: root is not a CA that may sign certificates")
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, errors.New("nitro: root did not sign itself")
	}
	return cert, nil
}
