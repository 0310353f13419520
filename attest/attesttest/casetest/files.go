package casetest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Unchanged compares the captures in a directory, of which there must be so many at
// least, with the digests beside them.
func Unchanged(t *testing.T, dir string, least int) {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	lines := strings.Fields(string(read("SHA256SUMS")))
	if len(lines) < 2*least || len(lines)%2 != 0 {
		t.Fatalf("%d fields, want at least %d digests and names", len(lines), least)
	}
	for i := 0; i < len(lines); i += 2 {
		if got := fmt.Sprintf("%x", sha256.Sum256(read(lines[i+1]))); got != lines[i] {
			t.Errorf("%s: SHA-256 %s, want %s", lines[i+1], got, lines[i])
		}
	}
}
