package pki

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

func crl(t testing.TB, by *node, edit func(*x509.RevocationList)) []byte {
	t.Helper()
	list := &x509.RevocationList{
		Number: big.NewInt(7), ThisUpdate: now().AddDate(0, 0, -1), NextUpdate: now().AddDate(0, 0, 1), SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	if edit != nil {
		edit(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, by.cert, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func revoke(serial *big.Int, extra ...pkix.Extension) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now(), ExtraExtensions: extra})
	}
}

func TestReadCRL(t *testing.T) {
	tr := newTree(t, nil)
	r, checks := ReadCRL("hardware.crl", crl(t, tr.mid, revoke(big.NewInt(99))), tr.mid.cert, x509.ECDSAWithSHA256, tr.leaf.cert)
	if err := attest.FailureOf(checks); err != nil || len(checks) != 2 {
		t.Fatal(checks)
	}
	if !r.Checked || r.Number.Int64() != 7 || !r.ThisUpdate.Equal(now().AddDate(0, 0, -1)) || !r.NextUpdate.Equal(now().AddDate(0, 0, 1)) {
		t.Errorf("%+v", r)
	}
	if v := r.Span(); !v.Contains(now()) || v.Contains(now().AddDate(0, 0, 2)) {
		t.Errorf("span %v", v)
	}
	copied := r.Clone()
	copied.Number.SetInt64(8)
	if r.Number.Int64() != 7 || (Revocation{}).Clone() != (Revocation{}) {
		t.Error("a clone shares the number")
	}
	r, checks = ReadCRL("hardware.crl", nil, tr.mid.cert, x509.ECDSAWithSHA256, tr.leaf.cert)
	if r != (Revocation{}) || len(checks) != 1 || checks[0].Status != attest.Skip || checks[0].Code != attest.CodeNoCRL {
		t.Errorf("no CRL: %+v, %v", r, checks)
	}
}

// forged returns a CRL that the library would not write, and its issuer.
func forged(t testing.TB, edit func(*intelforge.CRL)) ([]byte, *x509.Certificate) {
	t.Helper()
	v, err := intelforge.NewVendor("pki", now())
	if err != nil {
		t.Fatal(err)
	}
	list := v.RootCRL()
	edit(&list)
	der, err := list.Sign(v.Root.Key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ParseCertificate(v.Root.DER)
	if err != nil {
		t.Fatal(err)
	}
	return der, issuer
}

func TestReadCRLRefuses(t *testing.T) {
	tr, other := newTree(t, nil), newTree(t, nil)
	mute := newTree(t, func(_, m, _ *x509.Certificate) { m.KeyUsage = x509.KeyUsageCertSign })
	speaking := *mute.mid.cert
	speaking.KeyUsage |= x509.KeyUsageCRLSign
	good := crl(t, tr.mid, nil)
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	endless, forger := forged(t, func(l *intelforge.CRL) { l.NextUpdate = time.Time{} })
	reversed, _ := forged(t, func(l *intelforge.CRL) { l.NextUpdate = l.ThisUpdate.Add(-time.Second) })
	delta := pkix.Extension{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}
	for _, c := range []struct {
		name   string
		der    []byte
		issuer *x509.Certificate
		certs  []*x509.Certificate
		code   attest.Code
		seen   string
	}{
		{"empty", []byte{}, tr.mid.cert, nil, attest.CodeBadCRL, "malformed"},
		{"cut", good[:len(good)-1], tr.mid.cert, nil, attest.CodeBadCRL, "malformed"},
		{"a byte after it", append(bytes.Clone(good), 0), tr.mid.cert, nil, attest.CodeBadCRL, "after the end"},
		{"too large", make([]byte, maxCRL+1), tr.mid.cert, nil, attest.CodeBadCRL, "limit"},
		{"no issuer", good, nil, nil, attest.CodeBadCRL, "no issuer"},
		{"another issuer", crl(t, tr.root, nil), tr.mid.cert, nil, attest.CodeBadCRL, "issued by"},
		{"another key", crl(t, other.mid, nil), tr.mid.cert, nil, attest.CodeBadCRL, "not signed by"},
		{"signature changed", bad, tr.mid.cert, nil, attest.CodeBadCRL, "not signed by"},
		{"another algorithm", crl(t, tr.mid, func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.ECDSAWithSHA384 }), tr.mid.cert, nil, attest.CodeBadCRL, "signed with"},
		{"an issuer that may not", crl(t, &node{&speaking, mute.mid.key}, nil), mute.mid.cert, nil, attest.CodeBadCRL, "may not sign CRLs"},
		{"without end", endless, forger, nil, attest.CodeBadCRL, "without the date"},
		{"ends before it begins", reversed, forger, nil, attest.CodeBadCRL, "in force from"},
		{"delta", crl(t, tr.mid, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{delta} }), tr.mid.cert, nil, attest.CodeBadCRL, "critical extension 2.5.29.27 of the CRL"},
		{"critical entry", crl(t, tr.mid, revoke(big.NewInt(99), pkix.Extension{Id: []int{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}})), tr.mid.cert, nil, attest.CodeBadCRL, "critical extension 2.5.29.29 of CRL entry"},
		{"revoked", crl(t, tr.mid, revoke(tr.leaf.cert.SerialNumber)), tr.mid.cert, nil, attest.CodeRevoked, "revoked 2026"},
		{"second revoked", crl(t, tr.mid, revoke(tr.mid.cert.SerialNumber)), tr.mid.cert, []*x509.Certificate{tr.leaf.cert, tr.mid.cert}, attest.CodeRevoked, "revoked 2026"},
		{"nothing to look up", good, tr.mid.cert, []*x509.Certificate{}, attest.CodeBadCRL, "no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			certs := c.certs
			if certs == nil {
				certs = []*x509.Certificate{tr.leaf.cert}
			}
			r, checks := ReadCRL("hardware.crl", c.der, c.issuer, x509.ECDSAWithSHA256, certs...)
			last := checks[len(checks)-1]
			if r != (Revocation{}) || last.Status != attest.Fail || last.Code != c.code || !strings.Contains(last.Seen, c.seen) {
				t.Errorf("%+v, %v; expected %s: %s", r, checks, c.code, c.seen)
			}
			if list, err := ParseCRL(c.der, c.issuer, x509.ECDSAWithSHA256); (list == nil) != (err != nil) {
				t.Errorf("a list: %t, and error %v", list != nil, err)
			}
		})
	}
	if _, err := ParseCRL(good, tr.mid.cert, x509.UnknownSignatureAlgorithm); err == nil {
		t.Error("accepted without an algorithm")
	}
	// ecdsa-with-SHA256 (RFC 5758, 3.2), and an identifier that nobody has.
	unknown := bytes.ReplaceAll(good, []byte("\x2a\x86\x48\xce\x3d\x04\x03\x02"), []byte("\x2a\x86\x48\xce\x3d\x04\x03\x7f"))
	if _, err := ParseCRL(unknown, tr.mid.cert, x509.UnknownSignatureAlgorithm); err == nil || !strings.Contains(err.Error(), "signed with") {
		t.Errorf("an algorithm that is not known: %v", err)
	}
}

func TestCheckCRLTime(t *testing.T) {
	r := Revocation{Checked: true, ThisUpdate: now().Add(-time.Hour), NextUpdate: now().Add(time.Hour)}
	for _, c := range []struct {
		r    Revocation
		at   time.Time
		code attest.Code
	}{
		{r, now(), ""}, {r, r.ThisUpdate, ""}, {r, r.NextUpdate, ""},
		{r, r.ThisUpdate.Add(-1), attest.CodeBadCRL}, {r, r.NextUpdate.Add(1), attest.CodeStaleCRL},
		{Revocation{}, now(), attest.CodeNoCRL},
	} {
		got := CheckCRLTime("hardware.crl", c.r, c.at)
		if got.Name != "hardware.crl_time" || got.Code != c.code || (got.Status == attest.Pass) != (c.code == "") {
			t.Errorf("at %v: %v, expected %q", c.at, got, c.code)
		}
	}
}

func FuzzCRL(f *testing.F) {
	tr := newTree(f, nil)
	f.Add(crl(f, tr.mid, nil))
	f.Add(crl(f, tr.mid, revoke(tr.leaf.cert.SerialNumber)))
	endless, _ := forged(f, func(l *intelforge.CRL) { l.NextUpdate = time.Time{} })
	f.Add(endless)
	f.Fuzz(func(t *testing.T, der []byte) {
		r, checks := ReadCRL("hardware.crl", der, tr.mid.cert, x509.ECDSAWithSHA256, tr.leaf.cert)
		if r.Checked != (der != nil && attest.FailureOf(checks) == nil) {
			t.Fatalf("%+v, %v", r, checks)
		}
	})
}

func FuzzPEM(f *testing.F) {
	tr := newTree(f, nil)
	f.Add([]byte(pemBegin + "\nAAAA\n" + pemEnd + "\n"))
	f.Add(tr.leaf.cert.Raw)
	f.Fuzz(func(t *testing.T, text []byte) {
		blocks, err := SplitPEM(text, 3)
		if err == nil && (len(blocks) == 0 || len(blocks) > 3) {
			t.Fatalf("%d blocks", len(blocks))
		}
		if certs, err := ParsePEM(text, 3); err == nil {
			(Path{Root: tr.root.cert, Algorithm: x509.ECDSAWithSHA256, Curve: elliptic.P256()}).Check(certs)
		}
	})
}
