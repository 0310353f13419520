package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
)

// extensions reads the list of extensions and those in it that have a meaning to
// crypto/x509, in the form that the vendors' have. Any other form or extension of
// RFC 5280 is odd; what remains nobody but the caller understands.
func (r *reader) extensions(list []byte, c *x509.Certificate) {
	n := 0
	for rest := list; len(rest) != 0; n++ {
		r.take(&rest, tagSequence)
	}
	if r.want(0 < n && n <= maxExtensions); r.odd {
		return
	}
	c.Extensions = make([]pkix.Extension, 0, n)
	arcs := make([]int, 0, 12*n) // of all identifiers, one behind the other
	for len(list) != 0 {
		var x pkix.Extension
		x, arcs = r.extension(r.take(&list, tagSequence), arcs)
		for i := range c.Extensions {
			r.want(!slices.Equal(c.Extensions[i].Id, x.Id))
		}
		c.Extensions = append(c.Extensions, x)
		r.interpret(x, c)
	}
}

// extension reads one (RFC 5280, 4.1). Its identifier is appended to arcs.
func (r *reader) extension(b []byte, arcs []int) (x pkix.Extension, _ []int) {
	from := len(arcs)
	arcs = r.identifier(r.take(&b, asn1.TagOID), arcs)
	x.Id = arcs[from:len(arcs):len(arcs)]
	x.Critical = r.boolean(&b)
	x.Value = r.whole(b, asn1.TagOctetString)
	return x, arcs
}

// identifier appends the arcs of an OBJECT IDENTIFIER (X.690, 8.19).
func (r *reader) identifier(b []byte, arcs []int) []int {
	arc, size, first := 0, 0, true
	for _, v := range b {
		arc, size = arc<<7|int(v&0x7f), size+1
		r.want(size <= 4 && (size > 1 || v != 0x80))
		if v >= 0x80 {
			continue
		}
		if first {
			root := min(arc/40, 2)
			arcs = append(arcs, root)
			arc, first = arc-40*root, false
		}
		arcs, arc, size = append(arcs, arc), 0, 0
	}
	r.want(!first && size == 0)
	return arcs
}

// interpret sets what an extension says.
func (r *reader) interpret(x pkix.Extension, c *x509.Certificate) {
	meant := false
	switch {
	case len(x.Id) == 4 && x.Id[0] == 2 && x.Id[1] == 5 && x.Id[2] == 29:
		meant = r.standard(x, c)
	case len(x.Id) == 9 && x.Id[:8].Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1}): // 4.2.2
		meant = true
		r.want(x.Id[8] == 1 && !x.Critical)
		r.informationAccess(r.whole(x.Value, tagSequence))
	}
	if x.Critical && !meant {
		c.UnhandledCriticalExtensions = append(c.UnhandledCriticalExtensions, x.Id)
	}
}

// standard reads one of RFC 5280's (4.2.1) and reports whether it means anything
// to crypto/x509.
func (r *reader) standard(x pkix.Extension, c *x509.Certificate) bool {
	switch x.Id[3] {
	case 14: // 4.2.1.2
		r.want(!x.Critical)
		c.SubjectKeyId = r.whole(x.Value, asn1.TagOctetString)
	case 15: // 4.2.1.3
		c.KeyUsage = r.keyUsage(r.whole(x.Value, asn1.TagBitString))
	case 17: // 4.2.1.6
		for names := r.whole(x.Value, tagSequence); len(names) != 0; {
			r.take(&names, tagOtherName)
		}
		return false
	case 19: // 4.2.1.9
		r.basicConstraints(r.whole(x.Value, tagSequence), c)
	case 31: // 4.2.1.13
		r.distributionPoints(r.whole(x.Value, tagSequence))
	case 35: // 4.2.1.1
		r.want(!x.Critical)
		c.AuthorityKeyId = r.whole(r.whole(x.Value, tagSequence), tagKeyIdentifier)
	case 37: // 4.2.1.12
		r.want(string(x.Value) == ocspSigning)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	default:
		r.odd = true
	}
	return true
}

const (
	tagOtherName     = 0xa0 // of GeneralName
	tagURI           = 0x86
	tagKeyIdentifier = 0x80 // of AuthorityKeyIdentifier
	tagPointName     = 0xa0 // of DistributionPoint
	tagFullName      = 0xa0 // of DistributionPointName
	ocspSigning      = "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x09"
)

// keyUsage reads a BIT STRING of one or two bytes, whose first byte counts the
// bits that are not in use and have to be zero. Bits count from the top, usages
// from the bottom.
func (r *reader) keyUsage(b []byte) (usage x509.KeyUsage) {
	if len(b) < 2 || len(b) > 3 || b[0] > 7 {
		r.odd = true
		return 0
	}
	r.want(b[len(b)-1]&(1<<b[0]-1) == 0)
	for i := range 9 {
		if at := 1 + i/8; at < len(b) && b[at]&(0x80>>(i%8)) != 0 {
			usage |= 1 << i
		}
	}
	return usage
}

func (r *reader) basicConstraints(b []byte, c *x509.Certificate) {
	c.BasicConstraintsValid, c.IsCA, c.MaxPathLen = true, r.boolean(&b), -1
	if len(b) != 0 {
		n := r.whole(b, asn1.TagInteger)
		if r.want(len(n) == 1 && n[0] < 0x80); !r.odd {
			c.MaxPathLen = int(n[0])
		}
	}
	c.MaxPathLenZero = c.MaxPathLen == 0
}

// distributionPoints and informationAccess want addresses and nothing else. Where
// to ask for a CRL or for the issuer is no business of this side: they are not
// kept.
func (r *reader) distributionPoints(list []byte) {
	for len(list) != 0 {
		names := r.whole(r.whole(r.take(&list, tagSequence), tagPointName), tagFullName)
		for len(names) != 0 {
			r.take(&names, tagURI)
		}
	}
}

func (r *reader) informationAccess(list []byte) {
	for len(list) != 0 {
		description := r.take(&list, tagSequence)
		r.identifier(r.take(&description, asn1.TagOID), nil)
		r.whole(description, tagURI)
	}
}
