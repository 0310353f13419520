package endorse_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/source"
)

// crl makes a list of the ARK that is in force for 30 days.
func crl(t *testing.T, ca *attesttest.CA, number int64, from time.Time, edit ...func(*x509.RevocationList)) []byte {
	t.Helper()
	var c attesttest.CRL
	c.ThisUpdate, c.NextUpdate, c.Number = from, from.AddDate(0, 0, 30), big.NewInt(number)
	for _, e := range edit {
		c.Edit = e
	}
	der, err := ca.CRL(c.CRLOptions)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// withdraws makes a list of these serial numbers, in this order.
func withdraws(serials ...int64) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		for _, n := range serials {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: l.ThisUpdate})
		}
	}
}

// genoa publishes what one healthy machine needs and returns its evidence, the
// VCEK's object and the CRL's.
func genoa(t *testing.T, v *vendors) (ev attest.Evidence, vcek, list source.Object) {
	t.Helper()
	ev, end := attesttest.New().Make(t, [64]byte{1})
	objects := v.publish(ev, end)
	if len(objects) != 2 {
		t.Fatalf("%d objects, expected VCEK and CRL", len(objects))
	}
	v.set(objects[1], crl(t, attesttest.New().Chain(t, attesttest.Genoa).ARK, 9, v.Now().Add(-time.Hour)), nil)
	return ev, objects[0], objects[1]
}

func TestSNP(t *testing.T) {
	v := newVendors(t)
	ev, _, _ := genoa(t, v)
	end, err := v.fetcher("").For(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	c, err := roots(t).AMD.Verify(ev, end, v.Now())
	if err != nil || c == nil {
		t.Errorf("what was fetched does not verify the evidence: %v", err)
	}
	if len(end) != 2 {
		t.Errorf("%d endorsements, expected 2", len(end))
	}
}

// TestReportThatNamesNoProcessor: only AMD's answer tells Milan from Genoa.
func TestReportThatNamesNoProcessor(t *testing.T) {
	v := newVendors(t)
	ev, end := attesttest.New().Make(t, [64]byte{1}, attesttest.On(attesttest.Genoa, 2))
	v.publish(ev, end)
	got, err := v.fetcher("").For(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := roots(t).AMD.Verify(ev, got, v.Now()); err != nil {
		t.Error(err)
	}
	v.fail(500)
	if _, err := v.fetcher("").For(t.Context(), ev); codeOf(err) != fetch.CodeUnavailable || !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("vendor down: %v", err)
	}
}

func TestCompleteAsksForWhatIsMissing(t *testing.T) {
	v := newVendors(t)
	ev, vcek, list := genoa(t, v)
	_, have := attesttest.New().Make(t, [64]byte{1}, attesttest.NoCRL())
	end, err := v.fetcher("").Complete(t.Context(), ev, have)
	if err != nil || len(end) != 1 || end[0].Label != attest.LabelSNPARKCRL || v.count(vcek) != 0 || v.count(list) != 1 {
		t.Errorf("%v, %v; asked for the VCEK %d times", end, err, v.count(vcek))
	}
}

// TestCache: a VCEK is asked for once and for all, a list again after a day, in
// the background.
func TestCache(t *testing.T) {
	v := newVendors(t)
	ev, vcek, list := genoa(t, v)
	f := v.fetcher(t.TempDir())
	get := func() attest.Endorsements {
		t.Helper()
		end, err := f.For(t.Context(), ev)
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	first := get()
	get()
	if v.count(vcek) != 1 || v.count(list) != 1 {
		t.Errorf("asked %d and %d times, expected once each", v.count(vcek), v.count(list))
	}
	v.pass(25 * time.Hour)
	newer := crl(t, attesttest.New().Chain(t, attesttest.Genoa).ARK, 10, v.Now())
	v.set(list, newer, nil)
	if stale := get(); !bytes.Equal(stale[1].Data, first[1].Data) {
		t.Error("waited for the new list although the old one is in force")
	}
	f.Wait()
	if now := get(); !bytes.Equal(now[1].Data, newer) || v.count(list) != 2 || v.count(vcek) != 1 {
		t.Errorf("the list was not refreshed in the background: asked %d times", v.count(list))
	}
}

// TestVendorDown: what is in force is used until its end and not longer.
func TestVendorDown(t *testing.T) {
	v := newVendors(t)
	ev, _, _ := genoa(t, v)
	dir := t.TempDir()
	f := v.fetcher(dir)
	if _, err := f.For(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	v.fail(503)
	v.pass(29 * 24 * time.Hour)
	if _, err := f.For(t.Context(), ev); err != nil {
		t.Errorf("within the list's time: %v", err)
	}
	f.Wait()
	items, err := v.fetcher(dir, refresh).Items(t.Context(), ev, nil)
	if err != nil || len(items) != 2 || items[1].Kept == nil || !errors.Is(items[1].Kept, attest.ErrUnavailable) {
		t.Errorf("refresh says nothing about what could not be had: %+v, %v", items, err)
	}
	v.pass(2 * 24 * time.Hour)
	end, err := f.For(t.Context(), ev)
	if end != nil || codeOf(err) != fetch.CodeUnavailable {
		t.Errorf("past the list's end: %v, %v", end, err)
	}
}

func TestOffline(t *testing.T) {
	v := newVendors(t)
	ev, vcek, _ := genoa(t, v)
	dir := t.TempDir()
	offline := func(o *endorse.Options) { o.Offline = true }
	if _, err := v.fetcher(dir, offline).For(t.Context(), ev); !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("empty cache: %v", err)
	}
	if v.count(vcek) != 0 {
		t.Error("asked although offline")
	}
	if _, err := v.fetcher(dir).For(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	v.pass(48 * time.Hour)
	if end, err := v.fetcher(dir, offline).For(t.Context(), ev); err != nil || len(end) != 2 || v.count(vcek) != 1 {
		t.Errorf("full cache: %v, %v", end, err)
	}
	if _, err := endorse.New(endorse.Options{Offline: true}); err == nil {
		t.Error("offline without a cache accepted")
	}
}

// TestRollback: a list with a lower number than one that was seen, which withdraws
// something else, is refused while it is still in force, also by another process
// that shares the cache.
func TestRollback(t *testing.T) {
	v := newVendors(t)
	ev, _, list := genoa(t, v)
	ark, dir := attesttest.New().Chain(t, attesttest.Genoa).ARK, t.TempDir()
	if _, err := v.fetcher(dir).For(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	v.set(list, crl(t, ark, 8, v.Now().Add(-time.Minute), withdraws(77)), nil)
	end, err := v.fetcher(dir, refresh).For(t.Context(), ev)
	if end != nil || codeOf(err) != endorse.CodeCRLRollback {
		t.Errorf("older list: %v, %v", end, err)
	}
	kept, err := v.fetcher(dir).For(t.Context(), ev)
	if err != nil || len(kept) != 2 {
		t.Errorf("the list that was there is lost: %v", err)
	}
	v.set(list, crl(t, ark, 9, v.Now().Add(-time.Minute)), nil)
	if _, err := v.fetcher(dir, refresh).For(t.Context(), ev); err != nil {
		t.Errorf("the same number again: %v", err)
	}
	v.set(list, crl(t, ark, 8, v.Now().Add(-time.Minute)), nil)
	if _, err := v.fetcher(dir, refresh).For(t.Context(), ev); err != nil {
		t.Errorf("a mirror that lags behind a reissue: %v", err)
	}
	v.set(list, crl(t, ark, 0, v.Now(), func(l *x509.RevocationList) { withdraws(77)(l); l.Number = big.NewInt(0) }), nil)
	if _, err := v.fetcher(dir, refresh).For(t.Context(), ev); codeOf(err) != endorse.CodeCRLRollback {
		t.Errorf("number 0: %v", err)
	}
}

// TestRefused: what is wrong never gets into the cache, and is named.
func TestRefused(t *testing.T) {
	amd := attesttest.New()
	genoaCA, milanCA, stranger := amd.Chain(t, attesttest.Genoa), amd.Chain(t, attesttest.Milan), attesttest.Stranger().Chain(t, attesttest.Genoa)
	now := attesttest.Epoch()
	chip := func(opts ...attesttest.Option) []byte {
		_, end := amd.Make(t, [64]byte{1}, opts...)
		der, _, _ := end.Get(attest.LabelSNPVEK)
		return der
	}
	_, strange := attesttest.Stranger().Make(t, [64]byte{1})
	strangeVEK, _, _ := strange.Get(attest.LabelSNPVEK)
	good := chip()
	for name, c := range map[string]struct {
		vcek, list []byte
		want       attest.Code
	}{
		"stale CRL":          {list: crl(t, genoaCA.ARK, 9, now.AddDate(-1, 0, 0)), want: attest.CodeStaleCRL},
		"CRL of tomorrow":    {list: crl(t, genoaCA.ARK, 9, now.Add(24*time.Hour)), want: attest.CodeBadCRL},
		"CRL of a stranger":  {list: crl(t, stranger.ARK, 9, now.Add(-time.Hour)), want: attest.CodeBadCRL},
		"CRL of another ARK": {list: crl(t, milanCA.ARK, 9, now.Add(-time.Hour)), want: attest.CodeBadCRL},
		"CRL of the ASK":     {list: crl(t, genoaCA.ASK, 9, now.Add(-time.Hour)), want: attest.CodeBadCRL},
		"CRL cut off":        {list: crl(t, genoaCA.ARK, 9, now)[:200], want: attest.CodeMalformed},
		"CRL for a VCEK":     {vcek: crl(t, genoaCA.ARK, 9, now), want: attest.CodeMalformed},
		"VCEK for a CRL":     {list: good, want: attest.CodeMalformed},
		"VCEK of a stranger": {vcek: strangeVEK, want: attest.CodeUntrustedRoot},
		"another chip":       {vcek: chip(attesttest.EditCert(func(c *attesttest.Cert) { c.HWID = bytes.Repeat([]byte{7}, 64) })), want: endorse.CodeWrongCollateral},
		"another TCB":        {vcek: chip(attesttest.EditCert(func(c *attesttest.Cert) { c.TCB = attesttest.TCB{Bootloader: 1, SNP: 2, Microcode: 3} })), want: endorse.CodeWrongCollateral},
		"expired VCEK":       {vcek: chip(attesttest.EditCert(func(c *attesttest.Cert) { c.NotAfter = now.Add(-time.Hour) })), want: attest.CodeExpired},
		"a VCEK of tomorrow": {vcek: chip(attesttest.EditCert(func(c *attesttest.Cert) { c.NotBefore = now.Add(time.Hour) })), want: attest.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendors(t)
			ev, vcek, list := genoa(t, v)
			if c.vcek != nil {
				v.set(vcek, c.vcek, nil)
			}
			if c.list != nil {
				v.set(list, c.list, nil)
			}
			dir := t.TempDir()
			end, err := v.fetcher(dir).For(t.Context(), ev)
			if end != nil || codeOf(err) != c.want {
				t.Fatalf("%v, %v; expected %s", end, err, c.want)
			}
			bad := vcek
			if c.list != nil {
				bad = list
			}
			if _, found, _ := v.cache(dir).Get(bad.Key()); found {
				t.Error("it is in the cache")
			}
		})
	}
}

// TestWithdrawnIsKept: a list that withdraws the machine's CA is not an error of
// the fetch. A cache that refused it would go on with the list before.
func TestWithdrawnIsKept(t *testing.T) {
	v := newVendors(t)
	ev, _, list := genoa(t, v)
	ca := attesttest.New().Chain(t, attesttest.Genoa)
	v.set(list, crl(t, ca.ARK, 10, v.Now(), func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: ca.ASK.Cert.SerialNumber, RevocationTime: l.ThisUpdate}}
	}), nil)
	end, err := v.fetcher(t.TempDir()).For(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := roots(t).AMD.Verify(ev, end, v.Now()); codeOf(err) != attest.CodeRevoked {
		t.Errorf("the verifier says %v", err)
	}
}

// TestDamagedObject: it is fetched again.
func TestDamagedObject(t *testing.T) {
	v := newVendors(t)
	ev, vcek, _ := genoa(t, v)
	dir := t.TempDir()
	f := v.fetcher(dir)
	if _, err := f.For(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "objects", "*"))
	for _, file := range files {
		if err := os.WriteFile(file, []byte("damage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if end, err := f.For(t.Context(), ev); err != nil || len(end) != 2 || v.count(vcek) != 2 {
		t.Errorf("%v, %v, asked %d times", end, err, v.count(vcek))
	}
}

// TestForeignObjectInCache: somebody who can write into the cache cannot make
// it give out what no vendor signed.
func TestForeignObjectInCache(t *testing.T) {
	v := newVendors(t)
	ev, vcek, _ := genoa(t, v)
	dir := t.TempDir()
	_, strange := attesttest.Stranger().Make(t, [64]byte{1})
	der, _, _ := strange.Get(attest.LabelSNPVEK)
	if err := v.cache(dir).Put(cacheEntry(vcek, der, v.Now())); err != nil {
		t.Fatal(err)
	}
	end, err := v.fetcher(dir).For(t.Context(), ev)
	if err != nil || bytes.Equal(end[0].Data, der) {
		t.Errorf("%v; gave out the stranger's certificate: %t", err, err == nil)
	}
}

func TestNothingToFetch(t *testing.T) {
	v := newVendors(t)
	for _, kind := range []attest.Kind{attest.Nitro, attest.SimSNP, attest.TPM} {
		end, err := v.fetcher("").For(t.Context(), attest.Evidence{Kind: kind, Data: []byte("x")})
		if err != nil || len(end) != 0 {
			t.Errorf("%s: %v, %v", kind, end, err)
		}
	}
	for name, ev := range map[string]attest.Evidence{
		"no kind": {Data: []byte("x")}, "no data": {Kind: attest.SNP}, "large": {Kind: attest.SNP, Data: make([]byte, attest.MaxEvidence+1)},
		"short report": {Kind: attest.SNP, Data: make([]byte, 100)}, "short quote": {Kind: attest.TDX, Data: make([]byte, 40)},
		"no Azure": {Kind: attest.AzureSNP, Data: []byte("x")}, "no GPU": {Kind: attest.NVIDIAGPU, Data: []byte("x")}, "no composite": {Kind: attest.Composite, Data: []byte("x")},
	} {
		if end, err := v.fetcher("").For(t.Context(), ev); err == nil || end != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestComposite: the union of what the parts need, each object once.
func TestComposite(t *testing.T) {
	v := newVendors(t)
	cpu, _, _ := genoa(t, v)
	gpu1, end1 := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1})
	gpu2, end2 := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{2}, attesttest.GPUSerial("second"))
	v.publish(gpu1, end1)
	v.publish(gpu2, end2)
	ev, err := form.EncodeComposite([]attest.Evidence{cpu, gpu1, gpu2})
	if err != nil {
		t.Fatal(err)
	}
	end, err := v.fetcher(t.TempDir()).For(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range end {
		if seen[e.Label] {
			t.Errorf("%s twice", e.Label)
		}
		seen[e.Label] = true
	}
	if !seen[attest.LabelSNPVEK] || len(seen) < 5 {
		t.Errorf("labels %v", seen)
	}
	if _, err := roots(t).GPU.Verify(gpu2, end, v.Now()); err != nil {
		t.Errorf("second GPU: %v", err)
	}
}
