package tcg

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Algorithm is a hash algorithm's TPM_ALG_ID (TCG Algorithm Registry).
type Algorithm uint16

// The algorithms of registers. SHA-1 is here because logs hold it; no register
// of a SHA-1 bank is ever judged.
const (
	SHA1   Algorithm = 0x0004
	SHA256 Algorithm = 0x000b
	SHA384 Algorithm = 0x000c
	SHA512 Algorithm = 0x000d
)

// String returns "sha256", or "algorithm 0x12".
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "sha1"
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	}
	return fmt.Sprintf("algorithm %#x", uint16(a))
}

// Size returns the length of a digest, 0 for an algorithm that is not known.
func (a Algorithm) Size() int {
	switch a {
	case SHA1:
		return 20
	case SHA256:
		return 32
	case SHA384:
		return 48
	case SHA512:
		return 64
	}
	return 0
}

// Limits. A real log has a few hundred events and at most four banks; the
// largest data are the databases of Secure Boot, about 20 kB.
const (
	MaxLog        = 1 << 20
	maxEvents     = 4096
	maxAlgorithms = 8
	maxDigest     = 64
	maxData       = 256 << 10
	maxHeader     = 1 << 10
	MaxRegister   = 23         // the last PCR of a PC (TCG PTP)
	noRegister    = 0xffffffff // some EV_NO_ACTION events (PFP 1.06, 10.4.5)
)

// Digest is one bank's digest of an event.
type Digest struct {
	Algorithm Algorithm
	Value     []byte
}

// Event is one entry of a log.
type Event struct {
	Register uint32
	Type     EventType
	Digests  []Digest
	// Data is what the writer of the log says about the event. Use it only
	// through Verified.
	Data []byte
}

// Digest returns the event's digest in one bank, nil if it has none.
func (e Event) Digest(a Algorithm) []byte {
	for _, d := range e.Digests {
		if d.Algorithm == a {
			return d.Value
		}
	}
	return nil
}

// Log is a whole log in the crypto agile format.
type Log struct {
	// Algorithms are the banks that the header declares. Every event has a
	// digest in each, in this order.
	Algorithms []Algorithm
	Events     []Event
	sizes      []int
}

// Parse reads a log that ends with its last event. The result shares memory
// with data.
func Parse(data []byte) (*Log, error) {
	log, used, err := parse(data)
	switch {
	case err != nil:
		return nil, err
	case used != len(data):
		return nil, fmt.Errorf("tcg: %d bytes of padding after the log", len(data)-used)
	}
	return log, nil
}

// ParseArea reads a log from an area of memory that is longer than it, such as
// ACPI's CCEL: behind the last event every byte is 0xff, or every byte is zero.
func ParseArea(data []byte) (*Log, error) {
	log, _, err := parse(data)
	return log, err
}

func parse(data []byte) (*Log, int, error) {
	if len(data) > MaxLog {
		return nil, 0, fmt.Errorf("tcg: log of %d bytes, limit %d", len(data), MaxLog)
	}
	r := &reader{data: data}
	log := r.header()
	for r.err == nil && !r.padding() {
		log.Events = append(log.Events, r.event(log))
		if len(log.Events) > maxEvents {
			r.fail("more than %d events", maxEvents)
		}
	}
	if r.err != nil {
		return nil, 0, r.err
	}
	return log, r.off, nil
}

// reader reads little-endian fields and keeps the first error.
type reader struct {
	data []byte
	off  int
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("tcg: log malformed at byte %d: %s", r.off, fmt.Sprintf(format, args...))
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.data)-r.off {
		r.fail("%d bytes wanted, %d left", n, len(r.data)-r.off)
		return nil
	}
	v := r.data[r.off : r.off+n : r.off+n]
	r.off += n
	return v
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

// sized returns bytes behind their four-byte length.
func (r *reader) sized(limit int) []byte {
	n := r.u32()
	if uint64(n) > uint64(limit) {
		r.fail("%d bytes of data, limit %d", n, limit)
		return nil
	}
	return r.take(int(n))
}

// padding reports whether the log ends here: at the last byte, or at an area
// that is filled with one value that no event begins with. No event begins with
// 0xffffffff twice (there is no such type) or with twelve zeros (an event has at
// least one digest).
func (r *reader) padding() bool {
	rest := r.data[r.off:]
	if len(rest) == 0 {
		return true
	}
	fill := rest[0]
	if fill != 0 && fill != 0xff {
		return false
	}
	for _, b := range rest[:min(len(rest), 12)] {
		if b != fill {
			return false
		}
	}
	for _, b := range rest {
		if b != fill {
			r.fail("something behind the padding")
			return false
		}
	}
	return true
}

// specID is the signature of the crypto agile format (PFP 10.4.5.1).
const specID = "Spec ID Event03\x00"

// header reads the first event, which has the old form: PCR 0, EV_NO_ACTION, a
// SHA-1 digest of zeros, and data that declares the banks (PFP 10.4.5.1).
func (r *reader) header() *Log {
	log := &Log{}
	register, kind, digest := r.u32(), EventType(r.u32()), r.take(20)
	data := r.sized(maxHeader)
	if r.err != nil {
		return log
	}
	// OVMF writes 1 in a log of ACPI's CCEL, where registers are counted so. The
	// event extends nothing, so it makes no difference.
	if register > 1 || kind != NoAction || !allZero(digest) {
		r.fail("begins with %s in register %d, expected the %q header", kind, register, specID[:15])
		return log
	}
	h := &reader{data: data}
	log.declare(h)
	if h.err == nil && h.off != len(data) {
		h.fail("%d bytes after the header", len(data)-h.off)
	}
	if h.err != nil {
		r.fail("header: %v", h.err)
	}
	return log
}

func (l *Log) declare(h *reader) {
	if s := h.take(len(specID)); h.err == nil && string(s) != specID {
		h.fail("signature %q, expected %q: the SHA-1 only format is not read", s, specID)
	}
	h.take(8) // platform class, version of the specification, size of UINTN
	n := h.u32()
	if n == 0 || n > maxAlgorithms {
		h.fail("%d algorithms, expected 1 to %d", n, maxAlgorithms)
		return
	}
	for range n {
		l.bank(h, Algorithm(h.u16()), int(h.u16()))
	}
	if vendor := h.take(1); vendor != nil {
		h.take(int(vendor[0]))
	}
}

// bank declares one algorithm. One that is not known here is skipped by the size
// that the header gives for it; of those that are known the size must be right.
func (l *Log) bank(h *reader, a Algorithm, size int) {
	switch known := a.Size(); {
	case h.err != nil:
		return
	case size == 0 || size > maxDigest || known != 0 && size != known:
		h.fail("%s with digests of %d bytes", a, size)
	case slices.Contains(l.Algorithms, a):
		h.fail("%s declared twice", a)
	}
	l.Algorithms = append(l.Algorithms, a)
	l.sizes = append(l.sizes, size)
}

// event reads one TCG_PCR_EVENT2 (PFP 10.2.2).
func (r *reader) event(log *Log) Event {
	e := Event{Register: r.u32(), Type: EventType(r.u32())}
	if n := r.u32(); r.err == nil && int64(n) != int64(len(log.Algorithms)) {
		r.fail("an event with %d digests, expected %d, as the header declares", n, len(log.Algorithms))
	}
	if r.err != nil {
		return e
	}
	e.Digests = make([]Digest, 0, len(log.Algorithms))
	for range log.Algorithms {
		e.Digests = append(e.Digests, r.digest(log, e.Digests))
	}
	e.Data = r.sized(maxData)
	if e.Register > MaxRegister && !(e.Register == noRegister && e.Type == NoAction) {
		r.fail("register %d, expected at most %d", e.Register, MaxRegister)
	}
	if e.Type == NoAction && slices.ContainsFunc(e.Digests, func(d Digest) bool { return !allZero(d.Value) }) {
		// A digest where nothing is extended (PFP 10.4.5) is bait for a reader that extends it.
		r.fail("%s with a digest", e.Type)
	}
	return e
}

func (r *reader) digest(log *Log, before []Digest) Digest {
	a := Algorithm(r.u16())
	i := slices.Index(log.Algorithms, a)
	switch {
	case r.err != nil:
		return Digest{}
	case i < 0:
		r.fail("a digest with %s, which the header does not declare", a)
		return Digest{}
	case slices.ContainsFunc(before, func(d Digest) bool { return d.Algorithm == a }):
		r.fail("two digests with %s in one event", a)
		return Digest{}
	}
	return Digest{Algorithm: a, Value: r.take(log.sizes[i])}
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
