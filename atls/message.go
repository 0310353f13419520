package atls

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// Limits of the lists in a message.
const (
	maxKinds    = 16  // evidence kinds somebody accepts
	maxKindName = 32  // bytes of one kind's name
	maxOffers   = 8   // attestation keys a client offers
	maxCode     = 32  // bytes of a refusal's code
	maxReason   = 512 // bytes of a refusal's text
)

// Limits of the payloads.
const (
	maxKindList = 1 + maxKinds*(1+maxKindName)
	maxHello    = 32 + 1 + 1 + maxKindList + 1 + maxOffers*32 + len(helloEnd)
	maxFull     = 1 + 32 + maxKindList + attest.MaxBundle
	maxFast     = 2 + attest.MaxStatement + ed25519.SignatureSize
	maxRefuse   = 1 + maxCode + maxReason
)

// helloEnd ends every hello. To a web server it is the end of a request that
// makes no sense, so it says so at once instead of waiting for more.
const helloEnd = "\r\n\r\n"

// hello is the client's question.
type hello struct {
	nonce   [32]byte
	purpose attest.Purpose
	// kinds are names and not attest.Kind, so that a box understands a client
	// that knows more kinds than it does.
	kinds []string
	// offers are hashes of attestation keys the client has verified.
	offers []attest.Digest
}

// mutual reports whether the client will show evidence of its own.
func (h hello) mutual() bool { return h.purpose == attest.PurposePeer }

func (h hello) encode() []byte {
	b := append([]byte(nil), h.nonce[:]...)
	b = append(b, byte(h.purpose), flag(h.mutual()))
	b = appendKinds(b, h.kinds)
	b = append(b, byte(len(h.offers)))
	for _, o := range h.offers {
		b = append(b, o[:]...)
	}
	return append(b, helloEnd...)
}

func parseHello(data []byte) (hello, error) {
	r := reader{name: "hello", rest: data, size: len(data)}
	var h hello
	copy(h.nonce[:], r.take(32))
	h.purpose = attest.Purpose(r.byte())
	mutual := r.flag()
	h.kinds = r.kinds()
	for range r.count(maxOffers) {
		h.offers = append(h.offers, attest.Digest(r.array32()))
	}
	end := string(r.take(len(helloEnd)))
	switch {
	case r.end() != nil:
		return hello{}, r.err
	case end != helloEnd:
		return hello{}, malformed("hello", "ends with %q", end)
	case h.nonce == [32]byte{}:
		return hello{}, malformed("hello", "the nonce is all zero")
	case h.purpose != attest.PurposeSession && h.purpose != attest.PurposePeer:
		return hello{}, malformed("hello", "purpose %s has no gate", h.purpose)
	case mutual != h.mutual():
		return hello{}, malformed("hello", "purpose %s with mutual %v", h.purpose, mutual)
	}
	return h, nil
}

// full is the box's answer with hardware evidence.
type full struct {
	// nonce and kinds are the box's own question, in a mutual gate only.
	mutual bool
	nonce  [32]byte
	kinds  []string
	bundle []byte // an encoded attest.Bundle, not yet parsed
}

func (f full) encode() []byte {
	b := []byte{flag(f.mutual)}
	if f.mutual {
		b = append(b, f.nonce[:]...)
		b = appendKinds(b, f.kinds)
	}
	return append(b, f.bundle...)
}

func parseFull(data []byte) (full, error) {
	r := reader{name: "full", rest: data, size: len(data)}
	f := full{mutual: r.flag()}
	if f.mutual {
		f.nonce = r.array32()
		f.kinds = r.kinds()
	}
	f.bundle = r.take(len(r.rest))
	switch {
	case r.end() != nil:
		return full{}, r.err
	case len(f.bundle) > attest.MaxBundle:
		return full{}, attest.NewFailure("channel.bundle", attest.CodeTooLarge,
			fmt.Sprintf("%d bytes", len(f.bundle)), fmt.Sprintf("at most %d", attest.MaxBundle))
	case f.mutual && f.nonce == [32]byte{}:
		return full{}, malformed("full", "the box's nonce is all zero")
	}
	return f, nil
}

// fast is the box's answer with a signature.
type fast struct {
	statement []byte
	signature []byte
}

func (f fast) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(f.statement)))
	b = append(b, f.statement...)
	return append(b, f.signature...)
}

func parseFast(data []byte) (fast, error) {
	r := reader{name: "fast", rest: data, size: len(data)}
	var n uint16
	if head := r.take(2); head != nil {
		n = binary.BigEndian.Uint16(head)
	}
	if n > attest.MaxStatement {
		r.fail("a statement of %d bytes, limit %d", n, attest.MaxStatement)
	}
	f := fast{statement: r.take(int(n)), signature: r.take(ed25519.SignatureSize)}
	if r.end() != nil {
		return fast{}, r.err
	}
	return f, nil
}

// refuse is the box's no.
type refuse struct {
	code attest.Code
	text string
}

func (r refuse) encode() []byte {
	code, text := string(r.code), r.text
	if len(code) > maxCode {
		code = code[:maxCode]
	}
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	b := []byte{byte(len(code))}
	b = append(b, code...)
	return append(b, text...)
}

// parseRefuse also makes the words of a stranger fit to be shown on a terminal.
func parseRefuse(data []byte) (refuse, error) {
	r := reader{name: "refuse", rest: data, size: len(data)}
	code := string(r.take(int(r.byte())))
	text := string(r.take(len(r.rest)))
	switch {
	case r.end() != nil:
		return refuse{}, r.err
	case !isCode(code):
		return refuse{}, malformed("refuse", "%q is not a code", code)
	case len(text) > maxReason:
		return refuse{}, malformed("refuse", "a text of %d bytes, limit %d", len(text), maxReason)
	}
	return refuse{code: attest.Code(code), text: printable(text)}, nil
}

func isCode(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxCode
}

// printable replaces everything but printable ASCII, so that no peer can send
// escape sequences to somebody's terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendKinds(b []byte, kinds []string) []byte {
	b = append(b, byte(len(kinds)))
	for _, k := range kinds {
		b = append(b, byte(len(k)))
		b = append(b, k...)
	}
	return b
}

func kindNames(kinds []attest.Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return names
}

func malformed(what, format string, args ...any) error {
	return attest.NewFailure("channel."+what, attest.CodeMalformed, fmt.Sprintf(format, args...), "a well-formed "+what+" message")
}

// reader takes a message apart from the front and remembers the first error,
// so that a parser reads as the list of its fields.
type reader struct {
	name string
	rest []byte
	size int
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		at := fmt.Sprintf("at byte %d: ", r.size-len(r.rest))
		r.err = malformed(r.name, "%s", at+fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.fail("%d bytes wanted, %d left", n, len(r.rest))
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) array32() (v [32]byte) {
	copy(v[:], r.take(32))
	return v
}

// flag reads 0 or 1; a third value would be a second encoding of true.
func (r *reader) flag() bool {
	v := r.byte()
	if v > 1 {
		r.fail("%d where 0 or 1 is expected", v)
	}
	return v == 1
}

func (r *reader) count(limit int) int {
	n := int(r.byte())
	if n > limit {
		r.fail("%d items, limit %d", n, limit)
		return 0
	}
	return n
}

func (r *reader) kinds() []string {
	n := r.count(maxKinds)
	if n == 0 {
		r.fail("no evidence kind is accepted")
	}
	var kinds []string
	for range n {
		name := string(r.take(r.count(maxKindName)))
		for _, k := range kinds {
			if k == name {
				r.fail("evidence kind %q given twice", printable(name))
			}
		}
		if name == "" {
			r.fail("an evidence kind without a name")
		}
		kinds = append(kinds, name)
	}
	return kinds
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d bytes after the end", len(r.rest))
	}
	return r.err
}
