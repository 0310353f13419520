// Package wire is what the box and its verifier say to each other. It answers one
// question: which bytes go through the pipe between boxd, which decides who may
// call, and boxverify, which reads the evidence of strangers?
//
// It is three messages, each once: boxverify says that it is ready, the box asks
// one [Question], boxverify gives one [Answer]. A message is a magic, a byte that
// says which, four bytes of length and so many bytes; its length is bounded before
// anything is read for it, and it has one encoding.
//
// The package stands on both sides of a trust boundary inside the box. Boxverify
// reads what strangers made, so whatever it says is taken for the word of a
// stranger that may at most say yes or no about itself. What it is sent holds
// bytes of a stranger in one field, and is otherwise the box's own.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Skew is how far the clocks of two boxes may differ.
const Skew = time.Minute

// Limits of the messages.
const (
	MaxReferences  = 64  // in one question
	MaxChecks      = 16  // in one answer
	MaxText        = 256 // bytes of one text of a check
	maxMeasurement = 64
	maxName        = 64 // bytes of a check's name, of a code, and of a kind's name
	maxReference   = 3*2 + maxName + maxMeasurement + 2*32
	maxQuestion    = 8 + 2 + attest.MaxStatement + 2 + MaxReferences*maxReference + 4 + attest.MaxBundle
	maxAnswer      = 1 + 2 + 8 + 1 + MaxChecks*(4*2+2*maxName+2*MaxText)
)

// magic opens every message; the digit is the version.
const magic = "BBV1"

// message says which message it is.
type message byte

const (
	ready    message = 'R'
	question message = 'Q'
	answer   message = 'A'
)

const headerSize = len(magic) + 1 + 4

// Reference is which boxes one line of the policy names.
type Reference struct {
	Kind        attest.Kind
	Measurement []byte
	Policy      attest.Digest
	// Root is the fingerprint of the simulated root, for simulated boxes alone.
	Root attest.Digest
}

// Question is about one caller.
type Question struct {
	// At is the time at which to judge: the box's.
	At time.Time
	// Statement is what the caller's hardware must have signed: it holds what the
	// box itself knows of the connection. Encoded.
	Statement []byte
	// References are what is acceptable; the first that fits counts.
	References []Reference
	// Bundle is what the caller showed. Encoded, and unread.
	Bundle []byte
}

// Answer is the verdict on one caller. The zero Answer refuses.
type Answer struct {
	Accepted bool
	// Reference is the index of the one that the caller meets.
	Reference int
	// Until is the end of what an acceptance rests on; zero if it has none.
	Until time.Time
	// Failed is why the caller is refused: at least one check, unless it is accepted.
	Failed []attest.Check
}

// WriteReady tells the box that questions may come.
func WriteReady(w io.Writer) error { return write(w, ready, nil) }

// ReadReady waits for that.
func ReadReady(r io.Reader) error {
	_, err := read(r, ready, 0)
	return err
}

// WriteQuestion sends a question.
func WriteQuestion(w io.Writer, q Question) error {
	encoded, err := q.encode()
	if err != nil {
		return err
	}
	return write(w, question, encoded)
}

// ReadQuestion reads one. Nothing in it has been judged.
func ReadQuestion(r io.Reader) (Question, error) {
	payload, err := read(r, question, maxQuestion)
	if err != nil {
		return Question{}, err
	}
	return parseQuestion(payload)
}

// WriteAnswer sends an answer.
func WriteAnswer(w io.Writer, a Answer) error {
	encoded, err := a.encode()
	if err != nil {
		return err
	}
	return write(w, answer, encoded)
}

// ReadAnswer reads the answer to a question with that many references.
func ReadAnswer(r io.Reader, references int) (Answer, error) {
	payload, err := read(r, answer, maxAnswer)
	if err != nil {
		return Answer{}, err
	}
	return parseAnswer(payload, references)
}

func write(w io.Writer, m message, payload []byte) error {
	head := append([]byte(magic), byte(m))
	head = binary.BigEndian.AppendUint32(head, uint32(len(payload)))
	if _, err := w.Write(append(head, payload...)); err != nil {
		return fmt.Errorf("wire: sending %q: %w", m, err)
	}
	return nil
}

// read reads exactly one message. Its length is compared before anything is
// allocated for it.
func read(r io.Reader, want message, limit int) ([]byte, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("wire: waiting for %q: %w", want, err)
	}
	size := binary.BigEndian.Uint32(head[len(magic)+1:])
	switch {
	case string(head[:len(magic)]) != magic || message(head[len(magic)]) != want:
		return nil, fmt.Errorf("wire: a message that begins with %q, expected %q", head[:len(magic)+1], magic+string(want))
	case uint64(size) > uint64(limit):
		return nil, fmt.Errorf("wire: %q with %d bytes, expected at most %d", want, size, limit)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, fmt.Errorf("wire: reading %q with %d bytes: %w", want, size, err)
	}
	return payload, nil
}
