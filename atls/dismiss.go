package atls

import (
	"crypto/tls"
	"errors"
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
			farewell(raw, raw, webAnswer)
		}
	case errors.Is(err, errTLS) || isLost(err) && !errors.Is(err, errNoQuestion):
	case errors.As(err, &other):
		farewell(conn, raw, webAnswerFor(other.first[:]))
	default:
		raw.SetDeadline(time.Now().Add(farewellTime))
		if writeFrame(conn, frameRefuse, refuseOf(err).encode()) == nil {
			farewell(conn, raw, noAnswer)
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

// farewell sends the last words, which may depend on what the peer says, and waits a moment for the peer to hang up.
// Closing a socket with unread bytes resets the connection, and the peer would
// never see what we said.
func farewell(conn io.ReadWriter, raw net.Conn, answer func(r io.Reader) []byte) {
	raw.SetDeadline(time.Now().Add(farewellTime))
	unread := io.LimitReader(conn, farewellBytes)
	if _, err := conn.Write(answer(unread)); err != nil {
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		if c.CloseWrite() != nil {
			return
		}
	}
	io.Copy(io.Discard, unread)
}

// startsHTTP tells a web client that forgot TLS from line noise.
func startsHTTP(head []byte) bool {
	switch string(head[:4]) {
	case "GET ", "POST", "PUT ", "HEAD", "OPTI", "PATC", "DELE", "CONN", "TRAC", "PRI ":
		return true
	}
	return false
}
