package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/connect"
	"github.com/blindbox/blindbox/policy"
)

type connectOptions struct {
	trust, listen, keyFile string
	cert                   certFlags
	origins                []string
	private                bool
	show                   detail
	timeout                time.Duration
}

func newConnect(s *session) *cobra.Command {
	var o connectOptions
	cmd := &cobra.Command{
		Use:   "connect URL",
		Short: "Verify a box, then give ordinary programs a local address for it",
		Long: `Verify the box at https://HOST[:PORT] and, if it is what the trust file accepts,
forward a port of 127.0.0.1 to it: HTTP/1.1, HTTP/2, WebSocket, event streams; and for
a box that runs models, the Open Inference Protocol over gRPC.
The box is verified again on every new connection and at the trust file's
max_age; when it is refused, requests are answered with 502 and not forwarded.

What the box's policy lets you do is printed before anything is sent: you are the
caller whose hash of a key it has, or the one that needs no key.

With --private it answers the program that has started it and no other, and ends
when its standard input does. -o json says where it answers: socket is the path of
a Unix socket; on Windows, local is a port, and token what each request must have
in its Proxy-Authorization, behind "Bearer ".`,
		Args: exactly(1, "one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.private && cmd.Flags().Changed("listen") {
				return usage("--private listens where nobody else can: give --listen or --private, not both")
			}
			return s.connect(cmd.Context(), args[0], o)
		},
	}
	addTrustFlag(cmd, &o.trust)
	addKeyFlag(cmd, &o.keyFile)
	addCertFlags(cmd, &o.cert)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8642", "loopback address for local programs; port 0 takes a free one")
	f.BoolVar(&o.private, "private", false, "serve the program that started this, alone, until standard input ends")
	f.StringArrayVar(&o.origins, "allow-origin", nil, "web origin whose pages may use the proxy, such as https://app.example")
	f.BoolVar(&o.show.checks, "checks", false, "print every check, and the box's policy in words")
	f.BoolVar(&o.show.policy, "policy", false, "print the box's policy in words")
	f.DurationVar(&o.timeout, "timeout", client.DefaultTimeout, "how long to wait for a verdict")
	return cmd
}

func (s *session) connect(ctx context.Context, address string, o connectOptions) error {
	u, err := boxURL(address)
	if err != nil {
		return err
	}
	trust, err := s.loadTrust(o.trust, false)
	if err != nil {
		return err
	}
	key, err := s.apiKey(o.keyFile)
	if err != nil {
		return err
	}
	for _, origin := range o.origins {
		if err := checkOrigin(origin); err != nil {
			return err
		}
	}
	// The port is taken before the box is asked and served only after it.
	at, err := listenAt(ctx, o)
	if err != nil {
		return fail(catalogue.CodeListen, "listen", strings.TrimPrefix(err.Error(), "connect: "), "a free port on 127.0.0.1 or [::1]")
	}
	defer at.Close()
	if o.private {
		var end context.CancelFunc
		ctx, end = s.untilInputEnds(ctx)
		defer end()
	}
	watch := &watcher{session: s}
	opts, done, err := s.withFloors(client.WithTimeout(o.timeout), client.WithClock(s.now), client.WithOnResult(watch.see))
	if err != nil {
		return err
	}
	defer done()
	if opts, err = s.withCertificate(o.cert, opts); err != nil {
		return err
	}
	c, err := client.New(trust, opts...)
	if err != nil {
		return usage("%v", err)
	}
	defer c.Close()
	arrived := s.waitingFor(u)
	v, took, err := verifyWith(ctx, c, u)
	arrived()
	if err != nil {
		return err
	}
	var caller callerDocument
	switch {
	case v.policy == nil:
	case v.err == nil && key == "" && o.cert.cert != "":
		caller = callerByCertificate(ctx, c, u, v.policy)
	default:
		caller = callerOf(v.policy, key, s.now())
	}
	if err := s.showConnected(v, took, at, caller, o.show); err != nil {
		return err
	}
	h, err := connect.New(connect.Config{Target: u, Transport: c, APIKey: key, AllowOrigins: o.origins, Explain: explainToClient,
		Inference: v.runsModels(), Token: at.Token})
	if err != nil {
		return err
	}
	watch.start(v.policy)
	if err := connect.Serve(ctx, at.Listener, h); err != nil {
		return fail(catalogue.CodeListen, "listen", err.Error(), "")
	}
	return nil
}

// verifyWith asks the box for evidence. A refusal for what the box showed is a
// verdict; the error says that there was nothing to judge.
func verifyWith(ctx context.Context, c *client.Client, u *url.URL) (verdict, time.Duration, error) {
	began := time.Now()
	res, _, err := c.Verify(ctx, u.String())
	var refused *client.RefusedError
	if err != nil && (!errors.As(err, &refused) || len(res.Checks()) == 0) {
		return verdict{}, 0, err
	}
	v := verdictOf(res)
	if err != nil {
		// The connection may be what was refused, whatever the box showed.
		v.outcome, v.err = appraise.Refused, err
	}
	return v, time.Since(began), nil
}

// runsModels says that the box runs models itself, and no app.
func (v *verdict) runsModels() bool { return v.policy != nil && v.policy.App == nil }

// listenAt opens the address for local programs.
func listenAt(ctx context.Context, o connectOptions) (*connect.Place, error) {
	if o.private {
		return connect.ListenPrivate(ctx)
	}
	ln, err := connect.Listen(ctx, o.listen)
	if err != nil {
		return nil, err
	}
	return &connect.Place{Listener: ln}, nil
}

// untilInputEnds is a context that ends with standard input: the program that holds the
// other end is gone then, however it ended.
func (s *session) untilInputEnds(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, s.stdin)
		cancel()
	}()
	return ctx, cancel
}

func (s *session) showConnected(v verdict, took time.Duration, at *connect.Place, caller callerDocument, show detail) error {
	local := at.URL()
	grpc := strings.TrimPrefix(local, "http://")
	if at.Socket != "" {
		grpc = "unix:" + at.Socket
	}
	extra := v.extra(show)
	if v.policy != nil {
		extra["caller"] = caller
	}
	if s.json() {
		extra["local"], extra["openai"], extra["inference"] = local, local+"/v1", local+"/v2"
		if v.runsModels() {
			extra["grpc"] = grpc
		}
		if at.Socket != "" {
			extra["socket"] = at.Socket
		}
		if at.Token != "" {
			extra["token"] = at.Token
		}
		return s.concludeJSON(v, extra)
	}
	if err := s.conclude(v, took, show); err != nil {
		return err
	}
	s.printf("  local      %s\n  OpenAI API %s/v1   Open Inference v2 %s/v2\n", local, local, local)
	if v.runsModels() {
		s.printf("  gRPC       %s (Open Inference v2)\n", grpc)
	}
	if at.Socket != "" {
		s.printf("  socket     %s\n", at.Socket)
	}
	if at.Token != "" {
		s.printf("  token      %s\n", at.Token)
	}
	if v.policy != nil {
		s.printf("  caller     %s\n", oneLine(abridge(caller.Text)))
	}
	return nil
}

// checkOrigin refuses what no browser would send as an Origin, since it would
// silently allow nothing.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host {
		return usage("--allow-origin %q, expected SCHEME://HOST[:PORT]", origin)
	}
	return nil
}

// explainToClient turns an error of the attested transport into an answer for
// the local program.
func explainToClient(err error) connect.Problem {
	r := requestRefusal(err)
	detail := r.seen
	if r.expected != "" {
		detail += ", expected " + r.expected
	}
	if r.contacted {
		detail += "; nothing was forwarded"
	}
	return connect.Problem{
		Title: r.area + ": " + r.entry.Title, Status: http.StatusBadGateway, Code: r.entry.ID(),
		Detail: oneLine(detail), Fix: r.entry.Fix, Reason: string(r.reason),
		Seen: oneLine(r.seen), Expected: oneLine(r.expected), NothingSent: r.contacted,
	}
}

// requestRefusal is refusalOf for an error of a request. That nothing was sent
// is known only if the box was refused: a connection that was lost may have
// carried the request.
func requestRefusal(err error) *refusal {
	r := *refusalOf(err)
	var refused *client.RefusedError
	r.contacted = errors.As(err, &refused)
	return &r
}

// watcher tells the user when a box that was verified is refused later, once
// for each change, or has another policy than the one that was shown.
type watcher struct {
	session *session
	mu      sync.Mutex
	on      bool
	last    string
	shown   *policy.Policy
}

func (w *watcher) start(shown *policy.Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on, w.shown = true, shown
}

func (w *watcher) see(v client.Verification) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := ""
	err := v.Result.Err()
	if err != nil {
		now = refusalOf(err).Error()
	}
	if w.on && err == nil {
		w.compare(v.Result.Policy())
	}
	if !w.on || now == w.last {
		return
	}
	w.last = now
	if err == nil {
		w.session.note("VERIFIED again\n")
		return
	}
	w.session.note("REFUSED      the box changed; requests are answered with 502 and not forwarded\n")
	refusalOf(err).print(w.session.stderr)
}

// compare says what is newly allowed, where the trust file accepts any policy or
// several: what the user was shown of the box holds no longer.
func (w *watcher) compare(p *policy.Policy) {
	if p == nil || w.shown == nil || p.Digest() == w.shown.Digest() {
		return
	}
	w.session.note("CHANGED      the box has another policy than the one that was shown, sha256:%x\n", p.Digest())
	changes := policy.Diff(w.shown, p)
	for _, c := range changes {
		if c.Widens {
			w.session.note("  newly      %s (line %d)\n", oneLine(c.Text), c.After)
		}
	}
	if !changes.Widened() {
		w.session.note("  newly      nothing is allowed that was not\n")
	}
	w.shown = p
}
