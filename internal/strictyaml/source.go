package strictyaml

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// source is a document by lines, to look up what stands at a place.
type source struct{ lines []string }

// readSource refuses bytes that must not be in a document at all.
func readSource(doc []byte) (*source, error) {
	if len(doc) > MaxSize {
		return nil, oneError(1, 1, fmt.Sprintf("a document of %d bytes, limit %d", len(doc), MaxSize))
	}
	if !utf8.Valid(doc) {
		line, column := invalidAt(string(doc))
		return nil, oneError(line, column, "not UTF-8")
	}
	src := &source{lines: strings.Split(string(doc), "\n")}
	for i, text := range src.lines {
		// A carriage return is half of a line end only in front of a newline.
		// Alone it is a line end to YAML and nothing to an editor.
		if i < len(src.lines)-1 {
			text = strings.TrimSuffix(text, "\r")
			src.lines[i] = text
		}
		if column, r, bad := hidden(text); bad {
			return nil, oneError(i+1, column, fmt.Sprintf("the character %U, which does not show", r))
		}
	}
	return src, src.noDirectives()
}

func invalidAt(doc string) (line, column int) {
	line, column = 1, 1
	for i, r := range doc {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(doc[i:]); size == 1 {
				break
			}
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// hidden finds the first character that a person who reviews the document
// would not see, or would see somewhere else: control characters, byte order
// marks, bidirectional overrides, zero-width characters, and the Unicode line
// ends that YAML 1.1 honours and editors do not.
func hidden(text string) (column int, r rune, bad bool) {
	column = 1
	for _, r := range text {
		if r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return column, r, true
		}
		column++
	}
	return 0, 0, false
}

// noDirectives refuses %YAML and %TAG, which change how the rest is read.
func (s *source) noDirectives() error {
	for i, text := range s.lines {
		if strings.HasPrefix(text, "%") {
			return oneError(i+1, 1, "a line that begins with %, which YAML takes for a directive")
		}
		if trimmed := strings.TrimSpace(text); trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			return nil
		}
	}
	return nil
}

// at returns the character at a place, or 0.
func (s *source) at(p Pos) byte {
	if p.Line < 1 || p.Line > len(s.lines) {
		return 0
	}
	column := 1
	for _, r := range s.lines[p.Line-1] {
		if column == p.Column && r < utf8.RuneSelf {
			return byte(r)
		}
		column++
	}
	return 0
}

// indent returns by how many characters the document indents a text that begins
// on the given line.
func (s *source) indent(line int, text string) int {
	for first := range strings.Lines(text) {
		first = strings.TrimRight(first, "\n")
		if line > len(s.lines) {
			return 0
		}
		if first != "" {
			return max(len(s.lines[line-1])-len(first), 0)
		}
		line++
	}
	return 0
}
