package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Require is what a relying party asks of a box's policy before it sends
// anything. A list that is nil asks nothing; a list that is empty but not nil
// accepts nothing, so that "egress: none" is an empty list.
type Require struct {
	// Callers are who may call at most, each by its kind ("oidc"), or by its kind
	// and what it is recognised by: "oidc:https://login.hospital.example",
	// "api_key:sha256:77be..", "certificate:sha256:CA",
	// "certificate:spiffe://clinic.example/app", "attested:sha256:POLICY".
	Callers []string
	// Egress is where the app may connect to at most: host:port as in the box's
	// policy, an IPv6 address in brackets.
	Egress []string
	// Logs are the kinds of log that are accepted: "none", "counters", "sealed",
	// or "sealed:" and the only recipient.
	Logs []string
	// Images and Models are SHA-256 over the image manifests and the models that
	// may run. A box that runs something else, or says no digest, is refused.
	Images, Models [][sha256.Size]byte
	// Operators is what an operator may do at most.
	Operators []Operation
	// Isolation is what may run the app; [IsolationNone] is a plain process.
	Isolation []Isolation
	// Request is the most bytes that a request may have, and Concurrent how many
	// may be served at once; 0 asks nothing.
	Request    int64
	Concurrent int
}

// Violation is one requirement that a policy does not meet.
type Violation struct {
	// Requirement is the name: "egress", "callers".
	Requirement string
	// Line is the line of the box's policy that is too much, 0 if what is missing
	// is a line.
	Line int
	// Seen is what the policy says, Expected what is accepted.
	Seen, Expected string
}

// String returns "egress: line 12: a.example:443, expected none".
func (v Violation) String() string {
	at := "no line"
	if v.Line > 0 {
		at = "line " + strconv.Itoa(v.Line)
	}
	return fmt.Sprintf("%s: %s: %s, expected %s", v.Requirement, at, v.Seen, v.Expected)
}

// Check returns everything in a policy that is more than is accepted. nil means
// that the policy meets all requirements.
func (r *Require) Check(p *Policy) []Violation {
	c := requirements{p: p}
	c.callers(r.Callers)
	c.egress(r.Egress)
	c.logs(r.Logs)
	c.code(r)
	c.operators(r.Operators)
	if r.Request != 0 && p.Limits.Request > r.Request {
		c.add("request", p.Line("limits.request"), formatSize(p.Limits.Request), "at most "+formatSize(r.Request))
	}
	if r.Concurrent != 0 && p.Limits.Concurrent > r.Concurrent {
		c.add("concurrent", p.Line("limits.concurrent"), strconv.Itoa(p.Limits.Concurrent), "at most "+strconv.Itoa(r.Concurrent))
	}
	return c.out
}

type requirements struct {
	p   *Policy
	out []Violation
}

func (c *requirements) add(name string, line int, seen, expected string) {
	c.out = append(c.out, Violation{Requirement: name, Line: line, Seen: seen, Expected: expected})
}

// only says a list of what is accepted.
func only(accepted []string) string {
	if len(accepted) == 0 {
		return "none"
	}
	return "only " + strings.Join(accepted, ", ")
}

func (c *requirements) callers(accepted []string) {
	if accepted == nil {
		return
	}
	for _, caller := range c.p.Callers {
		if !slices.ContainsFunc(caller.references(), func(s string) bool { return slices.Contains(accepted, s) }) {
			c.add("callers", caller.Line, caller.Name+" ("+caller.Kind()+")", only(accepted))
		}
	}
}

// references are the words by which a relying party can mean a caller.
func (c *Caller) references() []string {
	with := func(parts ...string) []string {
		out := []string{c.Kind()}
		for _, s := range parts {
			out = append(out, c.Kind()+":"+s)
		}
		return out
	}
	digest := func(sum [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }
	switch {
	case c.APIKey != nil:
		return with(digest(*c.APIKey))
	case c.Certificate != nil && c.Certificate.SPIFFE != "":
		return with(digest(c.Certificate.CA), c.Certificate.SPIFFE)
	case c.Certificate != nil:
		return with(digest(c.Certificate.CA))
	case c.OIDC != nil:
		return with(c.OIDC.Issuer)
	case c.Attested != nil:
		return with(digest(c.Attested.Policy))
	}
	return with()
}

func (c *requirements) egress(accepted []string) {
	switch {
	case accepted == nil:
		return
	case c.p.EgressUnrestricted():
		c.add("egress", 0, "not restricted", only(accepted))
		return
	}
	for _, to := range c.p.Egress.Allow {
		if !slices.Contains(accepted, to.String()) {
			c.add("egress", to.Line, to.String(), only(accepted))
		}
	}
}

func (c *requirements) logs(accepted []string) {
	kind := c.p.Logs.kind()
	said := string(cmp.Or(c.p.Logs, LogsNone))
	if accepted == nil || slices.Contains(accepted, kind) || slices.Contains(accepted, said) {
		return
	}
	c.add("logs", c.p.Line("logs"), said, only(accepted))
}

// code compares what runs.
func (c *requirements) code(r *Require) {
	if a := c.p.App; a != nil {
		c.app(a, r)
	}
	for _, m := range c.p.Models {
		switch {
		case r.Models == nil && r.Images == nil || slices.Contains(r.Models, m.SHA256) && m.SHA256 != [sha256.Size]byte{}:
		case m.SHA256 == [sha256.Size]byte{}:
			c.add("models", m.Line, m.Name+" without a digest", only(digests(r.Models)))
		default:
			c.add("models", m.Line, m.Name+" sha256:"+hex.EncodeToString(m.SHA256[:]), only(digests(r.Models)))
		}
	}
	if c.p.App == nil && len(c.p.Models) == 0 {
		c.add("models", 0, "nothing that runs", "an app or models")
	}
}

func (c *requirements) app(a *App, r *Require) {
	switch {
	case r.Images == nil && r.Models == nil || slices.Contains(r.Images, a.Digest) && a.Digest != [sha256.Size]byte{}:
	case a.Image == "":
		c.add("images", c.p.Line("app"), "an app without an image", only(digests(r.Images)))
	default:
		c.add("images", c.p.Line("app.image"), a.Image+" sha256:"+hex.EncodeToString(a.Digest[:]), only(digests(r.Images)))
	}
	if r.Isolation != nil && !slices.Contains(r.Isolation, a.Isolation) {
		seen := string(a.Isolation)
		if seen == "" {
			seen = "a plain process"
		}
		c.add("isolation", c.p.Line("app"), seen, only(words(r.Isolation)))
	}
}

func digests(list [][sha256.Size]byte) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = "sha256:" + hex.EncodeToString(d[:])
	}
	return out
}

func (c *requirements) operators(accepted []Operation) {
	if accepted == nil {
		return
	}
	for _, o := range c.p.Operators {
		if !slices.Contains(accepted, o) {
			c.add("operators", c.p.Line("operators"), string(o), only(words(accepted)))
		}
	}
}
