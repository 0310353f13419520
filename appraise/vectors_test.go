package appraise_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

var update = flag.Bool("update", false, "write what came out to expected.json")

// vector is vectors/appraise/NNN-name/input.json. The trust file stands beside
// it, the files it names in vectors/snp.
type vector struct {
	Report string    `json:"report"`
	VEK    string    `json:"vek"`
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
}

// Reports of real machines, each with the trust file that somebody who expects
// that machine would write, and the whole list of checks.
func TestVectors(t *testing.T) {
	dirs, err := filepath.Glob("../vectors/appraise/*/input.json")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, input := range dirs {
		dir := filepath.Dir(input)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var v vector
			if err := json.Unmarshal(read(t, input), &v); err != nil {
				t.Fatal(err)
			}
			trust, err := appraise.ParseTrust(read(t, filepath.Join(dir, "trust.yaml")))
			if err != nil {
				t.Fatal(err)
			}
			r := trust.Appraise(offline(t, v), v.At)
			if r.Trusted() {
				t.Error("a report without a connection is trusted")
			}
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, raw, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			golden := filepath.Join(dir, "expected.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if at := firstDifference(got.Bytes(), read(t, golden)); at != "" {
				t.Errorf("result differs from %s (run with -update to see all): %s", golden, at)
			}
		})
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, want %q", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		return fmt.Sprintf("%d lines, want %d", len(g), len(w))
	}
	return ""
}

func offline(t *testing.T, v vector) appraise.Input {
	t.Helper()
	verifier, err := snp.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	in := appraise.Input{Offline: true}
	in.Claims, in.Err = verifier.Verify(
		attest.Evidence{Kind: attest.SNP, Data: read(t, filepath.Join("../vectors/snp", v.Report))},
		attest.Endorsements{{Label: attest.LabelSNPVEK, Data: read(t, filepath.Join("../vectors/snp", v.VEK))}},
		v.At)
	if in.Err != nil {
		t.Fatal(in.Err)
	}
	return in
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Trust on first use of a real machine accepts that machine and says in its
// first lines where it falls short of the defaults.
func TestFirstUseOfRealMachines(t *testing.T) {
	for name, want := range map[string]struct {
		loosened string
		verdict  appraise.Verdict
	}{
		"001-genoa-v5":       {"firmware 10/0/25/84 is below the floor", appraise.Partial},
		"003-genoa-v3-azure": {"nothing says whether its keys were revoked", appraise.Partial},
		"004-turin-v5":       {"firmware 1/0/2/71 is below the floor", appraise.Partial},
		"005-milan-v2":       {"a report of version 2", appraise.Partial},
		"006-milan-v3-azure": {"only this chip", appraise.Partial},
	} {
		var v vector
		if err := json.Unmarshal(read(t, filepath.Join("../vectors/appraise", name, "input.json")), &v); err != nil {
			t.Fatal(err)
		}
		in := offline(t, v)
		file := appraise.FromClaims(in.Claims, attest.Statement{}, nil, name, v.At).Marshal()
		if !strings.Contains(string(file), "# LOOSENED for this box: ") || !strings.Contains(string(file), want.loosened) {
			t.Errorf("%s:\n%s", name, file)
		}
		trust, err := appraise.ParseTrust(file)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, file)
			continue
		}
		if r := trust.Appraise(in, v.At); r.Verdict() != want.verdict {
			t.Errorf("%s: %s, %v\n%s", name, r.Verdict(), r.Err(), file)
		}
	}
}
