package policy

import (
	"fmt"
	"strings"
	"testing"
)

// shown are the models that a caller's list has, in the order of the names.
func shown(p *Policy, caller, method, path string, names ...string) string {
	list := Request{Caller: caller, Action: p.ActionOf(method, path), Method: method, Path: path}
	if !p.Decide(list).Allowed {
		return "denied"
	}
	var out []string
	for _, name := range names {
		if p.Shows(list, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// TestShows: a caller's list has exactly the models that it may query.
func TestShows(t *testing.T) {
	callers := []struct{ limits, cedar, want string }{
		{"may: [query, list], models: [open, acme~xray]", "", "open acme~xray"},
		{"may: [list, query], models: [acme~xray], paths: [/v2/*]", "", "acme~xray"},
		{"may: [list, query], models: [c~mine]", "", "c~mine"},
		{"may: [list, query], models: [Open, acme~x, mine]", "", ""},
		{"may: [query], models: [open]", "", "denied"},
		// One that may query nothing keeps an eye on all of them, or on some.
		{"may: [list]", "", "open scan acme~xray acme~ct c~mine"},
		{"may: [list, upload]", "", "open scan acme~xray acme~ct c~mine"},
		{"may: [list], models: [scan]", "", "scan"},
		// A model whose addresses are not the caller's is none that it may query.
		{"may: [list, query]", "", "open scan acme~xray acme~ct c~mine"},
		{"may: [list, query], paths: [/v2/models, /v2/models/scan/*]", "", "scan"},
		{"may: [list, query], paths: [/v2/models, /v2/models/mine]", "", "c~mine"},
		{"may: [list, query], paths: [/v2/models, /v1/models/open]", "", "open"},
		{"may: [list, query], paths: [/v2/models, /v1/embeddings], models: [scan]", "", "scan"},
		{"may: [list, query], paths: [/v2/models, /v1/audio/*], models: [acme~ct]", "", "acme~ct"},
		{"may: [list, query], methods: [GET], models: [scan]", "", "scan"},
		// What Cedar says counts as it does for a query, or for the list.
		{"may: [list, query]", `forbid(principal, action == Action::"query", resource) when { context.model like "acme~*" };`, "open scan c~mine"},
		{"may: [list, query]", `forbid(principal, action == Action::"list", resource) when { context.model == "open" };`, "scan acme~xray acme~ct c~mine"},
		{"may: [list, query], models: [open]", `permit(principal, action, resource) when { context.model == "scan" };`, "open scan"},
		{"may: [list]", `permit(principal, action == Action::"query", resource) when { context.model == "scan" };`, "scan"},
		{"may: [list]", `permit(principal, action == Action::"query", resource == Path::"/v2/models/scan/infer");`, "scan"},
		{"may: [list, query]", `forbid(principal, action, resource) when { context.model == "" };`, "denied"},
	}
	for _, c := range callers {
		doc := fmt.Sprintf("name: clinic\nmodels: [{name: open, builtin: a}, {name: scan, builtin: b}]\nstore: {memory: 8MiB}\ncallers: [{name: c, api_key: \"sha256:%064d\", %s}]\n", 1, c.limits)
		if c.cedar != "" {
			doc += "cedar: |\n  " + c.cedar + "\n"
		}
		p := parse(t, doc)
		if got := shown(p, "c", "GET", "/v2/models", "open", "scan", "acme~xray", "acme~ct", "c~mine"); got != c.want {
			t.Errorf("%s %s: sees %q, expected %q", c.limits, c.cedar, got, c.want)
		}
		if got := shown(p, "nobody", "GET", "/v2/models", "open"); got != "denied" {
			t.Errorf("a stranger sees %q", got)
		}
	}
	if (&Policy{}).Shows(Request{Caller: "c", Action: List}, "open") {
		t.Error("no policy shows a model")
	}
	app := parse(t, "name: a\napp: {command: [x], listen: 80, actions: [{path: /v1/models, is: list}]}\ncallers: [{anyone: true, may: [list], models: [m]}]\n")
	if got := shown(app, "anyone", "GET", "/v1/models", "m"); got != "denied" {
		t.Errorf("a caller of an app that may list models only: %q", got)
	}
}

// TestForesees: whatever is foreseen not to be allowed is denied for each model, and what
// is allowed for one is foreseen.
func TestForesees(t *testing.T) {
	const doc = `name: clinic
models: [{name: open, builtin: a}]
callers:
- {name: all, api_key: "sha256:0000000000000000000000000000000000000000000000000000000000000001", may: [query]}
- {name: one, api_key: "sha256:0000000000000000000000000000000000000000000000000000000000000002", may: [query], models: [open]}
- {name: path, api_key: "sha256:0000000000000000000000000000000000000000000000000000000000000003", may: [query], paths: [/v1/audio/*]}
- {name: eye, api_key: "sha256:0000000000000000000000000000000000000000000000000000000000000004", may: [observe, list]}
- {name: cedar, api_key: "sha256:0000000000000000000000000000000000000000000000000000000000000005", may: [observe]}
cedar: |
  permit(principal == Caller::"cedar", action == Action::"query", resource) when { context.model == "open" };
  forbid(principal, action, resource) when { context.model == "closed" };
`
	p := parse(t, doc)
	want := map[string]bool{
		"all " + Embeddings: true, "one " + Embeddings: true, "path " + Embeddings: false, "path " + Transcriptions: true, "eye " + Embeddings: false,
		"cedar " + Embeddings: true, "nobody " + Embeddings: false, "all /v1//embeddings": false, "all /.well-known/blindbox/v1": false,
	}
	for at, want := range want {
		caller, path, _ := strings.Cut(at, " ")
		r := Request{Caller: caller, Action: Query, Method: "POST", Path: path}
		if got := p.Foresees(r); got != want {
			t.Errorf("%s: foreseen %v, expected %v", at, got, want)
		}
		for _, r.Model = range []string{"", "open", "closed", "else"} {
			if p.Decide(r).Allowed && !want {
				t.Errorf("%s %s: allowed, and not foreseen", at, r.Model)
			}
		}
	}
	for _, a := range []Action{Ambiguous, "none", Observe} {
		if p.Foresees(Request{Caller: "all", Action: a, Method: "POST", Path: "/x"}) {
			t.Errorf("%s is foreseen", a)
		}
	}
}
