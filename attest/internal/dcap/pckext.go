package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// oidSGX is 1.2.840.113741.1.13.1, below which all of Intel's extensions are
// (PCK Certificate and CRL Profile, 1.3.5), as the content of a DER object
// identifier.
var oidSGX = []byte{0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01}

// extensionSGX is the same as crypto/x509 shows it.
var extensionSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// Arcs below it.
const (
	arcPPID          = 1
	arcTCB           = 2
	arcPCEID         = 3
	arcFMSPC         = 4
	arcSGXType       = 5
	arcPlatformID    = 6
	arcConfiguration = 7

	arcTCBPCESVN = 17
	arcTCBCPUSVN = 18
)

// DER tags (X.690, 8.1.2).
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
)

// cursor reads DER values one after another. Only the definite, shortest form of
// a length is DER.
type cursor []byte

var errDER = errors.New("not DER")

// next returns tag and content of the value at the front.
func (c *cursor) next() (tag byte, content []byte, err error) {
	b := *c
	if len(b) < 2 {
		return 0, nil, errDER
	}
	n, head := int(b[1]), 2
	switch {
	case n == 0x81 && len(b) >= 3 && b[2] >= 0x80:
		n, head = int(b[2]), 3
	case n == 0x82 && len(b) >= 4 && b[2] != 0:
		n, head = int(b[2])<<8|int(b[3]), 4
	case n >= 0x80:
		return 0, nil, errDER
	}
	if n > len(b)-head {
		return 0, nil, errDER
	}
	*c = b[head+n:]
	return b[0], b[head : head+n], nil
}

// want returns the content of the value at the front if it has that tag.
func (c *cursor) want(tag byte) ([]byte, error) {
	got, content, err := c.next()
	if err == nil && got != tag {
		err = fmt.Errorf("DER tag %#02x, expected %#02x", got, tag)
	}
	return content, err
}

// pair reads one of Intel's extensions: a sequence of its identifier, which must
// be one arc below parent, and a value. It returns the arc.
func (c *cursor) pair(parent []byte) (arc int, value cursor, err error) {
	seq, err := c.want(tagSequence)
	if err != nil {
		return 0, nil, err
	}
	value = seq
	id, err := value.want(tagOID)
	if err != nil {
		return 0, nil, err
	}
	if len(id) != len(parent)+1 || !bytes.Equal(id[:len(parent)], parent) {
		return 0, nil, fmt.Errorf("identifier %x is not understood", id)
	}
	return int(id[len(parent)]), value, nil
}

// each calls read for every extension of a sequence and refuses an arc that
// comes twice; read refuses those that it does not know. The value must be used
// up.
func (c cursor) each(parent []byte, read func(arc int, value *cursor) error) (seen uint32, err error) {
	for len(c) != 0 {
		arc, value, err := c.pair(parent)
		if err != nil {
			return 0, err
		}
		if seen&(1<<arc) != 0 {
			return 0, fmt.Errorf("extension %d under %x given twice", arc, parent)
		}
		seen |= 1 << arc
		if err := read(arc, &value); err != nil {
			return 0, fmt.Errorf("extension %d under %x: %w", arc, parent, err)
		}
		if len(value) != 0 {
			return 0, fmt.Errorf("extension %d under %x: %d bytes after the value", arc, parent, len(value))
		}
	}
	return seen, nil
}

// octets reads an OCTET STRING of exactly the length of dst.
func (c *cursor) octets(dst []byte) error {
	b, err := c.want(tagOctetString)
	if err == nil && len(b) != len(dst) {
		err = fmt.Errorf("%d bytes, expected %d", len(b), len(dst))
	}
	copy(dst, b)
	return err
}

// number reads an INTEGER or ENUMERATED from 0 to most.
func (c *cursor) number(tag byte, most int) (int, error) {
	b, err := c.want(tag)
	if err != nil {
		return 0, err
	}
	if len(b) == 0 || len(b) > 3 || b[0] >= 0x80 || len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
		return 0, fmt.Errorf("number %x, expected 0 to %d", b, most)
	}
	n := 0
	for _, x := range b {
		n = n<<8 | int(x)
	}
	if n > most {
		return 0, fmt.Errorf("number %d, expected 0 to %d", n, most)
	}
	return n, nil
}

func (c *cursor) boolean() (*bool, error) {
	b, err := c.want(tagBoolean)
	if err == nil && (len(b) != 1 || b[0] != 0 && b[0] != 0xff) {
		err = fmt.Errorf("boolean %x, expected 00 or ff", b)
	}
	if err != nil {
		return nil, err
	}
	v := b[0] != 0
	return &v, nil
}

// bits returns the set of the arcs from first to last.
func bits(first, last int) (set uint32) {
	for i := first; i <= last; i++ {
		set |= 1 << i
	}
	return set
}

// readPCK reads what Intel certifies about a processor package.
func readPCK(cert *x509.Certificate) (*PCK, error) {
	for _, x := range cert.Extensions {
		if x.Id.Equal(extensionSGX) {
			return ParsePCKExtension(x.Value) // crypto/x509 lets no extension come twice
		}
	}
	return nil, errors.New("no SGX extension")
}

// ParsePCKExtension reads the value of the SGX extension of a PCK certificate.
// Every member must be there once, in any order; those of the platform both or
// neither; and nothing else, since it might restrict what the key is good for.
func ParsePCKExtension(value []byte) (*PCK, error) {
	outer := cursor(value)
	seq, err := outer.want(tagSequence)
	if err != nil || len(outer) != 0 {
		return nil, errors.New("SGX extension is not one sequence")
	}
	p := &PCK{}
	seen, err := cursor(seq).each(oidSGX, p.readMember)
	if err == nil {
		err = checkMembers(seen)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// checkMembers establishes that all that must be there is there.
func checkMembers(seen uint32) error {
	required, platform := bits(arcPPID, arcSGXType), bits(arcPlatformID, arcConfiguration)
	if seen&required != required {
		return fmt.Errorf("members %#b of the SGX extension, expected at least %#b", seen, required)
	}
	if has := seen & platform; has != 0 && has != platform {
		return errors.New("platform id without configuration or reverse")
	}
	return nil
}

func (p *PCK) readMember(arc int, value *cursor) (err error) {
	switch arc {
	case arcPPID:
		return value.octets(p.PPID[:])
	case arcTCB:
		return p.readTCB(value)
	case arcPCEID:
		return value.octets(p.PCEID[:])
	case arcFMSPC:
		return value.octets(p.FMSPC[:])
	case arcSGXType:
		n, err := value.number(tagEnumerated, int(SGXScalableIntegrity))
		p.SGXType = SGXType(n)
		return err
	case arcPlatformID:
		p.PlatformID = new([16]byte)
		return value.octets(p.PlatformID[:])
	case arcConfiguration:
		return p.readConfiguration(value)
	}
	return errors.New("not understood")
}

// readTCB reads the patch level that the key was derived for.
func (p *PCK) readTCB(value *cursor) error {
	seq, err := value.want(tagSequence)
	if err != nil {
		return err
	}
	seen, err := cursor(seq).each(append(oidSGX[:len(oidSGX):len(oidSGX)], arcTCB), func(arc int, v *cursor) (err error) {
		n := 0
		switch {
		case arc >= 1 && arc <= len(p.Components):
			n, err = v.number(tagInteger, 0xff)
			p.Components[arc-1] = uint8(n)
		case arc == arcTCBPCESVN:
			n, err = v.number(tagInteger, 0xffff)
			p.PCESVN = uint16(n)
		case arc == arcTCBCPUSVN:
			err = v.octets(p.CPUSVN[:])
		default:
			err = errors.New("not understood")
		}
		return err
	})
	if want := bits(1, arcTCBCPUSVN); err == nil && seen != want {
		err = fmt.Errorf("members %#b of the TCB, expected %#b", seen, want)
	}
	return err
}

// readConfiguration reads the owner's choices, each of which may be left out.
func (p *PCK) readConfiguration(value *cursor) error {
	seq, err := value.want(tagSequence)
	if err != nil {
		return err
	}
	p.Configuration = &Configuration{}
	_, err = cursor(seq).each(append(oidSGX[:len(oidSGX):len(oidSGX)], arcConfiguration), func(arc int, v *cursor) (err error) {
		switch arc {
		case 1:
			p.Configuration.DynamicPlatform, err = v.boolean()
		case 2:
			p.Configuration.CachedKeys, err = v.boolean()
		case 3:
			p.Configuration.SMTEnabled, err = v.boolean()
		default:
			err = errors.New("not understood")
		}
		return err
	})
	return err
}
