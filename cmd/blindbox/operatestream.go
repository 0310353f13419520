package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

// signOfLife is how often the box is told that we are there. It waits a minute.
const signOfLife = 15 * time.Second

// stream is the operator's side of a session.
type stream struct {
	conn io.ReadWriteCloser
	mu   sync.Mutex // of writing

	window sync.Mutex
	more   *sync.Cond
	left   int // bytes of input that may be sent
	over   bool
}

func newStream(conn io.ReadWriteCloser) *stream {
	st := &stream{conn: conn, left: operate.Window}
	st.more = sync.NewCond(&st.window)
	return st
}

func (st *stream) send(k operate.Kind, body []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return operate.WriteFrame(st.conn, k, body)
}

// follow passes on what comes and goes until the box says how it ended.
func (s *session) follow(ctx context.Context, conn io.ReadWriteCloser, want operation) error {
	st := newStream(conn)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer st.end()
	if want.what != policy.OpDebug {
		leave, err := s.begin(st, want)
		if err != nil {
			return err
		}
		defer leave()
	}
	go st.alive(ctx)
	code, reason, err := s.receive(st, want.what)
	switch {
	case ctx.Err() != nil && want.what == policy.OpDebug:
		return nil // whoever follows stops like this
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fail(catalogue.CodeBoxUnavailable, "box", "the connection was cut before the end: "+cause(err), "")
	}
	if reason != "" {
		s.note("ended by the box: %s\n", oneLine(reason))
	}
	if code != 0 {
		return shown{&refusal{exit: code}}
	}
	return nil
}

// begin says what to run, and has what is typed go there. leave undoes what was done
// to the user's terminal.
func (s *session) begin(st *stream, want operation) (leave func(), err error) {
	leave = func() {}
	command, err := operate.Command(want.command)
	if err != nil {
		return nil, usage("%v", err)
	}
	var frames []func() error
	if want.what == policy.OpShell {
		term := cmp.Or(s.env("TERM"), "dumb")
		frames = append(frames, func() error { return st.send(operate.Term, []byte(term)) })
		if f, ok := s.stdin.(*os.File); ok && isTerminal(f) {
			if leave, err = makeRaw(f); err != nil {
				return nil, fail(catalogue.CodeFile, "terminal", err.Error(), "")
			}
			stop := watchSize(f, func(rows, columns uint16) { st.send(operate.Size, operate.FormatSize(rows, columns)) })
			restore := leave
			leave = func() { stop(); restore() }
		}
	}
	frames = append(frames, func() error { return st.send(operate.Start, command) })
	for _, send := range frames {
		if err := send(); err != nil {
			leave()
			return nil, requestRefusal(err)
		}
	}
	go st.input(s.stdin)
	return leave, nil
}

// input sends what is typed, as much of it as the box has room for.
func (st *stream) input(from io.Reader) {
	buffer := make([]byte, operate.MaxFrame)
	for {
		n, err := from.Read(buffer)
		for text := buffer[:n]; len(text) > 0; {
			room := st.room(len(text))
			if room == 0 || st.send(operate.Input, text[:room]) != nil {
				return
			}
			text = text[room:]
		}
		if err != nil {
			_ = st.send(operate.End, nil)
			return
		}
	}
}

// room waits until something may be sent; 0 says that nothing will.
func (st *stream) room(n int) int {
	st.window.Lock()
	defer st.window.Unlock()
	for st.left == 0 && !st.over {
		st.more.Wait()
	}
	if st.over {
		return 0
	}
	n = min(n, st.left)
	st.left -= n
	return n
}

func (st *stream) taken(body []byte) {
	if len(body) != 4 {
		return
	}
	st.window.Lock()
	defer st.window.Unlock()
	st.left = min(st.left+int(binary.BigEndian.Uint32(body)), operate.Window)
	st.more.Signal()
}

func (st *stream) end() {
	st.window.Lock()
	defer st.window.Unlock()
	st.over = true
	st.more.Signal()
}

func (st *stream) alive(ctx context.Context) {
	tick := time.NewTicker(signOfLife)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if st.send(operate.Ping, nil) != nil {
				return
			}
		}
	}
}

// receive prints what comes until the last frame.
func (s *session) receive(st *stream, what policy.Operation) (code int, reason string, err error) {
	in, buffer := bufio.NewReader(st.conn), make([]byte, operate.MaxFrame)
	out := s.stdout
	if f, ok := s.stdout.(*os.File); what == policy.OpDebug && ok && isTerminal(f) {
		out = printable{out} // what an app prints was not asked for by who reads it
	}
	for {
		kind, body, err := operate.ReadFrame(in, buffer)
		if err != nil {
			return 0, "", err
		}
		switch kind {
		case operate.Output:
			_, err = out.Write(body)
		case operate.Errors:
			_, err = s.stderr.Write(body)
		case operate.Taken:
			st.taken(body)
		case operate.Exit:
			if len(body) == 0 {
				return 0, "", errors.New("an end without a code")
			}
			return int(body[0]), string(body[1:]), nil
		}
		if err != nil {
			return 0, "", err
		}
	}
}

// printable replaces what steers a terminal.
type printable struct{ io.Writer }

func (p printable) Write(text []byte) (int, error) {
	shown := strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(text))
	if _, err := io.WriteString(p.Writer, shown); err != nil {
		return 0, err
	}
	return len(text), nil
}

// isTerminal reports whether a person is at the other end.
func isTerminal(f *os.File) bool {
	_, _, err := terminalSize(f)
	return err == nil
}
