package receipt

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"

	form "github.com/blindbox/blindbox/receipt"
)

// writer is what the handler answers to.
type writer struct {
	http.ResponseWriter
	attempt *attempt
}

// Unwrap lets [http.ResponseController] set deadlines and full duplex.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader passes informational answers on: they are not the answer.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.attempt.begin(status, w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.attempt.begin(http.StatusOK, w.Header())
	n, err := w.ResponseWriter.Write(p)
	if w.attempt.hasBody() { // else net/http drops what is written
		w.attempt.answer.add(p[:max(min(n, len(p)), 0)], true)
	}
	if !errors.Is(err, http.ErrBodyNotAllowed) {
		w.attempt.answer.note(err)
	}
	return n, err
}

// FlushError is what [http.ResponseController] calls.
func (w *writer) FlushError() error {
	w.attempt.begin(http.StatusOK, w.Header())
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		w.attempt.answer.note(err)
	}
	return err
}

// Flush is for handlers that know nothing else.
func (w *writer) Flush() { _ = w.FlushError() }

// Hijack hands the connection over. From here on bytes are counted and not hashed:
// what an upgraded protocol says is not the answer to this request.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.attempt.upgraded(w.Header())
	var user net.Conn = &counted{conn, w.attempt}
	if closer, ok := conn.(interface{ CloseWrite() error }); ok {
		user = &halfCloser{counted{conn, w.attempt}, closer}
	}
	// What the server has read already comes first.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	w.attempt.body.add(ahead, false)
	in := io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), user)
	return user, bufio.NewReadWriter(bufio.NewReader(in), bufio.NewWriter(user)), nil
}

func (a *attempt) upgraded(h http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hijacked = true
	if a.status == 0 {
		a.status, a.answerHead = http.StatusSwitchingProtocols, form.ResponseHead(http.StatusSwitchingProtocols, h)
	}
}

// counted is a connection whose bytes are counted.
type counted struct {
	net.Conn
	attempt *attempt
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.attempt.body.add(p[:n], false)
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.attempt.answer.add(p[:n], false)
	return n, err
}

// halfCloser is one that can end its own direction, as TLS can.
type halfCloser struct {
	counted
	closer interface{ CloseWrite() error }
}

func (c *halfCloser) CloseWrite() error { return c.closer.CloseWrite() }
