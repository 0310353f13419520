package box

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	form "github.com/blindbox/blindbox/receipt"
)

// TestEgressInReceipts: a receipt says under which line of the policy something left
// the box while its request ran, and how often something was refused.
func TestEgressInReceipts(t *testing.T) {
	c, digest := contained(t)
	site := listen(t)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "this is "+r.Host) })}
	go srv.Serve(site)
	t.Cleanup(func() { srv.Close() })
	c.Resolver = names{}
	c.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", site.Addr().String())
	}
	b := serve(t, Config{Policy: parsed(t, withImage(digest, "egress: {allow: [{host: allowed.example, port: 80}]}\n")), Containers: c})
	client := b.client(t, "h2")
	flows := func(path, with string) form.Egress {
		t.Helper()
		resp, _ := do(t, client, request(t, "GET", path+"?with="+url.QueryEscape(with), nil, "Blindbox-Receipt", "1"))
		o, _ := fetched(t, client, resp)
		proven(t, client, o)
		if len(o.Serves) != 1 || o.Serves[0].Digest != form.Digest(b.policy.App.Digest) || o.Serves[0].Digest.IsZero() {
			t.Errorf("serves %+v", o.Serves)
		}
		return o.Egress
	}
	if e := flows("/proxied", "http://other.example/a"); !e.Observed || len(e.Flows) != 1 || e.Flows[0].Line != 0 || e.Flows[0].Refused == 0 || e.Flows[0].To != "elsewhere" {
		t.Errorf("refused: %+v", e)
	}
	line := b.policy.Egress.Allow[0].Line
	if e := flows("/proxied", "http://allowed.example/a"); len(e.Flows) != 1 || e.Flows[0].To != "allowed.example:80" || e.Flows[0].Line != line || e.Flows[0].Opened != 1 || e.Flows[0].Sent == 0 || e.Flows[0].Received == 0 || e.Flows[0].Refused != 0 {
		t.Errorf("allowed: %+v", e)
	}
	if e := flows("/caller", ""); !e.Observed || len(e.Flows) != 0 || e.Shared {
		t.Errorf("nothing: %+v", e)
	}
}
