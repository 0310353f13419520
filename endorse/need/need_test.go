package need_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/endorse/need"
	"github.com/blindbox/blindbox/endorse/source"
)

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func keys(t *testing.T, ev attest.Evidence, o need.Options) []string {
	t.Helper()
	parts, err := need.Of(ev, o)
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	var out []string
	for _, plan := range parts[0].Plans {
		for _, obj := range plan {
			out = append(out, obj.Key())
		}
	}
	return out
}

// TestReal: what machines that exist need.
func TestReal(t *testing.T) {
	for _, c := range []struct {
		kind attest.Kind
		file string
		want []string // parts of the addresses, in their order
	}{
		{attest.SNP, "snp/genoa-v5-oak.report.bin", []string{"/vcek/v1/Genoa/", "/vcek/v1/Genoa/crl"}},
		{attest.SNP, "snp/turin-v5-oak.report.bin", []string{"/vcek/v1/Turin/", "/vcek/v1/Turin/crl"}},
		{attest.SNP, "snp/milan-v3-gce-oak.report.bin", []string{"/vcek/v1/Milan/", "/vcek/v1/Milan/crl"}},
		{attest.SNP, "snp/milan-v2-trustee.report.bin", []string{"/vcek/v1/Milan/", "/vcek/v1/Milan/crl", "/vcek/v1/Genoa/", "/vcek/v1/Genoa/crl"}},
		{attest.TDX, "tdx/tdx_quote", []string{"/tdx/certification/v4/tcb?fmspc=b0c06f000000", "/tdx/certification/v4/qe/identity", "pckcrl?ca=p", "IntelSGXRootCA.der"}},
		{attest.TDX, "tdx/tdx_quote_outdated", []string{"fmspc=90c06f000000", "/tdx/", "pckcrl", "IntelSGXRootCA.der"}},
		{attest.SGX, "sgx/quote_v3_ecdsa_p256_pck_chain.bin", []string{"/sgx/certification/v4/tcb?fmspc=00606a000000", "/sgx/certification/v4/qe/identity", "pckcrl", "IntelSGXRootCA.der"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			got := keys(t, attest.Evidence{Kind: c.kind, Data: read(t, c.file)}, need.Options{})
			if len(got) != len(c.want) {
				t.Fatalf("needs %v, expected %v", got, c.want)
			}
			for i, part := range c.want {
				if !strings.Contains(got[i], part) {
					t.Errorf("object %d is %s, expected %s", i, got[i], part)
				}
			}
		})
	}
}

// TestVCEKAddress: the address of a real certificate is the one that it says
// itself: its chip and its TCB.
func TestVCEKAddress(t *testing.T) {
	got := keys(t, attest.Evidence{Kind: attest.SNP, Data: read(t, "snp/turin-v5-oak.report.bin")}, need.Options{})[0]
	if !strings.Contains(got, "?fmcSPL=") || strings.Count(got, "SPL=") != 5 {
		t.Errorf("Turin: %s", got)
	}
}

func TestVLEK(t *testing.T) {
	ev := attest.Evidence{Kind: attest.SNP, Data: read(t, "snp/milan-v3-vlek-trustee.report.bin")}
	if _, err := need.Of(ev, need.Options{}); err == nil || !strings.Contains(err.Error(), "cloud provider") {
		t.Errorf("without its certificate: %v", err)
	}
	got := keys(t, ev, need.Options{Have: attest.Endorsements{{Label: attest.LabelSNPVEK, Data: []byte("x")}}})
	if len(got) != 1 || !strings.HasSuffix(got[0], "/vlek/v1/Milan/crl") {
		t.Errorf("needs %v", got)
	}
}

func TestHave(t *testing.T) {
	ev := attest.Evidence{Kind: attest.TDX, Data: read(t, "tdx/tdx_quote")}
	all := keys(t, ev, need.Options{})
	some := keys(t, ev, need.Options{Have: attest.Endorsements{{Label: attest.LabelIntelTCBInfo, Data: []byte("x")}, {Label: attest.LabelIntelPCKCRL, Data: []byte("x")}}})
	if len(all) != 4 || len(some) != 2 {
		t.Errorf("%v, then %v", all, some)
	}
	early := keys(t, ev, need.Options{Update: source.Early})
	if !strings.HasSuffix(early[0], "update=early") || !strings.HasSuffix(early[1], "update=early") {
		t.Errorf("early: %v", early)
	}
}

func TestQuoteWithoutCertificate(t *testing.T) {
	ev := attest.Evidence{Kind: attest.SGX, Data: read(t, "sgx/quote_v3_ecdsa_p256_eppid.bin")}
	if _, err := need.Of(ev, need.Options{}); err == nil || !strings.Contains(err.Error(), "PCK certificate") {
		t.Errorf("%v", err)
	}
}

func devices(t testing.TB, file string) []attest.Evidence {
	t.Helper()
	evs, err := nvgpu.FromNVIDIAJSON(read(t, "nvidia/"+file))
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

// TestNVIDIA: the manifests that NVIDIA publishes for real devices.
func TestNVIDIA(t *testing.T) {
	for file, want := range map[string][]string{
		"hopper_evidence_cert_hold.json": {"NV_GPU_DRIVER_GH100_", "NV_GPU_VBIOS_"},
		"blackwell-evidence.json":        {"NV_GPU_CC_DRIVER_GB", "NV_GPU_VBIOS_"},
		"multi_switch_ls10.json":         {"NV_SWITCH_BIOS_5612_0002_890_"},
	} {
		for _, ev := range devices(t, file) {
			got := keys(t, ev, need.Options{})
			if len(got) != len(want)+3 {
				t.Errorf("%s: %v", file, got)
				continue
			}
			for i, id := range want {
				if !strings.Contains(got[i], "/v1/rim/"+id) {
					t.Errorf("%s: %s, expected %s", file, got[i], id)
				}
			}
		}
	}
	rim, err := source.RIM("NV_GPU_DRIVER_GH100_550.144.03")
	if err != nil {
		t.Fatal(err)
	}
	if p := need.After(rim, read(t, "nvidia/rim/NV_GPU_DRIVER_GH100_550.144.03.xml")); len(p) < 2 {
		t.Errorf("the manifest's signers need %d answers", len(p))
	}
	if p := need.After(source.IntelRootCRL(), []byte("X509Certificate>AA==</X509Certificate>")); p != nil {
		t.Errorf("a CRL needs %v", p)
	}
}

func TestDescribe(t *testing.T) {
	parts, err := need.Of(attest.Evidence{Kind: attest.SNP, Data: read(t, "snp/genoa-v5-oak.report.bin")}, need.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := need.Describe(parts); !strings.Contains(text, "sev-snp: CRL of ARK-Genoa (vcek) from kdsintf.amd.com") {
		t.Error(text)
	}
}

// FuzzOf: whatever a stranger writes as evidence, only known hosts are named.
func FuzzOf(f *testing.F) {
	f.Add(uint8(attest.SNP), read(f, "snp/genoa-v5-oak.report.bin"))
	f.Add(uint8(attest.SNP), read(f, "snp/turin-v5-oak.report.bin"))
	f.Add(uint8(attest.TDX), read(f, "tdx/tdx_quote"))
	f.Add(uint8(attest.TDX), read(f, "tdx/tdx_quote_outdated"))
	f.Add(uint8(attest.SGX), read(f, "sgx/sgx_quote"))
	for _, file := range []string{"blackwell-evidence.json", "multi_switch_ls10.json"} {
		ev := devices(f, file)[0]
		f.Add(uint8(ev.Kind), ev.Data)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		parts, err := need.Of(attest.Evidence{Kind: attest.Kind(kind), Data: data}, need.Options{})
		if err != nil {
			if parts != nil {
				t.Fatal("a value and an error")
			}
			return
		}
		for _, p := range parts {
			for _, plan := range p.Plans {
				for _, o := range plan {
					path, query, _ := strings.Cut(o.Path(), "?")
					if back, err := source.FromRequest(path, query, o.Body()); err != nil || back.Key() != o.Key() {
						t.Fatalf("%s is no address: %v", o.Key(), err)
					}
				}
			}
		}
	})
}

func FuzzAfter(f *testing.F) {
	f.Add(read(f, "nvidia/rim/NV_GPU_DRIVER_GH100_550.144.03.xml"))
	f.Add([]byte("<X509Certificate>AA==</X509Certificate>"))
	rim, _ := source.RIM("NV_X")
	f.Fuzz(func(t *testing.T, xml []byte) {
		if p := need.After(rim, xml); len(p) > 10 {
			t.Fatalf("%d objects", len(p))
		}
	})
}
