package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	for _, seed := range []string{"snp/genoa-v5-oak.vek.der"} {
		der, err := os.ReadFile(filepath.Join("../../../vectors", seed))
		if err != nil {
			b.Fatal(err)
		}
		for name, parse := range map[string]func([]byte) (*x509.Certificate, error){"ours": ParseCertificate, "crypto-x509": x509.ParseCertificate} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := parse(der); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
