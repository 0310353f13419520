package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// The answerer of names. Nothing is asked outside: a name that a line of the
// policy is about gets an address that means something on this wire only, every
// other name does not exist. So a question carries nothing out of the box, and a
// program that knows of no proxy finds its way to it.

// Sizes and codes of RFC 1035, sections 2.3.4 and 4.1.1.
const (
	maxQuestion = 512
	dnsHeader   = 12

	rcodeOK       = 0
	rcodeFormat   = 1
	rcodeServer   = 2
	rcodeNotFound = 3
	rcodeNotDone  = 4
)

// answerDNS answers until the socket is closed.
func (p *Proxy) answerDNS(c net.PacketConn) error {
	buf := make([]byte, maxQuestion+1)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			if isTemporary(err) {
				continue
			}
			return fmt.Errorf("egress: %w", err)
		}
		if answer := p.answer(buf[:n]); answer != nil {
			c.WriteTo(answer, from)
		}
	}
}

// answer returns the answer to a message, or nil if it deserves none.
func (p *Proxy) answer(message []byte) []byte {
	q, err := parseQuestion(message)
	if err != nil {
		p.ledger.refuse(BadDNS, nil)
		return complain(message)
	}
	if q.name != "" {
		p.wanted(q.name, 0, "dns")
	}
	address, why := p.names.address(q.name)
	if why != "" {
		p.ledger.refuse(why, nil)
	}
	switch {
	case why == NameRefused:
		return q.answer(rcodeNotFound, netip.Addr{})
	case why != "":
		return q.answer(rcodeServer, netip.Addr{})
	case q.kind != typeA && q.kind != typeAny:
		// The name exists, without a record of this kind: AAAA above all.
		return q.answer(rcodeOK, netip.Addr{})
	}
	return q.answer(rcodeOK, address)
}

const (
	typeA   = 1
	typeAny = 255
	classIN = 1
)

// question is a message that asks for one name.
type question struct {
	id    uint16
	flags uint16 // opcode and "recursion desired"
	name  string // in lower case, without the final dot
	kind  uint16
	raw   []byte // the question section, as it was sent
}

var errQuestion = errors.New("egress: not a question for one name")

// parseQuestion reads a query with one question (RFC 1035, section 4.1). Behind
// it one more record may stand, which is EDNS (RFC 6891) and ignored.
func parseQuestion(b []byte) (*question, error) {
	const response, opcode, truncated = 1 << 15, 0xf << 11, 1 << 9
	if len(b) < dnsHeader || len(b) > maxQuestion {
		return nil, errQuestion
	}
	count := func(i int) uint16 { return binary.BigEndian.Uint16(b[i:]) }
	q := &question{id: count(0), flags: count(2)}
	if q.flags&(response|opcode|truncated) != 0 || count(4) != 1 || count(6) != 0 || count(8) != 0 || count(10) > 1 {
		return nil, errQuestion
	}
	name, n, ok := parseName(b[dnsHeader:])
	end := dnsHeader + n + 4
	if !ok || end > len(b) || count(10) == 0 && end != len(b) || count(end-2) != classIN {
		return nil, errQuestion
	}
	q.name, q.kind, q.raw = name, count(end-4), b[dnsHeader:end]
	return q, nil
}

// parseName reads a name that is not compressed: nothing stands before it that
// it could point to. A name that is no host's, the root say, is "", about which
// no line is.
func parseName(b []byte) (name string, used int, ok bool) {
	var text []byte
	for used < len(b) {
		n := int(b[used])
		used++
		if n == 0 {
			if len(text) == 0 {
				return "", used, true
			}
			name, _ = hostName(string(text[1:]))
			return name, used, true
		}
		if n > 63 || used+n > len(b) || len(text)+1+n > maxName+1 {
			return "", 0, false
		}
		text = append(text, '.')
		for _, c := range b[used : used+n] {
			if c == '.' {
				c = 0 // a dot inside a label is none between labels
			}
			text = append(text, c)
		}
		used += n
	}
	return "", 0, false
}

// answerTTL is in seconds. A name keeps its address; the time is short because
// programs carry answers from one network into another.
const answerTTL = 60

// answer writes an answer to the question, with a record if address is valid.
func (q *question) answer(rcode uint16, address netip.Addr) []byte {
	const response, authoritative, recursionDesired, recursionAvailable = 1 << 15, 1 << 10, 1 << 8, 1 << 7
	records := uint16(0)
	if address.IsValid() {
		records = 1
	}
	b := binary.BigEndian.AppendUint16(nil, q.id)
	b = binary.BigEndian.AppendUint16(b, response|authoritative|recursionAvailable|q.flags&recursionDesired|rcode)
	for _, n := range []uint16{1, records, 0, 0} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	b = append(b, q.raw...)
	if records == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint16(b, 0xc000|dnsHeader) // the name of the question
	b = binary.BigEndian.AppendUint16(b, typeA)
	b = binary.BigEndian.AppendUint16(b, classIN)
	b = binary.BigEndian.AppendUint32(b, answerTTL)
	b = binary.BigEndian.AppendUint16(b, net.IPv4len)
	return append(b, address.AsSlice()...)
}

// complain answers what is no question, if it has a header and is no answer
// itself: two answerers must not talk to each other for ever.
func complain(message []byte) []byte {
	const response = 0x80
	if len(message) < dnsHeader || message[2]&response != 0 {
		return nil
	}
	rcode := byte(rcodeFormat)
	if message[2]&0x78 != 0 { // opcode
		rcode = rcodeNotDone
	}
	return []byte{message[0], message[1], response | message[2]&0x79, rcode, 0, 0, 0, 0, 0, 0, 0, 0}
}
