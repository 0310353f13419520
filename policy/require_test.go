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
		{"egress open", head, Require{Egress: none}, "egress: no line: not restricted, expected none"},
		{"egress open, some accepted", head, Require{Egress: []string{"a:1"}}, "egress: no line: not restricted, expected only a:1"},
		{"egress", whole, Require{Egress: []string{"api.stripe.com:443", "*.example.com:443"}},
			"egress: line 41: api.stripe.com:8443, expected only api.stripe.com:443, *.example.com:443\negress: line 43: 10.0.0.5:5432, expected only api.stripe.com:443, *.example.com:443"},
		{"egress to IPv6", image + "egress: {allow: [{host: \"2001:db8::1\", port: 443}]}\n", Require{Egress: []string{"[2001:db8::1]:443"}}, ""},

		{"logs", head, Require{Logs: []string{"none"}}, ""},
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
			"api_key:" + hash(keyA), "certificate:spiffe://clinic.example/app", "certificate:" + hash("ca"),
			"oidc:https://login.hospital.example:8443/realm", "attested:" + hash("policy"), "anyone",
		}}, "callers: line 30: by-cedar (api_key), expected only api_key:" + hash(keyA) + ", certificate:spiffe://clinic.example/app, certificate:" + hash("ca") + ", oidc:https://login.hospital.example:8443/realm, attested:" + hash("policy") + ", anyone"},

		{"callers by half a reference", strings.Replace(full, "api_key: "+hash(keyA), "certificate: {ca: "+hash("ca")+"}", 1), Require{Callers: []string{"certificate:", "api_key", "anyone"}},
			"callers: line 9: clinic (certificate), expected only certificate:, api_key, anyone"},
		{"callers by one of two certificates", whole, Require{Callers: []string{"api_key", "certificate:spiffe://clinic.example/app", "oidc", "attested", "anyone"}},
			"callers: line 27: cn (certificate), expected only api_key, certificate:spiffe://clinic.example/app, oidc, attested, anyone"},
		{"image", image, Require{Images: images}, ""},
		{"another image", image, Require{Images: other}, "images: line 2: oci:./x.oci sha256:" + hex.EncodeToString(imageSum) + ", expected only " + hash("other")},
		{"no image", head, Require{Images: images}, "images: line 2: an app without an image, expected only sha256:" + hex.EncodeToString(imageSum)},
		{"no image, zero accepted", head, Require{Images: [][32]byte{{}}}, "images: line 2: an app without an image, expected only sha256:" + strings.Repeat("0", 64)},
		{"an app where models are asked for", image, Require{Models: model}, "images: line 2: oci:./x.oci sha256:" + hex.EncodeToString(imageSum) + ", expected none"},
		{"models", tumour, Require{Models: model}, ""},
		{"another model", tumour, Require{Models: other}, "models: line 3: tumour " + hash("model") + ", expected only " + hash("other") + "\nmodels: line 4: other " + hash("model") + ", expected only " + hash("other")},
		{"a model without a digest", models, Require{Models: append(model, [32]byte{})}, "models: line 3: tumour without a digest, expected only " + hash("model") + ", sha256:" + strings.Repeat("0", 64)},
		{"models where an image is asked for", tumour, Require{Images: images}, "models: line 3: tumour " + hash("model") + ", expected none\nmodels: line 4: other " + hash("model") + ", expected none"},

		{"operators", whole, Require{Operators: []Operation{}}, "operators: line 52: restart, expected none\noperators: line 52: debug, expected none"},
		{"some operators", whole, Require{Operators: []Operation{OpRestart}}, "operators: line 52: debug, expected only restart"},
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
		var got []string
		for _, v := range c.r.Check(p) {
			got = append(got, v.String())
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, strings.Join(got, "\n"), c.want)
		}
	}
}
