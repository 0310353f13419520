package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxLabels is how many classes may have a name.
const maxLabels = 1 << 20

// maxLine is how many bytes a name may have: each may be given out many times.
const maxLine = 4 << 10

// lines reads a file of lines. The last one may end or not; a byte order mark and
// carriage returns are passed over.
func lines(file []byte, most int) ([]string, error) {
	text := strings.TrimPrefix(string(file), "\ufeff")
	text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	switch {
	case !utf8.ValidString(text):
		return nil, errors.New("text that is not UTF-8")
	case text == "":
		return nil, errors.New("nothing")
	case strings.Count(text, "\n") >= most:
		return nil, fmt.Errorf("more than %d lines", most)
	}
	list := strings.Split(text, "\n")
	for i, line := range list {
		if len(line) > maxLine {
			return nil, fmt.Errorf("line %d of %d bytes, expected at most %d", i+1, len(line), maxLine)
		}
	}
	return list, nil
}

// textBytes is the memory of strings.
func textBytes(list []string) (n int64) {
	for _, s := range list {
		n += 16 + int64(len(s))
	}
	return n
}
