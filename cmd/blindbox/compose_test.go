package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

// composed writes a Compose file with an image beside it, and returns its name.
func composed(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := forged(t, "amd64").Write(filepath.Join(dir, "web.oci")); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCompose: images of a registry and of a folder, pinned, with their own entry
// points where the file has commands.
func TestCompose(t *testing.T) {
	host, digest := hub(t, nil)
	file := composed(t, "services:\n  web: {image: \"oci:web.oci\", ports: [8000], restart: always, environment: [LEVEL]}\n"+
		"  db: {image: \""+host+"/acme/whisper:2.4.1\", command: [serve], env_file: [db.env]}\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "db.env"), []byte("A=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, map[string]string{"LEVEL": "of this machine"}, "compose", "--env", "LEVEL=info", file)
	if code != 0 || !strings.Contains(errs, "not taken over: line 2: services.web.restart: ") || strings.Contains(out+errs, "of this machine") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	p, err := policy.Parse([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if db := p.Services[0]; fmt.Sprintf("sha256:%x", db.Digest) != digest || fmt.Sprintf("%q", db.Command) != `["/app" "serve"]` || db.Env["A"] != "1" || p.App.Env["LEVEL"] != "info" {
		t.Errorf("the service is %+v, the app %+v", db, p.App)
	}
	_, again, _ := command(t, nil, "compose", "--env", "LEVEL=info", "-o", "json", file)
	var r composeResult
	if err := json.Unmarshal([]byte(again), &r); err != nil || r.Policy != out || len(r.Left) == 0 {
		t.Errorf("JSON %s, %v", again, err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--image", "db=oci:web.oci", "--env", "LEVEL=x", "--listen", "9", "--volume-size", "1GiB"}, ""},
		{[]string{}, "BBX-121 compose: the Compose file asks"},
		{[]string{"--env", "LEVEL=x", "--app", "none"}, "there is no service"},
		{[]string{"--env", "LEVEL=x", "--image", "db=oci:none"}, "line 3: services.db.image"},
		{[]string{"--env", "LEVEL=x", "--arch", "arm64"}, "services.web.image"},
		{[]string{"--env", "LEVEL"}, "BBX-101"},
		{[]string{"--env", "A=1", "--env", "A=2"}, "each name once"},
		{[]string{"--image", "=x"}, "BBX-101"},
		{[]string{"--volume-size", "64MB"}, "--volume-size"},
		{[]string{"--listen", "65536"}, "--listen"},
		{[]string{"--listen", "-1"}, "--listen"},
		{[]string{"--arch", "mips"}, "--arch"},
		{[]string{"more"}, "BBX-101"},
	} {
		code, out, errs := command(t, nil, append(append([]string{"compose"}, c.args...), file)...)
		if c.want == "" {
			if code != 0 {
				t.Errorf("%v: exit code %d, %s", c.args, code, errs)
			}
		} else if code != 1 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %q, %s\nexpected %s", c.args, code, out, errs, c.want)
		}
	}
	if code, _, errs := command(t, nil, "compose", filepath.Join(t.TempDir(), "none")); code != 1 || !strings.Contains(errs, "BBX-105") {
		t.Errorf("no file: %d, %s", code, errs)
	}
}

// TestComposeReadsNothingElse: a file of a stranger gets at no other file.
func TestComposeReadsNothingElse(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.env")
	if err := os.WriteFile(outside, []byte("SECRET=x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{outside, "../secret.env", "link.env", "sub/../../x", "/etc/hostname", "folder", ""} {
		file := composed(t, "services: {web: {image: \"oci:web.oci\", ports: [8000], env_file: [\""+env+"\"]}}\n")
		if err := os.Symlink(outside, filepath.Join(filepath.Dir(file), "link.env")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(filepath.Dir(file), "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		if code, out, errs := command(t, nil, "compose", file); code != 1 || out != "" || strings.Contains(errs, "SECRET") {
			t.Errorf("%q: exit code %d, %s%s", env, code, out, errs)
		}
	}
	file := composed(t, "services: {web: {image: \"oci:web.oci\", ports: [8000], env_file: [large.env]}}\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "large.env"), []byte("A="+strings.Repeat("x", 64<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, nil, "compose", file); code != 1 || !strings.Contains(errs, "more than 64 KiB") {
		t.Errorf("a large file: %d, %s", code, errs)
	}
}

// TestComposeLyingRegistry: a configuration with other bytes than the manifest names
// gives no command.
func TestComposeLyingRegistry(t *testing.T) {
	host, _ := hub(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				w.Write(append(rec.Body.Bytes()[1:], 'x'))
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	file := composed(t, "services: {web: {image: \""+host+"/acme/whisper:2.4.1\", ports: [8000]}}\n")
	if code, out, errs := command(t, nil, "compose", file); code != 1 || out != "" || !strings.Contains(errs, "other bytes") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

// TestComposeRefusedLines: each thing that is refused is on a line of its own.
func TestComposeRefusedLines(t *testing.T) {
	file := composed(t, "services:\n  web: {image: \"oci:web.oci\", ports: [8000], privileged: true,\n    network_mode: host}\n")
	code, out, errs := command(t, nil, "compose", file)
	if code != 1 || out != "" || strings.Count(errs, "\n  seen       line ") != 2 {
		t.Errorf("exit code %d, %q, %s", code, out, errs)
	}
}
