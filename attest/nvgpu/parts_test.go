package nvgpu

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest/internal/nvforge"
)

// Rules whose breach no whole piece of evidence shows, because something before
// or behind them refuses it as well.

// TestVerifyRawOnP384 holds that the curve and the length are part of what is
// verified: r and s of a smaller curve fit into the same bytes.
func TestVerifyRawOnP384(t *testing.T) {
	message := []byte("report")
	sum := sha512.Sum384(message)
	for _, curve := range []elliptic.Curve{elliptic.P384(), elliptic.P256()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		half := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 48)) }
		cert := &x509.Certificate{PublicKey: &key.PublicKey}
		if got := verifyRaw(cert, message, slices.Concat(half(r), half(s))); got != (curve == elliptic.P384()) {
			t.Errorf("%s: %t", curve.Params().Name, got)
		}
		for name, signature := range map[string][]byte{"longer": slices.Concat(half(r), []byte{0}, half(s)), "empty": nil} {
			if verifyRaw(cert, message, signature) {
				t.Errorf("%s signature accepted", name)
			}
		}
	}
	if verifyRaw(&x509.Certificate{PublicKey: ed25519.PublicKey(make([]byte, 32))}, message, make([]byte, 96)) {
		t.Error("a key of another kind")
	}
}

// TestDelegateRefused holds each rule for who may answer for an issuer.
func TestDelegateRefused(t *testing.T) {
	at := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	ca := func(name string) *nvforge.CA {
		out, err := nvforge.Issue(nvforge.Cert{Name: name, CA: true, NotBefore: at, NotAfter: at.AddDate(1, 0, 0)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	issuer, other := ca("issuer"), ca("other")
	issue := func(by *nvforge.CA, edit func(*nvforge.Cert)) *x509.Certificate {
		c := nvforge.Cert{Name: "responder", Responder: true, NotBefore: at, NotAfter: at.AddDate(1, 0, 0)}
		edit(&c)
		out, err := nvforge.Issue(c, by)
		if err != nil {
			t.Fatal(err)
		}
		return out.Cert
	}
	template := func(f func(*x509.Certificate)) func(*nvforge.Cert) {
		return func(c *nvforge.Cert) { c.Edit = f }
	}
	if err := checkDelegate(issue(issuer, func(*nvforge.Cert) {}), issuer.Cert); err != nil {
		t.Fatal(err)
	}
	renamed, stranger := *issuer.Cert, *issuer.Cert
	renamed.RawSubject, stranger.PublicKey = other.Cert.RawSubject, other.Key.Public()
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	for name, cert := range map[string]*x509.Certificate{
		"issuer's name": issue(&nvforge.CA{Cert: &renamed, Key: issuer.Key}, func(*nvforge.Cert) {}),
		"issuer's key":  issue(&nvforge.CA{Cert: &stranger, Key: other.Key}, func(*nvforge.Cert) {}),
		"purpose":       issue(issuer, func(c *nvforge.Cert) { c.Responder = false }),
		"a CA": issue(issuer, func(c *nvforge.Cert) {
			c.CA = true
			c.Edit = func(x *x509.Certificate) { x.KeyUsage |= x509.KeyUsageDigitalSignature }
		}),
		"key usage":          issue(issuer, template(func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageKeyAgreement })),
		"critical extension": issue(issuer, template(func(x *x509.Certificate) { x.ExtraExtensions = append(x.ExtraExtensions, critical) })),
		"P-256":              issue(issuer, func(c *nvforge.Cert) { c.Curve = elliptic.P256() }),
		"SHA-256":            issue(issuer, template(func(x *x509.Certificate) { x.SignatureAlgorithm = x509.ECDSAWithSHA256 })),
	} {
		if err := checkDelegate(cert, issuer.Cert); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	signed, err := nvforge.Issue(nvforge.Cert{Name: "responder", NotBefore: at, NotAfter: at.AddDate(1, 0, 0)}, issuer)
	if err != nil {
		t.Fatal(err)
	}
	testResponseSignature(t, signed)
	small, err := nvforge.Issue(nvforge.Cert{Name: "responder", NotBefore: at, NotAfter: at.AddDate(1, 0, 0), Curve: elliptic.P256()}, issuer)
	if err != nil {
		t.Fatal(err)
	}
	if response := signedResponse(t, small, 0); response.checkSignature(small.Cert) == nil {
		t.Error("a key on P-256")
	}
}

// signedResponse is one whose signature is so many bits shorter than its bytes.
func signedResponse(t *testing.T, signer *nvforge.CA, unused int) *basicResponse {
	t.Helper()
	tbs := []byte{0x30, 0}
	sum := sha512.Sum384(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, signer.Key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return &basicResponse{TBS: asn1.RawValue{FullBytes: tbs}, Signature: asn1.BitString{Bytes: signature, BitLength: 8*len(signature) - unused}}
}

func testResponseSignature(t *testing.T, signer *nvforge.CA) {
	t.Helper()
	if err := signedResponse(t, signer, 0).checkSignature(signer.Cert); err != nil {
		t.Error(err)
	}
	if signedResponse(t, signer, 1).checkSignature(signer.Cert) == nil {
		t.Error("a signature that ends within a byte")
	}
	if signedResponse(t, signer, 0).checkSignature(&x509.Certificate{PublicKey: ed25519.PublicKey(make([]byte, 32))}) == nil {
		t.Error("a key of another kind")
	}
}

func TestPinnedRoots(t *testing.T) {
	if _, err := pinnedRoots(deviceRootPEM, rimRootPEM); err != nil {
		t.Fatal(err)
	}
	for name, pem := range map[string][2]string{
		"exchanged": {rimRootPEM, deviceRootPEM}, "no device": {"", rimRootPEM}, "no RIM": {deviceRootPEM, ""}, "device twice": {deviceRootPEM, deviceRootPEM},
	} {
		if roots, err := pinnedRoots(pem[0], pem[1]); err == nil {
			t.Errorf("%s: %v", name, roots)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, der := range map[string][]byte{"nothing": nil, "another type": {2, 1, 1}, "cut": {4, 2, 1}, "two": {4, 1, 1, 4, 1, 1}} {
		var out []byte
		if err := decode(der, &out, ""); err == nil {
			t.Errorf("%s: read as %x", name, out)
		}
	}
}
