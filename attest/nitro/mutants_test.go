package nitro_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/awsforge"
	"github.com/blindbox/blindbox/attest/nitro"
)

var mutants = flag.Int("mutants", 300, "how many mutants of a real document to verify")

// TestMutants changes a real document in ways that a stranger could, and expects
// every change to be refused. Beside it runs what a verifier looks like that is
// written in an afternoon: a lenient decoder, the library's path building, one
// signature. The test counts what that one accepts and ours refuses.
func TestMutants(t *testing.T) {
	v, lax := awsVerifier(t), newLax(t)
	original := production.evidence(t).Data
	if !lax.accepts(original) {
		t.Fatal("the lenient verifier refuses the original")
	}
	r := rand.New(rand.NewPCG(1, 2))
	leniently := make(map[string]int)
	for i := range *mutants {
		m := mutators[i%len(mutators)]
		data := m.mutate(r, bytes.Clone(original))
		if bytes.Equal(data, original) {
			continue
		}
		claims, err := v.Verify(attest.Evidence{Kind: attest.Nitro, Data: data}, nil, production.at)
		if (claims == nil) == (err == nil) {
			t.Fatalf("%s: claims %v and error %v", m.name, claims, err)
		}
		if (err == nil) != (m.name == equivalent) {
			t.Fatalf("%s: mutant %d: accepted %t: %v\n%x", m.name, i, err == nil, err, data)
		}
		// What AWS signed has to be in it still, or nobody accepts it.
		if err != nil && slices.Contains(envelope, m.name) && lax.accepts(data) {
			leniently[m.name]++
		}
	}
	t.Logf("%d mutants; refused here and accepted by the lenient verifier: %v", *mutants, leniently)
	for _, name := range envelope {
		if leniently[name] == 0 {
			t.Errorf("the lenient verifier refuses every mutant with %s: the table in docs/hardware/nitro.md is wrong", name)
		}
	}
}

// envelope are the changes that leave alone what was signed.
var envelope = []string{"trailing bytes", "wide number", "tagged", "unprotected header", "chunked payload"}

// equivalent is the one change that leaves a good document: everybody can make
// (r, n-s) from (r, s). Nothing may take evidence bytes for an identity.
const equivalent = "n minus s"

type mutator struct {
	name   string
	mutate func(*rand.Rand, []byte) []byte
}

// parts are the four items of a message.
func parts(data []byte) (protected, payload, signature []byte) {
	payload = data[10 : len(data)-98]
	return data[2:6], payload, data[len(data)-96:]
}

func rebuild(data []byte, f func(m *awsforge.Message)) []byte {
	_, payload, signature := parts(data)
	m := awsforge.NewMessage(payload)
	m.Signature = signature
	f(m)
	return m.Encode()
}

var mutators = []mutator{
	{"one bit", func(r *rand.Rand, b []byte) []byte { b[r.IntN(len(b))] ^= 1 << r.IntN(8); return b }},
	{"one byte", func(r *rand.Rand, b []byte) []byte { b[r.IntN(len(b))] += byte(1 + r.IntN(255)); return b }},
	{"several bytes", func(r *rand.Rand, b []byte) []byte {
		for range 2 + r.IntN(6) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		return b
	}},
	{"cut", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] }},
	{"deleted", func(r *rand.Rand, b []byte) []byte {
		i := r.IntN(len(b))
		return slices.Delete(b, i, min(len(b), i+1+r.IntN(8)))
	}},
	{"inserted", func(r *rand.Rand, b []byte) []byte {
		return slices.Insert(b, r.IntN(len(b)), byte(r.Uint32()), byte(r.Uint32()))
	}},
	{"copied", func(r *rand.Rand, b []byte) []byte {
		i, n := r.IntN(len(b)-64), 1+r.IntN(64)
		copy(b[r.IntN(len(b)-64):], bytes.Clone(b[i:i+n]))
		return b
	}},
	{"signature", func(r *rand.Rand, b []byte) []byte { b[len(b)-1-r.IntN(96)] ^= 1 << r.IntN(8); return b }},
	{"header", func(r *rand.Rand, b []byte) []byte { b[r.IntN(10)] ^= 1 << r.IntN(8); return b }},
	{"trailing bytes", func(r *rand.Rand, b []byte) []byte { return append(b, make([]byte, 1+r.IntN(200))...) }},
	{"tagged", func(r *rand.Rand, b []byte) []byte { return awsforge.Tag(18, b) }},
	{"wide number", func(r *rand.Rand, b []byte) []byte {
		return rebuild(b, func(m *awsforge.Message) {
			i := 1 + r.IntN(3)
			m.Parts = func(p []awsforge.Item) []awsforge.Item { p[i] = awsforge.Wide(p[i]); return p }
		})
	}},
	{"unprotected header", func(r *rand.Rand, b []byte) []byte {
		return rebuild(b, func(m *awsforge.Message) {
			m.Unprotected = awsforge.Map(awsforge.Pair{Key: awsforge.Uint(uint64(r.IntN(100))), Value: awsforge.Uint(r.Uint64())})
		})
	}},
	{"chunked payload", func(r *rand.Rand, b []byte) []byte {
		return rebuild(b, func(m *awsforge.Message) {
			m.Parts = func(p []awsforge.Item) []awsforge.Item { p[2] = awsforge.Chunked(m.Payload); return p }
		})
	}},
	{equivalent, func(_ *rand.Rand, b []byte) []byte {
		half := b[len(b)-48:]
		curve, _ := new(big.Int).SetString("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)
		curve.Sub(curve, new(big.Int).SetBytes(half)).FillBytes(half)
		return b
	}},
}

// lax verifies as many do. What it said of a message it says of one with the same
// four items again: the envelope is all that most mutants change.
type lax struct {
	roots *x509.CertPool
	said  map[string]bool
}

func newLax(t *testing.T) lax {
	t.Helper()
	d, err := nitro.ParseDocument(production.evidence(t).Data)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(d.CABundle[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return lax{pool, make(map[string]bool)}
}

func (l lax) accepts(data []byte) bool {
	var m message
	if _, err := cbor.UnmarshalFirst(data, &m); err != nil || len(m.Signature) != 96 {
		return false
	}
	key := fmt.Sprintf("%x %x %x", m.Protected, m.Payload, m.Signature)
	if _, done := l.said[key]; !done {
		l.said[key] = l.verifies(m)
	}
	return l.said[key]
}

func (l lax) verifies(m message) bool {
	var d theirs
	if _, err := cbor.UnmarshalFirst(m.Payload, &d); err != nil {
		return false
	}
	leaf, err := x509.ParseCertificate(d.Certificate)
	if err != nil {
		return false
	}
	between := x509.NewCertPool()
	for _, der := range d.CABundle {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: l.roots, Intermediates: between, CurrentTime: production.at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return false
	}
	signed, err := cbor.Marshal([]any{"Signature1", m.Protected, []byte{}, m.Payload})
	if err != nil {
		return false
	}
	sum := sha512.Sum384(signed)
	return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(m.Signature[:48]), new(big.Int).SetBytes(m.Signature[48:]))
}
