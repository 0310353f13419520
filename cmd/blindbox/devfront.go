package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/policy"
)

// front is what somebody put between clients and a box; the zero front is
// nothing.
type front struct{ host *host }

func (f front) close() {
	if f.host != nil {
		f.host.close()
	}
}

// startBehind starts a box on ln, or, if the fault is one of the way to the
// box, at a hidden address with that somebody on ln.
func startBehind(ctx context.Context, root *sim.Root, p *policy.Policy, ln net.Listener, f fault, at surroundings) (*devBox, front, error) {
	if f.front == frontNone {
		d, err := startFaulty(ctx, root, p, ln, f, at)
		return d, front{}, err
	}
	var lc net.ListenConfig
	hidden, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		ln.Close()
		return nil, front{}, err
	}
	d, err := startFaulty(ctx, root, p, hidden, f, at)
	if err != nil {
		ln.Close()
		return nil, front{}, err
	}
	h, err := f.before(ctx, root, d, ln)
	if err != nil {
		ln.Close()
		return nil, front{}, errors.Join(err, d.close())
	}
	d.addr = ln.Addr().String()
	return d, front{h}, nil
}

// before puts somebody before the box, who accepts on ln.
func (f fault) before(ctx context.Context, root *sim.Root, d *devBox, ln net.Listener) (*host, error) {
	key, err := newMiddleKey(time.Now())
	if err != nil {
		return nil, err
	}
	h := &host{ln: ln, target: d.addr, middle: key, conns: map[net.Conn]bool{}}
	switch f.front {
	case frontRelay:
		h.start(func(c net.Conn) { h.carry(ctx, c) })
	case frontReplay:
		answer, err := recordAnswer(ctx, d, key)
		if err != nil {
			return nil, err
		}
		h.start(func(c net.Conn) { h.answer(c, answer) })
	case frontOpen:
		gate, err := f.openDoor(root, d)
		if err != nil {
			return nil, err
		}
		h.ln = gate.Listener(ln)
		h.start(func(c net.Conn) { c.Close() })
	default:
		h.start(func(c net.Conn) { h.answer(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) })
	}
	return h, nil
}

// openDoor is the gate of a box that does not look at its own evidence. Behind it is
// nothing: whoever comes through hangs up before.
func (f fault) openDoor(root *sim.Root, d *devBox) (*atls.Server, error) {
	runs := sim.Box{Measurement: d.measurement, HostData: d.policy.Digest()}
	f.box(&runs)
	attester, err := root.NewAttester(runs, time.Now)
	if err != nil {
		return nil, err
	}
	return atls.NewServer(atls.ServerConfig{Attester: attester, Policy: d.policy.Bytes()})
}

// recordAnswer returns what the box answers to one question in the gate.
func recordAnswer(ctx context.Context, d *devBox, key *tls.Certificate) ([]byte, error) {
	spy, err := startHost(ctx, d.addr, key)
	if err != nil {
		return nil, err
	}
	trust, err := appraise.ParseTrust(d.trustFile())
	if err != nil {
		spy.close()
		return nil, err
	}
	c, err := client.New(trust)
	if err == nil {
		_, _, err = c.Verify(ctx, spy.url())
	}
	spy.close()
	_, down := spy.recorded()
	if err == nil || len(down) == 0 {
		return nil, fmt.Errorf("recorded %d bytes of an answer: %w", len(down), err)
	}
	return down, nil
}

// maxQuestion bounds what is read before the answer.
const maxQuestion = 64 << 10

// answer ends TLS, waits for whatever is asked in the gate, and says the same to
// everybody.
func (h *host) answer(client net.Conn, text []byte) {
	defer client.Close()
	h.track(client)
	conn := tls.Server(client, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{*h.middle}})
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	// The gate's frames: magic (4 bytes), type (1), length (4), docs/channel.md.
	var head [9]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	size := binary.BigEndian.Uint32(head[5:])
	if size > maxQuestion {
		return
	}
	if _, err := io.CopyN(io.Discard, conn, int64(size)); err != nil {
		return
	}
	if _, err := io.Copy(conn, bytes.NewReader(text)); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxQuestion)) // until the client has read it
}
