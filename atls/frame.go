package atls

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/blindbox/blindbox/attest"
)

// GateMagic opens every frame of the gate; the digit is the version. It is
// neither the start of an HTTP request nor of the HTTP/2 preface, so the first
// four bytes tell a gate from a web client.
const GateMagic = "BBG1"

// frameHeader is the magic, one byte of type, four bytes of length.
const frameHeader = len(GateMagic) + 1 + 4

type frameType uint8

const (
	frameHello    frameType = 1 // client: the question
	frameFull     frameType = 2 // box: hardware evidence
	frameFast     frameType = 3 // box: a signature by a key the client knows
	frameRefuse   frameType = 4 // box: no, and why
	frameAccept   frameType = 5 // client: satisfied; with its own evidence if mutual
	frameAccepted frameType = 6 // box: satisfied with the client's evidence
)

func (t frameType) String() string {
	switch t {
	case frameHello:
		return "hello"
	case frameFull:
		return "full"
	case frameFast:
		return "fast"
	case frameRefuse:
		return "refuse"
	case frameAccept:
		return "accept"
	case frameAccepted:
		return "accepted"
	}
	return fmt.Sprintf("invalid(%d)", uint8(t))
}

// A slot is one frame type that may come next, with the most bytes it may have.
type slot struct {
	typ frameType
	max int
}

// notGateError says that the peer speaks some other protocol.
type notGateError struct{ first [len(GateMagic)]byte }

func (e *notGateError) Error() string {
	return fmt.Sprintf("atls: peer began with %q, expected %q", e.first[:], GateMagic)
}

// readFrame reads exactly one frame and not a byte more, because the next byte
// may already belong to the application. The length is checked against the
// slot before anything is allocated for it.
func readFrame(r io.Reader, slots ...slot) (frameType, []byte, error) {
	typ, size, err := readHeader(r, slots)
	if err != nil {
		return 0, nil, err
	}
	payload, err := readPayload(r, typ, size)
	if err != nil {
		return 0, nil, err
	}
	return typ, payload, nil
}

func readPayload(r io.Reader, typ frameType, size int) ([]byte, error) {
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, fmt.Errorf("atls: reading a %s frame of %d bytes: %w", typ, size, err)
	}
	return payload, nil
}

func readHeader(r io.Reader, slots []slot) (frameType, int, error) {
	var magic [len(GateMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return 0, 0, fmt.Errorf("atls: waiting for the gate: %w", err)
	}
	if string(magic[:]) != GateMagic {
		return 0, 0, &notGateError{first: magic}
	}
	var head [frameHeader - len(GateMagic)]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, fmt.Errorf("atls: reading a frame header: %w", err)
	}
	typ, size := frameType(head[0]), binary.BigEndian.Uint32(head[1:])
	for _, s := range slots {
		if s.typ != typ {
			continue
		}
		if uint64(size) > uint64(s.max) {
			return 0, 0, attest.NewFailure("channel.frame", attest.CodeTooLarge,
				fmt.Sprintf("a %s frame of %d bytes", typ, size), fmt.Sprintf("at most %d", s.max))
		}
		return typ, int(size), nil
	}
	return 0, 0, attest.NewFailure("channel.frame", attest.CodeMalformed,
		fmt.Sprintf("a frame of type %s", typ), slotNames(slots))
}

func slotNames(slots []slot) string {
	names := ""
	for i, s := range slots {
		if i > 0 {
			names += " or "
		}
		names += s.typ.String()
	}
	return names
}

// writeFrame sends header and payload in one Write, hence in as few TLS
// records as they fit in.
func writeFrame(w io.Writer, typ frameType, payload []byte) error {
	b := make([]byte, 0, frameHeader+len(payload))
	b = append(b, GateMagic...)
	b = append(b, byte(typ))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("atls: sending a %s frame: %w", typ, err)
	}
	return nil
}
