package pki

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var mutants = flag.Int("mutants", 3000, "how many changed certificates are shown to both readers")

// known is what ParseCertificate promises of a certificate that crypto/x509 read.
func known(c *x509.Certificate) *x509.Certificate {
	out := *c
	out.Issuer, out.Subject = pkix.Name{CommonName: c.Issuer.CommonName}, pkix.Name{CommonName: c.Subject.CommonName}
	out.CRLDistributionPoints, out.OCSPServer, out.IssuingCertificateURL = nil, nil, nil
	return &out
}

// agree holds the rule of docs/rfc/005: what readCertificate accepts crypto/x509
// accepts, with the same meaning. It reports whether readCertificate did.
func agree(t testing.TB, der []byte) bool {
	t.Helper()
	ours := readCertificate(bytes.Clone(der))
	if ours == nil {
		return false
	}
	theirs, err := x509.ParseCertificate(der)
	if err != nil {
		t.Errorf("accepted what crypto/x509 refuses: %v\n%x", err, der)
		return true
	}
	if want := known(theirs); !reflect.DeepEqual(ours, want) {
		t.Errorf("read\n%+v\ncrypto/x509 reads\n%+v\nin %x", ours, want, der)
	}
	return true
}

// harvest collects every certificate in data: bare, in base64 or in PEM, also in
// members of JSON.
func harvest(data []byte, depth int, found map[[32]byte][]byte) {
	for i := 0; i+8 < len(data); i++ {
		if data[i] != 0x30 || data[i+1] != 0x82 || data[i+4] != 0x30 || data[i+5] != 0x82 {
			continue
		}
		size := 4 + int(data[i+2])<<8 + int(data[i+3])
		if size > min(len(data)-i, MaxCertificate) {
			continue
		}
		der := data[i : i+size]
		sum := sha256.Sum256(der)
		if _, has := found[sum]; has {
			continue
		}
		if _, err := x509.ParseCertificate(der); err == nil {
			found[sum] = bytes.Clone(der)
		}
	}
	if depth > 0 {
		for _, text := range base64Runs(data) {
			inner := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
			if n, err := base64.RawStdEncoding.Decode(inner, text); err == nil {
				harvest(inner[:n], depth-1, found)
			}
		}
	}
}

// base64Runs returns all long runs of base64, without line breaks, bare ones and
// those of JSON, and without padding.
func base64Runs(data []byte) (runs [][]byte) {
	var run []byte
	for i := 0; i <= len(data); i++ {
		switch {
		case i < len(data) && alphabet[data[i]]:
			run = append(run, data[i])
		case i < len(data) && (data[i] == '\n' || data[i] == '\r'):
		case i+1 < len(data) && data[i] == '\\' && (data[i+1] == 'n' || data[i+1] == 'r'):
			i++
		default:
			if len(run) > 400 {
				runs = append(runs, run)
			}
			run = nil
		}
	}
	return runs
}

var alphabet = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		set[c] = true
	}
	return set
}()

// collected returns the certificates in the vectors, in real captures and in
// the roots that are compiled in, always in one order.
func collected(t testing.TB) [][]byte {
	t.Helper()
	found := map[[32]byte][]byte{}
	for _, root := range []string{"../../../vectors", "../../../attest"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) == ".go" {
				return err
			}
			data, err := os.ReadFile(path)
			if err == nil {
				harvest(data, 3, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.SortedFunc(maps.Values(found), bytes.Compare)
}

// TestCertificateAgrees: on every certificate of real vendors and of imitated ones.
func TestCertificateAgrees(t *testing.T) {
	all, odd := collected(t), 0
	for _, der := range all {
		if !agree(t, der) {
			odd++
		}
	}
	// A key on P-224, and UEFI's certificates, which name their issuers twice.
	if len(all) < 1000 || odd > 8 {
		t.Errorf("of %d certificates, %d are left to crypto/x509", len(all), odd)
	}
}

// TestMutantsAgree: on certificates that were changed, in single bytes and in
// their structure. There are enough that both accept.
func TestMutantsAgree(t *testing.T) {
	seeds, r, accepted := samples(t), rand.New(rand.NewPCG(1, 2)), 0
	for range *mutants {
		if agree(t, mutant(r, seeds[r.IntN(len(seeds))])) {
			accepted++
		}
	}
	t.Logf("%d of %d accepted", accepted, *mutants)
	if accepted < *mutants/10 || accepted > *mutants*9/10 {
		t.Errorf("%d of %d mutants accepted: they are all of one sort", accepted, *mutants)
	}
}

// samples are few certificates with much variety.
func samples(t testing.TB) (out [][]byte) {
	t.Helper()
	forms := map[string]bool{}
	for _, der := range collected(t) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		form := fmt.Sprint(c.SignatureAlgorithm, c.PublicKeyAlgorithm, len(c.RawIssuer), c.KeyUsage, c.MaxPathLen)
		for _, x := range c.Extensions {
			form += x.Id.String()
		}
		if !forms[form] {
			forms[form] = true
			out = append(out, der)
		}
	}
	return out
}

// element is DER taken apart: children for what is constructed, and for the
// OCTET STRINGs and BIT STRINGs that hold DER.
type element struct {
	tag      byte
	prefix   []byte // of a BIT STRING that holds DER: the count of bits not in use
	value    []byte
	children []*element
}

// takeApart returns nil if b is not a list of elements.
func takeApart(b []byte) []*element {
	var list []*element
	for len(b) != 0 {
		var raw asn1.RawValue
		rest, err := asn1.Unmarshal(b, &raw)
		if err != nil {
			return nil
		}
		e := &element{tag: b[0], value: raw.Bytes}
		switch {
		case raw.IsCompound || e.tag == asn1.TagOctetString:
			e.children = takeApart(raw.Bytes)
		case e.tag == asn1.TagBitString && len(raw.Bytes) > 1:
			if e.children = takeApart(raw.Bytes[1:]); e.children != nil {
				e.prefix = raw.Bytes[:1]
			}
		}
		list, b = append(list, e), rest
	}
	return list
}

// encode writes e with lengths that fit; long says to use a longer form than needed.
func (e *element) encode(r *rand.Rand, odds int) []byte {
	value := e.value
	if e.children != nil {
		value = bytes.Clone(e.prefix)
		for _, c := range e.children {
			value = append(value, c.encode(r, odds)...)
		}
	}
	out, n := []byte{e.tag}, len(value)
	form := 0
	if odds > 0 && r.IntN(odds) == 0 {
		form = r.IntN(3)
	}
	switch {
	case n < 0x80 && form == 0:
		out = append(out, byte(n))
	case n < 0x100 && form <= 1:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, value...)
}

// walk lists e and everything in it.
func (e *element) walk(list []*element) []*element {
	list = append(list, e)
	for _, c := range e.children {
		list = c.walk(list)
	}
	return list
}

// mutant changes up to three things in a certificate.
func mutant(r *rand.Rand, der []byte) []byte {
	if r.IntN(4) == 0 {
		return damaged(r, der)
	}
	cert := takeApart(der)[0]
	for range 1 + r.IntN(3) {
		all := cert.walk(nil)
		changeElement(r, all[r.IntN(len(all))], all[r.IntN(len(all))])
	}
	odds := 0
	if r.IntN(8) == 0 {
		odds = 20
	}
	return cert.encode(r, odds)
}

// changeElement changes e; other is one to take things from.
func changeElement(r *rand.Rand, e, other *element) {
	tags := []byte{1, 2, 3, 4, 5, 6, 12, 19, 22, 23, 24, 0x30, 0x31, 0x80, 0x86, 0xa0, 0xa1, 0xa3, 0x1f}
	switch n := len(e.children); {
	case n == 0 && r.IntN(10) == 0, r.IntN(30) == 0:
		e.tag = tags[r.IntN(len(tags))]
	case n == 0 && r.IntN(4) == 0:
		e.value = bytes.Clone(other.value)
	case n == 0:
		e.value = damaged(r, e.value)
	default:
		i, j := r.IntN(n), r.IntN(n)
		switch r.IntN(5) {
		case 0:
			e.children = slices.Delete(slices.Clone(e.children), i, i+1)
		case 1:
			e.children = slices.Insert(slices.Clone(e.children), i, e.children[j])
		case 2:
			e.children = slices.Insert(slices.Clone(e.children), i, &element{tag: tags[r.IntN(len(tags))], value: damaged(r, other.value[:min(len(other.value), 4)])})
		case 3:
			e.children[i], e.children[j] = e.children[j], e.children[i]
		default:
			e.children[i] = &element{tag: e.children[i].tag, value: damaged(r, e.children[i].value)}
		}
	}
}

// damaged returns b with a byte changed, added or taken away.
func damaged(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return []byte{byte(r.Uint32())}
	}
	b = bytes.Clone(b)
	i := r.IntN(len(b))
	switch r.IntN(8) {
	case 0:
		return slices.Delete(b, i, i+1)
	case 1:
		return slices.Insert(b, i, byte(r.Uint32()))
	case 2:
		b[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
	case 3:
		b[i]++
	case 4:
		b[i]--
	default:
		b[i] ^= 1 << r.IntN(8)
	}
	return b
}

// versatile returns a certificate with everything that readCertificate knows,
// taken apart. Where it passes over bytes, these are no DER.
func versatile(t testing.TB) *element {
	t.Helper()
	template := ca("versatile")
	template.Subject.Organization = []string{"Ünïts"} // makes it a UTF8String
	template.MaxPathLen, template.SubjectKeyId = 3, []byte{1, 2, 3}
	template.CRLDistributionPoints, template.IssuingCertificateURL = []string{"http://a/", "http://b/"}, []string{"http://c/"}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	template.ExtraExtensions = []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: []byte("\x30\x03\xa0\x01\xff")},
		{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{0xff}},
	}
	return takeApart(issue(t, template, key(t, elliptic.P384()), newTree(t, nil).root).cert.Raw)[0]
}

// at returns the part of e at a place.
func (e *element) at(place ...int) *element {
	for _, i := range place {
		e = e.children[i]
	}
	return e
}

// extension returns the element of the extension 2.5.29.n, or nil.
func (e *element) extension(n byte) *element {
	for _, x := range e.at(0, 7, 0).children {
		if bytes.Equal(x.at(0).value, []byte{0x55, 29, n}) {
			return x
		}
	}
	return nil
}

// informationAccess returns the element of that extension, or nil.
func (e *element) informationAccess() *element {
	for _, x := range e.at(0, 7, 0).children {
		if bytes.Equal(x.at(0).value, []byte("\x2b\x06\x01\x05\x05\x07\x01\x01")) {
			return x
		}
	}
	return nil
}

// TestCertificateOfEveryPart: the certificate that the following tests break.
func TestCertificateOfEveryPart(t *testing.T) {
	der := versatile(t).encode(nil, 0)
	if !agree(t, der) {
		t.Fatal("odd")
	}
	shared := bytes.Clone(der)
	cert, err := ParseCertificate(shared)
	if err != nil {
		t.Fatal(err)
	}
	clear(shared)
	if want, err := x509.ParseCertificate(der); err != nil || !reflect.DeepEqual(cert, known(want)) {
		t.Errorf("the certificate shares the caller's memory, or %v", err)
	}
}

// TestNothingBehind: no list and no field of a certificate may be followed by
// something that nobody asked for, though crypto/x509 passes over it.
func TestNothingBehind(t *testing.T) {
	signature, tried := versatile(t).at(2).walk(nil), 0
	for i := range len(versatile(t).walk(nil)) - len(signature) {
		cert := versatile(t)
		e := cert.walk(nil)[i]
		if e.children == nil {
			continue
		}
		tried++
		e.children = append(e.children, &element{tag: asn1.TagNull})
		if readCertificate(cert.encode(nil, 0)) != nil {
			t.Errorf("accepted with NULL behind the last part of element %d, tag %#x", i, e.tag)
		}
	}
	if tried < 40 {
		t.Errorf("%d places tried", tried)
	}
}

// TestOddCertificates: what is left to crypto/x509, each alone.
func TestOddCertificates(t *testing.T) {
	utc := func(s string) func(*element) { return func(c *element) { c.at(0, 4, 0).value = []byte(s) } }
	general := func(s string) func(*element) {
		return func(c *element) { *c.at(0, 4, 0) = element{tag: asn1.TagGeneralizedTime, value: []byte(s)} }
	}
	extension := func(n byte, value string) func(*element) {
		return func(c *element) {
			x := c.extension(n)
			*x.children[len(x.children)-1] = element{tag: 4, value: []byte(value)}
		}
	}
	critical := func(x *element) {
		x.children = []*element{x.at(0), {tag: 1, value: []byte{0xff}}, x.at(len(x.children) - 1)}
	}
	for name, edit := range map[string]func(*element){
		"version 2":                     func(c *element) { c.at(0, 0, 0).value = []byte{1} },
		"version 4":                     func(c *element) { c.at(0, 0, 0).value = []byte{3} },
		"no serial number":              func(c *element) { c.at(0, 1).value = nil },
		"negative serial number":        func(c *element) { c.at(0, 1).value = []byte{0x80} },
		"zero before the serial number": func(c *element) { c.at(0, 1).value = []byte{0, 0x7f} },
		"algorithms that differ":        func(c *element) { c.at(1, 0).value = []byte("\x2a\x86\x48\xce\x3d\x04\x03\x03") },
		"another algorithm":             func(c *element) { c.at(0, 2, 0).value[7], c.at(1, 0).value[7] = 1, 1 },
		"another attribute":             func(c *element) { c.at(0, 5, 0, 0, 0).value = []byte("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19") },
		"a long attribute":              func(c *element) { c.at(0, 5, 0, 0, 0).value = []byte{0x55, 4, 0x81, 1} },
		"half an attribute":             func(c *element) { c.at(0, 5, 0, 0, 0).value = []byte{0x55, 4, 0x83} },
		"another arc":                   func(c *element) { c.at(0, 5, 0, 0, 0).value = []byte{0x55, 29, 3} },
		"another root arc":              func(c *element) { c.at(0, 5, 0, 0, 0).value = []byte{0x2a, 4, 3} },
		"an IA5String":                  func(c *element) { c.at(0, 5, 0, 0, 1).tag = asn1.TagIA5String },
		"a character not printable":     func(c *element) { *c.at(0, 5, 0, 0, 1) = element{tag: 19, value: []byte("a_b")} },
		"no UTF-8":                      func(c *element) { *c.at(0, 5, 0, 0, 1) = element{tag: 12, value: []byte{0xff}} },
		"no seconds":                    utc("2606151200Z"),
		"another zone":                  utc("260615120000+"),
		"hours off":                     utc("260615120000+0100"),
		"no digit":                      utc("26061512000:Z"),
		"no digit before":               utc("/60615120000Z"),
		"month 0":                       utc("260015120000Z"),
		"month 13":                      utc("261315120000Z"),
		"day 0":                         utc("260600120000Z"),
		"31 June":                       utc("260631120000Z"),
		"29 February 2026":              utc("260229120000Z"),
		"hour 24":                       utc("260615240000Z"),
		"minute 60":                     utc("260615126000Z"),
		"second 60":                     utc("260615120060Z"),
		"fractions":                     general("20260615120000.5Z"),
		"no century":                    general("2"),
		"a century of letters":          general("xx260615120000Z"),
		"no time":                       func(c *element) { c.at(0, 4, 0).tag = asn1.TagUTF8String },
		"a key of another kind":         func(c *element) { c.at(0, 6, 0, 0).value = []byte{0x2b, 0x65, 0x70} },
		"another curve":                 func(c *element) { c.at(0, 6, 0, 1).value = []byte{0x2b, 0x81, 4, 0, 33} },
		"a point not on the curve":      func(c *element) { c.at(0, 6, 1).value[20] ^= 1 },
		"bits not in use in the key":    func(c *element) { c.at(0, 6, 1).value[0] = 1 },
		"no bits in the signature":      func(c *element) { *c.at(2) = element{tag: 3} },
		"bits not in use at the end":    func(c *element) { *c.at(2) = element{tag: 3, value: []byte{1, 2}} },
		"no extensions":                 func(c *element) { c.at(0).children = c.at(0).children[:7] },
		"an empty list of extensions":   func(c *element) { *c.at(0, 7, 0) = element{tag: 0x30} },
		"an extension twice":            func(c *element) { l := c.at(0, 7, 0); l.children = append(l.children, l.at(0)) },
		"a length of three bytes": func(c *element) { // which would be 131 if it were one of one
			*c.extension(15) = element{tag: 0x30, value: append([]byte("\x06\x02\x2a\x09\x04\x83"), make([]byte, 131)...)}
		},
		"no identifier":                   func(c *element) { c.extension(15).at(0).value = nil },
		"half an identifier":              func(c *element) { c.extension(15).at(0).value = []byte{0x55, 29, 0x81} },
		"an identifier with padding":      func(c *element) { c.extension(15).at(0).value = []byte{0x55, 0x80, 29} },
		"an arc of five bytes":            func(c *element) { c.extension(15).at(0).value = []byte{0x2a, 0x81, 0x80, 0x80, 0x80, 0} },
		"FALSE written out":               func(c *element) { c.extension(15).at(1).value = []byte{0} },
		"a value of two bits":             func(c *element) { c.extension(15).at(1).value = []byte{0xff, 0xff} },
		"critical key identifier":         func(c *element) { critical(c.extension(14)) },
		"critical authority identifier":   func(c *element) { critical(c.extension(35)) },
		"critical information access":     func(c *element) { critical(c.informationAccess()) },
		"another access":                  func(c *element) { c.informationAccess().at(0).value[7] = 11 },
		"no key usage":                    extension(15, "\x03\x01\x00"),
		"three bytes of key usage":        extension(15, "\x03\x04\x00\x01\x01\x01"),
		"eight bits not in use":           extension(15, "\x03\x02\x08\x00"),
		"a bit that is not in use":        extension(15, "\x03\x02\x02\x02"),
		"path length of two bytes":        extension(19, "\x30\x07\x01\x01\xff\x02\x02\x00\x80"),
		"negative path length":            extension(19, "\x30\x06\x01\x01\xff\x02\x01\x80"),
		"path length of no bytes":         extension(19, "\x30\x05\x01\x01\xff\x02\x00"),
		"another name":                    extension(17, "\x30\x03\x82\x01a"),
		"another usage":                   extension(37, "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"),
		"policies":                        func(c *element) { c.extension(15).at(0).value[2] = 32 },
		"one that RFC 5280 does not know": func(c *element) { c.extension(15).at(0).value[2] = 99 },
		"point with reasons":              extension(31, "\x30\x05\x30\x03\x81\x01\x00"),
		"point with a name of another":    extension(31, "\x30\x09\x30\x07\xa0\x05\xa0\x03\x82\x01a"),
		"issuer beside the identifier":    extension(35, "\x30\x05\x80\x01\x01\x82\x00"),
	} {
		cert := versatile(t)
		edit(cert)
		der := cert.encode(nil, 0)
		if agree(t, der) {
			t.Errorf("%s: not odd", name)
		}
		ours, err := ParseCertificate(der)
		theirs, want := x509.ParseCertificate(der)
		if (err == nil) != (want == nil) || err != nil && errors.Unwrap(err).Error() != want.Error() || !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s: %v, crypto/x509 says %v", name, err, want)
		}
	}
}

// TestTimes: UTCTime has two digits for the year, and leap years have a day more.
func TestTimes(t *testing.T) {
	for _, c := range []element{
		{tag: asn1.TagUTCTime, value: []byte("491231235959Z")}, {tag: asn1.TagUTCTime, value: []byte("500101000000Z")},
		{tag: asn1.TagUTCTime, value: []byte("240229000000Z")}, {tag: asn1.TagGeneralizedTime, value: []byte("20500101000000Z")},
		{tag: asn1.TagGeneralizedTime, value: []byte("99991231235959Z")}, {tag: asn1.TagGeneralizedTime, value: []byte("00010101000000Z")},
	} {
		cert := versatile(t)
		*cert.at(0, 4, 1) = c
		if !agree(t, cert.encode(nil, 0)) {
			t.Errorf("%s is odd", c.value)
		}
	}
}

// TestManyExtensions: the search for one that comes twice is bounded.
func TestManyExtensions(t *testing.T) {
	for n, read := range map[int]bool{maxExtensions: true, maxExtensions + 1: false} {
		cert := versatile(t)
		list := cert.at(0, 7, 0)
		for i := byte(0); len(list.children) < n; i++ {
			list.children = append(list.children, &element{tag: 0x30, children: []*element{{tag: 6, value: []byte{0x2a, 9, i}}, {tag: 4, value: []byte{0xff}}}})
		}
		if agree(t, cert.encode(nil, 0)) != read {
			t.Errorf("%d extensions: read is %t", n, !read)
		}
	}
}

// TestRSAKeys: the exponent and the sign of the modulus.
func TestRSAKeys(t *testing.T) {
	tr := newTree(t, nil)
	der := issue(t, leaf(), rsaKey(t, 2048), tr.mid).cert.Raw
	if !agree(t, der) {
		t.Fatal("odd")
	}
	for name, edit := range map[string]func(*element){
		"exponent 3":      func(c *element) { c.at(0, 6, 1, 0, 1).value = []byte{3} },
		"no modulus":      func(c *element) { c.at(0, 6, 1, 0, 0).value = []byte{0} },
		"negative":        func(c *element) { c.at(0, 6, 1, 0, 0).value = c.at(0, 6, 1, 0, 0).value[1:] },
		"something after": func(c *element) { n := c.at(0, 6, 1, 0); n.children = append(n.children, &element{tag: 5}) },
		"no parameters":   func(c *element) { a := c.at(0, 6, 0); a.children = a.children[:1] },
	} {
		cert := takeApart(der)[0]
		edit(cert)
		if agree(t, cert.encode(nil, 0)) {
			t.Errorf("%s: not odd", name)
		}
	}
}

// TestFieldsRead: no package reads a field of a certificate that ParseCertificate
// does not promise.
func TestFieldsRead(t *testing.T) {
	var left []string
	promised := reflect.ValueOf(*known(&x509.Certificate{}))
	text, err := os.ReadFile("parse.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, _ := bytes.Cut(text, []byte("func ParseCertificate"))
	for i := range promised.NumField() {
		if name := promised.Type().Field(i).Name; !regexp.MustCompile(`\b` + name + `\b`).Match(doc) {
			left = append(left, name)
		}
	}
	if len(left) < 20 {
		t.Fatalf("fields that are not promised: %v", left)
	}
	other := regexp.MustCompile(`\.(` + strings.Join(left, "|") + `)\b|(Subject|Issuer)\.([A-BD-Z]|Co[^m])`)
	err = filepath.WalkDir("../../../attest", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "forge") || strings.Contains(path, "attesttest") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("*x509.Certificate")) {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := other.FindString(line); m != "" && !strings.HasPrefix(strings.TrimSpace(line), "//") {
				t.Errorf("%s:%d reads %s", path, i+1, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// FuzzCertificate holds the rule of docs/rfc/005.
func FuzzCertificate(f *testing.F) {
	for _, der := range samples(f) {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		agree(t, der)
		cert, err := ParseCertificate(der)
		if (cert == nil) == (err == nil) {
			t.Errorf("certificate %v, error %v", cert, err)
		}
	})
}

// BenchmarkParseCertificate reads certificates of real vendors, beside crypto/x509.
func BenchmarkParseCertificate(b *testing.B) {
	for _, der := range vendors(b) {
		for _, c := range []struct {
			name  string
			parse func([]byte) (*x509.Certificate, error)
		}{{"ours", ParseCertificate}, {"crypto-x509", x509.ParseCertificate}} {
			b.Run(der.name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.parse(der.der); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

type vendor struct {
	name string
	der  []byte
}

// vendors returns a leaf of each vendor, from the captures of real machines.
func vendors(t testing.TB) (out []vendor) {
	t.Helper()
	for _, v := range []struct{ name, file, issuer string }{
		{"VCEK", "snp/genoa-v5-oak.vek.der", "SEV-Genoa"},
		{"PCK", "tdx/tdx_quote", "Intel SGX PCK Platform CA"},
		{"Nitro", "nitro/dstack-nsm-qvl.cose", ""},
		{"H100", "nvidia/hopper_evidence.json", "GH100 A01 GSP BROM"},
	} {
		data, err := os.ReadFile(filepath.Join("../../../vectors", v.file))
		if err != nil {
			t.Fatal(err)
		}
		found := map[[32]byte][]byte{}
		harvest(data, 3, found)
		for _, der := range slices.SortedFunc(maps.Values(found), bytes.Compare) {
			if c, err := x509.ParseCertificate(der); err == nil && !c.IsCA && (v.issuer == "" || c.Issuer.CommonName == v.issuer) {
				out = append(out, vendor{v.name, der})
				break
			}
		}
	}
	if len(out) != 4 {
		t.Fatalf("%d certificates", len(out))
	}
	return out
}

// TestParseAllocations holds the reader to its budget. crypto/x509 takes 138, 170,
// 86 and 119; half of ours are the key's.
func TestParseAllocations(t *testing.T) {
	for _, v := range vendors(t) {
		got := testing.AllocsPerRun(20, func() {
			if _, err := ParseCertificate(v.der); err != nil {
				t.Fatal(err)
			}
		})
		if got > 20 {
			t.Errorf("%s: %v allocations, budget 20", v.name, got)
		}
	}
}
