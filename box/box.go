// Package box is the supervisor inside the box. It answers one question: in
// which order must things happen so that nobody is served before it is proven
// what serves them, and how do they end?
//
// Start, each step only after the one before it:
//
//  1. policy: the document is parsed by the caller of [New]; here it is parsed
//     again from its bytes, so that what is decided by is what is shown. Models
//     are loaded and their digests compared.
//  2. key: the TLS key and the attestation key are made, in memory only.
//  3. evidence: the hardware is asked for evidence over the key that signs receipts
//     and the audit log, so that a box that cannot prove itself ends at its start and
//     not at its first caller. What was bound at launch (HOST_DATA and its like,
//     see package launch), the statement and the loaded policy must agree, then
//     and in all evidence that follows. The log begins.
//  4. network: an app from an image gets one of its own, in which there is nothing
//     but what the policy's egress allows, see package egress.
//  5. app: its image is compared with the policy's digest and unpacked, see package
//     sandbox; it is started there and waited for.
//  6. gate: every connection proves the box before its first byte of HTTP.
//  7. serve: package ingress authenticates, decides and forwards.
//
// The door stays closed until all of this is done: the listener accepts
// nothing before. The box reads its own evidence and verifies none of it: it
// links no verifier on purpose. Whoever relies on the box compares the same three
// again, in evidence that he has verified.
//
// Stop: no new connections; requests in flight may finish within a grace time,
// then they are cut; then the app is told to end, then made to; then its files and
// its network go. The same is done with what is there already if a step of the
// start fails. If the box is killed, the kernel ends the app and its network with
// it.
//
// The package stands inside the box. Nothing that it tells its surroundings
// holds a part of a request or an answer.
package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/box/peers"
	"github.com/blindbox/blindbox/box/process"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/internal/bodies"
	"github.com/blindbox/blindbox/model"
	"github.com/blindbox/blindbox/policy"
)

// Config is what a box is made of. Policy, Attester and Listener are required.
type Config struct {
	Policy   *policy.Policy
	Attester attest.Attester
	// Simulation says that hardware that is simulated is meant to be: blindbox dev.
	// What the policy says of platforms does not hold for it, and who sets this has
	// to say so. Without it, simulated hardware is refused unless the policy names it.
	Simulation bool
	// Listener is where connections come from, TCP as a rule. The box closes it.
	Listener net.Listener
	// Builtin holds the ONNX files that are part of the program, by the name
	// that a policy calls them.
	Builtin map[string][]byte
	// Identity fetches the keys of the identity providers that the policy names,
	// and decides which certificates they may have. A policy with callers that show
	// tokens is refused without it.
	Identity *http.Client
	// Verifier judges the evidence of other boxes that call. A policy with callers
	// that are boxes is refused without it.
	Verifier *peers.Verifier
	// Decided is told what was decided about each request; nil means that nobody
	// is. Many goroutines call it at once.
	Decided func(ingress.Decision)
	// Around, if it is set, is put around what answers the requests that the policy
	// allows, to see them. It is for learning a policy, see [Learning].
	Around func(http.Handler) http.Handler
	// Log is told about the life of the box. It may be called from several
	// goroutines. nil means that nobody is.
	Log func(Event)
	// Containers is what apps from images run on. A policy with an image is refused
	// without it.
	Containers *Containers
	// AppAccount is what an app without an image runs as; nil means as the box itself. An app
	// that runs as root could ask the hardware for evidence of its own.
	AppAccount *process.Account
	// AppOutput gets what the app prints. It is for a box on a developer's own
	// machine: whatever the app prints about a request ends up there. nil means
	// that it is discarded. Where the policy has sealed logs, it is sealed, and
	// nobody else gets it.
	AppOutput io.Writer
	// Logs is a folder of the host for sealed logs, Audit one for the audit log.
	// The policy says whether there are any; the folder is there if, and only if,
	// it does. Nothing in them is believed.
	Logs, Audit string
	// Store is where models lie that callers bring: set if, and only if, the policy's
	// store has a disk.
	Store Store
}

// Times that no policy sets.
const (
	startGrace    = 5 * time.Minute  // for the app to accept its first connection
	stopGrace     = 10 * time.Second // for requests in flight when the box stops
	appGrace      = 5 * time.Second  // between SIGTERM and SIGKILL
	selfTestLimit = 2 * time.Minute  // for the hardware to answer at the start
	headerLimit   = 10 * time.Second // for a request's header to arrive
	idleLimit     = 2 * time.Minute  // for the next request on a connection
	writeLimit    = time.Minute      // for one byte to be taken, on HTTP/2
	maxHeader     = 32 << 10         // bytes of a request's header
	maxStreams    = 250              // requests at once on one HTTP/2 connection
	maxConns      = 20000            // open connections, those in the gate included
)

// Box is a box that has not served yet, or does.
type Box struct {
	cfg     Config
	policy  *policy.Policy
	app     app          // nil if the box serves models
	broken  <-chan error // gets why the app's network ended by itself
	differ  <-chan error // gets why evidence speaks of another box
	callers *callers.Authenticator
	// operators is what they may do, nil if there are none; tap has what the app
	// prints, nil if none of them may read it.
	operators *ingress.Operators
	tap       *operate.Tap
	peers     *peers.Checker // nil if no box may call
	backend   http.Handler
	models    *model.Server // nil if the box runs an app
	bodies    *bodies.Room  // for those that are held whole
	sealed    *sealed       // nil unless the policy has sealed logs
	records   *records
	handler   *ingress.Handler
	uptime    func() time.Duration
	keyLife   time.Duration // of the signing key
	grace     time.Duration
	served    atomic.Bool
	ready     chan struct{}
}

// app is what answers the requests of a box without models.
type app interface {
	Start(context.Context) error
	Stop()
	Accepting() bool
}

// New checks the configuration and loads the models. Nothing is started.
func New(cfg Config) (*Box, error) {
	switch {
	case cfg.Policy == nil:
		return nil, errors.New("box: no policy")
	case cfg.Attester == nil || !cfg.Attester.Kind().Valid():
		return nil, errors.New("box: no attester")
	case cfg.Listener == nil:
		return nil, errors.New("box: no listener")
	}
	p, err := policy.Parse(cfg.Policy.Bytes())
	if err != nil {
		return nil, fmt.Errorf("box: %w", err)
	}
	if err := errors.Join(enforceable(p), platform(p, cfg.Attester.Kind(), cfg.Simulation)); err != nil {
		return nil, err
	}
	door := closeDoor(cfg.Attester, p)
	cfg.Attester = door // whatever asks the hardware, asks through it
	b := &Box{cfg: cfg, policy: p, differ: door.differ, grace: stopGrace, keyLife: signing.DefaultLife, ready: make(chan struct{})}
	b.bodies = bodies.New(p.Limits.Request, len(p.Callers) == 1)
	if err := b.places(); err != nil {
		return nil, err
	}
	if b.backend, err = b.work(); err != nil {
		return nil, err
	}
	if cfg.Around != nil {
		b.backend = cfg.Around(b.backend)
	}
	began := time.Now()
	b.uptime = func() time.Duration { return time.Since(began) }
	if err := b.peering(); err != nil {
		return nil, err
	}
	b.callers, err = callers.New(callers.Config{Policy: p, Now: time.Now, Uptime: b.uptime, Client: cfg.Identity, Boxes: b.peers != nil})
	if err != nil {
		return nil, fmt.Errorf("box: %w", err)
	}
	if b.operators, err = b.operating(); err != nil {
		return nil, err
	}
	return b, nil
}

// open makes the door, now that there is a record of who comes through it.
func (b *Box) open() {
	r := b.records
	b.handler = ingress.New(ingress.Config{
		Policy: b.policy, Backend: b.backend, Callers: b.callers, Operators: b.operators, Ready: b.appReady, Model: b.modelOf, InBody: b.inBody,
		Batches: b.batches, Bodies: b.bodies, Decided: b.cfg.Decided, Uptime: b.uptime, Receipts: r.receipts, Audit: r.log,
		Records: r.ring.Bytes, Evidence: func() []byte { return r.key.Load().Bundle() },
	})
}

// work makes what answers the requests that the policy allows.
func (b *Box) work() (http.Handler, error) {
	if b.policy.App == nil {
		return b.loadModels()
	}
	exited := func(how string) {
		b.sealed.event("the app ended: " + how)
		b.log(b.appExited(how))
	}
	if b.policy.App.Image != "" {
		return b.contain(exited)
	}
	b.app = process.New(b.policy.App, process.Config{
		Output: b.output(), Account: b.cfg.AppAccount, StartGrace: startGrace, StopGrace: appGrace, Exited: exited,
	})
	network, address := b.policy.App.Address()
	return ingress.Forward(network, address, b.policy), nil
}

// contain makes the app from an image.
func (b *Box) contain(exited func(string)) (http.Handler, error) {
	if err := b.cfg.Containers.check(b.policy); err != nil {
		return nil, err
	}
	broken := make(chan error, 1)
	c := &container{
		policy: b.policy, cfg: *b.cfg.Containers, output: b.output(), exited: exited, broken: broken,
		note: func(line string) { b.log(Event{Name: AppNote, Detail: line}) },
	}
	b.app, b.broken = c, broken
	return ingress.ForwardBy(c.Dial, b.policy), nil
}

// output is who gets what the app prints.
func (b *Box) output() io.Writer {
	if b.sealed != nil {
		return b.tapped(b.sealed)
	}
	return b.tapped(b.cfg.AppOutput)
}

// appExited says how the app ended only to a developer who reads its output anyway.
// The exit status is the app's to choose: a byte of a request with each crash.
func (b *Box) appExited(how string) Event {
	if b.cfg.AppOutput == nil || b.sealed != nil {
		how = ""
	}
	return Event{Name: AppExited, Detail: how}
}

func (b *Box) appReady() bool { return b.app == nil || b.app.Accepting() }

// Ready is closed when the door opens.
func (b *Box) Ready() <-chan struct{} { return b.ready }

// Serve runs the box until ctx ends, which is a clean stop and no error, or
// until something fails that the box cannot go on without. It can be called
// once.
func (b *Box) Serve(ctx context.Context) (err error) {
	defer b.cfg.Listener.Close()
	if b.served.Swap(true) {
		return errors.New("box: served already")
	}
	if b.models != nil {
		defer func() { err = errors.Join(err, b.models.Close()) }()
	}
	b.log(Event{Name: Starting, Detail: b.policy.Summary()})
	defer b.closePeers()
	if err := b.startPeers(); err != nil {
		return err
	}
	gate, err := atls.NewServer(atls.ServerConfig{
		Attester: b.cfg.Attester, Policy: b.policy.Bytes(), RequestCertificates: b.callers.NeedsCertificates() || b.operatorCertificates(),
		Peer: b.peerConfig(),
	})
	if err != nil {
		return fmt.Errorf("box: %w", err)
	}
	if err := b.record(ctx); err != nil {
		return fmt.Errorf("box: %w", b.plainly(err))
	}
	if err := mayOpen(b.records.key.Load().Bundle(), b.policy.Bytes()); err != nil {
		return fmt.Errorf("box: %w", errors.Join(err, b.records.close()))
	}
	b.open()
	defer func() { err = errors.Join(err, b.records.close()) }()
	if b.app != nil {
		if err := b.app.Start(ctx); err != nil {
			return fmt.Errorf("box: %w", err)
		}
		b.log(Event{Name: AppStarted})
	}
	err = b.serve(ctx, gate.Listener(limit(b.cfg.Listener, maxConns)))
	stopped := b.counted() // while the app's network is there
	if b.app != nil {
		b.app.Stop()
	}
	b.log(stopped)
	return err
}

// counted is the last event, with what the policy lets the operator know.
func (b *Box) counted() Event {
	e := Event{Name: Stopped}
	if b.policy.Logs != policy.LogsCounters {
		return e
	}
	e.Counters = b.handler.Counters()
	if c, ok := b.app.(*container); ok {
		e.Egress = c.left()
	}
	return e
}

// serve opens the door, and closes it when ctx ends.
func (b *Box) serve(ctx context.Context, l net.Listener) error {
	// Requests end with base, not with ctx: they have a grace time after it.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := b.server(base)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	unproven, unkept := make(chan error, 1), make(chan error, 1)
	go func() { unproven <- b.records.renew(base) }()
	go func() { unkept <- b.records.watch(base) }()
	close(b.ready)
	b.log(Event{Name: Serving, Detail: b.cfg.Listener.Addr().String()})
	select {
	case err := <-failed:
		b.stop(srv, cut)
		return fmt.Errorf("box: the listener failed: %w", err)
	case err := <-b.broken:
		b.stop(srv, cut)
		return err
	case err := <-b.differ:
		b.grace = 0 // whoever is served was promised another box
		b.stop(srv, cut)
		return fmt.Errorf("box: %w", err)
	case err := <-unproven:
		b.stop(srv, cut)
		return fmt.Errorf("box: %w", err)
	case err := <-unkept:
		b.stop(srv, cut)
		return fmt.Errorf("box: %w", err)
	case <-ctx.Done():
	}
	b.log(Event{Name: Stopping})
	b.stop(srv, cut)
	return nil
}

func (b *Box) server(base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler: b.handler, Protocols: protocols,
		ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
		// It would answer "OPTIONS *" by itself, to callers that nobody knows.
		DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{
			// The deadlines of answers end streams, and the connection stays.
			WriteByteTimeout: writeLimit,
			// A stream costs memory before its caller is known. More than the
			// box serves at once are of no use, but for its own addresses.
			MaxConcurrentStreams: min(b.policy.Limits.Concurrent+8, maxStreams),
		},
		BaseContext: func(net.Listener) context.Context { return base },
		ConnContext: callers.ConnContext,
		// net/http logs requests that it cannot read and panics with what they
		// hold, so it gets no log.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// stop lets requests finish, then cuts them.
func (b *Box) stop(srv *http.Server, cut context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), b.grace)
	defer cancel()
	b.handler.Drain()
	// What operators are at may hang, and they may read slowly.
	operated := make(chan struct{})
	go func() {
		b.endOperations()
		close(operated)
	}()
	srv.Shutdown(ctx)
	// Upgraded connections are the server's no longer, but still ours.
	b.handler.Wait(ctx)
	select {
	case <-operated:
	case <-ctx.Done():
	}
	cut()
	srv.Close()
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	b.handler.Wait(ctx)
}
