package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Change is one difference between two policies.
type Change struct {
	// Section is where it is: "callers", "egress", "limits".
	Section string
	// Text says it in words, for the second policy: "ci may upload".
	Text string
	// Widens says that the second policy allows something that the first does
	// not, Narrows that it denies something that the first allows. Both are set
	// if the two cannot be compared, and neither if nothing is decided by it.
	Widens, Narrows bool
	// Before is the line of the first document, After that of the second; 0 if a
	// document does not speak of it.
	Before, After int
}

// Difference is what changes from one policy to another, in the order of
// sections.
type Difference []Change

// Widened reports whether anything is newly allowed.
func (d Difference) Widened() bool {
	return slices.ContainsFunc(d, func(c Change) bool { return c.Widens })
}

// Narrowed reports whether anything is newly denied.
func (d Difference) Narrowed() bool {
	return slices.ContainsFunc(d, func(c Change) bool { return c.Narrows })
}

// Diff compares what two policies mean, section by section. What it cannot
// compare, such as two programs or two Cedar texts, it counts as newly allowed:
// whoever accepted the first has not seen the second.
func Diff(before, after *Policy) Difference {
	d := differ{a: before, b: after}
	if d.a.Name != d.b.Name {
		d.add("name", "name", false, false, "the box is called %s instead of %s", d.b.Name, d.a.Name)
	}
	d.app()
	d.services()
	d.models()
	d.store()
	d.callers()
	if !sameCedar(d.a, d.b) {
		d.add("cedar", "cedar", true, false, "the Cedar rules changed, and cannot be compared: try `blindbox policy test`")
	}
	d.egress()
	d.files()
	d.limits()
	d.logs()
	d.operators()
	d.platforms()
	return d.out
}

type differ struct {
	a, b *Policy
	out  Difference
}

// sameCedar reports whether two documents have the same Cedar policies, in any
// order: that, comments and space decide nothing.
func sameCedar(a, b *Policy) bool {
	if a.Cedar == b.Cedar {
		return true
	}
	x, errX := a.cedarForms()
	y, errY := b.cedarForms()
	return errX == nil && errY == nil && slices.Equal(x, y)
}

// cedarForms writes each Cedar policy of the document as the tree that it was parsed
// to, annotations included, and sorts them. Two texts of the same tree are the same
// policy; the text that Cedar writes is none for this, since it leaves out brackets.
func (p *Policy) cedarForms() ([]string, error) {
	if p.compiled == nil {
		return nil, nil
	}
	var forms []string
	for _, r := range p.compiled.rules[p.compiled.short:] {
		tree, err := r.policy.MarshalJSON()
		if err != nil {
			return nil, err
		}
		forms = append(forms, string(tree))
	}
	slices.Sort(forms)
	return forms, nil
}

// add adds a change at a path that both documents can have.
func (d *differ) add(section, path string, widens, narrows bool, format string, args ...any) {
	d.addAt(section, d.a.Line(path), d.b.Line(path), widens, narrows, format, args...)
}

func (d *differ) addAt(section string, before, after int, widens, narrows bool, format string, args ...any) {
	d.out = append(d.out, Change{
		Section: section, Text: fmt.Sprintf(format, args...),
		Widens: widens, Narrows: narrows, Before: before, After: after,
	})
}

// sets says which elements came and which went.
func (d *differ) sets(section, path, came, went string, a, b []string) {
	for _, s := range b {
		if !slices.Contains(a, s) {
			d.add(section, path, true, false, came, s)
		}
	}
	for _, s := range a {
		if !slices.Contains(b, s) {
			d.add(section, path, false, true, went, s)
		}
	}
}

func (d *differ) app() {
	a, b := d.a.App, d.b.App
	switch {
	case a == nil && b == nil:
		return
	case a == nil:
		d.add("app", "app", true, false, "an app runs where none did")
		return
	case b == nil:
		d.add("app", "app", false, true, "no app runs")
		return
	}
	if a.Digest != b.Digest {
		d.add("app", "app.digest", true, true, "the app is another image, sha256:%x instead of sha256:%x", b.Digest, a.Digest)
	}
	if a.Image != b.Image && a.Digest == b.Digest {
		d.add("app", "app.image", false, false, "the same image comes from %s instead of %s", b.Image, a.Image)
	}
	for _, part := range []struct {
		path string
		a, b any
	}{
		{"app.command", strings.Join(a.Command, "\x00"), strings.Join(b.Command, "\x00")},
		{"app.env", strings.Join(sorted(a.Env), "\x00"), strings.Join(sorted(b.Env), "\x00")},
		{"app.dir", a.Dir, b.Dir}, {"app.listen", a.Listen, b.Listen}, {"app.actions", a.actionRules(), b.actionRules()},
	} {
		if part.a != part.b {
			advice := ""
			if part.path == "app.actions" {
				advice = ": try `blindbox policy test`"
			}
			d.add("app", part.path, true, true, "%s changed, and cannot be compared%s", part.path, advice)
		}
	}
	d.isolation(a, b)
	d.sets("app", "app.capabilities", "the app has the Linux capability %s", "the app has the Linux capability %s no longer", a.Capabilities, b.Capabilities)
}

func (d *differ) isolation(a, b *App) {
	strength := map[Isolation]int{IsolationNone: 0, IsolationRunc: 1, IsolationGVisor: 2}
	if x, y := strength[a.Isolation], strength[b.Isolation]; x != y {
		d.add("app", "app.isolation", y < x, y > x, "the app is isolated by %s instead of %s", cmp.Or(b.Isolation, "nothing"), cmp.Or(a.Isolation, "nothing"))
	}
	if a.userName() != b.userName() {
		widens, narrows := users(a.User, b.User)
		d.add("app", "app.user", widens, narrows, "the app runs as %s instead of %s", b.userName(), a.userName())
	}
}

// users compares two that differ: anybody is less than root, and nobody else is less
// than another.
func users(a, b *User) (widens, narrows bool) {
	isRoot := func(u *User) bool { return u != nil && u.UID == 0 }
	return !isRoot(a) || isRoot(b), isRoot(a)
}

func (a *App) userName() string {
	if a.User == nil {
		return "the image's user"
	}
	return fmt.Sprintf("user %d:%d", a.User.UID, a.User.GID)
}

func (d *differ) models() {
	find := func(list []Model, name string) *Model {
		if i := slices.IndexFunc(list, func(m Model) bool { return m.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for _, m := range d.b.Models {
		switch old := find(d.a.Models, m.Name); {
		case old == nil:
			d.addAt("models", 0, m.Line, true, false, "the model %s runs", m.Name)
		case old.SHA256 != m.SHA256 || old.Builtin != m.Builtin:
			d.addAt("models", old.Line, m.Line, true, true, "the model %s has other bytes", m.Name)
		case old.Batch.String() != m.Batch.String():
			d.addAt("models", old.Line, m.Line, true, true, "the model %s has %v instead of %v", m.Name, m.Batch, old.Batch)
		}
	}
	for _, m := range d.a.Models {
		if find(d.b.Models, m.Name) == nil {
			d.addAt("models", m.Line, 0, false, true, "the model %s runs no longer", m.Name)
		}
	}
}

func (d *differ) callers() {
	find := func(list []Caller, id string) *Caller {
		if i := slices.IndexFunc(list, func(c Caller) bool { return c.identity() == id }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for _, c := range d.b.Callers {
		if old := find(d.a.Callers, c.identity()); old != nil {
			d.caller(old, &c)
		} else {
			d.addAt("callers", 0, c.Line, true, false, "%s may %s", c.Name, c.deeds())
		}
	}
	for _, c := range d.a.Callers {
		if find(d.b.Callers, c.identity()) == nil {
			d.addAt("callers", c.Line, 0, false, true, "%s may call no longer", c.Name)
		}
	}
	d.shadows(d.a.Callers, d.b.Callers, "callers")
}

// caller compares two entries for the same caller.
func (d *differ) caller(a, b *Caller) {
	at := func(widens, narrows bool, format string, args ...any) {
		d.addAt("callers", a.Line, b.Line, widens, narrows, b.Name+" "+format, args...)
	}
	if a.Name != b.Name {
		at(true, true, "is the new name of %s, to the app and in Cedar", a.Name)
	}
	parts := []struct {
		what   string
		a, b   []string
		covers func(list []string, one string) bool
	}{
		{"may %s", words(a.May), words(b.May), slices.Contains[[]string]},
		{"may use the method %s", orAny(a.Methods), orAny(b.Methods), withAny},
		{"may use the path %s", paths(a), paths(b), coversPath},
		{"may use the model %s", orAny(a.Models), orAny(b.Models), withAny},
	}
	if !a.limited() || !b.limited() {
		parts = parts[:1] // the rest limits nothing that both may do
	}
	for _, part := range parts {
		for _, s := range part.b {
			if !part.covers(part.a, s) {
				at(true, false, part.what, s)
			}
		}
		for _, s := range part.a {
			if !part.covers(part.b, s) {
				at(false, true, part.what+" no longer", s)
			}
		}
	}
	d.budget("callers", b.Name, a.Line, b.Line, a.Rate, b.Rate, (*Budget).requests)
	d.budget("callers", b.Name+" over a long time", a.Line, b.Line, a.requests(), b.requests(), (*Budget).requests)
	d.budget("callers", b.Name+" over a long time", a.Line, b.Line, a.bytes(), b.bytes(), (*Budget).bytes)
	if !a.Expires.Equal(b.Expires) {
		later := b.Expires.IsZero() || !a.Expires.IsZero() && b.Expires.After(a.Expires)
		at(later, !later, "expires %s instead of %s", expiry(b.Expires), expiry(a.Expires))
	}
}

func expiry(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

func (c *Caller) requests() *Budget {
	if c.Quota == nil {
		return nil
	}
	return c.Quota.Requests
}

func (c *Caller) bytes() *Budget {
	if c.Quota == nil {
		return nil
	}
	return c.Quota.Bytes
}

const anything = "any"

// orAny writes the empty list, which means all, as a list.
func orAny(list []string) []string {
	if len(list) == 0 {
		return []string{anything}
	}
	return list
}

func withAny(list []string, one string) bool {
	return slices.Contains(list, anything) || slices.Contains(list, one)
}

func paths(c *Caller) []string {
	if len(c.Paths) == 0 {
		return []string{"/*"}
	}
	return c.Paths
}

// coversPath reports whether every path that a pattern matches is matched by one
// of the patterns. No number of exact paths makes up for a prefix.
func coversPath(patterns []string, one string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, ok := strings.CutSuffix(p, "*")
		return p == one || ok && strings.HasPrefix(one, prefix)
	})
}

// budget compares two amounts per time. Another time cannot be compared: more in
// a day may be less in a minute.
func (d *differ) budget(section, what string, before, after int, a, b *Budget, amount func(*Budget) string) {
	say := func(x *Budget) string {
		if x == nil {
			return "without bound"
		}
		return amount(x)
	}
	switch {
	case a == nil && b == nil || a != nil && b != nil && *a == *b:
		return
	case a == nil || b == nil || a.Per == b.Per:
		wider := b == nil || a != nil && b.Count > a.Count
		d.addAt(section, before, after, wider, !wider, "%s: %s instead of %s", what, say(b), say(a))
	default:
		d.addAt(section, before, after, true, true, "%s: %s instead of %s", what, say(b), say(a))
	}
}

func (d *differ) egress() {
	a, b := d.a, d.b
	if x, y := a.EgressUnrestricted(), b.EgressUnrestricted(); x || y {
		if x != y {
			d.add("egress", "egress", y, x, "egress: %s instead of %s", b.egressSummary(), a.egressSummary())
		}
		return
	}
	for _, to := range b.Egress.Allow {
		if !covered(a.Egress.Allow, to) {
			d.addAt("egress", 0, to.Line, true, false, "the app may connect to %s%s", to, to.conditions())
		}
	}
	for _, to := range a.Egress.Allow {
		if !covered(b.Egress.Allow, to) {
			d.addAt("egress", to.Line, 0, false, true, "the app may connect to %s%s no longer", to, to.conditions())
		}
	}
	d.ownLines(a.Egress.Allow, b.Egress.Allow, true)
	d.ownLines(b.Egress.Allow, a.Egress.Allow, false)
	d.number("egress", "egress.connections", "connections at once", int64(a.Egress.Connections), int64(b.Egress.Connections), plainNumber)
	d.budget("egress", "bytes to the outside in a short time", a.Egress.Line, b.Egress.Line, a.Egress.Rate, b.Egress.Rate, (*Budget).bytes)
	d.budget("egress", "bytes to the outside in a long time", a.Egress.Line, b.Egress.Line, a.Egress.Bytes, b.Egress.Bytes, (*Budget).bytes)
}

// ownLines compares hosts that have a line of their own in one document and only
// a star in the other. A line that names the host is asked first, so that the star
// may ask for less of it where the line is gone.
func (d *differ) ownLines(with, without []Destination, gone bool) {
	for _, own := range with {
		same := func(to Destination) bool { return to.Host == own.Host && to.Port == own.Port }
		if slices.ContainsFunc(without, same) {
			continue
		}
		for _, star := range without {
			by := Destination{Host: own.Host, Port: own.Port, TLS: star.TLS, Private: star.Private}
			switch {
			case star.Port != own.Port || !hostCovers(star.Host, own.Host) || covered([]Destination{own}, by):
			case gone:
				d.addAt("egress", own.Line, star.Line, true, false, "the app may connect to %s%s", by, by.conditions())
			default:
				d.addAt("egress", star.Line, own.Line, false, true, "the app may connect to %s%s no longer", by, by.conditions())
			}
		}
	}
}

// covered reports whether everything that one destination allows is allowed by
// one of the list.
func covered(list []Destination, one Destination) bool {
	strength := map[TLS]int{TLSAny: 0, TLSPass: 1, TLSVerify: 2}
	return slices.ContainsFunc(list, func(d Destination) bool {
		return d.Port == one.Port && hostCovers(d.Host, one.Host) && (d.Private || !one.Private) && strength[d.TLS] <= strength[one.TLS]
	})
}

func hostCovers(pattern, host string) bool {
	suffix, wildcard := strings.CutPrefix(pattern, "*.")
	_, rest, _ := strings.Cut(host, ".")
	return pattern == host || wildcard && rest == suffix
}

func (d *differ) files() {
	d.number("files", "files.tmp", "/tmp", d.a.Files.Tmp, d.b.Files.Tmp, formatSize)
	find := func(list []Writable, path string) Writable {
		if i := slices.IndexFunc(list, func(w Writable) bool { return w.Path == path }); i >= 0 {
			return list[i]
		}
		return Writable{}
	}
	for _, w := range d.b.Files.Writable {
		if old := find(d.a.Files.Writable, w.Path); old.Size != w.Size {
			d.addAt("files", old.Line, w.Line, w.Size > old.Size, w.Size < old.Size, "the app may write %s to %s instead of %s", formatSize(w.Size), shownPath(w.Path), formatSize(old.Size))
		}
	}
	for _, w := range d.a.Files.Writable {
		if find(d.b.Files.Writable, w.Path).Path == "" {
			d.addAt("files", w.Line, 0, false, true, "the app may write to %s no longer", shownPath(w.Path))
		}
	}
}

// number compares two amounts of which more is wider.
func (d *differ) number(section, path, what string, a, b int64, say func(int64) string) {
	if a != b {
		d.add(section, path, b > a, b < a, "%s: %s instead of %s", what, say(b), say(a))
	}
}

func (d *differ) limits() {
	a, b := &d.a.Limits, &d.b.Limits
	duration := func(n int64) string { return time.Duration(n).String() }
	for _, l := range []struct {
		key  string
		a, b int64
		say  func(int64) string
	}{
		{"memory", a.Memory, b.Memory, formatSize},
		{"pids", int64(a.PIDs), int64(b.PIDs), plainNumber},
		{"cpu", int64(a.CPU), int64(b.CPU), thousandths},
		{"open_files", int64(a.OpenFiles), int64(b.OpenFiles), plainNumber},
		{"request", a.Request, b.Request, formatSize},
		{"response", a.Response, b.Response, formatSize},
		{"concurrent", int64(a.Concurrent), int64(b.Concurrent), plainNumber},
		{"time", int64(a.Time), int64(b.Time), duration},
		{"idle", int64(a.Idle), int64(b.Idle), duration},
	} {
		d.number("limits", "limits."+l.key, l.key, unbounded(l.a), unbounded(l.b), func(n int64) string {
			if n == math.MaxInt64 {
				return "without bound"
			}
			return l.say(n)
		})
	}
}

// unbounded makes a limit that the document does not have the largest one.
func unbounded(n int64) int64 {
	if n == 0 {
		return math.MaxInt64
	}
	return n
}

func plainNumber(n int64) string { return fmt.Sprint(n) }

func thousandths(n int64) string { return fmt.Sprint(float64(n) / 1000) }

// logs compares who is told what. Each kind tells somebody something that the
// other kinds do not, except for none.
func (d *differ) logs() {
	a, b := cmp.Or(d.a.Logs, LogsNone), cmp.Or(d.b.Logs, LogsNone)
	if a != b {
		d.add("logs", "logs", b != LogsNone, a != LogsNone, "logs: %s instead of %s", b, a)
	}
	if told := d.b.Audit == AuditHost; told != (d.a.Audit == AuditHost) {
		d.add("audit", "audit", told, !told, "audit: %s instead of %s", cmp.Or(d.b.Audit, AuditBox), cmp.Or(d.a.Audit, AuditBox))
	}
}

// platforms compares lists of which the empty one means any real platform.
func (d *differ) platforms() {
	all := func(list []string) []string {
		if len(list) > 0 {
			return list
		}
		return slices.DeleteFunc(Platforms(), func(k string) bool { return strings.HasPrefix(k, "sim-") })
	}
	d.sets("platforms", "platforms", "the box may run on %s", "the box may run on %s no longer", all(d.a.Platforms), all(d.b.Platforms))
}
