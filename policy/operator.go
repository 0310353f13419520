package policy

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Operation is what an operator may do to a running box. Each one is a way
// around the rest of the policy.
type Operation string

const (
	// OpRestart is to end the app and start it again.
	OpRestart Operation = "restart"
	// OpExec is to run a command beside the app, with the app's reach.
	OpExec Operation = "exec"
	// OpShell is an interactive shell beside the app, with the app's reach.
	OpShell Operation = "shell"
	// OpDebug is to read what the app prints and the list of its processes.
	OpDebug Operation = "debug"
)

// Operator is someone who may do something to a running box. Exactly one of
// APIKey, Certificate and OIDC is set, and each means what it means in a [Caller].
type Operator struct {
	// Name identifies the operator in records. It is no caller's name.
	Name        string
	APIKey      *[sha256.Size]byte
	Certificate *Certificate
	OIDC        *OIDC
	// Expires is when the operator is known no longer. The zero time means never.
	Expires time.Time
	// May is what the operator may do, never empty.
	May []Operation
	// Line is where the entry begins in the document.
	Line int
}

type operatorDoc struct {
	Pos         strictyaml.Pos        `one:"api_key certificate oidc"`
	Name        text                  `yaml:"name" form:"name" doc:"What records call the operator."`
	APIKey      text                  `yaml:"api_key" form:"digest" doc:"SHA-256 over the operator's API key, which is no caller's."`
	Certificate *certificateDoc       `yaml:"certificate" doc:"A TLS client certificate."`
	OIDC        text                  `yaml:"oidc" form:"url" doc:"A token of this identity provider, by its issuer URL."`
	Audience    text                  `yaml:"audience" form:"label" doc:"The audience that the token must have. Required with oidc."`
	Claim       map[string]text       `yaml:"claim" keys:"label" form:"label" doc:"Claims that the token must have, with exactly these values."`
	Expires     strictyaml.At[scalar] `yaml:"expires" form:"time" doc:"From when on the operator is known no longer."`
	May         []text                `yaml:"may,required" form:"operation" doc:"What the operator may do: each one is a way around the rest of the policy."`
}

// caller is how the operator is recognised, as a caller that may do nothing.
func (o *Operator) caller() *Caller {
	return &Caller{Name: o.Name, APIKey: o.APIKey, Certificate: o.Certificate, OIDC: o.OIDC, Expires: o.Expires, Line: o.Line}
}

// Kind says how the operator is recognised: see [Caller.Kind].
func (o *Operator) Kind() string { return o.caller().Kind() }

// Operator returns the operator of a name.
func (p *Policy) Operator(name string) (Operator, bool) {
	i := slices.IndexFunc(p.Operators, func(o Operator) bool { return o.Name == name })
	if i < 0 {
		return Operator{}, false
	}
	return p.Operators[i], true
}

// Operations returns everything that some operator may do, each once.
func (p *Policy) Operations() []Operation {
	return slices.DeleteFunc(Operations(), func(one Operation) bool {
		return !slices.ContainsFunc(p.Operators, func(o Operator) bool { return slices.Contains(o.May, one) })
	})
}

// ForOperators returns a policy whose callers are the operators of p, so that who
// knows the one knows the other in the same way. It permits nothing.
func (p *Policy) ForOperators() *Policy {
	out := &Policy{Name: p.Name, Limits: p.Limits}
	for i := range p.Operators {
		out.Callers = append(out.Callers, *p.Operators[i].caller())
	}
	return out
}

// operators reads who may do what. An operator is no caller: who holds the key of
// an app that calls must not get a shell by it.
func (b *builder) operators(d *document) {
	if d.Operators.Value == nil {
		return
	}
	names, ids := map[string]strictyaml.Pos{}, map[string]strictyaml.Pos{}
	for i, c := range b.policy.Callers {
		names[c.Name], ids[c.identity()] = d.Callers[i].Pos, d.Callers[i].Pos
	}
	for i, doc := range *d.Operators.Value {
		at := fmt.Sprintf("operators[%d]", i)
		as := callerDoc{
			Pos: doc.Pos, Name: doc.Name, APIKey: doc.APIKey, Certificate: doc.Certificate,
			OIDC: doc.OIDC, Audience: doc.Audience, Claim: doc.Claim,
		}
		c := Caller{Line: doc.Pos.Line, Expires: b.expires(doc.Expires, at)}
		b.identity(&c, &as, at)
		b.callerName(&c, &as, at, names)
		if id := c.identity(); id != "" {
			b.unique(ids, text{Value: id, Pos: doc.Pos}, at, "caller or operator")
		}
		b.policy.Operators = append(b.policy.Operators, Operator{
			Name: c.Name, APIKey: c.APIKey, Certificate: c.Certificate, OIDC: c.OIDC,
			Expires: c.Expires, May: values[Operation](doc.May), Line: c.Line,
		})
	}
}

func (d *demands) operators(p *Policy) {
	for i := range p.Operators {
		o := &p.Operators[i]
		d.add("operators."+o.Kind(), o.Line)
		for _, what := range o.May {
			d.add("operators."+string(what), o.Line)
		}
		if !o.Expires.IsZero() {
			d.add("operators.expires", o.Line)
		}
	}
}

// deed says what an operator does, behind "may".
func (o Operation) deed() string {
	switch o {
	case OpRestart:
		return "RESTART the app"
	case OpExec:
		return "RUN COMMANDS beside the app"
	case OpShell:
		return "OPEN A SHELL beside the app"
	case OpDebug:
		return "READ WHAT THE APP PRINTS"
	}
	return strings.ToUpper(string(o))
}

func deeds(may []Operation) string {
	all := make([]string, len(may))
	for i, o := range may {
		all[i] = o.deed()
	}
	return list(all)
}

// Warnings says in plain language what the operators can do to whom the policy
// else protects, a sentence each. nil means that nobody has a way in.
func (p *Policy) Warnings() []string {
	var out []string
	for _, kind := range []struct {
		what Operation
		text string
	}{
		{OpShell, "A SHELL EXISTS: %s can read and change everything that the app can, requests and answers included."},
		{OpExec, "COMMANDS CAN BE RUN: %s can read and change everything that the app can, requests and answers included."},
		{OpDebug, "WHAT THE APP PRINTS IS READ: %s can read it while the app runs, and see which programs run with it."},
		{OpRestart, "THE APP CAN BE RESTARTED: %s can end it at any time, and what it keeps in memory goes with it."},
	} {
		var who []string
		for _, o := range p.Operators {
			if slices.Contains(o.May, kind.what) {
				who = append(who, o.Name)
			}
		}
		if len(who) > 0 {
			out = append(out, fmt.Sprintf(kind.text, list(who)))
		}
	}
	return out
}

func (d *description) operators(p *Policy) {
	if len(p.Operators) == 0 {
		if p.App != nil {
			d.line("Operators have no way in: no shell, no command beside the app, no debugger.")
		}
		return
	}
	d.line("WHILE IT RUNS, OPERATORS HAVE A WAY AROUND THE REST OF THIS POLICY:")
	for i := range p.Operators {
		o := &p.Operators[i]
		until := ""
		if !o.Expires.IsZero() {
			until = " Until " + o.Expires.Format(time.RFC3339) + "."
		}
		d.line("    %s may %s.%s (line %d)", o.caller().who(), deeds(o.May), until, o.Line)
	}
	for _, warning := range p.Warnings() {
		d.line("    %s", warning)
	}
}

// operators compares who may do what. Whoever is recognised in the same way is the
// same operator.
func (d *differ) operators() {
	find := func(list []Operator, id string) (Operator, bool) {
		i := slices.IndexFunc(list, func(o Operator) bool { return o.caller().identity() == id })
		if i < 0 {
			return Operator{}, false
		}
		return list[i], true
	}
	for _, b := range d.b.Operators {
		a, _ := find(d.a.Operators, b.caller().identity())
		for _, what := range b.May {
			if !slices.Contains(a.May, what) {
				d.addAt("operators", a.Line, b.Line, true, false, "the operator %s may %s", b.Name, what.deed())
			}
		}
		if a.Line > 0 {
			d.operator(&a, &b)
		}
	}
	for _, a := range d.a.Operators {
		b, _ := find(d.b.Operators, a.caller().identity())
		for _, what := range a.May {
			if !slices.Contains(b.May, what) {
				d.addAt("operators", a.Line, b.Line, false, true, "the operator %s may %s no longer", a.Name, what.deed())
			}
		}
	}
	d.shadows(d.a.ForOperators().Callers, d.b.ForOperators().Callers, "operators")
}

// operator compares what is there besides for the same operator.
func (d *differ) operator(a, b *Operator) {
	if a.Name != b.Name {
		d.addAt("operators", a.Line, b.Line, false, false, "the operator %s is called %s", a.Name, b.Name)
	}
	if !a.Expires.Equal(b.Expires) {
		later := b.Expires.IsZero() || !a.Expires.IsZero() && b.Expires.After(a.Expires)
		d.addAt("operators", a.Line, b.Line, later, !later, "the operator %s expires %s instead of %s", b.Name, expiry(b.Expires), expiry(a.Expires))
	}
}

func (c *requirements) operators(accepted []Operation) {
	if accepted == nil {
		return
	}
	for _, o := range c.p.Operators {
		for _, what := range o.May {
			if !slices.Contains(accepted, what) {
				c.add("operators", o.Line, o.Name+" may "+string(what), only(words(accepted)))
			}
		}
	}
}
