package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBatch: whoever reads a policy sees that requests of several callers share runs.
func TestBatch(t *testing.T) {
	p := parse(t, "name: a\nmodels:\n  - {name: m, builtin: m, batch: {rows: 8, wait: 2ms}}\n  - {name: two, builtin: two, batch: {rows: 64}}\n  - {name: three, builtin: three}\n")
	if m := p.Models; *m[0].Batch != (Batch{8, 2 * time.Millisecond}) || *m[1].Batch != (Batch{Rows: 64}) || m[2].Batch != nil {
		t.Errorf("%v %v %v", m[0].Batch, m[1].Batch, m[2].Batch)
	}
	for _, want := range []string{
		"Requests of several callers for m share runs of up to 8 rows, for which a request waits up to 2ms (line 3).",
		"Requests of several callers for two share runs of up to 64 rows (line 4).",
	} {
		if text := p.Describe(); !strings.Contains(text, want) || strings.Contains(text, "callers for three") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !slices.ContainsFunc(p.Demands(), func(d Demand) bool { return d.Section == "models.batch" && d.Line == 3 }) {
		t.Errorf("%v: nobody has to enforce it", p.Demands())
	}
	if slices.ContainsFunc(parse(t, models).Demands(), func(d Demand) bool { return d.Section == "models.batch" }) {
		t.Error("it is demanded of a policy without it")
	}
}
