package snp

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding"
	"encoding/asn1"
	"testing"
)

func TestProductOfCPUID(t *testing.T) {
	for _, c := range []struct {
		family, model uint8
		want          Product
	}{
		{0x19, 0x00, Milan}, {0x19, 0x01, Milan}, {0x19, 0x0f, Milan},
		{0x19, 0x10, Genoa}, {0x19, 0x11, Genoa}, {0x19, 0x1f, Genoa},
		{0x19, 0xa0, Genoa}, {0x19, 0xaf, Genoa}, // Bergamo, Siena
		{0x1a, 0x00, Turin}, {0x1a, 0x02, Turin}, {0x1a, 0x11, Turin},
		{0x19, 0x20, 0}, {0x19, 0x9f, 0}, {0x19, 0xb0, 0}, {0x1a, 0x12, 0}, {0x1a, 0x50, 0},
		{0x17, 0x31, 0}, {0x18, 0x01, 0}, {0x1b, 0x01, 0}, {0, 0, 0}, {0xff, 0xff, 0},
	} {
		if got := productOfCPUID(c.family, c.model, 1); got != c.want {
			t.Errorf("family %#x model %#x: %s, want %s", c.family, c.model, got, c.want)
		}
	}
}

func TestProductOfCertificate(t *testing.T) {
	for name, want := range map[string]Product{
		"Milan": Milan, "Milan-B0": Milan, "Milan-B1": Milan, "Genoa": Genoa, "Genoa-B2": Genoa, "Turin": Turin, "Turin-C1": Turin,
		"": 0, "-": 0, "milan": 0, "Rome": 0, "Genoa-": 0, "Genoa-B": 0, "Genoa-B00": 0, "Genoa-b0": 0, "Genoa B0": 0, "Genoa-B0-B0": 0, "unknown": 0,
	} {
		got, err := productOfCertificate(name)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %s, %v, want %s", name, got, err, want)
		}
	}
}

func TestTCBOrder(t *testing.T) {
	floor := TCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 5}
	if !floor.AtLeast(floor) || !(TCB{9, 9, 9, 9, 9}).AtLeast(floor) {
		t.Error("a TCB is not at least itself or a lower one")
	}
	for _, low := range []TCB{{0, 9, 9, 9, 9}, {9, 1, 9, 9, 9}, {9, 9, 2, 9, 9}, {9, 9, 9, 3, 9}, {9, 9, 9, 9, 4}} {
		if low.AtLeast(floor) {
			t.Errorf("%s is at least %s", low, floor)
		}
	}
	if got := floor.String(); got != "fmc 1 2/3/4/5" {
		t.Errorf("String %q", got)
	}
	if got := (TCB{Bootloader: 10, SNP: 24, Microcode: 255}).String(); got != "10/0/24/255" {
		t.Errorf("String %q", got)
	}
}

// TestDecodeTCB holds the two layouts apart, and each of their reserved bytes
// to zero.
func TestDecodeTCB(t *testing.T) {
	b := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	if tcb, zero := decodeTCB(b, Genoa); tcb != (TCB{0, 1, 2, 7, 8}) || zero {
		t.Errorf("Genoa %+v, reserved zero %t", tcb, zero)
	}
	if tcb, zero := decodeTCB(b, Turin); tcb != (TCB{1, 2, 3, 4, 8}) || zero {
		t.Errorf("Turin %+v, reserved zero %t", tcb, zero)
	}
	reserved := map[Product][]int{Milan: {2, 3, 4, 5}, Genoa: {2, 3, 4, 5}, Turin: {4, 5, 6}}
	for p, places := range reserved {
		if _, zero := decodeTCB(make([]byte, 8), p); !zero {
			t.Errorf("%s: zeros are not zero", p)
		}
		for _, i := range places {
			b := make([]byte, 8)
			b[i] = 1
			if _, zero := decodeTCB(b, p); zero {
				t.Errorf("%s: byte %d is not reserved", p, i)
			}
		}
	}
}

// TestPolicyBits sets one bit at a time and expects one answer to change.
func TestPolicyBits(t *testing.T) {
	answers := map[uint]func(GuestPolicy) bool{
		16: GuestPolicy.SMT, 18: GuestPolicy.MigrateMA, 19: GuestPolicy.Debug, 20: GuestPolicy.SingleSocket,
		21: GuestPolicy.CXLAllowed, 22: GuestPolicy.MemAES256XTS, 23: GuestPolicy.RAPLDisabled,
		24: GuestPolicy.CiphertextHidingDRAM, 25: GuestPolicy.PageSwapDisabled,
	}
	for bit := range uint(64) {
		for at, answer := range answers {
			if got := answer(GuestPolicy(1) << bit); got != (at == bit) {
				t.Errorf("bit %d: answer of bit %d is %t", bit, at, got)
			}
		}
	}
	if p := GuestPolicy(0x0137); p.ABIMajor() != 1 || p.ABIMinor() != 0x37 {
		t.Errorf("ABI %d.%d", p.ABIMajor(), p.ABIMinor())
	}
}

func TestPlatformInfoBits(t *testing.T) {
	answers := map[uint]func(PlatformInfo) bool{
		0: PlatformInfo.SMT, 1: PlatformInfo.TSME, 2: PlatformInfo.ECC, 3: PlatformInfo.RAPLDisabled,
		4: PlatformInfo.CiphertextHidingDRAM, 5: PlatformInfo.AliasCheckComplete, 6: PlatformInfo.IOMMUWriteSafe, 7: PlatformInfo.TIO,
	}
	for bit := range uint(64) {
		for at, answer := range answers {
			if got := answer(PlatformInfo(1) << bit); got != (at == bit) {
				t.Errorf("bit %d: answer of bit %d is %t", bit, at, got)
			}
		}
	}
}

// TestExtensionTwice covers what crypto/x509 refuses before we can.
func TestExtensionTwice(t *testing.T) {
	for _, id := range []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 3704, 1, 1}, {1, 3, 6, 1, 4, 1, 3704, 1, 3, 8}} {
		x := pkix.Extension{Id: id, Value: []byte{2, 1, 0}}
		if _, err := collectAMDExtensions([]pkix.Extension{x}); err != nil {
			t.Error(err)
		}
		if _, err := collectAMDExtensions([]pkix.Extension{x, x}); err == nil {
			t.Errorf("%v accepted twice", id)
		}
	}
}

func TestDERValues(t *testing.T) {
	for in, want := range map[string]int{
		"\x02\x01\x00": 0, "\x02\x01\x7f": 127, "\x02\x02\x00\x80": 128, "\x02\x02\x00\xff": 255,
		"": -1, "\x02": -1, "\x02\x00": -1, "\x02\x01\x80": -1, "\x02\x02\x00\x7f": -1, "\x02\x02\x01\x00": -1, "\x02\x01\x00\x00": -1, "\x04\x01\x00": -1,
	} {
		got, err := derUint8([]byte(in))
		if (err == nil) != (want >= 0) || (err == nil && int(got) != want) {
			t.Errorf("%x: %d, %v, want %d", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"\x16\x05Genoa": "Genoa", "\x16\x01x": "x",
		"": "", "\x16\x00": "", "\x16\x06Genoa": "", "\x16\x05Genoa\x00": "", "\x0c\x05Genoa": "", "\x16\x02a\x00": "", "\x16\x02a\x80": "", "\x16\x02a\n": "",
	} {
		got, err := derIA5([]byte(in))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%x: %q, %v, want %q", in, got, err, want)
		}
	}
}

// TestAMDRootsArePinned changes each embedded certificate.
func TestAMDRootsArePinned(t *testing.T) {
	for _, a := range amdPins() {
		r, err := a.load()
		if err != nil || r.Product != a.product {
			t.Fatalf("%s: %v", a.file, err)
		}
		for _, der := range [][]byte{r.ARK, r.ASK, r.ASVK} {
			cert, err := x509.ParseCertificate(der)
			if err != nil || cert.SignatureAlgorithm != x509.SHA384WithRSAPSS {
				t.Errorf("%s: %v", a.file, err)
			}
		}
		for _, field := range []*string{&a.ark, &a.ask, &a.asvk} {
			saved := *field
			*field = "0" + saved[1:]
			if *field == saved {
				*field = "1" + saved[1:]
			}
			if _, err := a.load(); err == nil {
				t.Errorf("%s: loaded with another pin", a.file)
			}
			*field = saved
		}
	}
	for _, text := range []string{"", "x", "-----BEGIN KEY-----\nAA==\n-----END KEY-----\n"} {
		if _, err := pinned([]byte(text), ""); err == nil {
			t.Errorf("%q accepted as a certificate", text)
		}
	}
}

// TestDERSignature compares with encoding/asn1 at the lengths where leading
// zeros and the sign bit matter.
func TestDERSignature(t *testing.T) {
	for _, n := range []int{0, 1, 2, 47, 48} {
		for _, top := range []byte{0x01, 0x7f, 0x80, 0xff} {
			le := make([]byte, scalarSize)
			if n > 0 {
				le[0], le[n-1] = 5, top
			}
			out := derSignature(le, le)
			var sig struct{ R, S asn1.RawValue }
			rest, err := asn1.Unmarshal(out, &sig)
			if err != nil || len(rest) != 0 || string(sig.R.FullBytes) != string(sig.S.FullBytes) {
				t.Fatalf("%x: %v", out, err)
			}
			var r int64
			if n <= 2 {
				if _, err := asn1.Unmarshal(sig.R.FullBytes, &r); err != nil || r < 0 || (n == 0 && r != 0) {
					t.Errorf("%x: %d, %v", out, r, err)
				}
			}
		}
	}
}

func TestReportFacts(t *testing.T) {
	r := &Report{}
	for i := range r.ReportIDMA {
		r.ReportIDMA[i] = 0xff
	}
	if r.HasMigrationAgent() || r.FromHost() || !r.ChipIDMasked() {
		t.Error("a plain guest has an agent, is the host or has a chip")
	}
	r.ReportIDMA[31], r.VMPL, r.ChipID[63] = 0xfe, 0xffffffff, 1
	if !r.HasMigrationAgent() || !r.FromHost() || r.ChipIDMasked() {
		t.Error("agent, host or chip overlooked")
	}
	old := FirmwareVersion{Major: 1, Minor: 55, Build: 255}
	if now := (FirmwareVersion{Major: 1, Minor: 56}); !old.Less(now) || now.Less(old) || now.Less(now) || now.String() != "1.56.0" {
		t.Error("firmware versions are out of order")
	}
}

func TestNames(t *testing.T) {
	for text, v := range map[string]encoding.TextMarshaler{
		"Milan": Milan, "Genoa": Genoa, "Turin": Turin, "unknown": Product(9), "VCEK": SignerVCEK, "VLEK": SignerVLEK, "none": SignerNone, "reserved": Signer(3),
	} {
		if got, err := v.MarshalText(); err != nil || string(got) != text {
			t.Errorf("%s, %v, want %s", got, err, text)
		}
	}
}
