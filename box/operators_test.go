package box

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/policy"
)

// Keys of operators.
const (
	oncallKey = "the key of who is on call"
	juniorKey = "the key of who may restart"
)

const operatePath = policy.ReservedPrefix + "/operate/"

// withOperators is the end of a policy: oncall may what is given, junior restart.
func withOperators(may string) string {
	return "operators:\n  - {name: oncall, api_key: " + hash(oncallKey) + ", may: [" + may + "]}\n  - {name: junior, api_key: " + hash(juniorKey) + ", may: [restart]}\n"
}

// stream is an operator's session.
type stream struct {
	t    testing.TB
	conn io.ReadWriteCloser
	in   *bufio.Reader
	// what came
	out, bad bytes.Buffer
	taken    int
	code     int
	reason   string
}

// operates opens a session and sends what it begins with.
func (r *running) operates(t testing.TB, key, operation string, begin func(*stream)) *stream {
	t.Helper()
	resp, err := r.client(t, "http/1.1").Do(asOperator(t, key, operation))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s %s", operation, resp.Status, text)
	}
	s := &stream{t: t, conn: resp.Body.(io.ReadWriteCloser), code: -1}
	s.in = bufio.NewReader(s.conn)
	t.Cleanup(func() { s.conn.Close() })
	if begin != nil {
		begin(s)
	}
	return s
}

func asOperator(t testing.TB, key, operation string) *http.Request {
	t.Helper()
	r := request(t, "POST", operatePath+operation, nil, "Authorization", "Bearer "+key)
	if operation != "restart" {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", operate.Protocol)
	}
	return r
}

func (s *stream) send(k operate.Kind, body string) {
	s.t.Helper()
	if err := operate.WriteFrame(s.conn, k, []byte(body)); err != nil {
		s.t.Fatal(err)
	}
}

// next reads one frame, and reports whether there was one.
func (s *stream) next() bool {
	kind, body, err := operate.ReadFrame(s.in, make([]byte, operate.MaxFrame))
	if err != nil {
		return false
	}
	switch kind {
	case operate.Output:
		s.out.Write(body)
	case operate.Errors:
		s.bad.Write(body)
	case operate.Taken:
		s.taken += int(binary.BigEndian.Uint32(body))
	case operate.Exit:
		s.code, s.reason = int(body[0]), string(body[1:])
	}
	return true
}

// end reads all that comes.
func (s *stream) end() *stream {
	for s.next() {
	}
	return s
}

// until reads until something was printed.
func (s *stream) until(text string) {
	s.t.Helper()
	for !strings.Contains(s.out.String(), text) {
		if !s.next() {
			s.t.Fatalf("the stream ended before %q: %q, %d %s", text, s.out.String(), s.code, s.reason)
		}
	}
}

// decisions keeps what was decided.
type decisions struct {
	mu   sync.Mutex
	list []ingress.Decision
}

func (d *decisions) add(one ingress.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, one)
}

func (d *decisions) last() ingress.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return ingress.Decision{}
	}
	return d.list[len(d.list)-1]
}

// TestWithoutOperators: where the policy has no line, an operator's address is one
// that there is not, whoever asks, however, and whatever else the policy has.
func TestWithoutOperators(t *testing.T) {
	for _, c := range []struct {
		more  string
		there []string
	}{{"", nil}, {"operators: none\n", nil}, {withOperators("debug"), []string{"restart", "debug"}}} {
		b := serve(t, Config{Policy: parsed(t, self(t, "quiet", c.more))})
		for _, operation := range []string{"restart", "exec", "shell", "debug"} {
			if slices.Contains(c.there, operation) {
				continue
			}
			for _, key := range []string{clinicKey, auditorKey, oncallKey, ""} {
				for _, method := range []string{"GET", "POST", "HEAD", "PUT"} {
					same(t, b, method, key, operatePath+operation, operatePath+"nothing")
				}
			}
		}
		same(t, b, "GET", clinicKey, policy.ReservedPrefix+"/operate", policy.ReservedPrefix+"/nothing")
		same(t, b, "GET", clinicKey, operatePath, policy.ReservedPrefix+"/nothing/")
	}
}

// same asks at two addresses and compares all of the answers but their dates.
func same(t *testing.T, b *running, method, key, path, other string) {
	t.Helper()
	var got [2]string
	for i, at := range []string{path, other} {
		for _, upgrade := range []string{"", operate.Protocol} {
			r := request(t, method, at, nil, "Authorization", "Bearer "+key)
			if upgrade != "" {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", upgrade)
			}
			resp, text := do(t, b.client(t, "http/1.1"), r)
			resp.Header.Del("Date")
			var head strings.Builder
			_ = resp.Header.Write(&head)
			got[i] += resp.Status + head.String() + text
		}
	}
	if got[0] != got[1] {
		t.Errorf("%s %s answers\n%s\nand %s\n%s", method, path, got[0], other, got[1])
	}
}

// TestWhoOperates: callers do not, and an operator does what its own line says.
func TestWhoOperates(t *testing.T) {
	var kept decisions
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", withOperators("debug"))), Decided: kept.add})
	for _, c := range []struct {
		key, operation, proto string
		status                int
		caller                string
	}{
		{clinicKey, "restart", "http/1.1", 401, ""}, {auditorKey, "debug", "http/1.1", 401, ""}, {"", "restart", "h2", 401, ""},
		{juniorKey, "debug", "http/1.1", 403, "junior"}, {oncallKey, "restart", "h2", 403, "oncall"},
		{oncallKey, "debug", "h2", 400, "oncall"}, // there is no upgrade
		{juniorKey, "restart", "h2", 200, "junior"}, {juniorKey, "restart", "http/1.1", 200, "junior"},
	} {
		r := asOperator(t, c.key, c.operation)
		if c.proto == "h2" {
			r.Header.Del("Connection")
			r.Header.Del("Upgrade")
		}
		resp, text := do(t, b.client(t, c.proto), r)
		d := kept.last()
		if resp.StatusCode != c.status || d.Caller != c.caller || d.Action != policy.Action(c.operation) || d.Allowed != (c.status == 200) {
			t.Errorf("%+v: %s %s, decided %+v", c, resp.Status, text, d)
		}
		if c.caller != "" && d.Line == 0 && c.status != 400 {
			t.Errorf("%+v: no line: %+v", c, d)
		}
	}
	// An operator is no caller either.
	resp, _ := do(t, b.client(t, "h2"), request(t, "GET", "/caller", nil, "Authorization", "Bearer "+oncallKey))
	if resp.StatusCode != 401 {
		t.Errorf("an operator called: %s", resp.Status)
	}
	for _, r := range []*http.Request{
		request(t, "GET", operatePath+"restart", nil, "Authorization", "Bearer "+juniorKey),
		request(t, "POST", operatePath+"restart", nil, "Authorization", "Bearer "+juniorKey, "Connection", "Upgrade", "Upgrade", operate.Protocol),
		request(t, "POST", operatePath+"debug", nil, "Authorization", "Bearer "+oncallKey),
		request(t, "POST", operatePath+"debug", nil, "Authorization", "Bearer "+oncallKey, "Connection", "Upgrade", "Upgrade", "websocket"),
	} {
		if resp, text := do(t, b.client(t, "http/1.1"), r); resp.StatusCode != 400 {
			t.Errorf("%s %s: %s %s", r.Method, r.URL.Path, resp.Status, text)
		}
	}
}

// TestOperatorsByCertificate are asked for theirs, where no caller has one.
func TestOperatorsByCertificate(t *testing.T) {
	ca, cert := workload(t, "spiffe://clinic.example/oncall")
	doc := self(t, "quiet", "operators: [{name: oncall, certificate: {ca: "+ca+", spiffe: spiffe://clinic.example/oncall}, may: [restart]}]\n")
	b := serve(t, Config{Policy: parsed(t, doc)})
	r := asOperator(t, "", "restart")
	r.Header.Del("Authorization")
	if resp, text := do(t, b.clientWith(t, "h2", cert), r); resp.StatusCode != 200 {
		t.Errorf("with the certificate: %s %s", resp.Status, text)
	}
	r = asOperator(t, "", "restart")
	r.Header.Del("Authorization")
	if resp, text := do(t, b.client(t, "h2"), r); resp.StatusCode != 401 {
		t.Errorf("without: %s %s", resp.Status, text)
	}
}

// TestDebugOfAProcess: what the app prints is read while somebody reads, and nobody
// else gets it.
func TestDebugOfAProcess(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "talk", withOperators("debug")))})
	c := b.client(t, "h2")
	do(t, c, request(t, "POST", "/talk/before", strings.NewReader("before")))
	s := b.operates(t, oncallKey, "debug", nil)
	s.until("COMMAND\n")
	do(t, c, request(t, "POST", "/talk/now", strings.NewReader("now")))
	s.until("stderr POST /talk/now now")
	if text := s.out.String(); !strings.Contains(text, "stdout POST /talk/now now") || strings.Contains(text, "before") {
		t.Errorf("got %s", text)
	}
	s.conn.Close()
	if resp, _ := do(t, b.client(t, "h2"), asOperator(t, juniorKey, "restart")); resp.StatusCode != 200 {
		t.Errorf("restart after that: %s", resp.Status)
	}
	s = b.operates(t, oncallKey, "debug", nil)
	s.until("COMMAND\n")
	b.stop()
	if s.end(); s.code != 0 || s.reason != "the box is stopping, or the connection was cut" {
		t.Errorf("ended with %d %q", s.code, s.reason)
	}
	err := <-b.done
	if b.done <- err; err != nil {
		t.Error(err)
	}
}

// TestStopBesideAnOperator: what an operator is at keeps no box from its end, and nobody
// is served for longer by it.
func TestStopBesideAnOperator(t *testing.T) {
	p := parsed(t, self(t, "quiet", withOperators("debug")))
	b, err := New(Config{Policy: p, Listener: listen(t), Simulation: true, Attester: launched(p)})
	if err != nil {
		t.Fatal(err)
	}
	hangs, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	b.operators.Service = operate.New(operate.Config{Restart: func(context.Context) error {
		close(hangs)
		<-release
		return nil
	}})
	b.grace = 100 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx) }()
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	r := &running{Box: b, addr: b.cfg.Listener.Addr().String()}
	c, request := r.client(t, "http/1.1"), asOperator(t, juniorKey, "restart")
	go func() {
		if resp, err := c.Do(request); err == nil {
			resp.Body.Close()
		}
	}()
	<-hangs
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the box does not end")
	}
}

// TestTooManyOperators: there are so many sessions, and one that ended is one less.
func TestTooManyOperators(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, self(t, "quiet", withOperators("debug")))})
	var all []*stream
	for range operate.DefaultLimits().Sessions {
		s := b.operates(t, oncallKey, "debug", nil)
		s.until("COMMAND\n")
		all = append(all, s)
	}
	resp, text := do(t, b.client(t, "http/1.1"), asOperator(t, oncallKey, "debug"))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s %s", resp.Status, text)
	}
	if got, _ := do(t, b.client(t, "h2"), request(t, "GET", "/caller", nil)); got.StatusCode != 200 {
		t.Errorf("a caller beside operators: %s", got.Status)
	}
	all[0].conn.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		resp, err := b.client(t, "http/1.1").Do(asOperator(t, oncallKey, "debug"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place of a session that ended is not free: %s", resp.Status)
		}
	}
}
