package attest_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

func goodBundle(t testing.TB) attest.Bundle {
	t.Helper()
	statement, err := sessionStatement().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return attest.Bundle{
		Evidence:       attest.Evidence{Kind: attest.SNP, Data: []byte("report")},
		Endorsements:   attest.Endorsements{{Label: "snp/vek", Data: []byte("certificate")}, {Label: "snp/ark-crl", Data: []byte("crl")}},
		Statement:      statement,
		Policy:         []byte("name: x\n"),
		AttestationKey: bytes.Repeat([]byte{7}, 32),
	}
}

func TestBundleRoundTrip(t *testing.T) {
	want := goodBundle(t)
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := attest.ParseBundle(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("ParseBundle = %+v, %v; expected %+v", got, err, want)
	}
	for n := range data {
		if _, err := attest.ParseBundle(data[:n]); err == nil {
			t.Errorf("accepted the first %d of %d bytes", n, len(data))
		}
	}
	if _, err := attest.ParseBundle(append(data, 0)); err == nil || !strings.Contains(err.Error(), "after the end") {
		t.Errorf("trailing byte: %v", err)
	}
}

// TestBundleOfUnknownKind also meets a bundle with an empty part.
func TestBundleOfUnknownKind(t *testing.T) {
	data, err := goodBundle(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := attest.ParseBundle(bytes.Replace(data, []byte("sev-snp"), []byte("sev-snq"), 1)); err == nil || !strings.Contains(err.Error(), "sev-snq") || b.Policy != nil {
		t.Errorf("unknown kind: %v, %v", b, err)
	}
	empty := bytes.Replace(data, []byte("\x00\x00\x00\x08name: x\n"), make([]byte, 4), 1)
	if b, err := attest.ParseBundle(empty); err == nil || !strings.Contains(err.Error(), "policy of 0 bytes") || b.Statement != nil {
		t.Errorf("no policy: %v, %v", b, err)
	}
}

func TestBundleLimits(t *testing.T) {
	cases := map[string]func(*attest.Bundle){
		"invalid kind":          func(b *attest.Bundle) { b.Evidence.Kind = 0 },
		"no evidence":           func(b *attest.Bundle) { b.Evidence.Data = nil },
		"large evidence":        func(b *attest.Bundle) { b.Evidence.Data = make([]byte, attest.MaxEvidence+1) },
		"no statement":          func(b *attest.Bundle) { b.Statement = nil },
		"large statement":       func(b *attest.Bundle) { b.Statement = make([]byte, attest.MaxStatement+1) },
		"no policy":             func(b *attest.Bundle) { b.Policy = nil },
		"large policy":          func(b *attest.Bundle) { b.Policy = make([]byte, attest.MaxPolicy+1) },
		"short attestation key": func(b *attest.Bundle) { b.AttestationKey = make([]byte, 31) },
		"long attestation key":  func(b *attest.Bundle) { b.AttestationKey = make([]byte, 33) },
		"no label":              func(b *attest.Bundle) { b.Endorsements[0].Label = "" },
		"long label":            func(b *attest.Bundle) { b.Endorsements[0].Label = strings.Repeat("x", 65) },
		"empty endorsement":     func(b *attest.Bundle) { b.Endorsements[0].Data = nil },
		"large endorsement":     func(b *attest.Bundle) { b.Endorsements[0].Data = make([]byte, attest.MaxEndorsement+1) },
		"same label twice":      func(b *attest.Bundle) { b.Endorsements[1].Label = b.Endorsements[0].Label },
		"many endorsements": func(b *attest.Bundle) {
			b.Endorsements = nil
			for i := range attest.MaxEndorsements + 1 {
				b.Endorsements = append(b.Endorsements, attest.Endorsement{Label: strings.Repeat("x", i%40+1) + string(rune('a'+i/40)), Data: []byte{1}})
			}
		},
		"large in all": func(b *attest.Bundle) {
			b.Endorsements = nil
			for _, label := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				b.Endorsements = append(b.Endorsements, attest.Endorsement{Label: label, Data: make([]byte, attest.MaxEndorsement)})
			}
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			b := goodBundle(t)
			spoil(&b)
			if data, err := b.Encode(); err == nil || data != nil {
				t.Errorf("Encode = %d bytes, %v; expected no bytes and an error", len(data), err)
			}
		})
	}
}

// TestBundleDoesNotBelieveLengths: a declared length costs nothing until the
// bytes are there.
func TestBundleDoesNotBelieveLengths(t *testing.T) {
	head := []byte("BBXBNDL1")
	for _, n := range []uint32{1 << 10, 1 << 20, 1<<32 - 1} {
		data := binary.BigEndian.AppendUint32(bytes.Clone(head), n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := attest.ParseBundle(data)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("accepted a part of %d bytes that is not there", n)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
			t.Errorf("a declared length of %d cost %d bytes", n, grown)
		}
	}
	if _, err := attest.ParseBundle(make([]byte, attest.MaxBundle+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("oversized bundle: %v", err)
	}
	good, _ := goodBundle(t).Encode()
	wrongKind := bytes.Replace(good, []byte("sev-snp"), []byte("sev-snq"), 1)
	if _, err := attest.ParseBundle(wrongKind); err == nil || !strings.Contains(err.Error(), "kind") {
		t.Errorf("unknown kind: %v", err)
	}
	wrongMagic := bytes.Replace(good, []byte("BNDL1"), []byte("BNDL2"), 1)
	if _, err := attest.ParseBundle(wrongMagic); err == nil || !strings.Contains(err.Error(), "begins with") {
		t.Errorf("other version: %v", err)
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, s := range statements() {
		data, _ := s.Encode()
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := attest.ParseStatement(data)
		if err != nil {
			if s != (attest.Statement{}) {
				t.Fatal("a value and an error")
			}
			return
		}
		back, err := s.Encode()
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("read %x, which encodes as %x, %v", data, back, err)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	good, _ := goodBundle(f).Encode()
	f.Add(good)
	f.Add([]byte("BBXBNDL1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := attest.ParseBundle(data)
		if err != nil {
			return
		}
		back, err := b.Encode()
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("read %x, which encodes as %x, %v", data, back, err)
		}
	})
}
