package client_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"sync"
	"testing"
	"time"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// relay ends TLS with its own key, reads along, and passes everything on to
// the box over a TLS connection of its own.
type relay struct {
	addr string
	mu   sync.Mutex
	got  bytes.Buffer
}

func newRelay(t testing.TB, box string) *relay {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	listener := listen(t)
	r := &relay{addr: listener.Addr().String()}
	protos := []string{"h2", "http/1.1"}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protos}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go r.serve(tls.Server(conn, server), box, &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
		}
	}()
	return r
}

func (r *relay) serve(victim *tls.Conn, box string, cfg *tls.Config) {
	defer victim.Close()
	upstream, err := tls.Dial("tcp", box, cfg)
	if err != nil {
		return
	}
	defer upstream.Close()
	go io.Copy(victim, upstream)
	io.Copy(io.MultiWriter(r, upstream), victim) // what was seen is noted before anybody answers it
}

func (r *relay) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(b)
}

func (r *relay) seen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}
