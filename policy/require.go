package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Require is what a relying party asks of a box's policy before it sends
// anything. A list that is nil asks nothing; a list that is empty but not nil
// accepts nothing, so that "egress: none" is an empty list.
type Require struct {
	// Callers are who may call at most, each by its kind ("oidc"), or by its kind
	// and what it is recognised by: "oidc:https://login.hospital.example",
	// "api_key:sha256:77be..", "certificate:sha256:CA". A SPIFFE id alone would be
	// that of any authority, and another box's policy alone that of any code: these
	// are no references, and accept nobody.
	Callers []string
	// Egress is where the app may connect to at most, as [Destination.Reference]
	// names it: "api.stripe.com:443", "db.internal:5432 private". What asks more of
	// the connection is accepted too.
	Egress []string
	// Logs are the kinds of log that are accepted: "none", "counters", "sealed",
	// or "sealed:" and the only recipient. That the host keeps the audit log is
	// accepted with the word [LogsAudit] beside one of them.
	Logs []string
	// Images and Models are SHA-256 over the image manifests and the models that
	// may run. A box that runs something else, or says no digest, is refused.
	// An image runs as it was built: a policy that gives it a command, variables, a
	// directory, a user or capabilities makes another program of it, and is refused
	// unless Command and Env accept it.
	Images, Models [][sha256.Size]byte
	// Command is what may take the place of an image's own command, nil for
	// nothing, and Services those of services, by name. Env are the variables that
	// may be added to any image, by name.
	Command  []string
	Services map[string][]string
	Env      map[string]string
	// Operators is what an operator may do at most.
	Operators []Operation
	// Isolation is what may run the app; [IsolationNone] is a plain process.
	Isolation []Isolation
	// Request is the most bytes that a request may have, and Concurrent how many
	// may be served at once; 0 asks nothing.
	Request    int64
	Concurrent int
}

// LogsAudit in [Require.Logs] accepts "audit: host".
const LogsAudit = "audit"

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
			kind := caller.Kind()
			if caller.simulated() {
				kind += ", simulated"
			}
			c.add("callers", caller.Line, caller.Name+" ("+kind+")", only(accepted))
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
	case c.Certificate != nil:
		return with(digest(c.Certificate.CA))
	case c.OIDC != nil:
		return with(c.OIDC.Issuer)
	case c.simulated():
		// It shows nothing that hardware vouches for. Who accepts that accepts any
		// caller.
		return nil
	}
	return with()
}

func (c *requirements) egress(accepted []string) {
	switch {
	case accepted == nil:
		return
	case c.p.EgressUnrestricted():
		c.add("egress", 0, "not restricted, the app is a plain process", only(accepted))
		return
	}
	for _, to := range c.p.Egress.Allow {
		if !slices.ContainsFunc(to.references(), func(s string) bool { return slices.Contains(accepted, s) }) {
			c.add("egress", to.Line, to.Reference(), only(accepted))
		}
	}
}

// Reference is how a requirement names a destination: "api.stripe.com:443", and
// behind it what is not the default, such as "any" or "private". An address is
// private or not by itself, so that nothing is said of it.
func (d Destination) Reference() string {
	return d.reference(d.TLS, d.Private)
}

func (d Destination) reference(asks TLS, private bool) string {
	text := d.String()
	_, isAddr := address(d.Host)
	if asks != defaultTLS(d.Host, d.Port) {
		text += " " + string(asks)
	}
	if private && !isAddr {
		text += " private"
	}
	return text
}

// references are all that a destination is no more than: those that ask as much of
// the connection or less, and those that allow a private address.
func (d Destination) references() []string {
	var out []string
	for _, asks := range []TLS{TLSAny, TLSPass, TLSVerify} {
		out = append(out, d.reference(asks, true))
		if !d.Private {
			out = append(out, d.reference(asks, false))
		}
		if asks == d.TLS {
			return out
		}
	}
	return nil
}

func (c *requirements) logs(accepted []string) {
	if accepted != nil && c.p.Audit == AuditHost && !slices.Contains(accepted, LogsAudit) {
		c.add("logs", c.p.Line("audit"), "audit: host", only(accepted))
	}
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
	c.services(r)
	for _, m := range c.p.Models {
		switch {
		case r.Models == nil && r.Images == nil || slices.Contains(r.Models, m.SHA256) && m.SHA256 != [sha256.Size]byte{}:
		case m.SHA256 == [sha256.Size]byte{}:
			c.add("models", m.Line, m.Name+" without a digest", only(digests(r.Models)))
		default:
			c.add("models", m.Line, m.Name+" sha256:"+hex.EncodeToString(m.SHA256[:]), only(digests(r.Models)))
		}
	}
	if s := c.p.Store; s != nil && (r.Models != nil || r.Images != nil) {
		c.add("models", s.Line, "any that callers bring", only(digests(r.Models)))
	}
	if c.p.App == nil && len(c.p.Models) == 0 && c.p.Store == nil {
		c.add("models", 0, "nothing that runs", "an app or models")
	}
}

func (c *requirements) app(a *App, r *Require) {
	switch {
	case r.Images == nil && r.Models == nil:
	case slices.Contains(r.Images, a.Digest) && a.Digest != [sha256.Size]byte{}:
		c.asBuilt("app", a, r.Command, r.Env)
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

// services compares what runs beside the app. It is code as the app is: what the
// app is told by a database, it believes.
func (c *requirements) services(r *Require) {
	if r.Images == nil && r.Models == nil {
		return
	}
	for i := range c.p.Services {
		s := &c.p.Services[i]
		if !slices.Contains(r.Images, s.Digest) || s.Digest == [sha256.Size]byte{} {
			c.add("images", s.Line, "the service "+s.Name+", "+s.Image+" sha256:"+hex.EncodeToString(s.Digest[:]), only(digests(r.Images)))
			continue
		}
		as := App{Command: s.Command, Env: s.Env, Dir: s.Dir, User: s.User, Capabilities: s.Capabilities}
		c.asBuilt("services["+strconv.Itoa(i)+"]", &as, r.Services[s.Name], r.Env)
	}
}

// asBuilt finds what makes another program of the same image: a shell instead of
// its command, a library that LD_PRELOAD names.
func (c *requirements) asBuilt(at string, a *App, command []string, env map[string]string) {
	changed := func(key, seen, expected string) { c.add("images", c.p.Line(at+"."+key), seen, expected) }
	const own = "the image's own"
	if len(a.Command) > 0 && !slices.Equal(a.Command, command) {
		expected := own
		if len(command) > 0 {
			expected += ", or " + commandText(command)
		}
		changed("command", "the command "+commandText(a.Command), expected)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		switch value, accepted := env[name]; {
		case !accepted:
			changed("env."+name, "the variable "+name+"="+strictyaml.Quote(a.Env[name]), own)
		case value != a.Env[name]:
			changed("env."+name, "the variable "+name+"="+strictyaml.Quote(a.Env[name]), own+", or "+strictyaml.Quote(value))
		}
	}
	if a.Dir != "" {
		changed("dir", "the directory "+strictyaml.Quote(a.Dir), own)
	}
	if a.User != nil {
		changed("user", fmt.Sprintf("the user %d:%d", a.User.UID, a.User.GID), own)
	}
	if len(a.Capabilities) > 0 {
		changed("capabilities", "capabilities "+strings.Join(a.Capabilities, ", "), "none")
	}
}

// commandText is short: a hostile policy has as many arguments as it likes.
func commandText(command []string) string {
	const most = 4
	var parts []string
	for _, s := range command[:min(len(command), most)] {
		parts = append(parts, strictyaml.Quote(s))
	}
	if more := len(command) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func digests(list [][sha256.Size]byte) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = "sha256:" + hex.EncodeToString(d[:])
	}
	return out
}
