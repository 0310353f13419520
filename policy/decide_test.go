package policy

import (
	"net/url"
	"path"
	"strings"
	"testing"
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
		"/", "/v1", "/v1/", "/v1/models/gpt-4.1", "/a;b=c/d", "/a.b/..c/c..", "/...", "/~user", "/a%20b", "/%C3%A9t%C3%A9",
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
