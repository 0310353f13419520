package atls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Defaults of a Server.
const (
	DefaultGateTimeout = 10 * time.Second
	DefaultMaxHalfOpen = 10_000
	DefaultMaxQuotes   = 4
)

// maxBeforeGate bounds what a caller may send in all, TLS and gate, except for
// a bundle of its own. crypto/tls would hold 64 KiB of a ClientHello. Of an
// honest one, with its post-quantum key, 2 KiB arrive.
const maxBeforeGate = 16 << 10

// maxHeavy bounds how many callers' bundles, of up to 256 KiB, are read and
// checked at a time.
const maxHeavy = 32

// ServerConfig says how a box proves itself. Attester and Policy are required.
type ServerConfig struct {
	Attester attest.Attester
	// Policy is the exact policy document, 1 byte to 64 KiB.
	Policy []byte
	// Now is the clock, time.Now if nil. Deadlines do not depend on it.
	Now func() time.Time
	// GateTimeout bounds TLS handshake and gate together,
	// [DefaultGateTimeout] if zero.
	GateTimeout time.Duration
	// MaxHalfOpen bounds the connections that have not passed the gate,
	// [DefaultMaxHalfOpen] if zero. One more is closed at once.
	MaxHalfOpen int
	// MaxQuotes bounds concurrent requests to the hardware,
	// [DefaultMaxQuotes] if zero.
	MaxQuotes int
	// NextProtos are accepted by ALPN, "h2" and "http/1.1" if nil.
	NextProtos []string
	// RequestCertificates asks callers for a TLS certificate, which they need
	// not send. The channel only has them prove that they hold its key; what the
	// certificate is worth is for whoever serves the connection to say, who finds
	// it in its [tls.ConnectionState].
	RequestCertificates bool
	// Peer is set in a box that lets callers prove themselves.
	Peer *PeerConfig
	// OnRefuse, if set, is told about each connection that did not pass, by
	// many goroutines at once. The error holds nothing that the caller sent to
	// the application.
	OnRefuse func(remote net.Addr, err error)
}

// PeerConfig says how a box judges callers that attest.
type PeerConfig struct {
	// Kinds and Check are required and mean the same as in [ClientConfig].
	Kinds []attest.Kind
	Check CheckFunc
	// Require refuses callers that do not attest.
	Require bool
	// Skew is how far the two clocks may differ.
	Skew time.Duration
	// MaxAge is how long a caller's connection lives without a fresh proof of
	// the same key, [DefaultMaxAge] if zero.
	MaxAge time.Duration
}

// A Server is the box's end of the channel. It is safe for concurrent use.
type Server struct {
	prover   *prover
	peers    *examiner // nil if callers cannot attest
	require  bool
	live     *leases // callers that attest
	protos   []string
	timeout  time.Duration
	halfOpen chan struct{}
	heavy    chan struct{}
	onRefuse func(net.Addr, error)
	certs    bool // callers are asked for a certificate
	keys     atomic.Pointer[serverKeys]
}

// serverKeys are made together and replaced together.
type serverKeys struct {
	tls     *tlsKey
	attest  *attestationKey
	tlsConf *tls.Config
}

// NewServer makes the keys of the box, in memory only.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.GateTimeout < 0 || cfg.MaxHalfOpen < 0 || cfg.MaxQuotes < 0 {
		return nil, fmt.Errorf("atls: negative limit: gate timeout %s, half-open %d, quotes %d", cfg.GateTimeout, cfg.MaxHalfOpen, cfg.MaxQuotes)
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	prover, err := newProver(cfg.Attester, cfg.Policy, orDefault(cfg.MaxQuotes, DefaultMaxQuotes), now)
	if err != nil {
		return nil, err
	}
	s := &Server{
		prover:   prover,
		protos:   slices.Clone(cfg.NextProtos),
		timeout:  orDefault(cfg.GateTimeout, DefaultGateTimeout),
		halfOpen: make(chan struct{}, orDefault(cfg.MaxHalfOpen, DefaultMaxHalfOpen)),
		heavy:    make(chan struct{}, maxHeavy),
		onRefuse: cfg.OnRefuse,
		certs:    cfg.RequestCertificates,
	}
	if cfg.NextProtos == nil {
		s.protos = []string{"h2", "http/1.1"}
	}
	if err := s.admitPeers(cfg.Peer, now); err != nil {
		return nil, err
	}
	if err := s.Rotate(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) admitPeers(cfg *PeerConfig, now func() time.Time) (err error) {
	if cfg == nil {
		return nil
	}
	if cfg.MaxAge < 0 {
		return fmt.Errorf("atls: negative max age %s of callers", cfg.MaxAge)
	}
	s.peers, err = newExaminer(cfg.Check, cfg.Kinds, cfg.Skew, now)
	s.require, s.live = cfg.Require, newLeases(cfg.MaxAge, now)
	return err
}

// Rotate makes a new TLS key and a new attestation key. Established streams go
// on; the old keys are served to nobody any more, except that a gate which had
// its answer already may still finish. A stream that outlives the client's
// MaxAge will be cut by the client, since nobody can prove the old key again.
func (s *Server) Rotate() error {
	key, err := newTLSKey()
	if err != nil {
		return err
	}
	s.keys.Store(&serverKeys{tls: key, attest: newAttestationKey(), tlsConf: s.tlsConfig(key)})
	return nil
}

func (s *Server) tlsConfig(key *tlsKey) *tls.Config {
	cfg := baseConfig(s.protos)
	cfg.Certificates = []tls.Certificate{key.cert}
	cfg.VerifyConnection = checkCallerState
	switch {
	case s.require:
		cfg.ClientAuth = tls.RequireAnyClientCert
	case s.peers != nil || s.certs:
		cfg.ClientAuth = tls.RequestClientCert
	}
	return cfg
}

// errTLS marks what went wrong before there was a channel to answer on.
var errTLS = errors.New("atls: tls handshake")

// admit takes a connection through TLS and the gate. On error it is closed.
func (s *Server) admit(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ended := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		raw.SetDeadline(time.Unix(1, 0))
		close(ended)
	})

	sc, keys := &sessionConn{Conn: raw, limit: maxBeforeGate}, s.keys.Load()
	conn := tls.Server(sc, keys.tlsConf)
	err := s.handshake(ctx, conn)
	if err == nil {
		err = s.pass(ctx, conn, sc, keys)
	}
	if err == nil && !release() {
		err = fmt.Errorf("atls: gate: %w", context.Cause(ctx))
	}
	sc.limit = 0
	if err != nil {
		if !release() {
			<-ended // what is said now has a time of its own
		}
		s.dismiss(conn, raw, err)
		return nil, err
	}
	return conn, nil
}

func (s *Server) handshake(ctx context.Context, conn *tls.Conn) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", errTLS, err)
	}
	return checkCallerState(conn.ConnectionState())
}

func (s *Server) pass(ctx context.Context, conn *tls.Conn, sc *sessionConn, keys *serverKeys) error {
	ch := newChannel(conn, keys.tls.spki)
	// Twice the size leaves room for TLS, however small its records.
	ch.expect = func(size int) { sc.limit += 2 * int64(size) }
	h, peer, err := s.gate(ctx, ch, keys)
	if err != nil {
		return err
	}
	sc.session.Store(newSession(h.purpose, ch.peer, peer))
	if peer != nil {
		s.live.join(sc, ch.peer, peer, nil)
	}
	return nil
}

// errNoQuestion is a caller's that took more than the gate's time to ask. It may be a
// client on a slow line or a busy machine, which is told: it has not met something else.
var errNoQuestion = errors.New("the question did not come within the time that this box has for its gate")

// question reads what the caller asks.
func (s *Server) question(ctx context.Context, ch channel) (hello, error) {
	_, payload, err := readFrame(ch.rw, slot{frameHello, maxHello})
	switch {
	case err != nil && isTimeout(err) && ctx.Err() != nil:
		return hello{}, fmt.Errorf("%w (%v): %w", errNoQuestion, s.timeout, err)
	case err != nil:
		return hello{}, err
	}
	return parseHello(payload)
}

// gate is the box's side. It returns what the caller asked, and its proof if
// the gate was mutual.
func (s *Server) gate(ctx context.Context, ch channel, keys *serverKeys) (hello, *proof, error) {
	h, err := s.question(ctx, ch)
	if err != nil {
		return hello{}, nil, err
	}
	if err := s.admissible(h, ch, keys); err != nil {
		return hello{}, nil, err
	}
	nonce := newNonce()
	if err := s.answer(ctx, ch, h, keys, nonce); err != nil {
		return hello{}, nil, err
	}
	var peer *proof
	if h.mutual() {
		peer, err = s.meet(ctx, ch, nonce)
	} else {
		_, _, err = readFrame(ch.rw, slot{frameAccept, 0})
	}
	if err != nil {
		return hello{}, nil, err
	}
	return h, peer, nil
}

// admissible refuses questions that this box has no answer to.
func (s *Server) admissible(h hello, ch channel, keys *serverKeys) error {
	kind := s.prover.attester.Kind().String()
	switch {
	case !slices.Contains(h.kinds, kind):
		return attest.NewFailure("channel.kind", attest.CodeKindMismatch,
			fmt.Sprintf("you accept %q", h.kinds), kind)
	case h.mutual() && s.peers == nil:
		return attest.NewFailure("channel.purpose", attest.CodePurposeMismatch, "purpose peer", "purpose session: this box takes no evidence from callers")
	case !h.mutual() && s.require:
		return attest.NewFailure("channel.purpose", attest.CodePurposeMismatch, "purpose session", "purpose peer: this box takes callers that attest only")
	case h.mutual() && ch.peer.IsZero():
		return attest.NewFailure("channel.tls_key", attest.CodeKeyMismatch, "no client certificate", "the caller's TLS key")
	case s.keys.Load() != keys:
		return fmt.Errorf("atls: the key was rotated during the handshake: %w", attest.ErrUnavailable)
	}
	return nil
}

// answer proves the box, on the fast path if the client knows our key.
func (s *Server) answer(ctx context.Context, ch channel, h hello, keys *serverKeys, nonce [32]byte) error {
	q := question{purpose: h.purpose, role: attest.RoleServer, nonce: h.nonce}
	statement, err := s.prover.statement(ch, q, keys.attest.hash)
	if err != nil {
		return err
	}
	if !h.mutual() && slices.Contains(h.offers, keys.attest.hash) {
		f, err := keys.attest.sign(statement)
		if err != nil {
			return err
		}
		return writeFrame(ch.rw, frameFast, f.encode())
	}
	ctx, cancel := s.quoteTime(ctx)
	defer cancel()
	f := full{mutual: h.mutual()}
	if f.mutual {
		f.nonce, f.kinds = nonce, kindNames(s.peers.kinds)
	}
	if f.bundle, err = s.prover.full(ctx, statement, keys.attest.public); err != nil {
		return err
	}
	return writeFrame(ch.rw, frameFull, f.encode())
}

// quoteTime leaves a tenth of the gate's time to tell the client if the
// hardware is too slow.
func (s *Server) quoteTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, end.Add(-s.timeout/10))
	}
	return context.WithCancel(ctx)
}

// meet judges the caller's evidence.
func (s *Server) meet(ctx context.Context, ch channel, nonce [32]byte) (*proof, error) {
	_, size, err := readHeader(ch.rw, []slot{{frameAccept, attest.MaxBundle}})
	if err != nil {
		return nil, err
	}
	peer, err := s.examinePeer(ctx, ch, nonce, size)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(ch.rw, frameAccepted, nil); err != nil {
		return nil, err
	}
	return peer, nil
}

// examinePeer holds memory for the caller's bundle only while it has a turn.
func (s *Server) examinePeer(ctx context.Context, ch channel, nonce [32]byte, size int) (*proof, error) {
	select {
	case s.heavy <- struct{}{}:
		defer func() { <-s.heavy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("atls: waiting to read a caller's evidence: %w", context.Cause(ctx))
	}
	if ch.expect != nil {
		ch.expect(size)
	}
	encoded, err := readPayload(ch.rw, frameAccept, size)
	if err != nil {
		return nil, err
	}
	q := question{purpose: attest.PurposePeer, role: attest.RoleClient, nonce: nonce}
	return s.peers.examine(ctx, ch, q, encoded)
}
