package main

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// TestCallerOf: what is said before anything is sent is what the box decides.
func TestCallerOf(t *testing.T) {
	const key, old = "clinic-key-0123456789", "old-key-0123456789abc"
	hash := func(key string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(key))) }
	closed := "name: demo\nmodels: [{name: tumour, builtin: tumour}]\ncallers:\n" +
		"  - {name: clinic, api_key: \"" + hash(key) + "\", may: [query, observe], paths: [/v2/*], models: [tumour], methods: [POST]}\n" +
		"  - {name: old, api_key: \"" + hash(old) + "\", may: [query], expires: 2026-01-01T00:00:00Z}\n"
	open := closed + "  - {anyone: true, may: [observe]}\n"
	before, after := time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		policy, key string
		at          time.Time
		name, kind  string
		may         []policy.Action
		line        int
		text        []string
	}{
		{closed, key, after, "clinic", "api_key", []policy.Action{policy.Query, policy.Observe}, 4, []string{"You are clinic, by the API key", "may query and observe", "/v2/*", "tumour", "POST"}},
		{open, key, after, "clinic", "api_key", []policy.Action{policy.Query, policy.Observe}, 4, []string{"You are clinic"}},
		{closed, old, before, "old", "api_key", []policy.Action{policy.Query}, 5, []string{"You are old"}},
		{closed, old, after, "", "", nil, 0, []string{"knew you until 2026-01-01T00:00:00Z"}},
		{open, old, after, "", "", nil, 0, []string{"knew you until 2026-01-01T00:00:00Z"}},
		{closed, "another-key-0123456789", after, "", "", nil, 0, []string{"does not have your API key: every request will be refused"}},
		{closed, "", after, "", "", nil, 0, []string{"You have no API key"}},
		{open, "", after, "anyone", "anyone", []policy.Action{policy.Observe}, 6, []string{"You count as anyone, and may observe"}},
		{open, "another-key-0123456789", after, "anyone", "anyone", []policy.Action{policy.Observe}, 6, []string{"as anyone", " makes no difference."}},
	} {
		p, err := policy.Parse([]byte(c.policy))
		if err != nil {
			t.Fatal(err)
		}
		got := callerOf(p, c.key, c.at)
		if got.Name != c.name || got.Kind != c.kind || got.Line != c.line || !slices.Equal(got.May, c.may) || got.May == nil {
			t.Errorf("%q at %s: %+v", c.key, c.at, got)
		}
		for _, want := range c.text {
			if !strings.Contains(got.Text, want) {
				t.Errorf("%q at %s: %q, expected %q", c.key, c.at, got.Text, want)
			}
		}
		if c.key == "" && strings.Contains(got.Text, "makes no difference") {
			t.Errorf("no key: %q", got.Text)
		}
		if until := got.Expires; (until != nil) != (c.name == "old") || until != nil && !until.Equal(after) {
			t.Errorf("%q at %s: known until %v", c.key, c.at, until)
		}
	}
}

// TestCallerOfAllThatIsLimited: limits of a caller are in the document for programs.
func TestCallerOfAllThatIsLimited(t *testing.T) {
	p, err := policy.Parse([]byte("name: demo\nmodels: [{name: tumour, builtin: tumour}]\ncallers:\n  - {anyone: true, may: [query], methods: [POST], paths: [/v2/*], models: [tumour]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := callerOf(p, "", time.Time{})
	if !slices.Equal(got.Methods, []string{"POST"}) || !slices.Equal(got.Paths, []string{"/v2/*"}) || !slices.Equal(got.Models, []string{"tumour"}) {
		t.Errorf("%+v", got)
	}
}

// TestWatchedPolicy: a policy that follows the one that was shown is said once, with
// what it allows more.
func TestWatchedPolicy(t *testing.T) {
	parsed := func(text string) *policy.Policy {
		p, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const closed = "name: demo\nmodels: [{name: tumour, builtin: tumour}]\n"
	shown, same, open := parsed(closed), parsed(closed), parsed(closed+"callers: [{anyone: true, may: [query]}]\n")
	for _, c := range []struct {
		name string
		from *policy.Policy
		to   []*policy.Policy
		want []string
	}{
		{"the same", shown, []*policy.Policy{same}, nil},
		{"none", shown, []*policy.Policy{nil}, nil},
		{"nothing was shown", nil, []*policy.Policy{open}, nil},
		{"more", shown, []*policy.Policy{open, open}, []string{"CHANGED ", "  newly      anyone may query, on every path (line 3)"}},
		{"less", open, []*policy.Policy{shown}, []string{"CHANGED ", "  newly      nothing is allowed that was not"}},
		{"back", shown, []*policy.Policy{open, same}, []string{"CHANGED ", "  newly      anyone", "CHANGED ", "  newly      nothing"}},
	} {
		var out strings.Builder
		w := &watcher{session: &session{stderr: &out}}
		w.start(c.from)
		for _, p := range c.to {
			w.compare(p)
		}
		lines := slices.Collect(strings.Lines(out.String()))
		if len(lines) != len(c.want) {
			t.Errorf("%s: it says\n%s", c.name, out.String())
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s: it says %s, expected %s", c.name, lines[i], want)
			}
		}
	}
}
