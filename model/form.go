package model

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"regexp"
)

// formPart is one part of a form. Its content shares the body's memory.
type formPart struct {
	name    string
	file    bool // it has a file name
	content []byte
}

// Bounds of a form.
const (
	maxParts    = 32
	maxPartHead = 4 << 10 // bytes of a part's header
)

// readForm splits a body of multipart/form-data (RFC 7578, RFC 2046 section 5.1) into its
// parts, without copying them: a recording may be large. It takes the form that clients
// write and no other: nothing before the first boundary and behind the last, lines
// that end in CR LF, and a boundary that stands in no part. The error holds nothing of the
// body.
func readForm(h http.Header, body []byte) ([]formPart, error) {
	boundary, err := boundaryOf(h)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(body, []byte("--"+boundary))
	if !ok {
		return nil, errors.New("the body does not begin with the boundary that its Content-Type names")
	}
	delimiter := []byte("\r\n--" + boundary)
	var parts []formPart
	for {
		if end, last := bytes.CutPrefix(rest, []byte("--")); last {
			if len(bytes.Trim(end, "\r\n")) > 0 {
				return nil, errors.New("something follows the form's last boundary")
			}
			return parts, nil
		}
		if rest, ok = bytes.CutPrefix(rest, []byte("\r\n")); !ok {
			return nil, errors.New("a boundary of the form is not followed by a line's end")
		}
		one, behind, ok := bytes.Cut(rest, delimiter)
		if !ok {
			return nil, errors.New("the form ends within a part")
		}
		if len(parts) == maxParts {
			return nil, fmt.Errorf("the form has more than %d parts", maxParts)
		}
		p, err := readPart(one)
		if err != nil {
			return nil, fmt.Errorf("part %d of the form %w", len(parts)+1, err)
		}
		parts, rest = append(parts, p), behind
	}
}

// boundaryOf reads what stands between the parts.
func boundaryOf(h http.Header) (string, error) {
	typ, given, err := typeOf(h)
	if err != nil {
		return "", err
	}
	if typ != "multipart/form-data" {
		return "", errors.New("the body is of another type, expected Content-Type: multipart/form-data (curl: -F model=NAME -F file=@FILE)")
	}
	// RFC 2046, section 5.1.1: bchars, without a space.
	ok, err := regexp.MatchString(`^[0-9A-Za-z'()+_,./:=?-]{1,70}$`, given["boundary"])
	if err != nil || !ok {
		return "", errors.New("the Content-Type has no boundary of up to 70 characters")
	}
	return given["boundary"], nil
}

// readPart reads a part's header.
func readPart(one []byte) (p formPart, err error) {
	head, _, ok := bytes.Cut(one[:min(len(one), maxPartHead)], []byte("\r\n\r\n"))
	if !ok {
		return p, fmt.Errorf("has no header of up to %d bytes", maxPartHead)
	}
	lines, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(head[:len(head):len(head)], "\r\n\r\n"...)))).ReadMIMEHeader()
	if err != nil {
		return p, errors.New("has a header that cannot be read")
	}
	said := lines["Content-Disposition"]
	if len(said) != 1 || len(lines["Content-Transfer-Encoding"]) > 0 {
		return p, errors.New("has not one Content-Disposition, or a Content-Transfer-Encoding")
	}
	kind, given, err := mime.ParseMediaType(said[0])
	if err != nil || kind != "form-data" || given["name"] == "" {
		return p, errors.New("has no name: expected Content-Disposition: form-data with a name")
	}
	_, file := given["filename"]
	return formPart{given["name"], file, one[len(head)+4:]}, nil
}

// oneField returns the text of a field that a form must have once.
func oneField(parts []formPart, name string) (string, error) {
	text, n := "", 0
	for _, p := range parts {
		if p.name != name {
			continue
		}
		if n++; p.file {
			return "", fmt.Errorf("the field %q is sent as a file, expected text", name)
		}
		text = string(p.content)
	}
	if n != 1 {
		return "", fmt.Errorf("the form has the field %q %d times, expected once", name, n)
	}
	return text, nil
}
