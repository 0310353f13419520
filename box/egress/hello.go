package egress

import "encoding/binary"

// serverName looks for the server name in the first bytes of a TLS connection
// (RFC 8446, section 4.1.2, in records of section 5.1). done is false if more
// bytes are needed. A ClientHello without a name gives "". The bytes are read by
// nobody but us before they are passed on, and not changed.
func serverName(b []byte) (name string, done bool, err error) {
	hello, complete, err := handshake(b)
	if !complete {
		return "", false, err
	}
	name, err = parseHello(hello)
	return name, err == nil, err
}

var errNoTLS = refuse(NoTLS, "the connection does not begin with a TLS ClientHello")

// maxHello is the largest ClientHello. They have 300 to 2,000 bytes.
const maxHello = 16 << 10

// handshake puts the first handshake message together, which may be cut into
// several records.
func handshake(b []byte) (message []byte, complete bool, err error) {
	const (
		recordHeader   = 5
		typeHandshake  = 22
		maxRecord      = 1 << 14
		messageHeader  = 4
		msgClientHello = 1
	)
	for len(b) > 0 {
		if b[0] != typeHandshake || len(b) > 1 && b[1] != 3 {
			return nil, false, errNoTLS
		}
		if len(b) < recordHeader {
			return nil, false, nil
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n == 0 || n > maxRecord {
			return nil, false, errNoTLS
		}
		part := b[recordHeader:min(len(b), recordHeader+n)]
		message = append(message, part...)
		if len(message) > 0 && message[0] != msgClientHello {
			return nil, false, errNoTLS
		}
		if len(message) >= messageHeader {
			size := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
			if size > maxHello {
				return nil, false, errNoTLS
			}
			// Nothing follows a ClientHello before the server has answered.
			if len(message) > messageHeader+size {
				return nil, false, errNoTLS
			}
			if len(message) == messageHeader+size && len(part) == n {
				return message[messageHeader:], true, nil
			}
		}
		if len(part) < n {
			return nil, false, nil
		}
		b = b[recordHeader+n:]
	}
	return nil, false, nil
}

// parseHello reads the body of a ClientHello and returns its server name.
func parseHello(b []byte) (string, error) {
	const (
		versionAndRandom = 2 + 32
		extServerName    = 0
		extECH           = 0xfe0d // RFC 9849
		extESNI          = 0xffce // its predecessor
	)
	r := reader{b: b}
	r.skip(versionAndRandom)
	r.vector8()  // legacy_session_id
	r.vector16() // cipher_suites
	r.vector8()  // legacy_compression_methods
	if !r.bad && len(r.b) == 0 {
		return "", nil // TLS 1.2 without extensions
	}
	extensions := reader{b: r.vector16()}
	if r.bad || len(r.b) > 0 {
		return "", errNoTLS
	}
	name, seen := "", map[uint16]bool{}
	for len(extensions.b) > 0 {
		id := extensions.uint16()
		body := extensions.vector16()
		if extensions.bad || seen[id] {
			return "", errNoTLS // RFC 8446, section 4.2: one of each
		}
		seen[id] = true
		switch id {
		case extServerName:
			var err error
			if name, err = parseServerName(body); err != nil {
				return "", err
			}
		case extECH, extESNI:
			return "", refuse(HiddenName, "an encrypted ClientHello hides which server is asked for")
		}
	}
	return name, nil
}

// parseServerName reads RFC 6066, section 3: a list that holds one host name.
func parseServerName(b []byte) (string, error) {
	r := reader{b: b}
	list := reader{b: r.vector16()}
	kind := list.uint8()
	name, ok := hostName(string(list.vector16()))
	if r.bad || list.bad || len(r.b) > 0 || len(list.b) > 0 || kind != 0 || !ok {
		return "", errNoTLS
	}
	return name, nil
}

// reader reads the vectors of TLS (RFC 8446, section 3.4). After it has run out
// everything is empty and bad is true.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) skip(n int) []byte {
	if r.bad || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) uint8() int {
	if s := r.skip(1); s != nil {
		return int(s[0])
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if s := r.skip(2); s != nil {
		return binary.BigEndian.Uint16(s)
	}
	return 0
}

func (r *reader) vector8() []byte  { return r.skip(r.uint8()) }
func (r *reader) vector16() []byte { return r.skip(int(r.uint16())) }
