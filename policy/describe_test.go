package policy

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for doc, want := range map[string]string{
		full:   "callers: ANYONE, 2 api keys · logs: counters · request <= 32 MiB · 64 at once · egress: not restricted by this version",
		models: "callers: nobody · logs: none · request <= 1 MiB · 16 at once · egress: not restricted by this version",
		head + "callers: [{api_key: " + hash(keyA) + ", may: [query]}]\nlimits: {request: 1000B}\n": "callers: 1 api key · logs: none · request <= 1000 B · 16 at once · egress: not restricted by this version",
		head + "callers: [{anyone: true, may: [query]}]\n":                                          "callers: ANYONE · logs: none · request <= 1 MiB · 16 at once · egress: not restricted by this version",
	} {
		if got := parse(t, doc).Summary(); got != want {
			t.Errorf("\ngot  %s\nwant %s", got, want)
		}
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
		"Not restricted by this version: where the app may connect to, its files, memory and processes.",
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
