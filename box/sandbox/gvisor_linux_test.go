package sandbox_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox"
)

// underGVisor has an app run by gVisor.
func underGVisor(t testing.TB, cfg sandbox.Config) sandbox.Config {
	t.Helper()
	cfg.Runtime = os.Getenv("BLINDBOX_RUNSC")
	if cfg.Runtime == "" {
		t.Skip("SKIP: no runsc in BLINDBOX_RUNSC (`make test` builds it)")
	}
	cfg.GVisor = true
	return cfg
}

// underBoth runs a test with runc, then with gVisor.
func underBoth(t *testing.T, test func(*testing.T, sandbox.Config)) {
	t.Run("runc", func(t *testing.T) { test(t, config(t)) })
	t.Run("gvisor", func(t *testing.T) { test(t, underGVisor(t, config(t))) })
}

// TestGVisorRefused: what gVisor cannot do is known before anything is started.
func TestGVisorRefused(t *testing.T) {
	cfg := underGVisor(t, config(t))
	for listen, want := range map[string]string{
		"[::1]:8000": "expected 127.0.0.1:PORT or unix:PATH with gVisor", "127.0.0.2:8000": "with gVisor",
		"127.0.0.1:8000": "", "unix:/run/app/a.sock": "",
	} {
		cfg.Listen = listen
		if _, err := sandbox.New(cfg); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, expected %q", listen, err, want)
		}
	}
	cfg.Listen = "127.0.0.1:8000"
	for capability, want := range map[string]bool{"CAP_SETUID": true, "CAP_SETGID": false} {
		cfg.Capabilities = []string{capability}
		app, err := sandbox.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		told := slices.ContainsFunc(app.Unenforced(), func(line string) bool { return strings.HasPrefix(line, "limits.pids 64: gVisor counts") })
		if told != want {
			t.Errorf("%s: not enforced %q", capability, app.Unenforced())
		}
	}
}

// TestRewire: the network is made anew before each start, and none goes without.
func TestRewire(t *testing.T) {
	cfg := config(t)
	cfg.Rewire = func() error { return errors.New("no wire") }
	app, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "the app's network: no wire") {
		t.Errorf("error %v, expected that there is no wire", err)
	}
	clean(t, cfg)
}

// TestGVisorGone: a gVisor that says no, or nothing, is an error.
func TestGVisorGone(t *testing.T) {
	cfg := underGVisor(t, config(t))
	app := started(t, cfg)
	socks, err := filepath.Glob(filepath.Join(cfg.Dir, "run-*", "state", "runsc-*.sock"))
	if err != nil || len(socks) != 1 {
		t.Fatalf("sockets %q, %v", socks, err)
	}
	if err := os.Remove(socks[0]); err != nil {
		t.Fatal(err)
	}
	if c, err := app.Dial(t.Context()); err == nil || c != nil || !strings.Contains(err.Error(), "port 8000 in gVisor") {
		t.Errorf("got %v, %v", c, err)
	}
	hostile, err := net.Listen("unix", socks[0])
	if err != nil {
		t.Fatal(err)
	}
	defer hostile.Close()
	go func() {
		for _, answer := range []string{`{"success":false,"err":"refused here"}`, `{"success":"yes"}`, ``} {
			c, err := hostile.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1<<10))
			io.WriteString(c, answer)
			c.Close()
		}
	}()
	for _, want := range []string{"refused here", "json", "EOF"} {
		if c, err := app.Dial(t.Context()); err == nil || c != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v, expected %s", c, err, want)
		}
	}
}
