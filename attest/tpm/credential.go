package tpm

import (
	"crypto"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Challenge is what only one TPM can answer, and only if it holds the key of that
// name: it gives the secret back from TPM2_ActivateCredential (Part 3, 12.5).
type Challenge struct {
	Credential []byte // TPM2B_ID_OBJECT
	Secret     []byte // TPM2B_ENCRYPTED_SECRET
}

// Challenge makes a credential for the attestation key of that name (Part 1, 24).
// Whoever returns the secret, of 16 to 32 random bytes, holds the endorsement key
// and that attestation key in one TPM; the name can then be pinned. Random is
// crypto/rand.Reader but in tests.
func (ek *EK) Challenge(random io.Reader, akName, secret []byte) (*Challenge, error) {
	if ek == nil || ek.public == nil {
		return nil, errors.New("tpm: challenge to an endorsement key that was never verified")
	}
	if _, err := hashLen(akName); err != nil {
		return nil, fmt.Errorf("tpm: challenge: %w", err)
	}
	h, _ := hashOf(ek.public.nameAlg)
	if len(secret) < 16 || len(secret) > h.Size() {
		return nil, fmt.Errorf("tpm: challenge with a secret of %d bytes, expected 16 to %d", len(secret), h.Size())
	}
	seed, encrypted, err := ek.seed(random, h)
	if err != nil {
		return nil, fmt.Errorf("tpm: challenge: %w", err)
	}
	identity, err := wrap(h, ek.public.aesBits, seed, akName, secret)
	if err != nil {
		return nil, fmt.Errorf("tpm: challenge: %w", err)
	}
	return &Challenge{Credential: sized(identity), Secret: sized(encrypted)}, nil
}

// sized puts bytes behind their two-byte length.
func sized(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// wrap encrypts the secret and authenticates it together with the name (Part 1,
// 24.4 and 24.5), under keys that come from the seed.
func wrap(h crypto.Hash, aesBits uint16, seed, name, secret []byte) ([]byte, error) {
	block, err := aes.NewCipher(kdfA(h, seed, "STORAGE", name, int(aesBits)))
	if err != nil {
		return nil, err
	}
	encrypted := make([]byte, 0, 64)
	feedback := make([]byte, aes.BlockSize) // CFB with a zero IV: each seed is used once
	for rest := sized(secret); len(rest) > 0; {
		block.Encrypt(feedback, feedback)
		n := subtle.XORBytes(feedback, feedback, rest)
		encrypted = append(encrypted, feedback[:n]...)
		rest = rest[n:]
	}
	mac := hmac.New(newHash(h), kdfA(h, seed, "INTEGRITY", nil, 8*h.Size()))
	mac.Write(encrypted)
	mac.Write(name)
	return append(sized(mac.Sum(nil)), encrypted...), nil
}

func newHash(h crypto.Hash) func() hash.Hash {
	if h == crypto.SHA384 {
		return sha512.New384
	}
	return sha256.New
}

// kdfA is KDFa (Part 1, 11.4.10.2): SP800-108 in counter mode, with HMAC. The
// label's end is a zero byte.
func kdfA(h crypto.Hash, key []byte, label string, context []byte, bits int) []byte {
	var out []byte
	for i := uint32(1); len(out)*8 < bits; i++ {
		mac := hmac.New(newHash(h), key)
		mac.Write(binary.BigEndian.AppendUint32(nil, i))
		mac.Write(append([]byte(label), 0))
		mac.Write(context)
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(bits)))
		out = mac.Sum(out)
	}
	return out[:bits/8]
}

// identityLabel is for seeds of credentials (Part 1, 24.3), its end included.
const identityLabel = "IDENTITY\x00"

// seed makes a random seed and encrypts it to the endorsement key.
func (ek *EK) seed(random io.Reader, h crypto.Hash) (seed, encrypted []byte, err error) {
	switch key := ek.public.Key.(type) {
	case *rsa.PublicKey:
		seed = make([]byte, h.Size())
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, nil, err
		}
		encrypted, err = rsa.EncryptOAEP(newHash(h)(), random, key, seed, []byte(identityLabel))
		return seed, encrypted, err
	case *ecdsa.PublicKey:
		return seedECC(random, h, key)
	}
	return nil, nil, fmt.Errorf("an endorsement key of type %T", ek.public.Key)
}

// seedECC derives the seed from a key agreement (Part 1, C.6.4).
func seedECC(random io.Reader, h crypto.Hash, ek *ecdsa.PublicKey) (seed, encrypted []byte, err error) {
	peer, err := ek.ECDH()
	if err != nil {
		return nil, nil, err
	}
	own, err := peer.Curve().GenerateKey(random)
	if err != nil {
		return nil, nil, err
	}
	z, err := own.ECDH(peer)
	if err != nil {
		return nil, nil, err
	}
	ownX, ownY := coordinates(own.PublicKey())
	peerX, _ := coordinates(peer)
	return kdfE(h, z, ownX, peerX), append(sized(ownX), sized(ownY)...), nil
}

// coordinates splits an uncompressed point (SEC 1, 2.3.3).
func coordinates(key *ecdh.PublicKey) (x, y []byte) {
	point := key.Bytes()[1:]
	return point[:len(point)/2], point[len(point)/2:]
}

// kdfE is KDFe (Part 1, 11.4.10.3) for as many bits as the hash has.
func kdfE(h crypto.Hash, z, partyU, partyV []byte) []byte {
	return digest(h, []byte{0, 0, 0, 1}, z, []byte(identityLabel), partyU, partyV)
}

// Answers reports whether an answer to a challenge is the secret.
func Answers(answer, secret []byte) bool {
	return len(secret) >= 16 && subtle.ConstantTimeCompare(answer, secret) == 1
}
