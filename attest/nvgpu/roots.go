package nvgpu

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// SHA-256 of each root's DER. Pinning the certificate rather than its key also
// fixes the validity and the constraints that NVIDIA signed with it.
const (
	deviceRootPin = "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
	rimRootPin    = "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"
)

// Roots are what a relying party trusts, each as a whole certificate in DER.
type Roots struct {
	Device []byte // signs down to the keys in the devices
	RIM    []byte // signs down to the manifests
}

func nvidiaRoots() (Roots, error) { return pinnedRoots(deviceRootPEM, rimRootPEM) }

func pinnedRoots(deviceRoot, rimRoot string) (Roots, error) {
	device, err := pinned(deviceRoot, deviceRootPin)
	if err != nil {
		return Roots{}, fmt.Errorf("nvgpu: device root: %w", err)
	}
	rim, err := pinned(rimRoot, rimRootPin)
	if err != nil {
		return Roots{}, fmt.Errorf("nvgpu: RIM root: %w", err)
	}
	return Roots{Device: device, RIM: rim}, nil
}

func pinned(text, pin string) ([]byte, error) {
	certs, err := pki.SplitPEM([]byte(text), 1)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(certs[0]); hex.EncodeToString(got[:]) != pin {
		return nil, fmt.Errorf("SHA-256 %x, expected the pinned %s", got, pin)
	}
	return certs[0], nil
}

// parseRoot reads a certificate that is to be trusted.
func parseRoot(name string, der []byte) (*x509.Certificate, error) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("nvgpu: %s root: %w", name, err)
	}
	switch {
	case !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("nvgpu: %s root %s may not issue certificates", name, pki.Brief(cert.Subject.CommonName))
	case !bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return nil, fmt.Errorf("nvgpu: %s root %s was issued by %s, expected itself", name, pki.Brief(cert.Subject.CommonName), pki.Brief(cert.Issuer.CommonName))
	case pki.KeyKind(cert) != "ECDSA "+elliptic.P384().Params().Name:
		return nil, fmt.Errorf("nvgpu: %s root has a key of %s, expected ECDSA P-384", name, pki.KeyKind(cert))
	}
	return cert, nil
}
