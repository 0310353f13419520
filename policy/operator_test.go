package policy

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
)

// operators is a document with one operator, on line 3.
func operators(may string) string {
	return head + "operators: [{name: oncall, api_key: " + hash("op") + ", may: [" + may + "]}]\n"
}

// until is one with an operator who may restart until then.
func until(when string) string {
	return strings.Replace(operators("restart"), "may:", "expires: "+when+", may:", 1)
}

// TestOperatorForms: everybody who can be a caller by what he shows can be an
// operator, and nobody else can.
func TestOperatorForms(t *testing.T) {
	doc := head + `operators:
  - {name: oncall, api_key: ` + hash("op") + `, may: [restart]}
  - {certificate: {ca: ` + hash("ca") + `, subject: "on call"}, may: [exec, shell]}
  - {oidc: "https://login.example", audience: box, claim: {sub: eve}, may: [debug]}
`
	p := parse(t, doc)
	ca := sha256.Sum256([]byte("ca"))
	if o, ok := p.Operator("oncall"); !ok || o.Kind() != "api_key" || o.Line != 4 || !slices.Equal(o.May, []Operation{OpRestart}) {
		t.Errorf("oncall is %+v", o)
	}
	if o := p.Operators[1]; !strings.HasPrefix(o.Name, "certificate-") || o.Certificate == nil || o.Certificate.CA != ca || o.Certificate.Subject != "on call" {
		t.Errorf("the second is %+v", o)
	}
	if o, ok := p.Operator("oidc-login.example"); !ok || o.OIDC == nil || o.OIDC.Audience != "box" || o.OIDC.Claims["sub"] != "eve" {
		t.Errorf("the third is %+v", o)
	}
	if _, ok := p.Operator("nobody"); ok {
		t.Error("there is an operator called nobody")
	}
	if got := p.Operations(); !slices.Equal(got, Operations()) {
		t.Errorf("operators may %v", got)
	}
	if got := parse(t, operators("debug, restart")).Operations(); !slices.Equal(got, []Operation{OpRestart, OpDebug}) {
		t.Errorf("operators may %v", got)
	}
}

// TestOperatorsAreNoCallers: not by name, not by key, and what makes one known
// does not make the other.
func TestOperatorsAreNoCallers(t *testing.T) {
	caller := head + "callers: [{name: ci, api_key: " + hash(keyA) + ", may: [query]}]\n"
	for doc, want := range map[string]string{
		caller + "operators: [{name: oncall, api_key: " + hash(keyA) + ", may: [exec]}]\n":                                       "operators[0]: the same caller or operator as at 3:11",
		caller + "operators: [{name: ci, api_key: " + hash("op") + ", may: [exec]}]\n":                                           "operators[0].name: the same name as at 3:11",
		head + "operators: [{api_key: " + hash("op") + ", may: [exec]}, {name: b, api_key: " + hash("op") + ", may: [shell]}]\n": "operators[1]: the same caller or operator as at 3:13",
		head + "operators: [{anyone: true, may: [exec]}]\n":                                                                      "unknown key",
		head + "operators: [{attested: {kind: tdx}, may: [exec]}]\n":                                                             "unknown key",
		head + "operators: [{name: anyone, api_key: " + hash("op") + ", may: [exec]}]\n":                                         "another name",
		head + "operators: [{name: a, may: [exec]}]\n":                                                                           "none of api_key, certificate, oidc",
		head + "operators: [{name: a, api_key: " + hash("op") + "}]\n":                                                           "operators[0].may",
		head + "operators: [{name: a, api_key: " + hash("op") + ", may: []}]\n":                                                  "may",
		head + "operators: []\n": "operators",
		head + "operators: [{name: a, api_key: " + hash("op") + ", may: [exec, exec]}]\n":                                  "the same as at",
		head + "operators: [{name: a, api_key: " + hash("op") + ", certificate: {ca: " + hash("ca") + "}, may: [exec]}]\n": "api_key and certificate",
		head + "operators: [{name: a, oidc: \"https://a.example\", may: [exec]}]\n":                                        "audience",
		head + "operators: [{name: a, api_key: " + hash("op") + ", expires: 2027-13-01T00:00:00Z, may: [exec]}]\n":         "operators[0].expires",
		head + "operators: [{name: a, api_key: \"sha256:" + strings.Repeat("0", 64) + "\", may: [exec]}]\n":                "the digest of nothing",
		head + "operators: [{name: a, api_key: " + hash("op") + ", paths: [/a], may: [exec]}]\n":                           "unknown key",
	} {
		if p, err := Parse([]byte(doc)); err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s", doc, err, want)
		}
	}
	p := parse(t, caller+"operators: [{name: oncall, api_key: "+hash("the key of an operator")+", may: [exec]}]\n")
	if _, ok := p.Authenticate("the key of an operator"); ok {
		t.Error("the key of an operator is a caller's")
	}
	o := p.ForOperators()
	if c, ok := o.Authenticate("the key of an operator"); !ok || c.Name != "oncall" {
		t.Errorf("the operator is %+v", c)
	}
	if _, ok := o.Authenticate(keyA); ok {
		t.Error("the key of a caller is an operator's")
	}
	if d := o.Decide(Request{Caller: "oncall", Action: Query, Method: "GET", Path: "/"}); d.Allowed {
		t.Error("an operator may call")
	}
	if d := p.Decide(Request{Caller: "oncall", Action: Query, Method: "GET", Path: "/"}); d.Allowed {
		t.Error("an operator is a caller")
	}
}

// TestOperatorsChangeTheDigest: two documents that differ only there are two.
func TestOperatorsChangeTheDigest(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, doc := range []string{head, operators("restart"), operators("exec"), operators("restart, exec"), operators("shell"), operators("debug"), until("2027-01-01T00:00:00Z")} {
		d := parse(t, doc).Digest()
		if other, twice := seen[d]; twice {
			t.Errorf("the same digest:\n%s\n%s", doc, other)
		}
		seen[d] = doc
	}
}

// TestWarnings: whoever reads anything of a policy reads these.
func TestWarnings(t *testing.T) {
	if got := parse(t, head).Warnings(); got != nil {
		t.Errorf("without operators: %q", got)
	}
	doc := head + "operators: [{name: a, api_key: " + hash("a") + ", may: [shell, restart]}, {name: b, api_key: " + hash("b") + ", may: [shell]}, {name: c, api_key: " + hash("c") + ", may: [debug, exec]}]\n"
	want := []string{
		"A SHELL EXISTS: a and b can read and change everything that the app can, requests and answers included.",
		"COMMANDS CAN BE RUN: c can read and change everything that the app can, requests and answers included.",
		"WHAT THE APP PRINTS IS READ: c can read it while the app runs, and see which programs run with it.",
		"THE APP CAN BE RESTARTED: a can end it at any time, and what it keeps in memory goes with it.",
	}
	p := parse(t, doc)
	if got := p.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, w := range want {
		if !strings.Contains(p.Describe(), w) {
			t.Errorf("the description lacks %q", w)
		}
	}
}
