package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/blindbox/blindbox/box/sandbox/ociforge"
)

// command runs one command line and returns what it says.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), session{
		args: args, stdin: strings.NewReader(env["STDIN"]), stdout: &out, stderr: &errs, now: time.Now,
		env: func(name string) string { return env[name] },
	})
	return code, out.String(), errs.String()
}

// hub is another maker's registry with an image for two platforms in it, and
// the digest of the one for boxes.
func hub(t *testing.T, wrap func(http.Handler) http.Handler) (host, digest string) {
	t.Helper()
	h := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	if wrap == nil {
		wrap = func(h http.Handler) http.Handler { return h }
	}
	srv := httptest.NewServer(wrap(h))
	t.Cleanup(srv.Close)
	put := func(path, mediaType string, body []byte) {
		req := httptest.NewRequest(http.MethodPut, path, bytes.NewReader(body))
		req.Header.Set("Content-Type", mediaType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != http.StatusCreated {
			t.Fatalf("PUT %s: %d %s", path, w.Code, w.Body)
		}
	}
	var manifests []any
	for _, arch := range []string{"arm64", "amd64"} {
		im := forged(t, arch)
		manifest, config, err := im.Documents()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{config, im.Layers[0].Stored} {
			upload(t, h, b)
		}
		digest = ociforge.Digest(manifest)
		put("/v2/acme/whisper/manifests/"+digest, ociforge.MediaManifest, manifest)
		manifests = append(manifests, map[string]any{
			"mediaType": ociforge.MediaManifest, "digest": digest, "size": len(manifest), "platform": map[string]any{"os": "linux", "architecture": arch},
		})
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
	if err != nil {
		t.Fatal(err)
	}
	put("/v2/acme/whisper/manifests/2.4.1", "application/vnd.oci.image.index.v1+json", index)
	return strings.TrimPrefix(srv.URL, "http://"), digest
}

func upload(t *testing.T, h http.Handler, b []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/acme/whisper/blobs/uploads/?digest="+ociforge.Digest(b), bytes.NewReader(b)))
	if w.Code != http.StatusCreated {
		t.Fatalf("upload: %d %s", w.Code, w.Body)
	}
}

func forged(t *testing.T, arch string) ociforge.Image {
	t.Helper()
	layer, err := ociforge.Tar(ociforge.File("app", "of "+arch))
	if err != nil {
		t.Fatal(err)
	}
	return ociforge.Image{
		Layers: []ociforge.Layer{ociforge.Packed(layer)}, Entrypoint: []string{"/app"},
		Config: func(c map[string]any) { c["architecture"] = arch },
	}
}

// TestPinKeepsTheRest: forms of a policy, before and after. Not one byte but
// the digest's may change.
func TestPinKeepsTheRest(t *testing.T) {
	host, digest := hub(t, nil)
	image := host + "/acme/whisper:2.4.1"
	for what, c := range map[string]struct{ before, after string }{
		"a line of its own": {
			"# the box\nname: whisper\napp:\n  # from acme\n  image: IMAGE # the tag\n  listen: 8000\n# the end\n",
			"# the box\nname: whisper\napp:\n  # from acme\n  image: IMAGE # the tag\n  digest: DIGEST\n  listen: 8000\n# the end\n",
		},
		"on one line": {
			"name: whisper # é\napp: {image: IMAGE, listen: 8000}   # short\n",
			"name: whisper # é\napp: {image: IMAGE, digest: DIGEST, listen: 8000}   # short\n",
		},
		"on one line, last": {"app: {listen: 8000, image: \"IMAGE\"}", "app: {listen: 8000, image: \"IMAGE\", digest: DIGEST}"},
		"quoted":            {"app:\n    image: 'IMAGE'", "app:\n    image: 'IMAGE'\n    digest: DIGEST"},
		"another digest": {
			"app:\n  digest: sha256:00 # old\n  image: IMAGE\n  env: {digest: kept}\n",
			"app:\n  digest: DIGEST # old\n  image: IMAGE\n  env: {digest: kept}\n",
		},
		"the same digest":    {"app:\n  digest: DIGEST\n  image: IMAGE\n", "app:\n  digest: DIGEST\n  image: IMAGE\n"},
		"lines of Windows":   {"app:\r\n  image: IMAGE\r\n  listen: 8000\r\n", "app:\r\n  image: IMAGE\r\n  digest: DIGEST\r\n  listen: 8000\r\n"},
		"over several lines": {"app: {\n  image: IMAGE,\n  listen: 8000,\n}\n", "app: {\n  image: IMAGE, digest: DIGEST,\n  listen: 8000,\n}\n"},
		"services": {
			"services:\n  # first\n  - name: db\n    image: IMAGE # of theirs\n    listen: 1\n  - {image: IMAGE, digest: sha256:00, name: b}\napp:\n  image: IMAGE\n",
			"services:\n  # first\n  - name: db\n    image: IMAGE # of theirs\n    digest: DIGEST\n    listen: 1\n  - {image: IMAGE, digest: DIGEST, name: b}\napp:\n  image: IMAGE\n  digest: DIGEST\n",
		},
		"a digest in between": {"app: {digest: \"sha256:11\", image: IMAGE}\n", "app: {digest: DIGEST, image: IMAGE}\n"},
	} {
		t.Run(what, func(t *testing.T) {
			fill := strings.NewReplacer("IMAGE", image, "DIGEST", digest)
			file := filepath.Join(t.TempDir(), "box.yaml")
			if err := os.WriteFile(file, []byte(fill.Replace(c.before)), 0o640); err != nil {
				t.Fatal(err)
			}
			if code, _, errs := command(t, nil, "pin", file); code != 0 {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != fill.Replace(c.after) {
				t.Errorf("%v\n%s\nexpected\n%s", err, got, fill.Replace(c.after))
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v, expected the one it had", info.Mode(), err)
			}
		})
	}
}

func TestPinSays(t *testing.T) {
	host, digest := hub(t, nil)
	doc := fmt.Sprintf("app:\n  image: %s/acme/whisper:2.4.1\n", host)
	file := filepath.Join(t.TempDir(), "box.yaml")
	if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	_, out, _ := command(t, nil, "pin", file)
	if !strings.Contains(out, digest) || !strings.Contains(out, "nothing else was changed") {
		t.Errorf("it says %q", out)
	}
	if _, out, _ = command(t, nil, "pin", file); !strings.Contains(out, "has it already") {
		t.Errorf("the second time it says %q", out)
	}
	_, out, _ = command(t, nil, "pin", "-o", "json", file)
	var r pinResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Digest != digest || r.Changed || r.Image == "" {
		t.Errorf("JSON %s, %v", out, err)
	}
	_, out, _ = command(t, map[string]string{"STDIN": doc}, "pin", "-")
	if out != doc+"  digest: "+digest+"\n" {
		t.Errorf("from standard input %q", out)
	}
	_, out, _ = command(t, nil, "pin", "--arch", "arm64", "-o", "json", file)
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Digest == digest || !r.Changed {
		t.Errorf("for arm64 %s, %v", out, err)
	}
}

// TestPinRefuses: what cannot be pinned is left as it is.
func TestPinRefuses(t *testing.T) {
	host, _ := hub(t, nil)
	image := host + "/acme/whisper:2.4.1"
	for what, c := range map[string]struct{ doc, want string }{
		"no app":               {"name: x\n", "BBX-104 policy: the policy file is not valid"},
		"no image":             {"app: {command: [x]}\n", "no image in its app"},
		"no mapping":           {"- a\n", "it is no mapping"},
		"no YAML":              {"a: [\n", "BBX-104"},
		"a list for a digest":  {"app: {image: " + image + ", digest: []}\n", "is no text"},
		"a folded image":       {"app:\n  image: >-\n    " + image + "\n", "on one line"},
		"an unknown tag":       {"app: {image: " + host + "/acme/whisper:9}\n", "404"},
		"an unknown name":      {"app: {image: " + host + "/acme/none:1}\n", "BBX-120"},
		"no reference":         {"app: {image: " + host + "/UPPER}\n", "expected HOST/NAME:TAG"},
		"a service of nothing": {"app: {image: " + image + "}\nservices: [{name: db}]\n", "no image in its service db"},
		"a service of no name": {"app: {image: " + image + "}\nservices: [{image: " + image + "}]\n", "line 2: a service without a name"},
		"services by name":     {"app: {image: " + image + "}\nservices: {db: {image: " + image + "}}\n", "services is no list"},
		"a service unknown":    {"app: {image: " + image + "}\nservices: [{name: db, image: " + host + "/acme/whisper:9}]\n", "404"},
		"no layout":            {"app: {image: oci:none.oci}\n", "no such file"},
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "box.yaml")
			if err := os.WriteFile(file, []byte(c.doc), 0o644); err != nil {
				t.Fatal(err)
			}
			code, out, errs := command(t, nil, "pin", file)
			if code != 1 || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("exit code %d, %q, %q, expected 1 and %q", code, out, errs, c.want)
			}
			if got, _ := os.ReadFile(file); string(got) != c.doc {
				t.Errorf("the file is now %q", got)
			}
		})
	}
	for _, args := range [][]string{{"pin"}, {"pin", "--arch", "mips", "x"}, {"pin", "--timeout", "0s", "x"}, {"image"}, {"image", "push"}, {"image", "pull", "x"}} {
		if code, _, errs := command(t, nil, args...); code != 1 || !strings.Contains(errs, "BBX-101") {
			t.Errorf("%v: exit code %d, %s", args, code, errs)
		}
	}
}

// TestPullThenPin: an image comes from a registry into a folder, and is pinned
// there to the same digest.
func TestPullThenPin(t *testing.T) {
	host, digest := hub(t, nil)
	dir := t.TempDir()
	layout := filepath.Join(dir, "whisper.oci")
	code, out, errs := command(t, nil, "image", "pull", host+"/acme/whisper:2.4.1", layout)
	if code != 0 || !strings.Contains(out, digest) {
		t.Fatalf("exit code %d, %q, %s", code, out, errs)
	}
	file := filepath.Join(dir, "box.yaml")
	if err := os.WriteFile(file, []byte("app: {image: oci:./whisper.oci}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = command(t, nil, "pin", file); code != 0 || !strings.Contains(out, digest) {
		t.Errorf("exit code %d, %q, %s", code, out, errs)
	}
	if code, _, errs = command(t, nil, "image", "pull", host+"/acme/whisper:2.4.1", layout); code != 1 || !strings.Contains(errs, "exists already") {
		t.Errorf("over what exists: exit code %d, %s", code, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".draft*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLyingRegistry: bytes that are not those of the digest are not kept.
func TestLyingRegistry(t *testing.T) {
	for what, c := range map[string]struct {
		part string
		lie  func([]byte) []byte
		want string
	}{
		"another blob":     {"/blobs/", func(b []byte) []byte { b[0] ^= 1; return b }, "other bytes"},
		"a longer blob":    {"/blobs/", func(b []byte) []byte { return append(b, 'x') }, "expected"},
		"a shorter blob":   {"/blobs/", func(b []byte) []byte { return b[1:] }, "expected"},
		"another manifest": {"/manifests/sha256:", func(b []byte) []byte { return append(b, ' ') }, "expected sha256:"},
		"an endless one":   {"/manifests/", func([]byte) []byte { return bytes.Repeat([]byte(" "), 5<<20) }, "too large"},
	} {
		t.Run(what, func(t *testing.T) {
			host, _ := hub(t, func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					rec := httptest.NewRecorder()
					h.ServeHTTP(rec, r)
					body := rec.Body.Bytes()
					if strings.Contains(r.URL.Path, c.part) && rec.Code == http.StatusOK {
						body = c.lie(body)
					}
					w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
					w.WriteHeader(rec.Code)
					w.Write(body)
				})
			})
			dir := filepath.Join(t.TempDir(), "out")
			code, _, errs := command(t, nil, "image", "pull", host+"/acme/whisper:2.4.1", dir)
			if code != 1 || !strings.Contains(errs, c.want) || !strings.Contains(errs, "BBX-120") {
				t.Errorf("exit code %d, %s, expected %q", code, errs, c.want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}

// TestPrivateRegistry: a token service, and a password.
func TestPrivateRegistry(t *testing.T) {
	var host string
	private := func(scheme string) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				known := user == "ci" && password == "pass:word"
				if r.URL.Path == "/token" {
					if !known || r.URL.Query().Get("scope") != "repository:acme/whisper:pull" || r.URL.Query().Get("service") != "hub" {
						w.WriteHeader(http.StatusForbidden)
						return
					}
					io.WriteString(w, `{"access_token": "t0ken"}`)
					return
				}
				if r.Header.Get("Authorization") == "Bearer t0ken" || scheme == "Basic" && known {
					h.ServeHTTP(w, r)
					return
				}
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`%s realm="http://%s/token",service="hub",scope="whatever"`, scheme, host))
				w.WriteHeader(http.StatusUnauthorized)
			})
		}
	}
	for _, scheme := range []string{"Bearer", "Basic", "Negotiate"} {
		var digest string
		host, digest = hub(t, private(scheme))
		args := []string{"image", "pull", host + "/acme/whisper:2.4.1", filepath.Join(t.TempDir(), "out")}
		if code, _, errs := command(t, nil, args...); code != 1 || !strings.Contains(errs, "BBX-120") {
			t.Errorf("%s, anonymous: exit code %d, %s", scheme, code, errs)
		}
		code, out, errs := command(t, map[string]string{login: "ci:pass:word"}, args...)
		if want := map[bool]int{true: 0, false: 1}[scheme != "Negotiate"]; code != want || want == 0 && !strings.Contains(out, digest) {
			t.Errorf("%s: exit code %d, expected %d: %s%s", scheme, code, want, out, errs)
		}
		if strings.Contains(out+errs, "pass:word") || strings.Contains(out+errs, "t0ken") {
			t.Errorf("%s: it tells the password: %s%s", scheme, out, errs)
		}
	}
}
