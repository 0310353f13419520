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
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	long := bytes.Repeat([]byte("x"), MaxFrame)
	for _, body := range [][]byte{nil, []byte("a"), long} {
		if err := WriteFrame(&b, Input, body); err != nil {
			t.Fatal(err)
		}
		k, got, err := ReadFrame(&b, make([]byte, MaxFrame))
		if k != Input || !bytes.Equal(got, body) || err != nil || b.Len() != 0 {
			t.Errorf("%d bytes came back as %d, %c, %v", len(body), len(got), k, err)
		}
	}
	if err := WriteFrame(&b, Input, append(long, 'x')); err == nil || b.Len() != 0 {
		t.Errorf("a frame that is too long: %v, %d bytes", err, b.Len())
	}
	for text, want := range map[string]error{"": io.EOF, "i": io.ErrUnexpectedEOF, "i\x00": io.ErrUnexpectedEOF, "i\x00\x01": io.ErrUnexpectedEOF, "i\x00\x02a": io.ErrUnexpectedEOF} {
		if _, _, err := ReadFrame(strings.NewReader(text), make([]byte, MaxFrame)); err != want {
			t.Errorf("%q: %v, expected %v", text, err, want)
		}
	}
	for _, size := range []int{MaxFrame, 4} {
		if _, _, err := ReadFrame(strings.NewReader("i\x80\x01"+strings.Repeat("x", MaxFrame+1)), make([]byte, size)); err == nil {
			t.Error("a frame longer than there is room for")
		}
	}
}

func TestCommandText(t *testing.T) {
	for _, args := range [][]string{{"a"}, {"a", "", "b c"}, {""}} {
		text, err := Command(args)
		if err != nil || (len(text) > 0 && strings.Join(arguments(text), "|") != strings.Join(args, "|")) {
			t.Errorf("%q: %q, %v", args, text, err)
		}
	}
	if arguments(nil) != nil {
		t.Error("a command out of nothing")
	}
	if _, err := Command([]string{"a\x00b"}); err == nil {
		t.Error("an argument that would be two")
	}
	if _, err := Command([]string{strings.Repeat("a", MaxFrame+1)}); err == nil {
		t.Error("a command that is too long")
	}
	if _, err := Command([]string{strings.Repeat("a", MaxFrame)}); err != nil {
		t.Error(err)
	}
	if r, c, err := ParseSize(FormatSize(25, 300)); r != 25 || c != 300 || err != nil {
		t.Errorf("%d %d %v", r, c, err)
	}
	if _, _, err := ParseSize([]byte("123")); err == nil {
		t.Error("a size of three bytes")
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("s\x00\x03a\x00b"))
	f.Add([]byte("i\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		for {
			k, body, err := ReadFrame(r, make([]byte, MaxFrame))
			if err != nil {
				return
			}
			var b bytes.Buffer
			if WriteFrame(&b, k, body) != nil || !bytes.HasSuffix(text[:len(text)-r.Len()], b.Bytes()) {
				t.Fatalf("%q is written as %q", text, b.Bytes())
			}
			arguments(body)
		}
	})
}

func TestValidTerm(t *testing.T) {
	for name, want := range map[string]bool{
		"xterm-256color": true, "screen.xterm": true, "rxvt+pcfkeys": true, "a_b": true, "": false, "../x": false, "a/b": false, ".": false, "-a": false,
		"a b": false, "a\n": false, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "é": false,
	} {
		if validTerm([]byte(name)) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}

// TestTap: who follows gets what comes then, and never makes the app wait.
func TestTap(t *testing.T) {
	var also bytes.Buffer
	tap := NewTap(&also)
	tap.Write([]byte("before "))
	f := tap.follow()
	tap.Write([]byte("one "))
	tap.Write([]byte("two"))
	<-f.news
	if got := string(f.take()); got != "one two" || also.String() != "before one two" {
		t.Errorf("%q, also %q", got, also.String())
	}
	tap.Write(make([]byte, maxBehind))
	tap.Write([]byte("12345"))
	tap.Write([]byte("678"))
	<-f.news
	got := string(f.take())
	if !strings.HasSuffix(got, "\n[8 bytes left out: they came faster than they were read]\n") || len(got) > maxBehind+100 {
		t.Errorf("%d bytes that end with %q", len(got), got[max(0, len(got)-80):])
	}
	tap.Write([]byte("again"))
	if got := string(f.take()); got != "again" {
		t.Errorf("%q", got)
	}
	tap.leave(f)
	tap.Write([]byte("gone"))
	if got := f.take(); len(got) != 0 {
		t.Errorf("%q after it left", got)
	}
	if n, err := NewTap(nil).Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// fake is a command of the test's.
type fake struct {
	in       *io.PipeReader
	out, bad *io.PipeWriter
	sizes    chan [2]uint16
	killed   chan struct{}
	code     int
	args     []string
	terminal *Terminal
}

// service has fakes for commands.
type service struct {
	*Service
	url     string
	started chan *fake
}

func newService(t *testing.T, limits Limits, change func(*Config)) *service {
	t.Helper()
	s := &service{started: make(chan *fake, 10)}
	cfg := Config{
		Limits: limits, Tap: NewTap(nil), Processes: func() ([]int, error) { return []int{os.Getpid()}, nil },
		Restart: func(context.Context) error { return nil },
		Exec: func(args []string, terminal *Terminal) (*Running, error) {
			if args[0] == "missing" {
				return nil, errors.New("it is not there")
			}
			f := &fake{sizes: make(chan [2]uint16, 10), killed: make(chan struct{}), args: args, terminal: terminal}
			in, input := io.Pipe()
			output, out := io.Pipe()
			problems, bad := io.Pipe()
			f.in, f.out, f.bad = in, out, bad
			gone := make(chan struct{})
			var once sync.Once
			kill := func() {
				once.Do(func() {
					close(f.killed)
					in.Close()
					out.Close()
					bad.Close()
					input.Close()
					output.Close()
					problems.Close()
					close(gone)
				})
			}
			s.started <- f
			return &Running{
				Input: input, Output: output, Errors: problems, Gone: gone, Code: func() int { return f.code }, Kill: kill,
				Resize: func(r, c uint16) error { f.sizes <- [2]uint16{r, c}; return nil },
			}, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	s.Service = New(cfg)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, no := s.Admit(policy.Operation(strings.Trim(r.URL.Path, "/")), r)
		if no == nil {
			defer x.End()
			no = x.Run(w, r)
		}
		if no != nil {
			http.Error(w, no.Detail+" "+no.Fix, no.Status)
		}
	}))
	t.Cleanup(func() {
		s.Stop()
		srv.Close()
	})
	s.url = srv.URL
	return s
}

// peer is the operator's end.
type peer struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// dial opens a session.
func (s *service) dial(t *testing.T, operation string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, "POST /"+operation+" HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "+Protocol+"\r\n\r\n")
	p := &peer{t, c, bufio.NewReader(c)}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	return p
}

func (p *peer) send(k Kind, body string) {
	p.t.Helper()
	if err := WriteFrame(p, k, []byte(body)); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads one frame.
func (p *peer) expect(k Kind, body string) {
	p.t.Helper()
	got, text, err := ReadFrame(p.in, make([]byte, MaxFrame))
	if err != nil || got != k || string(text) != body {
		p.t.Fatalf("got %c %q %v, expected %c %q", got, text, err, k, body)
	}
}

func some() Limits { return Limits{Sessions: 2, Time: time.Hour, Bytes: 1 << 20, Silence: time.Hour} }

func TestSession(t *testing.T) {
	s := newService(t, some(), nil)
	p := s.dial(t, "exec")
	p.send(Ping, "")
	p.send(Start, "a\x00b c")
	f := <-s.started
	if strings.Join(f.args, "|") != "a|b c" || f.terminal != nil {
		t.Errorf("%q %v", f.args, f.terminal)
	}
	p.send(Input, "typed")
	buffer := make([]byte, 10)
	if n, err := f.in.Read(buffer); string(buffer[:n]) != "typed" || err != nil {
		t.Errorf("%q %v", buffer[:n], err)
	}
	p.expect(Taken, string(binary.BigEndian.AppendUint32(nil, 5)))
	p.send(End, "")
	if _, err := f.in.Read(buffer); err != io.EOF {
		t.Errorf("the input does not end: %v", err)
	}
	f.out.Write([]byte("out"))
	p.expect(Output, "out")
	f.bad.Write([]byte("bad"))
	p.expect(Errors, "bad")
	p.Close()
	<-f.killed
}

// full is a connection that takes nothing.
type full struct {
	http.ResponseWriter
	net.Conn
	until time.Time
}

func (f *full) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return f, bufio.NewReadWriter(bufio.NewReader(f.Conn), bufio.NewWriter(f.Conn)), nil
}

func (f *full) SetWriteDeadline(t time.Time) error {
	f.until = t
	return nil
}

func (f *full) Write([]byte) (int, error) {
	if f.until.IsZero() {
		return 0, errors.New("this would never end")
	}
	return 0, os.ErrDeadlineExceeded
}

// TestConnectionThatIsFull: who leaves the answers before unread keeps no session, and
// the box can stop.
func TestConnectionThatIsFull(t *testing.T) {
	s := New(Config{Limits: some()})
	for range 3 {
		a, b := net.Pipe()
		defer b.Close()
		f := &full{ResponseWriter: httptest.NewRecorder(), Conn: a}
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Upgrade", Protocol)
		x, no := s.Admit(policy.OpExec, r)
		if no != nil {
			t.Fatal(no)
		}
		if no := x.Run(f, r); no != nil {
			t.Fatal(no)
		}
		x.End()
		if left := time.Until(f.until); left <= 0 || left > patience {
			t.Errorf("a connection that is full is waited for %s, expected at most %s", left, patience)
		}
	}
	s.Stop()
}

// TestOrderAtTheEnd: a session that ended before it began waits for no order.
func TestOrderAtTheEnd(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	st := &stream{s: New(Config{Limits: some()}), conn: a, in: a}
	if o, err := st.order(ctx, true); !errors.Is(err, context.Canceled) || o.args != nil {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestTerminalOfASession(t *testing.T) {
	s := newService(t, some(), nil)
	p := s.dial(t, "shell")
	p.send(Term, "../../etc/x")
	p.send(Term, "xterm")
	p.send(Size, string(FormatSize(3, 4)))
	p.send(Start, "")
	f := <-s.started
	if strings.Join(f.args, "|") != "/bin/sh" || *f.terminal != (Terminal{"xterm", 3, 4}) {
		t.Errorf("%q %+v", f.args, f.terminal)
	}
	p.send(Size, string(FormatSize(5, 6)))
	if got := <-f.sizes; got != [2]uint16{5, 6} {
		t.Errorf("resized to %v", got)
	}
}

// TestBrokenOrders: what cannot be read starts nothing, and is told.
func TestBrokenOrders(t *testing.T) {
	s := newService(t, some(), nil)
	for _, c := range []struct {
		operation string
		kind      Kind
		body      string
		reason    string
	}{
		{"exec", Start, "", "a frame that cannot be read"}, {"exec", Start, "\x00a", "a frame that cannot be read"}, {"exec", Term, "xterm", "a frame that cannot be read"},
		{"exec", Size, "1234", "a frame that cannot be read"}, {"shell", Size, "123", "a frame that cannot be read"}, {"exec", Input, "a", "a frame that cannot be read"},
		{"exec", '?', "", "a frame that cannot be read"}, {"exec", Start, "missing", "the command could not be started: it is not there"},
	} {
		p := s.dial(t, c.operation)
		p.send(c.kind, c.body)
		p.expect(Exit, "\xff"+c.reason)
		if _, err := p.in.ReadByte(); err != io.EOF {
			t.Errorf("%+v: the connection stays: %v", c, err)
		}
	}
	p := s.dial(t, "exec")
	for range 8 {
		p.send(Ping, "")
	}
	p.expect(Exit, "\xffa frame that cannot be read")
	select {
	case f := <-s.started:
		t.Errorf("%q was started", f.args)
	default:
	}
}

// TestSessionsEnd: a session that goes on for too long, says too much, hears too
// much, or has nobody at the other end is ended, and its command with it.
func TestSessionsEnd(t *testing.T) {
	// The command has to be started before that, on a machine that does much else.
	const enough = 2 * time.Second
	for name, c := range map[string]struct {
		limits func(*Limits)
		what   func(*peer, *fake)
		reason string
	}{
		"time":     {func(l *Limits) { l.Time = enough }, nil, "the time for one session is over"},
		"silence":  {func(l *Limits) { l.Silence = enough }, nil, "no sign of the operator"},
		"output":   {func(l *Limits) { l.Bytes = 3 }, func(_ *peer, f *fake) { f.out.Write([]byte("four")) }, "a session may pass on no more bytes"},
		"input":    {func(l *Limits) { l.Bytes = 3 }, func(p *peer, _ *fake) { p.send(Input, "four") }, "a session may pass on no more bytes"},
		"window":   {func(*Limits) {}, func(p *peer, _ *fake) { overrun(p) }, "a frame that cannot be read"},
		"after it": {func(*Limits) {}, func(p *peer, _ *fake) { p.send(End, ""); p.send(Input, "a") }, "a frame that cannot be read"},
		"a size":   {func(*Limits) {}, func(p *peer, _ *fake) { p.send(Size, "123") }, "a frame that cannot be read"},
		"no frame": {func(*Limits) {}, func(p *peer, _ *fake) { p.send('?', "") }, "a frame that cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := some()
			c.limits(&limits)
			s := newService(t, limits, nil)
			p := s.dial(t, "exec")
			p.send(Start, "a")
			f := <-s.started
			if c.what != nil {
				c.what(p, f)
			}
			<-f.killed
			kind, body, err := ReadFrame(p.in, make([]byte, MaxFrame))
			if err != nil || kind != Exit || string(body[1:]) != c.reason {
				t.Errorf("%c %q %v, expected %q", kind, body, err, c.reason)
			}
		})
	}
}

// TestLastWord: what cuts a session off is over before the last word is said, and
// does not cut that off too.
func TestLastWord(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	st := &stream{conn: here, out: &frames{to: here}}
	ctx, cancel := context.WithCancel(t.Context())
	began, goOn, over := make(chan bool), make(chan bool), false
	uncut := st.whenCut(ctx, func() {
		close(began)
		<-goOn
		over = true
	})
	cancel()
	<-began
	go close(goOn)
	if uncut(); !over {
		t.Fatal("it goes on")
	}
	go st.exit(3, "bye")
	if kind, body, err := ReadFrame(there, make([]byte, MaxFrame)); err != nil || kind != Exit || string(body) != "\x03bye" {
		t.Errorf("%c %q %v", kind, body, err)
	}
	// One that was not cut off before is not cut off later.
	ctx, cancel = context.WithCancel(t.Context())
	uncut = st.whenCut(ctx, func() { t.Error("cut off") })
	uncut()
	cancel()
}

// overrun sends more than may be on its way. Nobody reads it.
func overrun(p *peer) {
	for range Window/MaxFrame + 2 {
		if WriteFrame(p, Input, make([]byte, MaxFrame)) != nil {
			return
		}
	}
}

func TestExitCode(t *testing.T) {
	s := newService(t, some(), nil)
	p := s.dial(t, "exec")
	p.send(Start, "a")
	f := <-s.started
	f.code = 42
	s.stop()
	<-f.killed
	p.expect(Exit, "\x2athe box is stopping, or the connection was cut")
}

// TestAdmit: what is no operator's request, and one too many, is refused.
func TestAdmit(t *testing.T) {
	s := New(Config{Limits: some()})
	ask := func(method, upgrade string, major int) *http.Request {
		r := httptest.NewRequest(method, "/", nil)
		r.ProtoMajor = major
		if upgrade != "" {
			r.Header.Set("Upgrade", upgrade)
		}
		return r
	}
	for _, c := range []struct {
		op policy.Operation
		r  *http.Request
	}{
		{policy.OpRestart, ask("GET", "", 1)}, {policy.OpExec, ask("GET", Protocol, 1)}, {policy.OpExec, ask("POST", "", 1)}, {policy.OpDebug, ask("POST", "websocket", 1)},
		{policy.OpShell, ask("POST", Protocol, 2)}, {policy.OpRestart, ask("POST", Protocol, 1)},
	} {
		if x, no := s.Admit(c.op, c.r); x != nil || no == nil || no.Status != 400 {
			t.Errorf("%s %s: %v", c.op, c.r.Method, no)
		}
	}
	first, no := s.Admit(policy.OpRestart, ask("POST", "", 2))
	if no != nil {
		t.Fatal(no)
	}
	if _, no := s.Admit(policy.OpRestart, ask("POST", "", 1)); no == nil || no.Status != 503 {
		t.Errorf("a second restart: %v", no)
	}
	second, no := s.Admit(policy.OpExec, ask("POST", Protocol, 1))
	if no != nil {
		t.Fatal(no)
	}
	if _, no := s.Admit(policy.OpExec, ask("POST", Protocol, 1)); no == nil || no.Status != 429 {
		t.Errorf("a third session: %v", no)
	}
	first.End()
	second.End()
	if x, no := s.Admit(policy.OpRestart, ask("POST", "", 1)); no != nil {
		t.Errorf("after they ended: %v", no)
	} else {
		x.End()
	}
	s.Stop()
	if _, no := s.Admit(policy.OpExec, ask("POST", Protocol, 1)); no == nil || no.Status != 503 {
		t.Errorf("after it was stopped: %v", no)
	}
}

// TestRestartIsTold: while it lasts, when it is done, and if it fails.
func TestRestartIsTold(t *testing.T) {
	fails := errors.New("it does not start")
	var s *service
	during := make(chan uint64, 2)
	var result error
	s = newService(t, some(), func(c *Config) {
		c.Restart = func(context.Context) error { during <- s.Restarts(); return result }
	})
	for i, want := range []int{200, 502} {
		result = []error{nil, fails}[i]
		resp, err := http.Post(s.url+"/restart", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || strings.Contains(string(text), fails.Error()) {
			t.Errorf("%s %s, expected %d", resp.Status, text, want)
		}
		if now, then := s.Restarts(), <-during; then%2 != 1 || now != uint64(2*(i+1)) {
			t.Errorf("restarts %d, during it %d", now, then)
		}
	}
}

// TestDebugSession: the processes, and then what comes.
func TestDebugSession(t *testing.T) {
	s := newService(t, some(), func(c *Config) {
		c.Processes = func() ([]int, error) { return nil, errors.New("no app") }
	})
	p := s.dial(t, "debug")
	p.expect(Output, "No list of processes: no app\n")
	s.cfg.Tap.Write([]byte("printed"))
	p.expect(Output, "printed")
	p.send(Input, "nobody reads it")
	p.send(Start, "")
	p.expect(Exit, "\x00a frame that cannot be read")
}

// TestDescribe: a process has a line, and one that is gone has none.
func TestDescribe(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("SKIP: no /proc")
	}
	text := string(describe([]int{os.Getpid(), 1 << 30}))
	if strings.Count(text, "\n") != 3 || !strings.Contains(text, os.Args[0][:min(len(os.Args[0]), 100)]) || !strings.Contains(text, "KiB") {
		t.Errorf("got %q", text)
	}
	if line := processLine("/nowhere"); line != "" {
		t.Errorf("a line for nothing: %q", line)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"status": "Name:\tevil\nState:\tS (sleeping)\nPid:\t77\nNSpid:\t77\t5\t1\n", "cmdline": "a\x00b\x1b[2J\x00"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := processLine(dir), "    1 S                -        - KiB a b?[2J\n"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	if err := os.WriteFile(dir+"/cmdline", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := processLine(dir); !strings.HasSuffix(got, " [evil]\n") {
		t.Errorf("got %q", got)
	}
}
