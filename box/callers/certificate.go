package callers

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// maxChain bounds the certificates that are looked at, and maxChainRSA the keys of
// those in between. The authority's is the operator's choice.
const (
	maxChain    = 8
	maxChainRSA = 4096
)

// certified returns whose TLS client certificate the connection has. Both are nil
// if there is none, or one by an authority that the policy does not name: people
// have certificates for other purposes, and some programs send them everywhere.
func (a *Authenticator) certified(r *http.Request) (*policy.Caller, *Refusal) {
	if len(a.authority) == 0 || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	chain := r.TLS.PeerCertificates
	if len(chain) > maxChain {
		return nil, badCertificate("its chain is too long")
	}
	kept := connectionOf(r)
	if kept == nil {
		kept = new(connection)
	}
	return kept.certified(a, chain)
}

// connection remembers what the certificate of one TLS connection was found to be,
// since it cannot change there, and the time for which that holds. What is wrong
// with a certificate is remembered like what is right: a stranger's chain costs as
// much to look at as a good one.
//
// It is remembered for each Authenticator: the box has one for callers and one for
// operators, and the same certificate is somebody else to either.
type connection struct {
	met []string // the callers that the box at the other end is, see metBy

	mu    sync.Mutex
	found map[*Authenticator]finding
}

// finding is what a certificate was found to be.
type finding struct {
	holds   period // zero if nothing is known yet
	caller  *policy.Caller
	refused *Refusal
}

type connectionKey struct{}

// ConnContext is for [http.Server]: with it the signatures of a chain are verified
// once for each connection, and only its dates for each request, and without it no
// connection is another box's.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{met: metBy(conn)})
}

// connectionOf is nil for a request whose server does not remember connections.
func connectionOf(r *http.Request) *connection {
	kept, _ := r.Context().Value(connectionKey{}).(*connection)
	return kept
}

func (c *connection) certified(a *Authenticator, chain []*x509.Certificate) (*policy.Caller, *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.found[a]
	if now := a.now(); !f.holds.holds(now) {
		f.caller, f.refused = a.verify(chain, now)
		f.holds = around(chain, now)
		if c.found == nil {
			c.found = map[*Authenticator]finding{}
		}
		c.found[a] = f
	}
	return f.caller, f.refused
}

// around returns the time around now in which none of the certificates begins or
// ends. Whatever is found out about them now is found out at any moment of it.
func around(chain []*x509.Certificate, now time.Time) period {
	p := period{now.Add(-holdsFor), now.Add(holdsFor)}
	for _, c := range chain {
		for _, edge := range []struct{ before, after time.Time }{
			{c.NotBefore.Add(-1), c.NotBefore}, // from NotBefore on
			{c.NotAfter, c.NotAfter.Add(1)},    // NotAfter included
		} {
			if edge.after.After(now) && edge.before.Before(p.upto) {
				p.upto = edge.before
			} else if !edge.after.After(now) && edge.after.After(p.since) {
				p.since = edge.after
			}
		}
	}
	return p
}

// holdsFor bounds what is remembered: nothing but the certificates' dates ends it.
const holdsFor = 24 * time.Hour

// period is from the first moment to the last. The zero period is never.
type period struct{ since, upto time.Time }

func (p period) holds(now time.Time) bool {
	return !p.upto.IsZero() && !now.Before(p.since) && !now.After(p.upto)
}

// verify finds the caller with this chain. A chain without an authority of the
// policy is nobody's, and one with it has to be good.
func (a *Authenticator) verify(chain []*x509.Certificate, now time.Time) (*policy.Caller, *Refusal) {
	why := ""
	for _, root := range chain[1:] {
		list := a.authority[sha256.Sum256(root.Raw)]
		if len(list) == 0 {
			continue
		}
		if err := issued(chain, root, now); err != nil {
			why = err.Error()
			continue
		}
		for _, c := range list {
			if names(c.Certificate, chain[0]) {
				return c, nil
			}
		}
		why = "the policy knows its authority, and nobody of that name"
	}
	if why != "" {
		return nil, badCertificate(why)
	}
	return nil, nil
}

// issued says what is wrong with a chain from a client's certificate to this
// authority. Nothing but the authority is trusted, whatever roots the system has.
// Its own dates count too.
func issued(chain []*x509.Certificate, root *x509.Certificate, now time.Time) error {
	leaf := chain[0]
	if err := forClients(leaf); err != nil {
		return err
	}
	if !root.BasicConstraintsValid || !root.IsCA || root.KeyUsage != 0 && root.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("what the policy names as its authority is none")
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	between, err := intermediates(chain[1:], root)
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("it, or a certificate of its chain, has expired or is not valid yet")
	case err != nil:
		return errors.New("no chain of certificates for client authentication leads from it to the authority in the policy")
	}
	return nil
}

// intermediates are the certificates between a client's and the authority's. No
// two of them have one name, so that there is one way up and not one for each order
// of them, and none has a key that takes long: crypto/x509 would verify up to 100
// signatures for whoever wants to keep it busy.
func intermediates(chain []*x509.Certificate, root *x509.Certificate) (*x509.CertPool, error) {
	pool, names := x509.NewCertPool(), map[string]*x509.Certificate{}
	for _, c := range chain {
		if c.Equal(root) {
			continue
		}
		known := names[string(c.RawSubject)]
		switch {
		case known != nil && !known.Equal(c):
			return nil, errors.New("two certificates of its chain have one name")
		case !affordable(c.PublicKey):
			return nil, errors.New("a certificate of its chain has a key that is not P-256, P-384, Ed25519, or RSA with 2048 to 4096 bits")
		}
		names[string(c.RawSubject)] = c
		pool.AddCert(c)
	}
	return pool, nil
}

func affordable(key any) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return true
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384()
	case *rsa.PublicKey:
		return minRSA <= key.N.BitLen() && key.N.BitLen() <= maxChainRSA
	}
	return false
}

// forClients refuses certificates that are no client's own.
func forClients(leaf *x509.Certificate) error {
	switch {
	case leaf.IsCA:
		return errors.New("it is that of an authority")
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("its key is not for signatures")
	}
	return nil
}

// names reports whether a certificate is of whom the policy names.
func names(want *policy.Certificate, leaf *x509.Certificate) bool {
	switch {
	case want.SPIFFE != "":
		// X509-SVID, section 2: exactly one URI; sections 4.1 and 4.3: not an
		// authority's, and its key is for signatures.
		uris := uriNames(leaf)
		return len(uris) == 1 && uris[0] == want.SPIFFE && leaf.KeyUsage&x509.KeyUsageDigitalSignature != 0 &&
			leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) == 0
	case want.Subject != "":
		common := commonNames(leaf)
		return len(common) == 1 && common[0] == want.Subject
	}
	return true
}

// uriNames returns the URIs among the alternative names as they are written;
// [x509.Certificate] has them parsed, and two texts can be one URL.
func uriNames(leaf *x509.Certificate) (out []string) {
	const uri = 6 // [6] IA5String, RFC 5280, section 4.2.1.6
	for _, e := range leaf.Extensions {
		var all []asn1.RawValue
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		if rest, err := asn1.Unmarshal(e.Value, &all); err != nil || len(rest) > 0 {
			return nil
		}
		for _, one := range all {
			if one.Class == asn1.ClassContextSpecific && one.Tag == uri {
				out = append(out, string(one.Bytes))
			}
		}
	}
	return out
}

func commonNames(leaf *x509.Certificate) (out []string) {
	for _, attribute := range leaf.Subject.Names {
		if text, ok := attribute.Value.(string); ok && attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			out = append(out, text)
		}
	}
	return out
}
