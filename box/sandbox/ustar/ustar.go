// Package ustar reads tar archives. It answers one question: is there exactly
// one way to understand this archive?
//
// Tar is four formats in one, and readers differ in which they mix (POSIX.1-2024,
// pax, "ustar Interchange Format" and "pax Interchange Format"; GNU's long
// names). Where two readers could see different files, this one sees an error:
// records given twice, numbers below none, content where none can be, a header
// that describes another one's description. It reads headers and content; what
// they may say is for its caller.
//
// The standard library's archive/tar is not used: it is for writing too, looks up
// users in /etc/passwd for that, and takes the last of what is there twice.
//
// The package stands inside the box and reads what strangers wrote.
package ustar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Types of entries. Reader gives others to its caller as they are.
const (
	File      = '0'
	HardLink  = '1'
	Symlink   = '2'
	CharDev   = '3'
	BlockDev  = '4'
	Folder    = '5'
	Pipe      = '6'
	GNUSparse = 'S'
	Global    = 'g'
)

// Types that describe the next entry.
const (
	paxNext     = 'x'
	gnuLongName = 'L'
	gnuLongLink = 'K'
)

// ErrFormat says that the bytes are no archive.
var ErrFormat = errors.New("ustar: not a tar archive")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Header describes an entry.
type Header struct {
	Name, Target string
	Type         byte
	Mode         int64
	UID, GID     int64
	Size         int64
	Time         time.Time
	Records      map[string]string // of pax, those that are also fields left out
}

const block = 512

// Reader reads an archive from its beginning.
type Reader struct {
	src   io.Reader
	text  int64 // most bytes of what describes an entry
	left  int64 // of the current entry's content
	pad   int64 // behind it
	ended bool
}

// NewReader reads from src. Names and records of one entry may have so many bytes.
func NewReader(src io.Reader, text int64) *Reader { return &Reader{src: src, text: text} }

// Next returns the next entry, io.EOF behind the last.
func (r *Reader) Next() (*Header, error) {
	var p pending
	for {
		raw, err := r.header()
		if err == io.EOF && p.seen() {
			return nil, wrong("a description of nothing")
		}
		if err != nil {
			return nil, err
		}
		h, err := parse(raw)
		if err != nil {
			return nil, err
		}
		switch h.Type {
		case paxNext, gnuLongName, gnuLongLink:
			text, err := r.describe(h)
			if err == nil {
				err = p.take(h.Type, text)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := p.apply(h); err != nil {
			return nil, err
		}
		return h, r.begin(h)
	}
}

// header reads the next header block, io.EOF at the archive's end.
func (r *Reader) header() ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	if err := r.skip(); err != nil {
		return nil, err
	}
	raw := make([]byte, block)
	switch n, err := io.ReadFull(r.src, raw); {
	case err == io.EOF && n == 0:
		r.ended = true // some writers leave the mark of the end out
		return nil, io.EOF
	case err == io.ErrUnexpectedEOF:
		return nil, wrong("it ends within a header")
	case err != nil:
		return nil, err
	}
	if !zero(raw) {
		return raw, nil
	}
	switch n, err := io.ReadFull(r.src, raw); {
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	case n != 0 && !zero(raw[:n]):
		return nil, wrong("half a mark of the end")
	}
	r.ended = true
	return nil, io.EOF
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// begin makes the entry's content the one to read.
func (r *Reader) begin(h *Header) error {
	switch {
	case h.Size != 0 && h.Type >= HardLink && h.Type <= Pipe:
		return wrong("an entry of type %q with content", h.Type)
	case h.Size > math.MaxInt64-block: // with what fills its last block it would be below none
		return wrong("an entry of %d bytes", h.Size)
	}
	r.left, r.pad = h.Size, -h.Size&(block-1)
	return nil
}

// Read reads the content of the current entry.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.src.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		return n, wrong("it ends within a file")
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// skip goes to the end of the current entry. It jumps where the source can, but
// for the last byte, which must be there.
func (r *Reader) skip() error {
	rest := r.left + r.pad
	r.left, r.pad = 0, 0
	if s, ok := r.src.(io.Seeker); ok && rest > 1 {
		if _, err := s.Seek(rest-1, io.SeekCurrent); err != nil {
			return err
		}
		rest = 1
	}
	n, err := io.CopyN(io.Discard, r.src, rest)
	if err == io.EOF && n < rest {
		return wrong("it ends within a file")
	}
	return err
}

// describe reads the content of an entry that describes the next one.
func (r *Reader) describe(h *Header) (string, error) {
	if h.Size > r.text {
		return "", wrong("a description of %d bytes, the limit is %d", h.Size, r.text)
	}
	if err := r.begin(h); err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

// parse reads a header block.
func parse(raw []byte) (*Header, error) {
	var err error
	number := func(what string, at, size int) int64 {
		n, e := numeric(raw[at : at+size])
		if e != nil && err == nil {
			err = wrong("%s of a header: %v", what, e)
		}
		return n
	}
	sum := number("checksum", 148, 8)
	h := &Header{
		Name: cString(raw[:100]), Mode: number("mode", 100, 8), UID: number("user", 108, 8), GID: number("group", 116, 8),
		Size: number("size", 124, 12), Time: time.Unix(number("time", 136, 12), 0), Type: raw[156], Target: cString(raw[157:257]),
	}
	if err != nil {
		return nil, err
	}
	if sum != checksum(raw) {
		return nil, wrong("checksum %d of a header, expected %d", sum, checksum(raw))
	}
	// The prefix is POSIX's; GNU has other things there.
	if prefix := cString(raw[345:500]); string(raw[257:263]) == "ustar\x00" && prefix != "" {
		h.Name = prefix + "/" + h.Name
	}
	if h.Type == 0 {
		h.Type = File
	}
	return h, nil
}

// checksum counts its own field as spaces.
func checksum(raw []byte) int64 {
	var n int64
	for i, b := range raw {
		if i >= 148 && i < 156 {
			b = ' '
		}
		n += int64(b)
	}
	return n
}

func cString(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// numeric reads octal digits or, as GNU and star write large numbers, bytes
// behind a 0x80.
func numeric(b []byte) (int64, error) {
	if b[0]&0x80 != 0 {
		if b[0] != 0x80 || !zero(b[1:max(1, len(b)-8)]) {
			return 0, fmt.Errorf("%x is below none or too large", b)
		}
		var n uint64
		for _, c := range b[max(1, len(b)-8):] {
			n = n<<8 | uint64(c)
		}
		if n>>63 != 0 {
			return 0, fmt.Errorf("%x is too large", b)
		}
		return int64(n), nil
	}
	text := strings.Trim(cString(b), " ")
	switch {
	case text == "" && len(bytes.Trim(b, " \x00")) > 0:
		// Some readers skip zero bytes in front of a number, others see none.
		return 0, fmt.Errorf("%q is no number to some readers", b)
	case text == "":
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 8, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is no octal number", text)
	}
	return int64(n), nil
}

// pending is what entries said about the next one.
type pending struct {
	records    map[string]string // nil if there were none
	name, link *string           // of GNU
}

func (p *pending) seen() bool { return p.records != nil || p.name != nil || p.link != nil }

func (p *pending) take(kind byte, text string) error {
	switch kind {
	case paxNext:
		if p.records != nil {
			return wrong("two descriptions of one entry")
		}
		p.records = map[string]string{}
		return p.pax(text)
	case gnuLongName:
		return once(&p.name, text)
	}
	return once(&p.link, text)
}

func once(to **string, text string) error {
	if *to != nil {
		return wrong("two names of one entry")
	}
	s := cString([]byte(text))
	*to = &s
	return nil
}

// pax reads records: LENGTH KEY=VALUE and a line break, the length that of all of it.
func (p *pending) pax(text string) error {
	for text != "" {
		digits, _, _ := strings.Cut(text, " ")
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || int(n) > len(text) || int(n) < len(digits)+len(" k=\n") || text[n-1] != '\n' {
			return wrong("a record of length %.20q", digits)
		}
		key, value, ok := strings.Cut(text[len(digits)+1:n-1], "=")
		if _, twice := p.records[key]; !ok || key == "" || twice {
			return wrong("a record %.60q that is there twice, or none", key)
		}
		p.records[key] = value
		text = text[n:]
	}
	return nil
}

// apply puts what was said about an entry into its header.
func (p *pending) apply(h *Header) error {
	_, path := p.records["path"]
	_, link := p.records["linkpath"]
	if path && p.name != nil || link && p.link != nil {
		return wrong("two names of one entry, in two formats")
	}
	if p.name != nil {
		h.Name = *p.name
	}
	if p.link != nil {
		h.Target = *p.link
	}
	if err := p.fields(h); err != nil {
		return err
	}
	h.Records = p.records
	// Before POSIX a folder was a file with a slash at the end.
	if h.Type == File && strings.HasSuffix(h.Name, "/") {
		h.Type = Folder
	}
	return nil
}

func (p *pending) fields(h *Header) error {
	for key, to := range map[string]*string{"path": &h.Name, "linkpath": &h.Target} {
		if v, ok := p.records[key]; ok {
			*to = v
		}
		delete(p.records, key)
	}
	for key, to := range map[string]*int64{"size": &h.Size, "uid": &h.UID, "gid": &h.GID} {
		v, ok := p.records[key]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(v, 10, 63)
		if err != nil {
			return wrong("%s %.40q", key, v)
		}
		*to = int64(n)
		delete(p.records, key)
	}
	if v, ok := p.records["mtime"]; ok {
		whole, _, _ := strings.Cut(v, ".")
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return wrong("mtime %.40q", v)
		}
		h.Time = time.Unix(n, 0)
		delete(p.records, "mtime")
	}
	return nil
}
