package tokenize

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder turns tokens back into text, a step of several.
type decoder interface {
	decode(w *work, tokens []string) ([]string, error)
}

// Decode turns ids back into text. Ids that stand for nothing are left out, and so are
// special tokens if skipSpecial says so.
func (t *Tokenizer) Decode(ids []int64, skipSpecial bool) (string, error) {
	return t.DecodeContext(context.Background(), ids, skipSpecial)
}

// DecodeContext is Decode for as long as a context is there.
func (t *Tokenizer) DecodeContext(ctx context.Context, ids []int64, skipSpecial bool) (string, error) {
	w := t.lim.work(ctx, min(len(ids), t.lim.TextBytes), false)
	var tokens []string
	for _, id := range ids {
		token, ok := t.shown(id)
		if !ok || skipSpecial && t.added.special[token] {
			continue
		}
		if err := w.spend(len(token) + 1); err != nil {
			return "", err
		}
		tokens = append(tokens, token)
	}
	if t.decoder == nil {
		return strings.Join(tokens, " "), nil
	}
	tokens, err := t.decoder.decode(w, tokens)
	if err != nil {
		return "", inPackage(err)
	}
	if size := bytesIn(tokens); size > t.lim.WorkBytes {
		return "", fmt.Errorf("tokenize: decoded text of %d bytes, see Limits.WorkBytes: %w", size, ErrLimit)
	}
	return strings.Join(tokens, ""), nil
}

// shown is the text of an id before decoding.
func (t *Tokenizer) shown(id int64) (string, bool) {
	if id < 0 || id > math.MaxInt32 {
		return "", false
	}
	if text, ok := t.added.shown[int32(id)]; ok {
		return text, true
	}
	return t.Token(id)
}

func readDecoder(p part, lim *reading) (decoder, error) {
	if p.absent() {
		return nil, nil
	}
	if err := lim.step(); err != nil {
		return nil, err
	}
	kind, err := p.kind()
	if err != nil {
		return nil, err
	}
	switch kind {
	case "Sequence":
		return readDecoders(p, lim)
	case "WordPiece":
		return readWordPieceDecoder(p, lim)
	case "Metaspace":
		return readMetaspaceDecoder(p)
	case "ByteLevel":
		_, err := readToBytes(p, lim)
		return fromBytes{}, err
	case "BPEDecoder":
		return readBPEDecoder(p, lim)
	case "Strip":
		return readStripDecoder(p)
	case "Replace":
		r, err := readReplace(p, lim)
		if err != nil {
			return nil, err
		}
		return each{r}, nil
	case "CTC":
		return readCTC(p, lim)
	}
	if err := readBare(p); err != nil {
		return nil, err
	}
	switch kind {
	case "ByteFallback":
		return fallback{}, nil
	case "Fuse":
		return fuse{}, nil
	}
	return nil, unsupported("decoder", kind)
}

// decoders are done one after the other.
type decoders []decoder

func readDecoders(p part, lim *reading) (decoder, error) {
	var f struct {
		Type     string `json:"type"`
		Decoders parts  `json:"decoders"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	var all decoders
	for _, p := range f.Decoders {
		d, err := readDecoder(p, lim)
		if err != nil {
			return nil, err
		}
		if d == nil {
			return nil, fmt.Errorf("tokenize: a decoder of a sequence is null")
		}
		all = append(all, d)
	}
	return all, nil
}

// decode counts what each step leaves: one that puts a space between any two characters makes
// twice as much, and a file may have hundreds of them.
func (all decoders) decode(w *work, tokens []string) (_ []string, err error) {
	for _, d := range all {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		if tokens, err = d.decode(w, tokens); err != nil {
			return nil, err
		}
		if err := w.spend(bytesIn(tokens)); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func bytesIn(tokens []string) (n int) {
	for _, s := range tokens {
		n += len(s)
	}
	return n
}

// each does a normalizer to each token.
type each struct{ normalizer }

func (e each) decode(w *work, tokens []string) ([]string, error) {
	for i, s := range tokens {
		p, err := e.normalize(w, piece{text: s, id: none})
		if err != nil {
			return nil, err
		}
		tokens[i] = p.text
	}
	return tokens, nil
}

// fuse makes one token of all.
type fuse struct{}

func (fuse) decode(w *work, tokens []string) ([]string, error) {
	all := strings.Join(tokens, "")
	return []string{all}, w.spend(len(all))
}

// fromBytes reads byte-level tokens.
type fromBytes struct{}

func (fromBytes) decode(w *work, tokens []string) ([]string, error) {
	var all []byte
	for _, s := range tokens {
		if b, ok := bytesOf(s); ok {
			all = append(all, b...)
		} else {
			all = append(all, s...)
		}
	}
	text := lossy(all)
	return []string{text}, w.spend(len(text))
}

// lossy puts U+FFFD in the place of what is not UTF-8: one for each part that is the
// beginning of a character and does not go on as one.
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		out.WriteRune(r)
		if r == utf8.RuneError && n == 1 {
			n = broken(b)
		}
		b = b[n:]
	}
	return out.String()
}

// broken is the length of the longest part of b that some character begins with, or 1.
func broken(b []byte) int {
	lo, hi, size := byte(0x80), byte(0xbf), 0
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		size = 2
	case c >= 0xe0 && c <= 0xef:
		size = 3
	case c >= 0xf0 && c <= 0xf4:
		size = 4
	}
	switch b[0] {
	case 0xe0:
		lo = 0xa0
	case 0xed:
		hi = 0x9f
	case 0xf0:
		lo = 0x90
	case 0xf4:
		hi = 0x8f
	}
	n := 1
	for n < size && n < len(b) && b[n] >= lo && b[n] <= hi {
		lo, hi = 0x80, 0xbf
		n++
	}
	return n
}

// fallback turns tokens of single bytes, like <0x0A>, into text.
type fallback struct{}

func (fallback) decode(w *work, tokens []string) ([]string, error) {
	var out []string
	var bytes []byte
	flush := func() {
		switch {
		case len(bytes) == 0:
		case utf8.Valid(bytes):
			out = append(out, string(bytes))
		default:
			for range bytes {
				out = append(out, "\ufffd")
			}
		}
		bytes = bytes[:0]
	}
	for _, s := range tokens {
		if b, ok := byteToken(s); ok {
			bytes = append(bytes, b)
			continue
		}
		flush()
		out = append(out, s)
	}
	flush()
	return out, w.spend(3 * len(tokens))
}

func byteToken(s string) (byte, bool) {
	if len(s) != 6 || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	digits := s[3:5]
	if digits[0] == '+' { // the library that is followed reads a sign
		digits = digits[1:]
	}
	b, err := strconv.ParseUint(digits, 16, 8)
	return byte(b), err == nil
}
