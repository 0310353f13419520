package source_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/source"
)

func all(t testing.TB) []source.Object {
	t.Helper()
	var out []source.Object
	add := func(o source.Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	chip := bytes.Repeat([]byte{0xab}, 64)
	tcb := source.TCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 255}
	add(source.VCEK("Milan", chip, tcb))
	add(source.VCEK("Turin", chip[:8], tcb))
	for _, line := range source.Lines() {
		add(source.AMDCRL(line, false))
		add(source.AMDCRL(line, true))
	}
	for _, tee := range []source.TEE{source.SGX, source.TDX} {
		for _, u := range []source.Update{source.Standard, source.Early} {
			add(source.TCBInfo(tee, [6]byte{0, 0x60, 0x6a}, u))
			add(source.QEIdentity(tee, u))
		}
	}
	add(source.PCKCRL("platform"))
	add(source.PCKCRL("processor"))
	add(source.IntelRootCRL(), nil)
	add(source.RIM("NV_GPU_VBIOS_1010_0200_882_96005E0001"))
	add(source.OCSP(certificate(t, "leaf", 7), certificate(t, "issuer", 1)))
	return out
}

func certificate(t testing.TB, name string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now()}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestAddresses holds the vendors' paths still.
func TestAddresses(t *testing.T) {
	chip := strings.Repeat("ab", 64)
	want := []string{
		"kdsintf.amd.com/vcek/v1/Milan/" + chip + "?blSPL=2&teeSPL=3&snpSPL=4&ucodeSPL=255",
		"kdsintf.amd.com/vcek/v1/Turin/" + chip[:16] + "?fmcSPL=1&blSPL=2&teeSPL=3&snpSPL=4&ucodeSPL=255",
		"kdsintf.amd.com/vcek/v1/Milan/crl", "kdsintf.amd.com/vlek/v1/Milan/crl",
		"kdsintf.amd.com/vcek/v1/Genoa/crl", "kdsintf.amd.com/vlek/v1/Genoa/crl",
		"kdsintf.amd.com/vcek/v1/Turin/crl", "kdsintf.amd.com/vlek/v1/Turin/crl",
		"api.trustedservices.intel.com/sgx/certification/v4/tcb?fmspc=00606a000000",
		"api.trustedservices.intel.com/sgx/certification/v4/qe/identity",
		"api.trustedservices.intel.com/sgx/certification/v4/tcb?fmspc=00606a000000&update=early",
		"api.trustedservices.intel.com/sgx/certification/v4/qe/identity?update=early",
		"api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00606a000000",
		"api.trustedservices.intel.com/tdx/certification/v4/qe/identity",
		"api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00606a000000&update=early",
		"api.trustedservices.intel.com/tdx/certification/v4/qe/identity?update=early",
		"api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
		"api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
		"certificates.trustedservices.intel.com/IntelSGXRootCA.der",
		"rim.attestation.nvidia.com/v1/rim/NV_GPU_VBIOS_1010_0200_882_96005E0001",
	}
	for i, o := range all(t) {
		if i < len(want) && o.Key() != want[i] {
			t.Errorf("address %d is %s, expected %s", i, o.Key(), want[i])
		}
		if i == len(want) && (!strings.HasPrefix(o.Key(), "ocsp.ndis.nvidia.com/#") || o.Label() != attest.LabelNVIDIAOCSP+"7") {
			t.Errorf("OCSP: %s, %s", o.Key(), o.Label())
		}
		if !o.Valid() || o.Label() == "" || len(o.Label()) > 64 || o.What() == "" || o.Limit() <= 0 || o.Form().String() == "" {
			t.Errorf("%s: incomplete: %+v", o.Key(), o)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, o := range all(t) {
		path, query, _ := strings.Cut(o.Path(), "?")
		back, err := source.FromRequest(path, query, o.Body())
		if err != nil || back.Key() != o.Key() || back.Label() != o.Label() {
			t.Errorf("%s: read back as %s, %v", o.Key(), back.Key(), err)
		}
		if o.Body() != nil {
			continue
		}
		if back, err := source.ParseKey(o.Key()); err != nil || back.Key() != o.Key() {
			t.Errorf("%s: key read back as %s, %v", o.Key(), back.Key(), err)
		}
	}
	// As other clients write them.
	for _, address := range []string{
		"/vcek/v1/Genoa/" + strings.Repeat("AB", 64) + "?ucodeSPL=08&snpSPL=021&teeSPL=00&blSPL=03",
		"/sgx/certification/v4/tcb?update=standard&fmspc=00606A000000",
		"/sgx/certification/v4/pckcrl?encoding=der&ca=platform",
	} {
		path, query, _ := strings.Cut(address, "?")
		if _, err := source.FromRequest(path, query, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRefusesWhatIsNoAddress(t *testing.T) {
	chip := strings.Repeat("ab", 64)
	for _, address := range []string{
		"", "/", "//", "/vcek/v1/Naples/crl", "/vcek/v1/../crl", "/vcek/v2/Genoa/crl", "/vcek/v1/Genoa/crl?x=1",
		"/vcek/v1/Genoa/" + chip, "/vcek/v1/Genoa/" + chip + "?blSPL=1&teeSPL=1&snpSPL=1",
		"/vcek/v1/Genoa/" + chip + "?blSPL=256&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/vcek/v1/Genoa/" + chip + "?blSPL=-1&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/vcek/v1/Genoa/" + chip + "?blSPL=1&blSPL=1&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/vcek/v1/Genoa/" + chip + "?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/vcek/v1/Genoa/" + chip[2:] + "?blSPL=1&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/vcek/v1/Genoa/" + strings.Repeat("00", 64) + "?blSPL=1&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/vcek/v1/Genoa/" + strings.Repeat("zz", 64) + "?blSPL=1&teeSPL=1&snpSPL=1&ucodeSPL=1",
		"/sgx/certification/v4/tcb", "/sgx/certification/v4/tcb?fmspc=00606a0000", "/sgx/certification/v4/tcb?fmspc=00606a000000&update=late",
		"/snp/certification/v4/tcb?fmspc=00606a000000", "/sgx/certification/v3/tcb?fmspc=00606a000000",
		"/tdx/certification/v4/pckcrl?ca=platform&encoding=der", "/sgx/certification/v4/pckcrl?ca=platform", "/sgx/certification/v4/pckcrl?ca=other&encoding=der",
		"/v1/rim/", "/v1/rim/..", "/v1/rim/.hidden", "/v1/rim/a%2fb", "/v1/rim/" + strings.Repeat("a", 54), "/v1/rim/a?b=c", "/v1/rim/ids/more",
		"/IntelSGXRootCA.crl", "/" + strings.Repeat("a", 2000), "/a?%zz",
	} {
		path, query, _ := strings.Cut(address, "?")
		if o, err := source.FromRequest(path, query, nil); err == nil || o.Valid() {
			t.Errorf("%s: read as %s", address, o.Key())
		}
	}
	for name, body := range map[string][]byte{"no DER": []byte("x"), "long": make([]byte, 2000), "sequence": {0x30, 0}} {
		if o, err := source.FromRequest("/", "", body); err == nil || o.Valid() {
			t.Errorf("OCSP request, %s: accepted", name)
		}
	}
	if _, err := source.FromRequest("/vcek/v1/Genoa/crl", "", []byte{1}); err == nil {
		t.Error("a body for an address that takes none")
	}
	if _, err := source.ParseKey("evil.example/vcek/v1/Genoa/crl"); err == nil {
		t.Error("a key with another host")
	}
}

func TestConstructorsRefuse(t *testing.T) {
	chip := make([]byte, 64)
	for name, make := range map[string]func() (source.Object, error){
		"line":         func() (source.Object, error) { return source.VCEK("genoa", chip, source.TCB{}) },
		"masked chip":  func() (source.Object, error) { return source.VCEK("Genoa", chip, source.TCB{}) },
		"length":       func() (source.Object, error) { return source.VCEK("Turin", chip, source.TCB{}) },
		"path in line": func() (source.Object, error) { return source.AMDCRL("Genoa/../x", false) },
		"TEE":          func() (source.Object, error) { return source.TCBInfo("sgx/..", [6]byte{}, "") },
		"update":       func() (source.Object, error) { return source.QEIdentity(source.SGX, "&x") },
		"CA":           func() (source.Object, error) { return source.PCKCRL("platform&x=") },
		"RIM id":       func() (source.Object, error) { return source.RIM("../../x") },
		"RIM query":    func() (source.Object, error) { return source.RIM("a?b") },
		"no RIM id":    func() (source.Object, error) { return source.RIM("") },
	} {
		if o, err := make(); err == nil || o.Valid() {
			t.Errorf("%s: accepted as %s", name, o.Key())
		}
	}
}

func TestUnwrap(t *testing.T) {
	rim, _ := source.RIM("NV_X")
	if data, err := rim.Unwrap(rim.Wrap([]byte("<xml/>"))); err != nil || string(data) != "<xml/>" {
		t.Errorf("Unwrap = %q, %v", data, err)
	}
	for name, body := range map[string]string{
		"empty": "", "other id": `{"id":"NV_Y","rim":"eA=="}`, "no id": `{"rim":"eA=="}`, "twice": `{"id":"NV_X","rim":"eA==","rim":"eQ=="}`,
		"other case": `{"id":"NV_X","RIM":"eA=="}`, "not base64": `{"id":"NV_X","rim":"***"}`, "nothing": `{"id":"NV_X","rim":""}`, "not JSON": "<xml/>",
		"large": `{"id":"NV_X","rim":"` + strings.Repeat("A", 4*(attest.MaxEndorsement/3+1)+4) + `"}`,
	} {
		if data, err := rim.Unwrap([]byte(body)); err == nil || data != nil {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	if _, err := source.IntelRootCRL().Unwrap(make([]byte, attest.MaxEndorsement+1)); err == nil {
		t.Error("an object over the limit")
	}
	if _, err := (source.Object{}).Unwrap([]byte{1}); err == nil {
		t.Error("the zero object")
	}
}

// FuzzFromRequest: whatever a request says, the object is one that a
// constructor makes, at one of the known hosts.
func FuzzFromRequest(f *testing.F) {
	for _, o := range all(f) {
		path, query, _ := strings.Cut(o.Path(), "?")
		f.Add(path, query, o.Body())
	}
	f.Fuzz(func(t *testing.T, path, query string, body []byte) {
		o, err := source.FromRequest(path, query, body)
		if err != nil {
			if o.Valid() {
				t.Fatal("a value and an error")
			}
			return
		}
		u, err := url.Parse("https://" + o.Host().String() + o.Path())
		if err != nil || u.Host != o.Host().String() || strings.Contains(u.Path, "..") || !strings.Contains(hosts(), u.Host) {
			t.Fatalf("%q?%q leads to %s, %v", path, query, o.Key(), err)
		}
		p, q, _ := strings.Cut(o.Path(), "?")
		if back, err := source.FromRequest(p, q, o.Body()); err != nil || back.Key() != o.Key() {
			t.Fatalf("%s is read back as %s, %v", o.Key(), back.Key(), err)
		}
	})
}

func hosts() string {
	var names []string
	for _, h := range source.Hosts() {
		names = append(names, h.String())
	}
	return strings.Join(names, " ")
}

func FuzzUnwrap(f *testing.F) {
	rim, _ := source.RIM("NV_X")
	f.Add(rim.Wrap([]byte("<xml/>")))
	f.Add([]byte(`{"id":"NV_X","rim":"eA==","last_updated":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		data, err := rim.Unwrap(body)
		if (err == nil) != (len(data) > 0) || len(data) > attest.MaxEndorsement {
			t.Fatalf("%s: %d bytes, %v", hex.EncodeToString(body), len(data), err)
		}
	})
}
