package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// TestVerifier: a policy with a caller that is another box is served if the program
// that judges boxes is there, beside boxd or where --verifier says.
func TestVerifier(t *testing.T) {
	dir := t.TempDir()
	verifier := filepath.Join(dir, "boxverify")
	build := exec.Command("go", "build", "-trimpath", "-o", verifier, "../boxverify")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, open := range []string{dir, filepath.Dir(dir)} { // to the verifier's account
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "box.yaml")
	line := "callers: [{attested: {kind: sev-snp, measurement: \"" + strings.Repeat("ab", 48) + "\", policy: \"sha256:" + strings.Repeat("ab", 32) + "\"}, may: [query]}]\n"
	if err := os.WriteFile(file, []byte(goodPolicy+line), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, program string
		exit          int
		want          string
	}{
		{"where it is said to be", verifier, 0, "boxd: serving: 127.0.0.1:"},
		{"nowhere", dir + "/nowhere", 1, "BBX-108 box: the box could not be started\n  seen       box: the program that judges other boxes does not start: peers: fork/exec " + dir + "/nowhere: no such file or directory\n  no box was started."},
		{"not beside boxd", "", 1, "the program that judges other boxes does not start"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			out := &console{word: "serving", seen: stop}
			m := machine{open: func(platform) (attest.Attester, error) { return signer{policy: file}, nil }, root: os.Geteuid() == 0}
			exit := run(ctx, []string{"--policy", file, "--listen", "127.0.0.1:0", "--verifier", c.program}, out, m)
			if exit != c.exit || !strings.Contains(out.text.String(), c.want) {
				t.Errorf("exit code %d, expected %d, no %q in\n%s", exit, c.exit, c.want, out.text.String())
			}
		})
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := new(options).judge(true); got.Program != filepath.Join(filepath.Dir(self), "boxverify") || !got.Apart {
		t.Errorf("%+v", got)
	}
	if got := (&options{verifier: "/x"}).judge(false); got.Program != "/x" || got.Apart {
		t.Errorf("%+v", got)
	}
}
