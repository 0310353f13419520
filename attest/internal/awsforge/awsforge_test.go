package awsforge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// TestItems compares items with the examples of RFC 8949, appendix A.
func TestItems(t *testing.T) {
	for want, got := range map[string]Item{
		"00": Uint(0), "17": Uint(23), "1818": Uint(24), "1864": Uint(100), "1903e8": Uint(1000), "1a000f4240": Uint(1000000),
		"1b000000e8d4a51000": Uint(1000000000000), "1bffffffffffffffff": Uint(1<<64 - 1),
		"20": Negative(0), "29": Negative(9), "3863": Negative(99), "3903e7": Negative(999),
		"40": Bytes(nil), "4401020304": Bytes([]byte{1, 2, 3, 4}), "60": Text(""), "6449455446": Text("IETF"), "62c3bc": Text("ü"),
		"80": Array(), "83010203": Array(Uint(1), Uint(2), Uint(3)), "a0": Map(), "a201020304": Map(Pair{Uint(1), Uint(2)}, Pair{Uint(3), Uint(4)}),
		"bf6346756e20ff": Streamed(Pair{Text("Fun"), Negative(0)}), "c11a514b67b0": Tag(1, Uint(1363896240)), "f6": Null(),
		"5f4101420203ff": Chunked([]byte{1, 2, 3}), "5affffffff": Lying(2, 1<<32-1, nil), "818181f6": Nested(3),
		"1800": Wide(Uint(0)), "190018": Wide(Uint(24)), "3822": Negative(34),
	} {
		if hex.EncodeToString(got) != want {
			t.Errorf("%x, want %s", []byte(got), want)
		}
	}
	for _, wide := range []Item{Wide(Uint(300)), Wide(Uint(70000)), Wide(Wide(Bytes([]byte{1})))} {
		var v any
		if err := cbor.Unmarshal(wide, &v); err != nil {
			t.Errorf("%x: %v", []byte(wide), err)
		}
	}
	if got := Wide(Uint(1 << 40)); !bytes.Equal(got, Uint(1<<40)) {
		t.Errorf("%x", []byte(got))
	}
}

// TestChainAsAWS holds that the library's path building accepts a chain, so that
// what a test changes about it is all that is wrong with it.
func TestChainAsAWS(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	chain, err := NewChain(ChainOptions{Now: now, Instance: "i-1", Enclave: "enc2", Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[Root].Cert)
	for _, c := range chain[Regional:Leaf] {
		between.AddCert(c.Cert)
	}
	leaf := chain[Leaf].Cert
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error(err)
	}
	if leaf.Subject.CommonName != "i-1-enc2.eu-west-1.aws" || len(chain.Bundle()) != 4 || !bytes.Equal(chain.Bundle()[0], chain[Root].DER()) {
		t.Errorf("leaf %s, bundle of %d", leaf.Subject, len(chain.Bundle()))
	}
}

func TestChainOptions(t *testing.T) {
	stranger, err := ChainOptions{Now: time.Now()}.Issue(Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := NewChain(ChainOptions{
		Now: time.Now(), Curve: func(r Role) elliptic.Curve {
			if r == Leaf {
				return elliptic.P521()
			}
			return nil
		},
		Edit: func(r Role, c *x509.Certificate) { c.Subject.Locality = []string{"edited"} },
		Signer: func(r Role, issuer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
			if r == Zonal {
				return stranger.Key
			}
			return issuer
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if chain[Leaf].Key.Curve != elliptic.P521() || chain[Instance].Key.Curve != elliptic.P384() || chain[Root].Cert.Subject.Locality[0] != "edited" {
		t.Error("the options have no effect")
	}
	if chain[Zonal].Cert.CheckSignatureFrom(chain[Regional].Cert) == nil || chain[Instance].Cert.CheckSignatureFrom(chain[Zonal].Cert) != nil {
		t.Error("another certificate than the zone's was signed by the stranger")
	}
}

// TestMessage reads a message back with another library and verifies it.
func TestMessage(t *testing.T) {
	root, err := ChainOptions{Now: time.Now()}.Issue(Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc := Document{ModuleID: "i-1-enc2", Digest: "SHA384", Timestamp: 1, PCRs: map[uint64][]byte{1: {1}, 0: {0}}, Certificate: []byte{1}, CABundle: [][]byte{{2}}}
	m := NewMessage(doc.Encode())
	if err := m.Sign(root.Key); err != nil {
		t.Fatal(err)
	}
	var parts []any
	if err := cbor.Unmarshal(m.Encode(), &parts); err != nil || len(parts) != 4 {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	signed, err := cbor.Marshal([]any{"Signature1", parts[0], []byte{}, parts[2]})
	if err != nil {
		t.Fatal(err)
	}
	sum, sig := sha512.Sum384(signed), parts[3].([]byte)
	if !ecdsa.Verify(&root.Key.PublicKey, sum[:], new(big.Int).SetBytes(sig[:48]), new(big.Int).SetBytes(sig[48:])) {
		t.Error("not verified")
	}
	var fields map[string]any
	if err := cbor.Unmarshal(parts[2].([]byte), &fields); err != nil || fields["module_id"] != "i-1-enc2" || fields["nonce"] != nil || len(fields) != 9 {
		t.Errorf("fields %v: %v", fields, err)
	}
	doc.OmitNull, doc.Definite = true, true
	if got := doc.Encode(); got[0] != 0xa6 {
		t.Errorf("first byte %#x, want a map of six", got[0])
	}
}

func TestFields(t *testing.T) {
	fields := Document{}.Fields()
	if got := Set(fields, "digest", Null()); !bytes.Equal(got[1].Value, Null()) || bytes.Equal(fields[1].Value, Null()) {
		t.Error("Set changed its input or nothing")
	}
	if got := Without(fields, "pcrs"); len(got) != len(fields)-1 {
		t.Errorf("%d fields left of %d", len(got), len(fields))
	}
	if got := Rename(fields, "pcrs", "nitrotpm_pcrs"); !bytes.Equal(got[3].Key, Text("nitrotpm_pcrs")) || !bytes.Equal(fields[3].Key, Text("pcrs")) {
		t.Error("Rename changed its input or nothing")
	}
}
