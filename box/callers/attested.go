package callers

import (
	"net"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/box/peers"
	"github.com/blindbox/blindbox/policy"
)

// metBy returns which callers of the policy the box at the other end of a
// connection is, by their names. It is empty unless the gate had that box prove
// itself, on this very connection.
func metBy(conn net.Conn) []string {
	session, ok := atls.SessionOf(conn)
	if !ok {
		return nil
	}
	peer, ok := session.Result.(*peers.Peer)
	if !ok {
		return nil
	}
	return peer.Callers
}

// attested returns which caller the connection's other end has proven to be in the
// gate, nil if none.
func (a *Authenticator) attested(c *connection) *policy.Caller {
	if c == nil {
		return nil
	}
	for _, name := range c.met {
		if caller := a.boxes[name]; caller != nil {
			return caller
		}
	}
	return nil
}
