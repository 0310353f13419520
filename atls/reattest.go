package atls

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/blindbox/blindbox/attest"
)

// otherBoxError says that a side connection reached another box than the one
// to be proven again: a balancer chose another replica, or the box has rotated
// its key. It proves nothing, for or against.
type otherBoxError struct{ want, got attest.Digest }

func (e *otherBoxError) Error() string {
	return fmt.Sprintf("atls: reached another box: tls key %s, expected %s", e.got, e.want)
}

// Unwrap makes it count as evidence that could not be had.
func (e *otherBoxError) Unwrap() error { return attest.ErrUnavailable }

// Reattest proves the box behind live once more, over side, a fresh connection
// to the same address, with a fresh nonce and hardware evidence. Side is closed
// in any case.
//
// If the same TLS key proves itself again, all live connections to that key
// go on for another MaxAge, or as long as the new result holds, and the new
// session is returned. If the box with
// that key is refused, all of them are cut at once. If it could not be asked
// (network down, another box answered, no evidence to be had), the error wraps
// [attest.ErrUnavailable] and they go on until their time is up.
func (c *Client) Reattest(ctx context.Context, side net.Conn, serverName string, live net.Conn) (*Session, error) {
	session, ok := SessionOf(live)
	if !ok {
		side.Close()
		return nil, fmt.Errorf("atls: not a connection that came through the gate")
	}
	return c.reattest(ctx, side, serverName, session.PeerKey)
}

func (c *Client) reattest(ctx context.Context, side net.Conn, name string, peer attest.Digest) (*Session, error) {
	defer side.Close()
	p := &passed{sc: &sessionConn{Conn: side}}
	err := c.pass(ctx, p, name, peer)
	var failure *attest.Failure
	// A refusal counts against the box only if TLS showed that it is the box.
	if errors.As(err, &failure) && p.ch.peer == peer {
		if held := c.live.find(peer); held != nil {
			held.cut(&CutError{Cause: err, MaxAge: c.live.maxAge})
		}
	}
	if err != nil {
		return nil, err
	}
	c.live.extend(peer, p.proof)
	s := newSession(c.purpose(), peer, p.proof)
	s.Until = p.proof.at.Add(p.proof.life(c.live.maxAge))
	return s, nil
}

// renew is Reattest for a connection that we opened ourselves.
func (c *Client) renew(ctx context.Context, network, addr, host string, peer attest.Digest) error {
	side, err := c.dialRaw(ctx, network, addr)
	if err != nil {
		return err
	}
	_, err = c.reattest(ctx, side, host, peer)
	return err
}
