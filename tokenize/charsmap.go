package tokenize

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// charsmap is the normalizer of a SentencePiece model, in the form in which the model
// stores it: a double-array trie (Darts) of strings, and what is put in their place.
//
// The file begins with the length of the trie in bytes, 4 bytes of little endian; then
// come the trie's units of 4 bytes; then, each ended by a zero byte, the strings that
// the trie's values are offsets into.
type charsmap struct {
	units   []uint32
	results string
}

func readPrecompiled(p part, lim *reading) (normalizer, error) {
	var f struct {
		Type string  `json:"type"`
		Map  *string `json:"precompiled_charsmap"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	if err := lim.keep(len(p.text), 3); err != nil {
		return nil, err
	}
	if f.Map == nil {
		return nil, fmt.Errorf("tokenize: Precompiled without precompiled_charsmap")
	}
	data, err := base64.StdEncoding.Strict().DecodeString(*f.Map)
	if err != nil {
		return nil, fmt.Errorf("tokenize: precompiled_charsmap: %w", err)
	}
	return parseCharsmap(data)
}

func parseCharsmap(data []byte) (*charsmap, error) {
	if len(data) < 4 {
		return nil, fmt.Errorf("tokenize: precompiled_charsmap has %d bytes, it begins with a length of 4", len(data))
	}
	size := uint64(binary.LittleEndian.Uint32(data))
	if data = data[4:]; size == 0 || size%4 != 0 || size > uint64(len(data)) {
		return nil, fmt.Errorf("tokenize: trie of %d bytes in precompiled_charsmap, %d bytes follow", size, len(data))
	}
	c := &charsmap{units: make([]uint32, size/4), results: string(data[size:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	if !utf8.ValidString(c.results) {
		return nil, fmt.Errorf("tokenize: the strings of precompiled_charsmap are not UTF-8")
	}
	return c, nil
}

// shortest returns what stands for the shortest string of the trie that s begins with.
func (c *charsmap) shortest(s string) (string, bool) {
	at := c.next(0)
	for i := 0; i < len(s) && s[i] != 0; i++ {
		at ^= uint32(s[i])
		if at >= uint32(len(c.units)) {
			return "", false
		}
		unit := c.units[at]
		if unit&(1<<31|0xff) != uint32(s[i]) { // the label, and that this is no value
			return "", false
		}
		at ^= offsetOf(unit)
		if unit>>8&1 != 0 { // a string ends here, and the unit at the offset is its value
			return c.result(at)
		}
	}
	return "", false
}

func (c *charsmap) next(at uint32) uint32 { return at ^ offsetOf(c.units[at]) }

// offsetOf is how far a unit's children are: 22 bits, and one that moves them by 8.
func offsetOf(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }

func (c *charsmap) result(at uint32) (string, bool) {
	if at >= uint32(len(c.units)) {
		return "", false
	}
	begin := int(c.units[at] &^ (1 << 31))
	if begin > len(c.results) || begin < len(c.results) && !utf8.RuneStart(c.results[begin]) {
		return "", false
	}
	end := begin
	for end < len(c.results) && c.results[end] != 0 {
		end++
	}
	return c.results[begin:end], true
}

// normalize looks up each grapheme of up to five bytes as a whole, and where that has
// no entry, and in longer ones, each character.
func (c *charsmap) normalize(w *work, p piece) (piece, error) {
	out := &aligner{rewriter: rewrite(w, p)}
	changed := false
	for at := 0; at < len(p.text) && len(out.out) <= w.bytes; {
		end := at + grapheme(p.text[at:])
		if end-at < 6 && c.put(out, p.text[at:end]) {
			changed, at = true, end
		}
		for at < end {
			n := runeLen(p.text, at)
			if c.put(out, p.text[at:at+n]) {
				changed = true
			} else {
				r, _ := utf8.DecodeRuneInString(p.text[at:])
				out.put(r, 0)
			}
			at += n
		}
	}
	if !changed {
		return p, nil
	}
	return out.piece()
}

// put writes what stands for s, if anything does.
func (c *charsmap) put(out *aligner, s string) bool {
	result, ok := c.shortest(s)
	if !ok {
		return false
	}
	old := utf8.RuneCountInString(s)
	for _, r := range result {
		out.put(r, 0)
		if old--; old < 0 {
			out.more = 1
		}
	}
	out.gone(max(0, old))
	return true
}
