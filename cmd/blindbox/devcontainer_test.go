package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/policy"
)

// imagePolicy makes an image of box/testdata/app and a policy beside it, and
// returns the policy's file.
func imagePolicy(t *testing.T, more string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("SKIP: no runc (Debian package runc)")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "../../box/testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := ociforge.Tar(ociforge.File("app", string(text)))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := ociforge.Image{Layers: []ociforge.Layer{ociforge.Packed(layer)}, Entrypoint: []string{"/app"}}.Write(filepath.Join(dir, "app.oci"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "box.yaml")
	doc := fmt.Sprintf("name: app\napp: {image: \"oci:./app.oci\", digest: %q, listen: 8000}\ncallers: [{anyone: true, may: [query]}]\n%s", digest, more)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDevImage: an app from an image in a simulated box, and what a client that
// verified the box gets from it.
func TestDevImage(t *testing.T) {
	file := imagePolicy(t, "egress: none\n")
	home := t.TempDir()
	d := start(t, map[string]string{"BLINDBOX_HOME": home}, "dev", "--listen", "127.0.0.1:0", "-f", file)
	if less, ok := d.document["not_enforced"].([]any); !ok || len(less) != 0 {
		t.Errorf("not enforced: %v", d.document["not_enforced"])
	}
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
	defer c.Close()
	for path, want := range map[string]string{"/here": "hello ", "/dial?with=tcp+1.1.1.1:443": "network is unreachable"} {
		resp, err := c.HTTP().Get(d.text(t, "url") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, expected %s", path, body, err, want)
		}
	}
}

// TestDevContainer: images are looked for beside the policy, what runs is in
// memory, and it is removed.
func TestDevContainer(t *testing.T) {
	file := imagePolicy(t, "")
	s := &session{stderr: io.Discard}
	p, err := s.readPolicy(file)
	if err != nil {
		t.Fatal(err)
	}
	c, remove, err := s.contain(p, file, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c.Images != filepath.Dir(file) || !strings.HasPrefix(c.Dir, "/dev/shm/") || !filepath.IsAbs(c.Runtime) {
		t.Errorf("%+v", c)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Stat(filepath.Dir(c.Dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", c.Dir, err)
	}
}

// TestDevImageNeedsRoot: an image is not run unconfined instead.
func TestDevImageNeedsRoot(t *testing.T) {
	p, err := policy.Parse([]byte("name: a\napp: {image: \"oci:a\", digest: \"sha256:" + strings.Repeat("ab", 32) + "\", listen: 80}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{stderr: io.Discard}
	_, _, err = s.contain(p, "box.yaml", 1000)
	var r *refusal
	if !errors.As(err, &r) || r.entry.Number != 108 || !strings.Contains(r.seen, "app.image") || !strings.Contains(r.expected, "root") {
		t.Errorf("got %v", err)
	}
	for _, doc := range []string{"name: a\nmodels: [{name: m, builtin: m}]\n", "name: a\napp: {command: [/a], listen: 80}\n"} {
		p, err := policy.Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if c, remove, err := s.contain(p, "box.yaml", 1000); c != nil || remove == nil || err != nil {
			t.Errorf("%s: %v, %v", doc, c, err)
		}
	}
}

// TestBannerSaysWhatIsNotEnforced, loudly.
func TestBannerSaysWhatIsNotEnforced(t *testing.T) {
	p, err := policy.Parse([]byte("name: x\nmodels: [{name: tumour, builtin: tumour}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := &devContainer{notEnforced: []string{"limits.cpu 2: no cpu", "two\nlines"}}
	var out bytes.Buffer
	s := &session{stdout: &out, stderr: io.Discard}
	s.showDev(&devBox{policy: p}, fault{}, c.less(), "trust.yaml", "")
	if !strings.Contains(out.String(), "\nNOT ENFORCED limits.cpu 2: no cpu\nNOT ENFORCED two") || strings.Contains(out.String(), "\nlines") {
		t.Errorf("the banner is\n%s", out.String())
	}
	var none *devContainer
	if got := slices.Concat(none.less(), (&devContainer{}).less()); got == nil && none.less() == nil || len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

// TestRefusedEgressIsTold to the developer, in the words of the policy.
func TestRefusedEgressIsTold(t *testing.T) {
	var out bytes.Buffer
	s := &session{stderr: &out}
	s.refusedEgress(egress.Event{Reason: egress.NotAllowed, Count: 2})
	s.refusedEgress(egress.Event{Reason: egress.NoTLS, Host: "a.example", Port: 443, Line: 7, Count: 1})
	if want := "egress: refused: not allowed (2)\negress: refused: no tls, a.example port 443, line 7 of the policy (1)\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
