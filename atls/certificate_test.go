package atls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCertificate: a box that asks gets the caller's certificate, whose key it
// holds; one that does not ask gets none; and nobody needs one.
func TestCertificate(t *testing.T) {
	h := newHardware(t)
	key, err := newTLSKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, asks := range []bool{true, false} {
		for _, shows := range []bool{true, false} {
			s := newTestServer(t, h, func(c *ServerConfig) { c.RequestCertificates = asks })
			addr, conns := serveSessions(t, s)
			c := newTestClient(t, h, func(c *ClientConfig) {
				if shows {
					c.Certificate = &key.cert
				}
			})
			mustEcho(t, connect(t, c, addr))
			conn, ok := (<-conns).(*tls.Conn)
			if !ok {
				t.Fatal("not a TLS connection")
			}
			got := conn.ConnectionState().PeerCertificates
			if (len(got) == 1) != (asks && shows) {
				t.Errorf("asks %v, shows %v: %d certificates", asks, shows, len(got))
			}
			if len(got) == 1 && spkiOf(got[0]) != key.spki {
				t.Error("another certificate")
			}
		}
	}
	_, err = NewClient(ClientConfig{Check: h.check, Kinds: newTestClient(t, h, nil).kinds, Certificate: &key.cert, Identity: &Identity{Attester: h, Policy: testPolicy}})
	if err == nil {
		t.Error("a client with two keys")
	}
}

// forger holds no key and signs all the same.
type forger struct{ public crypto.PublicKey }

func (f forger) Public() crypto.PublicKey { return f.public }
func (f forger) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("no signature"), nil
}

// TestCertificateThatCosts: a caller's key that takes long is refused before its
// signature is verified, and one that does not is refused for the signature.
func TestCertificateThatCosts(t *testing.T) {
	h := newHardware(t)
	for _, tc := range []struct {
		curve elliptic.Curve
		extra int
		want  string
	}{
		{elliptic.P384(), 0, "invalid signature by the client certificate"},
		{elliptic.P384(), 7, "invalid signature by the client certificate"},
		{elliptic.P384(), 8, "9 certificates of the caller, expected at most 8"},
		{elliptic.P521(), 0, "on the curve P-521, expected P-256"},
	} {
		refused := make(chan error, 1)
		s := newTestServer(t, h, func(c *ServerConfig) {
			c.RequestCertificates = true
			c.OnRefuse = func(_ net.Addr, err error) { refused <- err }
		})
		addr, _ := serveSessions(t, s)
		key, err := ecdsa.GenerateKey(tc.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		cert := &tls.Certificate{Certificate: slices.Repeat([][]byte{der}, 1+tc.extra), PrivateKey: forger{&key.PublicKey}}
		c := newTestClient(t, h, func(c *ClientConfig) { c.Certificate = cert })
		if conn, err := c.Handshake(t.Context(), dialTCP(t, addr), "box"); err == nil {
			conn.Close()
			t.Error("connected")
		}
		if err := <-refused; !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s and %d more: %v, expected %s", tc.curve.Params().Name, tc.extra, err, tc.want)
		}
	}
	bits := func(n uint) *rsa.PublicKey { return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), n-1)} }
	for _, tc := range []struct {
		key  any
		good bool
	}{
		{ed25519.PublicKey{}, true}, {&ecdsa.PublicKey{Curve: elliptic.P256()}, true}, {nil, false},
		{bits(2047), false}, {bits(2048), true}, {bits(4096), true}, {bits(4097), false},
	} {
		if err := checkCallerKey(tc.key); (err == nil) != tc.good {
			t.Errorf("%T: %v", tc.key, err)
		}
	}
	for _, tc := range []struct {
		state tls.ConnectionState
		good  bool
	}{
		{tls.ConnectionState{Version: tls.VersionTLS13}, true},
		{tls.ConnectionState{Version: tls.VersionTLS12}, false},
		{tls.ConnectionState{Version: tls.VersionTLS13, DidResume: true}, false},
	} {
		if err := checkCallerState(tc.state); (err == nil) != tc.good {
			t.Errorf("%s, resumed %v: %v", tls.VersionName(tc.state.Version), tc.state.DidResume, err)
		}
	}
}
