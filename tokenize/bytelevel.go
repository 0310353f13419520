package tokenize

import "unicode/utf8"

// byteChar returns the character that stands for a byte in byte-level tokens. Bytes
// that are visible in Latin-1 stand for themselves, the others for the characters from
// U+0100 on, in order.
func byteChar(b byte) rune {
	switch {
	case b >= '!' && b <= '~', b >= 0xa1 && b <= 0xac, b >= 0xae:
		return rune(b)
	case b <= ' ':
		return 0x100 + rune(b)
	case b < 0xa1:
		return 0x100 + 33 + rune(b-0x7f)
	}
	return 0x100 + 33 + 34
}

// charByte is the way back.
func charByte(r rune) (byte, bool) {
	switch {
	case r >= '!' && r <= '~', r >= 0xa1 && r <= 0xac, r >= 0xae && r <= 0xff:
		return byte(r), true
	case r >= 0x100 && r <= 0x120:
		return byte(r - 0x100), true
	case r > 0x120 && r < 0x100+33+34:
		return byte(r-0x100-33) + 0x7f, true
	case r == 0x100+33+34:
		return 0xad, true
	}
	return 0, false
}

// bytesOf returns the bytes that a token stands for, if all its characters do.
func bytesOf(token string) ([]byte, bool) {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := charByte(r)
		if !ok {
			return nil, false
		}
		out = append(out, b)
	}
	return out, true
}

// byteLevel writes the characters that stand for the bytes of a text.
type byteLevel struct{}

func (byteLevel) normalize(w *work, p piece) (piece, error) {
	out := rewrite(w, p)
	for i, r := range p.text {
		for j := range utf8.RuneLen(r) {
			out.char(byteChar(p.text[i+j]), i)
		}
	}
	return out.piece()
}

// gpt2 is the pattern of the pre-tokenizer ByteLevel.
const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// toBytes is the pre-tokenizer ByteLevel: it cuts a text into words and turns each into
// its byte-level form, in truth or, if raw, by saying so.
type toBytes struct {
	space bool     // put a space before a text that has none
	words *pattern // nil: one word
	raw   bool
}

func readToBytes(p part, lim *reading) (cutter, error) {
	var f struct {
		Type  string `json:"type"`
		Space bool   `json:"add_prefix_space"`
		Trim  bool   `json:"trim_offsets"`
		Regex *bool  `json:"use_regex"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	c := &toBytes{space: f.Space}
	if f.Regex == nil || *f.Regex {
		words, err := lim.compile(gpt2)
		if err != nil {
			return nil, err
		}
		c.words = words
	}
	return c, nil
}

func (c *toBytes) cut(w *work, p piece, out []piece) (_ []piece, err error) {
	if c.space && p.text[0] != ' ' {
		if p, err = prepend(" ").normalize(w, p); err != nil {
			return nil, err
		}
	}
	first := len(out)
	if c.words == nil {
		out = append(out, p)
	} else if out, err = (split{by: c.words, how: isolated}).cut(w, p, out); err != nil {
		return nil, err
	}
	for i := first; i < len(out); i++ {
		if c.raw {
			out[i].raw = true
		} else if out[i], err = (byteLevel{}).normalize(w, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
