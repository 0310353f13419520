package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"sync"
	"time"
)

// proofs looks at the certificates of destinations with tls: verify.
//
// In TLS 1.3 the certificate is encrypted (RFC 8446, section 4.4.2): whoever
// passes the bytes on cannot see the one that the app is shown. So the proxy makes
// a handshake of its own, to the very address that it will dial for the app, and
// checks chain and name. That proves who answers at this address now. It does not
// prove who answers the app's own connection a moment later: the app has to check
// that, and a network that treats the two differently is not noticed here.
type proofs struct {
	roots *x509.CertPool
	clock func() time.Time

	mu sync.Mutex
	by map[proof]time.Time // when it was seen
}

type proof struct {
	at   netip.AddrPort
	name string
}

// How long a proof counts, and how many are kept.
const (
	proofAge  = 5 * time.Minute
	maxProofs = 4096
)

func newProofs(roots *x509.CertPool, clock func() time.Time) *proofs {
	return &proofs{roots: roots, clock: clock, by: map[proof]time.Time{}}
}

func (p *proofs) check(ctx context.Context, dial Dial, at netip.AddrPort, name string) error {
	key := proof{at, name}
	if p.fresh(key) {
		return nil
	}
	c, err := dial(ctx, at)
	if err != nil {
		return refuse(NotConnected, "the destination does not answer")
	}
	defer c.Close()
	t := tls.Client(c, &tls.Config{ServerName: name, RootCAs: p.roots, Time: p.clock, MinVersion: tls.VersionTLS12})
	if err := t.HandshakeContext(ctx); err != nil {
		return refuse(BadProof, "the server at the host's address has no valid certificate for the host")
	}
	p.keep(key)
	return nil
}

func (p *proofs) fresh(key proof) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, ok := p.by[key]
	age := p.clock().Sub(seen)
	return ok && age >= 0 && age < proofAge
}

// keep remembers a proof. When there is no room all are forgotten: that costs
// handshakes, never safety.
func (p *proofs) keep(key proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.by) >= maxProofs {
		clear(p.by)
	}
	p.by[key] = p.clock()
}
