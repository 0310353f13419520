package policy

import (
	"strings"
	"testing"
)

const withActions = `name: a
app:
  command: [x]
  listen: 80
  actions:
    - {method: GET, path: /files/index, is: list}
    - {method: PUT, path: /files/*, is: upload}
    - {method: DELETE, path: /files/*, is: delete}
    - {path: /files/public/*, is: query}
    - {path: "/files/@new", is: upload}
callers:
  - {anyone: true, may: [query, upload]}
`

func TestActionOf(t *testing.T) {
	p := parse(t, withActions)
	for request, want := range map[string]Action{
		"GET /": Query, "GET /files/index": List, "HEAD /files/index": List, "POST /files/index": Query, "GET /files/index/": Query,
		"PUT /files/x": Upload, "PUT /files/": Upload, "PUT /files": Query, "PUT /files/x/y": Upload, "PUT /Files/x": Query, "PATCH /files/x": Query,
		"PUT /files/public/x": Upload, "DELETE /files/public/x": Delete, "GET /files/@new": Upload, "HEAD /files/x": Query,
		// An app could read these as another path.
		"GET /files/%40new": Ambiguous, "GET /files/@new;v=1": Ambiguous, "PUT /files/%40new": Upload, "GET /files/%7Bx": Query,
		"GET /.well-known/blindbox/health": Observe, "PUT /.WELL-KNOWN/BlindBox": Observe,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := p.ActionOf(method, path); got != want {
			t.Errorf("%s is %s, expected %s", request, got, want)
		}
	}
	m := parse(t, models)
	for request, want := range map[string]Action{
		"GET /v2/models": List, "HEAD /v2/models/": List, "POST /v2/models": Query, "GET /v2/models/x": Query, "GET /v1/models": List, "GET /v1/models/x": Query, "GET /v2/models;x": Ambiguous,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := m.ActionOf(method, path); got != want {
			t.Errorf("%s to models is %s, expected %s", request, got, want)
		}
	}
	if d := p.Decide(Request{Caller: "anyone", Action: Ambiguous, Method: "GET", Path: "/files/%40new"}); d.Allowed || !strings.Contains(d.Reason, "another action") {
		t.Errorf("%+v", d)
	}
}

func TestAddressed(t *testing.T) {
	for doc, want := range map[string]string{
		withActions: "query upload delete list observe",
		models:      "query list observe",
		head:        "query observe",
	} {
		var got []string
		for _, a := range Actions() {
			if parse(t, doc).Addressed(a) {
				got = append(got, string(a))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\ngot  %s\nwant %s", doc, got, want)
		}
	}
}

func TestActionsRefused(t *testing.T) {
	rule := func(rules string) string {
		return "name: a\napp: {command: [x], listen: 80, actions: [" + rules + "]}\n"
	}
	for rules, want := range map[string]string{
		"{path: /a, is: observe}":                                   `app.actions[0].is: seen "observe", expected "query", "upload", "delete" or "list"`,
		"{path: /a}":                                                "is",
		"{is: list}":                                                "path",
		"{path: /a, is: list, methods: GET}":                        "methods",
		"{path: /a*, is: list}":                                     "a star only after a slash",
		"{path: /.well-known/blindbox/x, is: list}":                 "which the box answers itself",
		"{path: a, is: list}":                                       "app.actions[0].path",
		"{method: get, path: /a, is: list}":                         "in capital letters",
		"{path: /a/*, is: list}, {path: /a/b, is: upload}":          "nothing reaches this: line 2 fits all of it, expected the narrower one first",
		"{path: /a, is: list}, {method: PUT, path: /a, is: upload}": "nothing reaches this",
		"{method: GET, path: /a, is: list}, {method: HEAD, path: /a, is: upload}": "nothing reaches this",
	} {
		if _, err := Parse([]byte(rule(rules))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s", rules, err, want)
		}
	}
	for _, fine := range []string{
		"{method: PUT, path: /a, is: list}, {path: /a, is: upload}", "{path: /a/b, is: list}, {path: /a/*, is: upload}", "{method: GET, path: /a, is: list}, {method: PUT, path: /a, is: list}",
	} {
		if _, err := Parse([]byte(rule(fine))); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

// TestActionsAreTold: in words, in a difference, to the caller, and to who enforces.
func TestActionsAreTold(t *testing.T) {
	p := parse(t, withActions)
	if text := p.Describe(); !strings.Contains(text, "The request PUT /files/* is the action upload (line 7).\n") || !strings.Contains(text, "The request /files/public/* is the action query (line 9).") {
		t.Errorf("%s", text)
	}
	may, _ := p.MayDo("anyone")
	if want := " The action query is /files/public/*. The action upload is PUT /files/* and /files/@new."; !strings.Contains(may.String(), want) || strings.Contains(may.String(), "delete") {
		t.Errorf("%s", may)
	}
	if plain, _ := parse(t, full).MayDo("clinic"); strings.Contains(plain.String(), "action") {
		t.Errorf("%s", plain)
	}
	if got := diffLines(t, withActions, strings.Replace(withActions, "is: delete", "is: query", 1)); got != "* app 6:6 app.actions changed, and cannot be compared: try `blindbox policy test`" {
		t.Errorf("%s", got)
	}
	found := false
	for _, d := range p.Demands() {
		found = found || d.Section == "app.actions" && d.Line == 6
	}
	if !found {
		t.Errorf("%+v", p.Demands())
	}
}
