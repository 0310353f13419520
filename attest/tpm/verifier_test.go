package tpm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
	"github.com/blindbox/blindbox/attest/tpm"
)

func nameOf(t *testing.T, ev attest.Evidence) []byte {
	t.Helper()
	q, err := form.ParseTPM(ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := tpm.ParsePublic(q.AKPublic)
	if err != nil {
		t.Fatal(err)
	}
	return p.Name
}

// TestPinned: a key that answered a challenge is good for as long as it was said,
// and no other key is.
func TestPinned(t *testing.T) {
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce())
	at := attesttest.Epoch()
	span := attest.Validity{NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour)}
	v, err := tpm.NewVerifierWithRoots(tpm.Trust{Pins: []tpm.Pin{{Name: nameOf(t, ev), Validity: span}}})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(ev, nil, at)
	if err != nil {
		t.Fatal(err)
	}
	if d := claims.Detail.(*tpm.Claims); d.Binding != tpm.Activated || claims.Endorsed != span {
		t.Errorf("key %s, endorsed %v", d.Binding, claims.Endorsed)
	}
	_, err = v.Verify(ev, nil, at.Add(2*time.Hour))
	casetest.Refused(t, err, "hardware.tpm_ak_pinned", attest.CodeExpired)
	other := bytes.Clone(nameOf(t, ev))
	other[9] ^= 1
	if v, err = tpm.NewVerifierWithRoots(tpm.Trust{Pins: []tpm.Pin{{Name: other, Validity: span}}}); err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(ev, nil, at)
	casetest.Refused(t, err, "hardware.tpm_ak_bound", attest.CodeUntrustedRoot)
}

// TestUnbound: a Verifier that knows no maker says so, and trusts no chain.
func TestUnbound(t *testing.T) {
	ev, end := attesttest.MakeTPM(t, attesttest.TPMNonce())
	v, err := tpm.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(ev, nil, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	if d := claims.Detail.(*tpm.Claims); d.Binding != tpm.Unbound {
		t.Errorf("key %s", d.Binding)
	}
	_, err = v.Verify(ev, end, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.tpm_ak_chain", attest.CodeUntrustedRoot)
	_, err = v.Verify(ev, nil, time.Time{})
	casetest.Refused(t, err, "hardware.tpm_time", attest.CodeExpired)
	_, err = v.Verify(ev, attest.Endorsements{{Label: attest.LabelTPMAKCRL, Data: []byte{1}}}, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.tpm_ak_crl", attest.CodeBadCRL)
}

// TestListOfNobody: no list goes unread, for a pinned key neither.
func TestListOfNobody(t *testing.T) {
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce())
	at := attesttest.Epoch()
	pin := tpm.Pin{Name: nameOf(t, ev), Validity: attest.Validity{NotBefore: at, NotAfter: at.Add(time.Hour)}}
	v, err := tpm.NewVerifierWithRoots(tpm.Trust{Pins: []tpm.Pin{pin}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(ev, nil, at); err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(ev, attest.Endorsements{{Label: attest.LabelTPMAKCRL, Data: []byte{1}}}, at)
	casetest.Refused(t, err, "hardware.tpm_ak_crl", attest.CodeBadCRL)
}

// TestZeroVerifier: nobody trusts by forgetting to.
func TestZeroVerifier(t *testing.T) {
	ev, end := attesttest.MakeTPM(t, attesttest.TPMNonce())
	for _, v := range []*tpm.Verifier{{}, nil} {
		claims, err := v.Verify(ev, end, attesttest.Epoch())
		if casetest.Refused(t, err, "hardware.kind", attest.CodeKindMismatch); claims != nil {
			t.Error("claims by nobody")
		}
	}
	at := attesttest.Epoch()
	name := nameOf(t, ev)
	span := attest.Validity{NotBefore: at, NotAfter: at.Add(time.Hour)}
	for what, trust := range map[string]tpm.Trust{
		"nothing":         {},
		"no certificate":  {Roots: [][]byte{{1}}},
		"empty name":      {Pins: []tpm.Pin{{Validity: span}}},
		"short name":      {Pins: []tpm.Pin{{Name: name[:33], Validity: span}}},
		"SHA-1 name":      {Pins: []tpm.Pin{{Name: append([]byte{0, 4}, name[2:22]...), Validity: span}}},
		"no validity":     {Pins: []tpm.Pin{{Name: name}}},
		"reversed":        {Pins: []tpm.Pin{{Name: name, Validity: attest.Validity{NotBefore: at, NotAfter: at.Add(-1)}}}},
		"not a CA":        {Roots: [][]byte{leafDER(t, end)}},
		"not self-signed": {Roots: [][]byte{caDER(t, end)}},
	} {
		if v, err := tpm.NewVerifierWithRoots(trust); v != nil || err == nil {
			t.Errorf("%s: %v", what, v)
		}
	}
}

func leafDER(t *testing.T, end attest.Endorsements) []byte { return chainOf(t, end)[0].Raw }
func caDER(t *testing.T, end attest.Endorsements) []byte   { return chainOf(t, end)[1].Raw }

func chainOf(t *testing.T, end attest.Endorsements) []*x509.Certificate {
	t.Helper()
	return pemCertificates(t, end[0].Data)
}

// TestNonce: only 32 bytes are a nonce, and only those of the statement prove it.
func TestNonce(t *testing.T) {
	b := bound(t)
	nonce := b.Nonce(attest.TPM)
	azure := b.Nonce(attest.AzureSNP)
	for name, c := range map[string]struct {
		extra  []byte
		proves bool
	}{
		"right":          {nonce[:], true},
		"another kind's": {azure[:], false},
		"empty":          {nil, false},
		"short":          {nonce[:31], false},
		"long":           {append(bytes.Clone(nonce[:]), 0), false},
		"zero":           {make([]byte, 32), false},
	} {
		ev, end := attesttest.MakeTPM(t, c.extra)
		v, err := tpm.NewVerifierWithRoots(tpm.Trust{Roots: [][]byte{attesttest.NewTPMMaker().Root(t)}})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := v.Verify(ev, end, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		if claims.Proves(b) != c.proves {
			t.Errorf("%s: proves %v", name, !c.proves)
		}
	}
}

func bound(t *testing.T) attest.Bound {
	t.Helper()
	b, err := attest.Statement{
		Purpose: attest.PurposeKeys, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Policy: attest.Digest{3},
		NotBefore: attesttest.Epoch(), NotAfter: attesttest.Epoch().Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEKRefused: each rule for an endorsement key's certificate, broken (row P11).
func TestEKRefused(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	area := ekArea(key)
	at := attestTime()
	verify := func(m *maker, area []byte, roots [][]byte, at time.Time, edits ...func(*x509.Certificate)) error {
		chain := m.ek(t, key.Public(), edits...)
		ek, err := tpm.VerifyEK(area, chain, roots, at)
		if (ek == nil) == (err == nil) {
			t.Fatalf("key %v and error %v", ek, err)
		}
		return err
	}
	m := newMaker(t)
	roots := [][]byte{m.root.Raw}
	if err := verify(m, area, roots, at); err != nil {
		t.Fatal(err)
	}
	casetest.Refused(t, verify(m, area, [][]byte{newMaker(t).root.Raw}, at), "hardware.tpm_ek_chain", attest.CodeUntrustedRoot)
	casetest.Refused(t, verify(m, area, nil, at), "hardware.tpm_ek_chain", attest.CodeUntrustedRoot)
	casetest.Refused(t, verify(m, area, [][]byte{{1}}, at), "hardware.tpm_ek_chain", attest.CodeUntrustedRoot)
	casetest.Refused(t, verify(m, area, roots, at.AddDate(2, 0, 0)), "hardware.tpm_ek_validity", attest.CodeExpired)
	casetest.Refused(t, verify(m, area, roots, at, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }), "hardware.tpm_ek_usage", tpm.CodeEKProfile)
	casetest.Refused(t, verify(m, area, roots, at, func(c *x509.Certificate) { c.ExtraExtensions = nil; c.Subject.CommonName = "x" }), "hardware.tpm_ek_subject", tpm.CodeEKProfile)
	casetest.Refused(t, verify(m, area, roots, at, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "hardware.tpm_ek_chain", attest.CodeBadChain)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	casetest.Refused(t, verify(m, ekArea(other), roots, at), "hardware.tpm_ek_certified", attest.CodeKeyMismatch)
	signing := bytes.Clone(area)
	signing[5] |= 4
	casetest.Refused(t, verify(m, signing, roots, at), "hardware.tpm_ek_attributes", tpm.CodeKey)
	casetest.Refused(t, verify(m, area[:len(area)-1], roots, at), "hardware.tpm_ek", attest.CodeMalformed)
	_, err = tpm.VerifyEK(area, []byte("no PEM"), roots, at)
	casetest.Refused(t, err, "hardware.tpm_ek_chain", attest.CodeMalformed)
}

// ekArea is the public area of an ECC endorsement key: template L-2 without its
// policy (EK Credential Profile, B.3.4).
func ekArea(key *ecdsa.PrivateKey) []byte {
	x, y := key.X.FillBytes(make([]byte, 32)), key.Y.FillBytes(make([]byte, 32))
	head := []byte{0, 0x23, 0, 0x0b, 0, 3, 0, 0xb2, 0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10}
	return slices.Concat(head, tpmforge.Sized(x), tpmforge.Sized(y))
}

// TestChallengeRefused: a challenge is to a verified key, about a name, with a
// secret that cannot be guessed.
func TestChallengeRefused(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := newMaker(t)
	ek, err := tpm.VerifyEK(ekArea(key), m.ek(t, key.Public()), [][]byte{m.root.Raw}, attestTime())
	if err != nil {
		t.Fatal(err)
	}
	ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce())
	name, secret := nameOf(t, ev), make([]byte, 32)
	if _, err := ek.Challenge(rand.Reader, name, secret); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func() (*tpm.Challenge, error){
		"no key":       func() (*tpm.Challenge, error) { return (*tpm.EK)(nil).Challenge(rand.Reader, name, secret) },
		"zero key":     func() (*tpm.Challenge, error) { return new(tpm.EK).Challenge(rand.Reader, name, secret) },
		"no name":      func() (*tpm.Challenge, error) { return ek.Challenge(rand.Reader, nil, secret) },
		"short secret": func() (*tpm.Challenge, error) { return ek.Challenge(rand.Reader, name, secret[:15]) },
		"long secret":  func() (*tpm.Challenge, error) { return ek.Challenge(rand.Reader, name, make([]byte, 33)) },
	} {
		if c, err := f(); c != nil && err == nil {
			t.Errorf("%s: %v", what, c)
		}
	}
	if tpm.Answers(nil, nil) || tpm.Answers([]byte("short"), []byte("short")) || tpm.Answers(make([]byte, 31), secret) || !tpm.Answers(make([]byte, 32), secret) {
		t.Error("answers are compared wrongly")
	}
}

// TestRSAKeys: attestation keys of RSA, with both schemes.
func TestRSAKeys(t *testing.T) {
	for name, scheme := range map[string]uint16{"RSASSA": tpmforge.RSASSA, "RSAPSS": tpmforge.RSAPSS} {
		ev, _ := attesttest.MakeTPM(t, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) {
			m.AK = tpmforge.NewAK(attesttest.TPMRSAKey(t), tpmforge.SHA256)
			m.AK.Scheme = scheme
		})
		q, err := form.ParseTPM(ev.Data)
		if err != nil {
			t.Fatal(err)
		}
		c, checks := tpm.Examine(q)
		if err := attest.FailureOf(checks); err != nil || c == nil {
			t.Errorf("%s: %v", name, err)
		}
		q.Signature[len(q.Signature)-1] ^= 1
		if _, checks = tpm.Examine(q); attest.FailureOf(checks) == nil {
			t.Errorf("%s: changed signature accepted", name)
		}
	}
}

// TestLogIsCopied: what claims say of the boot does not change with the log that it
// was read from.
func TestLogIsCopied(t *testing.T) {
	ev, end := attesttest.MakeTPM(t, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) { m.WithLog = true })
	v, err := tpm.NewVerifierWithRoots(tpm.Trust{Roots: [][]byte{attesttest.NewTPMMaker().Root(t)}})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range end {
		clear(e.Data)
	}
	boot := claims.Detail.(*tpm.Claims).Boot
	if boot == nil || boot.SecureBoot == nil || string(boot.SecureBoot.DBX) != "forbidden" || string(boot.SecureBoot.Authorities[0].Data) != "the key that signed the image" {
		t.Errorf("%+v", boot)
	}
}

// FuzzExamine: no bytes make the parsers panic.
func FuzzExamine(f *testing.F) {
	ev, _ := attesttest.MakeTPM(f, attesttest.TPMNonce())
	f.Add(ev.Data)
	rsa, _ := attesttest.MakeTPM(f, attesttest.TPMNonce(), func(m *attesttest.TPMMachine) { m.AK = tpmforge.NewAK(attesttest.TPMRSAKey(f), tpmforge.SHA256) })
	f.Add(rsa.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := form.ParseTPM(data)
		if err != nil {
			return
		}
		c, checks := tpm.Examine(q)
		if c == nil && attest.FailureOf(checks) == nil {
			t.Error("neither claims nor a failed check")
		}
	})
}
