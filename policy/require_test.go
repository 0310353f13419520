package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestRequire(t *testing.T) {
	imageSum, _ := hex.DecodeString("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	images := [][32]byte{[32]byte(imageSum)}
	other := [][32]byte{sha256.Sum256([]byte("other"))}
	model := [][32]byte{sha256.Sum256([]byte("model"))}
	tumour := strings.Replace(models, "builtin: tumour", "builtin: tumour, sha256: "+hash("model"), 1)
	none := []string{}
	for _, c := range []struct {
		name, doc string
		r         Require
		want      string
	}{
		{"nothing asked", whole, Require{}, ""},
		{"nothing asked of models", models, Require{}, ""},
		{"nothing runs", "", Require{}, "models: no line: nothing that runs, expected an app or models"},

		{"egress none, and so it is", image, Require{Egress: none}, ""},
		{"egress none, and it says so", head + "egress: none\n", Require{Egress: none}, ""},
		{"egress of models", models, Require{Egress: none}, ""},
		{"egress open", head, Require{Egress: none}, "egress: no line: not restricted, the app is a plain process, expected none"},
		{"egress open, some accepted", head, Require{Egress: []string{"a:1"}}, "egress: no line: not restricted, the app is a plain process, expected only a:1"},
		{"egress", whole, Require{Egress: []string{"api.stripe.com:443", "*.example.com:443"}},
			"egress: line 41: api.stripe.com:8443 verify, expected only api.stripe.com:443, *.example.com:443\negress: line 42: *.example.com:443 any, expected only api.stripe.com:443, *.example.com:443\negress: line 43: 10.0.0.5:5432, expected only api.stripe.com:443, *.example.com:443"},
		{"egress in any protocol", whole, Require{Egress: []string{"api.stripe.com:443", "api.stripe.com:8443", "*.example.com:443 any", "10.0.0.5:5432"}}, ""},
		{"egress to IPv6", image + "egress: {allow: [{host: \"2001:db8::1\", port: 443}]}\n", Require{Egress: []string{"[2001:db8::1]:443"}}, ""},

		{"logs", head, Require{Logs: []string{"none"}}, ""},
		{"logs and audit", head + "audit: host\n", Require{Logs: []string{"none"}}, "logs: line 3: audit: host, expected only none"},
		{"logs and accepted audit", head + "audit: host\n", Require{Logs: []string{"none", LogsAudit}}, ""},
		{"audit, nothing asked", head + "audit: host\n", Require{}, ""},
		{"logs counted", head + "logs: counters\n", Require{Logs: []string{"none"}}, "logs: line 3: counters, expected only none"},
		{"logs not said", head, Require{Logs: []string{"counters"}}, "logs: no line: none, expected only counters"},
		{"no log accepted", head, Require{Logs: none}, "logs: no line: none, expected none"},
		{"logs sealed", head + "logs: sealed:age1qqqqqqqqq\n", Require{Logs: []string{"sealed"}}, ""},
		{"logs sealed to", head + "logs: sealed:age1qqqqqqqqq\n", Require{Logs: []string{"sealed:age1qqqqqqqqq"}}, ""},
		{"logs sealed to another", head + "logs: sealed:age1qqqqqqqqq\n", Require{Logs: []string{"sealed:age1r"}}, "logs: line 3: sealed:age1qqqqqqqqq, expected only sealed:age1r"},

		{"callers by kind", full, Require{Callers: []string{"api_key"}}, "callers: line 14: anyone (anyone), expected only api_key"},
		{"callers by kinds", full, Require{Callers: []string{"api_key", "anyone"}}, ""},
		{"nobody", full, Require{Callers: none}, "callers: line 9: clinic (api_key), expected none\ncallers: line 13: key-14cf9ef4 (api_key), expected none\ncallers: line 14: anyone (anyone), expected none"},
		{"nobody, and so it is", head, Require{Callers: none}, ""},
		{"callers by what they are", whole, Require{Callers: []string{
			"api_key:" + hash(keyA), "certificate:" + hash("ca"),
			"oidc:https://login.hospital.example:8443/realm", "attested", "anyone",
		}}, "callers: line 30: by-cedar (api_key), expected only api_key:" + hash(keyA) + ", certificate:" + hash("ca") + ", oidc:https://login.hospital.example:8443/realm, attested, anyone"},

		{"callers by half a reference", strings.Replace(full, "api_key: "+hash(keyA), "certificate: {ca: "+hash("ca")+"}", 1), Require{Callers: []string{"certificate:", "api_key", "anyone"}},
			"callers: line 9: clinic (certificate), expected only certificate:, api_key, anyone"},
		{"callers by a name of any authority, and a policy of any code", whole, Require{Callers: []string{"api_key", "certificate:spiffe://clinic.example/app", "oidc", "attested:" + hash("policy"), "anyone"}},
			"callers: line 25: certificate-69590970 (certificate), expected only api_key, certificate:spiffe://clinic.example/app, oidc, attested:" + hash("policy") + ", anyone\n" +
				"callers: line 27: cn (certificate), expected only api_key, certificate:spiffe://clinic.example/app, oidc, attested:" + hash("policy") + ", anyone\n" +
				"callers: line 29: box-abababab (attested), expected only api_key, certificate:spiffe://clinic.example/app, oidc, attested:" + hash("policy") + ", anyone"},
		{"image", image, Require{Images: images}, ""},
		{"another image", image, Require{Images: other}, "images: line 2: oci:./x.oci sha256:" + hex.EncodeToString(imageSum) + ", expected only " + hash("other")},
		{"no image", head, Require{Images: images}, "images: line 2: an app without an image, expected only sha256:" + hex.EncodeToString(imageSum)},
		{"no image, zero accepted", head, Require{Images: [][32]byte{{}}}, "images: line 2: an app without an image, expected only sha256:" + strings.Repeat("0", 64)},
		{"an app where models are asked for", image, Require{Models: model}, "images: line 2: oci:./x.oci sha256:" + hex.EncodeToString(imageSum) + ", expected none"},
		{"models that callers bring", withStore, Require{Models: model}, "models: line 3: any that callers bring, expected only " + hash("model")},
		{"models that callers bring, nothing asked", withStore, Require{}, ""},
		{"models", tumour, Require{Models: model}, ""},
		{"another model", tumour, Require{Models: other}, "models: line 3: tumour " + hash("model") + ", expected only " + hash("other") + "\nmodels: line 4: other " + hash("model") + ", expected only " + hash("other")},
		{"a model without a digest", models, Require{Models: append(model, [32]byte{})}, "models: line 3: tumour without a digest, expected only " + hash("model") + ", sha256:" + strings.Repeat("0", 64)},
		{"models where an image is asked for", tumour, Require{Images: images}, "models: line 3: tumour " + hash("model") + ", expected none\nmodels: line 4: other " + hash("model") + ", expected none"},

		{"operators", whole, Require{Operators: []Operation{}}, "operators: line 52: oncall may restart, expected none\noperators: line 52: oncall may debug, expected none"},
		{"some operators", whole, Require{Operators: []Operation{OpRestart}}, "operators: line 52: oncall may debug, expected only restart"},
		{"no operators", full, Require{Operators: []Operation{}}, ""},
		{"isolation", image, Require{Isolation: []Isolation{IsolationGVisor}}, "isolation: line 2: runc, expected only gvisor"},
		{"isolated", whole, Require{Isolation: []Isolation{IsolationGVisor}}, ""},
		{"not isolated", head, Require{Isolation: []Isolation{IsolationGVisor}}, "isolation: line 2: a plain process, expected only gvisor"},
		{"request", head + "limits: {request: 2KiB, concurrent: 3}\n", Require{Request: 2047, Concurrent: 2}, "request: line 3: 2 KiB, expected at most 2047 B\nconcurrent: line 3: 3, expected at most 2"},
		{"request that fits", head + "limits: {request: 2KiB, concurrent: 3}\n", Require{Request: 2048, Concurrent: 3}, ""},
	} {
		p := &Policy{}
		if c.doc != "" {
			p = parse(t, c.doc)
		}
		if got := said(c.r.Check(p)); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestRequireConnection: a destination is accepted if it asks of the connection as
// much as is required, and may be private only if that is accepted.
func TestRequireConnection(t *testing.T) {
	const name = "host: a.example, port: 443"
	for _, c := range []struct{ allow, accepted, seen string }{
		{name, "a.example:443", ""},
		{name + ", tls: pass", "a.example:443", ""},
		{name + ", tls: verify", "a.example:443", ""},
		{name + ", private: false", "a.example:443", ""},
		{name + ", tls: any", "a.example:443", "a.example:443 any"},
		{name + ", private: true", "a.example:443", "a.example:443 private"},
		{name + ", tls: any, private: true", "a.example:443", "a.example:443 any private"},
		{name + ", tls: any, private: true", "a.example:443 any", "a.example:443 any private"},
		{name + ", tls: any, private: true", "a.example:443 private", "a.example:443 any private"},
		{name + ", tls: any, private: true", "a.example:443 any private", ""},
		{name + ", tls: verify, private: true", "a.example:443 any private", ""},
		{name, "a.example:443 any", ""},
		{name, "a.example:443 private", ""},
		{name + ", tls: verify", "a.example:443 verify", ""},
		{name, "a.example:443 verify", "a.example:443"},
		{name, "a.example:443 pass", "a.example:443"}, // the default has no word
		{name, "a.example:443 any any", "a.example:443"},
		{"host: a.example, port: 80", "a.example:80", ""},
		{"host: a.example, port: 80", "a.example:80 pass", "a.example:80"},
		{"host: a.example, port: 80, tls: pass", "a.example:80 pass", ""},
		{"host: a.example, port: 80, tls: pass", "a.example:80", ""},
		{"host: 10.0.0.5, port: 443, private: true", "10.0.0.5:443", ""},
		{"host: 10.0.0.5, port: 443, private: true", "10.0.0.5:443 verify", "10.0.0.5:443"},
		{"host: 8.8.8.8, port: 443, private: true", "8.8.8.8:443", ""},
	} {
		p := parse(t, image+"egress: {allow: [{"+c.allow+"}]}\n")
		want := ""
		if c.seen != "" {
			want = "egress: line 3: " + c.seen + ", expected only " + c.accepted
		}
		if got := said((&Require{Egress: []string{c.accepted}}).Check(p)); got != want {
			t.Errorf("%s, accepted %s:\ngot  %s\nwant %s", c.allow, c.accepted, got, want)
		}
	}
	odd := &Policy{App: &App{}, Egress: Egress{Line: 1, Allow: []Destination{{Host: "a.example", Port: 80}}}}
	if got := (&Require{Egress: []string{"a.example:80", "a.example:80 "}}).Check(odd); len(got) != 1 {
		t.Errorf("a destination that asks nothing known: %v", got)
	}
}

// TestRequireAsBuilt: an image that is accepted is no other program with the same
// digest.
func TestRequireAsBuilt(t *testing.T) {
	sum, _ := hex.DecodeString("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	images := [][32]byte{[32]byte(sum)}
	doc := func(lines string) string {
		return "name: a\napp:\n  image: oci:./x.oci\n  digest: sha256:" + hex.EncodeToString(sum) + "\n  listen: 80\n" + lines
	}
	shell := "  command: [/bin/sh, -c, \"exec x\"]\n"
	env := "  env:\n    A: one\n    LD_PRELOAD: /x.so\n"
	accepted := map[string]string{"A": "one", "LD_PRELOAD": "/x.so", "MORE": ""}
	for _, c := range []struct {
		name, doc string
		r         Require
		want      string
	}{
		{"as built", "", Require{Images: images}, ""},
		{"as built, more accepted", "", Require{Images: images, Command: []string{"x"}, Env: accepted}, ""},
		{"isolation is asked for by itself", "  isolation: gvisor\n", Require{Images: images}, ""},
		{"a command", shell, Require{Images: images}, `images: line 6: the command ["/bin/sh", "-c", "exec x"], expected the image's own`},
		{"another command", shell, Require{Images: images, Command: []string{"/bin/sh", "-c", "exec y"}},
			`images: line 6: the command ["/bin/sh", "-c", "exec x"], expected the image's own, or ["/bin/sh", "-c", "exec y"]`},
		{"a longer command", shell, Require{Images: images, Command: []string{"/bin/sh", "-c"}},
			`images: line 6: the command ["/bin/sh", "-c", "exec x"], expected the image's own, or ["/bin/sh", "-c"]`},
		{"an endless command", "  command: [a, b, c, d, e, f]\n", Require{Images: images}, `images: line 6: the command ["a", "b", "c", "d", and 2 more], expected the image's own`},
		{"the accepted command", shell, Require{Images: images, Command: []string{"/bin/sh", "-c", "exec x"}}, ""},
		{"variables", env, Require{Images: images},
			"images: line 7: the variable A=\"one\", expected the image's own\nimages: line 8: the variable LD_PRELOAD=\"/x.so\", expected the image's own"},
		{"one variable", env, Require{Images: images, Env: map[string]string{"A": "one"}}, "images: line 8: the variable LD_PRELOAD=\"/x.so\", expected the image's own"},
		{"another value", env, Require{Images: images, Env: map[string]string{"A": "two", "LD_PRELOAD": "/x.so"}},
			"images: line 7: the variable A=\"one\", expected the image's own, or \"two\""},
		{"the accepted variables", env, Require{Images: images, Env: accepted}, ""},
		{"an empty variable", "  env: {LD_PRELOAD: \"\"}\n", Require{Images: images}, "images: line 6: the variable LD_PRELOAD=\"\", expected the image's own"},
		{"a directory", "  dir: /srv\n", Require{Images: images}, "images: line 6: the directory \"/srv\", expected the image's own"},
		{"a user", "  user: \"0:7\"\n", Require{Images: images}, "images: line 6: the user 0:7, expected the image's own"},
		{"capabilities", "  capabilities: [CAP_CHOWN, CAP_KILL]\n", Require{Images: images}, "images: line 6: capabilities CAP_CHOWN, CAP_KILL, expected none"},
		{"no image is asked for", shell + env, Require{Command: []string{"x"}, Env: accepted}, ""},
	} {
		if got := said(c.r.Check(parse(t, doc(c.doc)))); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func said(found []Violation) string {
	var out []string
	for _, v := range found {
		out = append(out, v.String())
	}
	return strings.Join(out, "\n")
}
