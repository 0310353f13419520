package attesttest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Explained fails the test for every difference between us and a peer that
// docs/peers.md does not explain. A difference is the failed check with its code,
// "`hardware.chip_id` `chip_mismatch`", as it stands in the first column of the
// table under the peer's name.
func Explained(t testing.TB, peer string, differences []string) {
	t.Helper()
	page, err := os.ReadFile(peersPage(t))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## "+peer+"\n")
	if !found {
		t.Fatalf("docs/peers.md has no section %q", peer)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, d := range differences {
		if !strings.Contains(section, "\n| "+d+" |") {
			t.Errorf("%s accepts what we refuse by %s, and docs/peers.md does not say why", peer, d)
		}
	}
}

// peersPage finds the page from the folder of any package.
func peersPage(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "docs", "peers.md")
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above this folder")
	return ""
}
