//go:build unix

package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkCheck is what one connection of another box costs beside its evidence: a
// process that is started, judges, and ends. What it judges here is no evidence, so
// the signatures come on top (see bench).
func BenchmarkCheck(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "boxverify")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "../../cmd/boxverify")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	c := checker(b, "", 0, func(v *Verifier) { v.Program, v.name = bin, "" })
	for b.Loop() {
		if _, err := c.Check(b.Context(), shown()); err == nil {
			b.Fatal("accepted")
		}
	}
}
