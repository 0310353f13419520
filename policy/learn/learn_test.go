package learn

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

func parse(t *testing.T, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var digest = "sha256:" + strings.Repeat("ab", 32)

// base is a document with something of everything that is learned or kept.
var base = `# what this is
name: app # the name
app: {image: "oci:./a", digest: "` + digest + `", listen: 8000}
callers:
  # the build machine
  - {name: ci, api_key: "` + digest + `", may: [query, observe], methods: [GET], paths: [/old/*], rate: 60/min, expires: 2027-01-01T00:00:00Z}
  - {anyone: true, may: [query], paths: [/public/*]} # people
egress:
  allow:
    - {host: "*.example.com", port: 443, tls: verify} # the bank
    - {host: unused.example, port: 443}
  connections: 7
files: {tmp: 1GiB}
limits: {memory: 2GiB, idle: 30s}
logs: counters
operators: none
platforms: [tdx]
`

func request(caller, method, path string) Request {
	return Request{Caller: caller, Action: policy.Query, Method: method, Path: path}
}

func TestRecorder(t *testing.T) {
	r := NewRecorder(true)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			done := r.Begin()
			r.Request(request("ci", "GET", "/a"))
			r.Attempt(Attempt{Host: "a", Port: 1, Protocol: "tcp"})
			r.Usage(Peak{Memory: 5, PIDs: 2, OpenFiles: 3})
			done(7, 8)
		})
	}
	all.Wait()
	one, two := r.Begin(), r.Begin()
	one(1, 1)
	two(9, 1)
	r.Usage(Peak{Memory: 4, PIDs: 3, OpenFiles: 1})
	s := r.Seen()
	if len(s.Requests) != 1 || s.Requests[0].Count != 10 || len(s.Attempts) != 1 || s.Attempts[0].Count != 10 || !s.Confined {
		t.Errorf("%+v", s)
	}
	if p := s.Peak; p.Memory != 5 || p.PIDs != 3 || p.OpenFiles != 3 || p.Request != 9 || p.Response != 8 || p.Concurrent < 2 || p.Concurrent > 10 {
		t.Errorf("%+v", p)
	}
}

// TestRecorderIsBounded: what an app or a caller does without end is counted.
func TestRecorderIsBounded(t *testing.T) {
	r := NewRecorder(true)
	for i := range maxRequests + 2 {
		r.Request(request("ci", "GET", fmt.Sprint("/", i)))
	}
	for i := range maxDestinations + 3 {
		r.Attempt(Attempt{Host: fmt.Sprint("h", i), Port: 1, Protocol: "tcp"})
	}
	after := Tree{"/": {Dir: true}}
	for i := range maxFolders + 4 {
		after[fmt.Sprintf("/d%d/f", i)] = Entry{}
		after[fmt.Sprintf("/d%d", i)] = Entry{Dir: true}
	}
	r.Files(Tree{"/": {Dir: true}}, after)
	if s := r.Seen(); len(s.Requests) != maxRequests || len(s.Attempts) != maxDestinations || len(s.Folders) != maxFolders || s.Lost != 9 {
		t.Errorf("%d, %d, %d, lost %d", len(s.Requests), len(s.Attempts), len(s.Folders), s.Lost)
	}
}

func TestChanged(t *testing.T) {
	dir, file := Entry{Dir: true, Changed: 1}, Entry{Bytes: 3, Changed: 1}
	touched := Entry{Dir: true, Changed: 2}
	image := Tree{"/": dir, "/etc": dir, "/etc/conf": file, "/empty": dir, "/tmp": dir, "/var": dir, "/var/lib": dir, "/var/lib/x": file}
	for name, c := range map[string]struct {
		change Tree
		want   []Folder
	}{
		"nothing":            {Tree{}, nil},
		"a file came":        {Tree{"/tmp": touched, "/tmp/a": file}, []Folder{{"/tmp", "/tmp/a", 1, 3, false}}},
		"came and went":      {Tree{"/tmp": touched}, []Folder{{"/tmp", "", 0, 0, false}}},
		"a file changed":     {Tree{"/etc/conf": {Bytes: 4, Changed: 2}}, []Folder{{"/etc", "/etc/conf", 1, 4, true}}},
		"in the root":        {Tree{"/": touched, "/said": file}, []Folder{{"/", "/said", 1, 3, true}}},
		"a folder came":      {Tree{"/var/lib": touched, "/var/lib/app": dir, "/var/lib/app/d": dir, "/var/lib/app/d/f": file}, []Folder{{"/var/lib/app", "/var/lib/app", 1, 3, false}}},
		"in an empty one":    {Tree{"/empty": touched, "/empty/d": dir, "/empty/d/f": file, "/empty/e": dir, "/empty/e/f": file}, []Folder{{"/empty", "/empty/d", 2, 6, false}}},
		"beside what is":     {Tree{"/var/lib": touched, "/var/lib/new": file}, []Folder{{"/var/lib", "/var/lib/new", 1, 3, true}}},
		"a new one at root":  {Tree{"/": touched, "/new": dir, "/new/f": file}, []Folder{{"/new", "/new", 1, 3, false}}},
		"a folder was empty": {Tree{"/": touched, "/new": dir}, []Folder{{"/new", "/new", 0, 0, false}}},
	} {
		after := Tree{}
		for p, e := range image {
			after[p] = e
		}
		for p, e := range c.change {
			after[p] = e
		}
		if got := image.Changed(after); len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, expected %+v", name, got, c.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for name, c := range map[string]struct {
		paths, want, uncovered string
	}{
		"few are listed":           {"/a/1 /a/2", "/a/1 /a/2", ""},
		"many are an identifier":   {"/a/1 /a/2 /a/3", "/a/*", ""},
		"the same again":           {"/a/1 /a/1 /a/1", "/a/1", ""},
		"never at the root":        {"/1 /2 /3 /4", "/1 /2 /3 /4", ""},
		"in the middle":            {"/a/1/x /a/2/x /a/3/x", "/a/1/x /a/2/x /a/3/x", ""},
		"a star covers":            {"/a/1/x /a/1 /a/2 /a/3", "/a/*", ""},
		"what cannot be written":   {"/a/b%20c", "/a/*", ""},
		"nor at the root":          {"/b%20c /d", "/d", "/b%20c"},
		"nor in a folder":          {"/b%20c/d /b%20c/e /b%20c/f", "", "/b%20c/d /b%20c/e /b%20c/f"},
		"a star of the caller's":   {"/x/*", "/x/*", ""},
		"the folder is not a file": {"/a/ /a/1", "/a/ /a/1", ""},
	} {
		var requests []Request
		for _, p := range strings.Fields(c.paths) {
			r := request("ci", "GET", p)
			r.Count = 1
			requests = append(requests, r)
		}
		lines, uncovered := patterns(requests, 3)
		var got []string
		total := 0
		for _, l := range lines {
			got = append(got, l.text)
			total += l.count
		}
		if strings.Join(got, " ") != c.want || strings.Join(uncovered, " ") != c.uncovered {
			t.Errorf("%s: %q, left out %q", name, got, uncovered)
		}
		if total != len(requests)-len(uncovered) {
			t.Errorf("%s: %d requests in the counts, expected %d", name, total, len(requests)-len(uncovered))
		}
	}
}

func seenOf(requests ...Request) Seen {
	r := NewRecorder(true)
	for _, q := range requests {
		r.Request(q)
	}
	return r.Seen()
}

func propose(t *testing.T, doc string, seen Seen) (*policy.Policy, string) {
	t.Helper()
	p, err := Propose(parse(t, doc), seen, 3)
	if err != nil {
		t.Fatal(err)
	}
	return p.Policy, strings.Join(p.Notes, "\n")
}

func TestPropose(t *testing.T) {
	seen := seenOf(request("ci", "GET", "/a"), request("ci", "POST", "/b/1"), request("ci", "POST", "/b/2"), request("ci", "POST", "/b/3"), request("ci", "GET", "/a"),
		Request{Caller: "ci", Action: policy.Observe, Method: "GET", Path: policy.ReservedPrefix})
	seen.Attempts = []Attempt{
		{"a.example.com", 443, "tcp", 2}, {"b.example.com", 443, "tcp", 1}, {"1.2.3.4", 99, "tcp", 1}, {"10.0.0.1", 5432, "tcp", 1}, {"db.internal", 5432, "tcp", 1},
		{"1.2.3.4", 53, "udp", 4}, {"127.0.0.1", 80, "tcp", 1}, {"looked.example", 0, "dns", 1}, {"db.internal", 0, "dns", 1}, {"not_a+host", 80, "tcp", 1},
	}
	seen.Folders = []Folder{{"/etc", "/etc/x", 1, 1, true}, {"/tmp", "/tmp/x", 2, 3 << 20, false}, {"/var/new", "", 0, 0, false}}
	seen.Peak = Peak{Memory: 100 << 20, PIDs: 20, OpenFiles: 100, Request: 5000, Response: 100, Concurrent: 3}
	p, notes := propose(t, base, seen)
	text := string(p.Bytes())
	for _, want := range []string{
		"# what this is", "# the build machine", "# people", // the user's words
		"rate: 60/min", "- query # seen 5 times, first GET /a", "- observe # seen once", `- "GET" # seen 2 times, first GET /a`,
		`- "/b/*" # seen 3 times with 3 different ends, first POST /b/1. The star covers everything below`,
		"not seen: as it was", "memory: 256MiB # at most 104857600 bytes were seen; twice that, rounded up", "connections: 7", "idle: 30s",
		`{host: "*.example.com", port: 443, tls: verify} # tried: seen 2 times; as in line 10, first for a.example.com`,
		`{host: "10.0.0.1", port: 5432, private: true} # tried: seen once; a private address`,
		"tmp: 8MiB # 2 files with 3145728 bytes in the end, first /tmp/x; twice that", "something was written and removed",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, want := range []string{
		"caller anyone sent nothing", "udp to 1.2.3.4 port 53", "127.0.0.1 port 80 (seen once), which is the box itself", "looked up looked.example", "wrote to /etc", "not_a+host",
		"private address 10.0.0.1:5432",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "db.internal") || strings.Contains(text, "unused.example") {
		t.Errorf("%s\n%s", notes, text)
	}
	if len(p.Egress.Allow) != 4 || p.Limits.PIDs != 64 || p.Limits.OpenFiles != 256 || p.Limits.Request != 16384 || p.Limits.Response != 4096 || p.Limits.Concurrent != 8 {
		t.Errorf("%+v, %+v", p.Egress, p.Limits)
	}
	if len(p.Files.Writable) != 1 || p.Files.Writable[0].Path != "/var/new" || p.Files.Writable[0].Size != 1<<20 {
		t.Errorf("%+v", p.Files)
	}
	decide := func(method, path string) bool {
		return p.Decide(policy.Request{Caller: "ci", Action: policy.Query, Method: method, Path: path}).Allowed
	}
	if !decide("GET", "/a") || !decide("POST", "/b/9") || decide("GET", "/old/x") || decide("PUT", "/a") || decide("GET", "/c") {
		t.Error("the decisions are others")
	}
}

// TestProposeNothing: what was not seen is not allowed.
func TestProposeNothing(t *testing.T) {
	p, _ := propose(t, base, seenOf(Request{Caller: "ci", Action: policy.Observe, Method: "GET", Path: policy.ReservedPrefix}))
	if len(p.Egress.Allow) != 0 || p.Egress.Line == 0 || p.Files.Tmp != 0 || len(p.Callers[0].May) != 1 || p.Callers[0].May[0] != policy.Observe {
		t.Errorf("%+v %+v %+v", p.Egress, p.Files, p.Callers[0])
	}
	if p.Limits.Memory != 2<<30 {
		t.Errorf("memory %d, which nobody counted", p.Limits.Memory)
	}
	p, notes := propose(t, base, seenOf(request("ci", "GET", "/b%20c")))
	if d := p.Decide(policy.Request{Caller: "ci", Action: policy.Query, Method: "GET", Path: "/anything"}); d.Allowed || !strings.Contains(notes, "left out") {
		t.Errorf("%+v, %s", d, notes)
	}
}

// TestProposePlain: of a plain process the requests are seen and nothing else.
func TestProposePlain(t *testing.T) {
	doc := "name: a\napp: {command: [/a], listen: 80}\ncallers: [{anyone: true, may: [query]}]\nfiles: {tmp: 1MiB}\ncedar: |\n  forbid(principal, action, resource == Path::\"/x\");\n"
	seen := seenOf(request("anyone", "GET", "/a"))
	seen.Confined, seen.Lost = false, 2
	p, notes := propose(t, doc, seen)
	if !strings.Contains(notes, "plain process") || !strings.Contains(notes, "Cedar rules") || !strings.Contains(notes, "2 observations") || p.Files.Tmp != 1<<20 || p.Limits.Memory != 0 || p.Egress.Line != 0 || p.Cedar == "" {
		t.Errorf("%s\n%s", notes, p.Bytes())
	}
}

func TestProposeModels(t *testing.T) {
	doc := "name: a\nmodels: [{name: m, builtin: m}, {name: k, builtin: m}]\ncallers: [{anyone: true, may: [query]}]\n"
	r := request("anyone", "POST", "/v2/models/m/infer")
	r.Model = "m"
	seen := seenOf(r)
	seen.Confined = false
	p, _ := propose(t, doc, seen)
	if got := p.Callers[0].Models; len(got) != 1 || got[0] != "m" {
		t.Errorf("models %q", got)
	}
	seen = seenOf(r, request("anyone", "GET", "/v2"))
	seen.Confined = false
	p, _ = propose(t, doc, seen)
	if got := p.Callers[0].Models; len(got) != 0 {
		t.Errorf("models %q, and one request was for none", got)
	}
}

func TestProposeRefuses(t *testing.T) {
	if _, err := Propose(parse(t, base), Seen{}, 1); err == nil {
		t.Error("one value makes a star")
	}
	if p, err := Propose(&policy.Policy{}, Seen{}, DefaultMany); err == nil || p != nil {
		t.Errorf("a proposal out of nothing: %v", err)
	}
	if p, err := Open(&policy.Policy{}, Opening{}); err == nil || p != nil {
		t.Errorf("nothing is opened: %v", err)
	}
	p := &proposer{base: parse(t, base)}
	other := parse(t, strings.Replace(base, "platforms: [tdx]", "platforms: [sgx]", 1))
	if err := p.untouched(other); err == nil || !strings.Contains(err.Error(), "platforms") {
		t.Errorf("another platform: %v", err)
	}
}

// TestProposeManyPaths: the list has an end, and what is beyond it is said.
func TestProposeManyPaths(t *testing.T) {
	var all []Request
	for i := range maxPaths + 5 {
		all = append(all, request("ci", "GET", fmt.Sprintf("/p%d/x", i)))
	}
	p, notes := propose(t, base, seenOf(all...))
	if len(p.Callers[0].Paths) != maxPaths || !strings.Contains(notes, "205 different paths") {
		t.Errorf("%d paths, %s", len(p.Callers[0].Paths), notes)
	}
}

// TestNothingEndsAComment: what an app or a caller chose stays behind the #.
func TestNothingEndsAComment(t *testing.T) {
	seen := seenOf(request("ci", "GET", "/a"), request("ci", "X\n", "/b"))
	seen.Folders = []Folder{{"/d", "/d/x\nlimits: {}\r\u2028", 1, 1, false}}
	if _, err := Propose(parse(t, base), seen, 3); err == nil {
		t.Error("a method with a line feed became a policy")
	}
	seen.Requests = seen.Requests[:1]
	if p, _ := propose(t, base, seen); strings.Contains(string(p.Bytes()), "\nlimits: {}") {
		t.Errorf("%s", p.Bytes())
	}
}

func TestOpen(t *testing.T) {
	key := [32]byte{1}
	p, err := Open(parse(t, base+"cedar: |\n  forbid(principal, action, resource);\n"), Opening{
		As: "ci", KeyHash: key, Confined: true, Memory: 4 << 30, Allow: []policy.Destination{{Host: "more.example", Port: 1}, {Host: "unused.example", Port: 443}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ci := p.Callers[0]
	if ci.Name != "ci" || *ci.APIKey != key || len(ci.Paths)+len(ci.Methods) != 0 || ci.Rate != nil || !ci.Expires.IsZero() || len(p.Callers) != 2 || len(p.Callers[1].Paths) != 0 {
		t.Errorf("%+v", p.Callers)
	}
	if p.Cedar != "" || p.Files.Tmp != 0 || p.Limits.Memory != 4<<30 || p.Limits.PIDs != openPIDs || p.Limits.Idle.Seconds() != 30 || len(p.Egress.Allow) != 3 || p.Egress.Connections != 7 || len(p.Platforms) != 0 {
		t.Errorf("%+v", p)
	}
	if p.App.Image != "oci:./a" {
		t.Errorf("%+v", p.App)
	}
	for _, a := range []policy.Action{policy.Query, policy.Observe} {
		if d := p.Decide(policy.Request{Caller: "ci", Action: a, Method: "PUT", Path: "/any"}); !d.Allowed {
			t.Errorf("%s: %+v", a, d)
		}
	}
	plain, err := Open(parse(t, "name: a\napp: {command: [/a], listen: 80}\ncallers: [{anyone: true, may: [query], paths: [/a]}]\n"), Opening{As: "anyone", KeyHash: key})
	if err != nil {
		t.Fatal(err)
	}
	if c := plain.Callers[0]; !c.Anyone || c.APIKey != nil || len(c.Paths) != 0 || plain.Limits.Memory != 0 {
		t.Errorf("%+v", c)
	}
	if none, err := Open(parse(t, strings.Replace(base, "memory: 2GiB", "memory: 8GiB", 1)), Opening{Confined: true, Memory: 1}); err != nil || none.Limits.Memory != 8<<30 || *none.Callers[0].APIKey == key {
		t.Errorf("%v", err)
	}
}

func TestRoomy(t *testing.T) {
	for _, c := range []struct{ n, least, want int64 }{
		{0, 4, 4}, {2, 4, 4}, {3, 4, 8}, {4, 4, 8}, {5, 1, 16}, {1 << 40, 1, 1 << 40}, {1 << 62, 1, 1 << 40}, {0, 100, 128},
	} {
		if got := roomy(c.n, c.least); got != c.want {
			t.Errorf("%d with %d: %d, expected %d", c.n, c.least, got, c.want)
		}
	}
	for n, want := range map[int64]string{1: "1B", 1 << 10: "1KiB", 3 << 20: "3MiB", 1 << 30: "1GiB", 1<<10 + 1: "1025B"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, expected %s", n, got, want)
		}
	}
}
