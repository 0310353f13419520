package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// host is what the demo calls the untrusted host: it stands between client and
// box, passes everything on, and keeps every byte.
type host struct {
	ln     net.Listener
	target string
	// middle, if set, makes it end TLS with this key of its own and open another
	// connection to the box, the way a curious load balancer would.
	middle *tls.Certificate

	mu    sync.Mutex
	seen  []*recording
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// recording is one connection as the host saw it: the bytes on the wire, or
// what was inside TLS if it stood in the middle.
type recording struct {
	mu       sync.Mutex
	up, down bytes.Buffer
}

func startHost(ctx context.Context, target string, middle *tls.Certificate) (*host, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &host{ln: ln, target: target, middle: middle, conns: map[net.Conn]bool{}}
	h.start(func(client net.Conn) { h.carry(ctx, client) })
	return h, nil
}

// start has every connection handled by its own goroutine.
func (h *host) start(handle func(net.Conn)) {
	ln := h.ln
	h.wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			h.wg.Go(func() { handle(client) })
		}
	})
}

func (h *host) url() string { return "https://" + h.ln.Addr().String() }

// close ends every connection and waits, so that the recordings are complete.
func (h *host) close() {
	h.ln.Close()
	h.mu.Lock()
	for c := range h.conns {
		c.Close()
	}
	h.mu.Unlock()
	h.wg.Wait()
}

func (h *host) track(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = true
}

func (h *host) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	h.track(client)
	var d net.Dialer
	box, err := d.DialContext(ctx, "tcp", h.target)
	if err != nil {
		return
	}
	defer box.Close()
	h.track(box)
	rec := &recording{}
	h.mu.Lock()
	h.seen = append(h.seen, rec)
	h.mu.Unlock()
	if h.middle != nil {
		client, box = h.interpose(client, box)
	}
	var both sync.WaitGroup
	pipe := func(dst, src net.Conn, copyTo *bytes.Buffer) {
		_, _ = io.Copy(dst, io.TeeReader(src, rec.writer(copyTo)))
		dst.Close()
	}
	both.Go(func() { pipe(box, client, &rec.up) })
	both.Go(func() { pipe(client, box, &rec.down) })
	both.Wait()
}

// interpose ends TLS on both sides.
func (h *host) interpose(client, box net.Conn) (inner, outer net.Conn) {
	protos := []string{"h2", "http/1.1"}
	inner = tls.Server(client, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protos, Certificates: []tls.Certificate{*h.middle}})
	// The attacker does not care whose key the box has, nor could it tell.
	outer = tls.Client(box, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protos, InsecureSkipVerify: true})
	return inner, outer
}

func (r *recording) writer(b *bytes.Buffer) io.Writer { return lockedWriter{&r.mu, b} }

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// direction is which way bytes went.
type direction int

const (
	upward   direction = iota // to the box
	downward                  // from the box
)

// streams returns what was recorded in one direction, connection by connection.
func (h *host) streams(d direction) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out [][]byte
	for _, r := range h.seen {
		r.mu.Lock()
		b := &r.up
		if d == downward {
			b = &r.down
		}
		out = append(out, bytes.Clone(b.Bytes()))
		r.mu.Unlock()
	}
	return out
}

// recorded returns all bytes in both directions, one connection after another.
func (h *host) recorded() (up, down []byte) {
	return bytes.Join(h.streams(upward), nil), bytes.Join(h.streams(downward), nil)
}

// records counts the TLS records of all connections by type. It returns false
// if anything else was sent.
func (h *host) records(d direction) (count map[string]int, ok bool) {
	count, ok = map[string]int{}, true
	for _, stream := range h.streams(d) {
		for _, r := range tlsRecords(stream) {
			count[r.name]++
			ok = ok && r.name != ""
		}
	}
	return count, ok
}

// payload returns how many bytes went in TLS records of application data, the
// encrypted part of the handshake and the cipher's overhead included.
func (h *host) payload(d direction) int {
	sum := 0
	for _, stream := range h.streams(d) {
		for _, r := range tlsRecords(stream) {
			if r.name == "application_data" {
				sum += r.size
			}
		}
	}
	return sum
}

// newMiddleKey makes the attacker's key and a certificate for it.
func newMiddleKey(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "in the middle"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

type tlsRecord struct {
	name string // "" if it is none
	size int    // bytes after the header
}

// tlsRecords reads the TLS records of one stream (RFC 8446, 5.1): a type byte,
// two version bytes, two length bytes. What follows anything else is not read.
func tlsRecords(stream []byte) []tlsRecord {
	names := map[byte]string{20: "change_cipher_spec", 21: "alert", 22: "handshake", 23: "application_data"}
	var out []tlsRecord
	for len(stream) > 0 {
		if len(stream) < 5 || stream[1] != 3 {
			return append(out, tlsRecord{})
		}
		size := int(binary.BigEndian.Uint16(stream[3:]))
		out = append(out, tlsRecord{names[stream[0]], size})
		// The last record may have been cut off with its connection.
		stream = stream[min(len(stream), 5+size):]
	}
	return out
}
