package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// isolations runs a test with each runtime. more is what the policy says of it.
func isolations(t *testing.T, test func(t *testing.T, more string)) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	needsImages(t)
	t.Run("runc", func(t *testing.T) { test(t, "") })
	t.Run("gvisor", func(t *testing.T) {
		needsRunsc(t)
		test(t, ", isolation: gvisor")
	})
}

// madeImages has the images that `make test` has made with examples/apps.
func madeImages() string { return os.Getenv("BLINDBOX_APPS") }

func needsImages(t *testing.T) {
	t.Helper()
	programs := []string{"runc", "apt-get", "dpkg-deb"}
	if madeImages() != "" {
		programs = programs[:1]
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("SKIP: containers out of Debian packages:", err)
		}
	}
}

// debianImages puts images of examples/apps into a folder: those that there are, or
// new ones.
func debianImages(dir string, names ...string) error {
	if madeImages() == "" {
		made := exec.Command("go", append([]string{"run", "./examples/apps", "-out", dir}, names...)...)
		made.Dir = filepath.Join("..", "..")
		if said, err := made.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		return nil
	}
	for _, name := range names {
		if err := os.CopyFS(filepath.Join(dir, name+".oci"), os.DirFS(filepath.Join(madeImages(), name+".oci"))); err != nil {
			return err
		}
	}
	return nil
}

func needsRunsc(t *testing.T) {
	t.Helper()
	if os.Getenv("BLINDBOX_RUNSC") == "" {
		t.Skip("SKIP: no runsc in BLINDBOX_RUNSC (`make test` builds it)")
	}
}

// withRunsc is the environment of a dev that finds gVisor.
func withRunsc(home string) map[string]string {
	return map[string]string{"BLINDBOX_HOME": home, "BLINDBOX_RUNSC": os.Getenv("BLINDBOX_RUNSC")}
}

// pinnedFile writes a policy about images beside it, and pins them.
func pinnedFile(t *testing.T, dir, doc string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "box.yaml")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inMemory(t, time.Now, "pin", file); code != 0 {
		t.Fatalf("pin: %d %s", code, stderr)
	}
	return file
}

// TestRealApps: nginx and a Python app as Debian has them, each in a simulated box,
// asked by a client that has verified it.
func TestRealApps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	images := sync.OnceValue(func() error { return debianImages(dir, "nginx", "python") })
	isolations(t, func(t *testing.T, more string) {
		if err := images(); err != nil {
			t.Fatal(err)
		}
		for _, app := range []struct{ name, method, body, want string }{
			{"nginx", http.MethodGet, "", "Welcome to nginx"},
			{"python", http.MethodPost, "four words are here", `{"words": 4}`},
		} {
			file := pinnedFile(t, dir, "name: "+app.name+"\napp: {image: \"oci:./"+app.name+".oci\", listen: 8000"+more+"}\n"+
				"callers: [{anyone: true, may: [query]}]\negress: none\nfiles: {tmp: 16MiB}\nlimits: {memory: 512MiB, pids: 64}\n")
			d := start(t, withRunsc(t.TempDir()), "dev", "--listen", "127.0.0.1:0", "-f", file)
			if got := said(t, verified(t, d), app.method, d.text(t, "url")+"/", app.body); !strings.Contains(got, app.want) {
				t.Errorf("%s answers %s", app.name, got)
			}
		}
	})
}

// TestLLM: an LLM server with a small model in a simulated box, asked through connect
// by the OpenAI client as it is.
func TestLLM(t *testing.T) {
	t.Parallel()
	python, layout := os.Getenv("BLINDBOX_PYTHON"), os.Getenv("BLINDBOX_LLM")
	if python == "" || layout == "" {
		t.Skip("SKIP: BLINDBOX_PYTHON and BLINDBOX_LLM name no Python with openai and no image of examples/llm (`make test` makes both)")
	}
	example, err := os.ReadFile("../../examples/llm/box.yaml")
	if err != nil {
		t.Fatal(err)
	}
	isolations(t, func(t *testing.T, more string) {
		home := t.TempDir()
		doc := strings.Replace(string(example), "listen: 8000", "listen: 8000"+strings.Replace(more, ", ", "\n  ", 1), 1)
		file := pinnedFile(t, home, strings.Replace(doc, "oci:./llm.oci", "oci:"+layout, 1))
		key := filepath.Join(home, "key")
		if err := os.WriteFile(key, []byte("try-me-and-then-replace-me\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := withRunsc(home)
		box := start(t, env, "dev", "--listen", "127.0.0.1:0", "-f", file)
		proxy := start(t, env, "connect", "--listen", "127.0.0.1:0", "--trust", box.text(t, "trust"), "--api-key-file", key, box.text(t, "url"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		loaded(ctx, t, proxy.text(t, "local"))
		out, err := exec.CommandContext(ctx, python, "../../examples/llm/ask.py", proxy.text(t, "local")+"/v1").CombinedOutput()
		want := regexp.MustCompile(`^models \['smollm2'\]\nwhole 16 ".+"\nstream ([2-9]|1\d) ".+"\n$`)
		if err != nil || !want.Match(out) {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// loaded waits until the server has its model: before, it says that it has not.
func loaded(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the model is not loaded")
}
