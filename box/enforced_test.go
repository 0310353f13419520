package box

import (
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/callers"
)

// TestEnforceable: nothing starts under a line that would do nothing.
func TestEnforceable(t *testing.T) {
	const app = "name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1}\n"
	hash := "sha256:" + strings.Repeat("ab", 32)
	for doc, want := range map[string]string{
		app: "",
		app + "callers:\n  - {api_key: " + hash + ", may: [query, observe], methods: [GET], paths: [/a]}\n  - {anyone: true, may: [query]}\n" +
			"cedar: |\n  forbid(principal, action, resource) when { context.path == \"/b\" };\n" +
			"limits: {request: 1MiB, concurrent: 2, idle: 1s}\nlogs: counters\n": "",
		"name: a\nmodels: [{name: m, builtin: m}]\nlogs: none\n": "",
		app + "callers:\n  - {oidc: \"https://a.example\", audience: a, claim: {b: c}, may: [query]}\n  - {certificate: {ca: " + hash + "}, may: [query]}\n" +
			"  - {anyone: true, may: [query], expires: 2027-01-01T00:00:00Z, rate: 1/s, quota: {requests: 1/s, bytes: 1B/s}, models: [m]}\n" +
			"cedar: |\n  forbid(principal, action, resource) when { context.model == \"b\" };\n" +
			"limits: {response: 1B, time: 1s}\n": "",

		app + "egress: none\n":               "egress (line 3)",
		app + "files: {tmp: 1MiB}\n":         "files.tmp (line 3)",
		app + "platforms: [sev-snp]\n":       "platforms (line 3)",
		app + "operators: {may: [shell]}\n":  "operators.shell (line 3)",
		app + "logs: sealed:age1qqqqqqqqq\n": "logs.sealed (line 3)",
		app + "limits: {memory: 1GiB, pids: 2, cpu: 1, open_files: 64, response: 1B, time: 1s}\n":                                        "limits.memory (line 3), limits.pids (line 3), limits.cpu (line 3), limits.open_files (line 3)",
		app + "callers: [{anyone: true, may: [upload, list]}]\n":                                                                         "callers.may.upload (line 3), callers.may.list (line 3)",
		app + "callers: [{attested: {kind: sgx, measurement: \"" + hash[7:] + "\", policy: " + hash + "}, may: [query]}]\n":              "callers.attested (line 3)",
		"name: a\napp: {image: oci:/x, digest: " + hash + ", listen: 80, user: \"1:1\", isolation: gvisor, capabilities: [CAP_CHOWN]}\n": "app.image (line 2), app.user (line 2), app.capabilities (line 2), app.isolation.gvisor (line 2), egress (line 2), limits.memory (line 2), limits.pids (line 2), limits.open_files (line 2)",
	} {
		_, err := New(Config{Policy: parsed(t, doc), Attester: signer{}, Listener: listen(t), Builtin: map[string][]byte{}, Identity: callers.NewClient()})
		got := ""
		if err != nil {
			got = err.Error()
		}
		switch {
		case want == "" && strings.Contains(got, "enforce"):
			t.Errorf("%s\nrefused: %s", doc, got)
		case want != "" && got != "box: the policy has "+want+", which this version does not enforce; nothing was started: take the lines out, or use a version that enforces them":
			t.Errorf("%s\ngot  %s\nwant %s", doc, got, want)
		}
	}
}

// TestNoWayToKeys: a policy with tokens does not start where their keys cannot be
// fetched.
func TestNoWayToKeys(t *testing.T) {
	p := parsed(t, "name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1}\ncallers: [{oidc: \"https://a.example\", audience: a, may: [query]}]\n")
	_, err := New(Config{Policy: p, Attester: signer{}, Listener: listen(t)})
	if err == nil || !strings.Contains(err.Error(), `caller "oidc-a.example" (line 3)`) {
		t.Errorf("got %v", err)
	}
}
