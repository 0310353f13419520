package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/receipt"
)

// Sink takes one encrypted segment at a time, in order. It is outside.
type Sink interface {
	WriteSegment(number uint64, sealed []byte) error
}

// Key signs the ends of segments. *signing.Key is one.
type Key interface {
	Signer() *jws.Signer
	Box() receipt.Box
	// Until is the end of what its evidence vouches for.
	Until() time.Time
}

// Config is what a Log is made of. Recipient, Key, Sink and Now are required.
type Config struct {
	Recipient age.Recipient
	Key       Key
	Sink      Sink
	Now       func() time.Time
	// Size is how many bytes of text a segment has at most, 256 KiB if zero. A log
	// holds three times that in memory.
	Size int
	// Every is after which time a segment that is not full is sent, ten seconds if
	// zero. What was not sent is lost if the box is killed.
	Every time.Duration
}

// Defaults of a Config.
const (
	DefaultSize  = 256 << 10
	DefaultEvery = 10 * time.Second
	minSize      = 2 * (maxEntry + maxEnd)
)

// Log collects entries into segments. It is safe for concurrent use, and never
// makes the app wait.
type Log struct {
	cfg  Config
	id   string
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	idle    sync.Cond
	text    []byte   // of the segment that is being filled
	full    [][]byte // one at most, waiting to be sent
	spare   [][]byte
	lost    uint64 // bytes that were left out since the last entry
	sending bool
	closing bool
	err     error

	number   uint64 // of the next segment; the sender's alone
	previous receipt.Digest
}

// New begins a log.
func New(cfg Config) (*Log, error) {
	switch {
	case cfg.Recipient == nil:
		return nil, errors.New("seal: no recipient")
	case cfg.Key == nil || cfg.Key.Signer() == nil:
		return nil, errors.New("seal: no key")
	case cfg.Sink == nil:
		return nil, errors.New("seal: no sink")
	case cfg.Now == nil:
		return nil, errors.New("seal: no clock")
	case cfg.Size < 0 || cfg.Size > MaxSegment-maxEnd-entryHead || cfg.Every < 0:
		return nil, fmt.Errorf("seal: segments of %d bytes every %s, expected up to %d", cfg.Size, cfg.Every, MaxSegment-maxEnd-entryHead)
	}
	if err := expired(cfg.Key, cfg.Now()); err != nil {
		return nil, err
	}
	if cfg.Size == 0 {
		cfg.Size = DefaultSize
	}
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	cfg.Size = max(cfg.Size, minSize)
	l := &Log{cfg: cfg, id: signing.RandomID(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.idle.L = &l.mu
	l.text = append(l.text, magic...)
	go l.send()
	return l, nil
}

// Writer returns a writer for one stream of the app. It always takes everything.
func (l *Log) Writer(s Stream) io.Writer { return stream{l, s} }

// Event notes something that happened to the box.
func (l *Log) Event(text string) { l.add(Event, []byte(text)) }

type stream struct {
	log *Log
	s   Stream
}

func (w stream) Write(p []byte) (int, error) {
	w.log.add(w.s, p)
	return len(p), nil
}

// add cuts long output into entries.
func (l *Log) add(s Stream, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.cfg.Now()
	for len(p) > 0 {
		n := min(len(p), maxEntry)
		l.put(Entry{Time: at, Stream: s, Data: p[:n]})
		p = p[n:]
	}
}

// put adds an entry, or counts it as lost if two segments wait already. It needs
// the lock.
func (l *Log) put(e Entry) {
	if l.closing {
		return
	}
	need := 2*entryHead + 8 + len(e.Data)
	if len(l.text)+need > l.cfg.Size && !l.turn() {
		l.lost += uint64(len(e.Data))
		return
	}
	if l.lost > 0 {
		l.text = appendEntry(l.text, Entry{Time: e.Time, Stream: Dropped, Data: binary.BigEndian.AppendUint64(nil, l.lost)})
		l.lost = 0
	}
	l.text = appendEntry(l.text, e)
}

// turn hands the segment to the sender, if there is room, and begins another.
func (l *Log) turn() bool {
	if len(l.full) > 0 {
		return false
	}
	l.full = append(l.full, l.text)
	l.text = nil
	if n := len(l.spare); n > 0 {
		l.text, l.spare = l.spare[n-1][:0], l.spare[:n-1]
	}
	l.text = append(l.text, magic...)
	l.nudge()
	return true
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Flush sends what there is without waiting for more, and returns when the sink has
// got it or refused it.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.full) > 0 || l.sending {
		l.idle.Wait()
	}
	if len(l.text) > len(magic) && !l.closing {
		l.turn()
	}
	for len(l.full) > 0 || l.sending {
		l.idle.Wait()
	}
	return l.err
}

// Close sends what is left in a segment that says it is the last.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	if again {
		return errors.New("seal: the log is closed")
	}
	l.nudge()
	select {
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.err
	case <-ctx.Done():
		return fmt.Errorf("seal: the sink did not take the end of the log: %w", context.Cause(ctx))
	}
}

// send is the only one that encrypts and waits for the sink.
func (l *Log) send() {
	defer close(l.done)
	tick := time.NewTicker(l.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-l.wake:
		case <-tick.C:
			l.mu.Lock()
			if len(l.text) > len(magic) {
				l.turn()
			}
			l.mu.Unlock()
		}
		for l.sendNext() {
		}
		if l.sendLast() {
			return
		}
	}
}

func (l *Log) sendNext() bool {
	l.mu.Lock()
	if len(l.full) == 0 {
		l.mu.Unlock()
		return false
	}
	text := l.full[0]
	l.full, l.sending = l.full[:0], true
	l.mu.Unlock()
	err := l.sendSegment(text, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sending = false
	l.spare = append(l.spare, text)
	if err != nil {
		l.err = err
	}
	l.idle.Broadcast()
	return true
}

// sendLast ends the log, if it is to end.
func (l *Log) sendLast() bool {
	l.mu.Lock()
	closing, text := l.closing && len(l.full) == 0, l.text
	if closing && l.lost > 0 {
		text = appendEntry(text, Entry{Time: l.cfg.Now(), Stream: Dropped, Data: binary.BigEndian.AppendUint64(nil, l.lost)})
	}
	l.mu.Unlock()
	if !closing {
		return false
	}
	err := l.sendSegment(text, true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err
	}
	return true
}

// expired refuses a key that nothing vouches for any longer.
func expired(k Key, now time.Time) error {
	if now.After(k.Until()) {
		return fmt.Errorf("seal: the key may sign until %s, and it is %s: what was printed since is not in the log",
			k.Until().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// sendSegment signs, encrypts and hands over. A segment that the sink refuses is
// missing from the log: the next one hangs on it all the same.
func (l *Log) sendSegment(text []byte, last bool) error {
	if err := expired(l.cfg.Key, l.cfg.Now()); err != nil {
		return err
	}
	e := ending{Log: l.id, Segment: l.number, Previous: l.previous, Last: last, Box: l.cfg.Key.Box()}
	whole, err := sign(l.cfg.Key.Signer(), text, e)
	if err != nil {
		return err
	}
	l.previous = digestOf(whole)
	l.number++
	sealed, err := encrypt(l.cfg.Recipient, whole)
	if err != nil {
		return err
	}
	if err := l.cfg.Sink.WriteSegment(e.Segment, sealed); err != nil {
		return fmt.Errorf("seal: segment %d: %w", e.Segment, err)
	}
	return nil
}
