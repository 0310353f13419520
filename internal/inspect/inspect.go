// Package inspect says what is in evidence and in what comes with it, field by
// field: where it is, what it is called, what it holds, what that means and
// which specification says so.
//
// It answers one question: what does this file say? Not one other: nothing here
// is verified, and what is shown may be a lie. It stands with the relying party
// and reads what strangers wrote. It is no parser that anything rests on: it goes
// through the bytes by the published layouts, says where they stop fitting, and
// shows what was read until then, which is what one wants to see of evidence that
// a verifier refuses.
package inspect

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// Warning is the first thing to show with what this package returns.
const Warning = "This is what the file says. It proves nothing: no signature, no date and no value was verified."

// Field is one value.
type Field struct {
	// Offset is where the field begins in its section's bytes, Size its length;
	// Offset is -1 where a format has no fixed places (JSON, XML, certificates).
	Offset  int    `json:"offset"`
	Size    int    `json:"size,omitempty"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Meaning string `json:"meaning,omitempty"`
}

// Section is one structure.
type Section struct {
	Title string `json:"title"`
	// Spec is the document and section that the layout is from.
	Spec   string  `json:"spec,omitempty"`
	Size   int     `json:"size"`
	Fields []Field `json:"fields"`
	// Problem says where the bytes stop fitting the layout; empty if they fit.
	Problem string `json:"problem,omitempty"`
}

// Limits of what is shown. What strangers write may be long.
const (
	maxFields = 5000 // of one section
	maxValue  = 4096 // bytes of one value, as text
	maxName   = 128  // bytes of one name; a path has maxDepth of them
	maxDepth  = 16   // of JSON, XML and CBOR
)

// Bundle shows everything in a bundle. Parts that are empty, as in raw evidence,
// are left out.
func Bundle(b attest.Bundle) []Section {
	out := Evidence(b.Evidence)
	if len(b.Statement) > 0 {
		out = append(out, statement(b.Statement))
	}
	if len(b.AttestationKey) > 0 {
		out = append(out, one("attestation key", "docs/rfc/001", len(b.AttestationKey), Field{
			Size: len(b.AttestationKey), Name: "public_key", Value: hex.EncodeToString(b.AttestationKey),
			Meaning: "Ed25519; the statement names its hash, and the box may sign later statements with it"}))
	}
	if len(b.Policy) > 0 {
		out = append(out, policyText(b.Policy))
	}
	for _, e := range b.Endorsements {
		out = append(out, Endorsement(e)...)
	}
	return out
}

// Evidence shows evidence of any kind.
func Evidence(ev attest.Evidence) []Section {
	switch ev.Kind {
	case attest.SNP, attest.SimSNP:
		return []Section{snpReport(ev.Kind.String()+" report", ev.Data)}
	case attest.TDX, attest.SGX:
		return quote(ev.Kind.String()+" quote", ev.Data)
	case attest.Nitro:
		return nitro(ev.Data)
	case attest.TPM:
		return tpmForm(ev.Data)
	case attest.AzureSNP, attest.AzureTDX:
		return azureForm(ev.Data)
	case attest.NVIDIAGPU, attest.NVSwitch:
		return gpuForm(ev.Kind.String(), ev.Data)
	case attest.Composite:
		return composite(ev.Data)
	}
	return []Section{{Title: "evidence of kind " + ev.Kind.String(), Size: len(ev.Data), Problem: "no layout is known for it"}}
}

func one(title, spec string, size int, f Field) Section {
	return Section{Title: title, Spec: spec, Size: size, Fields: []Field{f}}
}

// within puts the name of what they are in before the titles.
func within(outer string, sections []Section) []Section {
	for i := range sections {
		sections[i].Title = outer + ": " + sections[i].Title
	}
	return sections
}

// row is one field of a layout.
type row struct {
	size    int
	name    string
	show    func([]byte) string
	meaning string
}

// cursor goes through bytes. Once they stop fitting it reads no more.
type cursor struct {
	data []byte
	at   int
	s    Section
}

func read(title, spec string, data []byte) *cursor {
	return &cursor{data: data, s: Section{Title: title, Spec: spec, Size: len(data)}}
}

// section returns what was read; bytes that are left are a problem, and so are
// bytes that hold no value.
func (c *cursor) section() Section {
	if len(c.data) > 0 && len(c.s.Fields) == 0 {
		c.fail("%d bytes hold no value", len(c.data))
	}
	if rest := len(c.data) - c.at; rest > 0 {
		c.fail("%d bytes are left at %#x", rest, c.at)
	}
	return c.s
}

func (c *cursor) fail(format string, args ...any) {
	if c.s.Problem == "" {
		c.s.Problem = fmt.Sprintf(format, args...)
	}
}

func (c *cursor) ok() bool { return c.s.Problem == "" }

// take returns the next n bytes, or n zero bytes if there are not as many.
func (c *cursor) take(n int, name string) []byte {
	if c.ok() && (n < 0 || n > len(c.data)-c.at) {
		c.fail("%s needs %d bytes at %#x, %d are left", name, n, c.at, len(c.data)-c.at)
	}
	if !c.ok() {
		return make([]byte, min(max(n, 0), 8))
	}
	v := c.data[c.at : c.at+n]
	c.at += n
	return v
}

// field reads one field and shows it.
func (c *cursor) field(r row) []byte {
	at := c.at
	v := c.take(r.size, r.name)
	if c.ok() {
		c.add(Field{Offset: at, Size: r.size, Name: r.name, Value: r.show(v), Meaning: r.meaning})
	}
	return v
}

func (c *cursor) rows(all ...row) {
	for _, r := range all {
		c.field(r)
	}
}

func (c *cursor) add(f Field) {
	switch {
	case len(c.s.Fields) >= maxFields:
		c.fail("more than %d fields, the rest is not shown", maxFields)
	default:
		f.Value = clip(f.Value)
		c.s.Fields = append(c.s.Fields, f)
	}
}

func clip(s string) string { return clipTo(s, maxValue) }

func clipTo(s string, limit int) string {
	if len(s) > limit {
		return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(s[:limit], ""), len(s))
	}
	return s
}

// note adds a field that stands for others or is worked out of them.
func (c *cursor) note(name, value, meaning string) {
	c.add(Field{Offset: -1, Name: name, Value: value, Meaning: meaning})
}

// Ways to show bytes.

func inHex(v []byte) string { return hex.EncodeToString(v) }

func le(v []byte) uint64 {
	var b [8]byte
	copy(b[:], v)
	return binary.LittleEndian.Uint64(b[:])
}

func be(v []byte) uint64 {
	var b [8]byte
	copy(b[max(0, 8-len(v)):], v)
	return binary.BigEndian.Uint64(b[:])
}

func number(v []byte) string    { return strconv.FormatUint(le(v), 10) }
func numberBE(v []byte) string  { return strconv.FormatUint(be(v), 10) }
func word(v []byte) string      { return fmt.Sprintf("0x%0*x", 2*len(v), le(v)) }
func wordBE(v []byte) string    { return fmt.Sprintf("0x%0*x", 2*len(v), be(v)) }
func text(v []byte) string      { return strconv.Quote(string(v)) }
func byteCount(v []byte) string { return fmt.Sprintf("%d bytes", len(v)) }

// reserved shows what should be zero.
func reserved(v []byte) string {
	for _, b := range v {
		if b != 0 {
			return inHex(v) + " (not zero)"
		}
	}
	return "zero"
}

// bit is a flag in a word.
type bit struct {
	n    int
	name string
}

// flags shows a little-endian word as the names of its bits.
func flags(bits ...bit) func([]byte) string {
	return func(v []byte) string {
		n, out := le(v), []string{word(v)}
		for _, b := range bits {
			if n>>b.n&1 == 1 {
				out = append(out, b.name)
				n &^= 1 << b.n
			}
		}
		if n != 0 {
			out = append(out, fmt.Sprintf("other bits %#x", n))
		}
		return strings.Join(out, " ")
	}
}

// named shows a number with its name.
func named(show func([]byte) string, value func([]byte) uint64, names map[uint64]string) func([]byte) string {
	return func(v []byte) string {
		if name, ok := names[value(v)]; ok {
			return show(v) + " " + name
		}
		return show(v) + " (unknown)"
	}
}
