// Package jws signs and reads the few things that a box says outside any
// connection: receipts and the heads of its audit log. It answers one question:
// did the holder of this key sign these bytes, as this type of statement?
//
// The form is the compact serialization of JSON Web Signature (RFC 7515, 7.1)
// with ES256 (RFC 7518, 3.4), so that any JOSE library can check it. Of
// everything that JWS permits, one spelling is read here: the protected header is
// fixed but for the type and the two coordinates of the key, so there is no
// algorithm to choose, nothing to fetch, and no second encoding.
//
// The header carries the public key. That says nothing about whose key it is:
// whoever opens a token must compare [Opened.Key] with a key that hardware
// evidence names. The package stands on both sides of the trust boundary.
package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The protected header, in pieces. The order of its members is part of the form.
const (
	headType = `{"alg":"ES256","typ":"`
	headX    = `","jwk":{"kty":"EC","crv":"P-256","x":"`
	headY    = `","y":"`
	headEnd  = `"}}`
)

const (
	coordinate = 32 // bytes of x, y, r and s on P-256
	maxType    = 64
)

// strict refuses base64 with line breaks or with bits set behind the end.
func strict() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// Signer signs tokens with one P-256 key. It is safe for concurrent use if the
// key is.
type Signer struct {
	key  crypto.Signer
	x, y string
	id   [32]byte
}

// NewSigner refuses every key but ECDSA on P-256.
func NewSigner(key crypto.Signer) (*Signer, error) {
	if key == nil {
		return nil, errors.New("jws: no key")
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, fmt.Errorf("jws: a key of type %T, expected ECDSA on P-256", key.Public())
	}
	point, err := public.Bytes()
	if err != nil {
		return nil, fmt.Errorf("jws: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("jws: %w", err)
	}
	return &Signer{
		key: key, id: sha256.Sum256(spki),
		x: strict().EncodeToString(point[1 : 1+coordinate]), y: strict().EncodeToString(point[1+coordinate:]),
	}, nil
}

// KeyID returns SHA-256 over the key's DER SubjectPublicKeyInfo, which is what a
// statement calls SPKI.
func (s *Signer) KeyID() [32]byte { return s.id }

// Sign returns a token of that type over payload.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	if err := checkType(typ); err != nil {
		return "", err
	}
	header := headType + typ + headX + s.x + headY + s.y + headEnd
	signed := strict().EncodeToString([]byte(header)) + "." + strict().EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	der, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("jws: %w", err)
	}
	raw, err := fromDER(der)
	if err != nil {
		return "", err
	}
	return signed + "." + strict().EncodeToString(raw), nil
}

func checkType(typ string) error {
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '+' && c != '.'
	}
	if typ == "" || len(typ) > maxType || strings.ContainsFunc(typ, odd) {
		return fmt.Errorf("jws: type %q, expected up to %d of a-z, 0-9, \"-\", \"+\" and \".\"", typ, maxType)
	}
	return nil
}

// fromDER makes r and s of fixed size of what crypto.Signer returns (RFC 7518, 3.4).
func fromDER(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) != 0 {
		return nil, errors.New("jws: the signer returned no ECDSA signature")
	}
	if sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 8*coordinate || sig.S.BitLen() > 8*coordinate {
		return nil, errors.New("jws: the signer returned a signature that is out of range")
	}
	raw := make([]byte, 2*coordinate)
	sig.R.FillBytes(raw[:coordinate])
	sig.S.FillBytes(raw[coordinate:])
	return raw, nil
}

// Opened is a token whose signature is right by the key that it carries.
type Opened struct {
	Payload []byte
	// Key is SHA-256 over the signer's DER SubjectPublicKeyInfo.
	Key [32]byte
}

// ErrSignature says that a token can be read and was not signed like that.
var ErrSignature = errors.New("jws: the signature is not one by the key in the header")

// Open reads a token of that type whose payload has at most limit bytes.
func Open(token, typ string, limit int) (Opened, error) {
	if err := checkType(typ); err != nil {
		return Opened{}, err
	}
	// The size is bounded before anything is decoded.
	most := strict().EncodedLen(headerSize(typ)) + 1 + strict().EncodedLen(limit) + 1 + strict().EncodedLen(2*coordinate)
	if len(token) > most {
		return Opened{}, fmt.Errorf("jws: a token of %d bytes, limit %d", len(token), most)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Opened{}, fmt.Errorf("jws: %d parts with dots between, expected 3", len(parts))
	}
	key, id, err := readHeader(parts[0], typ)
	if err != nil {
		return Opened{}, err
	}
	payload, err := decode(parts[1])
	if err != nil {
		return Opened{}, fmt.Errorf("jws: payload: %w", err)
	}
	raw, err := decode(parts[2])
	switch {
	case err != nil:
		return Opened{}, fmt.Errorf("jws: signature: %w", err)
	case len(raw) != 2*coordinate:
		return Opened{}, fmt.Errorf("jws: a signature of %d bytes, expected %d", len(raw), 2*coordinate)
	}
	sum := sha256.Sum256([]byte(token[:len(parts[0])+1+len(parts[1])]))
	r, s := new(big.Int).SetBytes(raw[:coordinate]), new(big.Int).SetBytes(raw[coordinate:])
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil || !ecdsa.VerifyASN1(key, sum[:], der) {
		return Opened{}, ErrSignature
	}
	return Opened{Payload: payload, Key: id}, nil
}

// decode reads base64url. The decoder would skip line breaks.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("a line break in base64url")
	}
	data, err := strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64url without padding")
	}
	return data, nil
}

func headerSize(typ string) int {
	return len(headType) + len(typ) + len(headX) + len(headY) + len(headEnd) + 2*strict().EncodedLen(coordinate)
}

// readHeader accepts the one spelling that Sign writes.
func readHeader(text, typ string) (*ecdsa.PublicKey, [32]byte, error) {
	header, err := decode(text)
	if err != nil {
		return nil, [32]byte{}, fmt.Errorf("jws: header: %w", err)
	}
	n := strict().EncodedLen(coordinate)
	rest, right := strings.CutPrefix(string(header), headType+typ+headX)
	if !right || len(header) != headerSize(typ) || rest[n:n+len(headY)] != headY || rest[2*n+len(headY):] != headEnd {
		return nil, [32]byte{}, fmt.Errorf("jws: the header is not that of a token of type %q by ES256", typ)
	}
	point := []byte{4} // uncompressed (SEC 1, 2.3.3)
	for _, text := range []string{rest[:n], rest[n+len(headY) : 2*n+len(headY)]} {
		c, err := decode(text)
		if err != nil {
			return nil, [32]byte{}, fmt.Errorf("jws: key: %w", err)
		}
		point = append(point, c...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, [32]byte{}, errors.New("jws: the key is no point of P-256")
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, [32]byte{}, fmt.Errorf("jws: %w", err)
	}
	return key, sha256.Sum256(spki), nil
}
