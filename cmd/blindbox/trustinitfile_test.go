package main

import (
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/sim"
)

const firstUsePolicy = "name: notes\nmodels:\n  - {name: tumour, builtin: tumour}\n"

// savedBundle is what a simulated box showed at that time, changed by edit, in a
// file.
func savedBundle(t *testing.T, at time.Time, edit func(*attest.Bundle, *sim.Box, *attest.Statement)) string {
	t.Helper()
	root, err := sim.NewRoot(rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	policy := sha256.Sum256([]byte(firstUsePolicy))
	box := sim.Box{Measurement: sim.Measure([]byte("code")), HostData: policy}
	statement := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, AttestationKey: attest.Digest{3},
		Exporter: [32]byte{4}, Policy: policy, NotBefore: at.Add(-time.Minute), NotAfter: at.Add(time.Minute),
	}
	bundle := attest.Bundle{Policy: []byte(firstUsePolicy)}
	signed := statement
	if edit != nil {
		edit(&bundle, &box, &signed)
	}
	attester, err := root.NewAttester(box, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	bound, err := signed.Bind()
	if err != nil {
		t.Fatal(err)
	}
	if bundle.Evidence, bundle.Endorsements, err = attester.Attest(t.Context(), bound); err != nil {
		t.Fatal(err)
	}
	if bundle.Statement, err = statement.Encode(); err != nil {
		t.Fatal(err)
	}
	encoded, err := bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "saved")
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTrustInitFromBundle: what a box showed and somebody saved, years later.
func TestTrustInitFromBundle(t *testing.T) {
	at := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	later := func() time.Time { return at.AddDate(5, 0, 0) }
	for name, c := range map[string]struct {
		edit func(*attest.Bundle, *sim.Box, *attest.Statement)
		args []string
		exit int
		text string
	}{
		"healthy":            {nil, []string{"--allow-simulated"}, 0, "sha256:"},
		"simulation unasked": {nil, nil, exitRefused, "BBX-202"},
		"another statement": {func(_ *attest.Bundle, _ *sim.Box, s *attest.Statement) { s.Nonce[0]++ },
			[]string{"--allow-simulated"}, exitRefused, "BBX-223"},
		"another policy": {func(b *attest.Bundle, _ *sim.Box, _ *attest.Statement) { b.Policy = append(b.Policy, '#') },
			[]string{"--allow-simulated"}, exitRefused, "BBX-204"},
		"launched with another policy": {func(_ *attest.Bundle, b *sim.Box, _ *attest.Statement) { b.HostData[0]++ },
			[]string{"--allow-simulated"}, exitRefused, "BBX-"},
		"debug": {func(_ *attest.Bundle, b *sim.Box, _ *attest.Statement) { b.Debug = true },
			[]string{"--allow-simulated"}, exitRefused, "BBX-"},
	} {
		t.Run(name, func(t *testing.T) {
			file, out := savedBundle(t, at, c.edit), filepath.Join(t.TempDir(), "trust.yaml")
			args := append([]string{"trust", "init", "--at", "2026-06-15T12:00:00Z", "--out", out}, c.args...)
			code, stdout, stderr := inMemory(t, later, append(args, file)...)
			if code != c.exit || !strings.Contains(stdout+stderr, c.text) || strings.Contains(stderr, "nothing was sent") {
				t.Errorf("exit %d\n%s%s", code, stdout, stderr)
			}
			written, err := os.ReadFile(out)
			if (err == nil) != (c.exit == 0) {
				t.Fatalf("written: %v", err)
			}
			if c.exit != 0 {
				return
			}
			if !strings.Contains(stdout, "TRUST ON FIRST USE") || !strings.Contains(stdout, "FROM A FILE") || !strings.Contains(stdout, "SIMULATED") || !strings.Contains(stdout, "tumour") {
				t.Errorf("not all is said:\n%s", stdout)
			}
			if trust, err := appraise.ParseTrust(written); err != nil || trust.Names()[0] != "notes" {
				t.Errorf("%v\n%s", err, written)
			}
			code, stdout, _ = inMemory(t, later, "verify", "--at", "2026-06-15T12:00:00Z", "--trust", out, file)
			if code != exitPartial || strings.Contains(stdout, "FAIL") {
				t.Errorf("verify: exit %d\n%s", code, stdout)
			}
		})
	}
}

// TestTrustInitFromMachineWithGPU: composite evidence gives a file that asks for
// both.
func TestTrustInitFromMachineWithGPU(t *testing.T) {
	machine := attest.Evidence{Kind: attest.SNP, Data: readVector(t, "../../vectors/snp/genoa-v5-oak.report.bin")}
	gpus, err := nvgpu.FromNVIDIAJSON(readVector(t, "../../vectors/nvidia/hopper_evidence.json"))
	if err != nil {
		t.Fatal(err)
	}
	both, err := form.EncodeComposite([]attest.Evidence{machine, gpus[0]})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, out := filepath.Join(dir, "both"), filepath.Join(dir, "trust.yaml")
	if err := os.WriteFile(file, both.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	beside := []string{"--at", "2025-09-15", "--endorsement", "snp/vek=../../vectors/snp/genoa-v5-oak.vek.der"}
	code, stdout, stderr := inMemory(t, time.Now, append(append([]string{"trust", "init", "--out", out}, beside...), file)...)
	written, _ := os.ReadFile(out)
	if code != 0 || !strings.Contains(string(written), "gpu: {count: 1") || !strings.Contains(stdout, "LOOSENED") {
		t.Fatalf("exit %d\n%s%s\n%s", code, stdout, stderr, written)
	}
	code, stdout, stderr = inMemory(t, time.Now, append(append([]string{"verify", "--trust", out}, beside...), file)...)
	if code != exitPartial || strings.Contains(stdout, "FAIL") {
		t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
}
