package seal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/receipt"
)

const patience = time.Minute

type fakeKey struct {
	signer *jws.Signer
	until  time.Time // for ever if zero
}

func (k *fakeKey) Signer() *jws.Signer { return k.signer }
func (k *fakeKey) Box() receipt.Box {
	return receipt.Box{Policy: receipt.Digest{1}, Kind: "sim-sev-snp", Evidence: receipt.Digest{2}, Simulated: true, Boot: strings.Repeat("ab", 16)}
}

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
	return &fakeKey{signer: s}
}

func today() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 5, time.UTC) }

// kept is a sink in memory that can fail or wait.
type kept struct {
	mu       sync.Mutex
	segments [][]byte
	err      error
	gate     chan struct{}
}

func (k *kept) WriteSegment(number uint64, sealed []byte) error {
	if k.gate != nil {
		<-k.gate
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.segments = append(k.segments, sealed)
	return nil
}

func (k *kept) list() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([][]byte(nil), k.segments...)
}

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func config(t testing.TB, to age.Recipient, sink Sink) Config {
	return Config{Recipient: to, Key: newKey(t), Sink: sink, Now: today, Every: time.Hour}
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// read opens segments in that order and returns what they hold.
func read(t testing.TB, id age.Identity, segments ...[]byte) (text string, logs []Chain, err error) {
	t.Helper()
	r, err := NewReader(id)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, s := range segments {
		err = r.Each(bytes.NewReader(s), func(s Segment) error {
			for _, e := range s.Entries {
				if e.Stream == Dropped {
					fmt.Fprintf(&out, "dropped:%d ", e.Lost())
				} else {
					fmt.Fprintf(&out, "%s:%s ", e.Stream, e.Data)
				}
			}
			return nil
		})
		if err != nil {
			break
		}
	}
	return out.String(), r.Logs(), err
}

// TestLog: what goes in comes out for the recipient, with either kind of key.
func TestLog(t *testing.T) {
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	x := identity(t)
	// Long enough that a ciphertext never holds them by chance.
	const first, second = "one line of the patient", "two lines of the patient"
	for _, c := range []struct {
		to string
		id age.Identity
	}{{x.Recipient().String(), x}, {pq.Recipient().String(), pq}} {
		to, err := ParseRecipient(c.to)
		if err != nil {
			t.Fatal(err)
		}
		sink := &kept{}
		cfg := config(t, to, sink)
		l := open(t, cfg)
		fmt.Fprint(l.Writer(Stdout), first)
		l.Event("app started")
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil || len(sink.list()) != 1 {
			t.Errorf("%v, %d segments: an empty one was sent", err, len(sink.list()))
		}
		n, err := l.Writer(Stderr).Write([]byte(second))
		if n != len(second) || err != nil || l.Close(t.Context()) != nil {
			t.Fatal(err)
		}
		text, logs, err := read(t, c.id, sink.list()...)
		if err != nil || text != "stdout:"+first+" event:app started stderr:"+second+" " {
			t.Fatalf("%v, %q", err, text)
		}
		want := Chain{ID: l.id, Key: cfg.Key.Signer().KeyID(), Box: cfg.Key.Box(), First: 0, Next: 2, Ended: true, From: today(), Until: today(), previous: l.previous}
		if len(logs) != 1 || logs[0] != want {
			t.Errorf("%+v, expected %+v", logs, want)
		}
		for _, s := range sink.list() {
			if bytes.Contains(s, []byte(first)) || bytes.Contains(s, []byte(second)) {
				t.Error("it can be read without the identity")
			}
		}
		if _, _, err := read(t, identity(t), sink.list()...); !errors.Is(err, ErrIdentity) {
			t.Errorf("another identity: %v", err)
		}
		fmt.Fprint(l.Writer(Stdout), "late")
		if l.Close(t.Context()) == nil || len(sink.list()) != 2 {
			t.Error("a closed log goes on")
		}
	}
}

// three is a log of three segments and the text of each.
func three(t testing.TB, key Key) (id *age.X25519Identity, segments [][]byte) {
	t.Helper()
	id = identity(t)
	sink := &kept{}
	cfg := config(t, id.Recipient(), sink)
	cfg.Key = key
	l := open(t, cfg)
	for i := range 3 {
		l.Event(fmt.Sprint(i))
		if i < 2 {
			l.Flush()
		}
	}
	l.Close(context.Background())
	return id, sink.list()
}

// TestPlaces: a segment that is missing, twice, out of order, or somebody else's.
func TestPlaces(t *testing.T) {
	key := newKey(t)
	id, s := three(t, key)
	forge := func(e ending, key *fakeKey, text string) []byte {
		t.Helper()
		whole, err := sign(key.signer, []byte(magic+text), e)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := encrypt(id.Recipient(), whole)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	_, logs, err := read(t, id, s[0])
	if err != nil {
		t.Fatal(err)
	}
	next := ending{Log: logs[0].ID, Segment: 1, Previous: logs[0].previous, Box: key.Box()}
	wrong := next
	wrong.Previous = receipt.Digest{9}
	otherBox := next
	otherBox.Box.Boot = strings.Repeat("cd", 16)
	first := ending{Log: "x", Segment: 0, Previous: receipt.Digest{1}, Box: key.Box()}
	later := ending{Log: "x", Segment: 3, Box: key.Box()}
	ended := next
	ended.Last = true
	for name, c := range map[string]struct {
		list [][]byte
		text string
		says string
	}{
		"all":                       {s, "event:0 event:1 event:2 ", ""},
		"the end cut off":           {s[:2], "event:0 event:1 ", ""},
		"beginning missing":         {s[1:], "event:1 event:2 ", ""},
		"middle missing":            {[][]byte{s[0], s[2]}, "event:0 ", "segment 1 of log " + logs[0].ID + " is missing, the next here is 2"},
		"twice":                     {[][]byte{s[0], s[0]}, "event:0 ", "out of order, or twice"},
		"out of order":              {[][]byte{s[1], s[0]}, "event:1 ", "out of order, or twice"},
		"behind the end":            {append(append([][]byte{}, s...), s[2]), "event:0 event:1 event:2 ", "behind the last"},
		"forged, other key":         {[][]byte{s[0], forge(next, newKey(t), "")}, "event:0 ", "another key"},
		"forged, other box":         {[][]byte{s[0], forge(otherBox, key, "")}, "event:0 ", "another key or box"},
		"other previous":            {[][]byte{s[0], forge(wrong, key, "")}, "event:0 ", "hangs on another"},
		"right next":                {[][]byte{s[0], forge(next, key, "")}, "event:0 ", ""},
		"first with another before": {[][]byte{forge(first, key, "")}, "", "hangs on the wrong"},
		"later with none before":    {[][]byte{forge(later, key, "")}, "", "hangs on the wrong"},
		"no log":                    {[][]byte{forge(ending{Box: key.Box()}, key, "")}, "", "one spelling"},
		"behind a last one":         {[][]byte{s[0], forge(ended, key, ""), s[2]}, "event:0 ", "behind the last"},
	} {
		text, logs, err := read(t, id, c.list...)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
		if text != c.text {
			t.Errorf("%s: %q", name, text)
		}
		switch name {
		case "all":
			if !logs[0].Ended || logs[0].First != 0 {
				t.Errorf("%+v", logs)
			}
		case "the end cut off":
			if logs[0].Ended || logs[0].Next != 2 {
				t.Errorf("%+v", logs)
			}
		case "beginning missing":
			if logs[0].First != 1 {
				t.Errorf("%+v", logs)
			}
		}
	}
	// Two boots of a box are two logs, in one heap.
	_, other := three(t, key)
	if _, _, err := read(t, id, append(s, other...)...); !errors.Is(err, ErrIdentity) {
		t.Errorf("%v", err)
	}
}

// TestChanged: one changed byte, and every cut, is found in a file and in a stream.
func TestChanged(t *testing.T) {
	id, s := three(t, newKey(t))
	var stream bytes.Buffer
	sink := NewStream(&stream)
	for i, one := range s {
		if err := sink.WriteSegment(uint64(i), one); err != nil {
			t.Fatal(err)
		}
	}
	whole := stream.Bytes()
	if text, _, err := read(t, id, whole); err != nil || text != "event:0 event:1 event:2 " {
		t.Fatalf("%v, %q", err, text)
	}
	ends := map[int]bool{}
	at := 0
	for _, one := range s {
		at += len(frameMagic) + 4 + len(one)
		ends[at] = true
	}
	for i := 0; i < len(whole); i += 3 + i%5 {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		if _, _, err := read(t, id, bad); err == nil {
			t.Fatalf("byte %d can be changed", i)
		}
		if _, _, err := read(t, id, whole[:i]); err == nil && !ends[i] {
			t.Fatalf("cut at %d", i)
		}
		if i < len(s[0]) {
			if _, _, err := read(t, id, s[0][:i]); err == nil {
				t.Fatalf("a file cut at %d", i)
			}
		}
	}
	if _, _, err := read(t, id, append(bytes.Clone(s[0]), 'x')); err == nil {
		t.Error("a byte behind a file")
	}
	if _, _, err := read(t, id, append(bytes.Clone(whole), frameMagic+"\xff\xff\xff\xff"...)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a length over the limit: %v", err)
	}
	if _, _, err := read(t, id, append(bytes.Clone(whole), frameMagic+"\x00"...)); err == nil || !strings.Contains(err.Error(), "in the middle of a segment") {
		t.Errorf("a length that is cut off: %v", err)
	}
}

// TestBehindTheLastChunk: age encrypts chunks of 64 KiB. A text that fills its last
// one is read to its end before the bytes behind it are found.
func TestBehindTheLastChunk(t *testing.T) {
	const chunk = 64 << 10
	key, id := newKey(t), identity(t)
	e := ending{Log: "x", Box: key.Box()}
	text := []byte(magic)
	for range 3 {
		text = appendEntry(text, Entry{Stream: Stdout, Time: today(), Data: make([]byte, maxEntry)})
	}
	bare, err := sign(key.signer, bytes.Clone(text), e)
	if err != nil {
		t.Fatal(err)
	}
	text = appendEntry(text, Entry{Stream: Stdout, Time: today(), Data: make([]byte, chunk-len(bare)-entryHead)})
	whole, err := sign(key.signer, text, e)
	if err != nil || len(whole) != chunk {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	sealed, err := encrypt(id.Recipient(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, logs, err := read(t, id, sealed); err != nil || len(logs) != 1 {
		t.Fatal(err)
	}
	if _, logs, err := read(t, id, append(sealed, 'x')); err == nil || len(logs) != 0 {
		t.Errorf("a byte behind it: %+v, %v", logs, err)
	}
}

// TestTexts: what is inside is read strictly.
func TestTexts(t *testing.T) {
	key := newKey(t)
	e := ending{Log: "x", Box: key.Box()}
	good, err := sign(key.signer, appendEntry([]byte(magic), Entry{Stream: Stdout, Time: today(), Data: []byte("x")}), e)
	if err != nil {
		t.Fatal(err)
	}
	entries, got, by, err := parse(good)
	if err != nil || len(entries) != 1 || string(entries[0].Data) != "x" || !entries[0].Time.Equal(today()) || got.Log != "x" || by != key.signer.KeyID() {
		t.Fatalf("%v, %+v", err, got)
	}
	for i := range good {
		for _, flip := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			if entries, _, _, err := parse(bad); err == nil {
				t.Fatalf("byte %d can be changed: %d entries", i, len(entries))
			}
		}
		if _, _, _, err := parse(good[:i]); err == nil {
			t.Fatalf("cut at %d", i)
		}
	}
	if _, _, _, err := parse(append(bytes.Clone(good), 0)); err == nil || !strings.Contains(err.Error(), "behind the end") {
		t.Errorf("more: %v", err)
	}
	for name, entry := range map[string][]byte{
		"stream 0": appendEntry(nil, Entry{Stream: 0, Time: today()}), "stream 6": appendEntry(nil, Entry{Stream: 6, Time: today()}),
		"long": appendEntry(nil, Entry{Stream: Stdout, Time: today(), Data: make([]byte, maxEntry+1)}),
	} {
		text, err := sign(key.signer, append([]byte(magic), entry...), e)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := parse(text); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	for name, c := range map[string]struct {
		typ     string
		payload func(string) string
		says    string
	}{
		"version 2": {SegmentType, func(s string) string { return strings.Replace(s, `"v":1`, `"v":2`, 1) }, "one spelling"},
		"a space":   {SegmentType, func(s string) string { return strings.Replace(s, `"v":1`, `"v": 1`, 1) }, "one spelling"},
		"unknown":   {SegmentType, func(s string) string { return strings.Replace(s, `"v":1`, `"v":1,"x":1`, 1) }, "strictjson"},
		"no log":    {SegmentType, func(s string) string { return strings.Replace(s, `"log":"x"`, `"log":""`, 1) }, "one spelling"},
		"a receipt": {"blindbox-receipt+jws", func(s string) string { return s }, "jws"},
		"as it is":  {SegmentType, func(s string) string { return s }, ""},
	} {
		body := []byte(magic)
		e.Version, e.Digest = 1, digestOf(body)
		plain, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		token, err := key.signer.Sign(c.typ, []byte(c.payload(string(plain))))
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = parse(appendEntry(body, Entry{Time: time.Unix(0, 0), Stream: end, Data: []byte(token)}))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
	}
	if (Entry{Stream: Dropped, Data: []byte{1}}).Lost() != 0 || (Entry{Stream: Stdout, Data: make([]byte, 8)}).Lost() != 0 {
		t.Error("a loss that is none")
	}
	for s, name := range map[Stream]string{Stdout: "stdout", Stderr: "stderr", Event: "event", Dropped: "dropped", 9: "invalid(9)"} {
		if s.String() != name {
			t.Errorf("%d is %s", s, s)
		}
	}
}

// TestFlood: an app that prints without end does not make itself, the box or the
// memory wait; the log says what is missing.
func TestFlood(t *testing.T) {
	id := identity(t)
	sink := &kept{gate: make(chan struct{})}
	cfg := config(t, id.Recipient(), sink)
	cfg.Size = 1 // raised to the least
	l := open(t, cfg)
	out := l.Writer(Stdout)
	line := bytes.Repeat([]byte("x"), 1000)
	for range 1000 {
		if n, err := out.Write(line); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if l.mu.Lock(); len(l.text) > minSize || len(l.full) > 1 {
		t.Errorf("%d bytes and %d segments wait", len(l.text), len(l.full))
	}
	l.mu.Unlock()
	close(sink.gate)
	l.Flush()
	out.Write([]byte("end"))
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, logs, err := read(t, id, sink.list()...)
	if err != nil || !strings.HasSuffix(text, " stdout:end ") {
		t.Fatalf("%v, ...%s", err, text[max(len(text)-50, 0):])
	}
	if got := strings.Count(text, "x"); logs[0].Dropped == 0 || uint64(got)+logs[0].Dropped != 1000*1000 {
		t.Errorf("%d arrived, %d dropped", got, logs[0].Dropped)
	}
}

// TestLostAtTheEnd: what was dropped last is told, too.
func TestLostAtTheEnd(t *testing.T) {
	id := identity(t)
	sink := &kept{gate: make(chan struct{})}
	cfg := config(t, id.Recipient(), sink)
	cfg.Size = 1
	l := open(t, cfg)
	for range 10 {
		l.Writer(Stdout).Write(make([]byte, maxEntry))
	}
	l.mu.Lock()
	lost := l.lost
	l.mu.Unlock()
	closed := make(chan error)
	go func() { closed <- l.Close(context.Background()) }()
	close(sink.gate)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, logs, err := read(t, id, sink.list()...); err != nil || lost == 0 || logs[0].Dropped != lost {
		t.Errorf("%v, %d lost, %+v", err, lost, logs)
	}
}

// TestFailingSink: a segment that the sink refuses is missing, and that is seen.
func TestFailingSink(t *testing.T) {
	id := identity(t)
	sink := &kept{}
	l := open(t, config(t, id.Recipient(), sink))
	l.Event("0")
	l.Flush()
	sink.mu.Lock()
	sink.err = errors.New("no space")
	sink.mu.Unlock()
	l.Event("1")
	if err := l.Flush(); !errors.Is(err, sink.err) {
		t.Errorf("%v", err)
	}
	sink.mu.Lock()
	sink.err = nil
	sink.mu.Unlock()
	l.Event("2")
	l.Close(t.Context())
	if text, _, err := read(t, id, sink.list()...); err == nil || !strings.Contains(err.Error(), "segment 1 of log") || text != "event:0 " {
		t.Errorf("%v, %q", err, text)
	}
}

// TestFailingEnd: the end that the sink refuses is told to whoever closes the log.
func TestFailingEnd(t *testing.T) {
	sink := &kept{}
	l := open(t, config(t, identity(t).Recipient(), sink))
	l.Event("0")
	sink.mu.Lock()
	sink.err = errors.New("no space")
	sink.mu.Unlock()
	if err := l.Close(t.Context()); !errors.Is(err, sink.err) {
		t.Errorf("%v", err)
	}
}

// TestTimed: a segment that is not full is sent after a while.
func TestTimed(t *testing.T) {
	id := identity(t)
	sink := &kept{}
	cfg := config(t, id.Recipient(), sink)
	cfg.Every = time.Millisecond
	l := open(t, cfg)
	l.Event("x")
	for deadline := time.Now().Add(patience); len(sink.list()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was sent")
		}
	}
}

// TestCloseDoesNotHang: a sink that takes nothing cannot keep the box from ending.
func TestCloseDoesNotHang(t *testing.T) {
	sink := &kept{gate: make(chan struct{})}
	l, err := New(config(t, identity(t).Recipient(), sink))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(sink.gate)
	<-l.done
}

// TestDirectory: a file for each segment, the last few of them, none half-written.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	sink, err := NewDirectory(dir, "box", 2)
	if err != nil {
		t.Fatal(err)
	}
	id, s := three(t, newKey(t))
	for i, one := range s {
		if err := sink.WriteSegment(uint64(i), one); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if fmt.Sprint(files) != fmt.Sprint([]string{filepath.Join(dir, "box-00000001.age"), filepath.Join(dir, "box-00000002.age")}) {
		t.Errorf("%v", files)
	}
	var list [][]byte
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	if text, logs, err := read(t, id, list...); err != nil || text != "event:1 event:2 " || logs[0].First != 1 {
		t.Errorf("%v, %q", err, text)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), files[0]} {
		if _, err := NewDirectory(bad, "box", 1); err == nil {
			t.Errorf("%s is a directory", bad)
		}
	}
	if _, err := NewDirectory(dir, "box", 0); err == nil {
		t.Error("nothing is kept")
	}
	// What is to make room cannot be removed.
	if err := errors.Join(os.Remove(files[0]), os.MkdirAll(filepath.Join(files[0], "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := sink.WriteSegment(3, s[0]); err == nil {
		t.Error("a segment more than are to be kept, and nothing said")
	}
	os.RemoveAll(dir)
	if err := sink.WriteSegment(3, s[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written into nothing: %v", err)
	}
}

// TestDirectoryOfAnother: whoever has the directory cannot make the box write to its
// own files by a link, and what is left of a box that was killed is in nobody's way.
func TestDirectoryOfAnother(t *testing.T) {
	dir, own := t.TempDir(), filepath.Join(t.TempDir(), "own")
	sink, err := NewDirectory(dir, "box", 2)
	if err := errors.Join(err, os.WriteFile(own, []byte("mine"), 0o600), os.Symlink(own, filepath.Join(dir, "box-00000000.age.tmp")),
		os.WriteFile(filepath.Join(dir, "box-00000001.age.tmp"), []byte("longer than a segment"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := sink.WriteSegment(uint64(i), []byte("sealed")); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("box-%08d.age", i))); string(got) != "sealed" {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
	if got, err := os.ReadFile(own); string(got) != "mine" {
		t.Errorf("the box's own file: %q, %v", got, err)
	}
}

// stubborn is a key that signs no more.
type stubborn struct{ *ecdsa.PrivateKey }

func (stubborn) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("worn out")
}

// nobody is a recipient for whom nothing can be encrypted.
type nobody struct{}

func (nobody) Wrap([]byte) ([]*age.Stanza, error) { return nil, errors.New("worn out") }

// TestNothingHalfDone: what cannot be signed, or cannot be encrypted, does not leave
// the box, and the box is told.
func TestNothingHalfDone(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jws.NewSigner(stubborn{private})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"signed":    func(c *Config) { c.Key = &fakeKey{signer: signer} },
		"encrypted": func(c *Config) { c.Recipient = nobody{} },
	} {
		sink := &kept{}
		cfg := config(t, identity(t).Recipient(), sink)
		change(&cfg)
		l := open(t, cfg)
		l.Event("x")
		if err := l.Flush(); err == nil || !strings.Contains(err.Error(), "worn out") || len(sink.list()) != 0 {
			t.Errorf("not %s: %v, %d segments", name, err, len(sink.list()))
		}
	}
}

// writer says what a Write of n bytes returns.
type writer func(n int) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(len(p)) }

func TestRefused(t *testing.T) {
	if err := NewStream(writer(func(n int) (int, error) { return n - 1, nil })).WriteSegment(0, []byte("x")); err == nil {
		t.Error("a byte is missing")
	}
	if err := NewStream(writer(func(n int) (int, error) { return n, io.ErrClosedPipe })).WriteSegment(0, []byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the writer's error is lost: %v", err)
	}
	good := config(t, identity(t).Recipient(), &kept{})
	for name, change := range map[string]func(*Config){
		"recipient": func(c *Config) { c.Recipient = nil }, "key": func(c *Config) { c.Key = nil }, "signer": func(c *Config) { c.Key = &fakeKey{} },
		"sink": func(c *Config) { c.Sink = nil }, "clock": func(c *Config) { c.Now = nil }, "size": func(c *Config) { c.Size = -1 },
		"large": func(c *Config) { c.Size = MaxSegment }, "every": func(c *Config) { c.Every = -1 },
	} {
		cfg := good
		change(&cfg)
		if l, err := New(cfg); err == nil || l != nil {
			t.Errorf("no %s is accepted", name)
		}
	}
	for _, text := range []string{"", "age1", "age1pq1x", "ssh-ed25519 AAAA", "age1yubikey1q", "AGE-SECRET-KEY-1"} {
		if r, err := ParseRecipient(text); err == nil || r != nil {
			t.Errorf("%q is a recipient", text)
		}
	}
	if _, err := NewReader(); err == nil {
		t.Error("no identity")
	}
	r, _ := NewReader(identity(t))
	for name, file := range map[string]string{"empty": "", "other": "hello, this is not a segment", "short": "age", "frame": frameMagic + "\x00\x00\x00\x05abc"} {
		if err := r.Each(strings.NewReader(file), func(Segment) error { return nil }); err == nil {
			t.Errorf("%s is opened", name)
		}
	}
	for says, file := range map[string]io.Reader{
		"an empty file": strings.NewReader(""), "segment should begin": strings.NewReader("something else altogether"),
		"over": io.MultiReader(strings.NewReader(ageMagic), endless{}), "no": io.MultiReader(strings.NewReader(ageMagic), broken{}),
	} {
		if err := r.Each(file, func(Segment) error { return nil }); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, expected %q", err, says)
		}
	}
	large := identity(t)
	sealed, err := encrypt(large.Recipient(), make([]byte, MaxSegment+1))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(t, large, sealed); err == nil || !strings.Contains(err.Error(), "over") {
		t.Errorf("a text over the limit: %v", err)
	}
	id, s := three(t, newKey(t))
	r, _ = NewReader(id)
	stop := errors.New("enough")
	if err := r.Each(bytes.NewReader(s[0]), func(Segment) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
	if err := r.Each(io.MultiReader(strings.NewReader(ageMagic), endless{}), func(Segment) error { return nil }); err == nil {
		t.Error("a file without an end")
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("no") }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func FuzzParse(f *testing.F) {
	key := newKey(f)
	text, err := sign(key.signer, appendEntry([]byte(magic), Entry{Stream: Stdout, Time: today(), Data: []byte("x")}), ending{Log: "x", Box: key.Box()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, text []byte) {
		if entries, e, _, err := parse(text); err != nil && (entries != nil || e != ending{}) {
			t.Error("a value beside an error")
		}
	})
}

func FuzzReader(f *testing.F) {
	id, s := three(f, newKey(f))
	f.Add(s[0])
	f.Add([]byte(frameMagic + "\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(id)
		if err != nil {
			t.Fatal(err)
		}
		r.Each(bytes.NewReader(file), func(Segment) error { return nil })
	})
}

// BenchmarkWrite is 100 bytes that an app prints: sealed, and to a bytes.Buffer.
func BenchmarkWrite(b *testing.B) {
	line := bytes.Repeat([]byte("x"), 100)
	b.Run("sealed", func(b *testing.B) {
		l, err := New(config(b, identity(b).Recipient(), &void{}))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(100)
		w := l.Writer(Stdout)
		for b.Loop() {
			w.Write(line)
		}
		l.Flush()
		l.mu.Lock()
		b.ReportMetric(float64(l.lost), "lost-B")
		l.mu.Unlock()
	})
	b.Run("buffer", func(b *testing.B) {
		b.SetBytes(100)
		var w bytes.Buffer
		for b.Loop() {
			if w.Len() > DefaultSize {
				w.Reset()
			}
			w.Write(line)
		}
	})
}

// BenchmarkSegment is to sign and encrypt 256 KiB.
func BenchmarkSegment(b *testing.B) {
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		b.Fatal(err)
	}
	key := newKey(b)
	for name, to := range map[string]age.Recipient{"x25519": identity(b).Recipient(), "hybrid": pq.Recipient()} {
		b.Run(name, func(b *testing.B) {
			l := &Log{cfg: config(b, to, &void{}), id: "x"}
			l.cfg.Key = key
			text := append([]byte(magic), make([]byte, DefaultSize)...)
			b.SetBytes(DefaultSize)
			for b.Loop() {
				if err := l.sendSegment(text, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type void struct{}

func (void) WriteSegment(uint64, []byte) error { return nil }
