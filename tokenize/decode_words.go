package tokenize

import (
	"slices"
	"strings"
)

// wordPieceDecoder puts spaces before tokens that do not go on with a word.
type wordPieceDecoder struct {
	prefix string
	clean  bool
}

func readWordPieceDecoder(p part, lim *reading) (decoder, error) {
	var f struct {
		Type    string `json:"type"`
		Prefix  string `json:"prefix"`
		Cleanup bool   `json:"cleanup"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	return wordPieceDecoder{f.Prefix, f.Cleanup}, lim.piece("prefix", f.Prefix)
}

func (d wordPieceDecoder) decode(_ *work, tokens []string) ([]string, error) {
	for i, s := range tokens {
		if rest, ok := strings.CutPrefix(s, d.prefix); i > 0 && ok {
			s = rest
		} else if i > 0 {
			s = " " + s
		}
		if d.clean {
			s = cleanup(s)
		}
		tokens[i] = s
	}
	return tokens, nil
}

// cleanup takes away spaces that English does not have.
func cleanup(s string) string {
	for _, pair := range [][2]string{
		{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
		{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
	} {
		s = strings.ReplaceAll(s, pair[0], pair[1])
	}
	return s
}

// metaspaceDecoder turns the visible character back into spaces.
type metaspaceDecoder struct {
	char     string
	prepends bool
}

func readMetaspaceDecoder(p part) (decoder, error) {
	var f metaspaceFile
	if err := p.read(&f); err != nil {
		return nil, err
	}
	m, err := f.metaspace()
	return metaspaceDecoder{m.char, m.always || m.first}, err
}

func (d metaspaceDecoder) decode(_ *work, tokens []string) ([]string, error) {
	for i, s := range tokens {
		space := " "
		if i == 0 && d.prepends {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(s, d.char, space)
	}
	return tokens, nil
}

// bpeDecoder turns the ends of words into spaces.
type bpeDecoder struct{ suffix string }

func readBPEDecoder(p part, lim *reading) (decoder, error) {
	var f struct {
		Type   string `json:"type"`
		Suffix string `json:"suffix"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	return bpeDecoder{f.Suffix}, lim.piece("suffix", f.Suffix)
}

func (d bpeDecoder) decode(_ *work, tokens []string) ([]string, error) {
	for i, s := range tokens {
		space := " "
		if i == len(tokens)-1 {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(s, d.suffix, space)
	}
	return tokens, nil
}

// stripDecoder takes some of a character away at the ends of each token.
type stripDecoder struct {
	char        rune
	start, stop int
}

func readStripDecoder(p part) (decoder, error) {
	var f struct {
		Type    string    `json:"type"`
		Content character `json:"content"`
		Start   int       `json:"start"`
		Stop    int       `json:"stop"`
	}
	err := p.read(&f)
	return stripDecoder{rune(f.Content), f.Start, f.Stop}, err
}

func (d stripDecoder) decode(_ *work, tokens []string) ([]string, error) {
	char := string(d.char)
	for i, s := range tokens {
		for n := 0; n < d.start && strings.HasPrefix(s, char); n++ {
			s = s[len(char):]
		}
		for n := 0; n < d.stop && strings.HasSuffix(s, char); n++ {
			s = s[:len(s)-len(char)]
		}
		tokens[i] = s
	}
	return tokens, nil
}

// ctc reads the output of models of speech: of equal tokens in a row one remains.
type ctc struct {
	pad, space string
	clean      bool
}

func readCTC(p part, lim *reading) (decoder, error) {
	var f struct {
		Type    string `json:"type"`
		Pad     string `json:"pad_token"`
		Space   string `json:"word_delimiter_token"`
		Cleanup bool   `json:"cleanup"`
	}
	if err := p.read(&f); err != nil {
		return nil, err
	}
	if err := lim.piece("pad_token", f.Pad); err != nil {
		return nil, err
	}
	return ctc{f.Pad, f.Space, f.Cleanup}, lim.piece("word_delimiter_token", f.Space)
}

func (d ctc) decode(_ *work, tokens []string) ([]string, error) {
	tokens = slices.Compact(tokens)
	out := tokens[:0]
	for _, s := range tokens {
		s = strings.ReplaceAll(s, d.pad, "")
		if d.clean {
			s = strings.ReplaceAll(cleanup(s), d.space, " ")
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}
