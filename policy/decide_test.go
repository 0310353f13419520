package policy

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
)

func TestDecide(t *testing.T) {
	p := parse(t, full)
	second := p.Callers[1].Name
	for _, c := range []struct {
		caller  string
		action  Action
		path    string
		allowed bool
		line    int
		reason  string
	}{
		{"clinic", Query, "/v1/audio/transcriptions", true, 12, `caller "clinic" may query /v1/audio/*`},
		{"clinic", Query, "/v1/audio/", true, 12, `caller "clinic" may query /v1/audio/*`},
		{"clinic", Query, "/v1/models", true, 12, `caller "clinic" may query /v1/models`},
		{"clinic", Query, "/v1/audio", false, 9, `caller "clinic" may query only /v1/audio/*, /v1/models`},
		{"clinic", Query, "/v1/models/", false, 9, `caller "clinic" may query only /v1/audio/*, /v1/models`},
		{"clinic", Query, "/V1/models", false, 9, `caller "clinic" may query only /v1/audio/*, /v1/models`},
		{"clinic", Query, "/v1/audio/../models", false, 9, "the path has a dot segment"},
		{"clinic", Query, "", false, 9, "the path does not begin with a slash"},
		{"clinic", Observe, "/v1/models", false, 9, `caller "clinic" may only query`},
		{"clinic", "admin", "/v1/models", false, 9, "there is no such action"},
		{"clinic", List, "/v1/models", false, 9, `caller "clinic" may only query`},
		{"clinic", "", "/v1/models", false, 9, "there is no such action"},
		{second, Query, "/anything", true, 13, `caller "` + second + `" may query every path`},
		{second, Observe, "/ignored", true, 13, `caller "` + second + `" may observe`},
		{second, Query, "/.well-known/blindbox/policy", false, 13, "/.well-known/blindbox is the box's own"},
		{second, Query, "/.Well-Known/BlindBox", false, 13, "/.well-known/blindbox is the box's own"},
		{second, Query, "/.well-known/blindboxes", true, 13, `caller "` + second + `" may query every path`},
		{"anyone", Query, "/public/x", true, 14, `caller "anyone" may query /public/*`},
		{"anyone", Query, "/v1/models", false, 14, `caller "anyone" may query only /public/*`},
		{"nobody", Query, "/public/x", false, 0, "the policy has no such caller"},
		{"", Query, "/public/x", false, 0, "the policy has no such caller"},
	} {
		want := Decision{c.allowed, c.reason, c.line}
		for range 2 {
			if got := p.Decide(Request{Caller: c.caller, Action: c.action, Method: "GET", Path: c.path}); got != want {
				t.Errorf("%s %s %s:\ngot  %+v\nwant %+v", c.caller, c.action, c.path, got, want)
			}
		}
	}
}

// TestDecideWhole: methods, models, and what the document adds in Cedar.
func TestDecideWhole(t *testing.T) {
	p := parse(t, whole)
	for _, c := range []struct {
		r      Request
		want   bool
		line   int
		reason string
	}{
		{Request{"ci", Query, "POST", "/v1/x", "minilm"}, true, 20, `caller "ci" may query /v1/*`},
		{Request{"ci", Upload, "GET", "/v2/infer", "minilm"}, true, 21, `caller "ci" may upload /v2/infer`},
		{Request{"ci", Query, "PUT", "/v1/x", "minilm"}, false, 14, `caller "ci" may query only with POST, GET`},
		{Request{"ci", Query, "POST", "/v1/x", ""}, false, 14, `caller "ci" may query only the models minilm`},
		{Request{"ci", Query, "POST", "/v3/x", "minilm"}, false, 14, `caller "ci" may query only /v1/*, /v2/infer`},
		{Request{"ci", Delete, "POST", "/v1/x", "minilm"}, false, 14, `caller "ci" may only query and upload`},
		{Request{"ci", Observe, "POST", "/v1/x", "minilm"}, false, 14, `caller "ci" may only query and upload`},
		{Request{"cn", List, "GET", "/anything", ""}, true, 27, `caller "cn" may list every path`},
		{Request{"cn", List, "GET", "/.well-known/blindbox", ""}, false, 27, "/.well-known/blindbox is the box's own"},
		{Request{"box-abababab", Observe, "", "", ""}, true, 29, `caller "box-abababab" may observe`},
		{Request{"anyone", Query, "GET", "/public/a", "big"}, true, 31, `caller "anyone" may query /public/*`},
		{Request{"certificate-" + hash("ca")[7:15], Query, "GET", "/v1/night/x", "big"}, false, 33, `the Cedar policy "night" forbids it`},
		{Request{"certificate-" + hash("ca")[7:15], Query, "GET", "/v1/night/x", "small"}, true, 25, `caller "certificate-` + hash("ca")[7:15] + `" may query every path`},
		{Request{"by-cedar", List, "GET", "/v1/x", ""}, true, 37, "a Cedar policy permits it"},
		{Request{"by-cedar", List, "GET", "/v1/y", ""}, false, 30, `caller "by-cedar" may do only what a Cedar policy permits`},
		{Request{"by-cedar", Observe, "GET", "/v1/x", ""}, true, 37, "a Cedar policy permits it"},
	} {
		if got := p.Decide(c.r); got != (Decision{c.want, c.reason, c.line}) {
			t.Errorf("%+v:\ngot  %+v\nwant %t %s (line %d)", c.r, got, c.want, c.reason, c.line)
		}
	}
}

// TestForbidWins: over permits of every sort, and also if it cannot be
// evaluated. The first one in the document is named.
func TestForbidWins(t *testing.T) {
	for _, c := range []struct {
		name, cedar, reason string
		allowed             bool
		line                int
	}{
		{"nothing applies", `forbid(principal, action, resource == Path::"/b");`, `caller "clinic" may query every path`, true, 4},
		{"a forbid", `forbid(principal, action, resource);`, "a Cedar policy forbids it", false, 9},
		{"a permit before it", "permit(principal, action, resource);\n  forbid(principal, action, resource);", "a Cedar policy forbids it", false, 10},
		{"a permit cannot be evaluated", `permit(principal, action, resource) when { context.path < 1 };`, `caller "clinic" may query every path`, true, 4},
		{"a forbid cannot be evaluated", `forbid(principal, action, resource) when { context.path < 1 };`, "a Cedar policy that forbids cannot be evaluated", false, 9},
		{"after one that applies", "forbid(principal, action, resource);\n  forbid(principal, action, resource) when { context.path < 1 };", "a Cedar policy forbids it", false, 9},
		{"before one that applies", "forbid(principal, action, resource) when { context.path < 1 };\n  forbid(principal, action, resource);", "a Cedar policy that forbids cannot be evaluated", false, 9},
		{"two that cannot", "forbid(principal, action, resource) when { context.path < 1 };\n  forbid(principal, action, resource) when { context.path < 1 };", "a Cedar policy that forbids cannot be evaluated", false, 9},
		{"of a kind of caller", `forbid(principal, action, resource) unless { principal.kind == "attested" };`, "a Cedar policy forbids it", false, 9},
		{"of this kind of caller", `forbid(principal, action, resource) unless { principal.kind == "api_key" };`, `caller "clinic" may query every path`, true, 4},
		{"of another action", `forbid(principal, action in [Action::"list", Action::"upload"], resource);`, `caller "clinic" may query every path`, true, 4},
		{"of other actions", `forbid(principal, action in [Action::"list", Action::"query"], resource);`, "a Cedar policy forbids it", false, 9},
		{"of another caller", `forbid(principal == Caller::"other", action, resource);`, `caller "clinic" may query every path`, true, 4},
		{"an id that is no word", "@id(\"a b\")\n  forbid(principal, action, resource);", "a Cedar policy forbids it", false, 9},
	} {
		p := parse(t, cedarHeadWithOther+"  "+c.cedar+"\n")
		want := Decision{c.allowed, c.reason, c.line}
		if got := p.Decide(Request{Caller: "clinic", Action: Query, Method: "GET", Path: "/a"}); got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, want)
		}
	}
}

// cedarHeadWithOther has its Cedar text from line 9 on.
var cedarHeadWithOther = head + "callers:\n  - name: clinic\n    api_key: " + hash(keyA) + "\n    may: [query]\n" +
	"  - {name: other, anyone: true, may: [query]}\n" + "cedar: |\n"

// TestSlices: few rules are asked, however many there are.
func TestSlices(t *testing.T) {
	p := parse(t, crowd(3, 100))
	s := p.compiled.callers["c1"].slices[Query]
	for path, want := range map[string]int{"/99": 0, "/98": 1, "/99/x": 1, "/": 0, "/99/x/y": 1} {
		if got := s.candidates(nil, path); len(got) != want {
			t.Errorf("%s: %d rules are asked, expected %d", path, len(got), want)
		}
	}
	if len(s.lengths) != 2 || len(s.always) != 0 {
		t.Errorf("%d lengths, %d rules asked always", len(s.lengths), len(s.always))
	}
	other := parse(t, cedarHeadWithOther+"  forbid(principal == Caller::\"other\", action == Action::\"query\", resource);\n")
	for caller, want := range map[string]int{"clinic": 1, "other": 2} {
		if got := other.compiled.callers[caller].slices[Query].always; len(got) != want {
			t.Errorf("%s: %d rules", caller, len(got))
		}
	}
	n := 0
	for range asked(p.compiled.rules).All() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 || (&Caller{}).Kind() != "" {
		t.Errorf("%d rules, kind %q", n, (&Caller{}).Kind())
	}
}

// TestCedarText: what decides can be read as Cedar, and means the same to a
// reader of Cedar that knows nothing of this package.
func TestCedarText(t *testing.T) {
	p := parse(t, whole)
	text := p.CedarText()
	for _, want := range []string{
		"// line 20\npermit (\n    principal == Caller::\"ci\",\n    action == Action::\"query\",\n    resource\n)\nwhen { context.path like \"/v1/*\" }",
		"// line 21\npermit (\n    principal == Caller::\"ci\",\n    action == Action::\"upload\",\n    resource == Path::\"/v2/infer\"\n)",
		"// line 33\n@id(\"night\")\nforbid (",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no\n%s\nin\n%s", want, text)
		}
	}
	all, err := cedar.NewPolicySetFromBytes("", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, caller := range p.Callers {
		for _, action := range Actions() {
			for _, path := range []string{"/v1/x", "/v2/infer", "/v1/night/x", "/public/y", "/v1/audio/z"} {
				for _, model := range []string{"minilm", "big", ""} {
					r := Request{caller.Name, action, "GET", path, model}
					want, _ := cedar.Authorize(all, p.compiled.entities, cedar.Request{
						Principal: cedar.NewEntityUID("Caller", cedar.String(caller.Name)), Action: cedar.NewEntityUID("Action", cedar.String(action)),
						Resource: cedar.NewEntityUID("Path", cedar.String(path)),
						Context:  cedar.NewRecord(cedar.RecordMap{"path": cedar.String(path), "method": cedar.String("GET"), "model": cedar.String(model)}),
					})
					if got := p.Decide(r); got.Allowed != bool(want) {
						t.Errorf("%+v: %+v, and to Cedar %t", r, got, want)
					}
				}
			}
		}
	}
	if (&Policy{}).CedarText() != "" {
		t.Error("the zero Policy has rules")
	}
}

// FuzzDecide: every request has an answer, with a reason, twice the same; and
// nobody is allowed who is not in the document, or to the box's own paths.
func FuzzDecide(f *testing.F) {
	f.Add(whole, "ci", "query", "POST", "/v1/x", "minilm")
	f.Add(full, "anyone", "observe", "", "", "")
	f.Add(cedarHeadWithOther+"  forbid(principal, action, resource) when { context.path < 1 || context.model like \"*\" };\n", "clinic", "list", "GET", "/a%2fb", "\xff")
	f.Fuzz(func(t *testing.T, doc, caller, action, method, path, model string) {
		p, err := Parse([]byte(doc))
		if err != nil {
			return
		}
		r := Request{caller, Action(action), method, path, model}
		d := p.Decide(r)
		if d.Reason == "" || d != p.Decide(r) {
			t.Fatalf("%+v: %+v, then %+v", r, d, p.Decide(r))
		}
		if d.Line < 0 || d.Line > strings.Count(doc, "\n")+1 {
			t.Fatalf("%+v: line %d", r, d.Line)
		}
		known := slices.ContainsFunc(p.Callers, func(c Caller) bool { return c.Name == caller })
		if d.Allowed && (!known || d.Line == 0 || r.Action != Observe && (CheckPath(path) != nil || Reserved(path))) {
			t.Fatalf("%+v: %+v", r, d)
		}
	})
}

// TestZeroDenies: whatever was forgotten, the answer is no.
func TestZeroDenies(t *testing.T) {
	var d Decision
	if d.Allowed {
		t.Error("the zero Decision allows")
	}
	var p Policy
	for _, r := range []Request{{}, {Caller: "anyone", Action: Query, Path: "/"}, {Action: Query, Path: "/"}} {
		if got := p.Decide(r); got.Allowed {
			t.Errorf("the zero Policy allows %+v", r)
		}
	}
	p.Callers = []Caller{{May: []Action{Query}}}
	if got := p.Decide(Request{Action: Query, Path: "/"}); got.Allowed {
		t.Error("a caller without a name may query")
	}
	if _, ok := p.Authenticate(""); ok {
		t.Error("the empty key is known")
	}
	if _, ok := p.Anyone(); ok {
		t.Error("anyone may call under a policy that does not say so")
	}
}

func TestAuthenticate(t *testing.T) {
	p := parse(t, full)
	for key, want := range map[string]string{
		keyA: "clinic", keyB: p.Callers[1].Name,
		"": "", keyA + " ": "", keyA[:len(keyA)-1]: "", strings.ToUpper(keyA): "", strings.Repeat("x", maxKey+1): "",
	} {
		if c, ok := p.Authenticate(key); c.Name != want || ok != (want != "") {
			t.Errorf("%.40q: got %q, %t", key, c.Name, ok)
		}
	}
	if c, ok := p.Anyone(); !ok || c.Name != "anyone" {
		t.Errorf("anyone: got %+v, %t", c, ok)
	}
}

// TestShortKeysAreNeverAccepted: their hashes are public and could be reversed.
func TestShortKeysAreNeverAccepted(t *testing.T) {
	short, enough := strings.Repeat("k", MinKey-1), strings.Repeat("k", MinKey)
	p := parse(t, head+"callers:\n - {api_key: "+hash(short)+", may: [query]}\n - {api_key: "+hash(enough)+", may: [query]}\n")
	if _, ok := p.Authenticate(short); ok {
		t.Error("a short key was accepted")
	}
	long := strings.Repeat("k", maxKey+1)
	if _, ok := parse(t, head+"callers: [{api_key: "+hash(long)+", may: [query]}]\n").Authenticate(long); ok {
		t.Error("a key that is too long was accepted")
	}
	if _, ok := p.Authenticate(enough); !ok {
		t.Error("a key that is just long enough was refused")
	}
}

func TestCheckPath(t *testing.T) {
	for _, ok := range []string{
		"/", "/v1", "/v1/", "/v1/models/gpt-4.1", "/a;b=c/d", "/a.b/..c/c..", "/...", "/~user", "/a%20b", "/a%20ab", "/%C3%A9t%C3%A9",
		"/a:b@c,d!$&'()*+=", "/100%25", "/%25zz", "/a%3Fb", "/a%23b", "/" + strings.Repeat("a", MaxPath-1),
	} {
		if err := CheckPath(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for bad, want := range map[string]string{
		"":                                 "does not begin with a slash",
		"*":                                "does not begin with a slash",
		"v1":                               "does not begin with a slash",
		"http://x/y":                       "does not begin with a slash",
		"//":                               "an empty segment",
		"/a//b":                            "an empty segment",
		"//evil.example/a":                 "an empty segment",
		"/.":                               "a dot segment",
		"/..":                              "a dot segment",
		"/a/./b":                           "a dot segment",
		"/a/../b":                          "a dot segment",
		"/a/..":                            "a dot segment",
		"/a/..;x=y/b":                      "a dot segment",
		"/a/.;/b":                          "a dot segment",
		"/a/%2e%2e/b":                      "an encoded character that needs no encoding",
		"/a/.%2E/b":                        "an encoded character that needs no encoding",
		"/%61dmin":                         "an encoded character that needs no encoding",
		"/a/..%3b/b":                       "an encoded character that needs no encoding",
		"/a%2fb":                           "an encoded slash or backslash",
		"/a%2Fb":                           "an encoded slash or backslash",
		"/a%5cb":                           "an encoded slash or backslash",
		"/a%252fb":                         "a doubly encoded character",
		"/a%252e%252e/b":                   "a doubly encoded character",
		"/a%00b":                           "an encoded control character",
		"/a%0d%0aX: y":                     "an encoded control character",
		"/a%7f":                            "an encoded control character",
		"/a%c0%ae%c0%ae/b":                 "not UTF-8",
		"/a%ff":                            "not UTF-8",
		"/a%":                              "a broken percent-encoding",
		"/a%2":                             "a broken percent-encoding",
		"/a%zz":                            "a broken percent-encoding",
		"/a%0z":                            "a broken percent-encoding",
		"/a%z0":                            "a broken percent-encoding",
		"/a%@@":                            "a broken percent-encoding",
		"/a%GG":                            "a broken percent-encoding",
		"/a%::":                            "a broken percent-encoding",
		"/a%//":                            "an empty segment",
		"/a%gg":                            "a broken percent-encoding",
		"/a\\b":                            "a character that must be percent-encoded",
		"/a b":                             "a character that must be percent-encoded",
		"/a?b":                             "a character that must be percent-encoded",
		"/a#b":                             "a character that must be percent-encoded",
		"/a\x00b":                          "a character that must be percent-encoded",
		"/\xc3\xa9":                        "a character that must be percent-encoded",
		"/a\"<>`{}|^[]":                    "a character that must be percent-encoded",
		"/" + strings.Repeat("a", MaxPath): "too long",
	} {
		if err := CheckPath(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %s", bad, err, want)
		}
	}
}

func TestReserved(t *testing.T) {
	for path, want := range map[string]bool{
		ReservedPrefix: true, ReservedPrefix + "/": true, ReservedPrefix + "/x": true, strings.ToUpper(ReservedPrefix): true,
		ReservedPrefix + "es": false, "/" + strings.Repeat("a", len(ReservedPrefix)-1): false, "/": false, "": false,
		"/" + strings.Repeat("a", len(ReservedPrefix)-1) + "/x": false,
	} {
		if Reserved(path) != want {
			t.Errorf("%s: %t", path, !want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"/": true, "/*": true, "/v1/*": true, "/v1": true, "/v1/": true,
		"": false, "*": false, "v1/*": false, "/v1*": false, "/*/v1": false, "/v1/**": false, "/v1/../*": false,
		"//": false, "/a//b": false, "/a%20b": false, "/a?b": false, "/a b": false, "/./*": false,
		"/.well-known/blindbox": false, "/.well-known/blindbox/*": false, "/.well-known/blindbox/policy": false,
		"/.WELL-known/blindbox/*": false, "/.well-known/*": true,
	} {
		if why := checkPattern(pattern); (why == "") != ok {
			t.Errorf("%q: got %q", pattern, why)
		}
	}
}

// FuzzPath: a path that is accepted is the same path to somebody who decodes
// it once, twice, or resolves dots.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/v1/models", "/a/../b", "/a%2e%2e/b", "/a%252fb", "//x", "/a;b/..;/c", "/%C3%A9", "/a%25b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckPath(s) != nil {
			return
		}
		once, err := url.PathUnescape(s)
		if err != nil {
			t.Fatalf("%q cannot be decoded: %v", s, err)
		}
		if strings.Count(once, "/") != strings.Count(s, "/") {
			t.Fatalf("%q has other segments when decoded", s)
		}
		for _, form := range []string{s, once} {
			if clean := path.Clean(form); clean != form && clean+"/" != form {
				t.Fatalf("%q becomes %q", form, clean)
			}
		}
		if twice, err := url.PathUnescape(once); err == nil && strings.Count(twice, "/") != strings.Count(s, "/") {
			t.Fatalf("%q has other segments when decoded twice", s)
		}
		if u, err := url.ParseRequestURI(s); err != nil || u.EscapedPath() != s {
			t.Fatalf("%q is forwarded as another path: %v, %v", s, u, err)
		}
	})
}

// TestForbidOtherForms: a forbid is not got around by another spelling of the path
// that the app reads as the same. What is permitted by its spelling stays so.
func TestForbidOtherForms(t *testing.T) {
	doc := head + "callers: [{anyone: true, may: [query], paths: [/v1/*, \"/a;b\", \"/c:d\"]}]\n" +
		"cedar: |\n  forbid(principal, action, resource) when { context.path like \"/v1/models:delete*\" || context.path like \"/v1/admin/*\" || context.path == \"/a\" || context.path == \"/v1/b%C3%A9\" || context.path == \"/v1/é d\" || context.path == \"/v1/%C3%A9:u;v\" || context.path == \"/v1/é;w\" };\n"
	p := parse(t, doc)
	for path, allowed := range map[string]bool{
		"/v1/models:get": true, "/v1/models%3Aget": true, "/v1/x;y/z": true, "/v1/%C3%A9": true, "/v1/%25": true, "/c:d": true,
		"/v1/models:delete": false, "/v1/models%3Adelete": false, "/v1/models%3adelete": false,
		"/v1/admin/x": false, "/v1/admin;a=b/x": false, "/v1/admin;%3D/x": false, "/a;b": false,
		"/v1/b%C3%A9": false, "/v1/b%c3%a9": false, "/v1/b%c3%A9;x": false, "/v1/b%C3%A8": true,
		"/v1/%C3%A9%20d": false, "/v1/%c3%a9%20d": false, "/v1/%c3%a9%20d;x": false, "/v1/%C3%A9+d": true,
		"/v1/%c3%a9%3au;v": false, "/v1/%C3%A9;w": false, "/v1/%C3%A9;u": true,
		"/c%3Ad": false, // a permit is for what it says
	} {
		d := p.Decide(Request{Caller: "anyone", Action: Query, Method: "GET", Path: path})
		if d.Allowed != allowed || d.Line == 0 {
			t.Errorf("%s: %+v, expected %t", path, d, allowed)
		}
	}
	d := p.Decide(Request{Caller: "anyone", Action: Query, Method: "GET", Path: "/v1/models%3Adelete"})
	if d.Reason != "a Cedar policy forbids it, for the path as the app could read it" {
		t.Errorf("the reason is %q", d.Reason)
	}
	broken := parse(t, head+"callers: [{anyone: true, may: [query]}]\ncedar: |\n  forbid(principal, action, resource) when { context.path == \"/a:b\" && context.method < 1 };\n")
	if d := broken.Decide(Request{Caller: "anyone", Action: Query, Method: "GET", Path: "/a%3ab"}); d.Allowed || !strings.Contains(d.Reason, "cannot be evaluated") {
		t.Errorf("a forbid that cannot be evaluated: %+v", d)
	}
}
