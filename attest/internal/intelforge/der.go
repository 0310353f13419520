package intelforge

import (
	"encoding/asn1"
	"encoding/binary"
	"time"
)

// DER tags (X.690, 8.1.2) of what is written by hand.
const (
	tagBoolean         = 0x01
	tagInteger         = 0x02
	tagBitString       = 0x03
	tagOctetString     = 0x04
	tagEnumerated      = 0x0a
	tagUTF8String      = 0x0c
	tagPrintableString = 0x13
	tagUTCTime         = 0x17
	tagGeneralizedTime = 0x18
	tagSequence        = 0x30
	tagSet             = 0x31
)

// DER returns tag, length and the parts. It can write nothing that fails, and
// lets a caller choose a tag that encoding/asn1 would not.
func DER(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := append(make([]byte, 0, n+4), tag)
	switch {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = binary.BigEndian.AppendUint16(append(out, 0x82), uint16(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Sequence returns a SEQUENCE of the parts.
func Sequence(parts ...[]byte) []byte { return DER(tagSequence, parts...) }

// Octets returns an OCTET STRING.
func Octets(b []byte) []byte { return DER(tagOctetString, b) }

// Integer returns the INTEGER of a magnitude, big-endian.
func Integer(magnitude ...byte) []byte {
	for len(magnitude) > 1 && magnitude[0] == 0 {
		magnitude = magnitude[1:]
	}
	if len(magnitude) == 0 {
		magnitude = []byte{0}
	}
	if magnitude[0] >= 0x80 {
		return DER(tagInteger, []byte{0}, magnitude)
	}
	return DER(tagInteger, magnitude)
}

// Enumerated returns an ENUMERATED of one byte.
func Enumerated(n byte) []byte { return DER(tagEnumerated, []byte{n}) }

// Boolean returns a BOOLEAN.
func Boolean(b bool) []byte {
	if b {
		return DER(tagBoolean, []byte{0xff})
	}
	return DER(tagBoolean, []byte{0})
}

// OID returns an OBJECT IDENTIFIER, an empty one if the arcs are impossible.
func OID(arcs ...int) []byte {
	out, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		return []byte{asn1.TagOID, 0}
	}
	return out
}

func bitString(b []byte) []byte { return DER(tagBitString, []byte{0}, b) }

// when returns a Time as certificates hold it (RFC 5280, 4.1.2.5).
func when(t time.Time) []byte {
	t = t.UTC()
	if t.Year() < 2050 {
		return DER(tagUTCTime, []byte(t.Format("060102150405Z")))
	}
	return DER(tagGeneralizedTime, []byte(t.Format("20060102150405Z")))
}
