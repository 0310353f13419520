package operate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// startLimit is how long an operator may take to say what it wants.
const startLimit = 30 * time.Second

// stream is a session over an upgraded connection.
type stream struct {
	s      *Service
	conn   net.Conn
	in     io.Reader
	out    *frames
	cancel context.CancelCauseFunc
	passed atomic.Int64
}

// Why the box ends a session, in words for the operator.
var (
	errTime    = errors.New("the time for one session is over")
	errBytes   = errors.New("a session may pass on no more bytes")
	errStopped = errors.New("the box is stopping, or the connection was cut")
	errFrame   = errors.New("a frame that cannot be read")
	errGone    = errors.New("no sign of the operator")
)

// stream takes the connection over and ends it.
func (x *Session) stream(ctx context.Context, w http.ResponseWriter) *Refusal {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return &Refusal{http.StatusBadRequest, "The connection cannot be upgraded.", "Use blindbox operate."}
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The server's reader would end the request by itself, and we could not say why.
	early, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		return nil
	}
	in := bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn))
	st := &stream{s: x.s, conn: conn, in: in, out: &frames{to: conn}, cancel: cancel}
	// Answers before this one may lie in the connection unread, so that nothing can be
	// written to it: the box could not stop as long as that is so.
	_ = conn.SetReadDeadline(time.Time{})
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	// Whoever hangs in reading is woken up.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+Protocol+"\r\n\r\n"); err != nil {
		return nil
	}
	_ = conn.SetWriteDeadline(time.Time{})
	if x.op == policy.OpDebug {
		st.debug(ctx)
	} else {
		st.run(ctx, x.op == policy.OpShell)
	}
	return nil
}

// why says for which reason the box ended a session, "" if it ended by itself.
func why(ctx context.Context) string {
	switch {
	case ctx.Err() == nil:
		return ""
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errTime.Error()
	case errors.Is(context.Cause(ctx), context.Canceled):
		return errStopped.Error()
	}
	return context.Cause(ctx).Error()
}

// patience is how long an operator may take to read what a session begins and ends with.
const patience = 5 * time.Second

// exit says the last word and how it ended.
func (st *stream) exit(code int, reason string) {
	_ = st.conn.SetWriteDeadline(time.Now().Add(patience))
	_ = st.out.write(Exit, append([]byte{byte(min(max(code, 0), 255))}, reason[:min(len(reason), 1000)]...))
}

// codeFailed is the exit code of a command that the box could not start.
const codeFailed = 255

// order is what an operator wants to run.
type order struct {
	args     []string
	terminal *Terminal
}

// shellPath is what a shell is unless the operator names another.
const shellPath = "/bin/sh"

// order reads what to run.
func (st *stream) order(ctx context.Context, shell bool) (order, error) {
	var o order
	if shell {
		o.terminal = &Terminal{Kind: "dumb", Rows: 24, Columns: 80}
	}
	buffer := make([]byte, MaxFrame)
	for range 8 { // more of them say nothing new
		_ = st.conn.SetReadDeadline(time.Now().Add(min(startLimit, st.s.cfg.Limits.Silence)))
		if err := ctx.Err(); err != nil {
			return order{}, err // the deadline of the end may have been before this one
		}
		kind, body, err := ReadFrame(st.in, buffer)
		switch {
		case err != nil:
			return order{}, err
		case kind == Term && shell:
			if validTerm(body) {
				o.terminal.Kind = string(body)
			}
		case kind == Size && shell:
			if o.terminal.Rows, o.terminal.Columns, err = ParseSize(body); err != nil {
				return order{}, errFrame
			}
		case kind == Start:
			if o.args = arguments(body); len(o.args) == 0 && shell {
				o.args = []string{shellPath}
			}
			if len(o.args) == 0 || o.args[0] == "" {
				return order{}, errors.New("no command")
			}
			return o, nil
		case kind != Ping:
			return order{}, errFrame
		}
	}
	return order{}, errFrame
}

// validTerm accepts names of terminals (term(7)) and nothing that means something to
// whoever puts it into a path.
func validTerm(name []byte) bool {
	for i, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && (i == 0 || !strings.ContainsRune("-+_.", rune(c))) {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 64
}

// run runs a command and is over when nothing of it is left.
func (st *stream) run(ctx context.Context, shell bool) {
	o, err := st.order(ctx, shell)
	if err != nil {
		st.exit(codeFailed, errFrame.Error())
		return
	}
	c, err := st.s.cfg.Exec(o.args, o.terminal)
	if err != nil {
		st.exit(codeFailed, "the command could not be started: "+err.Error())
		return
	}
	var once sync.Once
	kill := func() { once.Do(c.Kill) }
	defer kill()
	// What is cut off is ended at once, wherever the rest of us hangs.
	uncut := st.whenCut(ctx, kill)
	defer uncut()
	input := newInput(c.Input)
	go input.pass(func(n int) error { return st.out.write(Taken, binary.BigEndian.AppendUint32(nil, uint32(n))) })
	defer input.close()
	go st.listen(input, c)
	var both sync.WaitGroup
	for kind, from := range map[Kind]io.Reader{Output: c.Output, Errors: c.Errors} {
		if from != nil {
			both.Go(func() { st.copy(kind, from) })
		}
	}
	both.Wait()
	select {
	case <-c.Gone:
	case <-ctx.Done():
	}
	reason := why(ctx)
	kill()
	uncut()
	st.exit(c.Code(), reason)
}

// whenCut ends writing, and does what else is given, as soon as ctx ends. What it
// returns says that this is no longer needed: after it, nothing of it happens any
// more, and the last word can be said.
func (st *stream) whenCut(ctx context.Context, also func()) (uncut func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = st.conn.SetWriteDeadline(time.Unix(1, 0))
		also()
	})
	return sync.OnceFunc(func() {
		if !stop() {
			<-done
		}
	})
}

// copy passes on what a command prints, until it ends or may pass on no more.
func (st *stream) copy(kind Kind, from io.Reader) {
	buffer := make([]byte, MaxFrame)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !st.pass(kind, buffer[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// pass passes on some bytes, and reports whether more may follow.
func (st *stream) pass(kind Kind, text []byte) bool {
	if st.passed.Add(int64(len(text))) > st.s.cfg.Limits.Bytes {
		st.cancel(errBytes)
		return false
	}
	if err := st.out.write(kind, text); err != nil {
		st.cancel(errGone)
		return false
	}
	return true
}

// listen reads what the operator sends until it sends no more.
func (st *stream) listen(in *input, c *Running) {
	buffer := make([]byte, MaxFrame)
	var read int64
	for {
		_ = st.conn.SetReadDeadline(time.Now().Add(st.s.cfg.Limits.Silence))
		kind, body, err := ReadFrame(st.in, buffer)
		if err == nil {
			read += int64(len(body))
			err = st.hear(kind, body, in, c)
		} else {
			err = errGone
		}
		if read > st.s.cfg.Limits.Bytes {
			err = errBytes
		}
		if err != nil {
			st.cancel(err)
			return
		}
	}
}

func (st *stream) hear(kind Kind, body []byte, in *input, c *Running) error {
	switch kind {
	case Input:
		return in.add(body)
	case End:
		in.end()
	case Size:
		rows, columns, err := ParseSize(body)
		if err != nil {
			return errFrame
		}
		_ = c.Resize(rows, columns)
	case Ping:
	default:
		return errFrame
	}
	return nil
}

// debug says which processes there are, and then what the app prints, until the
// operator has seen enough.
func (st *stream) debug(ctx context.Context) {
	pids, err := st.s.cfg.Processes()
	text := describe(pids)
	if err != nil {
		text = []byte("No list of processes: " + err.Error() + "\n")
	}
	f := st.s.cfg.Tap.follow()
	defer st.s.cfg.Tap.leave(f)
	uncut := st.whenCut(ctx, func() {})
	defer uncut()
	nothing := newInput(discard{})
	defer nothing.close()
	go st.listen(nothing, &Running{Resize: func(uint16, uint16) error { return nil }})
	for more := st.passAll(text); more; {
		select {
		case <-ctx.Done():
			more = false
		case <-f.news:
			more = st.passAll(f.take())
		}
	}
	reason := why(ctx)
	uncut()
	st.exit(0, reason)
}

func (st *stream) passAll(text []byte) bool {
	for len(text) > 0 {
		n := min(len(text), MaxFrame)
		if !st.pass(Output, text[:n]) {
			return false
		}
		text = text[n:]
	}
	return true
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
