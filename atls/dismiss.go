package atls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// dismiss tells the peer why it is not let in, as far as it can be told, and
// closes the connection. What the peer has sent is dropped unread.
func (s *Server) dismiss(conn *tls.Conn, raw net.Conn, err error) {
	s.report(raw, err)
	// Not conn.Close: its alert waits up to five seconds for a peer that does not read.
	defer raw.Close()
	var notTLS tls.RecordHeaderError
	var other *notGateError
	switch {
	case errors.As(err, &notTLS) && notTLS.Conn != nil:
		if startsHTTP(notTLS.RecordHeader[:]) {
			farewell(raw, raw, webAnswer())
		}
	case errors.Is(err, errTLS) || isLost(err):
	case errors.As(err, &other):
		farewell(conn, raw, webAnswerFor(other.first[:]))
	default:
		if writeFrame(conn, frameRefuse, refuseOf(err).encode()) == nil {
			farewell(conn, raw, nil)
		}
	}
}

func (s *Server) report(raw net.Conn, err error) {
	if s.onRefuse != nil {
		s.onRefuse(raw.RemoteAddr(), err)
	}
}

// isLost says that there is nobody left to tell.
func isLost(err error) bool {
	var failure *attest.Failure
	if errors.As(err, &failure) || errors.Is(err, attest.ErrUnavailable) {
		return false
	}
	return isNetwork(err) || isTimeout(err)
}

// Limits of a farewell.
const (
	farewellTime  = time.Second
	farewellBytes = 64 << 10
)

// farewell sends the last words and waits a moment for the peer to hang up.
// Closing a socket with unread bytes resets the connection, and the peer would
// never see what we said.
func farewell(conn io.ReadWriter, raw net.Conn, last []byte) {
	raw.SetDeadline(time.Now().Add(farewellTime))
	if _, err := conn.Write(last); err != nil {
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		if c.CloseWrite() != nil {
			return
		}
	}
	io.CopyN(io.Discard, conn, farewellBytes)
}

// startsHTTP tells a web client that forgot TLS from line noise.
func startsHTTP(head []byte) bool {
	switch string(head[:4]) {
	case "GET ", "POST", "PUT ", "HEAD", "OPTI", "PATC", "DELE", "CONN", "TRAC", "PRI ":
		return true
	}
	return false
}

// webAnswerFor answers a web client in its own protocol.
func webAnswerFor(first []byte) []byte {
	if string(first) == "PRI " { // RFC 9113, section 3.4
		return webAnswer2()
	}
	return webAnswer()
}

const webDetail = "This box speaks attested TLS only: it proves itself before it takes a request. Use `blindbox connect`."

// webAnswer is the whole answer to a plain HTTP/1.1 client (RFC 9110, section
// 15.5.22). Nothing of the request has reached the application.
func webAnswer() []byte {
	body := `{"type":"about:blank","title":"Attested TLS required","status":426,"code":"BBX-426","detail":"` + webDetail + `"}` + "\n"
	return fmt.Appendf(nil, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: blindbox-gate/1\r\nConnection: Upgrade, close\r\n"+
		"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// webAnswer2 sends an HTTP/2 client to HTTP/1.1: an empty SETTINGS frame and a
// GOAWAY with HTTP_1_1_REQUIRED (RFC 9113, sections 6.5, 6.8 and 7) that also
// says why. An answer to the request itself would need its stream, unread here.
func webAnswer2() []byte {
	b := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	n := 8 + len(webDetail)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), 7, 0, 0, 0, 0, 0)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0xd)
	return append(b, webDetail...)
}
