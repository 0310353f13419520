package box

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/policy"
)

// TestConnectionThatNobodyReads: over HTTP/2 the deadlines of answers end
// streams only, so net/http must be told when a connection has stalled. And a
// stranger must not have many answers waiting on each.
func TestConnectionThatNobodyReads(t *testing.T) {
	for concurrent, streams := range map[int]int{1: 9, 16: 24, 10000: 250} {
		b := &Box{policy: &policy.Policy{Limits: policy.Limits{Concurrent: concurrent}}}
		h2 := b.server(t.Context()).HTTP2
		if h2 == nil || h2.WriteByteTimeout != writeLimit || h2.MaxConcurrentStreams != streams {
			t.Errorf("%d at once: %+v, expected %d streams", concurrent, h2, streams)
		}
	}
}

// TestOptionsOfTheServer: net/http does not answer past the policy.
func TestOptionsOfTheServer(t *testing.T) {
	p := parsed(t, "name: a\nmodels: [{name: m, builtin: m}]\n")
	b := &Box{policy: p, handler: ingress.New(ingress.Config{Policy: p, Backend: http.NotFoundHandler()})}
	l := listen(t)
	srv := b.server(t.Context())
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 400 || resp.Header.Get(ingress.ErrorHeader) != "BBX-400" {
		t.Errorf("status %d, header %q, expected the box's own 400", resp.StatusCode, resp.Header.Get(ingress.ErrorHeader))
	}
}

// TestExitStatusIsNoMessage: an app that ends with a status of its choice tells the
// operator nothing by it, but where its output is read anyway.
func TestExitStatusIsNoMessage(t *testing.T) {
	const how = "exit status 83"
	b := &Box{}
	if got := b.appExited(how); got != (Event{Name: AppExited}) {
		t.Errorf("got %+v", got)
	}
	b.cfg.AppOutput = io.Discard
	if got := b.appExited(how); got != (Event{Name: AppExited, Detail: how}) {
		t.Errorf("got %+v", got)
	}
}
