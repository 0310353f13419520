package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
)

// MaxCertificate is the most bytes of one certificate in DER. Those of the
// vendors have 500 to 2000.
const MaxCertificate = 8 << 10

// ParseCertificate reads exactly one certificate. The result shares no memory
// with der.
//
// A certificate in the vendors' usual form is read here, all others by
// crypto/x509, which also says what is wrong with those that are none. Either
// way these fields are set as crypto/x509 sets them, and no others may be used:
// Raw, RawTBSCertificate, RawSubjectPublicKeyInfo, RawSubject, RawIssuer,
// Signature, SignatureAlgorithm, PublicKeyAlgorithm, PublicKey, Version,
// SerialNumber, NotBefore, NotAfter, KeyUsage, Extensions,
// UnhandledCriticalExtensions, ExtKeyUsage, UnknownExtKeyUsage,
// BasicConstraintsValid, IsCA, MaxPathLen, MaxPathLenZero, SubjectKeyId,
// AuthorityKeyId, and of Issuer and Subject the CommonName.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > MaxCertificate {
		return nil, fmt.Errorf("pki: certificate of %d bytes, the limit is %d", len(der), MaxCertificate)
	}
	der = bytes.Clone(der)
	if cert := readCertificate(der); cert != nil {
		return cert, nil
	}
	cert, err := x509.ParseCertificate(der) // which refuses bytes after the end
	if err != nil {
		return nil, fmt.Errorf("pki: malformed certificate: %w", err)
	}
	return cert, nil
}

const (
	pemBegin = "-----BEGIN CERTIFICATE-----"
	pemEnd   = "-----END CERTIFICATE-----"
	pemSpace = " \t\r\n"
)

// ParsePEM reads certificates in the order given: at least one and at most
// limit blocks of type CERTIFICATE, and nothing else but white space.
func ParsePEM(text []byte, limit int) ([]*x509.Certificate, error) {
	blocks, err := SplitPEM(text, limit)
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, len(blocks))
	for i, der := range blocks {
		if certs[i], err = ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

// SplitPEM returns the DER of each block of a text that [ParsePEM] reads,
// without looking into it. encoding/pem is not used: it skips what it cannot
// read, so that two readers may see different lists.
func SplitPEM(text []byte, limit int) ([][]byte, error) {
	var blocks [][]byte
	rest := bytes.TrimLeft(text, pemSpace)
	for len(rest) != 0 {
		if len(blocks) >= limit {
			return nil, fmt.Errorf("pki: more than %d certificates in PEM", limit)
		}
		der, after, err := pemBlock(rest)
		if err != nil {
			return nil, fmt.Errorf("pki: certificate %d in PEM: %w", len(blocks)+1, err)
		}
		blocks = append(blocks, der)
		rest = bytes.TrimLeft(after, pemSpace)
	}
	if len(blocks) == 0 {
		return nil, errors.New("pki: no certificate in PEM")
	}
	return blocks, nil
}

// pemBlock reads the block at the start of text and returns what follows it.
// RFC 7468 allows no headers in a certificate's block.
func pemBlock(text []byte) (der, after []byte, err error) {
	body, found := bytes.CutPrefix(text, []byte(pemBegin))
	if !found {
		return nil, nil, fmt.Errorf("begins with %s, expected %q", Brief(string(text[:min(len(text), 40)])), pemBegin)
	}
	end := bytes.Index(body, []byte(pemEnd))
	if end < 0 {
		return nil, nil, fmt.Errorf("no line %q", pemEnd)
	}
	if end > 2*MaxCertificate {
		return nil, nil, fmt.Errorf("%d characters, the limit is %d", end, 2*MaxCertificate)
	}
	der = make([]byte, base64.StdEncoding.DecodedLen(end))
	// The decoder passes over line breaks and refuses every other character that
	// is not of the alphabet.
	n, err := base64.StdEncoding.Strict().Decode(der, body[:end])
	if err != nil {
		return nil, nil, errors.New("not base64")
	}
	return der[:n:n], body[end+len(pemEnd):], nil
}
