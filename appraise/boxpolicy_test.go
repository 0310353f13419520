package appraise

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

const (
	sum1 = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	sum2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	sum3 = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
)

// boxModels, boxImage and boxCommand are the beginnings of policies; what comes
// next is on line 3.
const (
	boxModels   = "name: demo\nmodels: [{name: tumour, path: /tumour.onnx, sha256: \"" + sum1 + "\"}]\n"
	boxImage    = "name: demo\napp: {image: \"oci:./x.oci\", digest: \"" + sum2 + "\", listen: 8000}\n"
	boxShell    = "name: demo\napp: {image: \"oci:./x.oci\", digest: \"" + sum2 + "\", command: [/bin/sh, -c, x], env: {LD_PRELOAD: /x.so}, listen: 8000}\n"
	boxServices = boxImage + "services: [{name: db, image: \"oci:./db.oci\", digest: \"" + sum1 + "\"}]\n"
	boxCommand  = "name: demo\napp: {command: [/bin/app], listen: 8000}\n"
)

const (
	byKey         = "  - {name: ci, api_key: \"" + sum2 + "\", may: [query]}\n"
	byCertificate = "  - {name: mtls, certificate: {ca: \"" + sum3 + "\", spiffe: \"spiffe://clinic.example/app\"}, may: [query]}\n"
	byToken       = "  - {name: staff, oidc: \"https://login.hospital.example\", audience: demo, may: [query]}\n"
	byEvidence    = "  - {name: box, attested: {kind: tdx, measurement: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", policy: \"" + sum1 + "\"}, may: [query]}\n"
	byNothing     = "  - {anyone: true, may: [query]}\n"
)

// TestRequire: each requirement, met and not met. The check that is made of what
// is asked is the only one that fails.
// anOperator is the hash of an operator's key.
const anOperator = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestRequire(t *testing.T) {
	callers := func(list ...string) string { return boxModels + "callers:\n" + strings.Join(list, "") }
	for _, c := range []struct {
		require, policy, check string
		seen, expected         string // expected only of a failed check
	}{
		{"callers: authenticated", callers(byKey, byCertificate, byToken, byEvidence), "callers", "1 by api_key, 1 by certificate, 1 by oidc, 1 by attested", ""},
		{"callers: authenticated", boxModels, "callers", "nobody", ""},
		{"callers: authenticated", callers(byKey, byNothing), "callers", "callers: line 5: anyone (anyone)", "authenticated"},
		{"callers: none", boxModels, "callers", "nobody", ""},
		{"callers: none", callers(byKey), "callers", "callers: line 4: ci (api_key)", "none"},
		{"callers: [api_key]", callers(byKey), "callers", "1 by api_key", ""},
		{"callers: [api_key, anyone]", callers(byKey, byNothing), "callers", "anyone may call, 1 by api_key", ""},
		{"callers: [oidc]", callers(byKey, byToken, byNothing), "callers", "callers: line 4: ci (api_key); line 6: anyone (anyone)", "only oidc"},
		{"callers: [\"oidc:https://login.hospital.example\"]", callers(byToken), "callers", "1 by oidc", ""},
		{"callers: [\"oidc:https://login.example\"]", callers(byToken), "callers", "callers: line 4: staff (oidc)", "only oidc:https://login.example"},
		{"callers: [\"api_key:" + sum2 + "\", \"certificate:" + sum3 + "\"]", callers(byKey, byCertificate), "callers", "1 by api_key, 1 by certificate", ""},
		{"callers: [\"certificate:" + sum2 + "\"]", callers(byCertificate), "callers", "callers: line 4: mtls (certificate)", "only certificate:" + sum2},

		{"egress: none", boxImage, "egress", "none", ""},
		{"egress: none", boxModels + "egress: none\n", "egress", "none", ""},
		{"egress: none", boxModels, "egress", "none", ""},
		{"egress: [\"a:1\"]", boxModels, "egress", "none", ""},
		{"egress: none", boxCommand, "egress", "egress: no line: not restricted, the app is a plain process", "none"},
		{"egress: [\"a:1\"]", boxCommand, "egress", "egress: no line: not restricted, the app is a plain process", "only a:1"},
		{"egress: none", boxImage + "egress: {allow: [{host: a.example, port: 443}]}\n", "egress", "egress: line 3: a.example:443", "none"},
		{"egress: [\"a.example:443\", \"10.0.0.5:5432\"]", boxImage + "egress:\n  allow:\n    - {host: a.example, port: 443}\n    - {host: 10.0.0.5, port: 5432, private: true}\n", "egress", "a.example:443, 10.0.0.5:5432", ""},
		{"egress: [\"a.example:443\"]", boxImage + "egress:\n  allow:\n    - {host: a.example, port: 443}\n    - {host: a.example, port: 80}\n    - {host: \"*.a.example\", port: 443}\n", "egress", "egress: line 6: a.example:80; line 7: *.a.example:443", "only a.example:443"},
		{"egress: [\"a.example:443\"]", boxImage + "egress: {allow: [{host: a.example, port: 443, tls: any, private: true}]}\n", "egress", "egress: line 3: a.example:443 any private", "only a.example:443"},
		{"egress: [\"a.example:443 any private\"]", boxImage + "egress: {allow: [{host: a.example, port: 443, tls: any, private: true}]}\n", "egress", "a.example:443 any private", ""},
		{"egress: [\"a.example:443 verify\"]", boxImage + "egress: {allow: [{host: a.example, port: 443}]}\n", "egress", "egress: line 3: a.example:443", "only a.example:443 verify"},

		{"logs: none", boxModels, "logs", "none", ""},
		{"logs: counters", boxModels, "logs", "none", ""},
		{"logs: counters", boxModels + "logs: counters\n", "logs", "counters", ""},
		{"logs: none", boxModels + "logs: counters\n", "logs", "logs: line 3: counters", "only none"},
		{"logs: counters", boxModels + "logs: sealed:age1qqqqqqqqq\n", "logs", "logs: line 3: sealed:age1qqqqqqqqq", "only none, counters"},
		{"logs: none", boxModels + "audit: host\n", "logs", "logs: line 3: audit: host", "only none"},
		{"logs: [none, audit]", boxModels + "audit: host\n", "logs", "none, audit: host", ""},
		{"logs: [counters]", boxModels, "logs", "logs: no line: none", "only counters"},
		{"logs: [sealed]", boxModels + "logs: sealed:age1qqqqqqqqq\n", "logs", "sealed:age1qqqqqqqqq", ""},
		{"logs: [\"sealed:age1qqqqqqqqq\"]", boxModels + "logs: sealed:age1qqqqqqqqq\n", "logs", "sealed:age1qqqqqqqqq", ""},
		{"logs: [\"sealed:age1rrrrrrrrr\"]", boxModels + "logs: sealed:age1qqqqqqqqq\n", "logs", "logs: line 3: sealed:age1qqqqqqqqq", "only sealed:age1rrrrrrrrr"},

		{"images: [" + sum2 + "]", boxImage, "images", "oci:./x.oci " + sum2, ""},
		{"images: [" + sum2 + ", " + sum1 + "]", boxServices, "images", "oci:./x.oci " + sum2 + ", db oci:./db.oci " + sum1, ""},
		{"images: [" + sum2 + ", " + sum1 + "], services: {db: {command: [x]}}", strings.Replace(boxServices, "name: db", "command: [x], name: db", 1), "images", "oci:./x.oci " + sum2 + ", db oci:./db.oci " + sum1, ""},
		{"images: [" + sum2 + ", " + sum1 + "], services: {db: {command: [z]}}", strings.Replace(boxServices, "name: db", "command: [x], name: db", 1), "images", "images: line 3: the command [\"x\"]", "only " + sum2 + ", " + sum1 + ", as built, or with the services' commands {\"db\": {command: [\"z\"]}}"},
		{"images: [" + sum2 + "]", boxServices, "images", "images: line 3: the service db, oci:./db.oci " + sum1, "only " + sum2 + ", as built"},
		{"images: [" + sum1 + "]", boxImage, "images", "images: line 2: oci:./x.oci " + sum2, "only " + sum1 + ", as built"},
		{"images: [" + sum1 + "]", boxCommand, "images", "images: line 2: an app without an image", "only " + sum1 + ", as built"},
		{"images: [" + sum1 + "]", boxModels, "images", "models: line 2: tumour " + sum1, "only " + sum1 + ", as built"},
		{"images: [" + sum2 + "]", boxShell, "images", "images: line 2: the command [\"/bin/sh\", \"-c\", \"x\"]; line 2: the variable LD_PRELOAD=\"/x.so\"", "only " + sum2 + ", as built"},
		{"images: [" + sum2 + "], command: [/bin/sh, -c, x], env: {LD_PRELOAD: /y.so}", boxShell, "images", "images: line 2: the variable LD_PRELOAD=\"/x.so\"", "only " + sum2 + ", as built, or with the command [\"/bin/sh\", \"-c\", \"x\"], or with the variables {\"LD_PRELOAD\": \"/y.so\"}"},
		{"images: [" + sum2 + "], command: [/bin/sh, -c, x], env: {LD_PRELOAD: /x.so}", boxShell, "images", "oci:./x.oci " + sum2, ""},
		{"images: [" + sum2 + "], models: [" + sum1 + "]", boxShell, "images", "images: line 2: the command [\"/bin/sh\", \"-c\", \"x\"]; line 2: the variable LD_PRELOAD=\"/x.so\"", "only " + sum2 + ", as built"},
		{"models: [" + sum1 + "]", boxModels, "models", "tumour " + sum1, ""},
		{"models: [" + sum2 + "]", boxModels, "models", "models: line 2: tumour " + sum1, "only " + sum2},
		{"models: [" + sum2 + "]", boxImage, "models", "images: line 2: oci:./x.oci " + sum2, "only " + sum2},
		{"images: [" + sum2 + "], models: [" + sum1 + "]", boxImage, "images", "oci:./x.oci " + sum2, ""},
		{"images: [" + sum2 + "], models: [" + sum1 + "]", boxImage, "models", "an app, and no models", ""},
		{"images: [" + sum2 + "], models: [" + sum1 + "]", boxModels, "images", "models, and no app", ""},
		{"images: [" + sum1 + "], models: [" + sum3 + "]", boxModels, "models", "models: line 2: tumour " + sum1, "only " + sum3},
		{"images: [" + sum1 + "], models: [" + sum3 + "]", boxImage, "images", "images: line 2: oci:./x.oci " + sum2, "only " + sum1 + ", as built"},

		{"operators: none", boxImage, "operators", "none", ""},
		{"operators: none", boxImage + "operators: [{name: oncall, api_key: \"" + anOperator + "\", may: [restart, shell]}]\n", "operators", "operators: line 3: oncall may restart; line 3: oncall may shell", "none"},
		{"operators: [restart]", boxImage + "operators: [{name: oncall, api_key: \"" + anOperator + "\", may: [restart]}]\n", "operators", "restart", ""},
		{"operators: [restart]", boxImage + "operators: [{name: oncall, api_key: \"" + anOperator + "\", may: [restart, shell]}]\n", "operators", "operators: line 3: oncall may shell", "only restart"},

		{"isolation: [gvisor]", boxModels, "isolation", "models, and no app", ""},
		{"isolation: [runc]", boxImage, "isolation", "runc", ""},
		{"isolation: [process]", boxCommand, "isolation", "process", ""},
		{"isolation: [gvisor]", boxImage, "isolation", "isolation: line 2: runc", "only gvisor"},
		{"isolation: [gvisor, runc]", boxCommand, "isolation", "isolation: line 2: a plain process", "only gvisor, runc"},
		{"isolation: [gvisor, process]", boxImage, "isolation", "isolation: line 2: runc", "only gvisor, process"},

		{"request: 20MiB", boxModels, "request", "20MiB", ""},
		{"request: 1023KiB", boxModels, "request", "request: no line: 20 MiB", "at most 1023KiB"},
		{"concurrent: 16", boxModels, "concurrent", "16 at once", ""},
		{"concurrent: 15", boxModels + "limits: {concurrent: 16}\n", "concurrent", "concurrent: line 3: 16", "at most 15"},
	} {
		f := newFixture(t)
		f.setPolicy(t, c.policy)
		f.sync()
		trust, err := ParseTrust([]byte(doc("require: {" + c.require + "}\n")))
		if err != nil {
			t.Fatalf("%s: %v", c.require, err)
		}
		r := trust.Appraise(f.in, f.at)
		got := checkNamed(r, "policy."+c.check)
		want := attest.Check{Name: "policy." + c.check, Status: attest.Pass, Seen: c.seen, Expected: got.Expected}
		if c.expected != "" {
			want.Status, want.Code, want.Expected = attest.Fail, CodeRequirement, c.expected
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s of\n%s\ngot  %+v\nwant %+v", c.require, c.policy, got, want)
		}
		for _, other := range r.Group(GroupPolicy) {
			if other.Code == CodeRequirement && other.Name != got.Name {
				t.Errorf("%s of\n%s\nfailed too: %s", c.require, c.policy, other)
			}
		}
	}
}

// TestRequireNamesSomeLines: a policy of a thousand lines that are too much does
// not fill the reader's screen.
func TestRequireNamesSomeLines(t *testing.T) {
	for n, want := range map[int]string{
		mostViolations:     "; line 12: h8.example:443",
		mostViolations + 1: "; line 12: h8.example:443; and 1 more",
		300:                "; line 12: h8.example:443; and 292 more",
	} {
		doc := boxImage + "egress:\n  allow:\n"
		for i := range n {
			doc += fmt.Sprintf("    - {host: h%d.example, port: 443}\n", i+1)
		}
		f := newFixture(t)
		f.setPolicy(t, doc)
		f.sync()
		got := checkNamed(parseTest(t, strictTrust).Appraise(f.in, f.at), "policy.egress").Seen
		if !strings.HasPrefix(got, "egress: line 5: h1.example:443; line 6: ") || !strings.HasSuffix(got, want) {
			t.Errorf("%d lines: %s", n, got)
		}
	}
}

// TestRequireIsShown: what is asked is in the file that is written, and in what
// changed.
func TestRequireIsShown(t *testing.T) {
	nothing, err := ParseTrust([]byte(doc("require: {callers: any}\n")))
	if err != nil {
		t.Fatal(err)
	}
	asks, err := ParseTrust([]byte(doc("require: {callers: [api_key, oidc], egress: none, logs: counters, images: [" + sum1 + "], command: [serve, \"-q\"], services: {db: {command: [x, \"a b\"]}, c: {command: [z]}}, env: {B: \"two words\", A: \"\"}, operators: none, isolation: [process, gvisor]}\n")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range Diff(nothing, asks) {
		got = append(got, c.String())
	}
	want := `+ require.callers: ["api_key", "oidc"]
+ require.egress: none
+ require.logs: [none, counters]
+ require.images: [` + sum1 + `]
+ require.command: ["serve", "-q"]
+ require.services: {"c": {command: ["z"]}, "db": {command: ["x", "a b"]}}
+ require.env: {"A": "", "B": "two words"}
+ require.operators: none
+ require.isolation: [process, gvisor]`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if !strings.HasSuffix(string(asks.Marshal()), strings.ReplaceAll("\n"+want+"\n", "\n+ require.", "\n  ")) {
		t.Errorf("written as\n%s", asks.Marshal())
	}
	nobody, err := ParseTrust([]byte(doc("require: {callers: none}\n")))
	if err != nil || !strings.HasSuffix(string(nobody.Marshal()), "require:\n  callers: none\n") {
		t.Errorf("%v, written as\n%s", err, nobody.Marshal())
	}
}
