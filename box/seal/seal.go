// Package seal answers one question: how can what an app prints leave the box so
// that only the one whom the policy names can read it, and sees when some of it is
// missing?
//
// The policy says logs: sealed:age1... . What the app prints and what happens to
// the box is collected into segments of bounded size and age. Each is encrypted as
// a whole to that recipient (age-encryption.org/v1; X25519, or the post-quantum
// hybrid of X25519 and ML-KEM-768) and handed to a [Sink] outside. Inside, a
// segment holds its number, the hash of the one before, and a signature by the
// box's attested key (package box/signing): encrypting to a public recipient is
// something that anybody can do. [Open] sees a segment that is missing, changed,
// out of order or put in by somebody else. A last segment says that the log ended.
//
// The package stands inside the box. Its reader stands with whoever holds the
// identity, and takes files from strangers. Neither the app nor the sink is
// trusted: an app that floods its log loses entries, and the log says how many; a
// sink that is slow or fails loses segments, and the log shows that.
package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/receipt"
)

// SegmentType is the "typ" of the signature at the end of a segment.
const SegmentType = "blindbox-log-segment+jws"

// Limits of a segment.
const (
	// MaxSegment bounds a segment's text, MaxSealed its encrypted form.
	MaxSegment = 4 << 20
	MaxSealed  = MaxSegment + 64<<10
	maxEntry   = 16 << 10
	maxEnd     = 2 << 10
)

// magic opens the text of every segment; the digit is the version.
const magic = "BBXSEG1\n"

// Stream says where an entry comes from.
type Stream uint8

const (
	Stdout  Stream = 1 // of the app
	Stderr  Stream = 2
	Event   Stream = 3 // of the box
	Dropped Stream = 4 // how many bytes were left out here, eight bytes, big-endian
	end     Stream = 5 // the signature
)

// String returns the stream's name.
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	case Event:
		return "event"
	case Dropped:
		return "dropped"
	}
	return fmt.Sprintf("invalid(%d)", uint8(s))
}

// Entry is something that was printed, in one piece. It is not one line: an app
// prints as it likes.
type Entry struct {
	Time   time.Time
	Stream Stream
	Data   []byte
}

// Lost is how many bytes were left out, if the entry says that.
func (e Entry) Lost() uint64 {
	if e.Stream != Dropped || len(e.Data) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(e.Data)
}

// entryHead is stream, time in nanoseconds since 1970, length.
const entryHead = 1 + 8 + 4

func appendEntry(b []byte, e Entry) []byte {
	b = append(b, byte(e.Stream))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	return append(b, e.Data...)
}

// ending is what is signed at the end of a segment.
type ending struct {
	Version int `json:"v"`
	// Log is 16 random bytes in hex, drawn when the log was begun.
	Log     string `json:"log"`
	Segment uint64 `json:"segment"`
	// Previous is the digest of the segment before, zero for the first.
	Previous receipt.Digest `json:"previous"`
	// Digest is SHA-256 over the text before this entry.
	Digest receipt.Digest `json:"digest"`
	// Last says that the log ended in order.
	Last bool        `json:"last"`
	Box  receipt.Box `json:"box"`
}

// ParseRecipient reads the recipient of a policy, "age1..." or "age1pq1...". Plugins,
// SSH keys and passphrases are refused: a box has no use for a recipient of which it
// cannot tell who can read.
func ParseRecipient(text string) (age.Recipient, error) {
	if strings.HasPrefix(text, "age1pq1") {
		r, err := age.ParseHybridRecipient(text)
		if err != nil {
			return nil, fmt.Errorf("seal: recipient: %w", err)
		}
		return r, nil
	}
	r, err := age.ParseX25519Recipient(text)
	if err != nil {
		return nil, fmt.Errorf("seal: recipient: %w", err)
	}
	return r, nil
}

// encrypt returns a segment as an age file.
func encrypt(to age.Recipient, text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return out.Bytes(), nil
}

// decrypt is the inverse. age finds out what was changed or cut off.
func decrypt(sealed []byte, identities []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxSegment+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("seal: %w", err)
	case len(text) > MaxSegment:
		return nil, fmt.Errorf("seal: a segment of over %d bytes", MaxSegment)
	}
	return text, nil
}

// sign ends a segment's text.
func sign(s *jws.Signer, text []byte, e ending) ([]byte, error) {
	e.Version, e.Digest = 1, sha256.Sum256(text)
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	token, err := s.Sign(SegmentType, payload)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return appendEntry(text, Entry{Time: time.Unix(0, 0), Stream: end, Data: []byte(token)}), nil
}

// openEnding reads the signature at the end of a segment.
func openEnding(token string) (ending, [32]byte, error) {
	signed, err := jws.Open(token, SegmentType, maxEnd)
	if err != nil {
		return ending{}, [32]byte{}, fmt.Errorf("seal: %w", err)
	}
	var e ending
	if err := strictjson.Decode(signed.Payload, &e, strictjson.Options{Limits: strictjson.Limits{Bytes: maxEnd, Depth: 3}}); err != nil {
		return ending{}, [32]byte{}, fmt.Errorf("seal: %w", err)
	}
	again, err := json.Marshal(e)
	if err != nil || !bytes.Equal(again, signed.Payload) || e.Version != 1 || e.Log == "" {
		return ending{}, [32]byte{}, errors.New("seal: an end that is not in its one spelling")
	}
	return e, signed.Key, nil
}

// parse reads a segment's text. The entries share memory with it.
func parse(text []byte) (entries []Entry, e ending, key [32]byte, err error) {
	fail := func(format string, args ...any) ([]Entry, ending, [32]byte, error) {
		return nil, ending{}, [32]byte{}, fmt.Errorf("seal: "+format, args...)
	}
	if !bytes.HasPrefix(text, []byte(magic)) {
		return fail("a text that does not begin with %q", magic)
	}
	for at := len(magic); ; {
		one, size, err := parseEntry(text[at:])
		if err != nil {
			return fail("at byte %d: %w", at, err)
		}
		if one.Stream != end {
			entries = append(entries, one)
			at += size
			continue
		}
		e, key, err := openEnding(string(one.Data))
		switch {
		case err != nil:
			return nil, ending{}, [32]byte{}, err
		case at+size != len(text):
			return fail("%d bytes behind the end", len(text)-at-size)
		case e.Digest != sha256.Sum256(text[:at]) || one.Time.UnixNano() != 0:
			return fail("the text is not the one that was signed")
		}
		return entries, e, key, nil
	}
}

func parseEntry(b []byte) (Entry, int, error) {
	if len(b) < entryHead {
		return Entry{}, 0, errors.New("the text ends without a signature")
	}
	e := Entry{Stream: Stream(b[0]), Time: time.Unix(0, int64(binary.BigEndian.Uint64(b[1:]))).UTC()}
	n := binary.BigEndian.Uint32(b[9:])
	switch {
	case e.Stream < Stdout || e.Stream > end:
		return Entry{}, 0, fmt.Errorf("an entry of unknown stream %d", b[0])
	case n > maxEntry || int(n) > len(b)-entryHead:
		return Entry{}, 0, fmt.Errorf("an entry of %d bytes, limit %d, %d left", n, maxEntry, len(b)-entryHead)
	}
	e.Data = b[entryHead : entryHead+int(n)]
	return e, entryHead + int(n), nil
}
