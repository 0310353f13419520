package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/client"
)

// TestComposeExample: a front, PostgreSQL and Redis as Debian has them, out of a
// Compose file, in a simulated box, asked by a client that has verified it.
func TestComposeExample(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	needsImages(t)
	dir := t.TempDir()
	if err := debianImages(dir, "notes", "redis", "postgresql"); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../../examples/compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	code, box, stderr := inMemory(t, time.Now, "compose", "--arch", runtime.GOARCH, "--volume-size", "256MiB", name)
	if code != 0 || !strings.Contains(stderr, "services.db.healthcheck") {
		t.Fatalf("exit %d\n%s\n%s", code, box, stderr)
	}
	box += "callers: [{anyone: true, may: [query]}]\n"
	t.Run("runc", func(t *testing.T) { notesIn(t, dir, box) })
	t.Run("gvisor", func(t *testing.T) {
		needsRunsc(t)
		notesIn(t, dir, strings.Replace(box, "\napp:\n", "\napp:\n  isolation: gvisor\n", 1))
	})
}

func notesIn(t *testing.T, dir, doc string) {
	policy := filepath.Join(dir, "box.yaml")
	if err := os.WriteFile(policy, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, withRunsc(t.TempDir()), "dev", "--listen", "127.0.0.1:0", "-f", policy)
	c := verified(t, d)
	for i, note := range []string{"write tests", "read them"} {
		if got := said(t, c, http.MethodPost, d.text(t, "url")+"/", note); got != fmt.Sprintf(`{"kept": "%s"}`, note) {
			t.Errorf("the box keeps %s", got)
		}
		want := []string{`{"notes": ["write tests"], "visits": 1}`, `{"notes": ["read them", "write tests"], "visits": 2}`}[i]
		if got := said(t, c, http.MethodGet, d.text(t, "url")+"/", ""); got != want {
			t.Errorf("the box has %s, expected %s", got, want)
		}
	}
}

// verified is a client that trusts the box by its trust file.
func verified(t *testing.T, d *running) *http.Client {
	t.Helper()
	text, err := os.ReadFile(d.text(t, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := appraise.ParseTrust(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.HTTP()
}

func said(t *testing.T, c *http.Client, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
