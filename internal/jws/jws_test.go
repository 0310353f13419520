package jws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

const typ = "test+jws"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSigner(t testing.TB) *Signer {
	t.Helper()
	s, err := NewSigner(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(t testing.TB, s *Signer, payload string) string {
	t.Helper()
	token, err := s.Sign(typ, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestRoundTrip(t *testing.T) {
	key := newKey(t)
	s, err := NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	spki, _ := x509.MarshalPKIXPublicKey(key.Public())
	if s.KeyID() != sha256.Sum256(spki) {
		t.Error("the key's name is not the hash of its SubjectPublicKeyInfo")
	}
	for _, payload := range []string{"", "x", `{"a":1}`, strings.Repeat("long ", 100)} {
		o, err := Open(signed(t, s, payload), typ, 500)
		if err != nil || string(o.Payload) != payload || o.Key != s.KeyID() {
			t.Errorf("%q: %v", payload, err)
		}
	}
}

// TestPeer: a JOSE library reads what is written here.
func TestPeer(t *testing.T) {
	key := newKey(t)
	s, _ := NewSigner(key)
	token, err := jose.ParseSignedCompact(signed(t, s, `{"a":1}`), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	head := token.Signatures[0].Protected
	payload, err := token.Verify(key.Public())
	if err != nil || string(payload) != `{"a":1}` || head.JSONWebKey == nil || !key.PublicKey.Equal(head.JSONWebKey.Key) || head.ExtraHeaders["typ"] != typ {
		t.Errorf("%q, %v, %+v", payload, err, head)
	}
}

// TestEveryByteCounts: one changed character anywhere is refused, as is every cut.
func TestEveryByteCounts(t *testing.T) {
	token := signed(t, newSigner(t), `{"a":1}`)
	for i := range token {
		for _, c := range []byte{'A', 'B', '.', '=', '\n', ' '} {
			if bad := []byte(token); bad[i] != c {
				bad[i] = c
				if _, err := Open(string(bad), typ, 100); err == nil {
					t.Fatalf("%q at %d is accepted", c, i)
				}
			}
		}
		if _, err := Open(token[:i], typ, 100); err == nil {
			t.Fatalf("cut at %d", i)
		}
	}
	for _, more := range []string{"\n", "=", "A", ".", " "} {
		if _, err := Open(token+more, typ, 100); err == nil {
			t.Errorf("%q behind the end", more)
		}
		if _, err := Open(more+token, typ, 100); err == nil {
			t.Errorf("%q before the beginning", more)
		}
	}
}

func TestRefused(t *testing.T) {
	s := newSigner(t)
	token := signed(t, s, "payload")
	parts := strings.Split(token, ".")
	other := strings.Split(signed(t, newSigner(t), "payload"), ".")
	header := func(change func(string) string) string {
		raw, _ := strict().DecodeString(parts[0])
		head := strict().EncodeToString([]byte(change(string(raw))))
		return head + "." + parts[1] + "." + parts[2]
	}
	replace := func(old, new string) string {
		return header(func(h string) string { return strings.Replace(h, old, new, 1) })
	}
	zero := strict().EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct{ token, says string }{
		"empty":               {"", "1 parts"},
		"two parts":           {parts[0] + "." + parts[1], "2 parts"},
		"four parts":          {token + ".", "4 parts"},
		"other key's header":  {other[0] + "." + parts[1] + "." + parts[2], "signature"},
		"other signature":     {parts[0] + "." + parts[1] + "." + other[2], "signature"},
		"other payload":       {parts[0] + "." + strict().EncodeToString([]byte("Payload")) + "." + parts[2], "signature"},
		"none":                {replace("ES256", "none\",\"a\":\""), "not that of a token"},
		"other algorithm":     {replace("ES256", "HS256"), "not that of a token"},
		"other type":          {replace(typ, "tesu+jws"), "not that of a token"},
		"order of members":    {header(func(h string) string { return `{"typ":"test+jws","alg":"ES256"` + h[len(headType+typ)+1:] }), "not that of a token"},
		"a space":             {header(func(h string) string { return " " + h }), "token"},
		"point at infinity":   {replace(s.x, zero), "no point"},
		"padding bits":        {replace(s.y, s.y[:42]+"B"), ""},
		"middle":              {header(func(h string) string { i := strings.Index(h, headY); return h[:i] + `","Y":"` + h[i+len(headY):] }), "not that of a token"},
		"end":                 {header(func(h string) string { return h[:len(h)-2] + "}]" }), "not that of a token"},
		"header no base64":    {"!." + parts[1] + "." + parts[2], "header: not base64url"},
		"payload no base64":   {parts[0] + ".!." + parts[2], "payload: not base64url"},
		"signature no base64": {parts[0] + "." + parts[1] + ".!", "signature: not base64url"},
		"key no base64":       {replace(s.x, "!"+s.x[1:]), "key: not base64url"},
		"cut header":          {header(func(h string) string { return h[:len(headType+typ+headX)+10] }), "not that of a token"},
		"short header":        {strict().EncodeToString([]byte("{}")) + "." + parts[1] + "." + parts[2], "not that of a token"},
		"long header":         {header(func(h string) string { return h + "}" }), "not that of a token"},
		"short signature":     {parts[0] + "." + parts[1] + "." + strict().EncodeToString(make([]byte, 63)), "63 bytes"},
		"zero signature":      {parts[0] + "." + parts[1] + "." + strict().EncodeToString(make([]byte, 64)), "signature"},
	} {
		o, err := Open(c.token, typ, 100)
		if err == nil || !strings.Contains(err.Error(), c.says) || o.Payload != nil || o.Key != [32]byte{} {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(parts[0]+"."+parts[1]+"."+other[2], typ, 100); !errors.Is(err, ErrSignature) {
		t.Errorf("a wrong signature: %v", err)
	}
	if _, err := Open(token, "other+jws", 100); err == nil {
		t.Error("a token of another type")
	}
	if _, err := Open(token, "", 100); err == nil || !strings.Contains(err.Error(), `type "", expected up to 64`) {
		t.Errorf("no type: %v", err)
	}
	if _, err := Open(token, typ, 6); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := Open(token, typ, 7); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

func TestTypes(t *testing.T) {
	s := newSigner(t)
	for _, bad := range []string{"", "A", `a"b`, "a b", "ä", strings.Repeat("a", maxType+1), "a_b"} {
		if token, err := s.Sign(bad, nil); err == nil || token != "" {
			t.Errorf("type %q is accepted", bad)
		}
	}
	if _, err := s.Sign(strings.Repeat("a", maxType), nil); err != nil {
		t.Error(err)
	}
}

// broken is a signer that is none.
type broken struct {
	crypto.Signer
	out []byte
	err error
}

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.out, b.err }

// elsewhere is a signer whose public key is no point of its curve.
type elsewhere struct{ crypto.Signer }

func (elsewhere) Public() crypto.PublicKey {
	//lint:ignore SA1019 no parser returns a point that is not on the curve
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
}

func TestKeys(t *testing.T) {
	if _, err := NewSigner(nil); err == nil {
		t.Error("no key")
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	offCurve := elsewhere{newKey(t)}
	for _, key := range []crypto.Signer{rsaKey, p384, offCurve} {
		if _, err := NewSigner(key); err == nil {
			t.Errorf("%T is accepted", key)
		}
	}
	der := func(r, s *big.Int) []byte {
		out, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one, large := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	for name, b := range map[string]broken{
		"error": {err: errors.New("no")}, "no DER": {out: []byte("x")}, "more": {out: append(der(one, one), 0)},
		"zero r": {out: der(big.NewInt(0), one)}, "zero s": {out: der(one, big.NewInt(0))}, "negative": {out: der(big.NewInt(-1), one)},
		"large r": {out: der(large, one)}, "large s": {out: der(one, large)},
	} {
		b.Signer = newKey(t)
		s, err := NewSigner(b)
		if err != nil {
			t.Fatal(err)
		}
		if token, err := s.Sign(typ, nil); err == nil || token != "" || b.err != nil && !errors.Is(err, b.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Small numbers keep their place.
	if raw, err := fromDER(der(one, big.NewInt(2))); err != nil || !bytes.Equal(raw, append(append(make([]byte, 31), 1), append(make([]byte, 31), 2)...)) {
		t.Errorf("%x, %v", raw, err)
	}
}

func FuzzOpen(f *testing.F) {
	token := signed(f, newSigner(f), `{"a":1}`)
	f.Add(token)
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Open(text, typ, 100)
		if err != nil && (o.Payload != nil || o.Key != [32]byte{}) {
			t.Error("a value beside an error")
		}
	})
}
