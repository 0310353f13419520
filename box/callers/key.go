package callers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/blindbox/blindbox/internal/strictjson"
)

const (
	maxKeys = 64 // of one provider
	minRSA  = 2048
	maxRSA  = 8192
)

// algorithm is one way to sign (RFC 7518, section 3; RFC 8037, section 3.1).
// There is no other, none and those with a shared secret above all: what is signed
// with them could be made by whoever can read the public keys.
type algorithm string

const (
	rs256 algorithm = "RS256"
	ps256 algorithm = "PS256"
	es256 algorithm = "ES256"
	es384 algorithm = "ES384"
	eddsa algorithm = "EdDSA"
)

// key is a public key of a provider and the algorithms that it is for. The
// algorithm of a token never says what kind of key to make of some bytes.
type key struct {
	id     string
	algs   []algorithm
	public crypto.PublicKey
}

func (k *key) fits(alg algorithm) bool { return slices.Contains(k.algs, alg) }

// verify reports whether a signature is by this key and algorithm.
func (k *key) verify(alg algorithm, signed string, signature []byte) bool {
	if !k.fits(alg) {
		return false
	}
	sum := sha256.Sum256([]byte(signed))
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if alg == ps256 {
			return rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		if alg == es384 {
			wide := sha512.Sum384([]byte(signed))
			return verifyECDSA(public, wide[:], signature)
		}
		return verifyECDSA(public, sum[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(signed), signature)
	}
	return false
}

// verifyECDSA takes r and s of the length of the curve (RFC 7518, section 3.4).
func verifyECDSA(public *ecdsa.PublicKey, sum, signature []byte) bool {
	size := (public.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(public, sum, r, s)
}

// parseKeys reads a JWK Set (RFC 7517, section 5). Keys for other purposes, of
// other kinds, and broken ones are left out, as section 5 has it; a set without
// any that is left is an error.
func parseKeys(text []byte) ([]key, error) {
	r, err := strictjson.NewReader(text, strictjson.Limits{Bytes: maxBody, Depth: 8})
	if err != nil {
		return nil, err
	}
	var keys []key
	seen := 0
	err = r.Object(func(name string) error {
		if name != "keys" {
			_, err := r.Skip()
			return err
		}
		return r.Array(func() error {
			if seen++; seen > maxKeys {
				return fmt.Errorf("callers: more than %d keys", maxKeys)
			}
			j, err := readKey(r)
			if err != nil {
				return err
			}
			if k, err := j.key(); err == nil {
				keys = append(keys, k)
			}
			return nil
		})
	})
	if err == nil {
		err = r.End()
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errors.New("callers: no key that can be used")
	}
	return keys, nil
}

// jwk is a key as it is written.
type jwk struct {
	texts    map[string]string
	verifies bool // it may be used to verify
}

func readKey(r *strictjson.Reader) (jwk, error) {
	j := jwk{texts: map[string]string{}, verifies: true}
	err := r.Object(func(name string) (err error) {
		switch {
		case name == "key_ops" && r.Kind() == strictjson.Array:
			j.verifies = false
			return r.Array(func() error {
				op, err := r.String()
				j.verifies = j.verifies || op == "verify"
				return err
			})
		case r.Kind() == strictjson.String:
			j.texts[name], err = r.String()
		default:
			_, err = r.Skip()
		}
		return err
	})
	return j, err
}

var errKey = errors.New("callers: not a key that is used here")

// key makes the public key (RFC 7518, section 6; RFC 8037, section 2).
func (j *jwk) key() (key, error) {
	if use, ok := j.texts["use"]; ok && use != "sig" || !j.verifies {
		return key{}, errKey
	}
	k := key{id: j.texts["kid"]}
	var err error
	switch j.texts["kty"] {
	case "RSA":
		k.public, err = j.rsa()
		k.algs = []algorithm{rs256, ps256}
	case "EC":
		k.public, k.algs, err = j.curve()
	case "OKP":
		k.public, err = j.edwards()
		k.algs = []algorithm{eddsa}
	default:
		err = errKey
	}
	if err != nil {
		return key{}, err
	}
	if alg, ok := j.texts["alg"]; ok {
		if !k.fits(algorithm(alg)) {
			return key{}, errKey
		}
		k.algs = []algorithm{algorithm(alg)}
	}
	return k, nil
}

func (j *jwk) rsa() (*rsa.PublicKey, error) {
	n, err1 := decode(j.texts["n"])
	e, err2 := decode(j.texts["e"])
	if errors.Join(err1, err2) != nil || len(n) > maxRSA/8 || len(e) < 1 || len(e) > 4 {
		return nil, errKey
	}
	var wide [8]byte
	copy(wide[8-len(e):], e)
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(binary.BigEndian.Uint64(wide[:]))}
	if public.N.BitLen() < minRSA || public.E < 3 || public.E%2 == 0 || public.E > 1<<31-1 {
		return nil, errKey
	}
	return public, nil
}

func (j *jwk) curve() (*ecdsa.PublicKey, []algorithm, error) {
	var curve elliptic.Curve
	var algs []algorithm
	switch j.texts["crv"] {
	case "P-256":
		curve, algs = elliptic.P256(), []algorithm{es256}
	case "P-384":
		curve, algs = elliptic.P384(), []algorithm{es384}
	default:
		return nil, nil, errKey
	}
	size := curve.Params().BitSize / 8
	x, err1 := decode(j.texts["x"])
	y, err2 := decode(j.texts["y"])
	if errors.Join(err1, err2) != nil || len(x) != size || len(y) != size {
		return nil, nil, errKey
	}
	const uncompressed = 4 // SEC 1, section 2.3.3
	public, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{uncompressed}, x, y))
	if err != nil {
		return nil, nil, errKey
	}
	return public, algs, nil
}

func (j *jwk) edwards() (ed25519.PublicKey, error) {
	x, err := decode(j.texts["x"])
	if err != nil || j.texts["crv"] != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil, errKey
	}
	return x, nil
}
