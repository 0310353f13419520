package operate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Protocol is what an operator's request asks to upgrade its connection to
// (RFC 9110, section 7.8). Behind that, both sides send frames: a byte that says
// what it is, the length of the rest in two bytes, big-endian, and the rest.
const Protocol = "blindbox-operate/1"

// Kind is what a frame is.
type Kind byte

// What the operator sends.
const (
	// Start is the command and its arguments, with a zero byte between each. It is the
	// first frame but for Size and Term, and there is one.
	Start Kind = 's'
	// Size is rows and columns of the terminal, two bytes each, big-endian.
	Size Kind = 'w'
	// Term is the kind of terminal, before Start.
	Term Kind = 't'
	// Input is for the command.
	Input Kind = 'i'
	// End says that there is no more input.
	End Kind = 'e'
	// Ping says that the operator is still there.
	Ping Kind = 'p'
)

// What the box sends.
const (
	// Output and Errors are what the command, or the app, printed.
	Output Kind = 'o'
	Errors Kind = 'r'
	// Taken is how many bytes of input the command has read, in four bytes.
	Taken Kind = 'a'
	// Exit is the last frame: the command's exit code in one byte, and why the box
	// ended it, if it did.
	Exit Kind = 'x'
)

const (
	// MaxFrame is the length of what a frame holds, in bytes.
	MaxFrame = 32 << 10
	// Window is how many bytes of input may be on their way.
	Window = 256 << 10
)

// WriteFrame writes one frame in one piece.
func WriteFrame(w io.Writer, k Kind, body []byte) error {
	if len(body) > MaxFrame {
		return fmt.Errorf("operate: a frame of %d bytes, expected at most %d", len(body), MaxFrame)
	}
	frame := make([]byte, 3, 3+len(body))
	frame[0] = byte(k)
	binary.BigEndian.PutUint16(frame[1:], uint16(len(body)))
	_, err := w.Write(append(frame, body...))
	return err
}

// ReadFrame reads one frame. buffer has room for the longest; body is a part of it.
func ReadFrame(r io.Reader, buffer []byte) (k Kind, body []byte, err error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if n > min(MaxFrame, len(buffer)) {
		return 0, nil, fmt.Errorf("operate: a frame of %d bytes, expected at most %d", n, MaxFrame)
	}
	if _, err := io.ReadFull(r, buffer[:n]); err != nil {
		return 0, nil, noEOF(err)
	}
	return Kind(head[0]), buffer[:n], nil
}

// noEOF is for an end in the middle of a frame.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Command writes a command and its arguments as Start has them.
func Command(args []string) ([]byte, error) {
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return nil, errors.New("operate: an argument with a zero byte")
		}
	}
	text := strings.Join(args, "\x00")
	if len(text) > MaxFrame {
		return nil, fmt.Errorf("operate: a command of %d bytes, expected at most %d", len(text), MaxFrame)
	}
	return []byte(text), nil
}

// arguments reads what Command wrote; nil for no command.
func arguments(body []byte) []string {
	if len(body) == 0 {
		return nil
	}
	return strings.Split(string(body), "\x00")
}

// frames writes frames from several goroutines.
type frames struct {
	mu sync.Mutex
	to io.Writer
}

func (f *frames) write(k Kind, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return WriteFrame(f.to, k, body)
}

// ParseSize reads what a Size frame holds.
func ParseSize(body []byte) (rows, columns uint16, err error) {
	if len(body) != 4 {
		return 0, 0, fmt.Errorf("operate: a size of %d bytes, expected 4", len(body))
	}
	return binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:]), nil
}

// FormatSize writes it.
func FormatSize(rows, columns uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, rows), columns)
}
