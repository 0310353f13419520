package dcap

import (
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // for the root
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// intelRoot is Intel's SGX Root CA; roots/ORIGIN.md says where it is from.
//
//go:embed roots/intel_sgx_root_ca.der
var intelRoot []byte

// intelRootPin is the SHA-256 of the whole certificate. Pinning the certificate
// rather than its key also fixes the validity and the constraints that Intel
// signed with it.
const intelRootPin = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"

// pinned returns the certificate if its SHA-256 is pin.
func pinned(der []byte, pin string) (*x509.Certificate, error) {
	if got := sha256.Sum256(der); hex.EncodeToString(got[:]) != pin {
		return nil, fmt.Errorf("dcap: root with SHA-256 %x, expected the pinned %s", got, pin)
	}
	return readRoot(der)
}

// readRoot reads a certificate that may stand at the end of a chain.
func readRoot(der []byte) (*x509.Certificate, error) {
	root, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("dcap: root: %w", err)
	}
	const both = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if !root.BasicConstraintsValid || !root.IsCA || root.KeyUsage&both != both {
		return nil, fmt.Errorf("dcap: root %s may not sign certificates and CRLs", pki.Brief(root.Subject.CommonName))
	}
	// A root in another form than Intel's is refused here rather than at each quote.
	if err := root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature); err != nil {
		return nil, fmt.Errorf("dcap: root %s is not signed by itself", pki.Brief(root.Subject.CommonName))
	}
	return root, nil
}
