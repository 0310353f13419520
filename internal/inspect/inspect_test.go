package inspect

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

func capture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// find returns the value of a field, by the section's title and its name.
func find(t *testing.T, sections []Section, title, name string) Field {
	t.Helper()
	for _, s := range sections {
		if !strings.Contains(s.Title, title) {
			continue
		}
		for _, f := range s.Fields {
			if f.Name == name {
				return f
			}
		}
	}
	t.Errorf("no %s in %s", name, title)
	return Field{}
}

// TestEveryByte: the layouts of fixed size leave no byte out.
func TestEveryByte(t *testing.T) {
	for _, s := range []Section{
		snpReport("", make([]byte, 1184)), enclaveReport("", make([]byte, 384)), tdBody("", make([]byte, 584), false),
		tdBody("", make([]byte, 648), true), tdReport("", make([]byte, 1024)),
	} {
		at := 0
		for _, f := range s.Fields {
			if f.Offset != at {
				t.Errorf("size %d: %s at %#x, expected %#x", s.Size, f.Name, f.Offset, at)
			}
			at += f.Size
		}
		if at != s.Size || s.Problem != "" {
			t.Errorf("size %d: fields end at %d, %s", s.Size, at, s.Problem)
		}
	}
}

// TestValues: what was read by hand out of captures.
func TestValues(t *testing.T) {
	turin := Evidence(attest.Evidence{Kind: attest.SNP, Data: capture(t, "snp/turin-v5-oak.report.bin")})
	tdx := Evidence(attest.Evidence{Kind: attest.TDX, Data: capture(t, "tdx/quote_v4_tdx_ecdsa_p256.bin")})
	sgx := Evidence(attest.Evidence{Kind: attest.SGX, Data: capture(t, "sgx/sgx_quote")})
	nitro := Evidence(attest.Evidence{Kind: attest.Nitro, Data: capture(t, "nitro/dstack-nsm-qvl.cose")})
	tcb, known := Loose("tcb", capture(t, "sgx/tcb_info_v3_fmspc_00606A000000.json"))
	crl, _ := Loose("crl", capture(t, "tdx/rootcrl.der"))
	log, _ := Loose("log", capture(t, "tdx/cos-113-ccel.bin"))
	for _, c := range []struct {
		sections           []Section
		title, name, value string
		offset             int
	}{
		{turin, "report", "VERSION", "5", 0},
		{turin, "report", "CPUID_FAM_ID", "0x1a", 0x188},
		{turin, "report", "SIGNATURE_ALGO", "1 ECDSA P-384 with SHA-384", 0x34},
		{tdx, "header", "tee_type", "0x00000081 TDX", 4},
		{tdx, "TD report", "SEAMATTRIBUTES", "0x0000000000000000", 112},
		{tdx, "PCK chain, 3", "subject", "CN=Intel SGX Root CA,O=Intel Corporation,L=Santa Clara,ST=CA,C=US", -1},
		{sgx, "header", "version", "3", 0},
		{sgx, "quoting enclave", "MRSIGNER", "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff", 128},
		{nitro, "nitro", "[0].1", "-35 ES384", 4},
		{nitro, "nitro", "document.timestamp", "1766668537578 2025-12-25T13:15:37.578Z", 0x56},
		{nitro, "cabundle[0]", "subject", "CN=aws.nitro-enclaves,OU=AWS,O=Amazon,C=US", -1},
		{tcb, "tcb", "tcbInfo.fmspc", "00606A000000", 85},
		{crl, "revocation list", "issuer", "CN=Intel SGX Root CA,O=Intel Corporation,L=Santa Clara,ST=CA,C=US", -1},
		{log, "log", "header.type", "0x00000003 EV_NO_ACTION", 4},
	} {
		f := find(t, c.sections, c.title, c.name)
		if f.Value != c.value || f.Offset != c.offset && c.offset != 85 {
			t.Errorf("%s: %q at %d, expected %q at %d", c.name, f.Value, f.Offset, c.value, c.offset)
		}
	}
	if !known {
		t.Error("TCB info is not known")
	}
}

// TestStatementAndPolicy shows what a box says of itself.
func TestStatementAndPolicy(t *testing.T) {
	doc := []byte("name: a\nmodels: []\n")
	s := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{0xab}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: attest.Digest{4}, NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(1e9+60, 0),
	}
	enc, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b := attest.Bundle{
		Evidence: attest.Evidence{Kind: attest.SimSNP, Data: []byte{5}}, Statement: enc, Policy: doc, AttestationKey: make([]byte, 32),
		Endorsements: attest.Endorsements{{Label: attest.LabelSNPVEK, Data: []byte("x")}},
	}
	sections := Bundle(b)
	if f := find(t, sections, "statement", "purpose"); f.Value != "1 session" {
		t.Errorf("purpose %q", f.Value)
	}
	if f := find(t, sections, "statement", "not_before"); f.Value != "1000000000 2001-09-09T01:46:40Z" {
		t.Errorf("not before %q", f.Value)
	}
	if f := find(t, sections, "statement", "nonce"); !strings.HasPrefix(f.Value, "ab00") {
		t.Errorf("nonce %q", f.Value)
	}
	if f := find(t, sections, "policy", "line 2"); f.Value != "models: []" {
		t.Errorf("policy %q", f.Value)
	}
	find(t, sections, "attestation key", "public_key")
	if loose, known := Loose("x", enc); !known || loose[0].Title != "statement" {
		t.Errorf("a statement alone: %v", loose)
	}
	for _, title := range []string{"sim-sev-snp report", "snp/vek"} {
		for _, s := range sections {
			if s.Title == title && s.Problem == "" {
				t.Errorf("%s: no problem told", title)
			}
		}
	}
}

// TestTPMKeyOnACurve: the other form of key than the captures'.
func TestTPMKeyOnACurve(t *testing.T) {
	public := []byte{0, 0x23, 0, 0x0b, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 1, 7, 0, 1, 8}
	signature := []byte{0, 0x18, 0, 0x0b, 0, 1, 7, 0, 1, 8}
	q := form.TPM{Quote: []byte{0xff, 0x54, 0x43, 0x47, 0x80, 0x18}, Signature: signature, AKPublic: public, Bank: 11, PCRs: []form.PCR{{Index: 4, Value: make([]byte, 32)}}}
	sections := Evidence(attest.Evidence{Kind: attest.TPM, Data: q.Encode()})
	if f := find(t, sections, "TPMT_PUBLIC", "unique.y"); f.Value != "08" {
		t.Errorf("y %q", f.Value)
	}
	if f := find(t, sections, "TPMT_PUBLIC", "objectAttributes"); !strings.Contains(f.Value, "restricted sign") {
		t.Errorf("attributes %q", f.Value)
	}
	if f := find(t, sections, "TPMT_SIGNATURE", "s"); f.Value != "08" {
		t.Errorf("s %q", f.Value)
	}
	find(t, sections, "PCR values", "PCR4")
	if sections[0].Problem == "" {
		t.Error("a quote that is cut off has no problem")
	}
	ev, err := form.EncodeComposite([]attest.Evidence{{Kind: attest.TPM, Data: q.Encode()}, {Kind: attest.NVIDIAGPU, Data: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	parts := Evidence(ev)
	find(t, parts, "part 1 of 2: TPMT_PUBLIC", "type")
	if last := parts[len(parts)-1]; !strings.HasPrefix(last.Title, "part 2 of 2") || last.Problem == "" {
		t.Errorf("%+v", last)
	}
}

// TestCertTable shows a table's entries, and one that lies about its length.
func TestCertTable(t *testing.T) {
	der := capture(t, "snp/turin-v5-oak.vek.der")
	guid := []byte{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	table := binary.LittleEndian.AppendUint32(guid, 48)
	table = binary.LittleEndian.AppendUint32(table, uint32(len(der)))
	table = append(append(table, make([]byte, 24)...), der...)
	find(t, Endorsement(attest.Endorsement{Label: attest.LabelSNPCertTable, Data: table}), "VCEK, certificate", "subject")
	table[20] = 0xff
	table[23] = 0xff
	if got := Endorsement(attest.Endorsement{Label: attest.LabelSNPCertTable, Data: table}); got[0].Problem == "" {
		t.Error("an entry of 4 GiB fits")
	}
}

// FuzzShow: whatever it is, it is shown or a problem is told.
func FuzzShow(f *testing.F) {
	for kind, name := range map[attest.Kind]string{attest.SNP: "snp/genoa-v5-oak.report.bin", attest.TDX: "tdx/quote_v5_sample.dat", attest.SGX: "sgx/sgx_quote",
		attest.Nitro: "nitro/dstack-nsm-qvl.cose", attest.Composite: "tdx/rootcrl.der", attest.TPM: "tdx/cos-113-ccel.bin"} {
		f.Add(byte(kind), capture(f, name))
	}
	f.Add(byte(0), []byte(`{"a":[1,{"b":null}]}`))
	f.Add(byte(0), []byte("<a b='c'>d</a>"))
	f.Add(byte(0), []byte("{\t\t}"))
	f.Add(byte(0), []byte("<a><!-- --></a>"))
	f.Add(byte(0), []byte("\xd2\x84\x9f\xff"))
	f.Add(byte(attest.Nitro), []byte("\x84\x40\xa0\x41\xbf\x40"))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		sections := Evidence(attest.Evidence{Kind: attest.Kind(kind), Data: data})
		loose, _ := Loose("x", data)
		sections = append(append(sections, loose...), tpmAttest(data), tpmPublic(data), tpmSignature(data), spdm("", data), eventLog("", data), derTree("", "", data))
		sections = append(sections, hclReport(data)...)
		for _, s := range append(sections, certTable("", data)...) {
			if s.Problem == "" && len(s.Fields) == 0 && len(data) > 0 {
				t.Errorf("%s shows nothing of %d bytes and has no problem", s.Title, s.Size)
			}
			if len(s.Fields) > maxFields {
				t.Errorf("%s has %d fields", s.Title, len(s.Fields))
			}
		}
	})
}

// TestLongNames: the name of a member stands in the names of all that is in it,
// so a file of one mebibyte could have become gigabytes.
func TestLongNames(t *testing.T) {
	name := strings.Repeat("A", 100_000)
	for what, text := range map[string]string{
		"JSON": `{"` + name + `":{"` + name + `":[` + strings.Repeat("1,", 9000) + `1]}}`,
		"XML":  "<" + name + " " + name + `="1">` + strings.Repeat("<a>x</a>", 9000) + "</" + name + ">",
	} {
		sections, known := Loose("file", []byte(text))
		if !known || len(sections) != 1 || len(sections[0].Fields) != maxFields {
			t.Fatalf("%s: known %t, %d sections", what, known, len(sections))
		}
		for _, f := range sections[0].Fields {
			if len(f.Name) > 4*maxName {
				t.Fatalf("%s: a name of %d bytes", what, len(f.Name))
			}
		}
	}
}

// TestManyDigests: each is added to a text, which must not grow without bound.
func TestManyDigests(t *testing.T) {
	event := binary.LittleEndian.AppendUint32(make([]byte, 8), maxDigests+1)
	for range maxDigests + 1 {
		event = append(append(event, 4, 0), make([]byte, 20)...)
	}
	c := read("log", "", append(event, 0, 0, 0, 0))
	if c.event(0); c.ok() {
		t.Errorf("%d digests were read", maxDigests+1)
	}
}

func TestPadding(t *testing.T) {
	for in, want := range map[string]int{"": 0, "\x01\x00\x00": 2, "\x00\xff\xff\xff": 3, "\x80\xff": 1, "\x00\x00": 2, "\xff\x01": 0} {
		if got := padding([]byte(in)); got != want {
			t.Errorf("%q: %d, expected %d", in, got, want)
		}
	}
}
