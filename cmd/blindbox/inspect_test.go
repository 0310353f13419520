package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/inspect"
)

// inspected runs `inspect` and returns what it prints.
func inspected(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, stderr bytes.Buffer
	exit := run(t.Context(), session{
		args: append([]string{"inspect"}, args...), stdin: strings.NewReader(""), stdout: &out, stderr: &stderr,
		env: func(string) string { return "" }, now: time.Now,
	})
	return out.String() + stderr.String(), exit
}

// TestInspectCaptures compares everything that is shown of every real capture
// with a file: go test ./cmd/blindbox -run TestInspectCaptures -update.
func TestInspectCaptures(t *testing.T) {
	captures := []string{
		"snp/*.report.bin", "snp/virtee-vcek_turin.der", "tdx/*quote*", "tdx/pckcrl", "tdx/rootcrl.der", "tdx/cos-113-ccel.bin", "tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json",
		"sgx/*quote*", "sgx/qe_identity_v2.json", "nitro/*.cose", "azure/*.json", "nvidia/hopper_evidence.json", "nvidia/blackwell-evidence.json", "nvidia/switch_evidence_ls10.json", "nvidia/hopperAttestationReport.txt",
	}
	seen := 0
	for _, pattern := range captures {
		files, err := filepath.Glob(filepath.Join("../../vectors", pattern))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no captures, %v", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_collateral.json") {
				continue
			}
			seen++
			t.Run(filepath.Base(file), func(t *testing.T) { compareInspected(t, file) })
		}
	}
	if seen < 29 {
		t.Errorf("%d captures, expected 29 or more", seen)
	}
}

func compareInspected(t *testing.T, file string) {
	got, exit := inspected(t, file)
	if exit != 0 || !strings.HasPrefix(got, inspect.Warning+"\n") {
		t.Fatalf("exit code %d\n%.500s", exit, got)
	}
	got = strings.ReplaceAll(got, filepath.ToSlash(filepath.Dir(file))+"/", "")
	golden := filepath.Join("testdata", "inspect", filepath.Base(filepath.Dir(file))+"-"+filepath.Base(file)+".txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(string(want), "\r\n", "\n"); got != text {
		a, b := strings.Split(got, "\n"), strings.Split(text, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("line %d\n%s\nexpected\n%s", i+1, a[i], b[i])
			}
		}
		t.Errorf("%d lines, expected %d", len(a), len(b))
	}
}

// TestInspectJSON: the same as a document, which says that nothing was verified.
func TestInspectJSON(t *testing.T) {
	got, exit := inspected(t, "-o", "json", "../../vectors/snp/turin-v5-oak.report.bin")
	var doc struct {
		Warning  string
		Verified *bool
		Sections []inspect.Section
	}
	if err := json.Unmarshal([]byte(got), &doc); err != nil || exit != 0 {
		t.Fatalf("exit code %d, %v\n%.300s", exit, err, got)
	}
	if doc.Warning != inspect.Warning || doc.Verified == nil || *doc.Verified || len(doc.Sections) != 2 || doc.Sections[0].Fields[0].Name != "VERSION" {
		t.Errorf("%.500s", got)
	}
}
