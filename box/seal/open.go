package seal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/receipt"
)

// CodeSealed is what a sealed log is refused for: a segment that is missing,
// changed, out of order or not the box's.
const CodeSealed attest.Code = "sealed_log"

// ageMagic begins every file that age encrypts (age-encryption.org/v1).
const ageMagic = "age-encryption.org/v1\n"

// Reader opens the segments of logs, in the order in which it is given them.
type Reader struct {
	identities []age.Identity
	logs       []Chain
}

// Chain is what is known of one log, from one start of a box to its end.
type Chain struct {
	ID string `json:"log"`
	// Key is SHA-256 over the SubjectPublicKeyInfo of who signs.
	Key   receipt.Digest `json:"key"`
	Box   receipt.Box    `json:"box"`
	First uint64         `json:"first"` // the first segment that is here
	Next  uint64         `json:"next"`  // the one that would come next
	// Ended says that the last segment is here. If not, the box runs still, was
	// killed, or the end was cut off.
	Ended bool `json:"ended"`
	// Dropped is how many bytes the box says it left out.
	Dropped uint64 `json:"dropped"`
	// From and Until are the earliest and the latest time of an entry; zero if there
	// is none.
	From  time.Time `json:"-"`
	Until time.Time `json:"-"`

	previous receipt.Digest
}

// Bind compares who signed a log, and the times in it, with the statement and
// evidence that should name the key.
func (c Chain) Bind(s attest.Statement, ev attest.Evidence) []attest.Check {
	checks := receipt.BindKey(attest.Digest(c.Key), c.Box, s, ev)
	if c.From.IsZero() {
		return checks
	}
	return append(checks, receipt.BindTime("receipt.time", c.From, s), receipt.BindTime("receipt.end", c.Until, s))
}

// span notes when an entry was made.
func (c *Chain) span(at time.Time) {
	if c.From.IsZero() || at.Before(c.From) {
		c.From = at
	}
	if at.After(c.Until) {
		c.Until = at
	}
}

// Segment is one segment whose place is right.
type Segment struct {
	Log     string
	Number  uint64
	Entries []Entry
}

// NewReader opens what is sealed to one of the identities.
func NewReader(identities ...age.Identity) (*Reader, error) {
	if len(identities) == 0 {
		return nil, errors.New("seal: no identity")
	}
	return &Reader{identities: identities}, nil
}

// ErrIdentity says that a segment is sealed to somebody else.
var ErrIdentity = errors.New("seal: sealed to another recipient")

// Logs returns what was opened so far.
func (r *Reader) Logs() []Chain { return append([]Chain(nil), r.logs...) }

// Each calls f for every segment of a file: one age file, or a stream of segments.
// It ends at the first that cannot be read or is not where it belongs; what f was
// given before that is right.
func (r *Reader) Each(file io.Reader, f func(Segment) error) error {
	in := bufio.NewReader(file)
	start, err := in.Peek(len(frameMagic))
	switch {
	case len(start) == 0 && errors.Is(err, io.EOF):
		return errors.New("seal: an empty file")
	case bytes.HasPrefix([]byte(ageMagic), start):
		sealed, err := io.ReadAll(io.LimitReader(in, MaxSealed+1))
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		return r.open(sealed, f)
	}
	for {
		sealed, err := frame(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := r.open(sealed, f); err != nil {
			return err
		}
	}
}

// frame reads the next segment of a stream. io.EOF is a proper end.
func frame(in *bufio.Reader) ([]byte, error) {
	var head [len(frameMagic) + 4]byte
	n, err := io.ReadFull(in, head[:])
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, errors.New("seal: the file ends in the middle of a segment")
	case string(head[:len(frameMagic)]) != frameMagic:
		return nil, fmt.Errorf("seal: %.8q where a segment should begin", head[:])
	}
	size := binary.BigEndian.Uint32(head[len(frameMagic):])
	if size > MaxSealed {
		return nil, fmt.Errorf("seal: a segment of %d bytes, limit %d", size, MaxSealed)
	}
	// Grows with what is there, whatever the length says.
	sealed, err := io.ReadAll(io.LimitReader(in, int64(size)))
	if err != nil || len(sealed) != int(size) {
		return nil, errors.New("seal: the file ends in the middle of a segment")
	}
	return sealed, nil
}

func (r *Reader) open(sealed []byte, f func(Segment) error) error {
	if len(sealed) > MaxSealed {
		return fmt.Errorf("seal: a segment of over %d bytes", MaxSealed)
	}
	text, err := decrypt(sealed, r.identities)
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &other):
		return ErrIdentity
	case err != nil:
		return err
	}
	entries, e, key, err := parse(text)
	if err != nil {
		return err
	}
	if err := r.place(e, key, digestOf(text), entries); err != nil {
		return err
	}
	return f(Segment{e.Log, e.Segment, entries})
}

// place checks that a segment follows the one before of the same log.
func (r *Reader) place(e ending, key [32]byte, digest receipt.Digest, entries []Entry) error {
	l := r.find(e.Log)
	if l == nil {
		if e.Segment == 0 && !e.Previous.IsZero() || e.Segment > 0 && e.Previous.IsZero() {
			return fmt.Errorf("seal: segment %d that hangs on the wrong one", e.Segment)
		}
		r.logs = append(r.logs, Chain{ID: e.Log, Key: key, Box: e.Box, First: e.Segment, Next: e.Segment, previous: e.Previous})
		l = &r.logs[len(r.logs)-1]
	}
	switch {
	case l.Key != receipt.Digest(key) || l.Box != e.Box:
		return fmt.Errorf("seal: segment %d of log %.32s is by another key or box", e.Segment, e.Log)
	case l.Ended:
		return fmt.Errorf("seal: segment %d behind the last one of log %.32s", e.Segment, e.Log)
	case e.Segment > l.Next:
		return fmt.Errorf("seal: segment %d of log %.32s is missing, the next here is %d", l.Next, e.Log, e.Segment)
	case e.Segment < l.Next:
		return fmt.Errorf("seal: segment %d of log %.32s comes after segment %d: out of order, or twice", e.Segment, e.Log, l.Next-1)
	case e.Previous != l.previous:
		return fmt.Errorf("seal: segment %d of log %.32s hangs on another segment than the one before", e.Segment, e.Log)
	}
	l.Next, l.previous, l.Ended = e.Segment+1, digest, e.Last
	for _, one := range entries {
		l.Dropped += one.Lost()
		l.span(one.Time)
	}
	return nil
}

func (r *Reader) find(id string) *Chain {
	for i := range r.logs {
		if r.logs[i].ID == id {
			return &r.logs[i]
		}
	}
	return nil
}
