package policy

import (
	"cmp"
	"slices"

	syntax "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Demand is a section that the document has and somebody has to enforce.
type Demand struct {
	// Section is its name: "app.image", "callers.oidc", "limits.memory".
	Section string
	// Line is where the document has it first. What holds because the document
	// says nothing has the line of what it comes with.
	Line int
}

// Demands lists what has to be enforced for this policy to mean what it says, in
// the order of lines, each section once. Who runs a box under the policy compares
// it with what it enforces, and starts nothing if a section is left over.
//
// [Policy.Decide] does its part of callers and cedar. Whoever asks it has to say
// who the caller is, and what action and model a request is for, which is what
// "callers.oidc", "callers.may.upload" and "callers.models" are about.
func (p *Policy) Demands() []Demand {
	var d demands
	d.app(p)
	for _, c := range p.Callers {
		d.caller(&c)
	}
	if p.compiled != nil {
		d.cedar(p)
	}
	d.limits(p)
	d.add("logs."+p.Logs.kind(), cmp.Or(p.Line("logs"), p.Line("name")))
	if p.Audit == AuditHost {
		d.add("audit.host", p.Line("audit"))
	}
	d.operators(p)
	if len(p.Platforms) > 0 {
		d.add("platforms", p.Line("platforms"))
	}
	slices.SortStableFunc(d, func(a, b Demand) int { return a.Line - b.Line })
	return d
}

type demands []Demand

// add adds a section unless it is there.
func (d *demands) add(section string, line int) {
	if !slices.ContainsFunc(*d, func(one Demand) bool { return one.Section == section }) {
		*d = append(*d, Demand{Section: section, Line: line})
	}
}

// given adds a section if the document has it.
func (d *demands) given(p *Policy, sections ...string) {
	for _, s := range sections {
		if line := p.Line(s); line > 0 {
			d.add(s, line)
		}
	}
}

func (d *demands) app(p *Policy) {
	if len(p.Models) > 0 {
		d.add("models", p.Models[0].Line)
	}
	for _, m := range p.Models {
		if m.Batch != nil {
			d.add("models.batch", m.Line)
		}
	}
	d.given(p, "store", "store.disk")
	if p.App == nil {
		return
	}
	d.add("app", p.Line("app"))
	d.given(p, "app.image", "app.user", "app.capabilities", "app.actions")
	if len(p.Services) > 0 {
		d.add("services", p.Services[0].Line)
	}
	if p.App.Isolation == IsolationGVisor {
		d.add("app.isolation.gvisor", p.Line("app.isolation"))
	}
}

func (d *demands) caller(c *Caller) {
	d.add("callers."+c.Kind(), c.Line)
	for _, a := range c.May {
		d.add("callers.may."+string(a), c.Line)
	}
	for _, limit := range []struct {
		section string
		there   bool
	}{
		{"expires", !c.Expires.IsZero()}, {"rate", c.Rate != nil}, {"quota", c.Quota != nil},
		{"methods", len(c.Methods) > 0}, {"paths", len(c.Paths) > 0}, {"models", len(c.Models) > 0},
	} {
		if limit.there {
			d.add("callers."+limit.section, c.Line)
		}
	}
}

// cedar adds what the Cedar policies of the document ask about.
func (d *demands) cedar(p *Policy) {
	d.given(p, "cedar")
	for _, r := range p.compiled.rules[p.compiled.short:] {
		for _, c := range r.policy.AST().Conditions {
			syntax.Inspect(syntax.NewNode(c.Body), func(n syntax.IsNode) bool {
				if a, _ := n.(syntax.NodeTypeAccess); a.Value == "model" {
					d.add("cedar.model", r.line)
				}
				return true
			})
		}
	}
}

func (d *demands) limits(p *Policy) {
	image := p.App != nil && p.App.Image != ""
	if p.Egress.Line > 0 || image {
		d.add("egress", cmp.Or(p.Egress.Line, p.Line("app.image")))
	}
	d.given(p, "files.tmp", "files.writable")
	d.given(p, "limits.memory", "limits.pids", "limits.cpu", "limits.open_files", "limits.request",
		"limits.response", "limits.concurrent", "limits.time", "limits.idle")
	if image {
		for _, always := range []string{"limits.memory", "limits.pids", "limits.open_files"} {
			d.add(always, p.Line("app.image"))
		}
	}
}

// kind is the word before the recipient.
func (l Logs) kind() string {
	if _, ok := l.Recipient(); ok {
		return "sealed"
	}
	return string(cmp.Or(l, LogsNone))
}
