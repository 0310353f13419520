// Package atls is the attested channel. It answers one question: does the TLS
// connection in my hands end inside the box that the evidence speaks of?
//
// Right after the TLS 1.3 handshake, and before the first byte of the
// application in either direction, the two ends exchange a few messages, the
// gate. The client sends a nonce; the box answers with hardware Evidence over
// an [attest.Statement] that names the TLS key and the TLS exporter of this very
// connection. Evidence for any other connection is therefore useless here, even
// to somebody who holds the box's TLS key. After the gate the connection is an
// ordinary [*crypto/tls.Conn] and net/http speaks HTTP/1.1 or HTTP/2 over it.
//
// A box that was proven a moment ago may answer with a signature by the
// attestation key that its hardware named then (the fast path), and only to the
// client that verified it.
//
// The package stands on both sides of the trust boundary: [Server] runs in the
// box, [Client] at the relying party. Each treats what the other says as bytes
// from a stranger. It verifies the connection, not the hardware: that is the
// job of the [CheckFunc], which has no default, so that a channel cannot be had
// without one.
//
// docs/channel.md tells the reasons, the messages and the limits.
package atls
