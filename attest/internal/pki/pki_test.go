package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

func now() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }

// node is a certificate with its key.
type node struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func key(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ca(cn string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(cn))), Subject: pkix.Name{CommonName: cn}, NotBefore: now().AddDate(-1, 0, 0), NotAfter: now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
}

func leaf() *x509.Certificate {
	c := ca("leaf")
	c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature
	return c
}

// issue signs a certificate; by nil means itself.
func issue(t testing.TB, template *x509.Certificate, k crypto.Signer, by *node) *node {
	t.Helper()
	parent, signer := template, k
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, k.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &node{cert, k}
}

// tree is a root, an intermediate and a leaf, and the form they have.
type tree struct {
	root, mid, leaf *node
	path            Path
}

func (tr *tree) chain() []*x509.Certificate {
	return []*x509.Certificate{tr.leaf.cert, tr.mid.cert, tr.root.cert}
}

func newTree(t testing.TB, edit func(root, mid, leaf *x509.Certificate)) *tree {
	t.Helper()
	r, m, l := ca("root"), ca("middle"), leaf()
	if edit != nil {
		edit(r, m, l)
	}
	tr := &tree{}
	tr.root = issue(t, r, key(t, elliptic.P256()), nil)
	tr.mid = issue(t, m, key(t, elliptic.P256()), tr.root)
	tr.leaf = issue(t, l, key(t, elliptic.P256()), tr.mid)
	tr.path = Path{Root: tr.root.cert, Algorithm: x509.ECDSAWithSHA256, Curve: elliptic.P256(), Length: 3}
	return tr
}

func critical(id ...int) []pkix.Extension {
	return []pkix.Extension{{Id: id, Critical: true, Value: []byte{5, 0}}}
}

func TestPath(t *testing.T) {
	tr := newTree(t, nil)
	if p := tr.path.Check(tr.chain()); p != nil {
		t.Fatal(p)
	}
	tr.path.Length = 0
	if p := tr.path.Check(tr.chain()); p != nil {
		t.Errorf("any length: %v", p)
	}
	if p := tr.path.Check([]*x509.Certificate{tr.mid.cert, tr.root.cert}); p == nil {
		t.Error("a CA at the leaf's place: accepted")
	}
	tr.path.LeafIssues = true
	if p := tr.path.Check([]*x509.Certificate{tr.mid.cert, tr.root.cert}); p != nil {
		t.Errorf("a CA at the leaf's place, allowed: %v", p)
	}
	limited := newTree(t, func(r, m, _ *x509.Certificate) { r.MaxPathLen = 1; m.MaxPathLenZero = true })
	if p := limited.path.Check(limited.chain()); p != nil {
		t.Errorf("path lengths that are kept: %v", p)
	}
	marked := newTree(t, func(_, _, l *x509.Certificate) { l.ExtraExtensions = critical(1, 2, 3) })
	marked.path.Critical = []asn1.ObjectIdentifier{{1, 2, 3}}
	if p := marked.path.Check(marked.chain()); p != nil {
		t.Errorf("a critical extension that the caller reads: %v", p)
	}
}

// TestPathFromRoot: of a stranger's chain only the link to the root is verified.
func TestPathFromRoot(t *testing.T) {
	tr, other, third := newTree(t, nil), newTree(t, nil), newTree(t, nil)
	p := tr.path.Check([]*x509.Certificate{third.leaf.cert, other.mid.cert, tr.root.cert})
	if p == nil || p.Code != attest.CodeUntrustedRoot || !strings.Contains(p.Seen, `"middle" is not signed by "root"`) {
		t.Errorf("two links are wrong, and reported is %v", p)
	}
}

// TestPathProblems: each rule, broken alone.
func TestPathProblems(t *testing.T) {
	other, plain := newTree(t, nil), newTree(t, nil)
	type build func() (Path, []*x509.Certificate)
	edited := func(edit func(root, mid, leaf *x509.Certificate)) build {
		return func() (Path, []*x509.Certificate) { tr := newTree(t, edit); return tr.path, tr.chain() }
	}
	with := func(edit func(*Path)) build {
		return func() (Path, []*x509.Certificate) { p := plain.path; edit(&p); return p, plain.chain() }
	}
	chain := func(certs ...*node) build {
		return func() (Path, []*x509.Certificate) {
			p := plain.path
			p.Length = 0
			var list []*x509.Certificate
			for _, n := range certs {
				if n == nil {
					list = append(list, nil)
					continue
				}
				list = append(list, n.cert)
			}
			return p, list
		}
	}
	self := issue(t, ca("self"), key(t, elliptic.P256()), nil)
	below := leaf()
	below.Subject.CommonName = "below"
	third := issue(t, below, key(t, elliptic.P256()), plain.leaf)
	for _, c := range []struct {
		name  string
		build build
		code  attest.Code
		seen  string
	}{
		{"no root", with(func(p *Path) { p.Root = nil }), attest.CodeUntrustedRoot, "no root"},
		{"no algorithm", with(func(p *Path) { p.Algorithm = 0 }), attest.CodeUntrustedRoot, "no root"},
		{"no kind of key", with(func(p *Path) { p.Curve = nil }), attest.CodeUntrustedRoot, "no root"},
		{"two kinds of key", with(func(p *Path) { p.RSABits = 2048 }), attest.CodeUntrustedRoot, "no root"},
		{"too short", with(func(p *Path) { p.Length = 4 }), attest.CodeBadChain, "3 certificates"},
		{"too long", with(func(p *Path) { p.Length = 2 }), attest.CodeBadChain, "3 certificates"},
		{"empty", chain(), attest.CodeBadChain, "0 certificates"},
		{"root alone", chain(plain.root), attest.CodeBadChain, "1 certificates"},
		{"longer than any", chain(slices.Repeat([]*node{plain.mid}, MaxPath+1)...), attest.CodeBadChain, "certificates"},
		{"a hole", chain(plain.leaf, nil, plain.root), attest.CodeBadChain, "no certificate"},
		{"another root", chain(plain.leaf, plain.mid, other.root), attest.CodeUntrustedRoot, "ends in"},
		{"no root at the end", chain(plain.leaf, plain.mid), attest.CodeUntrustedRoot, "ends in"},
		{"root in the middle", chain(plain.leaf, plain.root, plain.root), attest.CodeBadChain, "root at place 2"},
		{"self-made root inside", chain(plain.leaf, self, plain.root), attest.CodeUntrustedRoot, "names itself"},
		{"same key, other root", func() (Path, []*x509.Certificate) {
			again := ca("root")
			again.NotAfter = again.NotAfter.AddDate(9, 0, 0)
			return plain.path, []*x509.Certificate{plain.leaf.cert, plain.mid.cert, issue(t, again, plain.root.key, nil).cert}
		}, attest.CodeUntrustedRoot, "ends in"},
		{"issuer's name", func() (Path, []*x509.Certificate) {
			wrong := issue(t, ca("centre"), plain.mid.key, plain.root)
			return plain.path, []*x509.Certificate{plain.leaf.cert, wrong.cert, plain.root.cert}
		}, attest.CodeBadChain, "is issued by"},
		{"issuer's key", chain(other.leaf, plain.mid, plain.root), attest.CodeUntrustedRoot, "not signed by"},
		{"issuer's issuer's key", chain(other.leaf, other.mid, plain.root), attest.CodeUntrustedRoot, "not signed by"},
		{"algorithm", edited(func(_, _, l *x509.Certificate) { l.SignatureAlgorithm = x509.ECDSAWithSHA384 }), attest.CodeBadChain, "signed with"},
		{"root's algorithm", edited(func(r, _, _ *x509.Certificate) { r.SignatureAlgorithm = x509.ECDSAWithSHA512 }), attest.CodeBadChain, "signed with"},
		{"leaf on P-384", func() (Path, []*x509.Certificate) {
			return plain.path, []*x509.Certificate{issue(t, leaf(), key(t, elliptic.P384()), plain.mid).cert, plain.mid.cert, plain.root.cert}
		}, CodeBadKey, "ECDSA P-384"},
		{"leaf on P-521", func() (Path, []*x509.Certificate) {
			return plain.path, []*x509.Certificate{issue(t, leaf(), key(t, elliptic.P521()), plain.mid).cert, plain.mid.cert, plain.root.cert}
		}, CodeBadKey, "ECDSA P-521"},
		{"RSA leaf", func() (Path, []*x509.Certificate) {
			return plain.path, []*x509.Certificate{issue(t, leaf(), rsaKey(t, 2048), plain.mid).cert, plain.mid.cert, plain.root.cert}
		}, CodeBadKey, "RSA 2048"},
		{"critical extension of the leaf", edited(func(_, _, l *x509.Certificate) { l.ExtraExtensions = critical(1, 2, 3) }), attest.CodeBadChain, "critical extension 1.2.3"},
		{"critical extension of a CA", edited(func(_, m, _ *x509.Certificate) { m.ExtraExtensions = critical(1, 2, 3) }), attest.CodeBadChain, "critical extension 1.2.3"},
		{"name constraints", edited(func(_, m, _ *x509.Certificate) {
			m.PermittedDNSDomainsCritical, m.PermittedDNSDomains = true, []string{"example.org"}
		}), attest.CodeBadChain, "critical extension 2.5.29.30"},
		{"leaf is a CA", edited(func(_, _, l *x509.Certificate) { l.IsCA = true }), attest.CodeBadChain, "is a CA"},
		{"leaf may sign certificates", edited(func(_, _, l *x509.Certificate) { l.KeyUsage |= x509.KeyUsageCertSign }), attest.CodeBadChain, "key usage of a CA"},
		{"leaf may sign CRLs", edited(func(_, _, l *x509.Certificate) { l.KeyUsage |= x509.KeyUsageCRLSign }), attest.CodeBadChain, "key usage of a CA"},
		{"leaf may not sign", edited(func(_, _, l *x509.Certificate) { l.KeyUsage = x509.KeyUsageKeyEncipherment }), attest.CodeBadChain, "may not sign"},
		{"leaf without key usage", edited(func(_, _, l *x509.Certificate) { l.KeyUsage = 0 }), attest.CodeBadChain, "may not sign"},
		{"middle is no CA", edited(func(_, m, _ *x509.Certificate) { m.IsCA = false }), attest.CodeBadChain, "is not a CA"},
		{"middle without constraints", edited(func(_, m, _ *x509.Certificate) { m.IsCA, m.BasicConstraintsValid = false, false }), attest.CodeBadChain, "is not a CA"},
		{"middle may not sign certificates", edited(func(_, m, _ *x509.Certificate) { m.KeyUsage = x509.KeyUsageCRLSign }), attest.CodeBadChain, "may not sign certificates"},
		{"root's path length", edited(func(r, _, _ *x509.Certificate) { r.MaxPathLenZero = true }), attest.CodeBadChain, "path length of 0"},
		{"leaf as CA", chain(third, plain.leaf, plain.mid, plain.root), attest.CodeBadChain, "is not a CA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, list := c.build()
			got := p.Check(list)
			if got == nil {
				t.Fatal("accepted")
			}
			if got.Code != c.code || !strings.Contains(got.Seen, c.seen) {
				t.Errorf("%v, expected %s: %s", got, c.code, c.seen)
			}
			if check := got.Check("hardware.x"); check.Status != attest.Fail || check.Code != c.code || check.Expected == "" {
				t.Errorf("check %v", check)
			}
		})
	}
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPathRSA(t *testing.T) {
	r, l := ca("root"), leaf()
	r.SignatureAlgorithm, l.SignatureAlgorithm = x509.SHA256WithRSA, x509.SHA256WithRSA
	root := issue(t, r, rsaKey(t, 2048), nil)
	chain := []*x509.Certificate{issue(t, l, rsaKey(t, 2048), root).cert, root.cert}
	p := Path{Root: root.cert, Algorithm: x509.SHA256WithRSA, RSABits: 2048}
	if problem := p.Check(chain); problem != nil {
		t.Error(problem)
	}
	p.RSABits = 2049
	if problem := p.Check(chain); problem == nil || problem.Code != CodeBadKey || !strings.Contains(problem.Expected, "RSA, 2049") {
		t.Errorf("a key one bit short: %v", problem)
	}
	large := issue(t, l, rsaKey(t, 2048), root)
	large.cert.PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), MaxRSABits), E: 65537}
	p.RSABits = 2048
	if problem := p.Check([]*x509.Certificate{large.cert, root.cert}); problem == nil || problem.Code != CodeBadKey {
		t.Errorf("a key of more than %d bits: %v", MaxRSABits, problem)
	}
	p = Path{Root: root.cert, Algorithm: x509.SHA256WithRSA, Curve: elliptic.P256()}
	if problem := p.Check(chain); problem == nil || problem.Code != CodeBadKey {
		t.Errorf("RSA where ECDSA is demanded: %v", problem)
	}
}

// TestPathKnown: only what is the caller's own object, below the root, is taken
// on the caller's word.
func TestPathKnown(t *testing.T) {
	tr, other := newTree(t, nil), newTree(t, nil)
	tr.path.Known = []*x509.Certificate{tr.mid.cert}
	if p := tr.path.Check(tr.chain()); p != nil {
		t.Fatal(p)
	}
	if p := tr.path.Check([]*x509.Certificate{other.leaf.cert, tr.mid.cert, tr.root.cert}); p == nil {
		t.Error("a leaf that the known CA did not sign: accepted")
	}
	if p := tr.path.Check([]*x509.Certificate{other.leaf.cert, other.mid.cert, tr.root.cert}); p == nil {
		t.Error("a CA that is not known: accepted")
	}
	tr.path.Known = []*x509.Certificate{other.leaf.cert}
	if p := tr.path.Check([]*x509.Certificate{other.leaf.cert, tr.mid.cert, tr.root.cert}); p == nil {
		t.Error("a known certificate that does not stand below the root: accepted")
	}
}

func TestParseCertificate(t *testing.T) {
	der := newTree(t, nil).leaf.cert.Raw
	shared := bytes.Clone(der)
	cert, err := ParseCertificate(shared)
	if err != nil {
		t.Fatal(err)
	}
	clear(shared)
	if !bytes.Equal(cert.Raw, der) {
		t.Error("the certificate shares the caller's memory")
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "cut": der[:len(der)-1], "a byte after it": append(bytes.Clone(der), 0), "too large": make([]byte, MaxCertificate+1),
	} {
		if c, err := ParseCertificate(b); c != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLargeCertificate: one that is a certificate in all but its size.
func TestLargeCertificate(t *testing.T) {
	tr := newTree(t, nil)
	big := leaf()
	big.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, MaxCertificate)}}
	der, err := x509.CreateCertificate(rand.Reader, big, tr.mid.cert, tr.leaf.key.Public(), tr.mid.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ParseCertificate(der); c != nil || err == nil {
		t.Errorf("a certificate of %d bytes: accepted", len(der))
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(der, make([]byte, MaxCertificate)...)})
	if b, err := SplitPEM(text, 1); b != nil || err == nil {
		t.Errorf("a block of %d characters: accepted", len(text))
	}
}

func TestParsePEM(t *testing.T) {
	tr := newTree(t, nil)
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tr.leaf.cert.Raw})
	two := append(bytes.Clone(one), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tr.mid.cert.Raw})...)
	for name, text := range map[string][]byte{"lines": two, "windows": bytes.ReplaceAll(two, []byte("\n"), []byte("\r\n")), "space": append([]byte(" \t\r\n"), two...), "no last line break": bytes.TrimSpace(two)} {
		certs, err := ParsePEM(text, 2)
		if err != nil || len(certs) != 2 || !certs[0].Equal(tr.leaf.cert) || !certs[1].Equal(tr.mid.cert) {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
	body := string(one)
	for name, text := range map[string]string{
		"nothing":           "",
		"white space":       " \n",
		"text before":       "x" + body,
		"text after":        body + "x",
		"a zero after":      body + "\x00",
		"text between":      body + "x\n" + body,
		"another block":     strings.ReplaceAll(body, "CERTIFICATE", "PUBLIC KEY"),
		"a header":          strings.Replace(body, "-----\n", "-----\nA: b\n\n", 1),
		"no end":            strings.Replace(body, pemEnd, "", 1),
		"no begin":          strings.Replace(body, pemBegin, "", 1),
		"not base64":        strings.Replace(body, "MII", "M*I", 1),
		"padding bits":      pemBegin + "\nMII=\n" + pemEnd,
		"empty block":       pemBegin + "\n" + pemEnd,
		"block too large":   pemBegin + "\n" + strings.Repeat("A", 2*MaxCertificate+4) + "\n" + pemEnd,
		"three instead two": body + body + body,
	} {
		if c, err := ParsePEM([]byte(text), 2); c != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, text := range []string{"M*I", "MII", "MII=\nMII="} { // no certificates either, but nobody has looked yet
		if b, err := SplitPEM([]byte(pemBegin+text+pemEnd), 2); b != nil || err == nil || !strings.Contains(err.Error(), "not base64") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSpans(t *testing.T) {
	if (Span()).Contains(now()) || Span() != (attest.Validity{}) {
		t.Error("no certificate is valid at some time")
	}
	tr := newTree(t, func(_, m, l *x509.Certificate) {
		m.NotAfter = now().AddDate(0, 1, 0)
		l.NotBefore = now().AddDate(0, -1, 0)
	})
	got := Span(tr.chain()...)
	if !got.NotBefore.Equal(now().AddDate(0, -1, 0)) || !got.NotAfter.Equal(now().AddDate(0, 1, 0)) {
		t.Errorf("span %v", got)
	}
	for at, ok := range map[time.Time]bool{now(): true, got.NotBefore: true, got.NotAfter: true, got.NotBefore.Add(-1): false, got.NotAfter.Add(1): false} {
		c := CheckValidity("hardware.validity", at, tr.chain()...)
		if (c.Status == attest.Pass) != ok || !ok && c.Code != attest.CodeExpired {
			t.Errorf("at %v: %v", at, c)
		}
	}
	if c := CheckValidity("x", got.NotAfter.Add(1), tr.chain()...); strings.Contains(c.Seen, "leaf") || !strings.Contains(c.Seen, "middle") {
		t.Errorf("names %q, expected the middle alone", c.Seen)
	}
	if c := CheckValidity("x", now()); c.Status == attest.Pass {
		t.Error("no certificates are valid")
	}
}

func TestWords(t *testing.T) {
	if got := Brief("a\nb"); got != `"a\nb"` {
		t.Error(got)
	}
	if got := Brief(strings.Repeat("x", 100)); len(got) > 70 || !strings.HasSuffix(got, "...") {
		t.Error(got)
	}
	if got := Date(time.Unix(0, 0)); got != "1970-01-01T00:00:00Z" {
		t.Error(got)
	}
	if c := Judge("n", true, "code", "seen", "expected"); c != (attest.Check{Name: "n", Status: attest.Pass, Seen: "seen"}) {
		t.Error(c)
	}
	if c := Judge("n", false, "code", "seen", "expected"); c != (attest.Check{Name: "n", Status: attest.Fail, Code: "code", Seen: "seen", Expected: "expected"}) {
		t.Error(c)
	}
}
