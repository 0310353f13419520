package catalogue

import "github.com/blindbox/blindbox/attest"

// channel returns 22x: the evidence may be genuine, but does not speak for this
// connection.
func channel() []Entry {
	return []Entry{
		{
			Number: 220, Codes: []attest.Code{attest.CodeChannelMismatch},
			Title:   "the evidence was made for another TLS connection",
			Cause:   "TLS does not end in the box. Something in between (a load balancer, a content network, a company proxy, an attacker) ends your connection, opens its own to the box and passes the evidence on.",
			NotDone: nothingSent,
			Fix:     "Let TCP through to the box (layer 4, TLS passthrough). If nobody should be in between, treat it as an attack.",
			Example: "BBX-220 channel: the evidence was made for another TLS connection\n  seen       tls_exporter 41c0..9be2\n  expected   tls_exporter 8d11..07fa\n  nothing was sent.",
		},
		{
			Number: 221, Codes: []attest.Code{attest.CodeKeyMismatch},
			Title:   "the evidence names another key",
			Cause:   "The key at the other end of this connection was not made in the box that the evidence describes. Whoever holds it sits in between.",
			NotDone: nothingSent,
			Fix:     "As for BBX-220: let TLS end in the box, or treat it as an attack.",
			Example: "BBX-221 channel: the evidence names another key\n  seen       tls_key 02ab..\n  expected   tls_key 9f3e..\n  nothing was sent.",
		},
		{
			Number: 222, Codes: []attest.Code{attest.CodeNonceMismatch},
			Title:   "the evidence does not answer this question",
			Cause:   "Its nonce is not the one that was just sent: it was recorded earlier and is replayed.",
			NotDone: nothingSent,
			Fix:     "Treat it as an attack unless the box's operator can explain it.",
			Example: "BBX-222 channel: the evidence does not answer this question\n  seen       nonce 5c5c..\n  expected   nonce 1b07..\n  nothing was sent.",
		},
		{
			Number: 223, Codes: []attest.Code{attest.CodeNotBound},
			Title:   "the hardware signed something else",
			Cause:   "The report data in the hardware's report is not the hash of the statement that came with it. Statement and report do not belong together.",
			NotDone: nothingSent,
			Fix:     "For a saved file: it was damaged or put together by hand. On a connection: treat it as an attack.",
			Example: "BBX-223 channel: the hardware signed something else\n  seen       report data 00..\n  expected   the hash of the statement, 7e21..\n  nothing was sent.",
		},
		{
			Number: 224, Codes: []attest.Code{attest.CodePurposeMismatch, attest.CodeRoleMismatch},
			Title:   "the statement was made for another use",
			Cause:   "A statement for one protocol, or by the other end of a connection, was sent back: reflection or confusion of protocols.",
			NotDone: nothingSent,
			Fix:     "Treat it as an attack unless both ends run different versions.",
			Example: "BBX-224 channel: the statement was made for another use\n  seen       role client\n  expected   role server\n  nothing was sent.",
		},
		{
			Number: 225, Codes: []attest.Code{attest.CodeStaleEvidence},
			Title:   "the evidence is too old",
			Cause:   "The statement is outside the time it gives for itself, or a key was verified longer ago than the trust file's max_age.",
			NotDone: nothingSent,
			Fix:     "For a saved file give the time at which it was made: `--at TIME`. On a connection: try again, then look at both clocks.",
			Example: "BBX-225 channel: the evidence is too old\n  seen       2026-11-21T10:00:00Z to 2026-11-21T10:01:00Z\n  expected   to contain 2026-11-21T10:30:00Z\n  nothing was sent.",
		},
		{
			Number: 226, Codes: []attest.Code{attest.CodeClock},
			Title:   "the clocks are too far apart to judge age",
			Cause:   "The time in the statement and the time here differ by more than twelve hours, or the time here is before anything that could be verified. One of the two clocks is wrong.",
			NotDone: nothingSent,
			Fix:     "Set this machine's clock (NTP). If it is right, the box's is wrong: tell its operator.",
			Example: "BBX-226 channel: the clocks are too far apart to judge age\n  seen       2026-11-21T10:00:00Z to 2026-11-21T10:01:00Z\n  expected   to contain 2031-01-01T00:00:00Z\n  nothing was sent.",
		},
		{
			Number: 227, Codes: []attest.Code{attest.CodeNoAttestation},
			Title:   "the other end does not attest",
			Cause:   "It speaks TLS and then something other than the gate, or hangs up: an ordinary web server, a box behind a proxy that speaks HTTP itself, or something that removes the gate's messages. There is no fallback to plain TLS.",
			NotDone: nothingSent,
			Fix:     "Check the address. If a proxy stands in front of the box it must pass TCP through.",
			Example: "$ blindbox verify https://example.org\nBBX-227 channel: the other end does not attest\n  seen       HTTP/1.1 400 Bad Request\n  nothing was sent.",
		},
	}
}
