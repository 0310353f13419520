//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/attest"
)

// boundTo is hardware on which a box was launched with a document.
type boundTo string

func (boundTo) Kind() attest.Kind { return attest.SNP }

func (d boundTo) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	report, asked, digest := make([]byte, 1184), b.Bytes(), sha256.Sum256([]byte(d))
	copy(report[80:], asked[:])
	copy(report[192:], digest[:])
	return attest.Evidence{Kind: attest.SNP, Data: report}, nil, nil
}

// TestWhatTheHostGets: the program writes what the policy lets out to the folders
// that it was given, says what it misses, and leaves no core file.
func TestWhatTheHostGets(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	doc := "name: a\nmodels: [{name: tumour, builtin: tumour}]\nlogs: sealed:" + id.Recipient().String() + "\naudit: host\n"
	file, logs, audit := filepath.Join(t.TempDir(), "box.yaml"), t.TempDir(), t.TempDir()
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--logs", logs, "--audit", audit}, 0, "boxd: stopped\n"},
		{[]string{"--logs", logs}, 1, "BBX-108"},
		{[]string{"--audit", audit}, 1, "boxd --logs FOLDER"},
	} {
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		out := &console{word: "serving", seen: stop}
		exit := run(ctx, append([]string{"--policy", file, "--listen", "127.0.0.1:0"}, c.args...), out, machine{open: func(platform) (attest.Attester, error) { return boundTo(doc), nil }, reserve: func() error { return nil }})
		stop()
		if exit != c.exit || !strings.Contains(out.text.String(), c.want) {
			t.Errorf("%q: exit code %d, expected %d and %q in\n%s", c.args, exit, c.exit, c.want, out.text.String())
		}
	}
	for dir, pattern := range map[string]string{logs: "*-00000000.age", audit: "audit.log"} {
		for _, p := range []string{pattern, "*.bundle"} {
			if found, err := filepath.Glob(filepath.Join(dir, p)); err != nil || len(found) != 1 {
				t.Errorf("%s in %s: %q, %v", p, dir, found, err)
			}
		}
	}
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil || core.Max != 0 {
		t.Errorf("core files of %d bytes, %v", core.Max, err)
	}
}
