package dcap

import "crypto/x509"

// Root returns Intel's SGX Root CA, as every Engine of NewEngine trusts it.
func Root() (*x509.Certificate, error) { return pinned(intelRoot, intelRootPin) }

// RootOf reads another certificate that is to stand in its place.
func RootOf(der []byte) (*x509.Certificate, error) { return readRoot(der) }
