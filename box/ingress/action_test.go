package ingress

import (
	"net/http"
	"sync"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

// TestActions: what a request is by app.actions decides whether its caller may do it,
// and is what is told about it.
func TestActions(t *testing.T) {
	const doc = `name: test
app:
  command: [app]
  listen: 127.0.0.1:1
  actions:
    - {method: PUT, path: /files/*, is: upload}
    - {path: /files/@all, is: delete}
callers: [{anyone: true, may: [query, upload]}]
`
	h, s := front(t, doc, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var mu sync.Mutex
	told := map[string]policy.Action{}
	h.cfg.Decided = func(d Decision) {
		mu.Lock()
		defer mu.Unlock()
		told[d.Method] = d.Action
	}
	for _, c := range []struct {
		method, path string
		status       int
		action       policy.Action
	}{
		{"GET", "/files/x", 200, policy.Query}, {"PUT", "/files/x", 200, policy.Upload}, {"DELETE", "/files/@all", 403, policy.Delete},
		{"POST", "/files/%40all", 403, policy.Ambiguous}, {"PATCH", "/.well-known/blindbox/me", 400, policy.Observe},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		mu.Lock()
		if resp.StatusCode != c.status || told[c.method] != c.action {
			t.Errorf("%s %s: %d as %s, expected %d as %s", c.method, c.path, resp.StatusCode, told[c.method], c.status, c.action)
		}
		mu.Unlock()
	}
}
