package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/receipt"
)

const patience = time.Minute

// fakeKey is a key without evidence.
type fakeKey struct {
	signer *jws.Signer
	box    receipt.Box
	until  time.Time // for ever if zero
}

func (k *fakeKey) Signer() *jws.Signer { return k.signer }
func (k *fakeKey) Box() receipt.Box    { return k.box }
func (k *fakeKey) Until() time.Time {
	if k.until.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return k.until
}

func newKey(t testing.TB) *fakeKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jws.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeKey{signer: s, box: receipt.Box{
		Policy: receipt.Digest{1}, Kind: "sim-sev-snp", Evidence: receipt.Digest{2}, Simulated: true, Boot: fmt.Sprintf("%x", s.KeyID())[:32],
	}}
}

// sink is a sink that can be made to fail, or to wait.
type sink struct {
	mu   sync.Mutex
	text []byte
	take int // bytes that are still taken, then err; -1: all
	err  error
	gate chan struct{} // if set, each Write waits for one value
}

func newSink() *sink { return &sink{take: -1} }

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.take >= 0 && len(p) > s.take {
		n := s.take
		s.text, s.take = append(s.text, p[:n]...), 0
		return n, s.err
	}
	if s.take > 0 {
		s.take -= len(p)
	}
	s.text = append(s.text, p...)
	return len(p), nil
}

func (s *sink) fail(after int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take, s.err = after, err
}

func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text)
}

// ticking is a clock that moves by a microsecond at each look.
func ticking() func() time.Time {
	var mu sync.Mutex
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Microsecond)
		return at
	}
}

func config(t testing.TB, w interface{ Write([]byte) (int, error) }) Config {
	return Config{Key: newKey(t), Callers: []string{"clinic", `a "b" \`, "é\n"}, Sink: w, Now: ticking(), HeadAfter: time.Hour}
}

func open(t testing.TB, cfg Config, s State) *Log {
	t.Helper()
	l, err := New(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

func verify(t testing.TB, text []byte, anchors ...Anchor) Report {
	t.Helper()
	r, err := Verify(bytes.NewReader(text), anchors...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sound(t testing.TB, text []byte, anchors ...Anchor) Report {
	t.Helper()
	r := verify(t, text, anchors...)
	if r.Fault != nil {
		t.Fatalf("%v\n%s", r.Fault, text)
	}
	return r
}

func allow(caller string) Decision {
	return Decision{Caller: caller, Action: "query", Method: "POST", Allowed: true, Line: 5}
}

// TestLog: what goes in comes out, in a chain, signed to its end.
func TestLog(t *testing.T) {
	out := newSink()
	cfg := config(t, out)
	l := open(t, cfg, First())
	var at []Anchor
	for _, name := range append(cfg.Callers, "") {
		at = append(at, l.Decided(allow(name)))
	}
	at = append(at, l.Decided(Decision{Caller: "clinic", Action: "delete", Method: "GET", Line: 7, Code: 403}))
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := out.bytes()
	r := sound(t, text, at...)
	// start, head, 5 decisions, stop, head
	if r.First != 0 || r.Next != 9 || r.Allowed != 4 || r.Denied != 1 || r.Anchors != 5 || r.Torn || len(r.Runs) != 1 || len(r.Breaks)+len(r.Gaps) != 0 {
		t.Errorf("%+v\n%s", r, text)
	}
	run, key := r.Runs[0], cfg.Key.(*fakeKey)
	if run.Key != key.signer.KeyID() || run.Box != key.box || run.Heads != 2 || run.Signed != 7 || run.Tail != 0 || !run.Stopped || run.Partial {
		t.Errorf("run %+v", run)
	}
	for _, want := range []string{
		`"seq":0,"time":"2026-11-22T12:00:00.000002Z","type":"start","boot":"` + key.box.Boot + `","policy":"sha256:01`,
		`"seq":2,"time":"2026-11-22T12:00:00.000005Z","type":"decision","caller":"clinic","action":"query","method":"write","allow":true,"line":5,"code":0}`,
		`"caller":"a \"b\" \\"`, `"caller":"é\u000a"`, `"caller":"","action"`,
		`"caller":"clinic","action":"delete","method":"read","allow":false,"line":7,"code":403}`, `"type":"stop"}`,
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if l.Decided(allow("clinic")) != (receipt.Position{}) || l.Close(t.Context()) == nil || l.Rekey(newKey(t)) == nil {
		t.Error("a closed log goes on")
	}
	if head := l.Head(); head == "" {
		t.Error("no head")
	} else if a, by, err := AnchorOf(head + "\n"); err != nil || receipt.Digest(by) != run.Key || a.Sequence != 7 || sound(t, text, a).Anchors != 1 {
		t.Errorf("anchor %v, %v", a, err)
	}
}

// TestNothingOfARequest: whatever the ingress passes on by mistake, the log holds
// names of the policy and words of our own.
func TestNothingOfARequest(t *testing.T) {
	const canary = "CANARY7f3a91d2"
	out := newSink()
	l := open(t, config(t, out), First())
	for _, d := range []Decision{
		{Caller: canary, Action: canary, Method: canary}, {Caller: "clinic" + canary}, {Action: "query" + canary}, {Method: "GET" + canary, Line: -1, Code: -1},
	} {
		l.Decided(d)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := string(out.bytes())
	if strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
		t.Errorf("the canary is in the log:\n%s", text)
	}
	if !strings.Contains(text, `"caller":"?","action":"other","method":"other","allow":false,"line":0,"code":0}`) {
		t.Errorf("%s", text)
	}
	for method, class := range map[string]string{"GET": "read", "HEAD": "read", "OPTIONS": "read", "POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "write", "get": "other", "": "other"} {
		if methodClass(method) != class {
			t.Errorf("%q is %s", method, methodClass(method))
		}
	}
	for _, name := range []string{"query", "upload", "delete", "list", "observe", "restart", "exec", "shell", "debug"} {
		if action(name) != name {
			t.Errorf("%s is %s", name, action(name))
		}
	}
}

// TestHeads: the chain is signed after so many records, after so much time, and
// when somebody asks, and never over nothing new.
func TestHeads(t *testing.T) {
	out := newSink()
	cfg := config(t, out)
	cfg.HeadEvery = 3
	l := open(t, cfg, First())
	first := l.Head()
	if first == "" || l.Head() != first {
		t.Error("the start is not signed, or nothing new is")
	}
	for range 6 {
		l.Decided(allow("clinic"))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	r := sound(t, out.bytes())
	if r.Runs[0].Heads != 3 || r.Runs[0].Tail != 0 || r.Runs[0].Stopped {
		t.Errorf("%+v", r.Runs[0])
	}
	l.Decided(allow("clinic"))
	l.Sync()
	if r := sound(t, out.bytes()); r.Runs[0].Tail != 1 {
		t.Errorf("%+v", r.Runs[0])
	}
	if l.Head() == first {
		t.Error("no new head")
	}

	timed := newSink()
	cfg = config(t, timed)
	cfg.HeadAfter = time.Millisecond
	l = open(t, cfg, First())
	l.Decided(allow("clinic"))
	for deadline := time.Now().Add(patience); bytes.Count(timed.bytes(), []byte(`"head"`)) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no head after its time")
		}
	}
}

// TestEveryByteCounts: one changed byte anywhere is found, at its record; so is
// every cut before the last signed record.
func TestEveryByteCounts(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	for range 3 {
		l.Decided(allow("clinic"))
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := out.bytes()
	anchor, _, err := AnchorOf(l.Head())
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for _, flip := range []byte{1, 0x20}[i%2 : i%2+1] {
			bad := bytes.Clone(text)
			bad[i] ^= flip
			r := verify(t, bad)
			line := 1 + bytes.Count(text[:i], []byte{'\n'})
			last := i == len(text)-1
			if r.Fault == nil && !(last && r.Torn) || r.Fault != nil && r.Fault.Line != line {
				t.Fatalf("byte %d of line %d, %q to %q: %v", i, line, text[i], bad[i], r.Fault)
			}
		}
		if r := verify(t, text[:i], anchor); r.Fault == nil && i < bytes.LastIndexByte(text[:len(text)-1], '\n') {
			t.Fatalf("cut at %d: not noticed", i)
		}
	}
	lines := bytes.SplitAfter(text, []byte{'\n'})
	for i := range len(lines) - 2 {
		if r := verify(t, bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)); r.Fault == nil {
			t.Errorf("record %d can be left out", i)
		}
		swapped := append([][]byte{}, lines...)
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		if r := verify(t, bytes.Join(swapped, nil)); r.Fault == nil && i+2 < len(lines) {
			t.Errorf("records %d and %d can change places", i, i+1)
		}
	}
}

// TestAnchors: what was signed and is not there is noticed.
func TestAnchors(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	at := l.Decided(allow("clinic"))
	l.Close(t.Context())
	text := out.bytes()
	other := at
	other.Chain[0]++
	if f := verify(t, text, other).Fault; f == nil || !strings.Contains(f.Why, "another record") || f.Sequence != at.Sequence {
		t.Errorf("another chain: %v", f)
	}
	// No later record of the box explains that away.
	last := sound(t, text)
	more := appendLine(bytes.Clone(text), last.Chain, record{Seq: last.Next, Time: "2026-11-22T12:00:00.000000Z", Type: typeBroken, Reason: ReasonTorn})
	other = Anchor{Sequence: last.Next - 1, Chain: receipt.Digest{1}}
	if sound(t, more); verify(t, more, other).Fault == nil {
		t.Error("another record was signed, and the log says only that it is broken")
	}
	for _, seq := range []uint64{5, 99} {
		if f := verify(t, text, Anchor{Sequence: seq}).Fault; f == nil || !strings.Contains(f.Why, "cut off") {
			t.Errorf("behind the end: %v", f)
		}
	}
	if _, _, err := AnchorOf("x.y.z"); err == nil {
		t.Error("anything is a head")
	}
}

// TestGapOverAnchor: whoever keeps the log cannot cut out a record that was signed
// by saying that it was lost, not even under a signature of his own.
func TestGapOverAnchor(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	l.Decided(allow("clinic"))
	at := l.Decided(allow("clinic"))
	l.Close(t.Context())
	var text, there []byte
	for line := range bytes.Lines(out.bytes()) {
		if _, _, r, err := parseLine(bytes.TrimSpace(line)); err != nil || r.Seq > at.Sequence {
			break
		}
		text, there = there, append(bytes.Clone(there), line...)
	}
	before := sound(t, text)
	if f := verify(t, text, at).Fault; f == nil || !strings.Contains(f.Why, "cut off") {
		t.Fatalf("cut off: %v", f)
	}
	gap := record{Seq: at.Sequence + 1, Time: "2026-11-22T12:00:00.000000Z", Type: typeGap, From: before.Next, To: at.Sequence, Chain: strings.Repeat("0", 64)}
	sound(t, appendLine(there, receipt.Digest{}, gap), at) // what arrived is not lost, whoever says so
	text = appendLine(text, receipt.Digest{}, gap)
	forged := sound(t, text)
	if len(forged.Gaps) != 1 {
		t.Fatalf("%+v", forged)
	}
	if f := verify(t, text, at).Fault; f == nil || f.Sequence != at.Sequence || !strings.Contains(f.Why, "cut out") {
		t.Errorf("an unsigned gap: %v", f)
	}
	more := newSink()
	state, err := Resume(bytes.NewReader(text))
	if err != nil || state.Broken() != "" {
		t.Fatal(state.Broken(), err)
	}
	open(t, config(t, more), state).Close(t.Context())
	text = append(text, more.bytes()...)
	if sound(t, text); verify(t, text, at).Fault == nil {
		t.Error("another run's signature stands for the gap")
	}
}

// TestShortWrite: a sink that takes less and says nothing has failed all the same.
func TestShortWrite(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	out.fail(10, nil)
	l.Decided(allow("clinic"))
	if err := l.Sync(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v", err)
	}
}

// TestSlowSink: nobody waits for the sink. What it does not take is declared, and
// the chain goes on.
func TestSlowSink(t *testing.T) {
	out := newSink()
	out.gate = make(chan struct{})
	cfg := config(t, out)
	cfg.Buffer = 1 // raised to the least
	l := open(t, cfg, First())
	var at []Anchor
	for range 1000 {
		at = append(at, l.Decided(allow("clinic"))) // would hang here
	}
	close(out.gate)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	l.Decided(allow("clinic"))
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := sound(t, out.bytes(), at...)
	if len(r.Gaps) == 0 || r.Gaps[0].To < r.Gaps[0].From || r.Runs[0].Tail != 0 || !r.Runs[0].Stopped {
		t.Fatalf("%+v", r)
	}
	missing := uint64(0)
	for _, g := range r.Gaps {
		missing += g.To - g.From + 1
	}
	if r.Allowed+missing < 1001 || r.Allowed >= 1001 || len(out.bytes()) > 3*minBuffer {
		t.Errorf("%d allowed, %d missing, %d bytes", r.Allowed, missing, len(out.bytes()))
	}
}

// TestFailingSink: after a failure at any byte the log says what is missing.
func TestFailingSink(t *testing.T) {
	broken := errors.New("no space")
	whole := newSink()
	cfg := config(t, whole)
	run := func(l *Log, out *sink) {
		l.Sync()
		l.Decided(allow("clinic"))
		l.Decided(allow("clinic"))
		l.Sync()
		l.Decided(allow("clinic")) // fails again
		l.Sync()
		out.fail(-1, nil)
		l.Decided(allow("clinic"))
		l.Sync()
		l.Decided(allow("clinic"))
	}
	l := open(t, cfg, First())
	run(l, whole)
	l.Close(t.Context())
	size := len(whole.bytes())
	for n := 0; n < size; n += 3 {
		out := newSink()
		cfg.Sink = out
		l := open(t, cfg, First())
		l.Sync()
		out.fail(max(n-len(out.bytes()), 0), broken)
		run(l, out)
		if err := l.Close(t.Context()); len(out.bytes()) < size && !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		r := sound(t, out.bytes())
		if got := r.Allowed; r.Torn || r.Runs[0].Tail != 0 || got > 5 {
			t.Fatalf("after %d bytes: %+v\n%s", n, r, out.bytes())
		}
	}
}

// TestFailingTwice: the line that says what is missing can be lost, too.
func TestFailingTwice(t *testing.T) {
	for n := range 400 {
		out := newSink()
		l := open(t, config(t, out), First())
		l.Sync()
		out.fail(0, errors.New("gone"))
		l.Decided(allow("clinic"))
		l.Sync()
		out.fail(n, errors.New("gone again"))
		l.Decided(allow("clinic"))
		l.Sync()
		out.fail(-1, nil)
		l.Decided(allow("clinic"))
		l.Sync()
		l.Close(t.Context())
		r := sound(t, out.bytes())
		if len(r.Gaps) == 0 || r.Gaps[0].From != 2 || r.Torn {
			t.Fatalf("%d: %+v\n%s", n, r, out.bytes())
		}
	}
}

// TestResume: a log that was killed at any byte goes on, or says that it does not.
func TestResume(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	for range 3 {
		l.Decided(allow("clinic"))
	}
	l.Close(t.Context())
	text := out.bytes()
	for n := range len(text) + 1 {
		s, err := Resume(bytes.NewReader(text[:n]))
		if err != nil {
			t.Fatal(err)
		}
		want := ReasonTorn
		switch {
		case n == 0:
			want = ReasonMissing
		case text[n-1] == '\n':
			want = ""
		}
		if s.Broken() != want {
			t.Fatalf("after %d bytes: broken %q, expected %q", n, s.Broken(), want)
		}
		if n%7 != 0 && n < len(text)-3 {
			continue
		}
		next := newSink()
		next.text = bytes.Clone(text[:n])
		l := open(t, config(t, next), s)
		at := l.Decided(allow("clinic"))
		l.Close(t.Context())
		r := sound(t, next.bytes(), at)
		breaks := 0
		if want != "" {
			breaks = 1
		}
		if len(r.Breaks) != breaks || breaks == 1 && r.Breaks[0].Reason != want || r.Torn {
			t.Fatalf("after %d bytes: %+v\n%s", n, r, next.bytes())
		}
	}
}

// TestResumeAltered: what was changed is not believed, and not forgotten.
func TestResumeAltered(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	for range 3 {
		l.Decided(allow("clinic"))
	}
	l.Close(t.Context())
	text := bytes.Replace(out.bytes(), []byte(`"allow":true`), []byte(`"allow":null`), 1)
	s, err := Resume(bytes.NewReader(text))
	if err != nil || s.Broken() != ReasonAltered {
		t.Fatalf("%q, %v", s.Broken(), err)
	}
	next := newSink()
	next.text = text
	l = open(t, config(t, next), s)
	l.Decided(allow("clinic"))
	l.Close(t.Context())
	r := sound(t, next.bytes())
	if len(r.Breaks) != 1 || r.Breaks[0] != (Break{2, ReasonAltered, 6}) || len(r.Runs) != 2 || r.Allowed != 1 || r.Runs[0].Stopped {
		t.Errorf("%+v", r)
	}
	if _, err := Resume(failing{}); err == nil {
		t.Error("a log that cannot be read is empty")
	}
}

// TestResumeBeheaded: the box let nothing of its log go, so that one whose beginning is
// elsewhere is the keeper's work, be the rest in order or nothing.
func TestResumeBeheaded(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	at := l.Decided(allow("clinic"))
	l.Decided(allow("clinic"))
	l.Close(t.Context())
	lines := bytes.SplitAfter(out.bytes(), []byte{'\n'})
	beginning := fmt.Appendf(nil, "earlier %d %x\n", at.Sequence+1, at.Chain[:])
	for name, text := range map[string][]byte{
		"the rest": append(beginning, bytes.Join(lines[at.Sequence+1:], nil)...),
		"nothing":  []byte("earlier 500 " + strings.Repeat("ab", 32) + "\n"),
	} {
		s, err := Resume(bytes.NewReader(text))
		if err != nil || s.Broken() != ReasonAltered {
			t.Fatalf("%s: %q, %v", name, s.Broken(), err)
		}
		next := newSink()
		next.text = bytes.Clone(text)
		l := open(t, config(t, next), s)
		l.Decided(allow("clinic"))
		l.Close(t.Context())
		if r := sound(t, next.bytes()); len(r.Breaks) != 1 || r.Breaks[0].Reason != ReasonAltered || r.First == 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestResumeLong: a line without an end is ended before the log goes on, also one
// that is no line of a log.
func TestResumeLong(t *testing.T) {
	text := bytes.Repeat([]byte{'x'}, maxLine+1)
	s, err := Resume(bytes.NewReader(text))
	if err != nil || s.Broken() != ReasonAltered {
		t.Fatalf("%q, %v", s.Broken(), err)
	}
	next := newSink()
	next.text = text
	l := open(t, config(t, next), s)
	l.Decided(allow("clinic"))
	l.Close(t.Context())
	if r := sound(t, next.bytes()); len(r.Breaks) != 1 || r.Allowed != 1 {
		t.Errorf("%+v", r)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no") }

func TestRekey(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	l.Decided(allow("clinic"))
	second := newKey(t)
	if err := l.Rekey(second); err != nil || l.Rekey(nil) == nil {
		t.Fatal(err)
	}
	l.Decided(allow("clinic"))
	l.Close(t.Context())
	r := sound(t, out.bytes())
	if len(r.Runs) != 2 || r.Runs[1].Key != second.signer.KeyID() || r.Runs[0].Tail != 0 || r.Runs[1].Tail != 0 {
		t.Errorf("%+v", r.Runs)
	}
}

// TestForged: a head must be for its place, by the key of its run.
func TestForged(t *testing.T) {
	write := func(key *fakeKey, chain receipt.Digest, seq uint64) string {
		l := &Log{cfg: Config{Key: key, Now: ticking()}, seq: seq + 1, chain: chain, lastTime: ticking()()}
		token, err := l.sign()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	out := newSink()
	cfg := config(t, out)
	l := open(t, cfg, First())
	at := l.Decided(allow("clinic"))
	l.Sync()
	text := out.bytes()
	key := cfg.Key.(*fakeKey)
	otherBoot := *key
	otherBoot.box.Boot = strings.Repeat("0", 32)
	posing := newKey(t)
	posing.box = key.box
	for name, c := range map[string]struct {
		token, why string
	}{
		"good":        {write(key, at.Chain, at.Sequence), ""},
		"other key":   {write(newKey(t), at.Chain, at.Sequence), "another key"},
		"as the box":  {write(posing, at.Chain, at.Sequence), "another key"},
		"other boot":  {write(&otherBoot, at.Chain, at.Sequence), "another key"},
		"other chain": {write(key, receipt.Digest{9}, at.Sequence), "another place"},
		"other place": {write(key, at.Chain, at.Sequence-1), "another place"},
		"unsigned":    {"a.b.c", "not signed"},
	} {
		r := record{Seq: at.Sequence + 1, Time: "2026-11-22T12:00:00.000009Z", Type: typeHead, JWS: c.token}
		bad := appendLine(bytes.Clone(text), at.Chain, r)
		switch f := verify(t, bad).Fault; {
		case c.why == "" && f != nil, c.why != "" && (f == nil || !strings.Contains(f.Why, c.why)):
			t.Errorf("%s: %v", name, f)
		}
	}
	// Nothing is before the first record that a head could be of.
	first := record{Time: "2026-11-22T12:00:00.000009Z", Type: typeHead, JWS: write(key, receipt.Digest{}, math.MaxUint64)}
	if f := verify(t, appendLine(nil, receipt.Digest{}, first)).Fault; f == nil || !strings.Contains(f.Why, "another place") {
		t.Errorf("a head that comes first: %v", f)
	}
}

func appendLine(text []byte, prev receipt.Digest, r record) []byte {
	body := r.append(nil)
	hash := chained(prev, body)
	return fmt.Appendf(text, "%x %s\n", hash[:], body)
}

// TestHostileLogs: rules about what may follow what.
func TestHostileLogs(t *testing.T) {
	const now = "2026-11-22T12:00:00.000000Z"
	digest := receipt.Digest{7}.String()
	start := record{Time: now, Type: typeStart, Boot: "b", Policy: digest, Kind: "sim-sev-snp", Evidence: digest, Key: digest}
	decision := record{Time: now, Type: typeDecision}
	stop := record{Time: now, Type: typeStop}
	badStart := start
	badStart.Key = "sha256:00"
	bareStart := start
	bareStart.Policy = strings.TrimPrefix(digest, "sha256:")
	zero := strings.Repeat("0", 64)
	gap := func(from, to uint64) record { return record{Time: now, Type: typeGap, From: from, To: to, Chain: zero} }
	for name, c := range map[string]struct {
		list []record
		why  string
	}{
		"good":                {[]record{start, decision, stop, start, decision}, ""},
		"no start":            {[]record{decision}, "before the first start"},
		"after the stop":      {[]record{start, stop, decision}, "after the end"},
		"start, bare digest":  {[]record{bareStart}, "without digests"},
		"start without a key": {[]record{badStart}, "without digests"},
		"gap elsewhere":       {[]record{start, gap(2, 3)}, "does not begin here"},
		"gap to the end":      {[]record{gap(0, math.MaxUint64)}, "does not begin here"},
		"gap backwards":       {[]record{start, gap(1, 0)}, "does not begin here"},
	} {
		var text []byte
		var prev receipt.Digest
		for i, r := range c.list {
			r.Seq = uint64(i)
			text = appendLine(text, prev, r)
			prev = chained(prev, r.append(nil))
		}
		switch f := verify(t, text).Fault; {
		case c.why == "" && f != nil, c.why != "" && (f == nil || !strings.Contains(f.Why, c.why)):
			t.Errorf("%s: %v", name, f)
		}
	}
	text := appendLine(nil, receipt.Digest{}, start)
	skips := stop
	skips.Seq = 2
	if f := verify(t, appendLine(text, chained(receipt.Digest{}, start.append(nil)), skips)).Fault; f == nil || f.Why != "record 2" || f.Sequence != 1 {
		t.Errorf("a number is left out: %v", f)
	}
	long := append(bytes.Repeat([]byte{'x'}, 3*maxLine), '\n')
	if f := verify(t, long).Fault; f == nil || f.Line != 1 || !strings.Contains(f.Why, "not a hash") {
		t.Errorf("a long line: %v", f)
	}
	if r := verify(t, bytes.Repeat([]byte{'x'}, 3*maxLine)); r.Fault == nil || !r.Torn {
		t.Errorf("a long line without an end: %v, torn %t", r.Fault, r.Torn)
	}
	if f := verify(t, nil, Anchor{}).Fault; f == nil {
		t.Error("an empty log has its first record")
	}
}

// TestRing: what is let go is summed up by a hash, and the rest is verified.
func TestRing(t *testing.T) {
	ring := NewRing(6 << 10)
	cfg := config(t, ring)
	cfg.HeadEvery = 10
	l := open(t, cfg, First())
	l.Sync()
	if text := ring.Bytes(); bytes.HasPrefix(text, []byte(earlier)) || sound(t, text).First != 0 {
		t.Error("something was let go already")
	}
	var last Anchor
	for range 200 {
		last = l.Decided(allow("clinic"))
	}
	l.Close(t.Context())
	text := ring.Bytes()
	r := sound(t, text, last)
	if r.First == 0 || r.Next < 200 || len(text) > 6<<10+200 || len(r.Runs) != 1 || !r.Runs[0].Partial || r.Runs[0].Box != cfg.Key.Box() || r.Anchors != 1 {
		t.Errorf("%d bytes, %+v", len(text), r)
	}
	if f := verify(t, text, Anchor{Sequence: 1}).Fault; f == nil {
		t.Error("what was let go is there")
	}
	for _, bad := range []string{"earlier 0 " + strings.Repeat("0", 64), "earlier 01 " + strings.Repeat("0", 64), "earlier 1", "earlier 1 00", "earlier -1 " + strings.Repeat("0", 64)} {
		if f := verify(t, []byte(bad+"\n")).Fault; f == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no key": func(c *Config) { c.Key = nil }, "no signer": func(c *Config) { c.Key = &fakeKey{} }, "no sink": func(c *Config) { c.Sink = nil }, "no clock": func(c *Config) { c.Now = nil },
		"empty name": func(c *Config) { c.Callers = []string{""} }, "long name": func(c *Config) { c.Callers = []string{strings.Repeat("x", maxName+1)} }, "broken name": func(c *Config) { c.Callers = []string{"\xff"} },
		"heads": func(c *Config) { c.HeadEvery = -1 }, "time": func(c *Config) { c.HeadAfter = -1 }, "buffer": func(c *Config) { c.Buffer = -1 },
	} {
		cfg := config(t, newSink())
		change(&cfg)
		if l, err := New(cfg, First()); err == nil || l != nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := New(config(t, newSink()), State{}); err == nil {
		t.Error("nobody said whether there was a log")
	}
}

// TestClockSetBack: times never go back in a log.
func TestClockSetBack(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	out := newSink()
	cfg := config(t, out)
	cfg.Now = func() time.Time { at = at.Add(-time.Hour); return at }
	l := open(t, cfg, First())
	l.Decided(allow("clinic"))
	l.Close(t.Context())
	if n := bytes.Count(out.bytes(), []byte(`"time":"2026-11-22T10:00:00.000000Z"`)); n != 5 {
		t.Errorf("%d records\n%s", n, out.bytes())
	}
}

// TestCloseDoesNotHang: a sink that takes nothing cannot keep the box from ending.
func TestCloseDoesNotHang(t *testing.T) {
	out := newSink()
	out.gate = make(chan struct{})
	l, err := New(config(t, out), First())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(out.gate)
	<-l.done
}

// TestTogether: many goroutines, one chain.
func TestTogether(t *testing.T) {
	out := newSink()
	l := open(t, config(t, out), First())
	var wg sync.WaitGroup
	at := make([]Anchor, 800)
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				at[i*100+j] = l.Decided(allow("clinic"))
			}
		})
	}
	wg.Wait()
	l.Close(t.Context())
	if r := sound(t, out.bytes(), at...); r.Allowed != 800 || r.Anchors != 800 {
		t.Errorf("%d of 800, %d anchors", r.Allowed, r.Anchors)
	}
}

func FuzzVerify(f *testing.F) {
	out := newSink()
	cfg := config(f, out)
	l, err := New(cfg, First())
	if err != nil {
		f.Fatal(err)
	}
	l.Decided(allow("clinic"))
	l.Close(context.Background())
	f.Add(out.bytes())
	f.Add([]byte("earlier 3 " + strings.Repeat("0", 64) + "\n"))
	f.Add([]byte(strings.Repeat("0", 64) + ` {"seq":0}` + "\n"))
	f.Add(bytes.Repeat([]byte{'x'}, maxLine+1))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Verify(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Resume(bytes.NewReader(text))
		if err != nil || !s.known || s.next != r.Next {
			t.Fatalf("%v, %d and %d", err, s.next, r.Next)
		}
		// The next run, as New begins it but for the signatures.
		next := bytes.Clone(text)
		if s.torn {
			next = append(next, '\n')
		}
		digest := receipt.Digest{7}.String()
		list := []record{{Type: typeBroken, Reason: s.reason}, {Type: typeStart, Boot: "b", Policy: digest, Kind: "k", Evidence: digest, Key: digest}}
		if s.reason == "" {
			list = list[1:]
		}
		for _, one := range list {
			one.Seq, one.Time = s.next, "2026-11-22T12:00:00.000000Z"
			next = appendLine(next, s.chain, one)
			s.chain, s.next = chained(s.chain, one.append(nil)), s.next+1
		}
		if r := verify(t, next); r.Fault != nil || r.Next != s.next {
			t.Fatalf("a log that goes on is broken: %v\n%q", r.Fault, next)
		}
	})
}
