package atls

import (
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// BenchmarkConnect opens connections on loopback and has one byte echoed over
// each, so that all of them have heard from the other end. tls13 is plain Go
// with the same curves and kind of certificate; the attester of full costs an
// Ed25519 signature, so what is measured is the gate and not some hardware.
func BenchmarkConnect(b *testing.B) {
	b.Run("tls13", func(b *testing.B) {
		key, err := newTLSKey()
		if err != nil {
			b.Fatal(err)
		}
		conf := baseConfig([]string{"h2"})
		conf.Certificates = []tls.Certificate{key.cert}
		addr := benchEcho(b, tls.NewListener(listen(b), conf))
		client := baseConfig([]string{"h2"})
		client.InsecureSkipVerify = true
		var d net.Dialer
		benchConnect(b, func() (net.Conn, error) {
			raw, err := d.DialContext(b.Context(), "tcp", addr)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, client)
			return conn, conn.HandshakeContext(b.Context())
		})
	})
	for name, maxAge := range map[string]time.Duration{"fast": time.Hour, "full": 0} {
		b.Run(name, func(b *testing.B) {
			h := newHardware(b)
			s := newTestServer(b, h, nil)
			addr := benchEcho(b, s.Listener(listen(b)))
			c := newTestClient(b, h, func(c *ClientConfig) { c.MaxAge, c.NextProtos = maxAge, []string{"h2"} })
			connect(b, c, addr).Close()
			benchConnect(b, func() (net.Conn, error) { return c.DialContext(b.Context(), "tcp", addr) })
		})
	}
}

func benchEcho(b *testing.B, l net.Listener) string {
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var one [1]byte
				if _, err := conn.Read(one[:]); err == nil {
					conn.Write(one[:])
				}
				conn.Read(one[:])
			}()
		}
	}()
	return l.Addr().String()
}

func benchConnect(b *testing.B, dial func() (net.Conn, error)) {
	b.ReportAllocs()
	var one [1]byte
	for b.Loop() {
		conn, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Write(one[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(one[:]); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}
