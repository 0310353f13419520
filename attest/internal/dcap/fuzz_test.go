package dcap

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// seeds adds every capture of a folder to a corpus.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "..", "vectors", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("%s: %v", pattern, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) <= maxQuote {
			f.Add(b)
		}
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "vectors", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzQuote: whatever is read as a quote is signed over bytes of the input, and
// reading them again gives the same.
func FuzzQuote(f *testing.F) {
	seeds(f, "sgx/*quote*")
	seeds(f, "tdx/*quote*")
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := ParseQuote(data)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, q.signed) || len(q.signature) != 64 || len(q.attestationKey) != 64 || len(q.qeReport) != 384 || len(q.qeSignature) != 64 {
			t.Fatalf("read %d bytes as %+v", len(data), q.Header)
		}
		if _, err := ParseQuote(data[:len(data)-q.Padding]); err != nil {
			t.Fatalf("without the padding: %v", err)
		}
		if (q.TD != nil) == (q.Enclave != nil) || q.BodyType.size() == 0 {
			t.Fatal("neither or both bodies")
		}
		q.checkSignature()
		q.checkBinding()
	})
}

func FuzzPCKExtension(f *testing.F) {
	for _, name := range []string{"sgx/sgx_quote", "sgx/quote_v3_ecdsa_p256_pck_chain.bin", "tdx/tdx_quote"} {
		q, err := ParseQuote(read(f, name))
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(q.PCKChain)
		cert, err := pki.ParseCertificate(block.Bytes)
		if err != nil {
			f.Fatal(err)
		}
		for _, x := range cert.Extensions {
			f.Add(x.Value)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := ParsePCKExtension(data); err == nil && (p.PlatformID != nil) != (p.Configuration != nil) {
			t.Fatalf("%+v", p)
		}
	})
}

func FuzzTCBInfo(f *testing.F) {
	seeds(f, "sgx/tcb_info*.json")
	seeds(f, "tdx/tcb_info*.json")
	seeds(f, "tdx/sample_tcbinfo_response_v5")
	f.Fuzz(func(t *testing.T, data []byte) {
		info, doc, err := parseTCBInfo(data)
		if err != nil {
			return
		}
		if len(info.Levels) == 0 || !bytes.Contains(data, doc.raw) {
			t.Fatalf("read %q", doc.raw)
		}
		doc.signedBy(nil)
	})
}

func FuzzQEIdentity(f *testing.F) {
	seeds(f, "sgx/qe_identity*.json")
	seeds(f, "tdx/qe_identity*.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		identity, doc, err := parseQEIdentity(data)
		if err != nil {
			return
		}
		if len(identity.Levels) == 0 || !bytes.Contains(data, doc.raw) {
			t.Fatalf("read %q", doc.raw)
		}
	})
}

// FuzzPCKChain: no text but Intel's own passes, since nobody else has the keys.
func FuzzPCKChain(f *testing.F) {
	for _, name := range []string{"sgx/sgx_quote", "tdx/tdx_quote"} {
		q, err := ParseQuote(read(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(q.PCKChain)
	}
	e, err := NewEngine(TDX)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := e.readPCKChain(data)
		if (read.key != nil) != (attest.FailureOf(read.checks) == nil) {
			t.Fatalf("key: %t, %v", read.key != nil, read.checks)
		}
	})
}
