package source

import (
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/blindbox/blindbox/attest"
)

// maxLabel is the longest label that a bundle carries.
const maxLabel = 64

// RIM is a signed reference manifest, by its id.
func RIM(id string) (Object, error) {
	if !allowed(id, "_.-", maxLabel-len(attest.LabelNVIDIARIM)) || id[0] == '.' {
		return refuse("RIM id", id, "at most 53 letters, digits, '_', '.' and '-'")
	}
	return Object{
		host: NVIDIARIM, form: FormRIM, path: "/v1/rim/" + id,
		label: attest.LabelNVIDIARIM + id, what: "RIM " + id,
	}, nil
}

// certID names a certificate in an OCSP request (RFC 6960, 4.1.1).
type certID struct {
	Algorithm pkix.AlgorithmIdentifier
	NameHash  []byte
	KeyHash   []byte
	Serial    *big.Int
}

type ocspRequest struct {
	TBS struct {
		List []ocspOne
	}
}

type ocspOne struct{ Cert certID }

// oidSHA384 is the hash that NVIDIA's own verifiers name certificates with.
var oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}

// maxSerial is the longest serial number in bytes (RFC 5280, 4.1.2.2).
const maxSerial = 20

// OCSP asks for the status of one certificate. There is no nonce: the answer is
// stapled for many readers, who judge its age by its dates.
func OCSP(cert, issuer *x509.Certificate) (Object, error) {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return Object{}, fmt.Errorf("source: key of the issuer: %w", err)
	}
	name, bits := sha512.Sum384(issuer.RawSubject), sha512.Sum384(key.Bits.RightAlign())
	var req ocspRequest
	req.TBS.List = []ocspOne{{certID{pkix.AlgorithmIdentifier{Algorithm: oidSHA384, Parameters: asn1.NullRawValue}, name[:], bits[:], cert.SerialNumber}}}
	body, err := asn1.Marshal(req)
	if err != nil {
		return Object{}, fmt.Errorf("source: OCSP request: %w", err)
	}
	return ParseOCSP(body)
}

// ParseOCSP reads a request as [OCSP] makes it.
func ParseOCSP(body []byte) (Object, error) {
	var req ocspRequest
	if len(body) > 1<<10 {
		return Object{}, fmt.Errorf("source: OCSP request of %d bytes, limit %d", len(body), 1<<10)
	}
	rest, err := asn1.Unmarshal(body, &req)
	if err != nil || len(rest) != 0 || len(req.TBS.List) != 1 {
		return Object{}, fmt.Errorf("source: not an OCSP request for one certificate without a nonce")
	}
	serial := req.TBS.List[0].Cert.Serial
	if serial == nil || serial.Sign() <= 0 || len(serial.Bytes()) > maxSerial {
		return Object{}, fmt.Errorf("source: OCSP request for a serial number that is not 1 to %d bytes", maxSerial)
	}
	id := serial.Text(16)
	return Object{
		host: NVIDIAOCSP, form: FormOCSP, path: "/", body: body,
		label: attest.LabelNVIDIAOCSP + id, what: "OCSP status of certificate " + id,
	}, nil
}
