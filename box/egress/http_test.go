package egress

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestHeadEnd(t *testing.T) {
	for text, want := range map[string]int{
		"":                        0,
		"GET":                     0,
		"GET / HTTP/1.1\r":        0,
		"GET / HTTP/1.1\r\n":      0,
		"GET / HTTP/1.1\r\n\r\n":  18,
		"GET / HTTP/1.1\r\n\r\nx": 18,
		"\n":                      -1,
		"GET / HTTP/1.1\n":        -1,
		"GET / HTTP/1.1\n\r\n":    -1,
		strings.Repeat("x", maxHead-4) + "\r\n\r\n": maxHead,
		strings.Repeat("x", maxHead-3) + "\r\n\r\n": -1,
		strings.Repeat("x", maxHead):                -1,
		strings.Repeat("x", maxHead-1):              0,
	} {
		n, err := headEnd([]byte(text))
		if (err != nil) != (want < 0) || err == nil && n != want || err != nil && n != 0 {
			t.Errorf("%.30q: %d, %v, expected %d", text, n, err, want)
		}
	}
}

func TestParseHead(t *testing.T) {
	const host = "\r\nHost: a.example"
	for name, row := range map[string]struct {
		text string
		want string // "" for an error
	}{
		"plain":            {"GET /a HTTP/1.1" + host, "GET /a 1 a.example: 0"},
		"1.0":              {"GET /a HTTP/1.0" + host, "GET /a 0 a.example: 0"},
		"no host":          {"GET /a HTTP/1.1", "GET /a 1 : 0"},
		"port":             {"GET /a HTTP/1.1" + host + ":81", "GET /a 1 a.example:81 0"},
		"IPv6":             {"GET /a HTTP/1.1\r\nHost: [2606::1]:81", "GET /a 1 2606::1:81 0"},
		"IPv6, no port":    {"GET /a HTTP/1.1\r\nHost: [2606::1]", "GET /a 1 2606::1: 0"},
		"white space":      {"GET /a HTTP/1.1\r\nHost:\t a.example \t", "GET /a 1 a.example: 0"},
		"length":           {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: 12", "PUT /a 1 a.example: 12"},
		"chunked":          {"PUT /a HTTP/1.1" + host + "\r\nTransfer-Encoding: Chunked", "PUT /a 1 a.example: -1"},
		"UTF-8 in a value": {"GET /a HTTP/1.1" + host + "\r\nX: é", "GET /a 1 a.example: 0"},
		"many fields":      {"GET /a HTTP/1.1" + host + strings.Repeat("\r\nX: 1", maxFields-1), "GET /a 1 a.example: 0"},

		"nothing":                  {"", ""},
		"two words":                {"GET /a", ""},
		"four words":               {"GET /a b HTTP/1.1", ""},
		"two spaces":               {"GET  /a HTTP/1.1", ""},
		"a tab":                    {"GET\t/a HTTP/1.1", ""},
		"method":                   {"G(T /a HTTP/1.1", ""},
		"no method":                {" /a HTTP/1.1", ""},
		"control in the target":    {"GET /a\x01 HTTP/1.1", ""},
		"delete in the target":     {"GET /a\x7f HTTP/1.1", ""},
		"fragment":                 {"GET /a#b HTTP/1.1", ""},
		"no target":                {"GET  HTTP/1.1", ""},
		"version 2":                {"PRI * HTTP/2.0", ""},
		"version 0.9":              {"GET / HTTP/0.9", ""},
		"version in small letters": {"GET / http/1.1", ""},
		"two hosts":                {"GET /a HTTP/1.1" + host + host, ""},
		"empty host":               {"GET /a HTTP/1.1\r\nHost:", ""},
		"bad host":                 {"GET /a HTTP/1.1\r\nHost: a b", ""},
		"bad port":                 {"GET /a HTTP/1.1\r\nHost: a.example:x", ""},
		"port 0":                   {"GET /a HTTP/1.1\r\nHost: a.example:0", ""},
		"port 65536":               {"GET /a HTTP/1.1\r\nHost: a.example:65536", ""},
		"port with a zero":         {"GET /a HTTP/1.1\r\nHost: a.example:080", ""},
		"empty port":               {"GET /a HTTP/1.1\r\nHost: a.example:", ""},
		"space before the colon":   {"GET /a HTTP/1.1\r\nHost : a.example", ""},
		"no colon":                 {"GET /a HTTP/1.1\r\nHost", ""},
		"no name":                  {"GET /a HTTP/1.1\r\n: x", ""},
		"folded":                   {"GET /a HTTP/1.1" + host + "\r\n b.example", ""},
		"bare line feed":           {"GET /a HTTP/1.1" + host + "\nHost: b.example", ""},
		"bare return":              {"GET /a HTTP/1.1" + host + "\rX: y", ""},
		"control in a value":       {"GET /a HTTP/1.1" + host + "\r\nX: a\x01b", ""},
		"zero":                     {"GET /a HTTP/1.1" + host + "\x00", ""},
		"delete in a value":        {"GET /a HTTP/1.1" + host + "\r\nX: \x7f", ""},
		"too many fields":          {"GET /a HTTP/1.1" + host + strings.Repeat("\r\nX: 1", maxFields), ""},
		"two lengths":              {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: 1\r\nContent-Length: 1", ""},
		"a list of lengths":        {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: 1, 1", ""},
		"negative length":          {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: -1", ""},
		"signed length":            {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: +1", ""},
		"empty length":             {"PUT /a HTTP/1.1" + host + "\r\nContent-Length:", ""},
		"length of another base":   {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: 0x1", ""},
		"length without end":       {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: 9223372036854775808", ""},
		"length and chunked":       {"PUT /a HTTP/1.1" + host + "\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", ""},
		"chunked twice":            {"PUT /a HTTP/1.1" + host + "\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ""},
		"another coding":           {"PUT /a HTTP/1.1" + host + "\r\nTransfer-Encoding: gzip, chunked", ""},
		"identity":                 {"PUT /a HTTP/1.1" + host + "\r\nTransfer-Encoding: identity", ""},
		"chunked in HTTP/1.0":      {"PUT /a HTTP/1.0" + host + "\r\nTransfer-Encoding: chunked", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := parseHead([]byte(row.text + "\r\n\r\n"))
			if err != nil {
				if row.want != "" || reasonOf(err, "") != BadHead {
					t.Errorf("%v", err)
				}
				return
			}
			if got := fmt.Sprintf("%s %s %c %s:%s %d", h.method, h.target, h.minor, h.host, h.port, h.length); got != row.want {
				t.Errorf("%s, expected %q", got, row.want)
			}
		})
	}
	if _, err := parseHead([]byte("GET / HTTP/1.1\r\n")); err == nil {
		t.Error("a head without an end")
	}
}

func TestForward(t *testing.T) {
	h, err := parseHead([]byte("POST /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive, Host\r\nKeep-Alive: 1\r\nTE: x\r\nPROXY-Connection: x\r\n" +
		"Proxy-Authorization: secret\r\nProxy-Authenticate: x\r\nX:  1 \r\nContent-Length: 3\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "POST /a HTTP/1.0\r\nHost: a.example\r\nX: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
	if got := string(h.forward()); got != want {
		t.Errorf("%q", got)
	}
}

func TestChunkLine(t *testing.T) {
	for text, want := range map[string]string{
		"0\r\n": "0 3", "A\r\n": "10 3", "aF\r\nx": "175 4", "fffffffffffffff\r\n": "1152921504606846975 17",
		"": "0 0", "5": "0 0", "5\r": "0 0",
		"\r\n": "error", "g\r\n": "error", "5 \r\n": "error", "5;x\r\n": "error", "5\n": "error", "5\rx": "error", "-1\r\n": "error", "0x5\r\n": "error",
		"1000000000000000\r\n": "error", "@\r\n": "error", "`\r\n": "error", "/\r\n": "error", ":\r\n": "error", "G\r\n": "error",
	} {
		size, used, err := chunkLine([]byte(text))
		got := fmt.Sprint(size, " ", used)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, expected %s", text, got, want)
		}
	}
}

func TestRecognise(t *testing.T) {
	for text, want := range map[string]protocol{
		"\x16": speaksTLS, "\x16\x03\x01": speaksTLS,
		"GET / HTTP/1.1\r\n": speaksHTTP, "GET / HTTP/1.0\n": speaksHTTP, "brew / HTTP/1.1\r\n": speaksHTTP, "GET  /  HTTP/1.1 \r\n": speaksHTTP,
		"G": unclear, "GET": unclear, "GET ": unclear, "GET / HTTP/1.1": unclear, "GET / HTTP/1.1\r": unclear, strings.Repeat("x", 32): unclear,
		"\x00": speaksOther, "EHLO x\r\n": speaksOther, "SSH-2.0-x\r\n": speaksOther, "*1\r\n": speaksOther, "GET\r\n": speaksOther, "\r\n": speaksOther, " x": speaksOther,
		"GET /\x00": speaksOther, "GET /\x7f": speaksOther, "GET /\rx": speaksOther, "PRI * HTTP/2.0\r\n": speaksOther, strings.Repeat("x", 33): speaksOther, "\n": speaksOther,
		"GET /" + strings.Repeat("x", maxRequestLine-6): unclear, "GET /" + strings.Repeat("x", maxRequestLine-5): speaksOther, "(": speaksOther,
	} {
		if got := recognise([]byte(text)); got != want {
			t.Errorf("%.40q: %d, expected %d", text, got, want)
		}
	}
}

// FuzzHead compares with net/http: what we take for a request is one to it, for
// the same host, with a body of the same length.
func FuzzHead(f *testing.F) {
	for _, text := range []string{
		"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example:81\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET /\x00 HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := headEnd(b)
		if n == 0 || err != nil {
			return
		}
		h, err := parseHead(b[:n])
		if err != nil {
			if h != nil {
				t.Skip() // a head beside an error is not used
			}
			return
		}
		if host, ok := parseHost(bracket(h.host)); h.host != "" && (!ok || host != h.host) {
			t.Errorf("host %q", h.host)
		}
		if h.agrees(h.host, h.portOr80()) != nil {
			return
		}
		out := h.forward()
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
		if err != nil {
			return // net/http knows fewer targets
		}
		theirs, _, ok := splitAuthority(r.Host)
		if !ok || theirs != h.host || r.ContentLength != h.length || !r.Close {
			t.Errorf("%q: host %q, length %d, close %v; ours %q %d", out, r.Host, r.ContentLength, r.Close, h.host, h.length)
		}
	})
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func FuzzConnect(f *testing.F) {
	for _, text := range []string{"a.example:443", "[2606::1]:443", "10.0.0.1:80", "a.example", "a.example:99999", "127.1:80", "a@b:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, target string) {
		h, err := parseHead([]byte("CONNECT " + target + " HTTP/1.1\r\n\r\n"))
		if err != nil {
			return
		}
		host, port, err := h.connectTarget()
		if err != nil {
			if host != "" || port != 0 {
				t.Errorf("%q %d and %v", host, port, err)
			}
			return
		}
		if again := fmt.Sprintf("%s:%d", bracket(host), port); again != lower(target) {
			t.Errorf("%q became %q", target, again)
		}
	})
}
