package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
		Audit:  AuditBox,
		doc:    []byte(full), digest: sha256.Sum256([]byte(full)),
	}
	want.lines, want.compiled = p.lines, p.compiled
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

// whole has every key there is.
var whole = `version: 1
name: whisper
app:
  image: ghcr.io/acme/whisper:2.4.1
  digest: ` + hash("image") + `
  command: [serve, --quiet, --quiet]
  env: {LANG: C.UTF-8}
  dir: /srv
  listen: 8000
  user: 1000:1001
  isolation: gvisor
  capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN]
callers:
  - name: ci
    api_key: ` + hash(keyA) + `
    expires: 2027-01-01T00:00:00Z
    may: [query, upload]
    methods: [POST, GET]
    paths:
      - /v1/*
      - /v2/infer
    models: [minilm]
    rate: 60/min
    quota: {requests: 10000/day, bytes: 1GiB/day}
  - certificate: {ca: ` + hash("ca") + `, spiffe: spiffe://clinic.example/app}
    may: [query]
  - {name: cn, certificate: {ca: ` + hash("ca") + `, subject: "front desk"}, may: [list]}
  - {oidc: "https://login.hospital.example:8443/realm", audience: whisper, claim: {org: clinic}, may: [delete], paths: [/v1/audio/*]}
  - {attested: {kind: sev-snp, measurement: "` + strings.Repeat("ab", 48) + `", policy: ` + hash("policy") + `}, may: [observe]}
  - {name: by-cedar, api_key: ` + hash(keyB) + `}
  - {anyone: true, may: [query], paths: [/public/*]}
cedar: |
  @id("night")
  forbid(principal, action == Action::"query", resource)
    when { context.path like "/v1/night/*" && context.model == "big" };

  permit(principal == Caller::"by-cedar", action, resource == Path::"/v1/x");
egress:
  allow:
    - {host: api.stripe.com, port: 443}
    - {host: api.stripe.com, port: 8443, tls: verify}
    - {host: "*.example.com", port: 443, tls: any}
    - {host: 10.0.0.5, port: 5432, private: true}
  connections: 8
  rate: 10MiB/s
  bytes: 100GiB/day
files:
  tmp: 1GiB
  writable: [{path: /var/lib/app, size: 512MiB}]
limits: {memory: 4GiB, pids: 200, cpu: 1.5, open_files: 512, request: 32MiB, response: 1GiB, concurrent: 64, time: 10m, idle: 90s}
logs: sealed:age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
operators: [{name: oncall, api_key: ` + hash("a key of operators") + `, expires: 2027-01-01T00:00:00Z, may: [restart, debug]}]
platforms: [sev-snp, tdx]
`

func manyPaths(n int) string {
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("/%d", i)
	}
	return strings.Join(paths, ",")
}

// TestParseWhole: every key reaches its field.
func TestParseWhole(t *testing.T) {
	p := parse(t, whole)
	a, b, ca := sha256.Sum256([]byte(keyA)), sha256.Sum256([]byte(keyB)), sha256.Sum256([]byte("ca"))
	day, op := 24*time.Hour, sha256.Sum256([]byte("a key of operators"))
	want := &Policy{
		Name: "whisper",
		App: &App{
			Image: "ghcr.io/acme/whisper:2.4.1", Digest: sha256.Sum256([]byte("image")),
			Command: []string{"serve", "--quiet", "--quiet"}, Env: map[string]string{"LANG": "C.UTF-8"}, Dir: "/srv",
			Listen: "127.0.0.1:8000", User: &User{1000, 1001}, Isolation: IsolationGVisor,
			Capabilities: []string{"CAP_NET_BIND_SERVICE", "CAP_CHOWN"},
		},
		Callers: []Caller{
			{
				Name: "ci", APIKey: &a, Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), May: []Action{Query, Upload},
				Methods: []string{"POST", "GET"}, Paths: []string{"/v1/*", "/v2/infer"}, Models: []string{"minilm"},
				Rate: &Budget{60, time.Minute}, Quota: &Quota{Requests: &Budget{10000, day}, Bytes: &Budget{1 << 30, day}}, Line: 14,
			},
			{Name: "certificate-" + hex.EncodeToString(ca[:4]), Certificate: &Certificate{CA: ca, SPIFFE: "spiffe://clinic.example/app"}, May: []Action{Query}, Line: 25},
			{Name: "cn", Certificate: &Certificate{CA: ca, Subject: "front desk"}, May: []Action{List}, Line: 27},
			{
				Name: "oidc-login.hospital.example", May: []Action{Delete}, Paths: []string{"/v1/audio/*"}, Line: 28,
				OIDC: &OIDC{Issuer: "https://login.hospital.example:8443/realm", Audience: "whisper", Claims: map[string]string{"org": "clinic"}},
			},
			{
				Name: "box-abababab", May: []Action{Observe}, Line: 29,
				Attested: &Attested{Kind: "sev-snp", Measurement: bytes.Repeat([]byte{0xab}, 48), Policy: sha256.Sum256([]byte("policy"))},
			},
			{Name: "by-cedar", APIKey: &b, Line: 30},
			{Name: "anyone", Anyone: true, May: []Action{Query}, Paths: []string{"/public/*"}, Line: 31},
		},
		Egress: Egress{
			Allow: []Destination{
				{Host: "api.stripe.com", Port: 443, TLS: TLSPass, Line: 40},
				{Host: "api.stripe.com", Port: 8443, TLS: TLSVerify, Line: 41},
				{Host: "*.example.com", Port: 443, TLS: TLSAny, Line: 42},
				{Host: "10.0.0.5", Port: 5432, TLS: TLSAny, Private: true, Line: 43},
			},
			Connections: 8, Rate: &Budget{10 << 20, time.Second}, Bytes: &Budget{100 << 30, day}, Line: 39,
		},
		Files: Files{Tmp: 1 << 30, Writable: []Writable{{Path: "/var/lib/app", Size: 512 << 20, Line: 49}}},
		Limits: Limits{
			Request: 32 << 20, Response: 1 << 30, Concurrent: 64, Time: 10 * time.Minute, Idle: 90 * time.Second,
			Memory: 4 << 30, PIDs: 200, OpenFiles: 512, CPU: 1500,
		},
		Audit: AuditBox,
		Logs:  "sealed:age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
		Operators: []Operator{{
			Name: "oncall", APIKey: &op, Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), May: []Operation{OpRestart, OpDebug}, Line: 52,
		}},
		Platforms: []string{"sev-snp", "tdx"},
		Cedar:     p.Cedar,
		doc:       []byte(whole), digest: sha256.Sum256([]byte(whole)), lines: p.lines, compiled: p.compiled,
	}
	got, expected := reflect.ValueOf(p).Elem(), reflect.ValueOf(want).Elem()
	for i := range got.NumField() {
		if name := got.Type().Field(i).Name; got.Type().Field(i).IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), expected.Field(i).Interface()) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got.Field(i).Interface(), expected.Field(i).Interface())
		}
	}
	if !strings.HasPrefix(p.Cedar, "@id(\"night\")\nforbid(") || !strings.HasSuffix(p.Cedar, ";\n") {
		t.Errorf("cedar is %q", p.Cedar)
	}
	if l, ok := p.Logs.Recipient(); !ok || l != "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p" {
		t.Errorf("sealed to %q, %t", l, ok)
	}
	for path, line := range map[string]int{"egress.allow[1]": 41, "limits.memory": 50, "callers[0].paths[1]": 21, "nowhere": 0, "": 1} {
		if got := p.Line(path); got != line {
			t.Errorf("%s is on line %d, expected %d", path, got, line)
		}
	}
}

// TestDefaults: what holds where the document says nothing.
func TestDefaults(t *testing.T) {
	p := parse(t, image)
	if p.App.Isolation != IsolationRunc || p.App.User != nil || p.App.Capabilities != nil || p.App.Command != nil {
		t.Errorf("an image runs as %+v", p.App)
	}
	want := Limits{
		Request: DefaultRequest, Concurrent: DefaultConcurrent, Idle: DefaultIdle,
		Memory: DefaultMemory, PIDs: DefaultPIDs, OpenFiles: DefaultOpenFiles,
	}
	if p.Limits != want {
		t.Errorf("an image has the limits %+v", p.Limits)
	}
	if p.EgressUnrestricted() || len(p.Egress.Allow) > 0 || p.Egress.Connections != 0 {
		t.Errorf("an image may connect to %+v", p.Egress)
	}
	for doc, unrestricted := range map[string]bool{
		head: true, models: false, image: false, head + "egress: none\n": false, models + "egress: none\n": false,
		head + "egress: {allow: [{host: a.example, port: 1}]}\n": false,
	} {
		if got := parse(t, doc).EgressUnrestricted(); got != unrestricted {
			t.Errorf("%s: unrestricted %t", doc, got)
		}
	}
	if e := parse(t, head+"egress: {allow: [{host: 8.8.8.8, port: 443}]}\n").Egress; e.Allow[0].TLS != TLSAny {
		t.Errorf("an address on port 443: %+v", e)
	}
	if e := parse(t, head+"egress: {allow: [{host: a.example, port: 1}]}\n").Egress; e.Connections != DefaultConnections || e.Allow[0].TLS != TLSAny {
		t.Errorf("egress is %+v", e)
	}
	if p := parse(t, head+"operators: none\n"); p.Operators != nil {
		t.Errorf("operators may %v", p.Operators)
	}
}

// TestAccepted: what is near to what is refused, and right.
func TestAccepted(t *testing.T) {
	for _, doc := range []string{
		"name: a\napp: {command: [x, \"\"], dir: /, listen: 80}\n",
		"name: a\napp: {command: [x], listen: \"65535\"}\n",
		head + "callers: [{anyone: true, name: anyone, may: [query]}]\n",
		"name: a\napp: {command: [x], dir: /" + strings.Repeat("a", 4094) + ", listen: 80}\n",
		cedarHead + "  forbid(principal, action, resource) when { action in [Action::\"query\", Action::\"list\"] };\n",
		cedarHead + "  forbid(principal is Caller, action in Action::\"query\", resource is Path);\n",
		cedarHead + "  forbid(principal, action, resource) when { principal has kind && context has model && resource is Path };\n",
		cedarHead + "  forbid(principal, action, resource) when { " + strings.Repeat("(", 63) + "true" + strings.Repeat(")", 63) + " };\n",
		cedarHead + "  forbid(principal, action, resource) when { " + strings.Repeat("(true) && ", 100) + "true };\n",
		cedarHead + "  forbid(principal, action, resource) when { [1 - 1, 2 - 1].contains(" + strings.Repeat("2 - 1 - ", 100) + "1) };\n",
		head + "egress: {allow: [{host: a.example, port: 1}, {host: a.example, port: 2}, {host: 8.8.8.8, port: 1}, {host: \"*.a.example\", port: 65535}]}\n",
		head + "egress: {allow: [{host: 127.0.0.1, port: 1, private: true}, {host: 100.63.0.1, port: 1}, {host: localhost, port: 1}]}\n",
		image + "files: {writable: [{path: /tmp, size: 1B}, {path: /process, size: 1024GiB}]}\n",
		head + "callers: [{anyone: true, may: [query], expires: \"2027-01-01T00:00:00Z\", rate: 999999999/day, quota: {requests: 1/s}}]\n",
		image + "limits: {cpu: 0.001, pids: 1, open_files: 16, time: 1s, idle: 24h}\n",
	} {
		if _, err := Parse([]byte(doc)); err != nil {
			t.Errorf("%v in\n%s", err, doc)
		}
	}
}

// TestSyntaxErrorWithoutPlace: if the Cedar parser ever forgets to say where, the
// section is named.
func TestSyntaxErrorWithoutPlace(t *testing.T) {
	var b builder
	b.syntaxError(&strictyaml.Block{Value: "x", Pos: strictyaml.Pos{Line: 7, Column: 3}}, errors.New("lost"))
	if err := b.errs.Err(); err == nil || err.Error() != `7:3: cedar: not Cedar: "lost"` {
		t.Errorf("got %v", err)
	}
}

func TestIsHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for host, want := range map[string]bool{
		"a": true, "a.b": true, "a-b.c": true, "_sip.a": true, "*.a.b": true, "xn--nxasmq6b.example": true, long + ".a": true,
		strings.Repeat(long+".", 3) + strings.Repeat("a", 61): true, strings.Repeat(long+".", 3) + strings.Repeat("a", 62): false,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "-a": false, "a-": false, "a.-b.c": false, "a.b-.c": false,
		long + "a.b": false, "*.a": false, "1.2.3": false, "a.1": false, "0x7f.0x1": false, "a.1b": true,
	} {
		if isHost(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
}

func TestClaims(t *testing.T) {
	p := parse(t, head+"callers:\n  - {oidc: \"https://a.example\", audience: a, claim: {org: clinic, \"urn:x\": \"1\"}, may: [query]}\n")
	if want := map[string]string{"org": "clinic", "urn:x": "1"}; !reflect.DeepEqual(p.Callers[0].OIDC.Claims, want) {
		t.Errorf("claims %v", p.Callers[0].OIDC.Claims)
	}
}

func TestExpired(t *testing.T) {
	c := parse(t, whole).Callers[0]
	for offset, want := range map[time.Duration]bool{-1: false, 0: true, 1: true} {
		if got := c.Expired(c.Expires.Add(offset)); got != want {
			t.Errorf("%s after it expires: %t", offset, got)
		}
	}
	if (&Caller{}).Expired(time.Now()) {
		t.Error("a caller without a time expires")
	}
}

func TestParseModels(t *testing.T) {
	p := parse(t, models)
	want := []Model{
		{Name: "tumour", Builtin: "tumour", Line: 3},
		{Name: "other", Path: "/models/other.onnx", SHA256: sha256.Sum256([]byte("model")), Line: 4},
	}
	if !reflect.DeepEqual(p.Models, want) {
		t.Errorf("got  %+v\nwant %+v", p.Models, want)
	}
	if p.Logs != LogsNone || p.Limits != (Limits{Request: DefaultForModels, Concurrent: DefaultConcurrent, Idle: DefaultIdle}) || p.Callers != nil {
		t.Errorf("defaults are %q, %+v, %+v", p.Logs, p.Limits, p.Callers)
	}
	if p := parse(t, "name: a\nstore: {memory: 1GiB}\n"); p.Limits.Request != DefaultForModels {
		t.Errorf("a box to which callers bring models takes %d bytes, expected a photograph", p.Limits.Request)
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

const image = "name: a\napp: {image: oci:./x.oci, digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, listen: 80}\n"

// cedarHead is seven lines; the Cedar text begins on the eighth.
var cedarHead = head + "callers:\n  - name: clinic\n    api_key: " + hash(keyA) + "\n    may: [query]\ncedar: |\n"

// refused holds one document for each thing that is refused, with the places.
var refused = []struct{ name, doc, want string }{
	{"nothing", "", "policy: 1:1: the document is empty"},
	{"only a name", "name: a\n", "policy: 1:1: seen neither app nor models or store, expected one of the two"},
	{"both", head + "models: [{name: m, builtin: m}]\n", `policy: 1:1: seen app and models, expected one of the two`},
	{"no name", "app: {command: [x], listen: 127.0.0.1:80}\n", "policy: 1:1: name: missing"},
	{"bad name", strings.Replace(head, "name: a", "name: a b", 1), `policy: 1:7: name: seen "a b", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit`},
	{"name with a newline", strings.Replace(head, "name: a", `name: "a\n"`, 1), `policy: 1:7: name: seen "a\n", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit`},
	{"unknown key", head + "caller: x\n", `policy: 3:1: unknown key "caller", expected one of version, name, app, services, models, store, callers, cedar, egress, files, limits, logs, audit, operators, platforms (did you mean "callers"?)`},

	{"a later key at another place", head + "limits: {egress: 1}\n", `policy: 3:10: limits: unknown key "egress", expected one of memory, pids, cpu, open_files, request, response, concurrent, time, idle`},

	{"no command", "name: a\napp: {listen: 127.0.0.1:80}\n", `policy: 2:6: app.command: missing, expected command, or image`},
	{"empty program", "name: a\napp: {command: [\"\"], listen: 127.0.0.1:80}\n", `policy: 2:17: app.command[0]: seen "", expected a program`},
	{"command as text", "name: a\napp: {command: x, listen: 127.0.0.1:80}\n", `policy: 2:16: app.command: seen "x", expected a list`},
	{"no listen", "name: a\napp: {command: [x]}\n", "policy: 2:6: app.listen: missing"},
	{"relative dir", "name: a\napp: {command: [x], dir: srv, listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "srv", expected an absolute path without '.', '..' or '//'`},
	{"dir with a dot", "name: a\napp: {command: [x], dir: /srv/./etc, listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "/srv/./etc", expected an absolute path without '.', '..' or '//'`},
	{"dir too long", "name: a\napp: {command: [x], dir: /" + strings.Repeat("a", 4095) + ", listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "/` + strings.Repeat("a", 59) + `"..., expected an absolute path without '.', '..' or '//'`},
	{"dir with an empty part", "name: a\napp: {command: [x], dir: /srv//etc, listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "/srv//etc", expected an absolute path without '.', '..' or '//'`},
	{"dir that ends in a slash", "name: a\napp: {command: [x], dir: /srv/, listen: 127.0.0.1:80}\n", `policy: 2:26: app.dir: seen "/srv/", expected an absolute path without '.', '..' or '//'`},
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

	{"no caller kind", head + "callers:\n  - {name: x, may: [query]}\n", `policy: 4:5: callers[0]: seen none of api_key, certificate, oidc, attested, anyone, expected one of them`},
	{"both caller kinds", head + "callers:\n  - {api_key: " + hash(keyA) + ", anyone: true, may: [query]}\n", `policy: 4:5: callers[0]: seen api_key and anyone, expected one of them`},
	{"anyone: false", head + "callers: [{anyone: false, may: [query]}]\n", "policy: 3:20: callers[0].anyone: seen false, expected true: leave the key out instead"},
	{"anyone twice", head + "callers:\n - {anyone: true, name: x, may: [query]}\n - {anyone: true, name: z, may: [query]}\n", `policy: 5:4: callers[1]: the same caller as at 4:4`},
	{"named anyone", head + "callers: [{name: anyone, api_key: " + hash(keyA) + ", may: [query]}]\n", `policy: 3:18: callers[0].name: seen "anyone", expected another name for a caller that is known`},
	{"a name twice", head + "callers:\n - {name: x, api_key: " + hash(keyA) + ", may: [query]}\n - {name: x, api_key: " + hash(keyB) + ", may: [query]}\n", "policy: 5:11: callers[1].name: the same name as at 4:11"},
	{"a key twice", head + "callers:\n - {name: x, api_key: " + hash(keyA) + ", may: [query]}\n - {name: z, api_key: " + hash(keyA) + ", may: [query]}\n", `policy: 5:4: callers[1]: the same caller as at 4:4`},
	{"a key in the clear", head + "callers: [{name: x, api_key: secret, may: [query]}]\n", `policy: 3:30: callers[0].api_key: seen "secret", expected "sha256:" and 64 lower-case hex digits`},
	{"upper-case hash", head + "callers: [{name: x, api_key: " + strings.ToUpper(hash(keyA)) + ", may: [query]}]\n", `policy: 3:30: callers[0].api_key: seen "` + strings.ToUpper(hash(keyA))[:60] + `"..., expected "sha256:" and 64 lower-case hex digits`},
	{"hash of the empty key", head + "callers: [{name: x, api_key: " + hash("") + ", may: [query]}]\n", "policy: 3:30: callers[0].api_key: seen the digest of nothing, expected that of something"},
	{"may nothing", head + "callers: [{anyone: true}]\n", `policy: 3:11: callers[0].may: missing, expected what the caller may do: "query", "upload", "delete", "list" or "observe"`},
	{"may an empty list", head + "callers: [{anyone: true, may: []}]\n", "policy: 3:31: callers[0].may: an empty list: fill it, or leave the key out"},
	{"may what is unknown", head + "callers: [{anyone: true, may: [admin]}]\n", `policy: 3:32: callers[0].may[0]: seen "admin", expected "query", "upload", "delete", "list" or "observe"`},
	{"may twice", head + "callers: [{anyone: true, may: [query, query]}]\n", `policy: 3:39: callers[0].may[1]: the same as at 3:32`},
	{"paths without query", head + "callers: [{anyone: true, may: [observe], paths: [/*]}]\n", `policy: 3:50: callers[0].paths: seen paths, expected none, since they limit only what the caller may do but observe`},
	{"path twice", head + "callers: [{anyone: true, may: [query], paths: [/a, /a]}]\n", `policy: 3:52: callers[0].paths[1]: the same as at 3:48`},

	{"decimal unit", head + "limits: {request: 1MB}\n", `policy: 3:19: limits.request: seen "1MB", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"size without unit", head + "limits: {request: 1024}\n", "policy: 3:19: limits.request: seen the number 1024, expected a string: put it in quotes"},
	{"size zero", head + "limits: {request: 0MiB}\n", `policy: 3:19: limits.request: seen "0MiB", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"size overflow", head + "limits: {request: 9999999999999GiB}\n", `policy: 3:19: limits.request: seen "9999999999999GiB", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"nobody at once", head + "limits: {concurrent: 0}\n", "policy: 3:22: limits.concurrent: seen 0, expected 1 to 10000"},
	{"too many at once", head + "limits: {concurrent: 10001}\n", "policy: 3:22: limits.concurrent: seen 10001, expected 1 to 10000"},
	{"idle too short", head + "limits: {idle: 1ms}\n", "policy: 3:16: limits.idle: seen 1ms, expected 1s to 24h0m0s"},
	{"audit", head + "audit: all\n", `policy: 3:8: audit: seen "all", expected "box" or "host"`},
	{"logs", head + "logs: all\n", `policy: 3:7: logs: seen "all", expected "none", "counters", or "sealed:" and an age recipient (age1...)`},
	{"version", "version: 2\n" + head, `policy: 1:10: version: seen 2, expected 1, the only version there is`},
	{"cpu zero", image + "limits: {cpu: 0}\n", `policy: 3:15: limits.cpu: seen "0", expected more than none`},
	{"cpu in words", image + "limits: {cpu: two}\n", `policy: 3:15: limits.cpu: seen "two", expected a number of processors such as 2 or 0.5, at most 999`},
	{"memory without unit", image + "limits: {memory: big}\n", `policy: 3:18: limits.memory: seen "big", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"no processes", image + "limits: {pids: 0}\n", `policy: 3:16: limits.pids: seen 0, expected 1 to 4194304`},
	{"few files", image + "limits: {open_files: 15}\n", `policy: 3:22: limits.open_files: seen 15, expected 16 to 1048576`},
	{"time too long", image + "limits: {time: 25h}\n", `policy: 3:16: limits.time: seen 25h0m0s, expected 1s to 24h0m0s`},
	{"response zero", image + "limits: {response: 0B}\n", `policy: 3:20: limits.response: seen "0B", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"image without digest", "name: a\napp: {image: ghcr.io/acme/x:1, listen: 80}\n", `policy: 2:6: app.digest: missing, expected the digest of the image's manifest, since whoever supplies the image can supply another: blindbox pin writes it`},
	{"image without registry", "name: a\napp: {image: nginx, digest: " + hash("i") + ", listen: 80}\n", `policy: 2:14: app.image: seen "nginx", expected "oci:PATH", or a registry reference with the registry's name such as ghcr.io/acme/whisper:2.4.1`},
	{"image digest of nothing", "name: a\napp: {image: oci:x, digest: " + hash("") + ", listen: 80}\n", `policy: 2:29: app.digest: seen the digest of nothing, expected that of something`},
	{"what only an image has", "name: a\napp: {command: [x], digest: " + hash("i") + ", user: 1000:1000, isolation: runc, capabilities: [CAP_CHOWN], listen: 80}\n", "policy: 2:29: app.digest: without an image this does nothing, expected app.image, or no digest\n2:108: app.user: without an image this does nothing, expected app.image, or no user\n2:130: app.isolation: without an image this does nothing, expected app.image, or no isolation\n2:151: app.capabilities: without an image this does nothing, expected app.image, or no capabilities"},
	{"neither image nor command", "name: a\napp: {listen: 80}\n", `policy: 2:6: app.command: missing, expected command, or image`},
	{"port 0", "name: a\napp: {command: [x], listen: 0}\n", `policy: 2:29: app.listen: seen "0", expected a port, "127.0.0.1:PORT" or "unix:/path": what an app listens on elsewhere can be reached around the box`},
	{"port 65536", "name: a\napp: {command: [x], listen: 65536}\n", `policy: 2:29: app.listen: seen "65536", expected a port, "127.0.0.1:PORT" or "unix:/path": what an app listens on elsewhere can be reached around the box`},
	{"user by name", strings.Replace(image, "listen", "user: nobody, listen", 1), `policy: 2:114: app.user: seen "nobody", expected UID:GID, two numbers`},
	{"user too large", strings.Replace(image, "listen", "user: \"2147483648:0\", listen", 1), `policy: 2:114: app.user: seen "2147483648:0", expected ids below 2147483648`},
	{"group too large", strings.Replace(image, "listen", "user: \"0:2147483648\", listen", 1), `policy: 2:114: app.user: seen "0:2147483648", expected ids below 2147483648`},
	{"user that is a number to some", strings.Replace(image, "listen", "user: 1000:50, listen", 1), `policy: 2:114: app.user: seen "1000:50", expected a string: put it in quotes`},
	{"isolation", strings.Replace(image, "listen", "isolation: docker, listen", 1), `policy: 2:119: app.isolation: seen "docker", expected "runc" or "gvisor"`},
	{"capability", strings.Replace(image, "listen", "capabilities: [NET_ADMIN], listen", 1), `policy: 2:123: app.capabilities[0]: seen "NET_ADMIN", expected a capability of capabilities(7), such as CAP_NET_BIND_SERVICE`},
	{"capability twice", strings.Replace(image, "listen", "capabilities: [CAP_CHOWN, CAP_CHOWN], listen", 1), `policy: 2:134: app.capabilities[1]: the same as at 2:123`},

	{"oidc without audience", head + "callers:\n  - {oidc: https://login.example, may: [query]}\n", `policy: 4:5: callers[0].audience: missing, expected the audience that tokens for this box have, so that those for others are of no use here`},
	{"two callers of no kind", head + "callers:\n  - {may: [query]}\n  - {may: [query]}\n", "policy: 4:5: callers[0]: seen none of api_key, certificate, oidc, attested, anyone, expected one of them\n5:5: callers[1]: seen none of api_key, certificate, oidc, attested, anyone, expected one of them"},
	{"oidc that is no URL", head + "callers:\n  - {oidc: \"https://[\", audience: a, may: [query]}\n", `policy: 4:12: callers[0].oidc: seen "https://[", expected an https URL without query, such as https://login.hospital.example`},
	{"oidc over http", head + "callers:\n  - {oidc: http://login.example, audience: a, may: [query]}\n", `policy: 4:12: callers[0].oidc: seen "http://login.example", expected an https URL without query, such as https://login.hospital.example`},
	{"oidc at an address", head + "callers:\n  - {oidc: https://127.0.0.1, audience: a, may: [query]}\n", `policy: 4:12: callers[0].oidc: seen "https://127.0.0.1", expected an https URL without query, such as https://login.hospital.example`},
	{"oidc with a query", head + "callers:\n  - {oidc: \"https://login.example/?a=b\", audience: a, may: [query]}\n", `policy: 4:12: callers[0].oidc: seen "https://login.example/?a=b", expected an https URL without query, such as https://login.hospital.example`},
	{"claim without oidc", head + "callers:\n  - {anyone: true, audience: a, claim: {org: x}, may: [query]}\n", "policy: 4:30: callers[0].audience: seen audience, expected none without oidc\n4:46: callers[0].claim: seen claim, expected none without oidc"},
	{"claim of a number", head + "callers:\n  - {oidc: https://login.example, audience: a, claim: {org: 1}, may: [query]}\n", `policy: 4:61: callers[0].claim.org: seen the number 1, expected a string: put it in quotes`},
	{"the same token twice", head + "callers:\n  - {oidc: https://login.example, audience: a, claim: {o: x, p: z}, may: [query]}\n  - {oidc: https://login.example, name: b, audience: a, claim: {p: z, o: x}, may: [list]}\n", `policy: 5:5: callers[1]: the same caller as at 4:5`},
	{"certificate without ca", head + "callers:\n  - {certificate: {subject: x}, may: [query]}\n", `policy: 4:19: callers[0].certificate.ca: missing`},
	{"two subjects", head + "callers:\n  - {certificate: {ca: " + hash("ca") + ", subject: x, spiffe: spiffe://a.example/b}, may: [query]}\n", `policy: 4:19: callers[0].certificate: seen spiffe and subject, expected one of the two`},
	{"spiffe", head + "callers:\n  - {certificate: {ca: " + hash("ca") + ", spiffe: https://a.example}, may: [query]}\n", `policy: 4:105: callers[0].certificate.spiffe: seen "https://a.example", expected a SPIFFE id such as spiffe://clinic.example/app`},
	{"the same certificate twice", head + "callers:\n  - {certificate: {ca: " + hash("ca") + "}, may: [query]}\n  - {name: b, certificate: {ca: " + hash("ca") + "}, may: [query]}\n", `policy: 5:5: callers[1]: the same caller as at 4:5`},
	{"attested by half", head + "callers:\n  - {attested: {kind: sgx}, may: [query]}\n", "policy: 4:16: callers[0].attested.measurement: missing\n4:16: callers[0].attested.policy: missing"},
	{"attested length", head + "callers:\n  - {attested: {kind: sgx, measurement: \"" + strings.Repeat("ab", 48) + "\", policy: " + hash("p") + "}, may: [query]}\n", `policy: 4:41: callers[0].attested.measurement: seen "abababababababababababababababababababababababababababababab"..., expected 64 lower-case hex digits for sgx`},
	{"attested zero", head + "callers:\n  - {attested: {kind: sev-snp, measurement: \"" + strings.Repeat("00", 48) + "\", policy: " + hash("p") + "}, may: [query]}\n", `policy: 4:45: callers[0].attested.measurement: seen all zeros, expected what the hardware measured`},
	{"the same box twice", head + "callers:\n  - {attested: {kind: tpm, measurement: \"" + strings.Repeat("ab", 48) + "\", policy: " + hash("p") + "}, may: [query]}\n  - {name: b, attested: {kind: tpm, measurement: \"" + strings.Repeat("ab", 48) + "\", policy: " + hash("p") + "}, may: [query]}\n", `policy: 5:5: callers[1]: the same caller as at 4:5`},
	{"expires", head + "callers: [{anyone: true, may: [query], expires: 2027-01-01}]\n", `policy: 3:49: callers[0].expires: seen "2027-01-01", expected a time in UTC such as 2027-01-01T00:00:00Z`},
	{"expires on no day", head + "callers: [{anyone: true, may: [query], expires: 2027-02-30T00:00:00Z}]\n", `policy: 3:49: callers[0].expires: seen "2027-02-30T00:00:00Z", expected a time in UTC such as 2027-01-01T00:00:00Z`},
	{"expires elsewhere", head + "callers: [{anyone: true, may: [query], expires: \"2027-02-03T00:00:00+01:00\"}]\n", `policy: 3:49: callers[0].expires: seen "2027-02-03T00:00:00+01:00", expected a time in UTC such as 2027-01-01T00:00:00Z`},
	{"rate", head + "callers: [{anyone: true, may: [query], rate: 60/m}]\n", `policy: 3:46: callers[0].rate: seen "60/m", expected a number and a time, such as 10/s, 60/min, 1000/h or 10000/day`},
	{"rate of none", head + "callers: [{anyone: true, may: [query], rate: 0/min}]\n", `policy: 3:46: callers[0].rate: seen "0/min", expected a number and a time, such as 10/s, 60/min, 1000/h or 10000/day`},
	{"quota", head + "callers: [{anyone: true, may: [query], quota: {requests: 5/week, bytes: 1GB/day}}]\n", "policy: 3:58: callers[0].quota.requests: seen \"5/week\", expected a number and a time, such as 10/s, 60/min, 1000/h or 10000/day\n3:73: callers[0].quota.bytes: seen \"1GB/day\", expected a size and a time, such as 10MiB/s or 1GiB/day"},
	{"quota too large", head + "callers: [{anyone: true, may: [query], quota: {bytes: 1025GiB/day}}]\n", `policy: 3:55: callers[0].quota.bytes: seen "1025GiB/day", expected at most 1024GiB`},
	{"method", head + "callers: [{anyone: true, may: [query], methods: [get]}]\n", `policy: 3:50: callers[0].methods[0]: seen "get", expected an HTTP method in capital letters, and not CONNECT or TRACE`},
	{"connect", head + "callers: [{anyone: true, may: [query], methods: [CONNECT, TRACE]}]\n", "policy: 3:50: callers[0].methods[0]: seen \"CONNECT\", expected an HTTP method in capital letters, and not CONNECT or TRACE\n3:59: callers[0].methods[1]: seen \"TRACE\", expected an HTTP method in capital letters, and not CONNECT or TRACE"},
	{"methods for observers", head + "callers: [{anyone: true, may: [observe], methods: [GET], models: [m]}]\n", "policy: 3:52: callers[0].methods: seen methods, expected none, since they limit only what the caller may do but observe\n3:67: callers[0].models: seen models, expected none, since they limit only what the caller may do but observe"},
	{"pattern", head + "callers: [{anyone: true, may: [query], paths: [/a*]}]\n", `policy: 3:48: callers[0].paths[0]: seen "/a*", expected a star only after a slash: /v1/*`},

	{"too many rules", head + "callers: [{anyone: true, may: [query, upload, delete, list], paths: [" + manyPaths(5001) + "]}]\n", "policy: 3:11: callers: more than 20000 rules, actions times paths of every caller"},
	{"egress all", head + "egress: all\n", `policy: 3:9: egress: seen "all", expected "none" or a mapping`},
	{"egress to nowhere", head + "egress: {connections: 1}\n", `policy: 3:9: egress.allow: missing`},
	{"egress without port", head + "egress: {allow: [{host: api.example}]}\n", `policy: 3:18: egress.allow[0].port: missing`},
	{"egress port 0", head + "egress: {allow: [{host: api.example, port: 0}]}\n", `policy: 3:44: egress.allow[0].port: seen 0, expected 1 to 65535`},
	{"egress port too large", head + "egress: {allow: [{host: api.example, port: 65536}]}\n", `policy: 3:44: egress.allow[0].port: seen 65536, expected 1 to 65535`},
	{"egress upper case", head + "egress: {allow: [{host: API.example, port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "API.example", expected a name in lower case, *. and a name, or an IP address`},
	{"egress star in the middle", head + "egress: {allow: [{host: a.*.example, port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "a.*.example", expected a name in lower case, *. and a name, or an IP address`},
	{"egress half a star", head + "egress: {allow: [{host: \"a*.example\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "a*.example", expected a name in lower case, *. and a name, or an IP address`},
	{"egress star of a top", head + "egress: {allow: [{host: \"*.example\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "*.example", expected a name in lower case, *. and a name, or an IP address`},
	{"egress star", head + "egress: {allow: [{host: \"*\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "*", expected a name in lower case, *. and a name, or an IP address`},
	{"egress final dot", head + "egress: {allow: [{host: api.example., port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "api.example.", expected a name in lower case, *. and a name, or an IP address`},
	{"egress odd address", head + "egress: {allow: [{host: \"010.0.0.1\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "010.0.0.1", expected a name in lower case, *. and a name, or an IP address`},
	{"egress number", head + "egress: {allow: [{host: \"2130706433\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "2130706433", expected a name in lower case, *. and a name, or an IP address`},
	{"egress hexadecimal", head + "egress: {allow: [{host: \"0x7f000001\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "0x7f000001", expected a name in lower case, *. and a name, or an IP address`},
	{"egress long form", head + "egress: {allow: [{host: \"2001:db8:0:0:0:0:0:1\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "2001:db8:0:0:0:0:0:1", expected the address in its usual form, 2001:db8::1`},
	{"egress mapped", head + "egress: {allow: [{host: \"::ffff:8.8.8.8\", port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "::ffff:8.8.8.8", expected the address in its usual form, 8.8.8.8`},
	{"egress private", head + "egress: {allow: [{host: 10.0.0.5, port: 1}]}\n", `policy: 3:25: egress.allow[0].host: seen "10.0.0.5", expected private: true beside an address that is not public`},
	{"egress metadata", head + "egress: {allow: [{host: 169.254.169.254, port: 80}]}\n", `policy: 3:25: egress.allow[0].host: seen "169.254.169.254", expected private: true beside an address that is not public`},
	{"egress loopback", head + "egress: {allow: [{host: \"::1\", port: 80}]}\n", `policy: 3:25: egress.allow[0].host: seen "::1", expected private: true beside an address that is not public`},
	{"egress shared", head + "egress: {allow: [{host: 100.64.0.1, port: 80}]}\n", `policy: 3:25: egress.allow[0].host: seen "100.64.0.1", expected private: true beside an address that is not public`},
	{"egress everywhere", head + "egress: {allow: [{host: 0.0.0.0, port: 80, private: true}]}\n", `policy: 3:25: egress.allow[0].host: seen "0.0.0.0", expected the address of one machine`},
	{"egress multicast", head + "egress: {allow: [{host: 224.0.0.1, port: 80, private: true}]}\n", `policy: 3:25: egress.allow[0].host: seen "224.0.0.1", expected the address of one machine`},
	{"egress broadcast", head + "egress: {allow: [{host: 255.255.255.255, port: 80, private: true}]}\n", `policy: 3:25: egress.allow[0].host: seen "255.255.255.255", expected the address of one machine`},
	{"egress twice", head + "egress: {allow: [{host: a.example, port: 80}, {host: a.example, port: 80, private: true}]}\n", `policy: 3:47: egress.allow[1]: the same host and port as at 3:18`},
	{"egress tls", head + "egress: {allow: [{host: a.example, port: 80, tls: strict}]}\n", `policy: 3:51: egress.allow[0].tls: seen "strict", expected "any", "pass" or "verify"`},
	{"egress tls of an address", head + "egress: {allow: [{host: 8.8.8.8, port: 80, tls: verify}, {host: 8.8.4.4, port: 80, tls: pass}]}\n", "policy: 3:49: egress.allow[0].tls: seen \"verify\", expected a host with a name, since an address has none that TLS could show\n3:89: egress.allow[1].tls: seen \"pass\", expected a host with a name, since an address has none that TLS could show"},
	{"egress rate", head + "egress: {allow: [{host: a.example, port: 80}], rate: 10/s, bytes: 2000GiB/day, connections: 0}\n", "policy: 3:54: egress.rate: seen \"10/s\", expected a size and a time, such as 10MiB/s or 1GiB/day\n3:67: egress.bytes: seen \"2000GiB/day\", expected at most 1024GiB\n3:93: egress.connections: seen 0, expected 1 to 10000"},

	{"files twice", image + "files: {tmp: 1MiB, writable: [{path: /tmp, size: 1MiB}, {path: /a, size: 1MiB}, {path: /a, size: 1MiB}]}\n", "policy: 3:38: files.writable[0].path: the same place as at 3:14\n3:88: files.writable[2].path: the same place as at 3:64"},
	{"files of the kernel", image + "files: {writable: [{path: /proc/x, size: 1MiB}, {path: /sys, size: 1MiB}, {path: /dev/shm, size: 1MiB}, {path: /, size: 1MiB}]}\n", "policy: 3:27: files.writable[0].path: seen \"/proc/x\", expected a place outside /proc, /sys and /dev\n3:56: files.writable[1].path: seen \"/sys\", expected a place outside /proc, /sys and /dev\n3:82: files.writable[2].path: seen \"/dev/shm\", expected a place outside /proc, /sys and /dev\n3:112: files.writable[3].path: seen \"/\", expected an absolute path without '.', '..' or '//'"},
	{"files without size", image + "files: {writable: [{path: /a}]}\n", `policy: 3:20: files.writable[0].size: missing`},
	{"files empty", image + "files: {tmp: 0B}\n", `policy: 3:14: files.tmp: seen "0B", expected a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB`},
	{"operators", head + "operators: [{api_key: " + hash("op") + ", may: [reboot]}]\n", `policy: 3:102: operators[0].may[0]: seen "reboot", expected "restart", "exec", "shell" or "debug"`},
	{"operators that are nobody", head + "operators: {may: [exec]}\n", `policy: 3:12: operators: seen a mapping, expected "none" or a list`},
	{"platform", head + "platforms: [sev]\n", `policy: 3:13: platforms[0]: seen "sev", expected "sev-snp", "tdx", "sgx", "nitro", "tpm", "azure-sev-snp", "azure-tdx", "composite" or "sim-sev-snp"`},
	{"sealed to nobody", head + "logs: \"sealed:\"\n", `policy: 3:7: logs: seen "sealed:", expected "none", "counters", or "sealed:" and an age recipient (age1...)`},
	{"sealed to ssh", head + "logs: sealed:ssh-ed25519\n", `policy: 3:7: logs: seen "sealed:ssh-ed25519", expected "none", "counters", or "sealed:" and an age recipient (age1...)`},

	{"cedar on one line", head + "cedar: permit(principal, action, resource);\n", `policy: 3:8: cedar: seen "permit(principal, action, resource);", expected a literal block: "|" and the text on the lines below it`},
	{"cedar folded", head + "cedar: >\n  permit(principal, action, resource);\n", `policy: 3:8: cedar: seen "permit(principal, action, resource);\n", expected a literal block: "|" and the text on the lines below it`},
	{"cedar without a policy", head + "cedar: |\n  // nothing\n", `policy: 4:3: cedar: no policy in it, expected a permit or forbid: fill it, or leave the key out`},
	{"cedar syntax", cedarHead + "  permit(principal, action, resource);\n  forbid(principal action, resource);\n", `policy: 9:26: cedar: not Cedar: "\",\": exact got action want ,"`},
	{"cedar end", cedarHead + "  permit(principal, action, resource)\n", `policy: 9:3: cedar: not Cedar: "\"\": exact got  want ;"`},
	{"cedar string", cedarHead + "\n\n  permit(principal, action, resource) when { context.path like \"/a };\n", `policy: 10:64: cedar: not Cedar: "literal not terminated"`},
	{"cedar escape", cedarHead + "  permit(principal, action, resource) when { context.path == \"\\q\" };\n", `policy: 8:62: cedar: not Cedar: "invalid char escape"`},
	{"cedar caller", cedarHead + "  forbid(principal == Caller::\"x\", action, resource);\n", `policy: 8:3: cedar[0]: the caller "x", whom the policy does not have`},
	{"cedar type", cedarHead + "  forbid(principal == User::\"clinic\", action, resource);\n", `policy: 8:3: cedar[0]: the type "User", which nothing here has: expected "Caller"`},
	{"cedar is", cedarHead + "  forbid(principal is User, action, resource) when { resource is File };\n", "policy: 8:3: cedar[0]: the type \"User\", which nothing here has: expected \"Caller\"\n8:3: cedar[0]: the type \"File\", which nothing here has: expected \"Caller\", \"Action\" or \"Path\""},
	{"cedar action", cedarHead + "  forbid(principal, action == Action::\"read\", resource);\n", `policy: 8:3: cedar[0]: the action "read", which there is not: expected "query", "upload", "delete", "list" or "observe"`},
	{"cedar actions", cedarHead + "  forbid(principal, action in [Action::\"query\", Action::\"read\"], resource);\n", `policy: 8:3: cedar[0]: the action "read", which there is not: expected "query", "upload", "delete", "list" or "observe"`},
	{"cedar path", cedarHead + "  forbid(principal, action, resource == Path::\"/a/../b\");\n", `policy: 8:3: cedar[0]: the path "/a/../b", which no request can have`},
	{"cedar path is another type", cedarHead + "  forbid(principal, action, resource == Caller::\"clinic\");\n", `policy: 8:3: cedar[0]: the type "Caller", which nothing here has: expected "Path"`},
	{"cedar in", cedarHead + "  forbid(principal, action, resource in Path::\"/admin\");\n", `policy: 8:3: cedar[0]: "in" for callers or paths, which are in nothing: use == or context.path like "/admin/*"`},
	{"cedar principal in", cedarHead + "  forbid(principal is Caller in Caller::\"clinic\", action, resource);\n", `policy: 8:3: cedar[0]: "in" for callers or paths, which are in nothing: use == or context.path like "/admin/*"`},
	{"cedar in, within", cedarHead + "  forbid(principal, action, resource) when { resource in Path::\"/admin\" };\n", `policy: 8:3: cedar[0]: "in" for callers or paths, which are in nothing: use == or context.path like "/admin/*"`},
	{"cedar is in, within", cedarHead + "  forbid(principal, action, resource) when { resource is Path in Path::\"/admin\" };\n", `policy: 8:3: cedar[0]: "in" for callers or paths, which are in nothing: use == or context.path like "/admin/*"`},
	{"cedar attribute", cedarHead + "  forbid(principal, action, resource) unless { context.pth == \"/\" && principal.role == \"x\" && resource has owner && action.x == 1 };\n", "policy: 8:3: cedar[0]: the attribute \"pth\", which context has not: expected \"path\", \"method\" or \"model\"\n8:3: cedar[0]: the attribute \"role\", which principal has not: expected \"kind\"\n8:3: cedar[0]: the attribute \"owner\": resource has none\n8:3: cedar[0]: the attribute \"x\": action has none"},
	{"cedar whole context", cedarHead + "  forbid(principal, action, resource) when { context == {path: \"/\"} };\n", `policy: 8:3: cedar[0]: the whole context: expected one of its attributes, "path", "method" or "model"`},
	{"cedar attribute of a value", cedarHead + "  forbid(principal, action, resource) when { {a: 1}.a == 1 };\n", `policy: 8:3: cedar[0]: an attribute "a" of what is not a variable`},
	{"cedar tags", cedarHead + "  forbid(principal, action, resource) when { principal.hasTag(\"x\") && principal.getTag(\"x\") == \"y\" };\n", "policy: 8:3: cedar[0]: a tag, which nothing here has\n8:3: cedar[0]: a tag, which nothing here has"},
	{"cedar entity within", cedarHead + "  forbid(principal, action, resource) when { principal == Caller::\"x\" || [User::\"y\"].contains(principal) };\n", "policy: 8:3: cedar[0]: the caller \"x\", whom the policy does not have\n8:3: cedar[0]: the type \"User\", which nothing here has: expected \"Caller\", \"Action\" or \"Path\""},
	{"cedar deep", cedarHead + "  forbid(principal, action, resource) when {\n    " + strings.Repeat("(", 64) + "true" + strings.Repeat(")", 64) + " };\n", `policy: 9:3: cedar: more than 64 levels deep`},
	{"cedar nots", cedarHead + "  forbid(principal, action, resource) when { " + strings.Repeat("! ", 65) + "true };\n", `policy: 8:3: cedar: more than 64 levels deep`},
	{"cedar and a wrong caller", cedarHead + "  permit(principal, action, resource);\nlogs: all\n", `policy: 9:7: logs: seen "all", expected "none", "counters", or "sealed:" and an age recipient (age1...)`},
	{"app and store", head + "store: {memory: 1GiB}\n", `policy: 1:1: seen app and store, expected one of the two`},
	{"app, models and store", head + "models: [{name: m, builtin: m}]\nstore: {memory: 1GiB}\n", `policy: 1:1: seen app and models with store, expected one of the two`},
	{"store without memory", "name: a\nstore: {disk: 1GiB}\n", `policy: 2:8: store.memory: missing`},
	{"store size", "name: a\nstore: {memory: 4096GiB, owner: {models: 0, loads: 1001}, load: {time: 0s}}\n", "policy: 2:17: store.memory: seen \"4096GiB\", expected " + sizeForm + "\n2:42: store.owner.models: seen 0, expected 1 to 1000000\n2:52: store.owner.loads: seen 1001, expected 1 to 1000\n2:72: store.load.time: seen 0s, expected 1s to 24h0m0s"},
	{"all of the memory for one of two callers", "name: a\nstore: {memory: 1GiB, owner: {bytes: 1GiB}}\ncallers:\n  - {name: x, api_key: \"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", may: [upload]}\n  - {anyone: true, may: [query]}\n", `policy: 2:38: store.owner.bytes: seen "1GiB", expected less than all of the memory, since there are other callers and nothing is evicted without a disk`},
	{"more for an owner than there is", "name: a\nstore: {memory: 1GiB, owner: {bytes: 2GiB}}\n", `policy: 2:38: store.owner.bytes: seen "2GiB", expected at most the 1 GiB that the store holds`},
	{"batch", "name: a\nmodels:\n  - {name: m, builtin: m, batch: {rows: 1, wait: 2s}}\n", "policy: 3:41: models[0].batch.rows: seen 1, expected 2 to 64\n3:50: models[0].batch.wait: seen 2s, expected 0s to 1s"},
	{"batch of nothing", "name: a\nmodels:\n  - {name: m, builtin: m, batch: {wait: 1ms}}\n", "policy: 3:34: models[0].batch.rows: missing"},
	{"no may without cedar", head + "callers: [{anyone: true}]\n", `policy: 3:11: callers[0].may: missing, expected what the caller may do: "query", "upload", "delete", "list" or "observe"`},

	{"all of it", "name: ''\napp: {command: [x], listen: 0.0.0.0:80}\nlogs: all\n", "policy: 1:7: name: seen \"\", expected " + nameForm + "\n" +
		"2:29: app.listen: seen \"0.0.0.0:80\", expected a port, \"127.0.0.1:PORT\" or \"unix:/path\": what an app listens on elsewhere can be reached around the box\n" +
		"3:7: logs: seen \"all\", expected \"none\", \"counters\", or \"sealed:\" and an age recipient (age1...)"},
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
	for _, s := range []string{"", "B", "01B", "-1B", "+1B", "1 MiB", "1mib", "1.5GiB", "1025GiB", "17179869185GiB", "1TiB", "9223372036854775807B", "1MiB\n"} {
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
	f.Add([]byte(whole))
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
		if !bytes.Equal(p.Bytes(), doc) || (p.App == nil) == (len(p.Models) == 0 && p.Store == nil) {
			t.Fatalf("accepted %+v", p)
		}
		if p.Limits.Request < 1 || p.Limits.Concurrent < 1 || p.Limits.Idle < time.Second {
			t.Fatalf("limits %+v", p.Limits)
		}
		for _, c := range p.Callers {
			if c.Name == "" || c.Kind() == "" || len(c.May) == 0 && p.Cedar == "" || c.Line < 1 {
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
