package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

func TestPolicyShowOfABundle(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		exit   int
		want   string
	}{
		"in words":    {"name: x\nmodels:\n  - {name: tumour, builtin: tumour}\n", 0, "It runs the model tumour"},
		"no policy":   {"name: [\n", 2, "BBX-201 policy: "},
		"later words": {"name: x\nteleport: yes\n", 2, "expected   a policy that this version can read"},
	} {
		t.Run(name, func(t *testing.T) {
			b := attest.Bundle{Evidence: attest.Evidence{Kind: attest.SNP, Data: []byte("x")}, Statement: []byte("x"), Policy: []byte(c.policy)}
			encoded, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "b")
			if err := os.WriteFile(file, encoded, 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := inMemory(t, time.Now, "policy", "show", file)
			if code != c.exit || !strings.Contains(stdout+stderr, c.want) {
				t.Errorf("exit %d, expected %d with %q:\n%s%s", code, c.exit, c.want, stdout, stderr)
			}
		})
	}
}
