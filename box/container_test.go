package box

import (
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// containing is a container that is not started, of a policy with an image.
func containing(t *testing.T, app, more string) *container {
	t.Helper()
	doc := "name: a.b\napp: {image: \"" + app + ", digest: \"sha256:" + strings.Repeat("ab", 32) + "\"}\n" + more
	return &container{policy: parsed(t, doc), cfg: Containers{Images: "/images", Dir: "/run/box", Runtime: "/bin/runc"}}
}

// TestSandboxHasWhatThePolicySays: every line of the policy reaches package
// sandbox as it is.
func TestSandboxHasWhatThePolicySays(t *testing.T) {
	c := containing(t, "oci:app\", listen: 8000, command: [/a, b], env: {A: \"1\"}, dir: /srv, user: \"7:8\", capabilities: [CAP_KILL]",
		"files: {tmp: 1MiB, writable: [{path: /d, size: 2MiB}]}\nlimits: {memory: 3MiB, pids: 4, cpu: 1.5, open_files: 64}\n")
	got := c.sandbox("/net", &oci.Config{User: "9"}, "/root")
	want := sandbox.Config{
		Name: "a-b", Command: []string{"/a", "b"}, Env: map[string]string{"A": "1"}, WorkDir: "/srv", Listen: "127.0.0.1:8000",
		User: &sandbox.User{UID: 7, GID: 8}, Capabilities: []string{"CAP_KILL"},
		Files:  sandbox.Files{Tmp: 1 << 20, Writable: []sandbox.Writable{{Path: "/d", Size: 2 << 20}}},
		Limits: sandbox.Limits{Memory: 3 << 20, Pids: 4, CPU: 1.5, OpenFiles: 64},
		Image:  oci.Config{User: "9"}, Root: "/root", NetNS: "/net", Dir: "/run/box/runs", Runtime: "/bin/runc", Shift: userShift,
		StartGrace: startGrace, StopGrace: appGrace,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nexpected\n%+v", got, want)
	}
	c = containing(t, "oci:app\", listen: 8000, env: {http_proxy: mine}", "egress: {allow: [{host: a.example, port: 1}]}\n")
	var err error
	if c.plan, err = egress.NewPlan(c.policy.Egress); err != nil {
		t.Fatal(err)
	}
	got = c.sandbox("/net", &oci.Config{}, "/root")
	env := c.plan.Environment()
	env["http_proxy"] = "mine"
	if !maps.Equal(got.Env, env) || got.ResolvConf == "" || got.ResolvConf != c.plan.ResolvConf() || got.User != nil {
		t.Errorf("got %+v", got)
	}
}

// TestLayout: where an image is looked for.
func TestLayout(t *testing.T) {
	for image, want := range map[string]string{
		"oci:./a/b":        "/images/a/b",
		"oci:/a/b":         "/a/b",
		"ghcr.io/acme/a:1": "/images/sha256-" + strings.Repeat("ab", 32),
	} {
		c := containing(t, image+"\", listen: 80", "")
		if got := c.layout(c.policy.App.Image, c.policy.App.Digest); filepath.ToSlash(got) != want {
			t.Errorf("%s is looked for at %s, expected %s", image, got, want)
		}
	}
}

// TestEgressOfTheMachine: what nobody gave the box is the machine's, and the
// machine's roots are read only if a line needs them.
func TestEgressOfTheMachine(t *testing.T) {
	c := containing(t, "oci:app\", listen: 80", "egress: {allow: [{host: a.example, port: 1}]}\n")
	cfg, err := c.egress()
	if err != nil || cfg.Resolver == nil || cfg.Dial == nil || cfg.Roots != nil || len(cfg.Egress.Allow) != 1 {
		t.Errorf("%+v, %v", cfg, err)
	}
	c = containing(t, "oci:app\", listen: 80", "egress: {allow: [{host: a.example, port: 443, tls: verify}]}\n")
	if cfg, err := c.egress(); err != nil || cfg.Roots == nil {
		t.Errorf("%+v, %v", cfg, err)
	}
	c.cfg.Roots = x509.NewCertPool()
	if cfg, err := c.egress(); err != nil || cfg.Roots != c.cfg.Roots {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// TestUndone: what was made last is taken down first, and once.
func TestUndone(t *testing.T) {
	var done []string
	c := &container{}
	c.later(func() { done = append(done, "network") })
	c.later(func() { done = append(done, "app") })
	c.Stop()
	c.Stop()
	if !slices.Equal(done, []string{"app", "network"}) {
		t.Errorf("taken down: %q", done)
	}
}

// TestNotStarted: an app that was not started, or is not there now, is not ready.
func TestNotStarted(t *testing.T) {
	c := &container{}
	c.app.Store(&sandbox.App{})
	if c.Accepting() {
		t.Error("an app without a process accepts connections")
	}
	c.services = []service{{"db", &sandbox.App{}}}
	if _, err := c.Dial(t.Context()); err == nil || err.Error() != "the service db does not run now" {
		t.Errorf("without its database: %v", err)
	}
	c = &container{}
	if conn, err := c.Dial(t.Context()); conn != nil || err == nil || c.Accepting() {
		t.Errorf("%v, %v, accepting %v", conn, err, c.Accepting())
	}
}

// TestOneUser: where there is one user, no program can be another one, and nothing is
// begun.
func TestOneUser(t *testing.T) {
	for _, more := range []string{
		"services: [{name: db, image: \"oci:db\", digest: \"sha256:" + strings.Repeat("cd", 32) + "\"}]\n",
		"",
	} {
		app := "oci:app\", listen: 80"
		if more == "" {
			app += ", isolation: gvisor"
		}
		c := containing(t, app, more)
		c.cfg.OneUser, c.cfg.Dir = true, filepath.Join(t.TempDir(), "box")
		if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "services and gVisor need root") {
			t.Errorf("%s: %v", app, err)
		}
		if _, err := os.Stat(c.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the folder was made: %v", app, err)
		}
	}
}
