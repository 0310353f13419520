package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// refusal is an error as the user sees it: an entry of the catalogue with what
// was seen here. Every error of a command becomes one before it is shown.
type refusal struct {
	entry    catalogue.Entry
	reason   attest.Code
	area     string // what it is about: hardware, code, channel, policy, usage ...
	seen     string
	brief    string // seen for a terminal, if that is too long for a line
	apart    bool   // seen is several things, one on a line
	expected string
	also     []attest.Check // further checks that failed
	places   []place        // in a file of the user's
	exit     int
	status   int // of the box's answer about its models, if that is what refuses
	// contacted says that a box was at the other end, so that it is worth saying
	// that nothing was sent to it.
	contacted bool
}

func (r *refusal) Error() string {
	text := r.entry.ID() + " " + r.area + ": " + r.entry.Title
	if r.seen != "" {
		text += ": " + r.seen
	}
	return text
}

// fail makes an error of a command from an entry of the catalogue. A code
// without an entry is a defect and is reported as one.
func fail(code attest.Code, area, seen, expected string) *refusal {
	entry, ok := catalogue.ByCode(code)
	if !ok {
		entry, _ = catalogue.ByCode(catalogue.CodeInternal)
		seen = strings.TrimSpace("reason " + string(code) + " " + seen)
	}
	return &refusal{entry: entry, reason: code, area: area, seen: seen, expected: expected, exit: int(entry.Stage())}
}

func usage(format string, args ...any) *refusal {
	return fail(catalogue.CodeUsage, "usage", fmt.Sprintf(format, args...), "")
}

// refusalOf finds the entry for any error. What it does not know happened on
// the way to the box, and counts as "could not be had".
func refusalOf(err error) *refusal {
	var known *refusal
	var failure *attest.Failure
	var partial *appraise.PartialError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &failure):
		return fromFailure(failure)
	case errors.As(err, &partial):
		return fromPartial(partial)
	case errors.Is(err, context.Canceled):
		return contacted(fail(catalogue.CodeInterrupted, "interrupted", "", ""))
	case errors.Is(err, context.DeadlineExceeded):
		return contacted(fail(attest.CodeUnavailable, "box", "no verdict in time", "an answer before the deadline"))
	default:
		return contacted(fail(attest.CodeUnavailable, "box", cause(err), ""))
	}
}

// cause is the text of an error without the names of our packages before it.
func cause(err error) string {
	text := err.Error()
	if _, rest, found := strings.Cut(text, "nothing was sent: "); found {
		text = rest // that is a line of its own
	}
	text = strings.Replace(text, attest.ErrUnavailable.Error()+": ", "", 1)
	return strings.TrimPrefix(text, "atls: ")
}

func contacted(r *refusal) *refusal {
	r.contacted = true
	return r
}

func fromFailure(f *attest.Failure) *refusal {
	failed := f.Failed()
	if len(failed) == 0 {
		return contacted(fail(catalogue.CodeInternal, "internal", f.Error(), ""))
	}
	r := contacted(fromCheck(failed[0]))
	r.also = failed[1:]
	if errors.Is(f, attest.ErrUnavailable) {
		r.exit = int(catalogue.Unavailable)
	}
	return r
}

// fromCheck explains one failed check. Its code may come from the other end,
// which can write there what it likes.
func fromCheck(c attest.Check) *refusal {
	area, name, _ := strings.Cut(c.Name, ".")
	if isAboutCaller(c) {
		r := fail(catalogue.CodeBoxCaller, area, c.Seen, "a box that its policy names as a caller")
		r.exit = exitRefused
		return r
	}
	name = strings.ReplaceAll(name, "_", " ")
	seen := strings.TrimSpace(name + " " + c.Seen)
	if strings.HasPrefix(c.Seen, name+": ") {
		seen = c.Seen
	}
	code := c.Code
	if _, known := catalogue.ByCode(code); !known {
		code, seen = attest.CodeMalformed, seen+" (unknown reason "+string(c.Code)+")"
	}
	r := fail(code, area, seen, c.Expected)
	r.exit = exitRefused
	if label, _ := r.labels(); label != "seen" {
		r.seen = c.Seen // the label says what it is
	}
	return r
}

// isAboutCaller tells a box's own no to the evidence that we showed it. It has the
// codes of ours to a box, whose fixes would have the reader accept another box.
func isAboutCaller(c attest.Check) bool {
	if c.Name != "channel.answer" {
		return false
	}
	switch c.Code {
	case attest.CodeMalformed, attest.CodePurposeMismatch, attest.CodeKindMismatch: // about the question
		return strings.Contains(c.Seen, "peer.caller")
	}
	_, known := catalogue.ByCode(c.Code)
	return known
}

func fromPartial(p *appraise.PartialError) *refusal {
	entry, _ := catalogue.ByCode(appraise.CodeNotChecked)
	names := make([]string, len(p.Skipped))
	for i, c := range p.Skipped {
		names[i] = c.Name
	}
	r := &refusal{
		entry: entry, reason: appraise.CodeNotChecked, area: "verdict", exit: exitPartial,
		seen: "not checked: " + strings.Join(names, ", "), brief: "not checked: " + byGroup(names),
	}
	return contacted(r)
}

// byGroup sums up names of checks: "channel (10 checks), policy (digest)". All of
// them are in -o json, and on the terminal where every check is listed.
func byGroup(names []string) string {
	var groups []string
	members := make(map[string][]string)
	for _, name := range names {
		group, member, _ := strings.Cut(name, ".")
		if members[group] == nil {
			groups = append(groups, group)
		}
		members[group] = append(members[group], strings.ReplaceAll(member, "_", " "))
	}
	for i, group := range groups {
		groups[i] = group + " (" + sumUp(members[group]) + ")"
	}
	return strings.Join(groups, ", ")
}

// sumUp names a single check, and what was not checked of devices, which is the
// same for most of them; it counts others.
func sumUp(members []string) string {
	named, ofDevices := deviceMembers(members)
	switch {
	case ofDevices:
		return strings.Join(named, ", ")
	case len(members) > 1:
		return fmt.Sprintf("%d checks", len(members))
	}
	return members[0]
}

// deviceMember is a check on one of the devices in a file.
var deviceMember = regexp.MustCompile(`^device\d+ `)

// deviceMembers names each check once, whichever device it is about, and reports
// whether any is about a device.
func deviceMembers(members []string) (named []string, found bool) {
	words := strings.NewReplacer("ocsp", "revocation by OCSP", "driver rim", "driver manifest", "vbios rim", "VBIOS manifest")
	for _, m := range members {
		if rest := deviceMember.ReplaceAllString(m, ""); rest != m {
			m, found = "devices' "+words.Replace(rest), true
		}
		if !slices.Contains(named, m) {
			named = append(named, m)
		}
	}
	return named, found
}

// longHex is a number that nobody compares digit by digit.
var longHex = regexp.MustCompile(`\b[0-9a-f]{32,}\b`)

// abridge shortens every long hex number to its ends, "7b3f..9c1e", the way
// people compare them. The full value is in -o json.
func abridge(s string) string {
	return longHex.ReplaceAllStringFunc(s, func(n string) string { return n[:4] + ".." + n[len(n)-4:] })
}

// report shows err and returns the exit code.
func (s *session) report(err error) int {
	var done shown
	if errors.As(err, &done) {
		return done.exit
	}
	r := refusalOf(err)
	if s.json() {
		s.writeJSON(struct {
			Error errorDocument `json:"error"`
			Exit  int           `json:"exit"`
		}{r.document(), r.exit})
		return r.exit
	}
	r.print(s.stderr)
	return r.exit
}

// print writes the refusal the way every refusal looks.
func (r *refusal) print(w io.Writer) {
	r.printShort(w)
	if !r.contacted && r.entry.Stage() == catalogue.Usage {
		writeLine(w, "not done", r.entry.NotDone)
	}
	writeLine(w, "fix", r.entry.Fix)
	writeLine(w, "more", "blindbox explain "+r.entry.ID()+", "+r.entry.Page())
}

// notDone is what the catalogue says was not done. Of verification it says that
// nothing was sent, which is true if a box was refused; a file has nobody to send
// to, and a connection that was lost may have carried the request.
func (r *refusal) notDone() string {
	stage := r.entry.Stage()
	if !r.contacted && (stage == catalogue.Refused || stage == catalogue.Unavailable) {
		return ""
	}
	return r.entry.NotDone
}

func writeLine(w io.Writer, name, text string) {
	if text != "" {
		fmt.Fprintf(w, "  %-10s %s\n", name, oneLine(text))
	}
}

// printShort leaves out what is the same for every refusal of this number.
func (r *refusal) printShort(w io.Writer) {
	fmt.Fprintf(w, "%s %s: %s\n", r.entry.ID(), r.area, r.entry.Title)
	seen, expected := r.labels()
	for _, line := range r.seenLines() {
		writeLine(w, seen, r.shorten(line))
	}
	for _, p := range r.places {
		writeLine(w, "seen", fmt.Sprintf("%s:%s", p.File, p.Problem))
	}
	writeLine(w, expected, r.shorten(r.expected))
	for _, line := range r.alsoLines() {
		writeLine(w, "also", line)
	}
	if r.contacted {
		fmt.Fprintln(w, "  nothing was sent.")
	}
}

func (r *refusal) seenLines() []string {
	if r.apart {
		return strings.Split(r.seen, "\n")
	}
	return []string{cmp.Or(r.brief, r.seen)}
}

// shorten abridges numbers, but not in the names of files.
func (r *refusal) shorten(text string) string {
	if r.reason == catalogue.CodeFile {
		return text
	}
	return abridge(text)
}

// labels names the two values that did not agree, in the words of whoever must
// decide: the box's owner chose one, the reader's trust file the other.
func (r *refusal) labels() (seen, expected string) {
	switch r.reason {
	case appraise.CodeMeasurement:
		return "box runs", "you accept"
	case attest.CodePolicyMismatch, appraise.CodeRequirement:
		return "box shows", "you accept"
	}
	return "seen", "expected"
}

// alsoLines names the entries of the further checks that failed, each once. What
// else a policy allows is said in full: one number stands for all of it.
func (r *refusal) alsoLines() []string {
	var out []string
	seen := map[int]bool{r.entry.Number: true}
	for _, c := range r.also {
		if r.reason == appraise.CodeRequirement && c.Code == r.reason {
			out = append(out, abridge(c.Seen+", expected "+c.Expected))
			continue
		}
		other := fromCheck(c)
		if !seen[other.entry.Number] {
			seen[other.entry.Number] = true
			out = append(out, other.entry.ID()+" "+other.area+": "+other.entry.Title)
		}
	}
	return out
}

// oneLine keeps a stranger's text from forging lines or moving the cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || commands(r) {
			return ' '
		}
		return r
	}, s)
}

// errorDocument is the error object of -o json.
type errorDocument struct {
	Code     string         `json:"code"`   // BBX-203
	Reason   attest.Code    `json:"reason"` // measurement
	Area     string         `json:"area"`
	Title    string         `json:"title"`
	Seen     string         `json:"seen,omitempty"`
	Expected string         `json:"expected,omitempty"`
	Also     []attest.Check `json:"also,omitempty"`
	Places   []place        `json:"places,omitempty"`
	NotDone  string         `json:"not_done,omitempty"`
	Fix      string         `json:"fix"`
	Page     string         `json:"page"`
}

func (r *refusal) document() errorDocument {
	return errorDocument{
		Code: r.entry.ID(), Reason: r.reason, Area: r.area, Title: r.entry.Title, Seen: r.seen, Expected: r.expected,
		Also: r.also, Places: r.places, NotDone: r.notDone(), Fix: r.entry.Fix, Page: r.entry.Page(),
	}
}

// writeJSON writes the one document of a command.
func (s *session) writeJSON(v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	_, _ = io.WriteString(s.stdout, plainJSON(b.String()))
}

// plainJSON escapes what JSON leaves as it is and a terminal obeys: DEL, the
// control characters from U+0080 on, one of which begins commands as ESC [ does,
// and what turns the direction of text. All of it can only stand in strings.
func plainJSON(text string) string {
	if !strings.ContainsFunc(text, commands) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if commands(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// commands reports whether a character is obeyed and not shown, line breaks and
// the rest of ASCII's below the space aside.
func commands(r rune) bool {
	return r >= 0x7f && r < 0xa0 || r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
