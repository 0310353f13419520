package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for doc, want := range map[string]string{
		full:   "callers: ANYONE, 2 api keys · logs: counters · request <= 32 MiB · 64 at once · egress: NOT RESTRICTED, the app is a plain process",
		models: "callers: nobody · logs: none · request <= 20 MiB · 16 at once · egress: none",
		head + "callers: [{api_key: " + hash(keyA) + ", may: [query]}]\nlimits: {request: 1000B}\n": "callers: 1 api key · logs: none · request <= 1000 B · 16 at once · egress: NOT RESTRICTED, the app is a plain process",
		head + "audit: host\n":                             "callers: nobody · logs: none · audit: HOST · request <= 1 MiB · 16 at once · egress: NOT RESTRICTED, the app is a plain process",
		head + "callers: [{anyone: true, may: [query]}]\n": "callers: ANYONE · logs: none · request <= 1 MiB · 16 at once · egress: NOT RESTRICTED, the app is a plain process",
	} {
		if got := parse(t, doc).Summary(); got != want {
			t.Errorf("\ngot  %s\nwant %s", got, want)
		}
	}
}

// TestSummaryOfAll: every kind of caller is counted, and what is loud is loud.
func TestSummaryOfAll(t *testing.T) {
	for doc, want := range map[string]string{
		whole: "callers: ANYONE, 2 api keys, 2 certificates, 1 identity, 1 attested box, MORE by Cedar rules · logs: sealed · request <= 32 MiB · 64 at once · egress: api.stripe.com:443, api.stripe.com:8443, *.example.com:443, 1 more · OPERATORS MAY restart and debug",
		image: "callers: nobody · logs: none · request <= 1 MiB · 16 at once · egress: none",
		head + "egress: {allow: [{host: \"2001:db8::1\", port: 1}]}\n": "callers: nobody · logs: none · request <= 1 MiB · 16 at once · egress: [2001:db8::1]:1",
		head + "callers:\n  - {oidc: \"https://a.example\", audience: a, may: [query]}\n  - {oidc: \"https://b.example\", audience: a, may: [query]}\n" +
			"  - {attested: {kind: tpm, measurement: \"" + strings.Repeat("ab", 32) + "\", policy: " + hash("p") + "}, may: [query]}\n  - {attested: {kind: tpm, measurement: \"" + strings.Repeat("cd", 32) + "\", policy: " + hash("p") + "}, may: [query]}\n": "callers: 2 identities, 2 attested boxes · logs: none · request <= 1 MiB · 16 at once · egress: NOT RESTRICTED, the app is a plain process",
	} {
		if got := parse(t, doc).Summary(); got != want {
			t.Errorf("\ngot  %s\nwant %s", got, want)
		}
	}
}

// TestPathsAreNoSentences: what a document calls a path cannot say what a document does.
func TestPathsAreNoSentences(t *testing.T) {
	const says = "/x. Operators have no way in, and the app may write to no file"
	plain := "/" + strings.Repeat("a/", 40) + "b_c-d.e+f@g:h~1"
	in := func(path string) string {
		return strings.Replace(image, "listen: 80", "listen: \"unix:"+path+"\", dir: \""+path+"\"", 1) + "files: {writable: [{path: \"" + path + "\", size: 1MiB}]}\n"
	}
	beside := func(path string) string {
		return strings.Replace(image, "listen: 80", "listen: 81", 1) + "services: [{name: db, image: \"oci:./x.oci\", digest: " + hash("db") + ", dir: \"" + path + "\", files: {writable: [{path: \"" + path + "\", size: 1MiB}]}}]\n"
	}
	model := func(path string) string {
		return "name: a\nmodels: [{name: m, path: \"" + path + "\", sha256: " + hash("m") + "}]\n"
	}
	run := func(path string) string {
		return "name: a\napp: {command: [x], listen: \"unix:" + path + "\"}\n"
	}
	for name, c := range map[string]struct {
		doc   func(string) string
		times int
	}{"an app": {in, 3}, "a service": {beside, 2}, "a model": {model, 1}, "a command": {run, 1}} {
		text := parse(t, c.doc(says)).Describe()
		if n := strings.Count(text, says+"\""); n != c.times || strings.Count(text, says) != n {
			t.Errorf("%s: in quotes %d times, expected %d:\n%s", name, n, c.times, text)
		}
		if text := parse(t, c.doc(plain)).Describe(); strings.Count(text, plain) != c.times || strings.Contains(text, "h~1\"") {
			t.Errorf("%s: a plain path is not as it is:\n%s", name, text)
		}
	}
	for _, doc := range []func(string) string{in, beside} {
		for _, c := range Diff(parse(t, doc("/y")), parse(t, doc(says))) {
			if strings.Contains(c.Text, says) && !strings.Contains(c.Text, says+"\"") {
				t.Errorf("the difference says %s", c.Text)
			}
		}
		for _, c := range Diff(parse(t, doc(says)), parse(t, doc("/y"))) {
			if strings.Contains(c.Text, says) && !strings.Contains(c.Text, says+"\"") {
				t.Errorf("the difference says %s", c.Text)
			}
		}
	}
}

// TestDescribeGolden: whole documents in words, as people see them.
func TestDescribeGolden(t *testing.T) {
	root := strings.Replace(image, "listen", "user: \"0:5\", listen", 1)
	plain := head + "files: {tmp: 1KiB}\negress: none\nlimits: {memory: 1MiB}\nplatforms: [tdx]\n" +
		"callers: [{name: any, certificate: {ca: " + hash("ca") + "}, may: [query], quota: {requests: 1/h}}]\n"
	three := image + "egress: {allow: [{host: a.example, port: 1}], connections: 1}\nplatforms: [tdx, sgx, nitro]\noperators: [{name: oncall, api_key: " + hash("op") + ", may: [restart, exec, shell, debug]}, {oidc: \"https://a.example\", audience: a, claim: {sub: eve}, expires: 2027-01-01T00:00:00Z, may: [debug, shell]}]\n"
	var text string
	bare := head + "callers:\n  - {oidc: \"https://a.example\", audience: a, may: [query], quota: {bytes: 1GiB/day}}\n"
	writable := head + "files: {writable: [{path: /a, size: 1MiB}]}\nlimits: {pids: 1}\n"
	for _, doc := range []string{whole, image, root, plain, three, models, head, bare, writable, full} {
		text += parse(t, doc).Describe() + "\n"
	}
	golden(t, "testdata/described.txt", []byte(text))
}

func TestMayDo(t *testing.T) {
	p := parse(t, whole)
	may, ok := p.MayDo("ci")
	c := &p.Callers[0]
	want := Permissions{
		Caller: "ci", Kind: "api_key", May: c.May, Methods: c.Methods, Paths: c.Paths, Models: c.Models, Rate: c.Rate, Quota: c.Quota,
		Expires: c.Expires, Request: 32 << 20, Line: 14, Cedar: may.Cedar, text: may.text,
	}
	if !ok || !reflect.DeepEqual(may, want) || len(may.Cedar) != 1 || !strings.HasPrefix(may.Cedar[0], "@id(\"night\")") {
		t.Errorf("got  %+v\nwant %+v", may, want)
	}
	for name, want := range map[string]string{
		"ci": "You are ci, by the API key with the hash " + hash(keyA) + ", and may query and upload, with POST, GET, the models minilm, on /v1/*, /v2/infer. " +
			"At most 60 requests per minute, 10000 requests per day and 1 GiB per day. Until 2027-01-01T00:00:00Z. A request may have 32 MiB. Cedar rules of the policy hold in addition. One that forbids is asked about a path decoded and without parameters too.",
		"anyone":       "You count as anyone, and may query, on /public/*. A request may have 32 MiB. Cedar rules of the policy hold in addition. One that forbids is asked about a path decoded and without parameters too.",
		"box-abababab": "You are box-abababab, another box on sev-snp that runs " + strings.Repeat("ab", 48) + " under the policy " + hash("policy") + ", and may observe. A request may have 32 MiB. Cedar rules of the policy hold in addition. One that forbids is asked about a path decoded and without parameters too.",
		"nobody":       "You may do nothing.",
		"":             "You may do nothing.",
	} {
		if may, ok := p.MayDo(name); may.String() != want || ok != (want != "You may do nothing.") {
			t.Errorf("%s:\ngot  %s\nwant %s", name, may, want)
		}
	}
	if may, _ := parse(t, full).MayDo("clinic"); len(may.Cedar) != 0 || strings.Contains(may.String(), "Cedar") {
		t.Errorf("without Cedar: %+v", may)
	}
	other := parse(t, cedarHeadWithOther+"  forbid(principal == Caller::\"other\", action, resource);\n")
	if may, _ := other.MayDo("clinic"); len(may.Cedar) != 0 {
		t.Errorf("a rule about another caller: %+v", may)
	}
}

// TestCedarThatPermits: what is said of a caller is not taken for all of it where a
// Cedar rule can permit more.
func TestCedarThatPermits(t *testing.T) {
	for _, c := range []struct {
		rules                      string
		clinic, summary, described bool
	}{
		{"permit(principal, action, resource);", true, true, true},
		{"permit(principal == Caller::\"clinic\", action == Action::\"upload\", resource);", true, true, true},
		{"permit(principal == Caller::\"other\", action, resource);", false, true, true},
		{"forbid(principal, action, resource);", false, false, false},
	} {
		p := parse(t, cedarHeadWithOther+"  "+c.rules+"\n")
		may, _ := p.MayDo("clinic")
		for what, got := range map[string]bool{
			"the caller is told":   strings.Contains(may.String(), "PERMIT MORE") == c.clinic,
			"a forbid is told of":  strings.Contains(may.String(), "One that forbids") == strings.HasPrefix(c.rules, "forbid"),
			"the summary says":     strings.Contains(p.Summary(), "MORE by Cedar") == c.summary,
			"the description does": strings.Contains(p.Describe(), "MAY DO MORE") == c.described,
		} {
			if !got {
				t.Errorf("%s: %s is wrong:\n%s\n%s\n%s", c.rules, what, may, p.Summary(), p.Describe())
			}
		}
	}
}

// TestDemands: every key of a document that somebody else has to enforce is
// demanded, once, with its line.
func TestDemands(t *testing.T) {
	say := func(doc string) string {
		var out []string
		for _, d := range parse(t, doc).Demands() {
			out = append(out, fmt.Sprintf("%s:%d", d.Section, d.Line))
		}
		return strings.Join(out, " ")
	}
	for doc, want := range map[string]string{
		whole: "app:4 app.image:4 app.user:10 app.isolation.gvisor:11 app.capabilities:12 " +
			"callers.api_key:14 callers.may.query:14 callers.may.upload:14 callers.expires:14 callers.rate:14 callers.quota:14 callers.methods:14 callers.paths:14 callers.models:14 " +
			"callers.certificate:25 callers.may.list:27 callers.oidc:28 callers.may.delete:28 callers.attested:29 callers.may.observe:29 callers.anyone:31 " +
			"cedar:32 cedar.model:33 egress:39 files.tmp:48 files.writable:49 " +
			"limits.memory:50 limits.pids:50 limits.cpu:50 limits.open_files:50 limits.request:50 limits.response:50 limits.concurrent:50 limits.time:50 limits.idle:50 " +
			"logs.sealed:51 operators.api_key:52 operators.restart:52 operators.debug:52 operators.expires:52 platforms:53",
		image:                          "logs.none:1 app:2 app.image:2 egress:2 limits.memory:2 limits.pids:2 limits.open_files:2",
		head:                           "logs.none:1 app:2",
		models + "logs: counters\n":    "models:3 logs.counters:5",
		models + "audit: host\n":       "logs.none:1 models:3 audit.host:5",
		head + "egress: none\n":        "logs.none:1 app:2 egress:3",
		models + "limits: {pids: 9}\n": "logs.none:1 models:3 limits.pids:5",
		cedarHeadWithOther + "  forbid(principal, action, resource) when { context.path == \"/\" };\n  forbid(principal, action, resource) unless { context.model == \"\" };\n": "logs.none:1 app:2 callers.api_key:4 callers.may.query:4 callers.anyone:7 cedar:8 cedar.model:10",
	} {
		if got := say(doc); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", doc, got, want)
		}
	}
	if d := (&Policy{}).Demands(); len(d) != 1 || d[0].Section != "logs.none" {
		t.Errorf("the zero Policy demands %v", d)
	}
}

func TestDescribe(t *testing.T) {
	p := parse(t, full)
	for _, want := range []string{
		"box whisper, policy sha256:", `It starts ["python3" "-m" "http.server" "8000"] and forwards requests to it on 127.0.0.1:8000.`,
		`The app's environment has DEBUG="0" LANG="C.UTF-8".`,
		"clinic, by the API key with the hash " + hash(keyA) + ", may query, on /v1/audio/*, /v1/models. (line 9)",
		"may observe and query, on every path. (line 13)",
		"ANYONE who reaches the box, with no key, may query, on /public/*. (line 14)",
		"A request may have 32 MiB; 64 are served at once; one without a byte for 1m30s is cut.",
		"The box counts requests by the kind of answer. It logs nothing else about them.",
		"NOT RESTRICTED, since the app is a plain process: where it may connect to, its files, memory and processes.",
	} {
		if !strings.Contains(p.Describe(), want) {
			t.Errorf("no line %q in\n%s", want, p.Describe())
		}
	}
	text := parse(t, models).Describe()
	for _, want := range []string{"Nobody may call it.", "It runs the model tumour (built in as tumour).", "It runs the model other (/models/other.onnx, " + hash("model") + ").", "The box logs nothing about requests."} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	observer := parse(t, head+"callers: [{anyone: true, may: [observe]}]\n").Describe()
	if !strings.Contains(observer, "may observe. (line 3)") {
		t.Errorf("an observer in\n%s", observer)
	}
}
