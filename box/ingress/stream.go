package ingress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/box/quota"
	"github.com/blindbox/blindbox/box/receipt"
)

// watch cuts a request in which nothing has moved for too long. Without it,
// callers that send or read a byte now and then would hold their places for
// ever.
type watch struct {
	limit time.Duration
	cut   func()
	begin time.Time
	last  atomic.Int64 // when something moved, in nanoseconds after begin

	mu    sync.Mutex
	timer *time.Timer // nil when stopped
}

// cutAgain is how long after a request was cut it is cut once more.
const cutAgain = time.Second

func startWatch(limit time.Duration, cut func()) *watch {
	w := &watch{limit: limit, cut: cut, begin: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, w.check)
	return w
}

// moved notes that a byte went one way or the other.
func (w *watch) moved() {
	if w != nil {
		w.last.Store(int64(time.Since(w.begin)))
	}
}

func (w *watch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	if left := w.limit - (time.Since(w.begin) - time.Duration(w.last.Load())); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.cut()
	// An answer may have begun while it was being cut, see cutOff.
	w.timer.Reset(min(w.limit, cutAgain))
}

// stop ends the watch. After it returns, nothing is cut any more.
func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// body is a request's body on its way to the backend.
type body struct {
	io.ReadCloser
	limit   int64
	watch   *watch
	account *quota.Account
	// over is set when the body was longer than the policy allows, spent when it
	// had more bytes than the caller has left, ended when all of it was read.
	over, spent, ended atomic.Bool
}

// errSpent ends what a caller has no bytes left for.
var errSpent = errors.New("ingress: the caller's quota of bytes is used up")

func (b *body) Read(p []byte) (int, error) {
	n, err := reading(b.account, b.ReadCloser, p)
	if n > 0 {
		b.watch.moved()
	}
	var large *http.MaxBytesError
	switch {
	case err == io.EOF:
		b.ended.Store(true)
	case err == errSpent:
		b.spent.Store(true)
	case err != nil && errors.As(err, &large):
		b.over.Store(true)
	}
	return n, err
}

// reading passes on as much as the caller has bytes left for. What was read
// beyond that goes nowhere. Nothing is reserved while it waits: what the caller
// does elsewhere would have to wait too.
func reading(account *quota.Account, from io.Reader, p []byte) (int, error) {
	n, err := from.Read(p)
	if !account.Metered() || n == 0 {
		return n, err
	}
	room := account.Reserve(n)
	account.Return(room, room)
	if room < n {
		return room, errSpent
	}
	return n, err
}

// writing writes as much as the caller has bytes left for.
func writing(account *quota.Account, to io.Writer, p []byte) (int, error) {
	if !account.Metered() {
		return to.Write(p)
	}
	room := account.Reserve(len(p))
	n, err := to.Write(p[:room])
	account.Return(room, n)
	if err == nil && room < len(p) {
		err = errSpent
	}
	return n, err
}

// answer is the way back. It knows whether an answer began.
type answer struct {
	http.ResponseWriter
	bare    http.ResponseWriter // the server's own; the other may watch what passes
	rec     receipt.Recorder
	watch   *watch
	body    *body // nil if the request has none
	http1   bool
	began   atomic.Bool
	cut     atomic.Bool // because nothing moved, or it took too long
	late    atomic.Bool // because it took too long
	short   atomic.Bool // the rest of the answer was held back
	account *quota.Account
	limit   int64       // of the answer's body; 0 for none
	size    int64       // of what was written
	before  int         // how much was said before the answer
	status  int         // 0 if no answer began
	refused string      // code, if the answer is the box's own
	anew    func() bool // reports whether an operator had the app started anew
	parting time.Duration
}

// part bounds how long what is left of the answer may take to be read. Nothing
// watches over that: the handler is done by then, and what it wrote may lie in
// a buffer. A deadline that cutOff has set stays.
func (a *answer) part() {
	if a.status != http.StatusSwitchingProtocols && !(a.cut.Load() && a.began.Load()) {
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.parting))
	}
}

// Unwrap lets [http.ResponseController] find what it needs.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// maxBefore is how often an app may say something before its answer (RFC 9110, section
// 15.2). No limit is on that but this one: what never comes to its answer would hold
// its place for ever, and no budget would count it.
const maxBefore = 16

func (a *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		if a.before++; a.before > maxBefore {
			return
		}
	}
	a.watch.moved()
	if status >= 200 || status == http.StatusSwitchingProtocols {
		a.status = status
		a.began.Store(true)
	} else {
		dropPrefixed(a.Header(), "blindbox-") // the box has nothing to say before its answer
	}
	if a.cut.Load() && a.http1 {
		// What is left of the request was never read, so there is no way to
		// tell where the next one begins.
		a.Header().Set("Connection", "close")
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.refused != "" {
		return a.ResponseWriter.Write(p) // the box's own words
	}
	if a.short.Load() {
		return 0, errSpent
	}
	all := p
	if a.limit > 0 {
		p = p[:min(int64(len(p)), a.limit-a.size)]
	}
	n, err := writing(a.account, a.ResponseWriter, p)
	a.size += int64(n)
	if n > 0 {
		a.watch.moved()
	}
	if err == nil && n < len(all) {
		err = errTooLong
	}
	if err == errSpent || err == errTooLong {
		a.short.Store(true)
	}
	return n, err
}

// errTooLong ends an answer that is longer than the policy allows.
var errTooLong = errors.New("ingress: the answer is longer than the policy allows")

// Hijack hands the connection over to an upgraded protocol, which may be quiet
// for as long as it likes. Its bytes are the caller's like any others.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.watch.stop()
	a.status = http.StatusSwitchingProtocols
	a.began.Store(true)
	if a.account.Metered() {
		c = &metered{Conn: c, account: a.account}
	}
	return c, rw, nil
}

// metered is a connection whose bytes are counted.
type metered struct {
	net.Conn
	account *quota.Account
}

func (m *metered) Read(p []byte) (int, error)  { return reading(m.account, m.Conn, p) }
func (m *metered) Write(p []byte) (int, error) { return writing(m.account, m.Conn, p) }

// CloseWrite ends one direction, where the connection can.
func (m *metered) CloseWrite() error {
	if c, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return m.Conn.Close()
}

// cutOff ends a request in which nothing moves. If no answer began there is
// still one to give, so only reading is stopped; otherwise the handler may hang
// in writing. What must be stopped is decided before the handler is woken up: a
// TLS record that is cut in the middle would look like an attack.
func (a *answer) cutOff(control *http.ResponseController, cancel context.CancelFunc) {
	a.cut.Store(true)
	if a.began.Load() {
		_ = control.SetWriteDeadline(past())
	}
	_ = control.SetReadDeadline(past())
	cancel()
}

// How much of a request that the backend did not read is read and dropped, so
// that the connection can be used again, and how long that may take.
const (
	maxLeftover = 256 << 10
	leftoverFor = 500 * time.Millisecond
)

// finish reads what the backend left of an HTTP/1 request. In full-duplex mode
// net/http does that too late: it waits for the next request before it has
// noticed the end of this one, and gives the connection up with a panic.
func (a *answer) finish(control *http.ResponseController) {
	if !a.http1 || a.body == nil || a.body.ended.Load() || a.status == http.StatusSwitchingProtocols {
		return
	}
	if !a.cut.Load() && control.SetReadDeadline(time.Now().Add(leftoverFor)) == nil {
		_, _ = io.CopyN(io.Discard, a.body, maxLeftover)
	}
	if !a.body.ended.Load() {
		_ = control.SetReadDeadline(past())
	}
}
