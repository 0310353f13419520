package amdforge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// captures were taken from real machines; vectors/snp says where they are from.
var captures = []struct {
	name string
	line Line
	vlek bool
}{
	{"milan-v2-trustee", Milan, false},
	{"milan-v3-azure-trustee", Milan, false},
	{"milan-v3-gce-oak", Milan, false},
	{"milan-v3-vlek-trustee", Milan, true},
	{"genoa-v3-azure-trustee", Genoa, false},
	{"genoa-v5-oak", Genoa, false},
	{"turin-v5-oak", Turin, false},
}

func capture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "vectors", "snp", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestReportOfRealMachine proves the table of offsets: every byte that a real
// machine wrote is in one of the fields, and nothing else is.
func TestReportOfRealMachine(t *testing.T) {
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			data := capture(t, c.name+".report.bin")
			r, err := DecodeReport(c.line, data)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Encode(); !bytes.Equal(got, data) {
				t.Errorf("encoded again at byte %#x: % x, real % x", firstDifference(got, data), got, data)
			}
		})
	}
}

// TestRealSignature proves the form of the signature and which bytes it is over.
func TestRealSignature(t *testing.T) {
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			data := capture(t, c.name+".report.bin")
			cert, err := x509.ParseCertificate(capture(t, c.name+".vek.der"))
			if err != nil {
				t.Fatal(err)
			}
			r, s, err := Signature(data)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha512.Sum384(data[:SignedSize])
			if !ecdsa.Verify(cert.PublicKey.(*ecdsa.PublicKey), sum[:], r, s) {
				t.Fatal("the machine's signature is not where we look")
			}
			again := slices.Clone(data)
			if err := PutSignature(again, r, s); err != nil || !bytes.Equal(again, data) {
				t.Errorf("the signature written again differs: %v", err)
			}
		})
	}
}

// TestCertificateOfRealMachine issues each real certificate again, from its
// values, and compares everything that is signed in it.
func TestCertificateOfRealMachine(t *testing.T) {
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			genuine, err := x509.ParseCertificate(capture(t, c.name+".vek.der"))
			if err != nil {
				t.Fatal(err)
			}
			chain := testChain(t, c.line)
			o := optionsOf(t, c.line, c.vlek, genuine)
			ca := chain.ASK
			if c.vlek {
				ca = chain.ASVK
			}
			ours, err := ca.CertifyVEK(o, genuine.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(ours)
			if err != nil {
				t.Fatal(err)
			}
			want := withoutTrailerField(genuine.RawTBSCertificate)
			if !bytes.Equal(cert.RawTBSCertificate, want) {
				t.Errorf("to be signed, at byte %#x\nours %x\nreal %x", firstDifference(cert.RawTBSCertificate, want), cert.RawTBSCertificate, want)
			}
		})
	}
}

// withoutTrailerField removes the default value that AMD spelled out in the
// parameters of its signatures until 2023, against the rules of DER.
func withoutTrailerField(tbs []byte) []byte {
	old := []byte{0xa2, 3, 2, 1, 0x30, 0xa3, 3, 2, 1, 1}
	at := bytes.Index(tbs, old)
	if at < 0 {
		return tbs
	}
	out := slices.Concat(tbs[:at], old[:5], tbs[at+len(old):])
	out[3] -= 5  // length of the whole; the high byte does not change in the captures
	out[13] -= 5 // of the AlgorithmIdentifier behind version and serial number
	out[26] -= 5 // of its parameters
	return out
}

func optionsOf(t *testing.T, line Line, vlek bool, cert *x509.Certificate) VEKOptions {
	t.Helper()
	value := func(id asn1.ObjectIdentifier) []byte {
		for _, e := range cert.Extensions {
			if e.Id.Equal(id) {
				return e.Value
			}
		}
		return nil
	}
	level := func(n int) uint8 {
		v := value(OIDSPL(n))
		if v == nil {
			return 0
		}
		return v[len(v)-1]
	}
	o := VEKOptions{
		Line: line, VLEK: vlek, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Serial: cert.SerialNumber,
		TCB:         TCB{FMC: level(9), Bootloader: level(1), TEE: level(2), SNP: level(3), Microcode: level(8)},
		ProductName: string(value(OIDProductName)[2:]),
		HWID:        value(OIDHWID),
	}
	if vlek {
		o.CSPID = string(value(OIDCSPID)[2:])
	}
	return o
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

var (
	from = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	to   = from.AddDate(25, 0, 0)
)

func testChain(t *testing.T, l Line) *Chain {
	t.Helper()
	c, err := NewChain(ChainOptions{Line: l, NotBefore: from, NotAfter: to})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChainVerifies(t *testing.T) {
	c := testChain(t, Genoa)
	for _, ca := range []*CA{c.ASK, c.ASVK} {
		if err := ca.Cert.CheckSignatureFrom(c.ARK.Cert); err != nil {
			t.Error(err)
		}
	}
	if err := c.ARK.Cert.CheckSignatureFrom(c.ARK.Cert); err != nil {
		t.Error(err)
	}
	for _, vlek := range []bool{false, true} {
		v, err := c.VEK(VEKOptions{Line: Genoa, VLEK: vlek, NotBefore: from, NotAfter: to, HWID: make([]byte, 64), CSPID: "CN=csp.example"})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(v.DER)
		if err != nil {
			t.Fatal(err)
		}
		parent := c.ASK
		if vlek {
			parent = c.ASVK
		}
		if err := cert.CheckSignatureFrom(parent.Cert); err != nil {
			t.Errorf("vlek %v: %v", vlek, err)
		}
		if cert.SerialNumber.Sign() != 0 || v.Key.Curve != elliptic.P384() {
			t.Errorf("serial %v and curve %v, expected 0 and P-384", cert.SerialNumber, v.Key.Curve.Params().Name)
		}
	}
}

func TestCRL(t *testing.T) {
	c := testChain(t, Genoa)
	other := testChain(t, Genoa)
	for _, ca := range []*CA{c.ARK, c.ASK, c.ASVK} {
		der, err := ca.CRL(CRLOptions{ThisUpdate: from, NextUpdate: to, Revoked: []*big.Int{big.NewInt(7)}, Number: big.NewInt(3)})
		if err != nil {
			t.Fatal(err)
		}
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := ca.Cert.CheckSignature(crl.SignatureAlgorithm, crl.RawTBSRevocationList, crl.Signature); err != nil {
			t.Error(err)
		}
		if len(crl.RevokedCertificateEntries) != 1 || crl.Number.Int64() != 3 || !bytes.Equal(crl.RawIssuer, ca.Cert.RawSubject) {
			t.Errorf("CRL of %s lost something", ca.Cert.Subject.CommonName)
		}
	}
	der, err := c.ARK.CRL(CRLOptions{ThisUpdate: from, NextUpdate: to, Signer: other.ARK.Key})
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if crl.CheckSignatureFrom(c.ARK.Cert) == nil {
		t.Error("a CRL signed with a stranger's key verifies")
	}
}

func TestSignatureRoundTrip(t *testing.T) {
	c := testChain(t, Turin)
	v, err := c.VEK(VEKOptions{Line: Turin, TCB: HealthyTCB(Turin), NotBefore: from, NotAfter: to, HWID: make([]byte, 8)})
	if err != nil {
		t.Fatal(err)
	}
	report := NewReport(Turin, 5).Encode()
	if err := Sign(report, v.Key); err != nil {
		t.Fatal(err)
	}
	r, s, err := Signature(report)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384(report[:SignedSize])
	if !ecdsa.Verify(&v.Key.PublicKey, sum[:], r, s) {
		t.Error("own signature does not verify")
	}
}

func TestWrongSizes(t *testing.T) {
	key := &ecdsa.PrivateKey{}
	if err := Sign(make([]byte, ReportSize-1), key); err == nil {
		t.Error("signed a short report")
	}
	if _, _, err := Signature(nil); err == nil {
		t.Error("found a signature in nothing")
	}
	one, long := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 576)
	for _, n := range [][2]*big.Int{{long, one}, {one, long}} {
		if err := PutSignature(make([]byte, ReportSize), n[0], n[1]); err == nil {
			t.Error("wrote a number of 577 bits into 72 bytes")
		}
	}
	if err := PutSignature(nil, one, one); err == nil {
		t.Error("wrote a signature into nothing")
	}
	if _, err := DecodeReport(Genoa, make([]byte, ReportSize+1)); err == nil {
		t.Error("read a long report")
	}
}

func TestSetExtension(t *testing.T) {
	c := VEKOptions{Line: Genoa, HWID: make([]byte, 64)}.template()
	n := len(c.ExtraExtensions)
	SetExtension(c, OIDSPL(3), nil)
	if len(c.ExtraExtensions) != n-1 {
		t.Error("not removed")
	}
	SetExtension(c, OIDSPL(3), Integer(200))
	SetExtension(c, OIDSPL(3), Integer(201))
	last := c.ExtraExtensions[n-1]
	if len(c.ExtraExtensions) != n || !last.Id.Equal(OIDSPL(3)) || !bytes.Equal(last.Value, []byte{2, 2, 0, 201}) {
		t.Errorf("extensions %v", c.ExtraExtensions)
	}
}

// TestEveryFieldIsWritten sets every field and expects every byte that AMD's
// table does not reserve to show it.
func TestEveryFieldIsWritten(t *testing.T) {
	full := bytes.Repeat([]byte{0xff}, ReportSize)
	for _, l := range Lines() {
		r, err := DecodeReport(l, full)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Encode()
		for i, b := range got {
			if (b == 0) != reserved(l, i) && i != 0x48 {
				t.Errorf("%s byte %#x is %#x, reserved %v", l, i, b, reserved(l, i))
			}
		}
		if got[0x48] != 0x1f {
			t.Errorf("key information %#x, expected 0x1f", got[0x48])
		}
	}
}

func reserved(l Line, i int) bool {
	in := func(from, to int) bool { return i >= from && i < to }
	for _, tcb := range []int{0x38, 0x180, 0x1e0, 0x1f0} {
		if l == Turin && in(tcb+4, tcb+7) || l != Turin && in(tcb+2, tcb+6) {
			return true
		}
	}
	return in(0x49, 0x50) || in(0x18b, 0x1a0) || i == 0x1eb || i == 0x1ef || in(0x208, 0x2a0) || in(0x330, 0x4a0)
}

func TestCertTable(t *testing.T) {
	got := CertTable(TableEntry{GUIDVCEK, []byte("vcek")}, TableEntry{GUIDARK, []byte("ark")})
	if len(got) != 3*TableEntrySize+7 || string(got[72:]) != "vcekark" || got[16] != 72 || got[20] != 4 || got[40] != 76 || got[44] != 3 {
		t.Errorf("table %x", got)
	}
}

func FuzzDecodeReport(f *testing.F) {
	f.Add([]byte{}, byte(1))
	f.Add(NewReport(Turin, 5).Encode(), byte(Turin))
	f.Fuzz(func(t *testing.T, data []byte, line byte) {
		r, err := DecodeReport(Line(line), data)
		if err == nil && len(r.Encode()) != len(data) {
			t.Error("length changed")
		}
	})
}
