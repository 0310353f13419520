package nvforge

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// Answer is an OCSP response (RFC 6960, 4.2.1).
type Answer struct {
	Cert, Issuer *x509.Certificate // which the response is about
	Status       byte              // 0 good, 1 revoked, 2 unknown
	Reason       int               // of status 1
	RevokedAt    time.Time
	ThisUpdate   time.Time
	NextUpdate   time.Time // zero: left out
	Signer       *CA
	Delegates    []*CA // certificates in the response
	SHA384       bool  // names the issuer by SHA-384, not SHA-1
	ByKey        bool  // names the responder by its key, not its name
	Critical     bool  // with a critical extension
	// Code is the response's status, 0 for successful.
	Code byte
	// Times is how often the one answer is repeated, 0 for once.
	Times int
	// Edit changes the data before it is signed.
	Edit func(tbs []byte) []byte
}

func generalized(t time.Time) []byte { return der(0x18, []byte(t.UTC().Format("20060102150405Z"))) }

func integer(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return der(0x02, b)
}

// keyBits returns the content of the key's BIT STRING: for P-384 the last 97
// bytes of the SubjectPublicKeyInfo.
func keyBits(cert *x509.Certificate) []byte {
	spki := cert.RawSubjectPublicKeyInfo
	return spki[len(spki)-97:]
}

func (a Answer) certID() []byte {
	algorithm, name, key := []byte{6, 5, 0x2b, 0x0e, 3, 2, 0x1a}, sum1(a.Issuer.RawSubject), sum1(keyBits(a.Issuer))
	if a.SHA384 {
		n, k := sha512.Sum384(a.Issuer.RawSubject), sha512.Sum384(keyBits(a.Issuer))
		algorithm, name, key = oidSHA384, n[:], k[:]
	}
	return der(0x30, der(0x30, algorithm, []byte{5, 0}), der(4, name), der(4, key), integer(a.Cert.SerialNumber))
}

func sum1(b []byte) []byte { s := sha1.Sum(b); return s[:] }

func (a Answer) status() []byte {
	if a.Status != 1 {
		return der(0x80 | a.Status)
	}
	at := a.RevokedAt
	if at.IsZero() {
		at = a.ThisUpdate
	}
	return der(0xa1, generalized(at), der(0xa0, der(0x0a, []byte{byte(a.Reason)})))
}

func (a Answer) tbs() []byte {
	single := [][]byte{a.certID(), a.status(), generalized(a.ThisUpdate)}
	if !a.NextUpdate.IsZero() {
		single = append(single, der(0xa0, generalized(a.NextUpdate)))
	}
	id := der(0xa1, a.Signer.Cert.RawSubject)
	if a.ByKey {
		id = der(0xa2, der(4, sum1(keyBits(a.Signer.Cert))))
	}
	var list []byte
	for range max(1, a.Times) {
		list = append(list, der(0x30, single...)...)
	}
	parts := [][]byte{id, generalized(a.ThisUpdate), der(0x30, list)}
	if a.Critical {
		parts = append(parts, der(0xa1, der(0x30, der(0x30, []byte{6, 3, 0x2a, 3, 4}, []byte{1, 1, 0xff}, der(4, []byte{5, 0})))))
	}
	return der(0x30, parts...)
}

// Encode signs the response.
func (a Answer) Encode() ([]byte, error) {
	if a.Code != 0 {
		return der(0x30, der(0x0a, []byte{a.Code})), nil
	}
	tbs := a.tbs()
	if a.Edit != nil {
		tbs = a.Edit(tbs)
	}
	sum := sha512.Sum384(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, a.Signer.Key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("nvforge: sign an OCSP response: %w", err)
	}
	ecdsaSHA384 := der(0x30, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3})
	basic := [][]byte{tbs, ecdsaSHA384, der(3, []byte{0}, signature)}
	if len(a.Delegates) > 0 {
		var certs []byte
		for _, d := range a.Delegates {
			certs = append(certs, d.Cert.Raw...)
		}
		basic = append(basic, der(0xa0, der(0x30, certs)))
	}
	oid := []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1}
	return der(0x30, der(0x0a, []byte{0}), der(0xa0, der(0x30, oid, der(4, der(0x30, basic...))))), nil
}
