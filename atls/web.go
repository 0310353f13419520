package atls

import (
	"encoding/binary"
	"fmt"
	"io"
)

// What a web client is told that comes to a box. It is an answer in the
// client's own protocol, given without looking at the request, of which nothing
// reaches the application.

const webBody = `{"type":"about:blank","title":"Attested TLS required","status":426,"code":"BBX-426",` +
	`"detail":"This box speaks attested TLS only: it proves itself before it takes a request. Use ` + "`blindbox connect`" + `."}` + "\n"

// webType is the media type of webBody (RFC 9457).
const webType = "application/problem+json"

// webAnswerFor chooses by the first four bytes.
func webAnswerFor(first []byte) func(io.Reader) []byte {
	if string(first) == "PRI " {
		return webAnswer2
	}
	return webAnswer
}

// noAnswer is for peers that have been told already.
func noAnswer(io.Reader) []byte { return nil }

// webAnswer is the answer over HTTP/1.1 (RFC 9110, section 15.5.22).
func webAnswer(io.Reader) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: blindbox-gate/1\r\nConnection: Upgrade, close\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", webType, len(webBody), webBody)
}

// Frame types, flags and errors of HTTP/2 (RFC 9113, sections 6 and 7).
const (
	h2Data, h2Headers, h2Settings, h2GoAway = 0, 1, 4, 7
	h2EndStream, h2Ack, h2EndHeaders        = 1, 1, 4
	h2Required11                            = 0xd
)

// webAnswer2 is the answer over HTTP/2, which net/http and curl choose by
// themselves. It needs the number of the stream that the request came on; a
// client that opened none is only told to go away.
func webAnswer2(r io.Reader) []byte {
	b := h2Frame(nil, h2Settings, 0, 0, nil)
	if stream := h2FirstStream(r); stream != 0 {
		// Literal fields without indexing, names from the static table: 8 is
		// :status, 31 is content-type (RFC 7541, section 6.2.2 and appendix A).
		fields := append([]byte{0x08, 3}, "426"...)
		fields = append(fields, 0x0f, 31-15, byte(len(webType)))
		fields = append(fields, webType...)
		b = h2Frame(b, h2Settings, h2Ack, 0, nil)
		b = h2Frame(b, h2Headers, h2EndHeaders, stream, fields)
		b = h2Frame(b, h2Data, h2EndStream, stream, []byte(webBody))
		// No RST_STREAM follows for the rest of the request: curl would then
		// drop the answer.
	}
	goAway := binary.BigEndian.AppendUint32(nil, 1) // what came on later streams was not looked at
	goAway = binary.BigEndian.AppendUint32(goAway, h2Required11)
	return h2Frame(b, h2GoAway, 0, 0, append(goAway, webBody...))
}

func h2Frame(b []byte, typ, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), typ, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// h2FirstStream skips the rest of the preface and every frame up to the first
// request. It returns 0 if there is none within what r gives.
func h2FirstStream(r io.Reader) uint32 {
	const restOfPreface = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") - 4 // RFC 9113, section 3.4
	if _, err := io.CopyN(io.Discard, r, int64(restOfPreface)); err != nil {
		return 0
	}
	for {
		var head [9]byte // length 3, type 1, flags 1, stream 4
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, r, size); err != nil {
			return 0
		}
		if head[3] == h2Headers {
			return binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1)
		}
	}
}
