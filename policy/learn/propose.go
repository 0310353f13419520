package learn

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/blindbox/blindbox/policy"
)

// DefaultMany is how many different last segments make a path's end an identifier.
const DefaultMany = 8

// maxPaths is how many lines a caller's paths have at most.
const maxPaths = 200

// Proposal is a policy that was learned.
type Proposal struct {
	Policy *policy.Policy
	// Notes say what the policy does not have of what was seen, and what a reader has
	// to look at, one line each.
	Notes []string
}

// Propose returns the smallest policy that covers what was seen. base is the
// document that was opened for the run; what was not to be found out is as it is
// there, with its comments. many is [DefaultMany] as a rule. It fails closed: what
// cannot be written is left out and noted, never widened.
func Propose(base *policy.Policy, seen Seen, many int) (*Proposal, error) {
	if many < 2 {
		return nil, fmt.Errorf("learn: %d different values for a star, expected 2 or more", many)
	}
	doc, err := readDocument(base)
	if err != nil {
		return nil, err
	}
	p := &proposer{base: base, seen: seen, many: many, top: doc.Content[0]}
	p.callers()
	if seen.Confined {
		p.egress()
		p.files()
	} else if base.App != nil {
		p.note("the app is a plain process: where it connects, what it writes and how much memory it takes was not seen, and those sections are as they were")
	}
	p.limits()
	if base.Cedar != "" {
		p.note("line %d: the Cedar rules were not in force while learning, and are as they were: what they permit is not the smallest, and what they forbid may have been seen", base.Line("cedar"))
	}
	if seen.Lost > 0 {
		p.note("%d observations were too many to keep: the policy does not cover them", seen.Lost)
	}
	doc.HeadComment = strings.TrimRight("# Learned from what the app did once; read every line before you rely on it.\n"+doc.HeadComment, "\n")
	out, err := written(doc)
	if err != nil {
		return nil, err
	}
	if err := p.untouched(out); err != nil {
		return nil, err
	}
	return &Proposal{Policy: out, Notes: p.notes}, nil
}

// untouched fails if a section is another one that is not learned.
func (p *proposer) untouched(out *policy.Policy) error {
	learned := []string{"callers", "egress", "files", "limits"}
	for _, c := range policy.Diff(p.base, out) {
		if !slices.Contains(learned, c.Section) {
			return fmt.Errorf("learn: the document came out with another %s: %s", c.Section, c.Text)
		}
	}
	return nil
}

type proposer struct {
	base  *policy.Policy
	seen  Seen
	many  int
	top   *yaml.Node
	notes []string
}

func (p *proposer) note(format string, args ...any) {
	p.notes = append(p.notes, oneLine(fmt.Sprintf(format, args...)))
}

func (p *proposer) callers() {
	callers := find(p.top, "callers")
	if callers == nil {
		return
	}
	callers.Style &^= yaml.FlowStyle
	for i, n := range callers.Content {
		p.caller(n, &p.base.Callers[i])
	}
}

// caller writes what one caller was seen to do. One that was not seen stays as it
// is: a test that has no use for it does not say that nobody has.
func (p *proposer) caller(n *yaml.Node, c *policy.Caller) {
	app, own := of(p.seen.Requests, c.Name)
	n.Style &^= yaml.FlowStyle
	if len(app)+len(own) == 0 {
		n.HeadComment = joined(n.HeadComment, "not seen: as it was. Take it out if nobody needs it.")
		p.note("caller %s sent nothing, and may do what it could before", c.Name)
		return
	}
	for _, key := range []string{"methods", "paths", "models"} {
		remove(n, key)
	}
	set(n, "may", p.may(slices.Concat(app, own)))
	if len(app) == 0 {
		return
	}
	set(n, "methods", counted(app, func(r Request) string { return r.Method }))
	if methods := find(n, "methods"); len(methods.Content) > 1 {
		over(n, "methods", "each of these on each of the paths: only a Cedar rule says more")
	}
	set(n, "paths", p.paths(c, app))
	if !slices.ContainsFunc(app, func(r Request) bool { return r.Model == "" }) {
		set(n, "models", counted(app, func(r Request) string { return r.Model }))
	}
}

func (p *proposer) may(all []Request) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, a := range policy.Actions() {
		count, first := 0, ""
		for _, r := range all {
			if r.Action != a {
				continue
			}
			if count += r.Count; first == "" {
				first = strings.TrimSpace(r.Method + " " + r.Path)
			}
		}
		if count > 0 {
			n.Content = append(n.Content, beside(plain(string(a)), "%s, first %s", times(count), first))
		}
	}
	return n
}

// counted lists the different values of something, each with how often it was seen.
func counted(all []Request, value func(Request) string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	counts, first := map[string]int{}, map[string]string{}
	var order []string
	for _, r := range all {
		v := value(r)
		if counts[v] == 0 {
			order, first[v] = append(order, v), r.Method+" "+r.Path
		}
		counts[v] += r.Count
	}
	for _, v := range order {
		n.Content = append(n.Content, beside(quoted(v), "%s, first %s", times(counts[v]), first[v]))
	}
	return n
}

func (p *proposer) paths(c *policy.Caller, app []Request) *yaml.Node {
	lines, uncovered := patterns(app, p.many)
	for _, path := range uncovered {
		p.note("caller %s: %s cannot be written without a star at the root, and is left out", c.Name, path)
	}
	if len(lines) > maxPaths {
		p.note("caller %s: %d different paths, of which the first %d are written: a prefix in their place is yours to choose", c.Name, len(lines), maxPaths)
		lines = lines[:maxPaths]
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, l := range lines {
		at := beside(quoted(l.text), "%s, first %s", times(l.count), l.example)
		switch {
		case l.forced:
			at = beside(at, "%s, first %s; a star since a path with %% or * cannot be written out. It covers everything below", times(l.count), l.example)
		case l.values > 0:
			at = beside(at, "%s with %d different ends, first %s. The star covers everything below", times(l.count), l.values, l.example)
		}
		n.Content = append(n.Content, at)
	}
	if len(lines) == 0 {
		// An empty list would be every path.
		n.Content = append(n.Content, beside(quoted("/nothing-was-learned"), "no path could be written"))
	}
	return n
}

func times(n int) string {
	if n == 1 {
		return "seen once"
	}
	return "seen " + strconv.Itoa(n) + " times"
}

// egress writes where the app tried to connect to. A line of the document that
// allowed it stays as it is.
func (p *proposer) egress() {
	allow := &yaml.Node{Kind: yaml.SequenceNode}
	done := map[string]bool{}
	for _, a := range p.seen.Attempts {
		if a.Protocol == "dns" {
			if !slices.ContainsFunc(p.seen.Attempts, func(b Attempt) bool { return b.Host == a.Host && b.Protocol == "tcp" }) {
				p.note("the app looked up %s (%s) and did not connect to it: no line is about it", a.Host, times(a.Count))
			}
			continue
		}
		if a.Protocol != "tcp" {
			p.note("the app tried %s to %s port %d (%s), which no policy can allow", a.Protocol, a.Host, a.Port, times(a.Count))
			continue
		}
		d, line, ok := p.destination(a)
		if key := d.String(); ok && !done[key] {
			done[key] = true
			allow.Content = append(allow.Content, beside(destination(d), "tried: %s%s", times(a.Count), line))
		}
	}
	if len(allow.Content) == 0 {
		set(p.top, "egress", beside(plain("none"), "the app tried to connect to nothing"))
		return
	}
	e := find(p.top, "egress")
	if e == nil || e.Kind != yaml.MappingNode {
		e = &yaml.Node{Kind: yaml.MappingNode}
		set(p.top, "egress", e)
	}
	e.Style &^= yaml.FlowStyle
	set(e, "allow", allow)
}

// destination returns the line for an attempt, and where it comes from.
func (p *proposer) destination(a Attempt) (policy.Destination, string, bool) {
	for _, d := range p.base.Egress.Allow {
		if d.Port == a.Port && hostMatches(d.Host, a.Host) {
			return d, fmt.Sprintf("; as in line %d, first for %s", d.Line, a.Host), true
		}
	}
	if ip, err := netip.ParseAddr(a.Host); err == nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast()) {
		p.note("the app tried %s port %d (%s), which is the box itself or tells about the machine: left out", a.Host, a.Port, times(a.Count))
		return policy.Destination{}, "", false
	}
	d := policy.Destination{Host: a.Host, Port: a.Port, Private: true}
	private := "; a private address"
	if parses(d) && !parses(policy.Destination{Host: a.Host, Port: a.Port}) {
		p.note("the app tried the private address %s: check that it is one that the app shall reach", d)
		return d, private, true
	}
	if d.Private = false; parses(d) {
		return d, "; check that the app shall reach it", true
	}
	p.note("the app tried %s port %d (%s), which no policy can allow", a.Host, a.Port, times(a.Count))
	return policy.Destination{}, "", false
}

// hostMatches reports whether a line is about a host. A star is one label.
func hostMatches(line, host string) bool {
	suffix, star := strings.CutPrefix(line, "*.")
	_, rest, _ := strings.Cut(host, ".")
	return line == host || star && rest == suffix
}

// parses reports whether a policy can have a line.
func parses(d policy.Destination) bool {
	doc := fmt.Sprintf("name: a\nmodels: [{name: m, builtin: m}]\negress: {allow: [{host: %s, port: %d, private: %v}]}\n", strconv.Quote(d.Host), d.Port, d.Private)
	_, err := policy.Parse([]byte(doc))
	return err == nil
}

// Room that is left above what was seen.
const (
	leastFolder = 1 << 20
	leastBody   = 4 << 10
	leastMemory = 32 << 20
	leastPIDs   = 16
	leastOpen   = 64
	leastAtOnce = 4
)

// files writes where the app wrote to.
func (p *proposer) files() {
	files := &yaml.Node{Kind: yaml.MappingNode}
	writable := &yaml.Node{Kind: yaml.SequenceNode}
	for _, f := range p.seen.Folders {
		room := beside(plain(size(roomy(f.Bytes, leastFolder))), "%s", f.said())
		switch {
		case f.Path == "/tmp":
			set(files, "tmp", room)
		case f.Holds:
			p.note("the app wrote to %s (%s), where the image has files of its own that an empty folder would hide: have it write elsewhere, or take that as refused", f.Path, f.said())
		default:
			line := mapping("path", quoted(f.Path), "size", room)
			writable.Content = append(writable.Content, line)
		}
	}
	if len(writable.Content) > 0 {
		set(files, "writable", writable)
	}
	remove(p.top, "files")
	if len(files.Content) > 0 {
		set(p.top, "files", files)
	}
}

func (f Folder) said() string {
	if f.Files == 0 {
		return "something was written and removed: its size was not seen"
	}
	files := "1 file"
	if f.Files > 1 {
		files = strconv.Itoa(f.Files) + " files"
	}
	return fmt.Sprintf("%s with %d bytes in the end, first %s; twice that, rounded up", files, f.Bytes, f.Example)
}

// limits writes twice what was seen, rounded up.
func (p *proposer) limits() {
	l := find(p.top, "limits")
	if l == nil {
		l = &yaml.Node{Kind: yaml.MappingNode}
		set(p.top, "limits", l)
	}
	l.Style &^= yaml.FlowStyle
	peak := p.seen.Peak
	bytes := func(key string, seen, least int64) {
		set(l, key, beside(plain(size(roomy(seen, least))), "at most %d bytes were seen; twice that, rounded up", seen))
	}
	count := func(key string, seen, least int) {
		set(l, key, beside(plain(strconv.Itoa(int(roomy(int64(seen), int64(least))))), "at most %d were seen; twice that, rounded up", seen))
	}
	if p.seen.Confined && peak.PIDs > 0 {
		bytes("memory", peak.Memory, leastMemory)
		count("pids", peak.PIDs, leastPIDs)
		count("open_files", peak.OpenFiles, leastOpen)
	} else if p.seen.Confined {
		p.note("how much memory, processes and files the app takes was not counted, which needs root: those limits are as they were")
	}
	bytes("request", peak.Request, leastBody)
	bytes("response", peak.Response, leastBody)
	count("concurrent", peak.Concurrent, leastAtOnce)
}

// roomy returns the next power of two that is at least twice n, and at least least.
func roomy(n, least int64) int64 {
	const most = 1 << 40 // what a policy can say
	n = max(2*min(n, most/2), least)
	if n&(n-1) == 0 {
		return n
	}
	return min(int64(1)<<bits.Len64(uint64(n)), most)
}

// size writes bytes in the largest unit that divides them.
func size(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
