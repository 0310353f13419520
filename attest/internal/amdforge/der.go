package amdforge

import "encoding/binary"

// DER tags (X.690, 8.1.2) of what is written by hand.
const (
	tagInteger         = 0x02
	tagOID             = 0x06
	tagUTF8String      = 0x0c
	tagPrintableString = 0x13
	tagIA5String       = 0x16
	tagSequence        = 0x30
	tagSet             = 0x31
)

// der returns tag, length and the parts. It can write nothing that fails, and
// lets a caller choose a tag that encoding/asn1 would not.
func der(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = binary.BigEndian.AppendUint16(append(out, 0x82), uint16(n))
	}
	return append(out, content...)
}

// Integer returns the DER INTEGER of a small number, the value of a security
// patch level's extension.
func Integer(n uint8) []byte {
	if n >= 0x80 {
		return der(tagInteger, []byte{0, n})
	}
	return der(tagInteger, []byte{n})
}

// IA5 returns the DER IA5String of s, the value of the product name's and the
// provider's extension.
func IA5(s string) []byte { return der(tagIA5String, []byte(s)) }
