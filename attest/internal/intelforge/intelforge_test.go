package intelforge_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/bits"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "vectors", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// quotes are captures from real machines: versions 3, 4 and 5.
func quotes() []string {
	return []string{"sgx/quote_v3_ecdsa_p256_pck_chain.bin", "sgx/sgx_quote", "tdx/quote_v4_tdx_ecdsa_p256.bin", "tdx/quote_v4_tdx_ecdsa_p256_out_of_date.bin",
		"tdx/quote_v4_tdx_ecdsa_p256_trailing.bin", "tdx/tdx_quote", "tdx/tdx_quote_4.dat", "tdx/tdx_quote_outdated", "tdx/quote_v5_sample.dat", "tdx/cos-113-tdx-quote.dat"}
}

func enclave(e *dcap.EnclaveReport) intelforge.Enclave {
	return intelforge.Enclave{
		CPUSVN: e.CPUSVN, MiscSelect: e.MiscSelect, ISVExtProdID: e.ISVExtProdID, Attributes: e.Attributes, XFRM: e.XFRM, MRENCLAVE: e.MRENCLAVE, MRSIGNER: e.MRSIGNER,
		ConfigID: e.ConfigID, ISVProdID: e.ISVProdID, ISVSVN: e.ISVSVN, ConfigSVN: e.ConfigSVN, ISVFamilyID: e.ISVFamilyID, ReportData: e.ReportData,
	}
}

func body(q *dcap.Quote) []byte {
	if q.Enclave != nil {
		return enclave(q.Enclave).Encode()
	}
	d := q.TD
	return intelforge.TD{
		TCBSVN: d.TEETCBSVN, MRSEAM: d.MRSEAM, MRSIGNERSEAM: d.MRSIGNERSEAM, SEAMAttributes: d.SEAMAttributes, Attributes: d.TDAttributes, XFAM: d.XFAM, MRTD: d.MRTD,
		MRCONFIGID: d.MRCONFIGID, MROWNER: d.MROWNER, MROWNERCONFIG: d.MROWNERCONFIG, RTMR: d.RTMR, ReportData: d.ReportData, TCBSVN2: d.TEETCBSVN2, MRSERVICETD: d.MRSERVICETD,
	}.Encode(uint16(q.BodyType))
}

// TestQuotesComeOutTheSame: what the parser reads of a real quote, this package
// writes as the very bytes of the quote. What the parser does not show (keys,
// signatures, authentication data) is cut out by the lengths of the format.
func TestQuotesComeOutTheSame(t *testing.T) {
	for _, name := range quotes() {
		whole := read(t, name)
		q, err := dcap.ParseQuote(whole)
		if err != nil {
			t.Fatal(err)
		}
		h := q.Header
		out := intelforge.Quote{
			Header:   intelforge.Header{Version: h.Version, KeyType: h.AttestationKeyType, TEE: uint32(h.TEE), QESVN: h.QESVN, PCESVN: h.PCESVN, VendorID: h.QEVendorID, UserData: h.UserData},
			BodyType: uint16(q.BodyType), Body: body(q), QEReport: enclave(&q.QEReport).Encode(),
			CertType: intelforge.CertPCKChain, CertData: q.PCKChain, OuterType: intelforge.CertQEReport, Trailing: make([]byte, q.Padding),
		}
		rest := whole[len(out.Signed())+4:]
		out.Signature, out.AttestationKey = rest[:64], rest[64:128]
		rest = rest[128:]
		if h.Version >= 4 {
			rest = rest[6:]
		}
		rest = rest[384:]
		out.QESignature = rest[:64]
		out.QEAuth = rest[66 : 66+int(rest[64])]
		if got := out.Encode(); !bytes.Equal(got, whole) {
			t.Errorf("%s: %d bytes, expected %d; they differ at %d", name, len(got), len(whole), differ(got, whole))
		}
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestCertificatesComeOutTheSame: all three certificates of every chain, from
// what crypto/x509 shows of them.
func TestCertificatesComeOutTheSame(t *testing.T) {
	for _, name := range quotes() {
		q, err := dcap.ParseQuote(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		var chain [][]byte
		for block, rest := pem.Decode(q.PCKChain); block != nil; block, rest = pem.Decode(rest) {
			chain = append(chain, block.Bytes)
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if got := again(t, cert).TBS(); !bytes.Equal(got, cert.RawTBSCertificate) {
				t.Errorf("%s, %s: they differ at %d", name, cert.Subject.CommonName, differ(got, cert.RawTBSCertificate))
			}
		}
		if got := intelforge.PEM(chain...); !bytes.Equal(got, bytes.TrimRight(q.PCKChain, "\x00")) {
			t.Errorf("%s: the PEM text comes out otherwise", name)
		}
	}
}

func nameOf(n pkix.Name) intelforge.Name {
	return intelforge.Name{CN: n.CommonName, O: n.Organization[0], L: n.Locality[0], ST: n.Province[0], C: n.Country[0]}
}

// usageBits turns the library's bits, counted from the first, into those of a
// BIT STRING.
func usageBits(u x509.KeyUsage) byte { return bits.Reverse8(uint8(u)) }

// again builds a certificate of Intel's from its meaning: the extensions are the
// same five in the same order, and the SGX extension behind them for a PCK.
func again(t *testing.T, cert *x509.Certificate) intelforge.Certificate {
	t.Helper()
	pathLen := -1
	if cert.IsCA {
		pathLen = cert.MaxPathLen
	}
	out := intelforge.Certificate{
		Serial: cert.SerialNumber.Bytes(), Issuer: nameOf(cert.Issuer), Subject: nameOf(cert.Subject), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, PublicKey: cert.RawSubjectPublicKeyInfo,
		Extensions: []intelforge.Extension{
			intelforge.AuthorityKeyID(cert.AuthorityKeyId), intelforge.CRLDistribution(cert.CRLDistributionPoints[0]), intelforge.SubjectKeyID(cert.SubjectKeyId),
			intelforge.KeyUsage(usageBits(cert.KeyUsage)), intelforge.BasicConstraints(cert.IsCA, pathLen),
		},
	}
	for _, x := range cert.Extensions {
		if len(x.Id) != 7 {
			continue
		}
		p, err := dcap.ParsePCKExtension(x.Value)
		if err != nil {
			t.Fatal(err)
		}
		out.Extensions = append(out.Extensions, intelforge.SGXExtension(facts(p).Entries()))
	}
	return out
}

func facts(p *dcap.PCK) intelforge.PCKFacts {
	f := intelforge.PCKFacts{
		PPID: p.PPID[:], Components: p.Components, PCESVN: p.PCESVN, CPUSVN: p.CPUSVN[:], PCEID: p.PCEID[:], FMSPC: p.FMSPC[:], SGXType: byte(p.SGXType),
	}
	if p.PlatformID != nil {
		f.PlatformID = p.PlatformID[:]
		f.Configuration = []bool{*p.Configuration.DynamicPlatform, *p.Configuration.CachedKeys, *p.Configuration.SMTEnabled}
	}
	return f
}

// collateral reads the documents and CRLs that one project keeps beside a quote.
func collateral(t *testing.T, name string) (info, identity string, crls [][]byte) {
	t.Helper()
	var c struct {
		RootCRL string `json:"root_ca_crl"`
		PCKCRL  string `json:"pck_crl"`
		Info    string `json:"tcb_info"`
		QE      string `json:"qe_identity"`
	}
	if err := json.Unmarshal(read(t, name), &c); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{c.RootCRL, c.PCKCRL} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		crls = append(crls, b)
	}
	return c.Info, c.QE, crls
}

func TestCRLsComeOutTheSame(t *testing.T) {
	all := [][]byte{read(t, "tdx/pckcrl"), read(t, "tdx/rootcrl.der")}
	for _, name := range []string{"tdx/tdx_quote_collateral.json", "tdx/tdx_quote_outdated_collateral.json", "sgx/sgx_quote_collateral.json"} {
		_, _, crls := collateral(t, name)
		all = append(all, crls...)
	}
	for i, der := range all {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		out := intelforge.CRL{
			Issuer: nameOf(list.Issuer), ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate,
			Extensions: []intelforge.Extension{intelforge.CRLNumber(byte(list.Number.Int64())), intelforge.AuthorityKeyID(list.AuthorityKeyId)},
		}
		for _, e := range list.RevokedCertificateEntries {
			out.Entries = append(out.Entries, intelforge.Revoked{Serial: e.SerialNumber.Bytes(), Date: e.RevocationTime, Extensions: []intelforge.Extension{intelforge.KeyCompromise()}})
		}
		if got := out.TBS(); !bytes.Equal(got, list.RawTBSRevocationList) {
			t.Errorf("CRL %d of %s: they differ at %d", i, list.Issuer.CommonName, differ(got, list.RawTBSRevocationList))
		}
	}
}

// TestDocumentsComeOutTheSame: TCB info and QE identities from their meaning.
func TestDocumentsComeOutTheSame(t *testing.T) {
	type answer struct {
		Info     json.RawMessage `json:"tcbInfo"`
		Identity json.RawMessage `json:"enclaveIdentity"`
	}
	var infos, identities []string
	for _, name := range []string{"sgx/tcb_info_v3_fmspc_00606A000000.json", "sgx/qe_identity_v2.json", "tdx/tcb_info_v3_tdx_fmspc_50806F000000.json",
		"tdx/tcb_info_v3_tdx_fmspc_C0806F000000.json", "tdx/qe_identity_v2_tdx.json", "tdx/qe_identity_v2_tdx2.json", "tdx/sample_tcbinfo_response_v5"} {
		var a answer
		if err := json.Unmarshal(read(t, name), &a); err != nil {
			t.Fatal(err)
		}
		if a.Info != nil {
			infos = append(infos, string(a.Info))
		}
		if a.Identity != nil {
			identities = append(identities, string(a.Identity))
		}
	}
	for _, name := range []string{"tdx/tdx_quote_collateral.json", "tdx/tdx_quote_outdated_collateral.json", "sgx/sgx_quote_collateral.json"} {
		info, identity, _ := collateral(t, name)
		infos, identities = append(infos, info), append(identities, identity)
	}
	for _, want := range infos {
		var d intelforge.TCBInfo
		same(t, want, &d, func() ([]byte, error) { return d.Encode() })
	}
	for _, want := range identities {
		var d intelforge.Identity
		same(t, want, &d, func() ([]byte, error) { return d.Encode() })
	}
}

func same(t *testing.T, want string, into any, encode func() ([]byte, error)) {
	t.Helper()
	if err := json.Unmarshal([]byte(want), into); err != nil {
		t.Fatal(err)
	}
	got, err := encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		at := differ(got, []byte(want))
		t.Errorf("they differ at %d:\n got %.200s\nwant %.200s", at, got[max(0, at-60):], want[max(0, at-60):])
	}
}

// TestSameTwice: two makers of the same thing make the same bytes, so vectors
// can be written again.
func TestSameTwice(t *testing.T) {
	make := func() [32]byte {
		v, err := intelforge.NewVendor("twice", time.Unix(1_760_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		p, err := v.NewPackage("twice", intelforge.DefaultFacts(), v.Platform)
		if err != nil {
			t.Fatal(err)
		}
		q := p.NewQuote(4, intelforge.TEETDX, intelforge.BodyTDX10, intelforge.TD{}.Encode(intelforge.BodyTDX10))
		if err := p.Sign(q); err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(q.Encode())
	}
	if first, second := make(), make(); first != second {
		t.Error("two quotes of the same state differ")
	}
}
