package policy_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/policy"
)

var requests = flag.Int("requests", 20000, "how many random requests the interpreter and Decide answer")

// The interpreter reads the document as docs/policy.md describes it, one request
// at a time, and knows nothing of Cedar, of indices or of package policy. What a
// document adds in Cedar is made here, from a tree that can also say by itself
// what it means.

// oracle is a document and what its Cedar part means.
type oracle struct {
	doc   string
	root  *yaml.Node
	cedar []cedarPolicy
}

type verdict struct {
	allowed bool
	line    int
}

func (o *oracle) decide(r policy.Request) verdict {
	caller := o.caller(r.Caller)
	if caller == nil {
		return verdict{}
	}
	var actions = " query upload delete list observe "
	if r.Action == "" || !strings.Contains(actions, " "+string(r.Action)+" ") {
		return verdict{false, caller.Line}
	}
	if r.Action != "observe" && !plain(r.Path) {
		return verdict{false, caller.Line}
	}
	permit := o.shortForm(caller, r)
	start := 0
	if block := child(o.root, "cedar"); block != nil {
		start = block.Line + 1
	}
	for i, c := range o.cedar {
		holds, broken := c.applies(r, kindOf(caller))
		switch {
		case c.forbid && (holds || broken):
			return verdict{false, start + i}
		case !c.forbid && holds && permit == 0:
			permit = start + i
		}
	}
	// A forbid after a permit wins as well.
	for i, c := range o.cedar {
		if holds, broken := c.applies(r, kindOf(caller)); c.forbid && (holds || broken) {
			return verdict{false, start + i}
		}
	}
	if permit == 0 {
		return verdict{false, caller.Line}
	}
	// What is permitted must not be forbidden in what the app could make of it.
	for _, r.Path = range readings(r.Path) {
		for i, c := range o.cedar {
			if holds, broken := c.applies(r, kindOf(caller)); c.forbid && (holds || broken) {
				return verdict{false, start + i}
			}
		}
	}
	return verdict{true, permit}
}

var (
	encodedCharacter = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	needsNoEncoding  = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()*+,;=:@-]$`)
	segmentParameter = regexp.MustCompile(`;[^/]*`)
)

// readings are what an app could make of a path.
func readings(path string) []string {
	decode := func(some *regexp.Regexp) string {
		return encodedCharacter.ReplaceAllStringFunc(path, func(s string) string {
			c, _ := url.PathUnescape(s)
			if some == nil || some.MatchString(c) {
				return c
			}
			return strings.ToUpper(s)
		})
	}
	usual, decoded := decode(needsNoEncoding), decode(nil)
	cut := func(s string) string { return segmentParameter.ReplaceAllString(s, "") }
	return []string{usual, cut(usual), decoded, cut(decoded)}
}

// shortForm returns the line that permits a request, or 0.
func (o *oracle) shortForm(caller *yaml.Node, r policy.Request) int {
	if !listed(child(caller, "may"), string(r.Action), false) {
		return 0
	}
	if r.Action == "observe" {
		return caller.Line
	}
	index := r.Action == "list" && r.Model == "" && child(o.root, "app") == nil // the list itself is of no model
	if !listed(child(caller, "methods"), r.Method, true) || !index && !listed(child(caller, "models"), r.Model, true) {
		return 0
	}
	paths := child(caller, "paths")
	if paths == nil {
		return caller.Line
	}
	for _, p := range paths.Content {
		if p.Value == r.Path || strings.HasSuffix(p.Value, "*") && strings.HasPrefix(r.Path, strings.TrimSuffix(p.Value, "*")) {
			return p.Line
		}
	}
	return 0
}

func listed(list *yaml.Node, want string, absent bool) bool {
	if list == nil {
		return absent
	}
	for _, n := range list.Content {
		if n.Value == want {
			return true
		}
	}
	return false
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func (o *oracle) caller(name string) *yaml.Node {
	for _, c := range child(o.root, "callers").Content {
		if n := child(c, "name"); n != nil && n.Value == name && name != "" {
			return c
		}
	}
	return nil
}

func kindOf(caller *yaml.Node) string {
	for _, kind := range []string{"api_key", "anyone"} {
		if child(caller, kind) != nil {
			return kind
		}
	}
	return ""
}

// plain says which of the paths below an app may be asked for.
func plain(path string) bool {
	for _, odd := range oddPaths {
		if path == odd {
			return false
		}
	}
	return true
}

// oddPaths are paths that two readers could understand differently, and the
// box's own.
var oddPaths = []string{
	"", "v1", "*", "//", "/v1//a", "/v1/../admin", "/v1/./a", "/v1/..;x/a", "/v1/%2e%2e/a", "/v1%2fa", "/v1%5ca", "/v1%252fa",
	"/v1%00", "/v1%c0%ae", "/v1%", "/v1 a", "/v1?a", "/v1#a", "/v1\\a", "/v1/\xff", "/v1/..", "/%61dmin",
	"/.well-known/blindbox", "/.well-known/blindbox/policy", "/.WELL-known/BlindBox/x",
}

var (
	somePaths = []string{"/", "/v1", "/v1/", "/v1/a", "/v1/a/", "/v1/a/b", "/v1/ab", "/v2/a", "/admin", "/admin/x", "/V1/a", "/v1/*", "/%C3%A9", "/.well-known/x"}
	// spelledPaths are other spellings of some of them, which only a request has.
	spelledPaths = []string{"/v1%3Ax", "/%c3%a9", "/admin;a", "/admin;a=%3D/x", "/v1;/a", "/V1/a;%40", "/v1/a%20b", "/.well-known/x;"}
	somePattern  = []string{"/*", "/v1/*", "/v1/a/*", "/v1/a", "/v1", "/admin/*", "/admin", "/v2/*", "/v1/ab", "/V1/*"}
	someMethods  = []string{"GET", "POST", "PUT", "get", ""}
	someModels   = []string{"small", "big", "", "Small"}
	someCallers  = []string{"a", "b", "c"}
	someActions  = []string{"query", "upload", "delete", "list", "observe"}
)

// cedarPolicy is one policy that can be written, and can say what it means.
type cedarPolicy struct {
	forbid                        bool
	caller, action, action2, path string // "" for any
	conditions                    []condition
}

type condition struct {
	unless bool
	text   string
	means  func(r policy.Request, kind string) (holds, broken bool)
}

func (c *cedarPolicy) text() string {
	word := map[bool]string{false: "permit", true: "forbid"}[c.forbid]
	p, a, r := "principal", "action", "resource"
	if c.caller != "" {
		p += fmt.Sprintf(" == Caller::%q", c.caller)
	}
	switch {
	case c.action2 != "":
		a += fmt.Sprintf(" in [Action::%q, Action::%q]", c.action, c.action2)
	case c.action != "":
		a += fmt.Sprintf(" == Action::%q", c.action)
	}
	if c.path != "" {
		r += fmt.Sprintf(" == Path::%q", c.path)
	}
	out := fmt.Sprintf("%s(%s, %s, %s)", word, p, a, r)
	for _, cond := range c.conditions {
		out += map[bool]string{false: " when { ", true: " unless { "}[cond.unless] + cond.text + " }"
	}
	return out + ";"
}

// applies says whether the policy does, and whether that cannot be said.
func (c *cedarPolicy) applies(r policy.Request, kind string) (holds, broken bool) {
	if c.caller != "" && c.caller != r.Caller || c.path != "" && c.path != r.Path ||
		c.action != "" && c.action != string(r.Action) && c.action2 != string(r.Action) {
		return false, false
	}
	for _, cond := range c.conditions {
		ok, broken := cond.means(r, kind)
		if broken {
			return false, true
		}
		if ok == cond.unless {
			return false, false
		}
	}
	return true, false
}

func randomCondition(rnd *rand.Rand, depth int) condition {
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	kinds := 8
	if depth > 2 {
		kinds = 5
	}
	switch rnd.IntN(kinds) {
	case 0:
		want := pick(someMethods)
		return condition{text: fmt.Sprintf("context.method == %q", want), means: func(r policy.Request, _ string) (bool, bool) { return r.Method == want, false }}
	case 1:
		want := pick(someModels)
		return condition{text: fmt.Sprintf("context.model != %q", want), means: func(r policy.Request, _ string) (bool, bool) { return r.Model != want, false }}
	case 2:
		want := pick([]string{"api_key", "anyone"})
		return condition{text: fmt.Sprintf("principal.kind == %q", want), means: func(_ policy.Request, kind string) (bool, bool) { return kind == want, false }}
	case 3:
		want := pick([]string{"/v1/", "/admin", "/"})
		return condition{text: fmt.Sprintf("context.path like \"%s*\"", want), means: func(r policy.Request, _ string) (bool, bool) { return strings.HasPrefix(r.Path, want), false }}
	case 4:
		if rnd.IntN(4) > 0 {
			return condition{text: "true", means: func(policy.Request, string) (bool, bool) { return true, false }}
		}
		return condition{text: `context.path < 3`, means: func(policy.Request, string) (bool, bool) { return false, true }}
	case 5:
		a := randomCondition(rnd, depth+1)
		return condition{text: "!(" + a.text + ")", means: func(r policy.Request, k string) (bool, bool) {
			holds, broken := a.means(r, k)
			return !holds && !broken, broken
		}}
	case 6:
		a, b := randomCondition(rnd, depth+1), randomCondition(rnd, depth+1)
		return condition{text: "((" + a.text + ") && (" + b.text + "))", means: func(r policy.Request, k string) (bool, bool) {
			if holds, broken := a.means(r, k); broken || !holds {
				return false, broken
			}
			return b.means(r, k)
		}}
	default:
		a, b := randomCondition(rnd, depth+1), randomCondition(rnd, depth+1)
		return condition{text: "((" + a.text + ") || (" + b.text + "))", means: func(r policy.Request, k string) (bool, bool) {
			if holds, broken := a.means(r, k); broken || holds {
				return holds, broken
			}
			return b.means(r, k)
		}}
	}
}

// some returns a part of a list, in random order.
func some(rnd *rand.Rand, list []string, least int) []string {
	out := append([]string(nil), list...)
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:least+rnd.IntN(len(out)-least)]
}

func randomPolicy(t *testing.T, rnd *rand.Rand, cedar bool) *oracle {
	t.Helper()
	var b strings.Builder
	b.WriteString("name: random\n")
	if rnd.IntN(2) == 0 {
		b.WriteString("models: [{name: small, builtin: small}]\n")
	} else {
		b.WriteString("app:\n  command: [/app]\n  listen: 80\n")
		randomActions(&b, rnd)
	}
	b.WriteString("callers:\n")
	withCedar := cedar && rnd.IntN(3) > 0
	for i, name := range someCallers {
		fmt.Fprintf(&b, "  - name: %s\n", name)
		if i == 2 && rnd.IntN(2) == 0 {
			b.WriteString("    anyone: true\n")
		} else {
			fmt.Fprintf(&b, "    api_key: sha256:%x\n", sha256.Sum256([]byte(name)))
		}
		may := some(rnd, someActions, 1)
		if withCedar && rnd.IntN(6) == 0 {
			continue
		}
		list(&b, "may", may)
		if len(may) == 1 && may[0] == "observe" {
			continue
		}
		if rnd.IntN(2) == 0 {
			list(&b, "methods", some(rnd, []string{"GET", "POST", "PUT"}, 1))
		}
		if rnd.IntN(3) == 0 {
			list(&b, "models", some(rnd, []string{"small", "big", "Small"}, 1))
		}
		if rnd.IntN(4) > 0 {
			list(&b, "paths", some(rnd, somePattern, 1))
		}
	}
	o := &oracle{}
	if withCedar {
		b.WriteString("cedar: |\n")
		for range 1 + rnd.IntN(5) {
			c := randomCedar(rnd)
			o.cedar = append(o.cedar, c)
			b.WriteString("  " + c.text() + "\n")
		}
	}
	o.doc = b.String()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(o.doc), &root); err != nil {
		t.Fatal(err)
	}
	o.root = root.Content[0]
	return o
}

// randomActions writes rules of which none hides a later one: what the parser would
// refuse is left out here too.
func randomActions(b *strings.Builder, rnd *rand.Rand) {
	var written []string
	head := "  actions:\n"
	for range rnd.IntN(4) {
		path, method := somePattern[rnd.IntN(len(somePattern))], []string{"", "GET", "PUT"}[rnd.IntN(3)]
		hidden := slices.ContainsFunc(written, func(w string) bool {
			m, p, _ := strings.Cut(w, " ")
			return (m == "" || m == method) && pathFits(p, strings.TrimSuffix(path, "*"))
		})
		if hidden {
			continue
		}
		written = append(written, method+" "+path)
		fmt.Fprintf(b, "%s    - {path: %q, is: %s", head, path, []string{"query", "upload", "delete", "list"}[rnd.IntN(4)])
		if method != "" {
			fmt.Fprintf(b, ", method: %s", method)
		}
		b.WriteString("}\n")
		head = ""
	}
}

func pathFits(pattern, path string) bool {
	if strings.HasSuffix(pattern, "/*") {
		return strings.HasPrefix(path, strings.TrimSuffix(pattern, "*"))
	}
	return path == pattern
}

// action says what a request is by the document.
func (o *oracle) action(method, path string) string {
	lower := strings.ToLower(path)
	if lower == "/.well-known/blindbox" || strings.HasPrefix(lower, "/.well-known/blindbox/") {
		return "observe"
	}
	one := func(path string) string {
		app := child(o.root, "app")
		if app == nil {
			if (method == "GET" || method == "HEAD") && (path == "/v2/models" || path == "/v2/models/") {
				return "list"
			}
			return "query"
		}
		if rules := child(app, "actions"); rules != nil {
			for _, rule := range rules.Content {
				m := child(rule, "method")
				if (m == nil || m.Value == method || m.Value == "GET" && method == "HEAD") && pathFits(child(rule, "path").Value, path) {
					return child(rule, "is").Value
				}
			}
		}
		return "query"
	}
	action := one(path)
	if strings.ContainsAny(path, "%;") {
		for _, other := range readings(path) {
			if one(other) != action {
				return "ambiguous"
			}
		}
	}
	return action
}

func list(b *strings.Builder, key string, values []string) {
	fmt.Fprintf(b, "    %s:\n", key)
	for _, v := range values {
		fmt.Fprintf(b, "      - %q\n", v)
	}
}

func randomCedar(rnd *rand.Rand) cedarPolicy {
	maybe := func(list []string) string {
		if rnd.IntN(2) == 0 {
			return ""
		}
		return list[rnd.IntN(len(list))]
	}
	c := cedarPolicy{forbid: rnd.IntN(2) == 0, caller: maybe(someCallers), action: maybe(someActions)}
	if c.action != "" {
		c.action2 = maybe(someActions)
	}
	if rnd.IntN(3) == 0 {
		c.path = somePaths[rnd.IntN(len(somePaths))]
	}
	for range rnd.IntN(3) {
		cond := randomCondition(rnd, 0)
		cond.unless = rnd.IntN(3) == 0
		c.conditions = append(c.conditions, cond)
	}
	return c
}

func randomRequest(rnd *rand.Rand) policy.Request {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	r := policy.Request{
		Caller: pick(someCallers...), Action: policy.Action(pick(someActions...)),
		Method: pick(someMethods...), Model: pick(someModels...), Path: pick(somePaths...),
	}
	switch rnd.IntN(20) {
	case 0:
		r.Caller = pick("", "d", "A", "a ")
	case 1:
		r.Action = policy.Action(pick("", "admin", "Query", "query "))
	case 2, 3:
		r.Path = pick(oddPaths...)
	case 4, 5, 6:
		r.Path = pick(spelledPaths...)
	}
	return r
}

// TestInterpreter: the rules that decide, compiled and indexed, mean what the
// document says to somebody who reads it line by line. Run it with more:
// go test ./policy -run Interpreter -requests 1000000
func TestInterpreter(t *testing.T) {
	const perPolicy = 250
	rnd := rand.New(rand.NewPCG(20261122, 1))
	allowed, byCedar := 0, 0
	for n := 0; n < *requests; n += perPolicy {
		o := randomPolicy(t, rnd, true)
		p, err := policy.Parse([]byte(o.doc))
		if err != nil {
			t.Fatalf("%v in\n%s", err, o.doc)
		}
		for range perPolicy {
			r := randomRequest(rnd)
			got, want := p.Decide(r), o.decide(r)
			if got, want := string(p.ActionOf(r.Method, r.Path)), o.action(r.Method, r.Path); got != want {
				t.Fatalf("%s %s is %s, and by the interpreter %s\n%s", r.Method, r.Path, got, want, o.doc)
			}
			if got.Allowed != want.allowed || got.Line != want.line || got.Reason == "" {
				t.Fatalf("%+v:\nDecide %+v\ninterpreter %+v\n%s", r, got, want, o.doc)
			}
			if got.Allowed {
				allowed++
			}
			if strings.Contains(got.Reason, "Cedar") {
				byCedar++
			}
		}
	}
	// Random requests that are all denied would prove little.
	if allowed < *requests/10 || byCedar < *requests/20 {
		t.Errorf("of %d requests %d were allowed and %d decided by Cedar", *requests, allowed, byCedar)
	}
	t.Logf("%d requests, %d allowed, %d decided by what documents add in Cedar", *requests, allowed, byCedar)
}

// TestDiffSeesWhatDecideDoes: a request that one policy allows and the other
// denies is never missed by Diff.
func TestDiffSeesWhatDecideDoes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(20261122, 2))
	differ := 0
	for range *requests / 100 {
		a, err := policy.Parse([]byte(randomPolicy(t, rnd, false).doc))
		if err != nil {
			t.Fatal(err)
		}
		b, err := policy.Parse([]byte(randomPolicy(t, rnd, false).doc))
		if err != nil {
			t.Fatal(err)
		}
		d := policy.Diff(a, b)
		for range 100 {
			r := randomRequest(rnd)
			before, after := a.Decide(r).Allowed, b.Decide(r).Allowed
			if before != after {
				differ++
			}
			if after && !before && !d.Widened() || before && !after && !d.Narrowed() {
				t.Fatalf("%+v: allowed %t, then %t, and the difference is %+v\n%s\n%s", r, before, after, d, a.Bytes(), b.Bytes())
			}
		}
	}
	if differ < *requests/10 {
		t.Errorf("only %d of %d requests made a difference", differ, *requests)
	}
}

// TestPlatforms: a policy can name every kind of hardware that can run a box, by
// its own name.
func TestPlatforms(t *testing.T) {
	for _, name := range policy.Platforms() {
		if !slices.ContainsFunc(attest.Kinds(), func(k attest.Kind) bool { return k.String() == name }) {
			t.Errorf("there is no hardware %q", name)
		}
	}
	for _, k := range attest.Kinds() {
		device := k == attest.NVIDIAGPU || k == attest.NVSwitch
		if slices.Contains(policy.Platforms(), k.String()) == device {
			t.Errorf("%s: in the list %t", k, !device)
		}
	}
}
