package egress

import (
	"bytes"
	"strconv"
	"strings"
)

// head is a request's line and fields as RFC 9112 has them, read so strictly that
// nobody who reads them after us can find another request in them.
type head struct {
	method, target string
	minor          byte // HTTP/1.minor: '0' or '1'
	fields         []field
	host           string // parsed from Host; "" if there is none
	port           string
	length         int64 // of the body; -1 means chunked
	upgrade        bool
}

type field struct{ name, value string }

const (
	maxHead   = 32 << 10
	maxFields = 100
)

func badHead(text string) error { return refuse(BadHead, text) }

// headEnd returns how long a head is, with the empty line, or 0 if more bytes are
// needed. A line that ends in a bare line feed is found here, not waited for.
func headEnd(b []byte) (int, error) {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 && i+4 <= maxHead {
		return i + 4, nil
	}
	if len(b) >= maxHead {
		return 0, badHead("the request's head is too long")
	}
	if i := bytes.IndexByte(b, '\n'); i == 0 || i > 0 && b[i-1] != '\r' {
		return 0, badHead("a line of the request's head does not end in CR LF")
	}
	return 0, nil
}

// parseHead reads a head that headEnd has found the end of.
func parseHead(b []byte) (*head, error) {
	text, ok := strings.CutSuffix(string(b), "\r\n\r\n")
	if !ok {
		return nil, badHead("the request's head does not end")
	}
	lines := strings.Split(text, "\r\n")
	if len(lines) > maxFields+1 {
		return nil, badHead("the request has too many fields")
	}
	h := &head{}
	if err := h.requestLine(lines[0]); err != nil {
		return nil, err
	}
	for _, l := range lines[1:] {
		if err := h.field(l); err != nil {
			return nil, err
		}
	}
	return h, h.meaning()
}

// requestLine reads METHOD SP target SP HTTP/1.x (RFC 9112, section 3).
func (h *head) requestLine(l string) error {
	parts := strings.Split(l, " ")
	if len(parts) != 3 || !isToken(parts[0]) || !isTarget(parts[1]) {
		return badHead("the request line is none")
	}
	if parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0" {
		return badHead("the request is not HTTP/1.1 or HTTP/1.0")
	}
	h.method, h.target, h.minor = parts[0], parts[1], parts[2][7]
	return nil
}

// field reads name ":" value (RFC 9112, section 5). A name followed by a space,
// and a line that goes on in the next, are read in different ways by different
// servers and refused here.
func (h *head) field(l string) error {
	name, value, ok := strings.Cut(l, ":")
	value = strings.Trim(value, " \t")
	if !ok || !isToken(name) || !isFieldValue(value) {
		return badHead("a field of the request is none")
	}
	h.fields = append(h.fields, field{name, value})
	return nil
}

// meaning reads the fields that say where the request goes and where it ends.
func (h *head) meaning() error {
	var hosts, lengths, codings []string
	for _, f := range h.fields {
		switch lower(f.name) {
		case "host":
			hosts = append(hosts, f.value)
		case "content-length":
			lengths = append(lengths, f.value)
		case "transfer-encoding":
			codings = append(codings, f.value)
		case "upgrade", "http2-settings":
			h.upgrade = true
		}
	}
	if len(hosts) > 1 {
		return badHead("the request has two Host fields")
	}
	if len(hosts) == 1 {
		var ok bool
		if h.host, h.port, ok = splitAuthority(hosts[0]); !ok {
			return badHead("the request's Host is no host")
		}
	}
	return h.framing(lengths, codings)
}

// framing reads RFC 9112, section 6: a length or chunks, each said once and
// never both.
func (h *head) framing(lengths, codings []string) error {
	switch {
	case len(lengths) == 0 && len(codings) == 0:
		return nil
	case len(lengths)+len(codings) > 1:
		return badHead("the request says in two ways how long its body is")
	case len(codings) == 1:
		if lower(codings[0]) != "chunked" || h.minor != '1' {
			return badHead("the request's body is coded in a way other than chunked")
		}
		h.length = -1
		return nil
	}
	n, ok := parseDecimal(lengths[0])
	if !ok {
		return badHead("the request's Content-Length is no number")
	}
	h.length = n
	return nil
}

// parseDecimal reads digits. strconv allows a sign, HTTP does not.
func parseDecimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && s[0] != '+' && s[0] != '-'
}

// splitAuthority reads host or host:port. The port is "" if there is none.
func splitAuthority(s string) (host, port string, ok bool) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if _, ok := parsePort(port); !ok {
			return "", "", false
		}
	}
	host, ok = parseHost(host)
	return host, port, ok
}

func parsePort(s string) (uint16, bool) {
	n, ok := parseDecimal(s)
	return uint16(n), ok && n > 0 && n < 1<<16 && s[0] != '0'
}

// connectTarget reads the target of CONNECT (RFC 9110, section 9.3.6): host and
// port. A Host field must say the same, and there is no body.
func (h *head) connectTarget() (string, uint16, error) {
	host, text, ok := splitAuthority(h.target)
	port, hasPort := parsePort(text)
	if !ok || !hasPort {
		return "", 0, badHead("the target of CONNECT is not HOST:PORT")
	}
	if h.length != 0 {
		return "", 0, badHead("CONNECT has a body")
	}
	if h.host != "" && (h.host != host || h.port != "" && h.port != text) {
		return "", 0, refuse(OtherHost, "CONNECT and its Host field name different hosts")
	}
	return host, port, nil
}

// absoluteTarget reads http://host[:port]/path, as a proxy is sent it, and leaves
// the path. Host must say the same: some servers believe the one, some the other
// (RFC 9112, section 3.2.2).
func (h *head) absoluteTarget() (string, uint16, error) {
	rest, ok := strings.CutPrefix(h.target, "http://")
	if !ok {
		return "", 0, badHead("a request to a proxy is not for http://")
	}
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		if path[0] == '?' {
			path = "/" + path
		}
	}
	host, text, ok := splitAuthority(authority)
	if !ok {
		return "", 0, badHead("the request's target names no host")
	}
	port := uint16(80)
	if text != "" {
		port, _ = parsePort(text)
	}
	h.target = path
	return host, port, h.agrees(host, port)
}

// agrees checks that the request is for a host and port and for nothing else.
func (h *head) agrees(host string, port uint16) error {
	switch {
	case h.method == "CONNECT":
		return badHead("CONNECT inside a connection that has a host already")
	case !strings.HasPrefix(h.target, "/") && h.target != "*":
		return badHead("the request's target is not a path")
	case h.upgrade:
		return badHead("the request asks for another protocol")
	case h.host == "":
		return badHead("the request has no Host")
	case h.host != host || h.portOr80() != port:
		return refuse(OtherHost, "the request's Host is not the host of the connection")
	}
	return nil
}

func (h *head) portOr80() uint16 {
	if h.port == "" {
		return 80
	}
	n, _ := parsePort(h.port)
	return n
}

// forward writes the head for the destination: without what was for us, and with
// an end of the connection after this one request.
func (h *head) forward() []byte {
	var b bytes.Buffer
	b.WriteString(h.method + " " + h.target + " HTTP/1." + string(h.minor) + "\r\n")
	for _, f := range h.fields {
		switch lower(f.name) {
		case "connection", "keep-alive", "te", "proxy-connection", "proxy-authorization", "proxy-authenticate":
		default:
			b.WriteString(f.name + ": " + f.value + "\r\n")
		}
	}
	b.WriteString("Connection: close\r\n\r\n")
	return b.Bytes()
}

// chunkLine reads the line before a chunk (RFC 9112, section 7.1). Extensions are
// refused: servers disagree where they end. used is 0 if more bytes are needed.
func chunkLine(b []byte) (size int64, used int, err error) {
	const maxDigits = 15
	for i, c := range b {
		d := unhex(c)
		switch {
		case d < 16 && i < maxDigits:
			size = size<<4 | int64(d)
		case c == '\r' && i > 0:
			if len(b) == i+1 {
				return 0, 0, nil
			}
			if b[i+1] == '\n' {
				return size, i + 2, nil
			}
			return 0, 0, badHead("a chunk of the body has no size")
		default:
			return 0, 0, badHead("a chunk of the body has no size")
		}
	}
	return 0, 0, nil
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if !('a' <= c && c <= 'z' || '0' <= s[i] && s[i] <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) >= 0) {
			return false
		}
	}
	return s != ""
}

// isTarget allows visible ASCII, without the fragment that no request has.
func isTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return false
		}
	}
	return s != ""
}

// isFieldValue is RFC 9110, section 5.5: no control characters but tab.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
