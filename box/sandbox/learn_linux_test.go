package sandbox_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox"
)

// TestLoosen: the app owns all of its files, and nothing of the machine's.
func TestLoosen(t *testing.T) {
	cfg := config(t)
	app, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Usage(); err == nil {
		t.Error("an app that does not run uses something")
	}
	if err := app.Loosen("/data/deep", "/tmp"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"data", "data/deep", "root-only", "etc/passwd", "etc"} {
		info, err := os.Lstat(filepath.Join(cfg.Root, path))
		if err != nil {
			t.Error(err)
			continue
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != shift+1000 || st.Gid != shift+1001 {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop()
	if got := get(t, app, "/read?file=/root-only"); got != "the image's own secret" {
		t.Errorf("its own file: %q", got)
	}
	u, err := app.Usage()
	if err != nil || u.Memory <= 0 || u.PIDs <= 0 || u.OpenFiles < 3 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestLoosenStaysInside: a link of the image's does not lead out of its tree.
func TestLoosenStaysInside(t *testing.T) {
	cfg := config(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(cfg.Root, "data")); err != nil {
		t.Fatal(err)
	}
	app, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Loosen("/data/new"); err == nil {
		t.Error("a folder was made behind a link that leads out")
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 0 {
		t.Errorf("made outside: %v, %v", left, err)
	}
	if info, err := os.Stat(outside); err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("the folder outside changed hands: %v", err)
	}
}
