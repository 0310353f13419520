package box

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/callers"
)

// TestEnforceable: nothing starts under a line that would do nothing.
func TestEnforceable(t *testing.T) {
	const app = "name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1}\n"
	hash := "sha256:" + strings.Repeat("ab", 32)
	image := "name: a\napp: {image: oci:/x, digest: " + hash + ", listen: 80"
	for doc, want := range map[string]string{
		app: "",
		app + "callers:\n  - {api_key: " + hash + ", may: [query, observe], methods: [GET], paths: [/a]}\n  - {anyone: true, may: [query]}\n" +
			"cedar: |\n  forbid(principal, action, resource) when { context.path == \"/b\" };\n" +
			"limits: {request: 1MiB, concurrent: 2, idle: 1s}\nlogs: counters\n": "",
		"name: a\nmodels: [{name: m, builtin: m}]\nlogs: none\n":                             "",
		"name: a\nmodels: [{name: m, builtin: m}]\negress: none\nplatforms: [sim-sev-snp]\n": "",
		image + ", isolation: gvisor, user: \"1:1\", capabilities: [CAP_CHOWN]}\negress: {allow: [{host: a.example, port: 1}]}\n" +
			"files: {tmp: 1MiB, writable: [{path: /a, size: 1MiB}]}\nlimits: {memory: 1GiB, pids: 2, cpu: 1, open_files: 64}\n": "",
		app + "callers:\n  - {oidc: \"https://a.example\", audience: a, claim: {b: c}, may: [query]}\n  - {certificate: {ca: " + hash + "}, may: [query]}\n" +
			"  - {anyone: true, may: [query], expires: 2027-01-01T00:00:00Z, rate: 1/s, quota: {requests: 1/s, bytes: 1B/s}, models: [m]}\n" +
			"cedar: |\n  forbid(principal, action, resource) when { context.model == \"b\" };\n" +
			"limits: {response: 1B, time: 1s}\n": "",

		"name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1, actions: [{path: /up, is: upload}, {path: /list, is: list}]}\ncallers: [{anyone: true, may: [query, upload, list]}]\n": "",

		app + "egress: none\n":       "egress (line 3)",
		app + "files: {tmp: 1MiB}\n": "files.tmp (line 3)",
		"name: a\nmodels: [{name: m, builtin: m}]\nlimits: {memory: 1GiB}\nfiles: {tmp: 1MiB}\n": "limits.memory (line 3), files.tmp (line 4)",
		app + "operators: [{api_key: " + hash + ", may: [shell, exec]}]\n":                       "operators.shell (line 3), operators.exec (line 3)",
		app + "operators: [{api_key: " + hash + ", may: [restart, debug], expires: 2027-01-01T00:00:00Z}, {certificate: {ca: " + hash + "}, may: [debug]}, {oidc: \"https://a.example\", audience: a, may: [debug]}]\n": "",
		image + "}\noperators: [{api_key: " + hash + ", may: [restart, exec, shell, debug]}]\n":                                                                                                                         "",
		"name: a\nmodels: [{name: m, builtin: m}]\noperators: [{api_key: " + hash + ", may: [restart, debug, exec, shell]}]\n":                                                                                          "operators.restart (line 3), operators.debug (line 3), operators.exec (line 3), operators.shell (line 3)",
		app + "logs: sealed:age1qqqqqqqqq\n":                                                                       "",
		app + "limits: {memory: 1GiB, pids: 2, cpu: 1, open_files: 64, response: 1B, time: 1s}\n":                  "limits.memory (line 3), limits.pids (line 3), limits.cpu (line 3), limits.open_files (line 3)",
		image + ", isolation: gvisor}\noperators: [{api_key: " + hash + ", may: [restart, exec, shell, debug]}]\n": "operators.exec (line 3), operators.shell (line 3)",
		app + "callers: [{anyone: true, may: [upload, list]}]\n":                                                   "callers.may.upload (line 3: no line of app.actions says which requests that is), callers.may.list (line 3: no line of app.actions says which requests that is)",
		"name: a\nmodels: [{name: m, builtin: m}]\ncallers: [{anyone: true, may: [list, delete]}]\n":               "callers.may.delete (line 3: models are those of the policy, and there is no address for it)",
	} {
		_, err := New(Config{Simulation: true, Policy: parsed(t, doc), Attester: signer{}, Listener: listen(t), Builtin: map[string][]byte{}, Identity: callers.NewClient()})
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
	_, err := New(Config{Simulation: true, Policy: p, Attester: signer{}, Listener: listen(t)})
	if err == nil || !strings.Contains(err.Error(), `caller "oidc-a.example" (line 3)`) {
		t.Errorf("got %v", err)
	}
}

// TestPlatform: a box starts on hardware that the policy names, without names on any
// that is real, and on no other; on simulated hardware where that is meant.
func TestPlatform(t *testing.T) {
	const doc = "name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1}\n"
	const real = "box: this is sim-sev-snp, which is simulated, expected real hardware: the policy does not name it under platforms; nothing was started"
	other := func(k attest.Kind, list string) string {
		return fmt.Sprintf("box: this is %s, and the policy has platforms %s (line 3); nothing was started", k, list)
	}
	for _, c := range []struct {
		kind       attest.Kind
		simulation bool
		more, want string
	}{
		{attest.SimSNP, false, "", real},
		{attest.SimSNP, false, "platforms: [tdx, sim-sev-snp]\n", ""},
		{attest.SimSNP, false, "platforms: [sev-snp, tdx]\n", other(attest.SimSNP, "sev-snp, tdx")},
		{attest.SimSNP, false, "platforms: [tdx]\nfiles: {tmp: 1B}\n", "take the lines out, or use a version that enforces them\n" + other(attest.SimSNP, "tdx")},
		{attest.SimSNP, true, "", ""},
		{attest.SimSNP, true, "platforms: [tdx]\n", ""},
		{attest.SNP, false, "", ""},
		{attest.SNP, false, "platforms: [sev-snp]\n", ""},
		{attest.SNP, false, "platforms: [tdx, sim-sev-snp]\n", other(attest.SNP, "tdx, sim-sev-snp")},
		{attest.SNP, true, "platforms: [tdx, sim-sev-snp]\n", other(attest.SNP, "tdx, sim-sev-snp")},
	} {
		_, err := New(Config{Policy: parsed(t, doc+c.more), Attester: ofKind{kind: c.kind}, Simulation: c.simulation, Listener: listen(t)})
		if got := fmt.Sprint(err); c.want == "" && err != nil || c.want != "" && !strings.HasSuffix(got, c.want) {
			t.Errorf("%s, meant to be simulated %t, %q: got %v, expected %s", c.kind, c.simulation, c.more, err, c.want)
		}
	}
}

// ofKind is hardware of that kind.
type ofKind struct {
	signer
	kind attest.Kind
}

func (o ofKind) Kind() attest.Kind { return o.kind }

// TestContainersMissing: a policy with an image needs a place to run it.
func TestContainersMissing(t *testing.T) {
	p := parsed(t, "name: a\napp: {image: oci:/x, digest: \"sha256:"+strings.Repeat("ab", 32)+"\", listen: 80}\n")
	for want, c := range map[string]*Containers{"no place to run one": nil, "no runc": {Images: "/", Dir: "/x"}} {
		_, err := New(Config{Simulation: true, Policy: p, Attester: signer{}, Listener: listen(t), Containers: c})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected %s", err, want)
		}
	}
	p = parsed(t, "name: a\napp: {image: oci:/x, digest: \"sha256:"+strings.Repeat("ab", 32)+"\", listen: 80, isolation: gvisor}\n")
	_, err := New(Config{Simulation: true, Policy: p, Attester: signer{}, Listener: listen(t), Containers: &Containers{Images: "/", Dir: "/x", Runtime: "/bin/runc"}})
	if err == nil || !strings.Contains(err.Error(), "isolation: gvisor (line 2), and there is no runsc on this machine; nothing was started: install") {
		t.Errorf("got %v, expected that there is no runsc", err)
	}
}

// TestMachineEnforcesLess: what a machine cannot enforce keeps the box from
// starting, unless somebody is there to be told.
func TestMachineEnforcesLess(t *testing.T) {
	lines := []string{"limits.cpu 2: no cpu", "limits.pids 5: no pids"}
	c := &Containers{}
	if err := c.accept(nil); err != nil {
		t.Error(err)
	}
	if err := c.accept(lines); err == nil || !strings.Contains(err.Error(), lines[0]+"; "+lines[1]) {
		t.Errorf("got %v", err)
	}
	var told []string
	c.Unenforced = func(line string) { told = append(told, line) }
	if err := c.accept(lines); err != nil || !slices.Equal(told, lines) {
		t.Errorf("got %v, told %q", err, told)
	}
}
