package policy

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ReservedPrefix begins the paths that the box answers itself. No request to
// such a path, in whatever case, reaches the app.
const ReservedPrefix = "/.well-known/blindbox"

// Reserved reports whether a path is one that the box answers itself.
func Reserved(path string) bool {
	n := len(ReservedPrefix)
	return len(path) >= n && strings.EqualFold(path[:n], ReservedPrefix) && (len(path) == n || path[n] == '/')
}

// MaxPath is the longest request path in bytes.
const MaxPath = 8 << 10

// CheckPath refuses a request path, as sent and without the query, that the
// box and the app could understand differently. Nothing is normalised: a path
// that would have to be is refused, because the app would get to do it after
// the decision. The error never holds the path.
func CheckPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return errors.New("policy: the path does not begin with a slash")
	case len(path) > MaxPath:
		return errors.New("policy: the path is too long")
	case strings.Contains(path, "//"):
		return errors.New("policy: the path has an empty segment")
	}
	if err := checkCharacters(path); err != nil {
		return err
	}
	for _, segment := range strings.Split(path, "/") {
		// Some servers cut parameters off before they resolve dots: "..;a".
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return errors.New("policy: the path has a dot segment")
		}
	}
	return nil
}

func checkCharacters(path string) error {
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '%':
			d, ok := unhex(path[i+1:])
			if !ok {
				return errors.New("policy: the path has a broken percent-encoding")
			}
			if why := encodedForNoReason(d, path[i+3:]); why != "" {
				return errors.New("policy: the path has " + why)
			}
			decoded = append(decoded, d)
			i += 2
		case c != '/' && !isPathChar(c):
			return errors.New("policy: the path has a character that must be percent-encoded")
		default:
			decoded = append(decoded, c)
		}
	}
	if !utf8.Valid(decoded) {
		return errors.New("policy: the path is not UTF-8")
	}
	return nil
}

// encodedForNoReason says what is wrong with an encoded character that means
// one thing to who decodes the path and another to who does not.
func encodedForNoReason(c byte, rest string) string {
	_, again := unhex(rest)
	switch {
	case c == '/' || c == '\\':
		return "an encoded slash or backslash"
	case c < 0x20 || c == 0x7f:
		return "an encoded control character"
	case c == '%' && again:
		return "a doubly encoded character"
	case isUnreserved(c) || c == ';':
		return "an encoded character that needs no encoding"
	}
	return ""
}

func unhex(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := hexDigit(s[0]), hexDigit(s[1])
	return hi<<4 | lo, hi < 16 && lo < 16
}

func hexDigit(c byte) byte {
	if d := c - '0'; d < 10 {
		return d
	}
	if d := c - 'a'; d < 6 {
		return d + 10
	}
	if d := c - 'A'; d < 6 {
		return d + 10
	}
	return 0xff
}

// otherForms returns what an app could make of a path before it looks what is there:
// with the characters decoded that need no encoding in a path, which a sender may
// write in both ways (the others keep theirs in upper case, RFC 3986, section
// 6.2.2.1), with all of them decoded, and each without the parameters that some
// servers cut off segments. A permit names what is good and need not know of them. A
// forbid that did not would be got around by writing "%3A" for ":".
func otherForms(path string) []string {
	if !strings.ContainsAny(path, "%;") {
		return nil
	}
	usual := decodedPath(path, isPathChar)
	decoded := decodedPath(path, func(byte) bool { return true })
	return []string{usual, withoutParameters(usual), decoded, withoutParameters(decoded)}
}

func withoutParameters(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// decodedPath decodes some of the characters, and puts the rest in the usual form.
func decodedPath(path string, some func(byte) bool) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		d, ok := unhex(path[i+1:])
		switch {
		case path[i] != '%' || !ok:
			out.WriteByte(path[i])
			continue
		case some(d):
			out.WriteByte(d)
		default:
			out.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return out.String()
}

// isUnreserved is RFC 3986, section 2.3.
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// isPathChar is pchar of RFC 3986, section 3.3, without percent-encoding.
func isPathChar(c byte) bool { return isUnreserved(c) || strings.IndexByte("!$&'()*+,;=:@", c) >= 0 }

// checkPattern says what is wrong with a pattern of a policy, or "".
func checkPattern(pattern string) string {
	literal, _ := strings.CutSuffix(pattern, "*")
	switch {
	case literal != pattern && !strings.HasSuffix(literal, "/"):
		return "a star only after a slash: /v1/*"
	case strings.ContainsAny(literal, "*%"):
		return "a star only at the end, and no percent-encoding"
	case CheckPath(literal) != nil:
		return "a path such as /v1/models, or a prefix such as /v1/*"
	case Reserved(strings.TrimSuffix(literal, "/")):
		return "a path outside " + ReservedPrefix + ", which the box answers itself"
	}
	return ""
}
