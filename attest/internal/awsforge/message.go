package awsforge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384
	"fmt"
	"math/big"
	"slices"
)

// Message is a COSE_Sign1 (RFC 9052, section 4.2). Use [NewMessage] for AWS's.
type Message struct {
	// Protected is the content of the protected header, a map.
	Protected []byte
	// Unprotected is the unprotected header.
	Unprotected Item
	Payload     []byte
	Signature   []byte
	// Hash of the signature, and the size of each of its halves in bytes.
	Hash crypto.Hash
	Half int
	// Context and External go into what is signed.
	Context  string
	External []byte
	// Parts, unless nil, changes the four parts before they are put together, and
	// Whole what came of it.
	Parts func(parts []Item) []Item
	Whole func(Item) Item
}

// NewMessage returns AWS's form of a message: ES384, no unprotected header.
func NewMessage(payload []byte) *Message {
	return &Message{
		Protected: Map(Pair{Uint(1), Negative(34)}), Unprotected: Map(), Payload: payload,
		Hash: crypto.SHA384, Half: 48, Context: "Signature1",
	}
}

// ToBeSigned is the Sig_structure (RFC 9052, section 4.4).
func (m *Message) ToBeSigned() []byte {
	return Array(Text(m.Context), Bytes(m.Protected), Bytes(m.External), Bytes(m.Payload))
}

// Sign fills in the signature (RFC 9053, section 2.1).
func (m *Message) Sign(key *ecdsa.PrivateKey) error {
	h := m.Hash.New()
	h.Write(m.ToBeSigned())
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		return fmt.Errorf("awsforge: %w", err)
	}
	m.Signature = m.halves(r, s)
	return nil
}

// halves writes r and s, in more bytes than Half if the curve needs them.
func (m *Message) halves(r, s *big.Int) []byte {
	size := max(m.Half, (r.BitLen()+7)/8, (s.BitLen()+7)/8)
	return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
}

// Encode returns the message as it is sent.
func (m *Message) Encode() []byte {
	parts := []Item{Bytes(m.Protected), m.Unprotected, Bytes(m.Payload), Bytes(m.Signature)}
	if m.Parts != nil {
		parts = m.Parts(parts)
	}
	out := Array(parts...)
	if m.Whole != nil {
		out = m.Whole(out)
	}
	return out
}
