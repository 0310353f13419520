package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/policy"
)

// TestCommandCannotLeaveItsQuotes: whatever the words of a command are, they
// are the words in the policy.
func TestCommandCannotLeaveItsQuotes(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	words := []string{program, `a"b`, `c: {d}`, "e]", "# f", `back\slash`, "- g", "'h'", "ümlaut", "<&>"}
	w := wrapping{command: words, listen: "127.0.0.1:8000", env: []string{`NAME=va"l: ue`}}
	doc, err := w.document()
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(doc)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if !slices.Equal(p.App.Command, words) || p.App.Env["NAME"] != `va"l: ue` {
		t.Errorf("the policy runs %q with %q", p.App.Command, p.App.Env)
	}
	if _, ok := p.Anyone(); !ok || len(p.Callers) != 1 {
		t.Errorf("callers %v", p.Callers)
	}
}

func TestKeyIsNotInThePolicy(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const key = "dev-0123456789abcdef"
	doc, err := wrapping{command: []string{program}, listen: "127.0.0.1:8000", key: key}.document()
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Authenticate(key); !ok {
		t.Error("the policy does not know the key")
	}
	if _, ok := p.Anyone(); ok || strings.Contains(string(doc), key) {
		t.Errorf("the policy lets anyone in or holds the key:\n%s", doc)
	}
}

func TestDeveloperKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	keys := make([]string, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, _, err := developerKey(dir)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	if slices.ContainsFunc(keys, func(k string) bool { return k != keys[0] || len(k) < policy.MinKey }) {
		t.Errorf("keys differ: %d of them", len(slices.Compact(keys)))
	}
	info, err := os.Stat(filepath.Join(dir, "dev.key"))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, expected 600", info.Mode().Perm())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTrustFileOfADevBoxIsValid(t *testing.T) {
	p, err := policy.Parse([]byte("name: x\nmodels: [{name: tumour, builtin: tumour}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := devBox{policy: p, measurement: [48]byte{1}, root: [32]byte{2}}
	trust, err := appraise.ParseTrust(d.trustFile())
	if err != nil {
		t.Fatal(err)
	}
	if root, ok := trust.SimulatedRoot(); !ok || root != d.root {
		t.Errorf("root %s, %v", root, ok)
	}
}

// TestNothingIsTrustedWithoutATrustFile: not even the measurement that the
// built-in defaults name.
func TestNothingIsTrustedWithoutATrustFile(t *testing.T) {
	v := appraisal(nil, appraise.Input{}, time.Now())
	if v.outcome != appraise.Refused || v.err == nil {
		t.Errorf("outcome %s, error %v", v.outcome, v.err)
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"/home/a/b.yaml": "/home/a/b.yaml",
		"a b":            "'a b'",
		"it's":           `'it'\''s'`,
		"$(x)":           "'$(x)'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("%q becomes %s, expected %s", in, got, want)
		}
	}
}
