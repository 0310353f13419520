// Package vectors_test writes the language-neutral cases and holds this library
// to them.
package vectors_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/internal/vector"
)

var update = flag.Bool("update", false, "write vectors/cases anew")

const (
	casesDir = "cases"
	blobsDir = "blobs"
)

// group is the cases of one kind.
type group struct {
	kind    attest.Kind // that is expected where a case does not say
	vectors []attesttest.Vector
}

// groups are written in this order; numbers follow it.
func groups(t testing.TB) []group {
	return []group{
		{attest.SNP, attesttest.AMDVectors(t)},
		{attest.TDX, attesttest.TDXVectors(t)},
		{attest.SGX, attesttest.SGXVectors(t)},
		{attest.Nitro, attesttest.NitroVectors(t)},
		{attest.TPM, attesttest.TPMVectors(t)},
		{attest.AzureSNP, attesttest.AzureVectors(t)},
		{attest.NVIDIAGPU, attesttest.NVIDIAVectors(t)},
	}
}

// perRow is how many cases of one row become files where all get one answer; one
// more for each further answer. The tests of the packages run them all.
const perRow = 2

// chosen returns the cases that become files.
func chosen(t testing.TB) []attesttest.Vector {
	var out []attesttest.Vector
	for _, g := range groups(t) {
		for _, v := range g.chosen() {
			if !v.Verifier.Valid() {
				v.Verifier = casetest.Expected(g.kind, v.Evidence.Kind)
			}
			out = append(out, v)
		}
	}
	return out
}

// chosen takes the first case of each answer and the first few of each row, in
// their order.
func (g group) chosen() []attesttest.Vector {
	type answer struct {
		row   string
		stage attesttest.Stage
		code  attest.Code
	}
	answered, taken := make(map[answer]bool), make(map[string]int)
	var out []attesttest.Vector
	for _, v := range g.vectors {
		a := answer{v.Row, v.Stage, v.Code}
		if !v.Evidence.Kind.Valid() || (answered[a] && taken[v.Row] >= perRow) {
			continue // the first has no name in a file
		}
		answered[a] = true
		taken[v.Row]++
		out = append(out, v)
	}
	return out
}

// TestCases runs every case of the directory, as a stranger's library would.
func TestCases(t *testing.T) {
	if *update {
		write(t)
	}
	for _, dir := range caseDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) { runCase(t, dir) })
	}
}

// TestAttacks: every row of the attack catalogue has a case, a test or a reason.
// It runs after TestCases, which may have written the cases.
func TestAttacks(t *testing.T) {
	comparePage(t, attacksPage, attacks(t))
}

func caseDirs(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(casesDir, "[0-9]*"))
	if err != nil || len(dirs) < 240 {
		t.Fatalf("%d cases, %v; expected at least 240", len(dirs), err)
	}
	return dirs
}

func runCase(t *testing.T, dir string) {
	var want vector.Expected
	if err := json.Unmarshal(read(t, filepath.Join(dir, "expected.json")), &want); err != nil {
		t.Fatal(err)
	}
	c, err := vector.Read(read(t, filepath.Join(dir, "input.json")), blob)
	if err != nil {
		t.Fatal(err)
	}
	if refused := want.Stage != string(attesttest.StageNone); refused != (want.Verdict == vector.Refused) {
		t.Errorf("stage %s, verdict %s", want.Stage, want.Verdict)
	}
	casetest.Hold(t, c, attesttest.Stage(want.Stage), want.Check, want.Code)
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var blobName = regexp.MustCompile(`^[0-9a-f]{64}$`)

func blob(name string) ([]byte, error) {
	if !blobName.MatchString(name) {
		return nil, fmt.Errorf("part named %q", name)
	}
	return os.ReadFile(filepath.Join(casesDir, blobsDir, name))
}

// writer puts parts that several cases share into files of their own, named by
// their SHA-256.
type writer struct {
	t    *testing.T
	uses map[[32]byte]int
}

const smallest = 256 // bytes of a part worth a file

func (w *writer) part(data []byte) string {
	sum := sha256.Sum256(data)
	if w.uses[sum] < 2 || len(data) < smallest {
		return base64.StdEncoding.EncodeToString(data)
	}
	name := hex.EncodeToString(sum[:])
	w.file(filepath.Join(casesDir, blobsDir, name), data)
	return "blob:" + name
}

func (w *writer) file(name string, data []byte) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) json(name string, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	w.file(name, append(text, '\n'))
}

func write(t *testing.T) {
	if err := os.RemoveAll(casesDir); err != nil {
		t.Fatal(err)
	}
	all := chosen(t)
	w := &writer{t: t, uses: make(map[[32]byte]int)}
	for _, v := range all {
		for _, part := range parts(v) {
			w.uses[sha256.Sum256(part)]++
		}
	}
	for i, v := range all {
		w.vector(filepath.Join(casesDir, fmt.Sprintf("%03d-%s-%s-%s", i+1, v.Evidence.Kind, strings.ToLower(v.Row), v.Name)), v)
	}
}

func parts(v attesttest.Vector) [][]byte {
	out := append([][]byte{v.Evidence.Data}, v.Roots...)
	for _, e := range v.Endorsements {
		out = append(out, e.Data)
	}
	return append(out, v.Pins...)
}

func (w *writer) vector(dir string, v attesttest.Vector) {
	in := vector.Input{Kind: v.Evidence.Kind.String(), Evidence: w.part(v.Evidence.Data), At: v.At.UTC().Format(time.RFC3339), Trust: v.Trust}
	for _, e := range v.Endorsements {
		in.Endorsements = append(in.Endorsements, vector.Endorsement{Label: e.Label, Data: w.part(e.Data)})
	}
	for _, r := range v.Roots {
		in.Roots = append(in.Roots, w.part(r))
	}
	for _, p := range v.Pins {
		in.Pins = append(in.Pins, w.part(p))
	}
	if v.Verifier.Valid() && v.Verifier != v.Evidence.Kind {
		in.Verifier = v.Verifier.String()
	}
	out := vector.Expected{
		Row: v.Row, About: v.About, Spec: v.Spec, Stage: string(v.Stage), Check: v.Check, Code: v.Code, Verdict: vector.Refused,
	}
	if v.Stage == attesttest.StageNone {
		out.Verdict = vector.Accepted
	}
	w.json(filepath.Join(dir, "input.json"), in)
	w.json(filepath.Join(dir, "expected.json"), out)
}
