// Package audit answers one question: what did the policy decide in this box, and
// is this the whole list?
//
// Every decision becomes a record in a chain of hashes: the hash of each is taken
// over the one before, so that nothing can be changed, left out or put in between
// without every later hash being another. Now and then the box signs the last one
// with a key that its hardware names (package box/signing). Whoever keeps such a
// head, or a receipt, which is one too, sees when a log ends before it.
//
// A record holds a time, the caller's name in the policy, the action, whether the
// method reads or writes, the line of the policy that decided, and a number. All of
// it is the policy's or ours: what is not a name of the policy is not written down.
// No path, header, body, model name or other text of a request can get in.
//
// The sink is outside and is not trusted, not even to be there. Requests never wait
// for it: what does not fit into the buffer is left out and a record says which
// numbers are missing and what their hash was. After a restart [Resume] reads what
// there is. The chain goes on behind it, or a record says that it is broken and
// why; a chain that begins anew at number 0 is itself visible.
//
// The text has one record on a line, "HASH RECORD", the record being JSON:
//
//	8b5c.. {"seq":3,"time":"2026-11-22T12:00:00.000000Z","type":"decision",...}
//
// The package stands inside the box. Its reader, [Verify], also stands with the
// relying party and takes files from strangers.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/receipt"
)

// HeadType is the "typ" of a signed head.
const HeadType = "blindbox-audit-head+jws"

// Key signs heads and says for which box. *signing.Key is one.
type Key interface {
	Signer() *jws.Signer
	Box() receipt.Box
	// Until is the end of what its evidence vouches for: nobody has to believe what
	// is signed after that.
	Until() time.Time
}

// Config is what a Log is made of. Key, Callers, Sink and Now are required.
type Config struct {
	Key Key
	// Callers are the names that the policy has. A record holds no other.
	Callers []string
	// Sink gets whole lines, several at a time. It may be slow and may fail.
	Sink io.Writer
	Now  func() time.Time
	// HeadEvery is after how many records the chain is signed, 512 if zero;
	// HeadAfter after which time at the latest, ten seconds if zero.
	HeadEvery int
	HeadAfter time.Duration
	// Buffer bounds what waits for the sink, in bytes, 1 MiB if zero.
	Buffer int
}

// Defaults of a Config.
const (
	DefaultHeadEvery = 512
	DefaultHeadAfter = 10 * time.Second
	DefaultBuffer    = 1 << 20
	minBuffer        = 4 * maxLine
	maxName          = 256 // bytes of a caller's name; six times that with escapes is below maxLine
)

// Decision is what is written down about a request.
type Decision struct {
	Caller string // as the policy names it; empty if nobody was recognised
	Action string // query, upload, delete, list or observe; or what an operator does
	// Method is reduced to whether it reads or writes.
	Method  string
	Allowed bool
	Line    int // of the policy document
	Code    int // of the box's own answer, 403 for BBX-403; 0 if there was none
}

// Log is an open log. It is safe for concurrent use. Close it, so that its end is
// signed.
type Log struct {
	cfg     Config
	callers map[string]bool
	wake    chan struct{} // capacity 1: something is pending
	done    chan struct{} // closed when the writer has ended

	mu       sync.Mutex
	idle     sync.Cond // the writer has written a batch, or failed
	seq      uint64    // of the next record
	chain    receipt.Digest
	scratch  []byte
	lastTime time.Time
	unsigned int // records since the last head
	head     string

	pending []byte // whole lines for the sink
	first   uint64 // sequence of the first of them
	gapFrom uint64 // what the first of them says is lost from here, if it is a gap
	spare   []byte
	writing bool
	lost    bool // records from lostSeq on will not reach the sink
	lostSeq uint64
	torn    bool // the sink may end in the middle of a line
	err     error
	closing bool
}

// New opens a log behind what there is. state comes from [First] or [Resume].
func New(cfg Config, state State) (*Log, error) {
	switch {
	case cfg.Key == nil || cfg.Key.Signer() == nil:
		return nil, errors.New("audit: no key")
	case cfg.Sink == nil:
		return nil, errors.New("audit: no sink")
	case cfg.Now == nil:
		return nil, errors.New("audit: no clock")
	case !state.known:
		return nil, errors.New("audit: no state: nobody said whether a log goes on or begins")
	case cfg.HeadEvery < 0 || cfg.HeadAfter < 0 || cfg.Buffer < 0:
		return nil, fmt.Errorf("audit: negative limit: a head every %d records or %s, a buffer of %d", cfg.HeadEvery, cfg.HeadAfter, cfg.Buffer)
	}
	cfg.HeadEvery, cfg.HeadAfter = orDefault(cfg.HeadEvery, DefaultHeadEvery), orDefault(cfg.HeadAfter, DefaultHeadAfter)
	cfg.Buffer = max(orDefault(cfg.Buffer, DefaultBuffer), minBuffer)
	l := &Log{
		cfg: cfg, callers: map[string]bool{}, wake: make(chan struct{}, 1), done: make(chan struct{}),
		seq: state.next, chain: state.chain, torn: state.torn,
	}
	l.idle.L = &l.mu
	for _, name := range cfg.Callers {
		if name == "" || len(name) > maxName || !utf8.ValidString(name) {
			return nil, fmt.Errorf("audit: a caller's name of %d bytes, expected 1 to %d of UTF-8", len(name), maxName)
		}
		l.callers[name] = true
	}
	if err := expired(cfg.Key, cfg.Now()); err != nil {
		return nil, err
	}
	l.begin(state)
	go l.write()
	return l, nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// begin writes what every run begins with.
func (l *Log) begin(state State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state.reason != "" {
		l.add(&record{Type: typeBroken, Reason: state.reason})
	}
	l.start()
	l.signHead()
}

// start names who signs from here on. It needs the lock.
func (l *Log) start() {
	box, id := l.cfg.Key.Box(), l.cfg.Key.Signer().KeyID()
	l.add(&record{
		Type: typeStart, Boot: box.Boot, Policy: box.Policy.String(), Kind: box.Kind,
		Evidence: box.Evidence.String(), Key: receipt.Digest(id).String(),
	})
}

// Decided writes a decision down and returns its place.
func (l *Log) Decided(d Decision) receipt.Position {
	r := record{
		Type: typeDecision, Action: action(d.Action), Method: methodClass(d.Method),
		Allow: d.Allowed, Line: max(d.Line, 0), Code: max(d.Code, 0),
	}
	switch {
	case l.callers[d.Caller]:
		r.Caller = d.Caller
	case d.Caller != "":
		r.Caller = "?" // not a name of the policy, so it is somebody's input
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return receipt.Position{}
	}
	at := l.add(&r)
	if l.unsigned >= l.cfg.HeadEvery {
		l.signHead()
	}
	return at
}

// action returns one of our own words.
func action(name string) string {
	switch name {
	case "query", "upload", "delete", "list", "observe", "restart", "exec", "shell", "debug":
		return name
	}
	return "other"
}

func methodClass(method string) string {
	switch method {
	case "GET", "HEAD", "OPTIONS":
		return "read"
	case "POST", "PUT", "PATCH", "DELETE":
		return "write"
	}
	return "other"
}

// add chains a record and hands it to the writer. It needs the lock. If records
// were lost, the next to reach the sink says so; it is always the first of a batch.
func (l *Log) add(r *record) receipt.Position {
	if l.lost && len(l.pending) == 0 {
		l.lost, l.gapFrom = false, l.lostSeq
		l.put(&record{Type: typeGap, From: l.lostSeq, To: l.seq - 1, Chain: hex.EncodeToString(l.chain[:])})
	}
	return l.put(r)
}

// put does not look for gaps.
func (l *Log) put(r *record) receipt.Position {
	text := l.encode(r)
	l.chain = sha256.Sum256(l.scratch)
	at := receipt.Position{Sequence: l.seq, Chain: l.chain}
	if len(l.pending) == 0 {
		l.first = l.seq
	}
	l.seq++
	l.unsigned++
	switch size := 2*len(l.chain) + 3 + len(text); {
	case l.lost:
	case len(l.pending)+size > l.cfg.Buffer:
		l.lost, l.lostSeq = true, at.Sequence
	default:
		l.line(text)
	}
	return at
}

// prefix is what the hash covers before the text: the hash before, and the length.
const prefix = sha256.Size + 8

// encode fills the scratch buffer with what the hash of r is over, and returns the
// part of it that is the text.
func (l *Log) encode(r *record) []byte {
	now := l.cfg.Now()
	if now.Before(l.lastTime) {
		now = l.lastTime // a clock that was set back would look like records in the wrong order
	}
	l.lastTime = now
	r.Seq = l.seq
	b := append(l.scratch[:0], l.chain[:]...)
	b = append(b, make([]byte, 8)...)
	b = r.appendAt(b, now)
	binary.BigEndian.PutUint64(b[sha256.Size:], uint64(len(b)-prefix))
	l.scratch = b
	return b[prefix:]
}

// appendAt is append without a string for the time.
func (r *record) appendAt(b []byte, at time.Time) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), r.Seq, 10)
	b = append(b, `,"time":"`...)
	b = at.UTC().AppendFormat(b, timeForm)
	return r.appendRest(append(b, '"'))
}

// line puts the record that was just hashed into the buffer and wakes the writer.
func (l *Log) line(text []byte) {
	if l.torn {
		l.pending = append(l.pending, '\n')
		l.torn = false
	}
	l.pending = hex.AppendEncode(l.pending, l.chain[:])
	l.pending = append(l.pending, ' ')
	l.pending = append(l.pending, text...)
	l.pending = append(l.pending, '\n')
	l.nudge()
}

// signHead signs the chain as it is. It needs the lock.
func (l *Log) signHead() {
	if l.unsigned == 0 {
		return
	}
	token, err := l.sign()
	if err != nil {
		l.err = err // the chain goes on; another key signs all of it, see Rekey
		return
	}
	l.head = token
	l.add(&record{Type: typeHead, JWS: token})
	l.unsigned = 0
}

// expired refuses a key that nothing vouches for any longer.
func expired(k Key, now time.Time) error {
	if now.After(k.Until()) {
		return fmt.Errorf("audit: the key may sign until %s, and it is %s: the log goes on without a signature until there is another key",
			k.Until().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func (l *Log) sign() (string, error) {
	// Not by the clock alone: it can be set back, and the records' time is not.
	now := l.cfg.Now()
	if now.Before(l.lastTime) {
		now = l.lastTime
	}
	if err := expired(l.cfg.Key, now); err != nil {
		return "", err
	}
	box := l.cfg.Key.Box()
	payload, err := json.Marshal(head{
		Version: 1, Seq: l.seq - 1, Chain: l.chain, Time: l.lastTime.UTC().Format(timeForm), Boot: box.Boot,
		Policy: box.Policy, Kind: box.Kind, Evidence: box.Evidence, Simulated: box.Simulated,
	})
	if err != nil {
		return "", fmt.Errorf("audit: head: %w", err)
	}
	token, err := l.cfg.Key.Signer().Sign(HeadType, payload)
	if err != nil {
		return "", fmt.Errorf("audit: head: %w", err)
	}
	return token, nil
}

// Head signs the chain, if there is something new in it, and returns the last head.
// It is for everybody to keep.
func (l *Log) Head() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing {
		l.signHead()
	}
	return l.head
}

// LastHead returns the last head and signs nothing. It costs a reader nothing to ask
// for it as often as he likes.
func (l *Log) LastHead() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Rekey goes on with another key, whose evidence is newer. The old one signs what
// came before.
func (l *Log) Rekey(k Key) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closing:
		return errClosed
	case k == nil || k.Signer() == nil:
		return errors.New("audit: no key")
	}
	if err := expired(k, l.cfg.Now()); err != nil {
		return err
	}
	l.signHead()
	l.cfg.Key = k
	l.start()
	l.signHead()
	return nil
}
