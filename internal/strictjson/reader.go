// Package strictjson reads JSON that comes from strangers. It answers: is this
// exactly one document that every reader understands the same way?
//
// encoding/json is lenient where readers differ: of two members with one name it
// takes the last, it matches names without regard to case, it drops unknown
// members and replaces broken text. Whoever checks a document with one reader
// and uses it with another can then be shown two documents. Here each of these
// is an error (RFC 8259 for the grammar, RFC 7493, I-JSON, for most of the rest).
//
// Reader walks a document piece by piece; Decode fills Go values.
package strictjson

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits bounds a document. Zero fields take the defaults.
type Limits struct {
	Bytes int // length of the document; default 1 MiB
	Depth int // arrays and objects inside each other; default 32
	// Members is how many members the objects that are inside each other at one place may
	// have together: their names are kept until they end. Default: as many as there are.
	Members int
	// Stop, if it is not nil, is asked after every few hundred elements, members and escapes. Its
	// error ends the reading: a document may be long, and nobody wait for it any more.
	Stop func() error
}

// between is how many of these are read between two looks at Limits.Stop.
const between = 256

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 32
	}
	if l.Members == 0 {
		l.Members = math.MaxInt
	}
	return l
}

// Error says where a document is wrong.
type Error struct {
	Offset int    // byte at which the trouble was seen
	Reason string // never holds text of the document beyond a member's name
}

func (e *Error) Error() string {
	return fmt.Sprintf("strictjson: byte %d: %s", e.Offset, e.Reason)
}

// Kind is the kind of a JSON value, known by its first byte.
type Kind byte

// The kinds of values.
const (
	Invalid Kind = 0
	Null    Kind = 'n'
	Bool    Kind = 't'
	Number  Kind = '0'
	String  Kind = '"'
	Array   Kind = '['
	Object  Kind = '{'
)

func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "bool"
	case Number:
		return "number"
	case String:
		return "string"
	case Array:
		return "array"
	case Object:
		return "object"
	}
	return "nothing"
}

// Reader reads one document from left to right. After an error it must not be
// used further.
type Reader struct {
	data  []byte
	pos   int
	depth int
	lim   Limits
	open  int        // members of the objects that have begun and not ended
	seen  int        // elements, members and escapes
	words [32]string // see text
}

// NewReader checks the size and the text encoding of a document.
func NewReader(data []byte, lim Limits) (*Reader, error) {
	lim = lim.orDefault()
	if len(data) > lim.Bytes {
		return nil, &Error{lim.Bytes, fmt.Sprintf("document of %d bytes, the limit is %d", len(data), lim.Bytes)}
	}
	if !utf8.Valid(data) {
		return nil, &Error{invalidAt(data), "text is not UTF-8"}
	}
	return &Reader{data: data, lim: lim}, nil
}

// Limits returns the limits that the document is read under.
func (r *Reader) Limits() Limits { return r.lim }

func invalidAt(data []byte) int {
	at := 0
	for at < len(data) {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		at += n
	}
	return at
}

func (r *Reader) errorf(format string, args ...any) error {
	return &Error{r.pos, fmt.Sprintf(format, args...)}
}

func (r *Reader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// Kind tells the kind of the next value without reading it.
func (r *Reader) Kind() Kind {
	r.space()
	if r.pos == len(r.data) {
		return Invalid
	}
	switch c := r.data[r.pos]; {
	case c == 'n', c == '"', c == '[', c == '{', c == 't':
		return Kind(c)
	case c == 'f':
		return Bool
	case c == '-', c >= '0' && c <= '9':
		return Number
	}
	return Invalid
}

func (r *Reader) expect(want Kind) error {
	got := r.Kind()
	if got == Invalid && r.pos < len(r.data) {
		return r.errorf("not a JSON value")
	}
	if got != want {
		return r.errorf("found %s, expected %s", got, want)
	}
	return nil
}

// End checks that nothing but space is left.
func (r *Reader) End() error {
	if r.space(); r.pos != len(r.data) {
		return r.errorf("something follows the document")
	}
	return nil
}

func (r *Reader) literal(word string) error {
	if !strings.HasPrefix(string(r.data[r.pos:min(len(r.data), r.pos+len(word))]), word) {
		return r.errorf("not a JSON value")
	}
	r.pos += len(word)
	return nil
}

// Null reads null.
func (r *Reader) Null() error {
	if err := r.expect(Null); err != nil {
		return err
	}
	return r.literal("null")
}

// Bool reads true or false.
func (r *Reader) Bool() (bool, error) {
	if err := r.expect(Bool); err != nil {
		return false, err
	}
	if r.data[r.pos] == 't' {
		return true, r.literal("true")
	}
	return false, r.literal("false")
}

// Number reads a number and returns its text, which shares the document's
// memory. The text has the form of RFC 8259, section 6.
func (r *Reader) Number() ([]byte, error) {
	if err := r.expect(Number); err != nil {
		return nil, err
	}
	start := r.pos
	if r.data[r.pos] == '-' {
		r.pos++
	}
	first := r.pos
	if err := r.digits(); err != nil {
		return nil, err
	}
	if r.data[first] == '0' && r.pos > first+1 {
		return nil, r.errorf("number starts with 0")
	}
	if r.next('.') {
		if err := r.digits(); err != nil {
			return nil, err
		}
	}
	if r.next('e') || r.next('E') {
		if !r.next('+') {
			r.next('-')
		}
		if err := r.digits(); err != nil {
			return nil, err
		}
	}
	return r.data[start:r.pos], nil
}

func (r *Reader) next(c byte) bool {
	if r.pos < len(r.data) && r.data[r.pos] == c {
		r.pos++
		return true
	}
	return false
}

func (r *Reader) digits() error {
	start := r.pos
	for r.pos < len(r.data) && r.data[r.pos] >= '0' && r.data[r.pos] <= '9' {
		r.pos++
	}
	if r.pos == start {
		return r.errorf("number without a digit where one must be")
	}
	return nil
}

// Float reads a number as the nearest float of the given size, 32 or 64 bits. A
// number that is too large for it is an error.
func (r *Reader) Float(bits int) (float64, error) {
	text, err := r.Number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(string(text), bits)
	if err != nil {
		return 0, r.errorf("number does not fit into a float%d", bits)
	}
	return v, nil
}

// Int reads a number that is written as an integer and fits into bits bits.
func (r *Reader) Int(bits int) (int64, error) {
	text, err := r.Number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(string(text), 10, bits)
	if err != nil {
		return 0, r.errorf("number is not an int%d", bits)
	}
	return v, nil
}

// Uint reads a number that is written as an integer, is not negative and fits
// into bits bits.
func (r *Reader) Uint(bits int) (uint64, error) {
	text, err := r.Number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(string(text), 10, bits)
	if err != nil {
		return 0, r.errorf("number is not a uint%d", bits)
	}
	return v, nil
}

// String reads a string. Half a surrogate pair is an error: it is no character,
// and readers replace it in different ways.
func (r *Reader) String() (string, error) {
	if err := r.expect(String); err != nil {
		return "", err
	}
	r.pos++
	start := r.pos
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return r.text(r.data[start : r.pos-1]), nil
		case c == '\\':
			return r.escaped(append(make([]byte, 0, 2*(r.pos-start)+16), r.data[start:r.pos]...))
		case c < 0x20:
			return "", r.errorf("control character in a string")
		}
		r.pos++
	}
	return "", r.errorf("string without an end")
}

// text returns a string of these bytes. Documents repeat their short words, the
// names of members above all, so the last ones are kept and given out again.
func (r *Reader) text(b []byte) string {
	const short = 24
	if len(b) == 0 || len(b) > short {
		return string(b)
	}
	place := &r.words[(len(b)*5+int(b[0])*3+int(b[len(b)-1]))%len(r.words)]
	if *place != string(b) {
		*place = string(b)
	}
	return *place
}

// escaped reads the rest of a string that holds an escape; text is what came
// before it.
func (r *Reader) escaped(text []byte) (string, error) {
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		r.pos++
		switch {
		case c == '"':
			return string(text), nil
		case c < 0x20:
			return "", r.errorf("control character in a string")
		case c != '\\':
			text = append(text, c)
		default:
			ch, err := r.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, ch)
		}
	}
	return "", r.errorf("string without an end")
}

// escape reads what follows a backslash.
func (r *Reader) escape() (rune, error) {
	if err := r.look(); err != nil {
		return 0, err
	}
	if r.pos == len(r.data) {
		return 0, r.errorf("string without an end")
	}
	c := r.data[r.pos]
	r.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, r.errorf("unknown escape")
	}
	ch, err := r.hex()
	if err != nil || !utf16.IsSurrogate(ch) {
		return ch, err
	}
	if !r.next('\\') || !r.next('u') {
		return 0, r.errorf("half a surrogate pair")
	}
	low, err := r.hex()
	if err != nil {
		return 0, err
	}
	if ch = utf16.DecodeRune(ch, low); ch == utf8.RuneError {
		return 0, r.errorf("half a surrogate pair")
	}
	return ch, nil
}

func (r *Reader) hex() (rune, error) {
	if len(r.data)-r.pos < 4 {
		return 0, r.errorf("cut escape")
	}
	v, err := strconv.ParseUint(string(r.data[r.pos:r.pos+4]), 16, 16)
	if err != nil {
		return 0, r.errorf("escape is not hexadecimal")
	}
	r.pos += 4
	return rune(v), nil
}

// enter begins an array or object and reports whether it is empty.
func (r *Reader) enter(kind Kind, end byte) (empty bool, err error) {
	if err := r.expect(kind); err != nil {
		return false, err
	}
	if r.depth++; r.depth > r.lim.Depth {
		return false, r.errorf("more than %d arrays and objects inside each other", r.lim.Depth)
	}
	r.pos++
	r.space()
	return r.next(end), nil
}

// look counts one piece of the document, and after every few hundred asks Limits.Stop.
func (r *Reader) look() error {
	if r.seen++; r.seen%between == 0 && r.lim.Stop != nil {
		return r.lim.Stop()
	}
	return nil
}

// more reads a comma, or the end of an array or object.
func (r *Reader) more(end byte) (bool, error) {
	if err := r.look(); err != nil {
		return false, err
	}
	r.space()
	if r.next(',') {
		return true, nil
	}
	if r.next(end) {
		r.depth--
		return false, nil
	}
	return false, r.errorf("expected ',' or '%c'", end)
}

// Array reads an array; element must read exactly one value each time.
func (r *Reader) Array(element func() error) error {
	empty, err := r.enter(Array, ']')
	if err != nil || empty {
		r.depth--
		return err
	}
	for more := true; more; {
		if err := element(); err != nil {
			return err
		}
		if more, err = r.more(']'); err != nil {
			return err
		}
	}
	return nil
}

// Object reads an object; member must read exactly the value of the member that
// it is told the name of. A name that is there twice is an error.
func (r *Reader) Object(member func(name string) error) error {
	empty, err := r.enter(Object, '}')
	if err != nil || empty {
		r.depth--
		return err
	}
	var seen names
	before := r.open
	for more := true; more; {
		if r.open++; r.open > r.lim.Members {
			return r.errorf("more than %d members of objects inside each other", r.lim.Members)
		}
		at := r.pos
		name, err := r.String()
		if err != nil {
			return err
		}
		if !seen.add(name) {
			r.pos = at
			return r.errorf("member %s is there twice", quote(name))
		}
		r.space()
		if !r.next(':') {
			return r.errorf("expected ':'")
		}
		if err := member(name); err != nil {
			return err
		}
		if more, err = r.more('}'); err != nil {
			return err
		}
	}
	r.open = before
	return nil
}

// quote bounds a member's name before it goes into a message.
func quote(name string) string {
	const most = 60
	if len(name) > most {
		return strconv.QuoteToASCII(name[:most]) + "..."
	}
	return strconv.QuoteToASCII(name)
}

// names is the set of member names of one object: a list while it is short, so
// that small objects cost no map.
type names struct {
	list [8]string
	n    int
	set  map[string]struct{}
}

func (n *names) add(name string) bool {
	if n.set == nil {
		for _, s := range n.list[:n.n] {
			if s == name {
				return false
			}
		}
		if n.n < len(n.list) {
			n.list[n.n] = name
			n.n++
			return true
		}
		n.set = make(map[string]struct{}, 2*len(n.list))
		for _, s := range n.list {
			n.set[s] = struct{}{}
		}
	}
	if _, ok := n.set[name]; ok {
		return false
	}
	n.set[name] = struct{}{}
	return true
}

// Skip reads one value of any kind, to the same rules, and returns its text,
// which shares the document's memory.
func (r *Reader) Skip() ([]byte, error) {
	r.space()
	start := r.pos
	var err error
	switch r.Kind() {
	case Null:
		err = r.Null()
	case Bool:
		_, err = r.Bool()
	case Number:
		_, err = r.Number()
	case String:
		_, err = r.String()
	case Array:
		err = r.Array(r.skip)
	case Object:
		err = r.Object(func(string) error { return r.skip() })
	default:
		err = r.errorf("not a JSON value")
	}
	return r.data[start:r.pos], err
}

// Raw calls read, which must read exactly one value, and returns the text of that
// value, which shares the document's memory: whoever signed a value signed these
// bytes.
func (r *Reader) Raw(read func() error) ([]byte, error) {
	r.space()
	start := r.pos
	err := read()
	return r.data[start:r.pos], err
}

func (r *Reader) skip() error {
	_, err := r.Skip()
	return err
}
