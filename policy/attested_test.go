package policy

import (
	"fmt"
	"strings"
	"testing"
)

// boxLine is a caller that is another box.
func boxLine(name, kind, more string) string {
	return fmt.Sprintf("  - {name: %s, attested: {kind: %s, measurement: %q, policy: %s%s}, may: [query]}\n", name, kind, strings.Repeat("ab", 48), hash("p"), more)
}

// TestSimulatedCaller: a box that no hardware protects is a caller only where its
// line says so and whose word it is, and both are told loudly.
func TestSimulatedCaller(t *testing.T) {
	root := ", simulated_root: " + hash("root")
	p, err := Parse([]byte(head + "callers:\n" + boxLine("sim", "sim-sev-snp", root) + boxLine("real", "sev-snp", "")))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("sha256:%x", p.Callers[0].Attested.SimulatedRoot); got != hash("root") {
		t.Errorf("root %s", got)
	}
	if p.Callers[1].Attested.SimulatedRoot != [32]byte{} {
		t.Error("hardware has a simulated root")
	}
	if s := p.Summary(); !strings.HasPrefix(s, "callers: 1 attested box, 1 SIMULATED box · ") {
		t.Error(s)
	}
	text := p.Describe()
	for _, want := range []string{
		"sim, A SIMULATED BOX, WHICH NO HARDWARE PROTECTS, that claims to run " + strings.Repeat("ab", 48) + " under the policy " + hash("p") + ", on the word of whoever has the simulated root " + hash("root") + ", may query",
		"real, another box on sev-snp that runs " + strings.Repeat("ab", 48) + " under the policy " + hash("p") + ", may query",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nlacks %s", text, want)
		}
	}
	got := (&Require{Callers: []string{"api_key", "certificate", "oidc", "attested"}}).Check(p)
	if len(got) != 1 || got[0].Seen != "sim (attested, simulated)" || got[0].Line != p.Callers[0].Line {
		t.Errorf("what a relying party is told who wants callers that show who they are: %+v", got)
	}
	me, _ := p.MayDo("sim")
	if !strings.Contains(me.String(), "A SIMULATED BOX") {
		t.Error(me.String())
	}
}

func TestSimulatedCallerRefused(t *testing.T) {
	for name, tc := range map[string]struct{ line, want string }{
		"no root":           {boxLine("a", "sim-sev-snp", ""), "callers[0].attested.simulated_root: missing"},
		"a root of zeros":   {boxLine("a", "sim-sev-snp", ", simulated_root: sha256:"+strings.Repeat("0", 64)), "seen all zeros, expected the fingerprint of a simulated root"},
		"hardware's root":   {boxLine("a", "sev-snp", ", simulated_root: "+hash("root")), "seen simulated_root, expected none with sev-snp"},
		"no form of a root": {boxLine("a", "sim-sev-snp", ", simulated_root: any"), "callers[0].attested.simulated_root"},
		"the same twice":    {boxLine("a", "sim-sev-snp", ", simulated_root: "+hash("r")) + boxLine("b", "sim-sev-snp", ", simulated_root: "+hash("r")), "the same caller as at"},
	} {
		if p, err := Parse([]byte(head + "callers:\n" + tc.line)); err == nil || p != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := boxLine("a", "sim-sev-snp", ", simulated_root: "+hash("r")) + boxLine("b", "sim-sev-snp", ", simulated_root: "+hash("s"))
	if _, err := Parse([]byte(head + "callers:\n" + two)); err != nil {
		t.Errorf("two roots are two callers: %v", err)
	}
}
