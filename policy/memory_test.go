package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// TestMemoryIsExact: many goroutines ask the same few thousand questions, so that
// they push each other out and are asked again, and every answer is the one that is
// decided without memory.
func TestMemoryIsExact(t *testing.T) {
	p, err := Parse([]byte(head + "callers:\n" +
		"- {name: a, api_key: " + hash("a") + ", may: [query, list], methods: [GET, POST], paths: [/v1/*, /x, /y/*], models: [m, o]}\n" +
		"- {name: b, api_key: " + hash("b") + ", may: [query, observe]}\n" +
		"- {name: c, api_key: " + hash("c") + "}\n" +
		"cedar: |\n  permit(principal == Caller::\"c\", action, resource) when { context.path like \"/v1/*\" };\n" +
		"  forbid(principal, action, resource) when { context.path like \"*secret*\" || context.method == \"PUT\" };\n"))
	if err != nil {
		t.Fatal(err)
	}
	var kept, asked [4]int
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(g)))
			one := func(of ...string) string { return of[random.IntN(len(of))] }
			for range 20000 {
				r := Request{
					Caller: one("a", "b", "c", "d", ""), Action: Action(one("query", "query", "list", "observe", "")),
					Method: one("GET", "POST", "PUT", ""), Model: one("m", "o", "p", ""),
					Path: one("/v1/", "/x", "/y/", "/z/") + one("", "a", "%3A", "secret", strings.Repeat("l", 300), fmt.Sprint(random.IntN(50))),
				}
				want, got := p.decide(r), p.Decide(r)
				if got != want {
					t.Errorf("%+.80v: %+v, expected %+v", r, got, want)
					return
				}
				if _, known := p.compiled.memory.recall(&r); known {
					kept[g]++
				}
				asked[g]++
			}
		})
	}
	all.Wait()
	if kept[0] == 0 || kept[0] == asked[0] {
		t.Errorf("%d of %d were remembered", kept[0], asked[0])
	}
}

// TestMemoryComparesAll: two questions that differ in one thing are two questions,
// even if they have one place.
func TestMemoryComparesAll(t *testing.T) {
	m := newMemory()
	r := Request{Caller: "c", Action: Query, Method: "GET", Path: "/p", Model: "m"}
	others := []Request{
		{"d", Query, "GET", "/p", "m"}, {"c", List, "GET", "/p", "m"}, {"c", Query, "PUT", "/p", "m"},
		{"c", Query, "GET", "/q", "m"}, {"c", Query, "GET", "/p", "n"},
	}
	yes := Decision{Allowed: true, Line: 3}
	for _, other := range others {
		m.place(&other).Store(&remembered{r, yes})
		if d, known := m.recall(&other); known {
			t.Errorf("%+v has the answer to another question: %+v", other, d)
		}
	}
	if d, known := newMemory().recall(&r); known || d.Allowed {
		t.Error("an empty memory knows something")
	}
}

// TestMemoryIsBounded: what is denied or long is not kept, and what is kept holds on
// to nothing larger.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory()
	line := "/path?" + strings.Repeat("q", 30<<10)
	r := Request{Caller: "c", Action: Query, Method: "GET", Path: line[:5], Model: "m"}
	m.keep(r, Decision{})
	if _, known := m.recall(&r); known {
		t.Error("a denial is kept")
	}
	m.keep(r, Decision{Allowed: true})
	kept := m.place(&r).Load()
	if kept == nil || kept.question != r || unsafe.StringData(kept.question.Path) == unsafe.StringData(line) {
		t.Error("not kept, or with the line around it")
	}
	fit := maxRemembered - len(r.Caller) - len(r.Action) - len(r.Method) - len(r.Model)
	for n, want := range map[int]bool{fit: true, fit + 1: false} {
		r.Path = "/" + strings.Repeat("l", n-1)
		m.keep(r, Decision{Allowed: true})
		if _, known := m.recall(&r); known != want {
			t.Errorf("a path of %d bytes: kept is %v", n, known)
		}
	}
}
