package tpm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
	"github.com/blindbox/blindbox/attest/tpm"
)

func saying(t *testing.T, what string, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: error %v, want %q", what, err, words)
	}
}

// TestParseQuote: each rule of the format, broken.
func TestParseQuote(t *testing.T) {
	ak := tpmforge.NewAK(attesttest.TPMRSAKey(t), tpmforge.SHA256)
	for words, edit := range map[string]func(*tpmforge.Quote){
		"magic":           func(q *tpmforge.Quote) { q.Magic++ },
		"type":            func(q *tpmforge.Quote) { q.Type++ },
		"17 banks":        func(q *tpmforge.Quote) { q.Selections = make([]tpmforge.Selection, 17) },
		"67 bytes, limit": func(q *tpmforge.Quote) { q.Qualified = make([]byte, 67) },
		"65 bytes, limit": func(q *tpmforge.Quote) { q.Digest = make([]byte, 65) },
		"selection of 4":  func(q *tpmforge.Quote) { q.Selections[0].Size = 4 },
		"expected 0 or 1": func(q *tpmforge.Quote) { q.Safe = 3 },
		"after the end":   func(q *tpmforge.Quote) { q.Tail = []byte{1} },
	} {
		q := tpmforge.NewQuote(ak, tpmforge.SHA256, tpmforge.Registers{0: make([]byte, 32)}, nil)
		edit(&q)
		_, err := tpm.ParseQuote(q.Encode())
		saying(t, words, err, words)
	}
}

// TestParsePublic: each rule for keys, broken.
func TestParsePublic(t *testing.T) {
	signer := attesttest.TPMRSAKey(t)
	area := tpmforge.NewAK(signer, tpmforge.SHA256).Area()
	small := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 1023, 1), E: 65537}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecc, ek := tpmforge.NewAK(key, tpmforge.SHA256).Area(), ekArea(key)
	large := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 4100, 1), E: 65537}
	at := func(b []byte, i int, v byte) []byte {
		b = bytes.Clone(b)
		b[i] = v
		return b
	}
	// type, name algorithm, attributes, policy, symmetric, scheme, hash: 18 bytes;
	// then bits and exponent, or curve and key derivation.
	for what, c := range map[string]struct {
		area  []byte
		words string
	}{
		"SHA-1 name":      {at(area, 3, 4), "name algorithm"},
		"other type":      {at(area, 1, 8), "expected RSA or ECC"},
		"symmetric":       {at(area, 11, 0x26), "expected none or AES"},
		"AES-192":         {at(ek, 13, 192), "AES-192"},
		"AES in CTR":      {at(ek, 15, 0x40), "mode"},
		"1024 bits":       {areaOf(area, small), "1024"},
		"bits are a lie":  {at(area, 16, 12), "said to have"},
		"4101 bits":       {areaOf(area, large), "limit 512"},
		"exponent 3":      {at(area, 21, 3), "exponent 3"},
		"key derivation":  {at(ecc, 19-1, 0x22), "key derivation"},
		"P-521":           {at(ecc, 17, 5), "curve"},
		"long coordinate": {longCoordinate(ecc), "coordinates"},
		"long second":     {slices.Concat(ecc[:len(ecc)-34], tpmforge.Sized(append([]byte{0}, ecc[len(ecc)-32:]...)), nil), "coordinates"},
		"long policy":     {slices.Concat(area[:8], tpmforge.Sized(make([]byte, 65)), area[10:]), "65 bytes, limit"},
	} {
		_, err := tpm.ParsePublic(c.area)
		saying(t, what, err, c.words)
	}
}

// areaOf replaces the key in an RSA key's area.
func areaOf(area []byte, key *rsa.PublicKey) []byte {
	return slices.Concat(area[:16], []byte{byte(key.N.BitLen() >> 8), byte(key.N.BitLen())}, area[18:22], tpmforge.Sized(key.N.Bytes()))
}

// longCoordinate puts a zero byte before the first coordinate.
func longCoordinate(area []byte) []byte {
	head, x, y := area[:len(area)-68], area[len(area)-66:len(area)-34], area[len(area)-34:]
	return slices.Concat(head, tpmforge.Sized(append([]byte{0}, x...)), y)
}

// TestSchemes: signature, key and quote agree on scheme, hash and kind of key, even
// where the signature itself is good.
func TestSchemes(t *testing.T) {
	signer := attesttest.TPMRSAKey(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(ak tpmforge.AK, scheme, hash uint16) tpmforge.AK {
		ak.Scheme, ak.Hash = scheme, hash
		return ak
	}
	rsaKey, eccKey := tpmforge.NewAK(signer, tpmforge.SHA256), tpmforge.NewAK(key, tpmforge.SHA256)
	for name, c := range map[string]struct{ shown, signs tpmforge.AK }{
		"PSS by a key of PKCS 1":     {rsaKey, with(rsaKey, tpmforge.RSAPSS, tpmforge.SHA256)},
		"another hash":               {rsaKey, with(rsaKey, tpmforge.RSASSA, tpmforge.SHA384)},
		"ECDSA said to be by RSA":    {with(rsaKey, tpmforge.ECDSA, tpmforge.SHA256), eccKey},
		"RSA said to be by a curve":  {with(eccKey, tpmforge.RSASSA, tpmforge.SHA256), rsaKey},
		"SHA-1 in key and signature": {with(rsaKey, tpmforge.RSASSA, tpmforge.SHA1), with(rsaKey, tpmforge.RSASSA, tpmforge.SHA1)},
	} {
		ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) { m.AK, m.Sign = c.shown, c.signs.Sign })
		v, err := tpm.NewVerifier()
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(ev, nil, attesttest.Epoch())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		casetest.Refused(t, err, "hardware.tpm_scheme", tpm.CodeScheme)
	}
}

// TestEndorsementsRefused: what comes beside a quote is whole, single and not too
// long, even where it would not be needed.
func TestEndorsementsRefused(t *testing.T) {
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce())
	v, err := tpm.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	long := make([]byte, attest.MaxEndorsement+1)
	for label, check := range map[string]string{
		attest.LabelTPMAKChain: "hardware.tpm_ak_chain_form", attest.LabelTPMAKCRL: "hardware.tpm_ak_crl_form", attest.LabelEventLog: "hardware.tpm_event_log_form",
	} {
		for _, c := range []struct {
			end  attest.Endorsements
			code attest.Code
		}{
			{attest.Endorsements{{Label: label, Data: long}}, attest.CodeTooLarge},
			{attest.Endorsements{{Label: label}}, attest.CodeMalformed},
			{attest.Endorsements{{Label: label, Data: []byte{1}}, {Label: label, Data: []byte{2}}}, attest.CodeAmbiguous},
		} {
			_, err := v.Verify(ev, c.end, attesttest.Epoch())
			casetest.Refused(t, err, check, c.code)
		}
	}
	_, err = v.Verify(ev, attest.Endorsements{{Label: attest.LabelTPMAKChain, Data: []byte("no PEM")}}, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.tpm_ak_chain_form", attest.CodeMalformed)
}

// TestTrustRefused: a root is a CA that signed itself, a pin has two ends.
func TestTrustRefused(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, template("leaf", -1), nil, key.Public(), key)
	if _, err := tpm.NewVerifierWithRoots(tpm.Trust{Roots: [][]byte{leaf.Raw}}); err == nil {
		t.Error("a root that is no CA")
	}
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce())
	pin := tpm.Pin{Name: nameOf(t, ev), Validity: attest.Validity{NotAfter: time.Now()}}
	if _, err := tpm.NewVerifierWithRoots(tpm.Trust{Pins: []tpm.Pin{pin}}); err == nil {
		t.Error("a pin without a beginning")
	}
}

// TestChallengeWithoutRandom: a seed that cannot be made is an error.
func TestChallengeWithoutRandom(t *testing.T) {
	key := attesttest.TPMRSAKey(t)
	n := key.Public().(*rsa.PublicKey).N.Bytes()
	area := slices.Concat([]byte{0, 1, 0, 0x0b, 0, 3, 0, 0xb2, 0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0}, tpmforge.Sized(n))
	m := newMaker(t)
	chain := m.ek(t, key.Public())
	ek, err := tpm.VerifyEK(area, chain, [][]byte{m.root.Raw}, attestTime())
	if err != nil {
		t.Fatal(err)
	}
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce())
	if c, err := ek.Challenge(bytes.NewReader(nil), nameOf(t, ev), make([]byte, 32)); c != nil || err == nil {
		t.Errorf("challenge %v without random bytes", c)
	}
}
