package dcap

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// intelPin names one of Intel's certificates by the SHA-256 of its whole DER
// encoding. Pinning the certificate rather than its key also fixes the validity
// and the constraints that Intel signed with it.
type intelPin struct{ file, sha256 string }

// intelRoot is Intel's SGX Root CA, the only thing that is trusted.
func intelRoot() intelPin {
	return intelPin{"intel_sgx_root_ca", "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"}
}

// intelKnown are certificates that the root issued and nearly every quote comes
// with. Knowing them adds no trust: each is verified under the root when an
// Engine is made, which saves doing it again for each quote.
func intelKnown() []intelPin {
	return []intelPin{
		{"pck_platform_ca", "22eb770dca215b607b5ccfc21a672b1da5cc660b1ad0365020567979edcaa0e1"},
		{"pck_processor_ca", "13b2dccef8fc4ec977ee5249743b0f758ebd1e28d768b2e1e12bc348adaa09fb"},
		{"tcb_signing_2018", "ec37d98107bfb7dab6ff8de4d4dda6fde30a6f50b0d7b03eefb5652f1e652969"},
		{"tcb_signing_2025", "c0575e76d0303b61d09cde8cbdb70db34a74f38318300d7c0e6ba8cf4bf45aea"},
	}
}

// load returns the certificate if its SHA-256 is the pinned one.
func (p intelPin) load() (*x509.Certificate, error) {
	der, err := intelFiles.ReadFile("roots/" + p.file + ".der")
	if err != nil {
		return nil, fmt.Errorf("dcap: read Intel's certificate: %w", err)
	}
	return pinned(der, p.sha256)
}

func pinned(der []byte, pin string) (*x509.Certificate, error) {
	if got := sha256.Sum256(der); hex.EncodeToString(got[:]) != pin {
		return nil, fmt.Errorf("dcap: certificate with SHA-256 %x, expected the pinned %s", got, pin)
	}
	return pki.ParseCertificate(der)
}

// checkRoot establishes that a certificate may stand at the end of a chain. A
// root in another form than Intel's is refused here rather than at each quote.
func checkRoot(root *x509.Certificate) error {
	const both = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch {
	case !root.IsCA || root.KeyUsage&both != both:
		return fmt.Errorf("dcap: root %s may not sign certificates and CRLs", pki.Brief(root.Subject.CommonName))
	case root.SignatureAlgorithm != algorithm:
		return fmt.Errorf("dcap: root %s is signed with %s, expected %s", pki.Brief(root.Subject.CommonName), root.SignatureAlgorithm, algorithm)
	case root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature) != nil:
		return fmt.Errorf("dcap: root %s is not signed by itself", pki.Brief(root.Subject.CommonName))
	}
	return nil
}

// Root returns Intel's SGX Root CA, as every Engine of NewEngine trusts it.
func Root() (*x509.Certificate, error) { return intelRoot().load() }

// RootOf reads another certificate that is to stand in its place.
func RootOf(der []byte) (*x509.Certificate, error) {
	root, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("dcap: root: %w", err)
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	return root, nil
}
