package atls

import (
	"crypto/tls"
	"testing"
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
