package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Describe returns what the policy means in plain language, some lines of text
// that end in a newline. It leaves out nothing that the document says, and says
// so where it leaves something open.
func (p *Policy) Describe() string {
	var d description
	d.line("box %s, policy sha256:%s", p.Name, hex.EncodeToString(p.digest[:]))
	d.work(p)
	d.services(p)
	d.callers(p)
	d.cedar(p)
	d.egress(p)
	d.files(p)
	d.limits(p)
	d.logs(p)
	d.operators(p)
	d.open(p)
	return d.String()
}

type description struct{ strings.Builder }

func (d *description) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *description) work(p *Policy) {
	if p.App != nil {
		d.app(p.App)
	}
	for _, m := range p.Models {
		source := shownPath(m.Path)
		if m.Builtin != "" {
			source = "built in as " + m.Builtin
		}
		if m.SHA256 != ([32]byte{}) {
			source += ", sha256:" + hex.EncodeToString(m.SHA256[:])
		}
		d.line("It runs the model %s (%s).", m.Name, source)
		if m.Batch != nil {
			d.line("Requests of several callers for %s share %v (line %d).", m.Name, m.Batch, m.Line)
		}
	}
	d.store(p)
	if len(p.Platforms) > 0 {
		d.line("It may run on %s only.", either(p.Platforms))
	}
}

// shownPath writes a path so that it ends where it ends: one can be a sentence that says
// the contrary of what follows.
func shownPath(path string) string {
	isPlain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/._-+@:~", c)
	}
	if strings.ContainsFunc(path, func(c rune) bool { return !isPlain(c) }) {
		return fmt.Sprintf("%q", path)
	}
	return path
}

func (d *description) app(a *App) {
	switch {
	case a.Image == "":
		d.line("It starts %q and forwards requests to it on %s.", a.Command, shownPath(a.Listen))
	default:
		d.line("It runs the image %s with the digest sha256:%s, isolated by %s, and forwards requests to it on %s.", a.Image, hex.EncodeToString(a.Digest[:]), a.Isolation, shownPath(a.Listen))
	}
	if a.Image != "" && a.Command != nil {
		d.line("The image's own command is replaced by %q.", a.Command)
	}
	if a.Dir != "" {
		d.line("It starts in %s.", shownPath(a.Dir))
	}
	if len(a.Env) > 0 {
		d.line("The app's environment has %s.", strings.Join(sorted(a.Env), " "))
	}
	switch {
	case a.User != nil && a.User.UID == 0:
		d.line("The app runs as ROOT inside its isolation, group %d.", a.User.GID)
	case a.User != nil:
		d.line("The app runs as user %d, group %d.", a.User.UID, a.User.GID)
	}
	for i := range a.Actions {
		r := &a.Actions[i]
		d.line("The request %s is the action %s (line %d).", r, r.Is, r.Line)
	}
	if len(a.Capabilities) > 0 {
		d.line("The app HAS THE LINUX CAPABILITIES %s.", list(a.Capabilities))
	}
}

func (d *description) callers(p *Policy) {
	if len(p.Callers) == 0 {
		d.line("Nobody may call it.")
	}
	for _, c := range p.Callers {
		d.line("%s (line %d)", c.sentence(), c.Line)
	}
}

// who says how a caller is recognised.
func (c *Caller) who() string {
	switch {
	case c.APIKey != nil:
		return fmt.Sprintf("%s, by the API key with the hash sha256:%s,", c.Name, hex.EncodeToString(c.APIKey[:]))
	case c.Certificate != nil:
		return fmt.Sprintf("%s, by %s of the authority sha256:%s,", c.Name, c.Certificate.which(), hex.EncodeToString(c.Certificate.CA[:]))
	case c.OIDC != nil:
		with := ""
		if len(c.OIDC.Claims) > 0 {
			with = " and the claims " + strings.Join(sorted(c.OIDC.Claims), " ")
		}
		return fmt.Sprintf("%s, by a token of %s for %q%s,", c.Name, c.OIDC.Issuer, c.OIDC.Audience, with)
	case c.Attested != nil:
		return fmt.Sprintf("%s, %s,", c.Name, c.Attested.box())
	}
	return "ANYONE who reaches the box, with no key,"
}

// box says which box it is.
func (a *Attested) box() string {
	if a.Kind == simulatedKind {
		return fmt.Sprintf("A SIMULATED BOX, WHICH NO HARDWARE PROTECTS, that claims to run %x under the policy sha256:%x, on the word of whoever has the simulated root sha256:%x",
			a.Measurement, a.Policy, a.SimulatedRoot)
	}
	return fmt.Sprintf("another box on %s that runs %x under the policy sha256:%x", a.Kind, a.Measurement, a.Policy)
}

func (c *Certificate) which() string {
	switch {
	case c.SPIFFE != "":
		return "the certificate for " + c.SPIFFE
	case c.Subject != "":
		return fmt.Sprintf("the certificate for %q", c.Subject)
	}
	return "ANY certificate"
}

func (c *Caller) sentence() string {
	return c.who() + " may " + c.deeds() + "." + c.bounds()
}

// deeds says what a caller may do, behind "may".
func (c *Caller) deeds() string {
	if len(c.May) == 0 {
		return "do only what a Cedar rule below permits"
	}
	text := list(c.May)
	if !c.limited() {
		return text
	}
	if len(c.Methods) > 0 {
		text += ", with " + strings.Join(c.Methods, ", ")
	}
	if len(c.Models) > 0 {
		text += ", the models " + strings.Join(c.Models, ", ")
	}
	if len(c.Paths) == 0 {
		return text + ", on every path"
	}
	return text + ", on " + strings.Join(c.Paths, ", ")
}

// bounds says how much a caller may use and for how long, sentences that begin
// with a space.
func (c *Caller) bounds() string {
	var parts []string
	if c.Rate != nil {
		parts = append(parts, c.Rate.requests())
	}
	if c.Quota != nil && c.Quota.Requests != nil {
		parts = append(parts, c.Quota.Requests.requests())
	}
	if c.Quota != nil && c.Quota.Bytes != nil {
		parts = append(parts, c.Quota.Bytes.bytes())
	}
	text := ""
	if len(parts) > 0 {
		text = " At most " + list(parts) + "."
	}
	if !c.Expires.IsZero() {
		text += " Until " + c.Expires.Format(time.RFC3339) + "."
	}
	return text
}

func (d *description) cedar(p *Policy) {
	if p.Cedar == "" {
		return
	}
	d.line("These Cedar rules hold in addition (from line %d on). Where one forbids, nothing permits, and it is asked about a path decoded and without parameters too:", p.Line("cedar"))
	if p.permitsMore() {
		d.line("    (CALLERS MAY DO MORE THAN IS SAID ABOVE where one of them permits it)")
	}
	for text := range strings.Lines(p.Cedar) {
		if text = strings.TrimRight(text, " \t\n"); text != "" {
			d.line("    %s", text)
		}
	}
}

func (d *description) egress(p *Policy) {
	e := &p.Egress
	switch {
	case p.EgressUnrestricted():
		return
	case len(e.Allow) == 0 && p.App == nil:
		d.line("Models connect to nothing.")
		return
	case len(e.Allow) == 0:
		d.line("The app may connect to nothing outside the box. It has no route and no DNS.")
		return
	}
	d.line("The app may connect to these places and to no others, with %s at once:", count(e.Connections, "connection"))
	for _, to := range e.Allow {
		d.line("    %s%s (line %d)", to, to.conditions(), to.Line)
	}
	for _, b := range []*Budget{e.Rate, e.Bytes} {
		if b != nil {
			d.line("It may exchange %s with them.", b.bytes())
		}
	}
}

func (to *Destination) conditions() string {
	text := map[TLS]string{
		TLSAny:    ", in any protocol",
		TLSPass:   ", by TLS for that name",
		TLSVerify: ", by TLS with a valid certificate for that name",
	}[to.TLS]
	if strings.HasPrefix(to.Host, "*.") {
		text += ", where * is one label"
	}
	if to.Private {
		text += ", also if that is a private address"
	}
	return text
}

func (d *description) files(p *Policy) {
	f := &p.Files
	switch {
	case f.Tmp > 0 || len(f.Writable) > 0:
		d.line("The app may write to %s. Nothing of it is kept.", f.places())
	case p.App != nil && p.App.Image != "":
		d.line("The app may write to no file.")
	}
}

func (d *description) limits(p *Policy) {
	l := &p.Limits
	d.line("A request may have %s; %d are served at once; one without a byte for %s is cut.", formatSize(l.Request), l.Concurrent, l.Idle)
	if l.Response > 0 {
		d.line("An answer may have %s.", formatSize(l.Response))
	}
	if l.Time > 0 {
		d.line("A request is cut after %s in any case.", l.Time)
	}
	if has := bounds(l.Memory, l.PIDs, l.CPU, l.OpenFiles); len(has) > 0 {
		d.line("The app has at most %s.", strings.Join(has, ", "))
	}
}

func (d *description) logs(p *Policy) {
	to, isSealed := p.Logs.Recipient()
	switch {
	case isSealed:
		d.line("The box writes a log that only the holder of the key to %s can read.", to)
	case p.Logs == LogsCounters:
		d.line("The box counts requests by the kind of answer. It logs nothing else about them.")
	default:
		d.line("The box logs nothing about requests.")
	}
	if p.Audit == AuditHost {
		d.line("THE HOST KEEPS A LOG of who calls when, what for, and whether that was allowed (line %d). It holds nothing of a request or an answer.", p.Line("audit"))
	}
}

// open says what the document leaves open. Models start no program, connect to
// nothing and write no file.
func (d *description) open(p *Policy) {
	process := p.App != nil && p.App.Image == ""
	var open []string
	for _, part := range []struct {
		open bool
		what string
	}{
		{p.EgressUnrestricted(), "where it may connect to"},
		{process && p.Files.Tmp == 0 && len(p.Files.Writable) == 0, "its files"},
		{p.Limits.Memory == 0, "memory"},
		{process && p.Limits.PIDs == 0, "processes"},
	} {
		if part.open {
			open = append(open, part.what)
		}
	}
	switch {
	case len(open) > 0 && process:
		d.line("NOT RESTRICTED, since the app is a plain process: %s.", list(open))
	case len(open) > 0:
		d.line("Not restricted: %s.", list(open))
	}
}

// either writes words with commas and an or.
func either(items []string) string {
	all := slices.Clone(items)
	if len(all) > 1 {
		all = append(all[:len(all)-2], all[len(all)-2]+" or "+all[len(all)-1])
	}
	return strings.Join(all, ", ")
}
