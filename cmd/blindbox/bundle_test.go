package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/pcs"
)

// TestSavedBundlesOfOtherKinds: a bundle of any kind is verified again at a time
// of the reader's. These hold genuine evidence that was made for something else
// than the statement beside it, and that is all that is wrong with them.
func TestSavedBundlesOfOtherKinds(t *testing.T) {
	at := time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC)
	later := func() time.Time { return time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC) }
	policy := []byte("name: demo\nmodels:\n  - {name: tumour, builtin: tumour}\n")
	statement, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, AttestationKey: attest.Digest{3},
		Exporter: [32]byte{4}, Policy: attest.Digest{5}, NotBefore: at.Add(-time.Minute), NotAfter: at.Add(time.Minute),
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	vectors := filepath.Join("..", "..", "vectors")
	for name, c := range map[string]struct {
		kind             attest.Kind
		file, collateral string
	}{
		"tdx": {attest.TDX, "tdx/tdx_quote", "tdx/tdx_quote_collateral.json"},
		"sgx": {attest.SGX, "sgx/sgx_quote", "sgx/sgx_quote_collateral.json"},
	} {
		t.Run(name, func(t *testing.T) {
			b := attest.Bundle{Statement: statement, Policy: policy}
			b.Evidence = attest.Evidence{Kind: c.kind, Data: readVector(t, filepath.Join(vectors, c.file))}
			if b.Endorsements, err = pcs.FromCollateralJSON(readVector(t, filepath.Join(vectors, c.collateral))); err != nil {
				t.Fatal(err)
			}
			encoded, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "saved")
			if err := os.WriteFile(file, encoded, 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := inMemory(t, later, "verify", "--at", "2025-06-20", file)
			if code != exitRefused || !strings.Contains(stdout, "PASS  quote_signature") || !strings.Contains(stdout, "FAIL  bound                      not_bound") {
				t.Errorf("exit %d\n%s%s", code, stdout, stderr)
			}
			code, stdout, _ = inMemory(t, later, "verify", file)
			if code != exitRefused || !strings.Contains(stdout, "stale") && !strings.Contains(stdout, "expired") {
				t.Errorf("years later: exit %d\n%s", code, stdout)
			}
			code, _, stderr = inMemory(t, later, "verify", "--kind", "sev-snp", file)
			if code != exitUsage || !strings.Contains(stderr, "of kind "+name) {
				t.Errorf("as another kind: exit %d\n%s", code, stderr)
			}
		})
	}
}

func readVector(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzReadRaw: any bytes are one thing or none.
func FuzzReadRaw(f *testing.F) {
	for _, pattern := range []string{"tdx/tdx_quote", "sgx/sgx_quote", "nitro/*.cose", "nitro/*.raw.bin", "nvidia/hopper*", "snp/*.report.bin", "azure/*/*.json"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "vectors", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			if data, err := os.ReadFile(name); err == nil && len(data) < 1<<16 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, known, err := readRaw(data)
		held := 0
		if r.evidence.Kind.Valid() {
			held++
		}
		if len(r.devices) != 0 {
			held++
		}
		if r.spdm != nil {
			held++
		}
		if err == nil && known != (held == 1) || err != nil && held != 0 {
			t.Errorf("known %v, error %v, %d things", known, err, held)
		}
	})
}

// TestPipeBesideEvidence: a pipe that came with evidence is not waited for.
func TestPipeBesideEvidence(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quote.endorsements")
	if err := os.MkdirAll(filepath.Join(dir, "intel", "tcb-info"), 0o700); err != nil {
		t.Fatal(err)
	}
	if list, err := endorsementDir(dir); len(list) != 0 || err != nil {
		t.Errorf("empty: %v, %v", list, err)
	}
	if err := os.Symlink(os.DevNull, filepath.Join(dir, "event-log")); err != nil {
		t.Fatal(err)
	}
	if list, err := endorsementDir(dir); err == nil {
		t.Errorf("a device was taken: %v", list)
	}
	if err := os.Symlink(os.DevNull, filepath.Join(dir, "r.vek.der")); err != nil {
		t.Fatal(err)
	}
	if got := sibling(filepath.Join(dir, "r.report.bin")); got != "" {
		t.Errorf("a device was taken: %s", got)
	}
}
