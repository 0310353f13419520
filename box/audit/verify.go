package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/receipt"
)

// CodeBroken is what an audit log is refused for: a record that is not what was
// written, or that is not there.
const CodeBroken attest.Code = "audit_broken"

// maxFindings bounds what a log can make a Report hold.
const maxFindings = 1000

// Report is what was found in a log. It is a finding and no verdict: look at Fault
// first, then whose keys signed ([Run.Key]), then up to where.
type Report struct {
	// First and Next are the numbers of the first record and of the one that would
	// come next. First is above 0 if the beginning is not here.
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
	// Chain is the hash of the last good record.
	Chain   receipt.Digest `json:"chain"`
	Allowed uint64         `json:"allowed"`
	Denied  uint64         `json:"denied"`
	Runs    []Run          `json:"runs"`
	Breaks  []Break        `json:"breaks,omitempty"`
	Gaps    []Gap          `json:"gaps,omitempty"`
	// Anchors is how many of those that were asked for are in the log.
	Anchors int `json:"anchors"`
	// Fault is the first record that is wrong and that no later one declares; nil
	// if there is none. Nothing behind it is believed.
	Fault *Fault `json:"fault,omitempty"`
	// Torn says that the log ends in the middle of a line.
	Torn bool `json:"torn"`
	// Omitted is how many runs, breaks and gaps there are beyond the bound.
	Omitted int `json:"omitted,omitempty"`
}

// Run is one start of the box.
type Run struct {
	Sequence uint64 `json:"seq"`
	// Key is SHA-256 over the SubjectPublicKeyInfo of who signs.
	Key receipt.Digest `json:"key"`
	Box receipt.Box    `json:"box"`
	// Heads is how many signatures there are, and Signed the number of the last
	// record that is under one.
	Heads  int    `json:"heads"`
	Signed uint64 `json:"signed"`
	// Tail is how many records follow that nobody signed.
	Tail uint64 `json:"tail"`
	// Stopped says that the run ended in order. If it did not, it runs still, was
	// killed, or its end was cut off.
	Stopped bool `json:"stopped"`
	// Partial says that the start of the run is not here; what is known of the box
	// comes from its first head.
	Partial bool `json:"partial"`
	// From and Until are the times of the first and the last head, as they say
	// themselves; zero without one.
	From  time.Time `json:"-"`
	Until time.Time `json:"-"`
}

// Bind compares who signed a run, and when all runs of that key were signed, with
// the statement and evidence that should name the key.
func (r Report) Bind(run Run, s attest.Statement, ev attest.Evidence) []attest.Check {
	checks := receipt.BindKey(attest.Digest(run.Key), run.Box, s, ev)
	var from, until time.Time
	for _, one := range r.Runs {
		if one.Key != run.Key || one.Heads == 0 {
			continue
		}
		if from.IsZero() || one.From.Before(from) {
			from = one.From
		}
		if one.Until.After(until) {
			until = one.Until
		}
	}
	if from.IsZero() {
		return checks // nothing is signed
	}
	return append(checks, receipt.BindTime("receipt.time", from, s), receipt.BindTime("receipt.end", until, s))
}

// Break is a place where the box itself says that what stood there cannot be
// believed.
type Break struct {
	Sequence uint64 `json:"seq"`
	Reason   string `json:"reason"`
	Lines    int    `json:"lines"` // that were skipped
}

// Gap is a range of records that the box wrote and the sink did not take.
type Gap struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Fault is where a log is wrong.
type Fault struct {
	Line     int    `json:"line"` // from 1
	Sequence uint64 `json:"seq"`
	Why      string `json:"why"`
}

func (f *Fault) Error() string {
	return fmt.Sprintf("audit: line %d, where record %d should be: %s", f.Line, f.Sequence, f.Why)
}

// Anchor is a place in the log that is known from elsewhere: from a receipt, or a
// signed head.
type Anchor = receipt.Position

// AnchorOf reads a signed head that was kept, and says which key signed it.
func AnchorOf(token string) (Anchor, attest.Digest, error) {
	h, key, err := openHead(strings.TrimSpace(token))
	if err != nil {
		return Anchor{}, attest.Digest{}, fmt.Errorf("audit: not a signed head: %w", err)
	}
	return Anchor{Sequence: h.Seq, Chain: h.Chain}, attest.Digest(key), nil
}

// Verify reads a log. The error is one of reading only; what is wrong with the log
// is in the Report. A log that lacks one of the anchors, or has another record in
// its place, was cut off or is another.
func Verify(r io.Reader, anchors ...Anchor) (Report, error) {
	v := verifier{in: bufio.NewReaderSize(r, maxLine), anchors: map[uint64][]receipt.Digest{}}
	for _, a := range anchors {
		v.anchors[a.Sequence] = append(v.anchors[a.Sequence], a.Chain)
	}
	if err := v.read(); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	v.missing(anchors)
	for i := range v.report.Runs {
		run := &v.report.Runs[i]
		end := v.report.Next
		if i+1 < len(v.report.Runs) {
			end = v.report.Runs[i+1].Sequence
		}
		run.tail(end)
	}
	return v.report, nil
}

// tail counts what nobody signed. The head itself needs no signature over it.
func (r *Run) tail(end uint64) {
	from := r.Sequence
	if r.Heads > 0 {
		from = r.Signed + 2
	}
	if end > from {
		r.Tail = end - from
	}
}

type verifier struct {
	in      *bufio.Reader
	anchors map[uint64][]receipt.Digest // that are not found yet
	report  Report
	line    int
	begun   bool // a first line was read
	skipped int  // lines since the fault
	foreign bool // this is another log than the one of an anchor
}

func (v *verifier) read() error {
	for {
		line, whole, err := v.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		v.line++
		if !whole {
			// The last line has no end: what a crash leaves behind. All of the
			// record may be there but for that. No crash leaves one too long.
			v.report.Torn = true
			if line != nil && !v.follows(line) {
				continue
			}
		}
		v.take(line)
	}
}

// next returns the next line without its end; nil if it is too long to be one of a
// log, whose bytes are dropped. whole is false if the line has no end: who goes on
// must end it first, however long it is.
func (v *verifier) next() (line []byte, whole bool, err error) {
	line, err = v.in.ReadSlice('\n')
	switch {
	case err == nil:
		return line[:len(line)-1], true, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, false, nil
	case !errors.Is(err, bufio.ErrBufferFull):
		return nil, false, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = v.in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return nil, err == nil, nil
}

// follows reports whether a line is the record that comes next.
func (v *verifier) follows(line []byte) bool {
	hash, text, r, err := parseLine(line)
	return err == nil && v.report.Fault == nil && r.Seq == v.report.Next && chained(v.report.Chain, text) == hash
}

// take looks at one line.
func (v *verifier) take(line []byte) {
	if !v.begun {
		v.begun = true
		if bytes.HasPrefix(line, []byte(earlier)) {
			v.takeEarlier(line)
			return
		}
	}
	hash, text, r, err := parseLine(line)
	if v.report.Fault != nil {
		v.skipped++
		if err == nil {
			v.resume(hash, text, r)
		}
		return
	}
	if err != nil {
		v.fault("%v", err)
		return
	}
	v.follow(hash, text, r)
}

func (v *verifier) takeEarlier(line []byte) {
	next, hash, err := parseEarlier(line)
	if err != nil {
		v.fault("%v", err)
		return
	}
	v.report.First, v.report.Next, v.report.Chain = next, next, hash
}

func (v *verifier) fault(format string, args ...any) {
	v.report.Fault = &Fault{Line: v.line, Sequence: v.report.Next, Why: fmt.Sprintf(format, args...)}
	v.skipped = 1
}

// follow checks a record that should come right after the last one.
func (v *verifier) follow(hash receipt.Digest, text []byte, r record) {
	if r.Type == typeGap {
		v.gap(hash, text, r)
		return
	}
	switch {
	case r.Seq != v.report.Next:
		v.fault("record %d", r.Seq)
	case chained(v.report.Chain, text) != hash:
		v.fault("its hash is not that of its text behind the record before")
	default:
		v.accept(hash, r)
	}
}

// resume looks, behind lines that cannot be believed, for the record in which the
// box says so. It hangs on the last good one. Nothing explains away that another
// record was signed.
func (v *verifier) resume(hash receipt.Digest, text []byte, r record) {
	switch {
	case v.foreign:
	case r.Type == typeGap && v.gapFits(hash, text, r):
		v.report.Fault = nil
		v.gap(hash, text, r)
	case r.Type == typeBroken && r.Seq == v.report.Next && chained(v.report.Chain, text) == hash:
		v.report.Fault = nil
		v.accept(hash, r)
	}
}

// maxSequence is the highest number of a record. No box gets there, and a gap that
// ended at the last number of all would begin the count anew.
const maxSequence = 1<<53 - 1

// gapFits: a gap begins where the log ended and says what its own hash hangs on.
// It may begin before that, if a line arrived that the box believes lost. Nobody
// but the box can put one in: later records would not hang on it.
func (v *verifier) gapFits(hash receipt.Digest, text []byte, r record) bool {
	chain, err := parseHash(r.Chain)
	next := v.report.Next
	return err == nil && r.From <= next && next <= r.Seq && r.From <= r.To && r.To < maxSequence && r.Seq == r.To+1 && chained(chain, text) == hash
}

func (v *verifier) gap(hash receipt.Digest, text []byte, r record) {
	if !v.gapFits(hash, text, r) {
		v.fault("a gap that does not begin here, or whose hash is wrong")
		return
	}
	note(v, &v.report.Gaps, Gap{r.From, r.To})
	v.report.Next = r.Seq
	v.accept(hash, r)
}

// accept takes a record whose place and hash are right.
func (v *verifier) accept(hash receipt.Digest, r record) {
	if why := v.meaning(r); why != "" {
		v.fault("%s", why)
		return
	}
	v.report.Chain, v.report.Next = hash, r.Seq+1
	for _, want := range v.anchors[r.Seq] {
		if want != hash {
			v.fault("another record than the one that was signed: the log is not the one of the receipt or head")
			v.report.Fault.Sequence, v.foreign = r.Seq, true
			return
		}
		v.report.Anchors++
	}
	delete(v.anchors, r.Seq)
}

// meaning looks at what a record says, and returns what is wrong with it.
func (v *verifier) meaning(r record) string {
	switch r.Type {
	case typeStart:
		return v.start(r)
	case typeHead:
		return v.head(r)
	case typeBroken:
		note(v, &v.report.Breaks, Break{r.Seq, r.Reason, v.skipped})
		v.skipped = 0
		return ""
	}
	run := v.run()
	switch {
	case run == nil && v.report.First == 0 && len(v.report.Gaps) == 0:
		return "a record before the first start"
	case run != nil && run.Stopped:
		return "a record after the end of the run"
	case r.Type == typeStop && run != nil:
		run.Stopped = true
	case r.Type == typeDecision && r.Allow:
		v.report.Allowed++
	case r.Type == typeDecision:
		v.report.Denied++
	}
	return ""
}

func (v *verifier) run() *Run {
	if len(v.report.Runs) == 0 {
		return nil
	}
	return &v.report.Runs[len(v.report.Runs)-1]
}

func (v *verifier) start(r record) string {
	run := Run{Sequence: r.Seq, Box: receipt.Box{Kind: r.Kind, Boot: r.Boot}}
	for text, into := range map[string]*receipt.Digest{r.Policy: &run.Box.Policy, r.Evidence: &run.Box.Evidence, r.Key: &run.Key} {
		digest, found := strings.CutPrefix(text, "sha256:")
		hash, err := parseHash(digest)
		if !found || err != nil {
			return "a start without digests of policy, evidence and key"
		}
		*into = hash
	}
	if kind, err := attest.ParseKind(r.Kind); err == nil {
		run.Box.Simulated = kind.Simulated()
	}
	note(v, &v.report.Runs, run)
	return ""
}

// head checks a signature over the chain before it.
func (v *verifier) head(r record) string {
	h, key, err := openHead(r.JWS)
	switch {
	case err != nil:
		return "a head that is not signed: " + err.Error()
	case r.Seq == 0 || h.Seq != r.Seq-1 || h.Chain != v.report.Chain:
		return "a head that was signed for another place"
	}
	run := v.run()
	if run == nil {
		note(v, &v.report.Runs, Run{Sequence: r.Seq, Partial: true, Key: key, Box: h.box()})
		run = v.run()
	}
	if run.Key != key || run.Box != h.box() {
		return "a head by another key, or of another box, than the start says"
	}
	at, err := time.Parse(timeForm, h.Time)
	if err != nil {
		return "a head without a time"
	}
	if run.Heads == 0 || at.Before(run.From) {
		run.From = at
	}
	if at.After(run.Until) {
		run.Until = at
	}
	run.Heads++
	run.Signed = h.Seq
	return ""
}

func (h head) box() receipt.Box {
	return receipt.Box{Policy: h.Policy, Kind: h.Kind, Evidence: h.Evidence, Simulated: h.Simulated, Boot: h.Boot}
}

// note keeps a finding, up to a bound; the last one stays the last.
func note[T any](v *verifier, list *[]T, one T) {
	if len(*list) == maxFindings {
		(*list)[maxFindings-1] = one
		v.report.Omitted++
		return
	}
	*list = append(*list, one)
}

// missing looks for anchors that the log does not reach.
func (v *verifier) missing(anchors []Anchor) {
	for _, a := range anchors {
		lost, signed := v.lost(a.Sequence)
		switch _, open := v.anchors[a.Sequence]; {
		case v.report.Fault != nil || signed || !open:
		case lost:
			v.report.Fault = &Fault{v.line, a.Sequence, fmt.Sprintf("a gap says that record %d was lost, that record was signed, and the gap is not: it was cut out", a.Sequence)}
		case a.Sequence >= v.report.Next || a.Sequence < v.report.First:
			v.report.Fault = &Fault{v.line, a.Sequence, fmt.Sprintf("the log ends before record %d, or begins behind it, and that record was signed: it was cut off", a.Sequence)}
		}
	}
}

// lost reports whether a gap says that a record never left the box, and whether
// the box signed that. Everybody can write a gap at the end of a log: its hash hangs
// on one that it names itself.
func (v *verifier) lost(seq uint64) (lost, signed bool) {
	for _, g := range v.report.Gaps {
		if seq >= g.From && seq <= g.To {
			lost, signed = true, signed || v.signedBy(g.To+1)
		}
	}
	return lost, signed
}

// signedBy reports whether a head of the run that a record is in stands behind it.
func (v *verifier) signedBy(seq uint64) bool {
	return slices.ContainsFunc(v.report.Runs, func(r Run) bool {
		return r.Heads > 0 && r.Signed >= seq && (r.Sequence <= seq || r.Partial)
	})
}

// earlier begins the first line of a log whose beginning is elsewhere, or gone:
// the number of the first record that is here, and the hash before it.
const earlier = "earlier "

func parseEarlier(line []byte) (uint64, receipt.Digest, error) {
	number, digits, found := strings.Cut(strings.TrimPrefix(string(line), earlier), " ")
	next, err := strconv.ParseUint(number, 10, 53) // up to maxSequence
	if !found || err != nil || next == 0 || strconv.FormatUint(next, 10) != number {
		return 0, receipt.Digest{}, errors.New("a first line that does not say what came before")
	}
	hash, err := parseHash(digits)
	if err != nil {
		return 0, receipt.Digest{}, err
	}
	return next, hash, nil
}

// openHead reads a signed head and says who signed it.
func openHead(token string) (head, receipt.Digest, error) {
	signed, err := jws.Open(token, HeadType, 1<<10)
	if err != nil {
		return head{}, receipt.Digest{}, err
	}
	var h head
	if err := strictjson.Decode(signed.Payload, &h, strictjson.Options{Limits: strictjson.Limits{Bytes: 1 << 10, Depth: 2}}); err != nil {
		return head{}, receipt.Digest{}, err
	}
	again, err := json.Marshal(h)
	if err != nil || !bytes.Equal(again, signed.Payload) || h.Version != 1 {
		return head{}, receipt.Digest{}, errors.New("a head that is not in its one spelling")
	}
	return h, receipt.Digest(signed.Key), nil
}
