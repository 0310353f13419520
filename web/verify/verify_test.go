// Package main_test runs the WebAssembly build of the verifiers.
package main_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/internal/vector"
)

const (
	casesDir = "../../vectors/cases"
	maxSize  = 1_600_000 // bytes, brotli: what a web page may be asked to load
)

func build(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "verify.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	cmd.Env = append(cmd.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// TestSize: every verifier together is small enough for a web page.
func TestSize(t *testing.T) {
	if race.Enabled {
		return // compressing is minutes of work under the detector, and one goroutine's
	}
	f, err := os.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var size counter
	w := brotli.NewWriterLevel(&size, brotli.BestCompression)
	raw, err := io.Copy(w, f)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d with brotli; limit %d", raw, size, maxSize)
	if size > maxSize {
		t.Errorf("%d bytes with brotli, limit %d", size, maxSize)
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// TestCases: the WebAssembly build gives the answers that the files expect, to
// every case that is decided without a trust file, and refuses the others.
func TestCases(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node (Node.js) to run WebAssembly with")
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	names, input, want := cases(t)
	cmd := exec.Command(node, "run.mjs", filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"), build(t))
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	answers := bufio.NewScanner(bytes.NewReader(out))
	answers.Buffer(nil, 1<<20)
	for i, name := range names {
		var got vector.Answer
		if !answers.Scan() {
			t.Fatalf("%d answers to %d cases", i, len(names))
		}
		if err := json.Unmarshal(answers.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, name, got, want[i])
	}
}

func check(t *testing.T, name string, got vector.Answer, want vector.Expected) {
	t.Helper()
	if got.Verdict != want.Verdict {
		t.Errorf("%s: %s, expected %s", name, got.Verdict, want.Verdict)
		return
	}
	for _, c := range got.Checks {
		if want.Code == "" || c.Status == attest.Fail && c.Code == want.Code && (want.Check == "" || want.Check == c.Name) {
			return
		}
	}
	t.Errorf("%s: refused without %s by %s", name, want.Code, want.Check)
}

// cases returns each case on a line with its parts inline.
func cases(t *testing.T) (names []string, input []byte, want []vector.Expected) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(casesDir, "[0-9]*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, dir := range dirs {
		var in vector.Input
		var out vector.Expected
		read(t, filepath.Join(dir, "input.json"), &in)
		read(t, filepath.Join(dir, "expected.json"), &out)
		switch {
		case out.Stage == "appraise":
			// What is left to a trust file must not pass for accepted.
			out = vector.Expected{Verdict: vector.Refused, Check: "case", Code: attest.CodeMalformed}
		default:
			in.Trust = ""
		}
		inline(t, &in)
		line, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		names, want = append(names, filepath.Base(dir)), append(want, out)
		input = append(append(input, line...), '\n')
	}
	return names, input, want
}

func read(t *testing.T, file string, out any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func inline(t *testing.T, in *vector.Input) {
	t.Helper()
	part := func(s *string) {
		name, shared := strings.CutPrefix(*s, "blob:")
		if !shared {
			return
		}
		data, err := os.ReadFile(filepath.Join(casesDir, "blobs", filepath.Base(name)))
		if err != nil {
			t.Fatal(err)
		}
		*s = base64.StdEncoding.EncodeToString(data)
	}
	part(&in.Evidence)
	for i := range in.Endorsements {
		part(&in.Endorsements[i].Data)
	}
	for i := range in.Roots {
		part(&in.Roots[i])
	}
	for i := range in.Pins {
		part(&in.Pins[i])
	}
}
