package receipt

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/textproto"
	"slices"
	"strings"
)

// The labels separate these digests from each other and from every other hash.
const (
	labelRequest  = "blindbox/receipt/request/v1"
	labelResponse = "blindbox/receipt/response/v1"
	labelTrailers = "blindbox/receipt/trailers/v1"
)

// Fields are the header fields that a head covers, in lower case and in the order
// in which they are hashed. They say how the body is to be read. Others are left
// out: proxies on the way change them, and keys are among them.
func Fields() []string { return []string{"content-encoding", "content-type"} }

// RequestHead is the digest of what stands before a request's body: its method,
// its target (path and query as sent, RFC 9112, 3.2.1) and the [Fields]. The host
// is left out: which box answers, says the evidence.
func RequestHead(method, target string, header map[string][]string) Digest {
	h := labelled(labelRequest)
	part(h, method)
	part(h, target)
	fields(h, header)
	return sum(h)
}

// ResponseHead is the digest of what stands before a response's body: its status
// as three digits, and the [Fields].
func ResponseHead(status int, header map[string][]string) Digest {
	h := labelled(labelResponse)
	part(h, string([]byte{byte('0' + status/100%10), byte('0' + status/10%10), byte('0' + status%10)}))
	fields(h, header)
	return sum(h)
}

// Trailers is the digest of the fields after a body, without those of the box
// itself. It is zero if there are none.
func Trailers(trailer map[string][]string) Digest {
	var names []string
	for name, values := range trailer {
		if low := strings.ToLower(name); len(values) > 0 && !strings.HasPrefix(low, "blindbox-") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return Digest{}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	h := labelled(labelTrailers)
	for _, name := range names {
		field(h, strings.ToLower(name), trailer[name])
	}
	return sum(h)
}

func labelled(label string) hash.Hash {
	h := sha256.New()
	part(h, label)
	return h
}

// part hashes s behind its length, four bytes, big-endian, so that no two lists
// of parts are the same bytes.
func part(h hash.Hash, s string) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
	h.Write([]byte(s))
}

func fields(h hash.Hash, header map[string][]string) {
	for _, name := range Fields() {
		field(h, name, header[textproto.CanonicalMIMEHeaderKey(name)])
	}
}

// field hashes a name, how many values it has, and each value.
func field(h hash.Hash, name string, values []string) {
	part(h, name)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(values))))
	for _, v := range values {
		part(h, v)
	}
}

func sum(h hash.Hash) Digest { return Digest(h.Sum(nil)) }
