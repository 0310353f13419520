package device

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

// TestReserve: what signs for whoever opens it is the owner's alone afterwards.
func TestReserve(t *testing.T) {
	root := t.TempDir()
	if err := reserve(root); err != nil {
		t.Fatalf("no device: %v", err)
	}
	if err := os.Mkdir(filepath.Join(root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, mode := range []os.FileMode{0o666, 0o660, 0o640, 0o604, 0o600, 0o400} {
		node := filepath.Join(root, evidenceNodes()[i])
		if err := os.WriteFile(node, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(node, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := reserve(root); err != nil {
		t.Fatal(err)
	}
	for _, name := range evidenceNodes() {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, gramineDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := reserve(root); !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("in an enclave: %v", err)
	}
}

// TestReserveFails: a device that cannot be looked at is no device that is
// reserved.
func TestReserveFails(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink("dev", filepath.Join(root, "dev")); err != nil {
		t.Fatal(err)
	}
	if err := reserve(root); !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("a loop of links: %v", err)
	}
}
