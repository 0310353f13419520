package snp_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
	"github.com/blindbox/blindbox/attest/snp"
)

var _ attest.Verifier = (*snp.Verifier)(nil)

// TestContract runs the suite that every TEE's verifier passes, on real
// hardware's evidence and on a simulated machine's with all its CRLs.
func TestContract(t *testing.T) {
	t.Run("real", func(t *testing.T) {
		m := benchMachine()
		ev := m.evidence(t)
		attesttest.TestVerifier(t, attesttest.Harness{
			Verifier: amdVerifier(t), Evidence: ev, Endorsements: m.endorsements(t), At: m.at,
			ReportData: [64]byte(ev.Data[0x50:]), Required: []string{attest.LabelSNPVEK},
		})
	})
	t.Run("simulated", func(t *testing.T) {
		amd := attesttest.New()
		data := [64]byte{1, 2, 3}
		ev, end := amd.Make(t, data, attesttest.Kind(attest.SimSNP), attesttest.ASKCRL(func(*attesttest.CRL) {}))
		attesttest.TestVerifier(t, attesttest.Harness{
			Verifier: forgedVerifier(t, amd, attest.SimSNP), Evidence: ev, Endorsements: end, At: attesttest.Epoch(),
			ReportData: data, Required: []string{attest.LabelSNPVEK},
		})
	})
}

// TestEveryByteOfTheSignedPart changes one bit, then all bits, of each byte that
// the signature covers, on the warm path, which has fewer checks to hide behind.
func TestEveryByteOfTheSignedPart(t *testing.T) {
	m := benchMachine()
	chain, ev := m.chain(t, amdVerifier(t)), m.evidence(t)
	for i := range 0x2a0 {
		for _, mask := range []byte{1 << (i % 8), 0xff} {
			ev.Data[i] ^= mask
			if _, err := chain.Verify(ev, m.at); err == nil {
				t.Fatalf("verified with byte %#x changed by %#x", i, mask)
			}
			ev.Data[i] ^= mask
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	m := benchMachine()
	chain, ev := m.chain(t, amdVerifier(t)), m.evidence(t)
	full := ev.Data
	for n := range full {
		ev.Data = full[:n]
		_, err := chain.Verify(ev, m.at)
		failedWith(t, err, attest.CodeMalformed)
		if r, err := snp.ParseReport(full[:n]); err == nil || r != nil {
			t.Fatalf("parsed %d bytes", n)
		}
	}
	ev.Data = append(bytes.Clone(full), 0)
	_, err := chain.Verify(ev, m.at)
	failedWith(t, err, attest.CodeMalformed)
}

// TestConcurrentUse shares one verifier and one chain among 100 goroutines.
func TestConcurrentUse(t *testing.T) {
	m := benchMachine()
	v := amdVerifier(t)
	chain, ev, end := m.chain(t, v), m.evidence(t), m.endorsements(t)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = chain.Verify(ev, m.at)
			} else {
				_, err = v.Verify(ev, end, m.at)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestAgreesWithGoSevGuest compares with an independent verifier. Version
// 0.15.0 of it does not know Turin's certificates.
func TestAgreesWithGoSevGuest(t *testing.T) {
	v := amdVerifier(t)
	peer := func(m machine, raw []byte) error {
		report, err := abi.ReportToProto(raw)
		if err != nil {
			return err
		}
		return verify.SnpAttestation(&spb.Attestation{Report: report, CertificateChain: m.peerChain(t)}, m.peerOptions(t))
	}
	for _, m := range machines {
		if m.product == snp.Turin {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			ev := m.evidence(t)
			if err := peer(m, ev.Data); err != nil {
				t.Errorf("go-sev-guest refuses what we verify: %v", err)
			}
			for at := 0; at < len(ev.Data); at += 37 {
				ev.Data[at] ^= 0x40
				theirs := peer(m, ev.Data)
				_, ours := v.Verify(ev, m.endorsements(t), m.at)
				if ours == nil || theirs == nil {
					t.Errorf("byte %#x changed: ours %v, theirs %v", at, ours, theirs)
				}
				ev.Data[at] ^= 0x40
			}
		})
	}
}

func TestChainChecksTimeAtEachUse(t *testing.T) {
	amd := attesttest.New()
	v := forgedVerifier(t, amd, attest.SNP)
	now := attesttest.Epoch()
	ev, end := amd.Make(t, [64]byte{1}, attesttest.ASKCRL(func(c *attesttest.CRL) { c.NextUpdate = now.AddDate(0, 0, 10) }))
	chain, err := v.Endorse(end, now)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := chain.Verify(ev, now)
	if err != nil {
		t.Fatal(err)
	}
	if e := chain.Endorsed(); e != claims.Endorsed || !e.NotAfter.Equal(now.AddDate(0, 0, 10)) {
		t.Errorf("endorsed %v, want until the next update of the ASK's CRL", e)
	}
	for _, c := range []struct {
		at   time.Time
		code attest.Code
	}{
		{now.AddDate(0, 0, 11), attest.CodeStaleCRL},
		{now.AddDate(0, 0, -2), attest.CodeBadCRL},
		{now.AddDate(10, 0, 0), attest.CodeExpired},
		{time.Time{}, attest.CodeExpired},
	} {
		_, err := chain.Verify(ev, c.at)
		failedWith(t, err, c.code)
		if _, err := v.Endorse(end, c.at); err == nil {
			t.Errorf("endorsed at %s", c.at)
		}
	}
}

// TestChainIsOfOneMachine holds that a chain does not verify what another key
// signed, or the other kind of evidence.
func TestChainIsOfOneMachine(t *testing.T) {
	amd := attesttest.New()
	v := forgedVerifier(t, amd, attest.SNP)
	_, end := amd.Make(t, [64]byte{1})
	other, _ := amd.Make(t, [64]byte{1})
	chain, err := v.Endorse(end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.Verify(other, attesttest.Epoch())
	failedWith(t, err, attest.CodeBadSignature)
	other.Kind = attest.SimSNP
	_, err = chain.Verify(other, attesttest.Epoch())
	failedWith(t, err, attest.CodeKindMismatch)
}

func TestZeroValuesRefuse(t *testing.T) {
	m := benchMachine()
	ev, end := m.evidence(t), m.endorsements(t)
	for name, call := range map[string]func() (*attest.Claims, error){
		"zero Verifier": func() (*attest.Claims, error) { return new(snp.Verifier).Verify(ev, end, m.at) },
		"nil Verifier":  func() (*attest.Claims, error) { return (*snp.Verifier)(nil).Verify(ev, end, m.at) },
		"nil Verifier, kind": func() (*attest.Claims, error) {
			return (*snp.Verifier)(nil).Verify(attest.Evidence{Data: ev.Data}, end, m.at)
		},
		"zero Verifier, kind": func() (*attest.Claims, error) {
			return new(snp.Verifier).Verify(attest.Evidence{Data: ev.Data}, end, m.at)
		},
		"zero Chain":         func() (*attest.Claims, error) { return new(snp.Chain).Verify(ev, m.at) },
		"nil Chain":          func() (*attest.Claims, error) { return (*snp.Chain)(nil).Verify(ev, m.at) },
		"zero evidence":      func() (*attest.Claims, error) { return amdVerifier(t).Verify(attest.Evidence{}, end, m.at) },
		"zero of everything": func() (*attest.Claims, error) { return amdVerifier(t).Verify(attest.Evidence{}, nil, time.Time{}) },
		"nothing but the kind": func() (*attest.Claims, error) {
			return amdVerifier(t).Verify(attest.Evidence{Kind: attest.SNP}, nil, m.at)
		},
	} {
		claims, err := call()
		if claims != nil || err == nil {
			t.Errorf("%s: claims %v, error %v", name, claims, err)
		}
	}
	_, err := new(snp.Verifier).Verify(attest.Evidence{Data: ev.Data}, end, m.at)
	if first := failure(t, err).Failed()[0]; first.Name != "hardware.kind" || first.Code != attest.CodeKindMismatch {
		t.Errorf("a Verifier of no kind on evidence of no kind: %+v", first)
	}
	if _, err := new(snp.Chain).Verify(ev, m.at); !strings.Contains(err.Error(), "never verified") {
		t.Errorf("the zero Chain: %v", err)
	}
	none := (*snp.Verifier)(nil)
	if c, err := none.Endorse(end, m.at); c != nil || err == nil {
		t.Errorf("no Verifier endorses: %v, %v", c, err)
	}
	if _, err := none.CheckVEK(end[0].Data, m.at); err == nil {
		t.Error("no Verifier accepts a VCEK")
	}
	if _, err := none.CheckARKCRL(snp.Genoa, []byte{1}, m.at); err == nil {
		t.Error("no Verifier accepts a CRL")
	}
	if none.Kind() != 0 || (*snp.Chain)(nil).Endorsed() != (attest.Validity{}) {
		t.Error("what is not there has a kind or is endorsed")
	}
	if snp.Product(0).Valid() || (attest.Validity{}).Contains(m.at) || (snp.Revocation{}).Checked {
		t.Error("a zero value says yes")
	}
}

func TestRevocationClaims(t *testing.T) {
	amd := attesttest.New()
	v := forgedVerifier(t, amd, attest.SNP)
	get := func(opts ...attesttest.Option) *snp.Claims {
		t.Helper()
		ev, end := amd.Make(t, [64]byte{1}, opts...)
		claims, err := v.Verify(ev, end, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		return claims.Detail.(*snp.Claims)
	}
	none := get(attesttest.NoCRL())
	if none.ARKCRL.Checked || none.ASKCRL.Checked {
		t.Error("checked without CRLs")
	}
	both := get(attesttest.ARKCRL(func(c *attesttest.CRL) { c.Number = big.NewInt(42) }), attesttest.ASKCRL(func(*attesttest.CRL) {}))
	if !both.ARKCRL.Checked || !both.ASKCRL.Checked || both.ARKCRL.Number.Int64() != 42 || both.ARKCRL.NextUpdate.IsZero() {
		t.Errorf("revocation %+v %+v", both.ARKCRL, both.ASKCRL)
	}
}

// TestMaskedChipKeepsTheCertificatesID holds that masking hides the chip from
// the report only.
func TestMaskedChipKeepsTheCertificatesID(t *testing.T) {
	amd := attesttest.New()
	ev, end := amd.Make(t, [64]byte{1}, attesttest.MaskedChip())
	claims, err := forgedVerifier(t, amd, attest.SNP).Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	d := claims.Detail.(*snp.Claims)
	if !d.ChipIDMasked || !d.Report.ChipIDMasked() || !bytes.Equal(d.ChipID, attesttest.ChipID(attesttest.Genoa)) {
		t.Errorf("masked %t, chip id %x", d.ChipIDMasked, d.ChipID)
	}
	for _, c := range claims.Checks {
		if c.Name == "hardware.chip_id" && c.Status != attest.Skip {
			t.Errorf("%s, want a skipped check", c)
		}
	}
}

func TestSimulated(t *testing.T) {
	amd := attesttest.New()
	v := forgedVerifier(t, amd, attest.SimSNP)
	ev, end := amd.Make(t, [64]byte{1}, attesttest.Kind(attest.SimSNP))
	claims, err := v.Verify(ev, end, attesttest.Epoch())
	if err != nil || !claims.Simulated || claims.Kind != attest.SimSNP || v.Kind() != attest.SimSNP {
		t.Errorf("claims %+v, error %v", claims, err)
	}
}

// TestRootsRefused gives the constructor roots that must not be trusted.
func TestRootsRefused(t *testing.T) {
	amd := attesttest.New()
	good := forgedRoots(t, amd)[1]
	stranger := forgedRoots(t, attesttest.Stranger())[1]
	edited := func(role attesttest.Role, edit func(*x509.Certificate)) snp.Root {
		return forgedRoots(t, amd.Edited(func(r attesttest.Role, c *x509.Certificate) {
			if r == role {
				edit(c)
			}
		}))[1]
	}
	noCA := func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }
	noSign := func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }
	critical := func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, criticalExtension()) }
	weak := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA256WithRSAPSS }
	genoa := amd.Chain(t, attesttest.Genoa)
	misnamed, err := amdforge.Issue(genoa.ASK.Cert, genoa.ASVK.Cert, genoa.ASK.Key, genoa.ARK.Key)
	if err != nil {
		t.Fatal(err)
	}
	tail := func(b []byte) []byte { return append(bytes.Clone(b), 0) }
	for name, r := range map[string][]snp.Root{
		"none":                          {},
		"zero":                          {{}},
		"no product":                    {{ARK: good.ARK, ASK: good.ASK}},
		"unknown product":               {{Product: 9, ARK: good.ARK, ASK: good.ASK}},
		"no ARK":                        {{Product: snp.Genoa, ASK: good.ASK}},
		"no CA":                         {{Product: snp.Genoa, ARK: good.ARK}},
		"ARK not a certificate":         {{Product: snp.Genoa, ARK: []byte("x"), ASK: good.ASK}},
		"bytes behind the ARK":          {{Product: snp.Genoa, ARK: tail(good.ARK), ASK: good.ASK}},
		"bytes behind the ASK":          {{Product: snp.Genoa, ARK: good.ARK, ASK: tail(good.ASK)}},
		"another's ASK":                 {{Product: snp.Genoa, ARK: good.ARK, ASK: stranger.ASK}},
		"ASK in place of the ARK":       {{Product: snp.Genoa, ARK: good.ASK, ASK: good.ASK}},
		"ARK not a CA":                  {edited(attesttest.RoleARK, noCA)},
		"ARK that may not sign":         {edited(attesttest.RoleARK, noSign)},
		"ARK without room for a CA":     {edited(attesttest.RoleARK, func(c *x509.Certificate) { c.MaxPathLenZero = true })},
		"ASK not a CA":                  {edited(attesttest.RoleASK, noCA)},
		"ASK that may not sign":         {edited(attesttest.RoleASK, noSign)},
		"ASK of another issuer":         {{Product: snp.Genoa, ARK: good.ARK, ASK: misnamed.DER()}},
		"ASK with a critical extension": {edited(attesttest.RoleASK, critical)},
		"ARK signed over SHA-256":       {edited(attesttest.RoleARK, weak)},
		"ASK signed over SHA-256":       {edited(attesttest.RoleASK, weak)},
		"ASVK not a CA":                 {edited(attesttest.RoleASVK, noCA)},
		"two roots of one name":         {good, good},
		"leaf in place of the ASK":      {{Product: snp.Genoa, ARK: good.ARK, ASK: vector(t, "genoa-v5-oak.vek.der")}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := snp.NewVerifierWithRoots(attest.SNP, r...)
			if v != nil || err == nil || !strings.HasPrefix(err.Error(), "snp: ") {
				t.Errorf("verifier %v, error %v", v, err)
			}
		})
	}
	for _, kind := range []attest.Kind{attest.KindInvalid, 99} {
		if _, err := snp.NewVerifierWithRoots(kind, good); err == nil {
			t.Errorf("a verifier of kind %s", kind)
		}
	}
	short, err := amdforge.NewChain(amdforge.ChainOptions{Line: amdforge.Genoa, Bits: 1024, NotBefore: day(2020, 1, 1), NotAfter: day(2040, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: short.ARK.DER(), ASK: short.ASK.DER()}); err == nil {
		t.Error("RSA keys of 1024 bits accepted")
	}
}

// TestRootWithoutASVK holds that what was not trusted cannot be used.
// TestLargeKeysAreNotUsed brings a root whose key is as large as its maker likes.
// Where the root is the box's own, checking one signature must not take seconds.
func TestLargeKeysAreNotUsed(t *testing.T) {
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	large := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(3), 4096), E: 1<<31 - 1}
	large.N.SetBit(large.N, 0, 1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: day(2020, 1, 1), NotAfter: day(2040, 1, 1),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SignatureAlgorithm: x509.SHA384WithRSAPSS,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, large, signer)
	if err != nil {
		t.Fatal(err)
	}
	_, err = snp.NewVerifierWithRoots(attest.SimSNP, snp.Root{Product: snp.Genoa, ARK: der, ASK: der})
	if err == nil || !strings.Contains(err.Error(), "at most 4096") {
		t.Errorf("a root of %d bits: got %v, expected it to be refused for its size", large.N.BitLen(), err)
	}
}

func TestRootWithoutASVK(t *testing.T) {
	amd := attesttest.New()
	root := forgedRoots(t, amd)[1]
	root.ASVK = nil
	v, err := snp.NewVerifierWithRoots(attest.SNP, root)
	if err != nil {
		t.Fatal(err)
	}
	ev, end := amd.Make(t, [64]byte{1}, attesttest.VLEK("CN=csp.example"))
	_, err = v.Verify(ev, end, attesttest.Epoch())
	failedWith(t, err, attest.CodeUntrustedRoot)
	ev, end = amd.Make(t, [64]byte{1})
	if _, err := v.Verify(ev, end, attesttest.Epoch()); err != nil {
		t.Error(err)
	}
}

// TestCallersCannotChangeAVerifier changes everything that went in and came
// out, and verifies again.
func TestCallersCannotChangeAVerifier(t *testing.T) {
	amd := attesttest.New()
	roots := forgedRoots(t, amd)
	v, err := snp.NewVerifierWithRoots(attest.SNP, roots...)
	if err != nil {
		t.Fatal(err)
	}
	ev, end := amd.Make(t, [64]byte{1})
	chain, err := v.Endorse(end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := chain.Verify(ev, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	for i := range roots {
		clear(roots[i].ARK)
		clear(roots[i].ASK)
	}
	ownEnd := end[0].Data
	saved := bytes.Clone(ownEnd)
	clear(ownEnd)
	d := claims.Detail.(*snp.Claims)
	clear(d.ChipID)
	d.ARKCRL.Number.SetInt64(99)
	for i := range claims.Checks {
		claims.Checks[i].Status = attest.Fail
	}
	again, err := chain.Verify(ev, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	if g := again.Detail.(*snp.Claims); bytes.Equal(g.ChipID, d.ChipID) || g.ARKCRL.Number.Int64() == 99 {
		t.Error("the chain changed")
	}
	copy(ownEnd, saved)
	if _, err := v.Verify(ev, end, attesttest.Epoch()); err != nil {
		t.Error(err)
	}
}

func TestErrorsAreFailures(t *testing.T) {
	_, err := snp.ParseCertTable([]byte("x"))
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Errorf("ParseCertTable: %T", err)
	}
	_, err = snp.ParseCertTable(make([]byte, attest.MaxEndorsement+1))
	failedWith(t, err, attest.CodeTooLarge)
	if table, err := snp.ParseCertTable(make([]byte, 24)); err != nil || len(table) != 0 {
		t.Errorf("empty table: %v, %v", table, err)
	}
	_, err = snp.ParseReport(nil)
	if !errors.As(err, &f) || !strings.Contains(fmt.Sprint(err), "1184") {
		t.Errorf("ParseReport: %v", err)
	}
}

// TestSaidOfExtensions: what is wrong with AMD's extensions is said by its name and
// not by what is missing because of it.
func TestSaidOfExtensions(t *testing.T) {
	amd := attesttest.New()
	v := forgedVerifier(t, amd, attest.SNP)
	for want, edit := range map[string]func(*x509.Certificate){
		"extension 1.3.6.1.4.1.3704.1.9 is not understood": func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 9}, Value: []byte{5, 0}})
		},
		"product name: 0c": func(c *x509.Certificate) { amdforge.SetExtension(c, amdforge.OIDProductName, []byte("\x0c\x05Genoa")) },
	} {
		ev, end := amd.Make(t, [64]byte{1}, attesttest.EditTemplate(edit))
		if _, err := v.Verify(ev, end, attesttest.Epoch()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestSaidOfMissingCRLs: a list that is not there is called by its place in the chain.
func TestSaidOfMissingCRLs(t *testing.T) {
	m := benchMachine()
	claims, err := amdVerifier(t).Verify(m.evidence(t), m.endorsements(t), m.at)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"hardware.ark_crl": "a CRL of the ARK", "hardware.ask_crl": "a CRL of the ASK or ASVK"}
	for _, c := range claims.Checks {
		if c.Code == attest.CodeNoCRL && c.Expected != want[c.Name] {
			t.Errorf("%s: expected %q", c.Name, c.Expected)
		}
		delete(want, c.Name)
	}
	if len(want) != 0 {
		t.Errorf("nothing said of %v", want)
	}
}
