package callers

import (
	"context"
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

// maxChain bounds the certificates that are looked at.
const maxChain = 8

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
	kept, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		kept = new(connection)
	}
	return kept.certified(a, chain)
}

// connection remembers the caller of one TLS connection, on which the certificate
// cannot change, and the time for which its chain is good.
type connection struct {
	mu     sync.Mutex
	caller *policy.Caller // nil if nobody is known yet
	good   period
}

type connectionKey struct{}

// ConnContext is for [http.Server]: with it the signatures of a chain are verified
// once for each connection, and only its dates for each request.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, new(connection))
}

func (c *connection) certified(a *Authenticator, chain []*x509.Certificate) (*policy.Caller, *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := a.now()
	if c.caller != nil && c.good.holds(now) {
		return c.caller, nil
	}
	var refused *Refusal
	c.caller, c.good, refused = a.verify(chain, now)
	return c.caller, refused
}

// period is from the first moment to the last. The zero period is never.
type period struct{ since, upto time.Time }

func (p period) holds(now time.Time) bool {
	return !p.upto.IsZero() && !now.Before(p.since) && !now.After(p.upto)
}

// verify finds the caller with this chain. A chain without an authority of the
// policy is nobody's, and one with it has to be good.
func (a *Authenticator) verify(chain []*x509.Certificate, now time.Time) (*policy.Caller, period, *Refusal) {
	why := ""
	for _, root := range chain[1:] {
		list := a.authority[sha256.Sum256(root.Raw)]
		if len(list) == 0 {
			continue
		}
		good, err := issued(chain, root, now)
		if err != nil {
			why = err.Error()
			continue
		}
		for _, c := range list {
			if names(c.Certificate, chain[0]) {
				return c, good, nil
			}
		}
		why = "the policy knows its authority, and nobody of that name"
	}
	if why != "" {
		return nil, period{}, badCertificate(why)
	}
	return nil, period{}, nil
}

// issued says for how long a chain leads from a client's certificate to this
// authority. Nothing but the authority is trusted, whatever roots the system has.
// Its own dates count too.
func issued(chain []*x509.Certificate, root *x509.Certificate, now time.Time) (period, error) {
	leaf := chain[0]
	if err := forClients(leaf); err != nil {
		return period{}, err
	}
	if !root.BasicConstraintsValid || !root.IsCA || root.KeyUsage != 0 && root.KeyUsage&x509.KeyUsageCertSign == 0 {
		return period{}, errors.New("what the policy names as its authority is none")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return period{}, errors.New("it, or a certificate of its chain, has expired or is not valid yet")
	case err != nil:
		return period{}, errors.New("no chain of certificates for client authentication leads from it to the authority in the policy")
	}
	good := period{leaf.NotBefore, leaf.NotAfter}
	for _, c := range chains[0] {
		if c.NotBefore.After(good.since) {
			good.since = c.NotBefore
		}
		if c.NotAfter.Before(good.upto) {
			good.upto = c.NotAfter
		}
	}
	return good, nil
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
