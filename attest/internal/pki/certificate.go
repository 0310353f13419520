package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"
)

// reader reads certificates of the one form that the vendors' have in common
// (docs/rfc/005). It knows no errors: what it does not know is odd, and odd
// certificates are crypto/x509's to judge. What it accepts crypto/x509 would
// accept too, with the same meaning; where that leaves a choice, as with bytes
// that it passes over, nothing is accepted here.
type reader struct{ odd bool }

// Tags (X.690, 8.1.2, and RFC 5280, 4.1: the explicit ones of TBSCertificate).
const (
	tagVersion    = 0xa0
	tagExtensions = 0xa3
	tagSequence   = 0x30
	tagSet        = 0x31
)

// maxExtensions bounds the search for an extension that comes twice. AMD's
// certificates have 11 to 16 of them.
const maxExtensions = 32

// readCertificate returns nil for an odd certificate. The result shares memory
// with der.
func readCertificate(der []byte) *x509.Certificate {
	r, c := reader{}, &x509.Certificate{Raw: der, Version: 3}
	cert := r.whole(der, tagSequence)
	var tbs []byte
	c.RawTBSCertificate, tbs = r.element(&cert, tagSequence)
	outer, _ := r.element(&cert, tagSequence)
	c.Signature = r.bits(&cert)
	r.end(cert)

	r.want(string(r.take(&tbs, tagVersion)) == "\x02\x01\x02")
	c.SerialNumber = r.natural(&tbs)
	inner, _ := r.element(&tbs, tagSequence)
	r.want(bytes.Equal(inner, outer))
	c.SignatureAlgorithm = signatureAlgorithm(inner)
	r.want(c.SignatureAlgorithm != x509.UnknownSignatureAlgorithm)
	c.RawIssuer, c.Issuer.CommonName = r.name(&tbs)
	validity := r.take(&tbs, tagSequence)
	c.NotBefore, c.NotAfter = r.time(&validity), r.time(&validity)
	r.end(validity)
	c.RawSubject, c.Subject.CommonName = r.name(&tbs)
	r.key(&tbs, c)
	r.extensions(r.whole(r.take(&tbs, tagExtensions), tagSequence), c)
	r.end(tbs)
	if r.odd {
		return nil
	}
	return c
}

func (r *reader) want(ok bool) { r.odd = r.odd || !ok }

// end wants nothing to be left.
func (r *reader) end(rest []byte) { r.want(len(rest) == 0) }

// element cuts the element of a tag off rest and returns it with and without its
// head. Lengths are in their shortest form (X.690, 10.1), of at most two bytes.
func (r *reader) element(rest *[]byte, tag byte) (raw, content []byte) {
	b := *rest
	*rest = nil // so that no loop goes on
	if len(b) < 2 || b[0] != tag {
		r.odd = true
		return nil, nil
	}
	head, size := 2, int(b[1])
	switch {
	case size == 0x81 && len(b) > 2:
		head, size = 3, int(b[2])
		r.want(size >= 0x80)
	case size == 0x82 && len(b) > 3:
		head, size = 4, int(b[2])<<8|int(b[3])
		r.want(size >= 0x100)
	default:
		r.want(size < 0x80)
	}
	if size > len(b)-head {
		r.odd = true
		return nil, nil
	}
	end := head + size
	*rest = b[end:]
	return b[:end:end], b[head:end:end]
}

// take is element without the head.
func (r *reader) take(rest *[]byte, tag byte) []byte {
	_, content := r.element(rest, tag)
	return content
}

// whole returns the content of an element that has nothing behind it.
func (r *reader) whole(b []byte, tag byte) []byte {
	content := r.take(&b, tag)
	r.end(b)
	return content
}

// bits reads a BIT STRING of whole bytes.
func (r *reader) bits(rest *[]byte) []byte {
	b := r.take(rest, asn1.TagBitString)
	if len(b) == 0 || b[0] != 0 {
		r.odd = true
		return nil
	}
	return b[1:]
}

// natural reads an INTEGER that is not negative.
func (r *reader) natural(rest *[]byte) *big.Int {
	b := r.take(rest, asn1.TagInteger)
	if len(b) == 0 || b[0] >= 0x80 || len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
		r.odd = true
		return nil
	}
	return new(big.Int).SetBytes(b)
}

// boolean reads a BOOLEAN that may be left out, which is how DER writes FALSE.
func (r *reader) boolean(rest *[]byte) bool {
	if len(*rest) == 0 || (*rest)[0] != asn1.TagBoolean {
		return false
	}
	r.want(string(r.take(rest, asn1.TagBoolean)) == "\xff")
	return true
}

// name reads a Name and returns its last common name, as crypto/x509 does. All
// attributes are X.520's, 2.5.4.n.
func (r *reader) name(rest *[]byte) (raw []byte, commonName string) {
	raw, list := r.element(rest, tagSequence)
	var last []byte
	for len(list) != 0 {
		for set := r.take(&list, tagSet); len(set) != 0; {
			attribute := r.take(&set, tagSequence)
			id := r.take(&attribute, asn1.TagOID)
			r.want(len(id) == 3 && id[0] == 0x55 && id[1] == 4 && id[2] < 0x80)
			value := r.text(attribute)
			if len(id) == 3 && id[2] == 3 {
				last = value
			}
		}
	}
	return raw, string(last)
}

// text reads a string of one of the two types in use.
func (r *reader) text(b []byte) []byte {
	if len(b) != 0 && b[0] == asn1.TagUTF8String {
		s := r.whole(b, asn1.TagUTF8String)
		r.want(utf8.Valid(s))
		return s
	}
	s := r.whole(b, asn1.TagPrintableString)
	for _, c := range s { // X.680, 41.4
		r.want('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(" '()+,-./:=?", c) >= 0)
	}
	return s
}

// time reads a UTCTime or GeneralizedTime in the form that RFC 5280 wants
// (4.1.2.5): to the second, in UTC.
func (r *reader) time(rest *[]byte) time.Time {
	century, s := r.century(rest)
	if len(s) != len("060102150405Z") || s[12] != 'Z' {
		r.odd = true
		return time.Time{}
	}
	var n [6]int // year to second
	for i := range n {
		n[i] = r.digits(s[2*i:])
	}
	t := time.Date(100*century+n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, time.UTC)
	// time.Date makes the 2nd of March of the 30th of February. Too many days change
	// the month, too many minutes the hour.
	r.want(int(t.Month()) == n[1] && t.Hour() == n[3] && t.Second() == n[5])
	return t
}

// century returns the first two digits of a year, which a UTCTime leaves out, and
// what follows them.
func (r *reader) century(rest *[]byte) (int, []byte) {
	if len(*rest) != 0 && (*rest)[0] == asn1.TagUTCTime {
		s := r.take(rest, asn1.TagUTCTime)
		if len(s) != 0 && s[0] >= '5' {
			return 19, s
		}
		return 20, s
	}
	s := r.take(rest, asn1.TagGeneralizedTime)
	if len(s) < 2 {
		return 0, nil
	}
	return r.digits(s), s[2:]
}

// digits reads two digits.
func (r *reader) digits(s []byte) int {
	r.want('0' <= s[0] && s[0] <= '9' && '0' <= s[1] && s[1] <= '9')
	return 10*int(s[0]-'0') + int(s[1]-'0')
}

// key reads the public key. That a point is on its curve is for crypto/ecdsa to
// establish; how large a modulus has to be, for [Path].
func (r *reader) key(rest *[]byte, c *x509.Certificate) {
	var info []byte
	c.RawSubjectPublicKeyInfo, info = r.element(rest, tagSequence)
	algorithm, _ := r.element(&info, tagSequence)
	bits := r.bits(&info)
	r.end(info)
	if r.odd {
		return
	}
	if string(algorithm) == rsaEncryption {
		numbers := r.whole(bits, tagSequence)
		key := &rsa.PublicKey{N: r.natural(&numbers), E: 65537}
		r.want(string(numbers) == "\x02\x03\x01\x00\x01" && key.N != nil && key.N.Sign() > 0)
		c.PublicKeyAlgorithm, c.PublicKey = x509.RSA, key
		return
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curveOf(algorithm), bits) // which refuses no curve, too
	r.want(err == nil)
	c.PublicKeyAlgorithm, c.PublicKey = x509.ECDSA, key
}

// AlgorithmIdentifiers of keys (RFC 3279, 2.3.1; RFC 5480, 2.1.1).
const (
	rsaEncryption = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
	ecPublicKey   = "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
)

func curveOf(algorithm []byte) elliptic.Curve {
	switch string(algorithm) {
	case "\x30\x13" + ecPublicKey + "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07":
		return elliptic.P256()
	case "\x30\x10" + ecPublicKey + "\x06\x05\x2b\x81\x04\x00\x22":
		return elliptic.P384()
	}
	return nil
}

// signatureAlgorithm knows those of the vendors, each in one encoding: ECDSA (RFC
// 5758, 3.2), RSA (RFC 4055, 5), and AMD's RSA-PSS with SHA-384, MGF1 with the
// same and 48 bytes of salt (RFC 4055, 3.1).
func signatureAlgorithm(id []byte) x509.SignatureAlgorithm {
	const (
		ecdsaWith = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"
		pkcs1     = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
		sha384    = "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00"
		mgf1      = "\x30\x1a" + pkcs1 + "\x08" + sha384
		pss       = "\xa0\x0f" + sha384 + "\xa1\x1c" + mgf1 + "\xa2\x03\x02\x01\x30"
	)
	switch string(id) {
	case ecdsaWith + "\x02":
		return x509.ECDSAWithSHA256
	case ecdsaWith + "\x03":
		return x509.ECDSAWithSHA384
	case "\x30\x0d" + pkcs1 + "\x0b\x05\x00":
		return x509.SHA256WithRSA
	case "\x30\x0d" + pkcs1 + "\x0c\x05\x00":
		return x509.SHA384WithRSA
	case "\x30\x41" + pkcs1 + "\x0a\x30\x34" + pss, // the trailer left out, as DER wants it
		"\x30\x46" + pkcs1 + "\x0a\x30\x39" + pss + "\xa3\x03\x02\x01\x01": // or written, as by AMD
		return x509.SHA384WithRSAPSS
	}
	return x509.UnknownSignatureAlgorithm
}
