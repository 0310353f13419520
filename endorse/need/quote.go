package need

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/source"
)

// quote reads the platform's type from the PCK certificate in a quote.
func (o Options) quote(kind attest.Kind, data []byte) ([]Plan, error) {
	tee := source.SGX
	if kind == attest.TDX {
		tee = source.TDX
	}
	chain, err := o.pckChain(data)
	if err != nil {
		return nil, err
	}
	fmspc, ca, err := platform(chain)
	if err != nil {
		return nil, err
	}
	tcb, err := source.TCBInfo(tee, fmspc, o.Update)
	if err != nil {
		return nil, err
	}
	qe, err := source.QEIdentity(tee, o.Update)
	if err != nil {
		return nil, err
	}
	crl, err := source.PCKCRL(ca)
	if err != nil {
		return nil, err
	}
	return []Plan{{tcb, qe, crl, source.IntelRootCRL()}}, nil
}

// pckChain returns the PCK certificate chain, PEM: the quote's own, or the one
// that was given beside it.
func (o Options) pckChain(data []byte) ([]byte, error) {
	chain, err := embeddedChain(data)
	if err == nil {
		return chain, nil
	}
	given, found, _ := o.Have.Get(attest.LabelIntelPCKChain)
	if found {
		return given, nil
	}
	return nil, err
}

// Sizes in a quote (Intel SGX DCAP Quoting Library API, appendix A; Intel TDX
// DCAP Quoting Library API, appendix A).
const (
	sizeHeader  = 48
	sizeEnclave = 384
	sizeTD10    = 584
	sizeKeys    = 64 + 64 // signature, attestation key
	sizeSigned  = sizeEnclave + 64
	teeTDX      = 0x81
	certChain   = 5 // PCK chain, PEM
	certQE      = 6 // QE report and the above
)

// cursor reads from left to right; after a failure it reads nothing.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.rest) {
		c.bad = true
		return nil
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) u16() int {
	if b := c.take(2); b != nil {
		return int(binary.LittleEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) u32() int {
	if b := c.take(4); b != nil {
		return int(min(binary.LittleEndian.Uint32(b), 1<<30))
	}
	return 0
}

func embeddedChain(data []byte) ([]byte, error) {
	c := &cursor{rest: data}
	header := c.take(sizeHeader)
	if c.bad {
		return nil, fmt.Errorf("quote of %d bytes, expected at least %d", len(data), sizeHeader)
	}
	version, tee := binary.LittleEndian.Uint16(header), binary.LittleEndian.Uint32(header[4:])
	switch {
	case version == 5:
		c.u16() // type of the body
		c.take(c.u32())
	case version == 4 && tee == teeTDX:
		c.take(sizeTD10)
	case version == 3 || version == 4:
		c.take(sizeEnclave)
	default:
		return nil, fmt.Errorf("quote of version %d, expected 3, 4 or 5", version)
	}
	c.u32() // length of what follows
	c.take(sizeKeys)
	if version >= 4 {
		if kind := c.u16(); kind != certQE && !c.bad {
			return nil, fmt.Errorf("certification data of type %d, expected %d", kind, certQE)
		}
		c.u32()
	}
	c.take(sizeSigned)
	c.take(c.u16()) // the QE's authentication data
	kind := c.u16()
	chain := c.take(c.u32())
	switch {
	case c.bad:
		return nil, errors.New("quote is cut off")
	case kind != certChain:
		return nil, fmt.Errorf("certification data of type %d, expected %d: the quote holds no PCK certificate, and Intel gives it to registered users only", kind, certChain)
	}
	return chain, nil
}

// oidSGX is the extension of a PCK certificate, oidFMSPC the platform type in it
// (Intel SGX PCK Certificate and CRL Profile, 1.3.5).
var (
	oidSGX   = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
	oidFMSPC = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 4}
)

const maxPEM = 32 << 10

// platform reads the platform type and the CA from the first certificate.
func platform(chain []byte) (fmspc [6]byte, ca string, err error) {
	if len(chain) > maxPEM {
		return fmspc, "", fmt.Errorf("PCK chain of %d bytes, limit %d", len(chain), maxPEM)
	}
	block, _ := pem.Decode(chain)
	if block == nil {
		return fmspc, "", errors.New("no certificate in the PCK chain")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmspc, "", fmt.Errorf("PCK certificate: %w", err)
	}
	switch cn := cert.Issuer.CommonName; {
	case strings.Contains(cn, "Platform CA"):
		ca = "platform"
	case strings.Contains(cn, "Processor CA"):
		ca = "processor"
	default:
		return fmspc, "", fmt.Errorf("PCK certificate issued by %.40q, expected the Platform or Processor CA", cn)
	}
	for _, x := range cert.Extensions {
		if x.Id.Equal(oidSGX) {
			fmspc, err = fmspcOf(x.Value)
			return fmspc, ca, err
		}
	}
	return fmspc, "", errors.New("PCK certificate without Intel's extension")
}

func fmspcOf(der []byte) (fmspc [6]byte, err error) {
	var list []struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &list); err != nil {
		return fmspc, fmt.Errorf("PCK extension: %w", err)
	}
	for _, e := range list {
		if e.ID.Equal(oidFMSPC) && e.Value.Tag == asn1.TagOctetString && len(e.Value.Bytes) == len(fmspc) {
			copy(fmspc[:], e.Value.Bytes)
			return fmspc, nil
		}
	}
	return fmspc, errors.New("PCK extension without an FMSPC of 6 bytes")
}

// pemCertificates reads certificates, at most limit.
func pemCertificates(text []byte, limit int) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) != 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		if block == nil || len(out) == limit {
			return nil, fmt.Errorf("expected at most %d certificates in PEM and nothing else", limit)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out, rest = append(out, cert), after
	}
	return out, nil
}
