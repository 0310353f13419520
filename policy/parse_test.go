package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

const (
	keyA = "a-key-of-the-clinic-0001"
	keyB = "a-key-of-the-auditor-0002"
)

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

var full = `# an app with everything
name: whisper
app:
  command: [python3, -m, http.server, "8000"]
  env: {LANG: C.UTF-8, DEBUG: "0"}
  dir: /srv
  listen: 127.0.0.1:8000
callers:
  - name: clinic
    api_key: ` + hash(keyA) + `
    may: [query]
    paths: [/v1/audio/*, /v1/models]
  - {api_key: ` + hash(keyB) + `, may: [observe, query]}
  - {anyone: true, may: [query], paths: [/public/*]}
limits: {request: 32MiB, concurrent: 64, idle: 90s}
logs: counters
`

var models = `name: tumour
models:
  - {name: tumour, builtin: tumour}
  - {name: other, path: /models/other.onnx, sha256: ` + hash("model") + `}
`

func parse(t *testing.T, doc string) *Policy {
	t.Helper()
	p, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseApp(t *testing.T) {
	p := parse(t, full)
	a, b := sha256.Sum256([]byte(keyA)), sha256.Sum256([]byte(keyB))
	want := &Policy{
		Name: "whisper",
		App: &App{
			Command: []string{"python3", "-m", "http.server", "8000"},
			Env:     map[string]string{"LANG": "C.UTF-8", "DEBUG": "0"},
			Dir:     "/srv", Listen: "127.0.0.1:8000",
		},
		Callers: []Caller{
			{Name: "clinic", APIKey: &a, May: []Action{Query}, Paths: []string{"/v1/audio/*", "/v1/models"}, Line: 9},
			{Name: "key-" + hex.EncodeToString(b[:4]), APIKey: &b, May: []Action{Observe, Query}, Line: 13},
			{Name: "anyone", Anyone: true, May: []Action{Query}, Paths: []string{"/public/*"}, Line: 14},
		},
		Limits: Limits{Request: 32 << 20, Concurrent: 64, Idle: 90 * time.Second},
		Logs:   LogsCounters,
		doc:    []byte(full), digest: sha256.Sum256([]byte(full)),
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

func TestParseModels(t *testing.T) {
	p := parse(t, models)
	want := []Model{
		{Name: "tumour", Builtin: "tumour"},
		{Name: "other", Path: "/models/other.onnx", SHA256: sha256.Sum256([]byte("model"))},
	}
	if !reflect.DeepEqual(p.Models, want) {
		t.Errorf("got  %+v\nwant %+v", p.Models, want)
	}
	if p.Logs != LogsNone || p.Limits != (Limits{Request: DefaultRequest, Concurrent: DefaultConcurrent, Idle: DefaultIdle}) || p.Callers != nil {
		t.Errorf("defaults are %q, %+v, %+v", p.Logs, p.Limits, p.Callers)
	}
}

// TestDigestIsOfTheBytes: one byte more in a comment is another policy.
func TestDigestIsOfTheBytes(t *testing.T) {
	p := parse(t, full)
	if !bytes.Equal(p.Bytes(), []byte(full)) || p.Digest() != sha256.Sum256([]byte(full)) {
		t.Error("bytes or digest are not those of the document")
	}
	if parse(t, full+"\n").Digest() == p.Digest() {
		t.Error("two documents have one digest")
	}
	p.Bytes()[0] = 'X'
	if p.Bytes()[0] == 'X' {
		t.Error("Bytes lets its caller change the policy")
	}
}

func TestAddress(t *testing.T) {
	for listen, want := range map[string][2]string{"127.0.0.1:80": {"tcp", "127.0.0.1:80"}, "unix:/run/a.sock": {"unix", "/run/a.sock"}} {
		if network, address := (&App{Listen: listen}).Address(); network != want[0] || address != want[1] {
			t.Errorf("%s: got %s %s", listen, network, address)
		}
	}
}

const head = "name: a\napp: {command: [x], listen: 127.0.0.1:80}\n"

// refused holds one document for each thing that is refused, with the places.
var refused = []struct{ name, doc, want string }{
	{"nothing", "", "policy: 1:1: the document is empty"},
	{"only a name", "name: a\n", "policy: 1:1: seen neither app nor models, expected one of the two"},
	{"both", head + "models: [{name: m, builtin: m}]\n", "policy: 2:6: app: seen app and models, expected one of the two"},
	{"no name", "app: {command: [x], listen: 127.0.0.1:80}\n", "policy: 1:1: name: missing"},
	{"bad name", strings.Replace(head, "name: a", "name: a b", 1), `policy: 1:7: name: seen "a b", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit`},
	{"name with a newline", strings.Replace(head, "name: a", `name: "a\n"`, 1), `policy: 1:7: name: seen "a\n", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit`},
	{"unknown key", head + "caller: x\n", `policy: 3:1: unknown key "caller", expected one of name, app, models, callers, limits, logs (did you mean "callers"?)`},

	{"egress", head + "egress: {allow: [{host: api.example, port: 443}]}\n", `policy: 3:1: this version does not enforce "egress", so it refuses it rather than pretend`},
	{"files", head + "files: {tmp: 1GiB}\n", `policy: 3:1: this version does not enforce "files", so it refuses it rather than pretend`},
	{"operators", head + "operators: none\n", `policy: 3:1: this version does not enforce "operators", so it refuses it rather than pretend`},
	{"platforms", head + "platforms: [sev-snp]\n", `policy: 3:1: this version does not enforce "platforms", so it refuses it rather than pretend`},
	{"image", "name: a\napp: {image: x, digest: y, command: [x], listen: 127.0.0.1:80}\n", "policy: 2:7: app: this version does not enforce \"image\", so it refuses it rather than pretend\n2:17: app: this version does not enforce \"digest\", so it refuses it rather than pretend"},
	{"oidc", head + "callers:\n  - {oidc: x, may: [query]}\n", `policy: 4:6: callers[0]: this version does not enforce "oidc", so it refuses it rather than pretend`},
	{"rate", head + "callers: [{anyone: true, may: [query], rate: 60/min}]\n", `policy: 3:40: callers[0]: this version does not enforce "rate", so it refuses it rather than pretend`},
	{"memory", head + "limits: {memory: 4GiB}\n", `policy: 3:10: limits: this version does not enforce "memory", so it refuses it rather than pretend`},
	{"sealed logs", head + "logs: sealed:age1x\n", `policy: 3:7: logs: this version does not enforce "sealed", so it refuses it rather than pretend`},
	{"a later key at another place", head + "limits: {egress: 1}\n", `policy: 3:10: limits: unknown key "egress", expected one of request, concurrent, idle`},

	{"no command", "name: a\napp: {listen: 127.0.0.1:80}\n", "policy: 2:6: app.command: missing"},
	{"empty program", "name: a\napp: {command: [\"\"], listen: 127.0.0.1:80}\n", `policy: 2:17: app.command[0]: seen "", expected a program`},
	{"command as text", "name: a\napp: {command: x, listen: 127.0.0.1:80}\n", `policy: 2:16: app.command: seen "x", expected a list`},
	{"no listen", "name: a\napp: {command: [x]}\n", "policy: 2:6: app.listen: missing"},
	{"relative dir", "name: a\napp: {command: [x], dir: srv, listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "srv", expected an absolute path without '.', '..' or '//'`},
	{"dir with dots", "name: a\napp: {command: [x], dir: /srv/../etc, listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "/srv/../etc", expected an absolute path without '.', '..' or '//'`},
	{"env name", "name: a\napp: {command: [x], env: {A-B: x}, listen: 127.0.0.1:80}\n", `policy: 2:32: app.env: seen "A-B", expected a name of letters, digits and '_'`},
	{"env number", "name: a\napp: {command: [x], env: {A: 1}, listen: 127.0.0.1:80}\n", `policy: 2:30: app.env.A: seen the number 1, expected a string: put it in quotes`},

	{"builtin and path", "name: a\nmodels: [{name: m, builtin: m, path: /m}]\n", "policy: 2:10: models[0]: seen builtin and path, expected one of the two"},
	{"neither", "name: a\nmodels: [{name: m}]\n", "policy: 2:10: models[0]: seen neither builtin nor path, expected one of the two"},
	{"model name", "name: a\nmodels: [{name: m/n, builtin: m}]\n", `policy: 2:17: models[0].name: seen "m/n", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit`},
	{"builtin name", "name: a\nmodels: [{name: m, builtin: ../m}]\n", `policy: 2:29: models[0].builtin: seen "../m", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit`},
	{"model twice", "name: a\nmodels:\n - {name: m, builtin: m}\n - {name: m, builtin: o}\n", "policy: 4:11: models[1].name: the same model as at 3:11"},
	{"path without digest", "name: a\nmodels: [{name: m, path: /m}]\n", "policy: 2:10: models[0].sha256: seen none, expected the digest of the file, since the host can supply another"},
	{"relative path", "name: a\nmodels: [{name: m, path: m.onnx, sha256: " + hash("m") + "}]\n", `policy: 2:26: models[0].path: seen "m.onnx", expected an absolute path without '.', '..' or '//'`},
	{"short digest", "name: a\nmodels: [{name: m, builtin: m, sha256: \"sha256:00\"}]\n", `policy: 2:40: models[0].sha256: seen "sha256:00", expected "sha256:" and 64 lower-case hex digits`},
	{"zero digest", "name: a\nmodels: [{name: m, builtin: m, sha256: sha256:" + strings.Repeat("0", 64) + "}]\n", "policy: 2:40: models[0].sha256: seen the digest of nothing, expected that of something"},

	{"no caller kind", head + "callers:\n  - {name: x, may: [query]}\n", "policy: 4:5: callers[0]: seen neither api_key nor anyone, expected one of the two"},
	{"both caller kinds", head + "callers:\n  - {api_key: " + hash(keyA) + ", anyone: true, may: [query]}\n", "policy: 4:5: callers[0]: seen api_key and anyone, expected one of the two"},
	{"anyone: false", head + "callers: [{anyone: false, may: [query]}]\n", "policy: 3:20: callers[0].anyone: seen false, expected true: leave the key out instead"},
	{"anyone twice", head + "callers:\n - {anyone: true, name: x, may: [query]}\n - {anyone: true, name: z, may: [query]}\n", "policy: 5:13: callers[1].anyone: the same caller as at 4:13"},
	{"named anyone", head + "callers: [{name: anyone, api_key: " + hash(keyA) + ", may: [query]}]\n", `policy: 3:18: callers[0].name: seen "anyone", expected another name for a caller with a key`},
	{"a name twice", head + "callers:\n - {name: x, api_key: " + hash(keyA) + ", may: [query]}\n - {name: x, api_key: " + hash(keyB) + ", may: [query]}\n", "policy: 5:11: callers[1].name: the same name as at 4:11"},
	{"a key twice", head + "callers:\n - {name: x, api_key: " + hash(keyA) + ", may: [query]}\n - {name: z, api_key: " + hash(keyA) + ", may: [query]}\n", "policy: 5:23: callers[1].api_key: the same key as at 4:23"},
	{"a key in the clear", head + "callers: [{name: x, api_key: secret, may: [query]}]\n", `policy: 3:30: callers[0].api_key: seen "secret", expected "sha256:" and 64 lower-case hex digits`},
	{"upper-case hash", head + "callers: [{name: x, api_key: " + strings.ToUpper(hash(keyA)) + ", may: [query]}]\n", `policy: 3:30: callers[0].api_key: seen "` + strings.ToUpper(hash(keyA))[:60] + `"..., expected "sha256:" and 64 lower-case hex digits`},
	{"hash of the empty key", head + "callers: [{name: x, api_key: " + hash("") + ", may: [query]}]\n", "policy: 3:30: callers[0].api_key: seen the digest of nothing, expected that of something"},
	{"may nothing", head + "callers: [{anyone: true}]\n", "policy: 3:11: callers[0].may: missing"},
	{"may an empty list", head + "callers: [{anyone: true, may: []}]\n", "policy: 3:31: callers[0].may: an empty list: fill it, or leave the key out"},
	{"may what is unknown", head + "callers: [{anyone: true, may: [admin]}]\n", `policy: 3:32: callers[0].may[0]: seen "admin", expected "query" or "observe"`},
	{"may twice", head + "callers: [{anyone: true, may: [query, query]}]\n", "policy: 3:39: callers[0].may[1]: the same action as at 3:32"},
	{"paths without query", head + "callers: [{anyone: true, may: [observe], paths: [/*]}]\n", "policy: 3:50: callers[0].paths: seen paths, expected none, since the caller may not query"},
	{"path twice", head + "callers: [{anyone: true, may: [query], paths: [/a, /a]}]\n", "policy: 3:52: callers[0].paths[1]: the same path as at 3:48"},

	{"decimal unit", head + "limits: {request: 1MB}\n", `policy: 3:19: limits.request: seen "1MB", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"size without unit", head + "limits: {request: 1024}\n", "policy: 3:19: limits.request: seen the number 1024, expected a string: put it in quotes"},
	{"size zero", head + "limits: {request: 0MiB}\n", `policy: 3:19: limits.request: seen "0MiB", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"size overflow", head + "limits: {request: 9999999999999GiB}\n", `policy: 3:19: limits.request: seen "9999999999999GiB", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"nobody at once", head + "limits: {concurrent: 0}\n", "policy: 3:22: limits.concurrent: seen 0, expected 1 to 10000"},
	{"too many at once", head + "limits: {concurrent: 10001}\n", "policy: 3:22: limits.concurrent: seen 10001, expected 1 to 10000"},
	{"idle too short", head + "limits: {idle: 1ms}\n", "policy: 3:16: limits.idle: seen 1ms, expected 1s to 24h0m0s"},
	{"logs", head + "logs: all\n", `policy: 3:7: logs: seen "all", expected "none" or "counters"`},
	{"all of it", "name: ''\napp: {command: [x], listen: 0.0.0.0:80}\nlogs: all\n", "policy: 1:7: name: seen \"\", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit\n" +
		"2:29: app.listen: seen \"0.0.0.0:80\", expected \"127.0.0.1:PORT\" or \"unix:/path\": what an app listens on elsewhere can be reached around the box\n" +
		"3:7: logs: seen \"all\", expected \"none\" or \"counters\""},
}

func TestParseRefuses(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse([]byte(c.doc))
			if err == nil || p != nil {
				t.Fatalf("got a policy and error %v, expected only an error", err)
			}
			if err.Error() != c.want {
				t.Errorf("\ngot  %v\nwant %v", err, c.want)
			}
			var where *strictyaml.Error
			if !errors.As(err, &where) || where.Line == 0 {
				t.Errorf("no place in the error %v", err)
			}
		})
	}
}

func TestListen(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:8000": true, "127.0.0.1:65535": true, "unix:/run/app.sock": true,
		"127.0.0.1:0": false, "127.0.0.1": false, ":8000": false, "0.0.0.0:8000": false, "127.0.0.2:8000": false,
		"[::1]:8000": false, "[::ffff:127.0.0.1]:8000": false, "localhost:8000": false, "127.0.0.1:65536": false,
		"127.0.0.1:080": false, "127.1:80": false, "10.0.0.1:80": false, "unix:": false, "unix:/": false,
		"unix:app.sock": false, "unix:/run/../app.sock": false, "unix:@abstract": false,
		"unix:/" + strings.Repeat("a", 106): true, "unix:/" + strings.Repeat("a", 107): false,
	} {
		if isListen(listen) != want {
			t.Errorf("%q: got %t", listen, !want)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string]int64{"1B": 1, "512KiB": 512 << 10, "1MiB": 1 << 20, "1024GiB": 1 << 40} {
		if n, ok := parseSize(s); !ok || n != want {
			t.Errorf("%s: got %d, %t", s, n, ok)
		}
	}
	for _, s := range []string{"", "B", "01B", "-1B", "+1B", "1 MiB", "1mib", "1.5GiB", "1025GiB", "1TiB", "9223372036854775807B", "1MiB\n"} {
		if n, ok := parseSize(s); ok {
			t.Errorf("%q: got %d", s, n)
		}
	}
}

// FuzzParse: nothing panics; a policy or an error with a place, never both; and
// whatever is accepted keeps what the rest of the box relies on.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(models))
	for _, c := range refused {
		f.Add([]byte(c.doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := Parse(doc)
		if (p == nil) == (err == nil) {
			t.Fatalf("policy %v and error %v", p, err)
		}
		if err != nil {
			var where *strictyaml.Error
			if !errors.As(err, &where) || where.Line < 1 || where.Column < 1 {
				t.Fatalf("no place in the error %v", err)
			}
			return
		}
		if !bytes.Equal(p.Bytes(), doc) || (p.App == nil) == (len(p.Models) == 0) {
			t.Fatalf("accepted %+v", p)
		}
		if p.Limits.Request < 1 || p.Limits.Concurrent < 1 || p.Limits.Idle < time.Second {
			t.Fatalf("limits %+v", p.Limits)
		}
		for _, c := range p.Callers {
			if c.Name == "" || len(c.May) == 0 || (c.APIKey == nil) != c.Anyone || c.Line < 1 {
				t.Fatalf("caller %+v", c)
			}
			if d := p.Decide(Request{Caller: c.Name, Action: Query, Path: ReservedPrefix + "/policy"}); d.Allowed {
				t.Fatalf("allowed to query the box's own path: %+v", d)
			}
		}
		if p.Summary() == "" || p.Describe() == "" {
			t.Fatal("nothing to say")
		}
	})
}
