package attesttest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// Where the verdicts come from.
const (
	specQuote      = "Intel TDX DCAP Quoting Library API, A.3; SGX ECDSA Quote Library Reference, A.4"
	specPCK        = "Intel SGX PCK Certificate and CRL Profile, 1.3"
	specPCS        = "Intel PCS API v4, TCBInfo and EnclaveIdentity"
	specLevels     = "Intel PCS API v4, Get TDX TCB Info, comparison algorithm"
	specCRL        = "RFC 5280, 5 and 6.3"
	specPath       = "RFC 5280, 6.1"
	specECDSA      = "FIPS 186-5, 6.4.2"
	specAttributes = "Intel TDX Module ABI 1.5, ATTRIBUTES"
	specXFAM       = "Intel TDX Module ABI 1.5, XFAM"
	specTDInfo     = "Intel TDX Module ABI 1.5, TDINFO_STRUCT"
	specCCEL       = "UEFI 2.10, 38.4; TCG PC Client PFP 10"
	specSGX        = "Intel SDM volume 3D, ATTRIBUTES, MISCSELECT and REPORT"
	specKSS        = "Intel SDM volume 3D, key separation and sharing"
)

// intelCase is a Vector before its evidence is made.
type intelCase struct {
	row, name, about, spec string
	kind                   attest.Kind
	stage                  Stage
	check                  string
	code                   attest.Code
	trust                  string
	intel                  *Intel
	at                     time.Time
	opts                   []IntelOption
}

func (c intelCase) vector(t testing.TB) Vector {
	t.Helper()
	intel := NewIntel()
	if c.intel != nil {
		intel = c.intel
	}
	if c.at.IsZero() {
		c.at = Epoch()
	}
	ev, end := intel.Make(t, c.kind, [64]byte{1, 2, 3}, c.opts...)
	return Vector{
		Row: c.row, Name: c.name, About: c.about, Spec: c.spec, Stage: c.stage, Check: c.check, Code: c.code, Trust: c.trust,
		Evidence: ev, Endorsements: end, Roots: [][]byte{NewIntel().Root(t)}, At: c.at,
	}
}

// TDXVectors returns the rows of the attack catalogue that speak of Intel TDX.
func TDXVectors(t testing.TB) []Vector {
	t.Helper()
	groups := append(commonCases(t, attest.TDX), tdxHealthy(), tdxLevels(), tdxForm(), tdxGuest(), tdxPlatform(), tdxCode(), tdxLogs())
	return intelVectors(t, groups)
}

// SGXVectors returns the rows of the attack catalogue that speak of Intel SGX.
func SGXVectors(t testing.TB) []Vector {
	t.Helper()
	return intelVectors(t, append(commonCases(t, attest.SGX), sgxHealthy(), sgxForm(), sgxEnclave(), sgxPlatform(), sgxCode()))
}

func intelVectors(t testing.TB, groups [][]intelCase) []Vector {
	t.Helper()
	var out []Vector
	for _, group := range groups {
		for _, c := range group {
			out = append(out, c.vector(t))
		}
	}
	return out
}

// commonCases are those of quote, certificates and collateral, which both kinds
// have in common.
func commonCases(t testing.TB, kind attest.Kind) [][]intelCase {
	t.Helper()
	b := intelBuilder{kind}
	return [][]intelCase{
		b.parsing(), b.signatures(), b.chains(t), b.times(), b.revocation(t), b.quotingEnclave(), b.processor(), b.collateral(), b.documents(),
	}
}

// intelBuilder makes the cases of one kind.
type intelBuilder struct{ kind attest.Kind }

func (b intelBuilder) refuse(row, name, about, spec, check string, code attest.Code, opts ...IntelOption) intelCase {
	return intelCase{kind: b.kind, row: row, name: name, about: about, spec: spec, stage: StageVerify, check: check, code: code, opts: opts}
}

func (b intelBuilder) accept(row, name, about, spec string, opts ...IntelOption) intelCase {
	return intelCase{kind: b.kind, row: row, name: name, about: about, spec: spec, stage: StageNone, opts: opts}
}

// judge is a case that the trust file decides; rules stand under hardware.
func (b intelBuilder) judge(row, name, about, spec, check string, code attest.Code, rules string, opts ...IntelOption) intelCase {
	return intelCase{
		kind: b.kind, row: row, name: name, about: about, spec: spec, stage: StageAppraise, check: check, code: code,
		trust: IntelTrust(b.kind, rules), opts: opts,
	}
}

// of is the T or X row of the same meaning.
func (b intelBuilder) of(tdx, sgx string) string {
	if b.kind == attest.TDX {
		return tdx
	}
	return sgx
}

// IntelTrust returns a trust file that accepts what [Intel.Make] makes, with
// more rules under hardware.tdx or hardware.sgx ("pks: allow, smt: forbid").
func IntelTrust(kind attest.Kind, rules string) string {
	return intelTrust(kind, healthyReference(kind), "any", rules)
}

func healthyReference(kind attest.Kind) string {
	if kind == attest.SGX {
		m := EnclaveMeasurement()
		return "{mrenclave: " + hex.EncodeToString(m[:]) + "}"
	}
	return tdReference(nil)
}

// tdReference names the registers of a healthy trust domain, but for those given.
func tdReference(other map[string]string) string {
	var parts []string
	for _, name := range []string{"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"} {
		value := TDRegister(name)
		text := hex.EncodeToString(value[:])
		if o, ok := other[name]; ok {
			text = o
		}
		parts = append(parts, name+": "+text)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func intelTrust(kind attest.Kind, reference, policy, rules string) string {
	text := "version: 1\naccept:\n  - name: forged\n    " + kind.String() + ": " + reference + "\n    policy: " + policy + "\n"
	if rules != "" {
		text += "hardware:\n  " + kind.String() + ": {" + rules + "}\n"
	}
	return text
}

func (b intelBuilder) parsing() []intelCase {
	const check = "hardware.quote"
	cut := func(n int) IntelOption { return EditQuoteBytes(func(q []byte) []byte { return q[:min(n, len(q))] }) }
	length := func(n uint32) IntelOption { return EditQuote(func(q *IntelQuote) { q.Lengths.Auth = &n }) }
	chain := func(n uint32) IntelOption { return EditQuote(func(q *IntelQuote) { q.Lengths.Cert = &n }) }
	tail := func(tail string) IntelOption {
		return EditQuoteBytes(func(q []byte) []byte { return append(q, tail...) })
	}
	return []intelCase{
		b.refuse("G01", "empty", "No evidence at all.", specQuote, check, attest.CodeMalformed, cut(0)),
		b.refuse("G01", "header-only", "The quote ends after its header.", specQuote, check, attest.CodeMalformed, cut(48)),
		b.refuse("G01", "body-only", "The quote ends before its signature.", specQuote, check, attest.CodeMalformed, cut(640)),
		b.refuse("G01", "last-byte", "The quote lacks its last byte.", specQuote, check, attest.CodeMalformed, EditQuoteBytes(func(q []byte) []byte { return q[:len(q)-1] })),
		b.refuse("G02", "trailing-text", "Text follows the quote.", specQuote, check, attest.CodeMalformed, tail("x")),
		b.refuse("G02", "trailing-in-signature-data", "A byte that no field counts is left in the signature data.", specQuote, check, attest.CodeMalformed,
			EditSignedQuote(func(q *IntelQuote) {
				n := uint32(len(q.CertData))
				q.Lengths.Cert = &n
				q.CertData = append(q.CertData, 0)
			})),
		b.refuse("G02", "text-in-chain", "Text between the certificates of the chain.", specPCK, "hardware.pck_chain", attest.CodeMalformed,
			EditQuote(func(q *IntelQuote) { q.CertData = append([]byte("surprise\n"), q.CertData...) })),
		b.refuse("G03", "signature-data-4-gib", "Signature data that say they have 4 GiB.", specQuote, check, attest.CodeMalformed, length(1<<32-1)),
		b.refuse("G03", "chain-4-gib", "Certificates that say they have 4 GiB.", specQuote, check, attest.CodeMalformed, chain(1<<32-1)),
		b.refuse("G03", "over-the-limit", "A quote larger than any.", specQuote, check, attest.CodeTooLarge, EditQuoteBytes(func(q []byte) []byte { return append(q, make([]byte, 64<<10)...) })),
		b.refuse("G11", "key-type-3", "An attestation key of a type that was never used.", specQuote, check, "unsupported_alg", EditQuote(func(q *IntelQuote) { q.Header.KeyType = 3 })),
		b.refuse("G11", "key-type-0", "An EPID key type.", specQuote, check, "unsupported_alg", EditQuote(func(q *IntelQuote) { q.Header.KeyType = 0 })),
		b.refuse("G27", "labelled-snp", "Labelled as SEV-SNP.", specQuote, "hardware.kind", attest.CodeKindMismatch, IntelKind(attest.SNP)),
		b.refuse("G27", "labelled-nothing", "Labelled as nothing.", specQuote, "hardware.kind", attest.CodeKindMismatch, IntelKind(attest.KindInvalid)),
		b.refuse("G27", "snp-bytes", "Bytes of an SEV-SNP report under this label.", specQuote, check, "qe_vendor",
			EditQuoteBytes(func([]byte) []byte { return append([]byte{5, 0, 2, 0}, make([]byte, 1180)...) })),
		b.refuse(b.of("T20", "X10"), "version-2", "A quote of version 2, with an EPID signature.", specQuote, check, "unsupported", EditQuote(func(q *IntelQuote) { q.Header.Version = 2 })),
		b.refuse(b.of("T20", "X10"), "version-6", "A quote of a version that does not exist.", specQuote, check, "unsupported", EditQuote(func(q *IntelQuote) { q.Header.Version = 6 })),
		b.refuse(b.of("T20", "X10"), "unknown-vendor", "A quoting enclave of another vendor.", specQuote, check, "qe_vendor", EditQuote(func(q *IntelQuote) { q.Header.VendorID[0] ^= 1 })),
		b.refuse(b.of("T20", "X16"), "chain-type-1", "The quote names its PCK by a clear id.", specQuote, check, "no_pck_chain", EditQuote(func(q *IntelQuote) { q.CertType = 1 })),
		b.refuse(b.of("T20", "X16"), "chain-type-3", "The quote names its PCK by an encrypted id.", specQuote, check, "no_pck_chain", EditQuote(func(q *IntelQuote) { q.CertType = 3 })),
		b.refuse(b.of("T20", "X16"), "chain-type-7", "Certification data of a platform manifest.", specQuote, check, "no_pck_chain", EditQuote(func(q *IntelQuote) { q.CertType = 7 })),
		b.refuse(b.of("T20", "X16"), "tee-type", "A TEE type that nobody has.", specQuote, check, "unsupported", EditQuote(func(q *IntelQuote) { q.Header.TEE = 0x42 })),
	}
}

// p256Order is the order of the curve of every signature.
func p256Order() *big.Int {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	return n
}

func (b intelBuilder) signatures() []intelCase {
	const quote, qe = "hardware.quote_signature", "hardware.qe_signature"
	bad := attest.CodeBadSignature
	edit := func(f func(r, s *big.Int)) IntelOption {
		return EditSignedQuote(func(q *IntelQuote) {
			r, s := new(big.Int).SetBytes(q.Signature[:32]), new(big.Int).SetBytes(q.Signature[32:])
			f(r, s)
			q.Signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		})
	}
	return []intelCase{
		b.accept("G09", "n-minus-s", "The other of the two signatures that verify.", specECDSA, edit(func(_, s *big.Int) { s.Sub(p256Order(), s) })),
		b.refuse("G10", "r-zero", "r is zero.", specECDSA, quote, bad, edit(func(r, _ *big.Int) { r.SetInt64(0) })),
		b.refuse("G10", "s-zero", "s is zero.", specECDSA, quote, bad, edit(func(_, s *big.Int) { s.SetInt64(0) })),
		b.refuse("G10", "r-order", "r is the order of the curve.", specECDSA, quote, bad, edit(func(r, _ *big.Int) { r.Set(p256Order()) })),
		b.refuse("G10", "s-ones", "s is larger than the order.", specECDSA, quote, bad, edit(func(_, s *big.Int) { s.Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)) })),
		b.refuse("G10", "swapped", "r and s are swapped.", specECDSA, quote, bad, edit(func(r, s *big.Int) { *r, *s = *s, *r })),
		b.refuse("G12", "body-changed", "The report was changed after it was signed.", specQuote, quote, bad, EditSignedQuote(func(q *IntelQuote) { q.Body = flip(q.Body, 350) })),
		b.refuse("G12", "header-changed", "The header was changed after it was signed.", specQuote, quote, bad, EditSignedQuote(func(q *IntelQuote) { q.Header.UserData[3] ^= 1 })),
		b.refuse("G10", "key-not-on-curve", "The attestation key is no point of the curve.", specECDSA, quote, bad,
			EditSignedQuote(func(q *IntelQuote) {
				q.AttestationKey = flip(q.AttestationKey, 40)
			})),
		b.refuse(b.of("T13", "X12"), "qe-signed-by-other-key", "Another key than the PCK's signed the quoting enclave's report.", specQuote, qe, bad, func(m *IntelMachine) { m.PCKKey = m.Vendor.TCBSigning.Key }),
		b.refuse(b.of("T13", "X12"), "qe-changed", "The quoting enclave's report was changed after it was signed.", specQuote, qe, bad, EditSignedQuote(func(q *IntelQuote) { q.QEReport = flip(q.QEReport, 3) })),
		b.refuse(b.of("T12", "X12"), "auth-changed", "The authentication data are not those that the quoting enclave hashed.", specQuote, "hardware.qe_binding", "qe_binding", EditSignedQuote(func(q *IntelQuote) { q.QEAuth = flip(q.QEAuth, 0) })),
		b.refuse(b.of("T12", "X12"), "key-only", "The quoting enclave hashed the key without the authentication data.", specQuote, "hardware.qe_binding", "qe_binding",
			func(m *IntelMachine) {
				m.Binding = func(q *IntelQuote, qe *IntelEnclave) {
					key, _ := intelforge.NewKey("attestation")
					public, _ := intelforge.RawPublic(key)
					qe.ReportData = intelforge.Binding(public, nil)
				}
			}),
		b.refuse(b.of("T12", "X12"), "second-half", "The second half of the quoting enclave's report data is not zero.", specQuote, "hardware.qe_binding", "qe_binding",
			func(m *IntelMachine) {
				m.Binding = func(q *IntelQuote, qe *IntelEnclave) {
					key, _ := intelforge.NewKey("attestation")
					public, _ := intelforge.RawPublic(key)
					qe.ReportData = intelforge.Binding(public, q.QEAuth)
					qe.ReportData[63] = 1
				}
			}),
	}
}

func flip(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 1
	return out
}

func (b intelBuilder) chains(t testing.TB) []intelCase {
	t.Helper()
	const check = "hardware.pck_chain"
	intel, err := NewIntel().vendor()
	if err != nil {
		t.Fatal(err)
	}
	other, err := IntelStranger().vendor()
	if err != nil {
		t.Fatal(err)
	}
	stranger := b.refuse("G15", "right-names-wrong-keys", "A complete chain and collateral with Intel's names under somebody else's root.", specPath, check, attest.CodeUntrustedRoot)
	stranger.intel = IntelStranger()
	reissued := intel.Root.Certificate
	reissued.NotAfter = reissued.NotAfter.AddDate(1, 0, 0)
	again, err := intel.Issue(reissued, intel.Root.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	noCA := intel.Platform.Certificate
	noCA.Extensions = slices.Clone(noCA.Extensions)
	for i, x := range noCA.Extensions {
		if slices.Equal(x.OID, []int{2, 5, 29, 19}) {
			noCA.Extensions[i] = intelforge.BasicConstraints(false, -1)
		}
	}
	weak, err := intel.Issue(noCA, intel.Platform.Key, intel.Root)
	if err != nil {
		t.Fatal(err)
	}
	return []intelCase{
		b.refuse("G14", "extra-root", "A fourth certificate: somebody's own root behind Intel's.", specPath, check, attest.CodeMalformed, EditChain(func(c [][]byte) [][]byte { return append(c, other.Root.DER) })),
		b.refuse("G14", "own-root", "Intel's CAs with somebody's own root at the end.", specPath, check, attest.CodeUntrustedRoot, EditChain(func(c [][]byte) [][]byte { c[2] = other.Root.DER; return c })),
		stranger,
		b.refuse("G16", "root-reissued", "Another certificate for the key of the pinned root.", specPath, check, attest.CodeUntrustedRoot, EditChain(func(c [][]byte) [][]byte { c[2] = again.DER; return c })),
		b.refuse("G17", "issued-by-root", "A PCK that the root issued itself.", specPath, check, attest.CodeBadChain,
			func(m *IntelMachine) { m.Issuer = m.Vendor.Root }, EditPCKCert(func(c *IntelCert) { c.Issuer = intel.Root.Certificate.Subject })),
		b.refuse("G17", "ca-without-ca-bit", "The PCK's CA is a certificate that may not issue any.", specPath, check, attest.CodeBadChain, EditChain(func(c [][]byte) [][]byte { c[1] = weak.DER; return c })),
		b.refuse("G17", "issued-by-stranger", "A PCK in the name of Intel's CA, signed by somebody else.", specPath, check, attest.CodeUntrustedRoot, func(m *IntelMachine) { m.Issuer = other.Platform }),
		b.refuse("G17", "order", "The chain begins with the root.", specPath, check, attest.CodeBadChain, EditChain(func(c [][]byte) [][]byte { slices.Reverse(c); return c })),
		b.refuse("G17", "two", "The chain has no root.", specPath, check, attest.CodeBadChain, EditChain(func(c [][]byte) [][]byte { return c[:2] })),
		b.refuse("G17", "tcb-signing-ca", "A PCK that the TCB signing key issued.", specPath, check, attest.CodeBadChain,
			func(m *IntelMachine) { m.Issuer = m.Vendor.TCBSigning },
			EditPCKCert(func(c *IntelCert) { c.Issuer = intel.TCBSigning.Certificate.Subject }),
			EditChain(func(c [][]byte) [][]byte { c[1] = intel.TCBSigning.DER; return c })),
		b.refuse("G13", "sha-384", "A PCK certificate signed with another algorithm than Intel's.", specPCK, check, attest.CodeBadChain, EditPCKCert(func(c *IntelCert) { c.Algorithm = intelforge.ECDSAWithSHA384() })),
	}
}

func (b intelBuilder) times() []intelCase {
	const check = "hardware.validity"
	now := Epoch()
	at := func(c intelCase, t time.Time) intelCase { c.at = t; return c }
	return []intelCase{
		b.refuse("G18", "pck-expired", "The PCK certificate ended a second ago.", specPath, check, attest.CodeExpired, EditPCKCert(func(c *IntelCert) { c.NotAfter = now.Add(-time.Second) })),
		b.refuse("G18", "pck-of-tomorrow", "The PCK certificate begins tomorrow.", specPath, check, attest.CodeExpired, EditPCKCert(func(c *IntelCert) { c.NotBefore = now.AddDate(0, 0, 1) })),
		at(b.refuse("G18", "clock-five-years-ahead", "Everything is judged for five years later.", specPath, check, attest.CodeExpired), now.AddDate(5, 0, 1)),
		at(b.refuse(b.of("T17", "X12"), "clock-a-month-ahead", "TCB info past its next update.", specPCS, "hardware.tcb_info_time", "stale_collateral"), now.AddDate(0, 0, 24)),
		at(b.refuse(b.of("T17", "X12"), "clock-ten-days-behind", "TCB info that is yet to be issued.", specPCS, "hardware.tcb_info_time", "bad_collateral"), now.AddDate(0, 0, -8)),
	}
}

func (b intelBuilder) revocation(t testing.TB) []intelCase {
	t.Helper()
	intel, err := NewIntel().vendor()
	if err != nil {
		t.Fatal(err)
	}
	now := Epoch()
	const root, pck = "hardware.root_crl", "hardware.pck_crl"
	revoke := func(serial []byte) func(*IntelCRL) {
		return func(c *IntelCRL) {
			c.Entries = append(c.Entries, intelforge.Revoked{Serial: serial, Date: now.AddDate(0, -1, 0)})
		}
	}
	return []intelCase{
		b.judge("G19", "no-root-crl", "Nothing says whether the CA was revoked.", specCRL, "hardware.revocation_ca", attest.CodeNoCRL, "", Without(attest.LabelIntelRootCRL)),
		b.judge("G19", "no-pck-crl", "Nothing says whether the processor's key was revoked.", specCRL, "hardware.revocation_key", attest.CodeNoCRL, "", Without(attest.LabelIntelPCKCRL)),
		b.refuse("G20", "root-crl-expired", "The root's list is three years past its next update.", specCRL, root+"_time", attest.CodeStaleCRL,
			EditRootCRL(func(c *IntelCRL) { c.ThisUpdate, c.NextUpdate = now.AddDate(-4, 0, 0), now.AddDate(-3, 0, 0) })),
		b.refuse("G20", "pck-crl-expired", "The PCK CA's list ended a second ago.", specCRL, pck+"_time", attest.CodeStaleCRL, EditPCKCRL(func(c *IntelCRL) { c.NextUpdate = now.Add(-time.Second) })),
		b.refuse("G20", "pck-crl-without-end", "The PCK CA's list has no date of its next update.", specCRL, pck, attest.CodeBadCRL, EditPCKCRL(func(c *IntelCRL) { c.NextUpdate = time.Time{} })),
		b.refuse("G21", "root-crl-of-tomorrow", "The root's list is from the future.", specCRL, root+"_time", attest.CodeBadCRL, EditRootCRL(func(c *IntelCRL) { c.ThisUpdate = now.AddDate(0, 0, 1) })),
		b.refuse("G21", "pck-crl-of-tomorrow", "The PCK CA's list is from the future.", specCRL, pck+"_time", attest.CodeBadCRL, EditPCKCRL(func(c *IntelCRL) { c.ThisUpdate = now.AddDate(0, 0, 1) })),
		b.refuse("G23", "root-crl-by-ca", "A CA below the root signed the root's list.", specCRL, root, attest.CodeBadCRL, func(m *IntelMachine) { m.RootCRLBy = m.Vendor.Platform }),
		b.refuse(b.of("T15", "X12"), "crl-of-the-other-ca", "The list is the Processor CA's, the PCK the Platform CA's.", specPCK, pck, attest.CodeBadCRL, func(m *IntelMachine) { m.PCKCRLBy = m.Vendor.Processor }),
		b.refuse(b.of("T15", "X12"), "platform-crl-for-processor", "The list is the Platform CA's, the PCK the Processor CA's.", specPCK, pck, attest.CodeBadCRL, ByProcessorCA(), func(m *IntelMachine) { m.PCKCRLBy = m.Vendor.Platform }),
		b.refuse("G24", "ca-revoked", "The root revoked the PCK's CA.", specCRL, root+"_entries", attest.CodeRevoked, EditRootCRL(revoke(intel.Platform.Certificate.Serial))),
		b.refuse("G24", "tcb-signing-revoked", "The root revoked the key that signs TCB info.", specCRL, root+"_entries", attest.CodeRevoked, EditRootCRL(revoke(intel.TCBSigning.Certificate.Serial))),
		b.refuse(b.of("G25", "X15"), "pck-revoked", "The CA revoked the processor's key.", specCRL, pck+"_entries", attest.CodeRevoked, func(m *IntelMachine) {
			m.Cert = append(m.Cert, func(_ *intelforge.Vendor, c *IntelCert) { c.Serial = []byte{0x42, 0x42} })
			m.PCKCRL = append(m.PCKCRL, revoke([]byte{0x42, 0x42}))
		}),
	}
}

func (b intelBuilder) quotingEnclave() []intelCase {
	row := b.of("T11", "X12")
	const check = "hardware.qe"
	return []intelCase{
		b.refuse(row, "qe-signer", "A quoting enclave that somebody else signed.", specPCS, check, "qe_identity", EditQE(func(e *IntelEnclave) { e.MRSIGNER[0] ^= 1 })),
		b.refuse(row, "qe-product", "Another enclave of Intel's.", specPCS, check, "qe_identity", EditQE(func(e *IntelEnclave) { e.ISVProdID++ })),
		b.refuse(row, "qe-misc-select", "A quoting enclave with exception information.", specPCS, check, "qe_identity", EditQE(func(e *IntelEnclave) { e.MiscSelect = 1 })),
		b.refuse(row, "qe-debug", "A quoting enclave in debug mode.", specPCS, check, "qe_identity", EditQE(func(e *IntelEnclave) { e.Attributes |= 2 })),
		b.refuse(row, "qe-below-every-level", "A quoting enclave older than every level.", specPCS, "hardware.qe_level", "no_tcb_level", EditQE(func(e *IntelEnclave) { e.ISVSVN = 0 })),
		b.judge(row, "qe-out-of-date", "A quoting enclave that Intel calls out of date.", specPCS, "hardware.tcb_status", "tcb_status", "",
			EditIdentity(func(d *IntelIdentity) { d.Levels[0].Status = "OutOfDate" })),
		b.judge(row, "qe-revoked", "A quoting enclave that Intel revoked.", specPCS, "hardware.tcb_status", "tcb_status", "",
			EditIdentity(func(d *IntelIdentity) { d.Levels[0].Status = "Revoked" })),
	}
}

func (b intelBuilder) processor() []intelCase {
	row := b.of("T14", "X12")
	extension := func(f func(entries []intelforge.Entry) []intelforge.Entry) IntelOption {
		return func(m *IntelMachine) {
			m.Cert = append(m.Cert, func(_ *intelforge.Vendor, c *IntelCert) {
				for i, x := range c.Extensions {
					if len(x.OID) == 7 {
						c.Extensions[i] = intelforge.SGXExtension(f(m.PCK.Entries()))
					}
				}
			})
		}
	}
	drop := func(i int) IntelOption {
		return extension(func(e []intelforge.Entry) []intelforge.Entry { return slices.Delete(slices.Clone(e), i, i+1) })
	}
	return []intelCase{
		b.refuse(row, "other-fmspc", "TCB info of another processor model.", specPCS, "hardware.tcb_info_platform", "platform_mismatch", EditPCK(func(p *IntelPCK) { p.FMSPC = []byte{0, 0x60, 0x6a, 0, 0, 0} })),
		b.refuse(row, "other-pce", "TCB info of another provisioning enclave.", specPCS, "hardware.tcb_info_platform", "platform_mismatch", EditPCK(func(p *IntelPCK) { p.PCEID = []byte{0, 1} })),
		b.refuse(row, "pck-without-extension", "A PCK certificate without Intel's extension.", specPCK, "hardware.pck", attest.CodeMalformed, EditPCKCert(func(c *IntelCert) {
			c.Extensions = slices.DeleteFunc(slices.Clone(c.Extensions), func(x intelforge.Extension) bool { return len(x.OID) == 7 })
		})),
		b.refuse(row, "extension-twice", "Intel's extension occurs twice.", specPCK, "hardware.pck_chain", attest.CodeMalformed, EditPCKCert(func(c *IntelCert) {
			for _, x := range c.Extensions {
				if len(x.OID) == 7 {
					c.Extensions = append(slices.Clone(c.Extensions), x)
				}
			}
		})),
		b.refuse(row, "member-twice", "The FMSPC occurs twice in the extension.", specPCK, "hardware.pck", attest.CodeMalformed,
			extension(func(e []intelforge.Entry) []intelforge.Entry { return append(slices.Clone(e), e[3]) })),
		b.refuse(row, "no-fmspc", "The extension has no FMSPC.", specPCK, "hardware.pck", attest.CodeMalformed, drop(3)),
		b.refuse(row, "no-tcb", "The extension has no TCB.", specPCK, "hardware.pck", attest.CodeMalformed, drop(1)),
		b.refuse(row, "ppid-short", "A PPID of 15 bytes.", specPCK, "hardware.pck", attest.CodeMalformed, EditPCK(func(p *IntelPCK) { p.PPID = p.PPID[:15] })),
		b.refuse(row, "below-every-level", "A platform older than every level.", specLevels, "hardware.tcb_level", "no_tcb_level", EditPCK(func(p *IntelPCK) { p.Components[0] = 1 })),
		b.refuse(row, "pcesvn-below-every-level", "A PCE older than every level.", specLevels, "hardware.tcb_level", "no_tcb_level", EditPCK(func(p *IntelPCK) { p.PCESVN = 1 })),
	}
}

func (b intelBuilder) collateral() []intelCase {
	return []intelCase{
		b.refuse(b.of("T10", "X12"), "no-tcb-info", "Nothing says how the platform stands.", specPCS, "hardware.endorsements", "no_collateral", Without(attest.LabelIntelTCBInfo)),
		b.refuse(b.of("T10", "X12"), "no-qe-identity", "Nothing says which quoting enclave is Intel's.", specPCS, "hardware.endorsements", "no_collateral", Without(attest.LabelIntelQEIdentity)),
		b.refuse(b.of("T10", "X12"), "no-tcb-chain", "Nothing says whose key signed the documents.", specPCS, "hardware.endorsements", "no_collateral", Without(attest.LabelIntelTCBChain)),
		b.refuse("G28", "two-tcb-infos", "Two TCB infos, one good.", specPCS, "hardware.endorsements", attest.CodeAmbiguous, EditIntelEndorsements(func(e attest.Endorsements) attest.Endorsements { return append(e, e[0]) })),
		b.refuse("G03", "tcb-info-too-large", "TCB info larger than any.", specPCS, "hardware.endorsements", attest.CodeTooLarge, EditIntelEndorsements(func(e attest.Endorsements) attest.Endorsements {
			e[0].Data = append(bytes.Clone(e[0].Data), bytes.Repeat([]byte(" "), attest.MaxEndorsement)...)
			return e
		})),
		b.refuse(b.of("T16", "X12"), "tcb-info-of-the-other-tee", "TCB info of the other TEE, with the same FMSPC.", specPCS, "hardware.tcb_info", "platform_mismatch", EditInfo(func(d *IntelTCBInfo) { d.ID = b.of("SGX", "TDX") })),
		b.refuse(b.of("T16", "X12"), "identity-of-the-other-qe", "The identity of the other TEE's quoting enclave.", specPCS, checkQEIdentity, "platform_mismatch", EditIdentity(func(d *IntelIdentity) { d.ID = b.of("QE", "TD_QE") })),
		b.refuse(b.of("T16", "X12"), "tcb-info-version-2", "TCB info of version 2.", specPCS, "hardware.tcb_info", "unsupported", EditInfo(func(d *IntelTCBInfo) { d.Version = 2 })),
		b.refuse(b.of("T16", "X12"), "identity-version-3", "A QE identity of a version that does not exist.", specPCS, checkQEIdentity, "unsupported", EditIdentity(func(d *IntelIdentity) { d.Version = 3 })),
		b.refuse(b.of("T16", "X12"), "tcb-type-1", "TCB info whose levels are compared by another rule.", specPCS, "hardware.tcb_info", "unsupported", EditInfo(func(d *IntelTCBInfo) { d.TCBType = 1 })),
		b.refuse(b.of("T17", "X12"), "tcb-info-expired", "TCB info past its next update.", specPCS, "hardware.tcb_info_time", "stale_collateral", EditInfo(func(d *IntelTCBInfo) { d.NextUpdate = "2026-06-15T11:59:59Z" })),
		b.refuse(b.of("T17", "X12"), "tcb-info-of-tomorrow", "TCB info from the future.", specPCS, "hardware.tcb_info_time", "bad_collateral", EditInfo(func(d *IntelTCBInfo) { d.IssueDate = "2026-06-16T12:00:00Z" })),
		b.refuse(b.of("T17", "X12"), "identity-expired", "A QE identity past its next update.", specPCS, checkQEIdentity+"_time", "stale_collateral", EditIdentity(func(d *IntelIdentity) { d.NextUpdate = "2026-06-15T11:59:59Z" })),
		b.refuse(b.of("T17", "X12"), "identity-of-tomorrow", "A QE identity from the future.", specPCS, checkQEIdentity+"_time", "bad_collateral", EditIdentity(func(d *IntelIdentity) { d.IssueDate = "2026-06-16T12:00:00Z" })),
		b.judge(b.of("T18", "X12"), "evaluation-16", "TCB info in force, but from before two TCB recoveries.", specPCS, "hardware.tcb_evaluation", "tcb_evaluation", "", EditInfo(func(d *IntelTCBInfo) { d.Evaluation = 16 })),
		b.judge(b.of("T18", "X12"), "identity-evaluation-18", "The same of the QE identity alone.", specPCS, "hardware.tcb_evaluation", "tcb_evaluation", "", EditIdentity(func(d *IntelIdentity) { d.Evaluation = 18 })),
		b.judge(b.of("T18", "X12"), "evaluation-floor-of-the-file", "Below the number in the trust file.", specPCS, "hardware.tcb_evaluation", "tcb_evaluation", "tcb_evaluation: 20"),
		b.judge(b.of("T14", "X12"), "fmspc-not-listed", "A processor model that the trust file does not list.", specPCK, "hardware.accepted_fmspc", "fmspc_not_allowed", `fmspc: ["00606a000000"]`),
		b.judge(b.of("T26", "X12"), "piid-not-listed", "A platform that the trust file does not list.", specPCK, "hardware.accepted_piid", "chip_not_allowed", `piid: ["000102030405060708090a0b0c0d0e0f"]`),
		b.judge(b.of("T26", "X12"), "no-piid", "The trust file lists platforms, and a Processor CA's certificate names none.", specPCK, "hardware.accepted_piid", "chip_not_allowed", `piid: ["000102030405060708090a0b0c0d0e0f"]`, ByProcessorCA()),
		b.judge(b.of("T27", "X12"), "logical-integrity", "Memory integrity by a bit where cryptography is required.", specPCK, "hardware.memory_integrity", "memory_integrity", "memory_integrity: require"),
		b.judge(b.of("T08", "X09"), "smt", "Sibling threads are on and the trust file forbids it.", specPCK, "hardware.smt", "smt", "smt: forbid"),
		b.judge(b.of("T08", "X09"), "smt-unknown", "The certificate does not say whether sibling threads are on.", specPCK, "hardware.smt", "smt", "smt: forbid", ByProcessorCA()),
	}
}

const checkQEIdentity = "hardware.qe_identity"

func (b intelBuilder) documents() []intelCase {
	row := b.of("T19", "X12")
	cases := []intelCase{
		b.refuse(row, "reserialised", "White space was added after the document was signed.", specPCS, "hardware.tcb_info", "bad_collateral", EditInfoAnswer(replaceOnce(`"version":3`, `"version": 3`))),
		b.refuse(row, "tcb-info-changed", "A status was changed after the document was signed.", specPCS, "hardware.tcb_info", "bad_collateral", EditInfoAnswer(replaceOnce("OutOfDate", "UpToDate"))),
		b.refuse(row, "identity-changed", "The QE identity was changed after it was signed.", specPCS, checkQEIdentity, "bad_collateral", EditIdentityAnswer(replaceOnce(`"isvprodid":`, `"isvprodid":1`))),
		b.refuse(row, "signed-by-pck-ca", "A CA of PCKs signed the documents.", specPCS, "hardware.tcb_info", "bad_collateral", func(m *IntelMachine) { m.DocumentKey = m.Vendor.Platform.Key }),
		b.refuse(row, "chain-of-pck-ca", "The documents' chain is that of a CA of PCKs, whose key signed them.", specPCS, "hardware.tcb_chain", attest.CodeBadChain, func(m *IntelMachine) {
			m.DocumentKey = m.Vendor.Platform.Key
			m.TCBChain = func(v *intelforge.Vendor) []byte { return intelforge.PEM(v.Platform.DER, v.Root.DER) }
		}),
		b.refuse(row, "strangers-tcb-info", "Somebody else's TCB signing key.", specPCS, "hardware.tcb_chain", attest.CodeUntrustedRoot, func(m *IntelMachine) {
			other, err := IntelStranger().vendor()
			if err != nil {
				return
			}
			m.DocumentKey = other.TCBSigning.Key
			m.TCBChain = func(*intelforge.Vendor) []byte { return other.TCBChain() }
		}),
		b.refuse("G08", "trailing-json", "A second document follows the first.", "RFC 8259, 2", "hardware.tcb_info", attest.CodeMalformed, EditInfoAnswer(func(a []byte) []byte { return append(a, "{}"...) })),
	}
	for _, d := range []struct{ name, about, old, text string }{
		{"member-twice", "A member of the TCB info occurs twice, signed so.", `"tcbType":0`, `"tcbType":0,"tcbType":0`},
		{"member-in-capitals", "A member of the TCB info in another case, signed so.", `"tcbEvaluationDataNumber"`, `"TCBEvaluationDataNumber"`},
		{"null-for-number", "A number of the TCB info is null, signed so.", `"tcbType":0`, `"tcbType":null`},
		{"fifteen-components", "A level with fifteen components, signed so.", `[{"svn":7},`, `[`},
		{"unknown-status", "A status that Intel never defined, signed so.", `"UpToDate"`, `"Excellent"`},
		{"svn-300", "A component above 255, signed so.", `[{"svn":7}`, `[{"svn":300}`},
	} {
		cases = append(cases, b.refuse("G08", d.name, d.about, specPCS, "hardware.tcb_info", attest.CodeMalformed, EditInfoText(d.old, d.text)))
	}
	return append(cases, b.refuse("G08", "identity-member-twice", "A member of the QE identity occurs twice, signed so.", specPCS, checkQEIdentity, attest.CodeMalformed,
		EditIdentityText(`"version":2`, `"version":2,"version":2`)))
}

func tdxHealthy() []intelCase {
	b := intelBuilder{attest.TDX}
	return []intelCase{
		b.accept("T20", "version-4", "A healthy trust domain, quote version 4.", specQuote),
		b.accept("T20", "version-5-report-1-5", "A healthy trust domain, quote version 5 with a TD report 1.5.", specQuote, QuoteVersion(5)),
		b.accept("T20", "version-5-report-1-0", "A healthy trust domain, quote version 5 with a TD report 1.0.", specQuote, QuoteVersion(5), func(m *IntelMachine) { m.Body = intelforge.BodyTDX10 }),
		b.accept("T15", "processor-ca", "A processor whose key the Processor CA certified.", specPCK, ByProcessorCA()),
		b.accept("G02", "zero-padding", "A quote in a buffer that is filled up with zeros.", specQuote, EditQuoteBytes(func(q []byte) []byte { return append(q, make([]byte, 70)...) })),
	}
}

// tdxLevels are about how Intel's statements are matched and converged.
func tdxLevels() []intelCase {
	b := intelBuilder{attest.TDX}
	module := func(status string) IntelOption {
		return EditInfo(func(d *IntelTCBInfo) { d.TDXModuleIdentities[1].Levels[0].Status = status })
	}
	status := func(row, name, about string, rules string, opts ...IntelOption) intelCase {
		return b.judge(row, name, about, specLevels, "hardware.tcb_status", "tcb_status", rules, opts...)
	}
	cases := []intelCase{
		status("T07", "platform-revoked-module-up-to-date", "The platform is revoked, the TDX module up to date.", "", Platform("Revoked")),
		status("T07", "platform-out-of-date-module-up-to-date", "The platform is out of date, the TDX module up to date.", "", Platform("OutOfDate")),
		status("T07", "platform-up-to-date-module-out-of-date", "The platform is up to date, the TDX module out of date.", "", module("OutOfDate")),
		status("T07", "module-revoked", "The TDX module is revoked.", "", module("Revoked")),
		status("T07", "revoked-is-not-out-of-date", "The trust file accepts OutOfDate; the platform is revoked.", "tcb_status: [UpToDate, OutOfDate]", Platform("Revoked")),
		b.judge("T08", "advisory-not-listed", "A status that is accepted, with an advisory that is not.", specLevels, "hardware.advisories", "advisory",
			"tcb_status: [SWHardeningNeeded], advisories: [INTEL-SA-00615]", Platform("SWHardeningNeeded", "INTEL-SA-00615", "INTEL-SA-00837")),
		b.refuse("T09", "no-level-of-tdx-components", "The microcode for TDX is older than every level.", specLevels, "hardware.tcb_level", "no_tcb_level", EditTD(func(r *IntelTD) { r.TCBSVN[2] = 1 })),
		b.refuse("T06", "module-below-every-level", "A TDX module older than every level of its identity.", specLevels, "hardware.tdx_module", "no_tcb_level", EditTD(func(r *IntelTD) { r.TCBSVN[0] = 1 })),
		b.refuse("T06", "unknown-module", "A TDX module generation without an identity.", specLevels, "hardware.tdx_module", "tdx_module", EditTD(func(r *IntelTD) { r.TCBSVN[1] = 7 })),
		b.refuse("T05", "module-signer", "A TDX module that somebody else signed.", specLevels, "hardware.tdx_module", "tdx_module", EditTD(func(r *IntelTD) { r.MRSIGNERSEAM[0] = 1 })),
		b.refuse("T05", "module-attributes", "A TDX module with an attribute that Intel's have not.", specLevels, "hardware.tdx_module", "tdx_module", EditTD(func(r *IntelTD) { r.SEAMAttributes = 1 })),
	}
	for _, s := range []string{"SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDateConfigurationNeeded"} {
		cases = append(cases, status("T08", strings.ToLower(s), "A platform with the status "+s+", which no rule accepts.", "", Platform(s)))
	}
	return cases
}

func tdxForm() []intelCase {
	b := intelBuilder{attest.TDX}
	const check = "hardware.quote"
	return []intelCase{
		b.refuse("T20", "version-3", "A trust domain in a quote of version 3.", specQuote, check, "unsupported", EditQuote(func(q *IntelQuote) { q.Header.Version = 3 })),
		b.refuse("T20", "version-4-with-report-1-5", "The header of version 4 with a TD report 1.5.", specQuote, check, attest.CodeMalformed, func(m *IntelMachine) { m.Body = intelforge.BodyTDX15 }),
		b.refuse("T20", "sgx-body", "A trust domain's quote with the body type of an enclave.", specQuote, check, "unsupported", QuoteVersion(5), EditQuote(func(q *IntelQuote) { q.BodyType = intelforge.BodySGX })),
		b.refuse("T20", "body-type-4", "A body type that does not exist.", specQuote, check, "unsupported", QuoteVersion(5), EditQuote(func(q *IntelQuote) { q.BodyType = 4 })),
		b.refuse("T20", "body-size", "A body size that is not that of its type.", specQuote, check, attest.CodeMalformed, QuoteVersion(5), EditQuote(func(q *IntelQuote) {
			n := uint32(584)
			q.Lengths.Body = &n
		})),
		b.refuse("T20", "outer-type-5", "Certificates where the quoting enclave's report belongs.", specQuote, check, "no_pck_chain", EditQuote(func(q *IntelQuote) { q.OuterType = 5 })),
		b.refuse("T20", "enclave-as-td", "An enclave's quote under this label.", specQuote, check, attest.CodeKindMismatch, func(m *IntelMachine) {
			m.tdx, m.Version, m.Body = false, 4, intelforge.BodySGX
		}),
		b.refuse("T25", "td-report-instead-of-quote", "A TDREPORT, which only its own machine can check.", "Intel TDX Module ABI 1.5, TDREPORT_STRUCT", check, "unsupported",
			EditQuoteBytes(func([]byte) []byte { return append([]byte{0x81, 0, 0, 0}, make([]byte, 1020)...) })),
		b.refuse("T20", "header-reserved", "A reserved field of the header is set.", specQuote, check, attest.CodeMalformed, EditQuote(func(q *IntelQuote) { q.Header.QESVN = 1 })),
	}
}

// tdxGuest are trust domains that the host made in a way that nobody should accept.
func tdxGuest() []intelCase {
	b := intelBuilder{attest.TDX}
	attribute := func(bit int) IntelOption { return EditTD(func(r *IntelTD) { r.Attributes |= 1 << bit }) }
	xfam := func(mask uint64) IntelOption { return EditTD(func(r *IntelTD) { r.XFAM = mask }) }
	var cases []intelCase
	for bit := range 8 {
		cases = append(cases, b.judge("T01", fmt.Sprintf("tud-bit-%d", bit), fmt.Sprintf("Bit %d of the group that puts a trust domain under debug.", bit), specAttributes, "hardware.debug", "debug", "", attribute(bit)))
	}
	cases = append(cases,
		b.judge("T02", "migratable", "The trust domain may be moved to another machine.", specAttributes, "hardware.migration", "migration", "", attribute(29)),
		b.judge("T03", "no-sept-ve-disable", "Pages of the guest may be taken and given back unnoticed.", specAttributes, "hardware.sept_ve_disable", "td_attributes", "", EditTD(func(r *IntelTD) { r.Attributes = 0 })),
	)
	for _, a := range []struct {
		bit  int
		name string
	}{{16, "icssd"}, {27, "lass"}, {30, "pks"}, {31, "kl"}, {62, "tpa"}, {63, "perfmon"}} {
		cases = append(cases, b.judge("T03", a.name, "An attribute that the trust file does not allow.", specAttributes, "hardware.td_"+a.name, "td_attributes", "", attribute(a.bit)))
	}
	for _, bit := range []int{8, 26, 32, 61} {
		cases = append(cases, b.judge("T03", fmt.Sprintf("reserved-bit-%d", bit), "An attribute without a name.", specAttributes, "hardware.td_reserved", "td_attributes", "", attribute(bit)))
	}
	for _, x := range []struct {
		name string
		mask uint64
	}{{"processor-trace", 0x602e7 | 1<<8}, {"user-interrupts", 0x602e7 | 1<<14}, {"branch-records", 0x602e7 | 1<<15}, {"bit-63", 0x602e7 | 1<<63}, {"no-sse", 0x602e5}} {
		cases = append(cases, b.judge("T04", x.name, "Processor state outside of what is allowed, or less than every trust domain has.", specXFAM, "hardware.xfam", "xfam", "", xfam(x.mask)))
	}
	return append(cases,
		b.judge("T04", "mask-of-the-file", "State that the trust file does not allow.", specXFAM, "hardware.xfam", "xfam", "xfam: 0x3"),
		b.judge("T24", "mrowner", "An owner that nobody named.", specTDInfo, "hardware.mrowner", "owner", "", EditTD(func(r *IntelTD) { r.MROWNER[0] = 1 })),
		b.judge("T24", "mrownerconfig", "An owner's configuration that nobody named.", specTDInfo, "hardware.mrowner_config", "owner", "", EditTD(func(r *IntelTD) { r.MROWNERCONFIG[47] = 1 })),
		b.judge("T24", "mrowner-other", "Another owner than the trust file names.", specTDInfo, "hardware.mrowner", "owner", "mrowner: "+strings.Repeat("5a", 48), EditTD(func(r *IntelTD) { r.MROWNER[0] = 1 })),
		b.judge("T24", "service-td", "A service trust domain is bound to it.", specTDInfo, "hardware.service_td", "service_td", "", QuoteVersion(5), EditTD(func(r *IntelTD) { r.MRSERVICETD[0] = 1 })),
	)
}

func tdxPlatform() []intelCase {
	b := intelBuilder{attest.TDX}
	return []intelCase{
		b.judge("T05", "mrseam-not-listed", "A TDX module that the trust file does not list.", specTDInfo, "hardware.accepted_seam", "seam", "mrseam: ["+strings.Repeat("5a", 48)+"]"),
		b.judge("T28", "module-rolled-back", "The module that runs is older than the one the trust domain was made under.", specTDInfo, "hardware.module_order", "module_order", "",
			QuoteVersion(5), EditTD(func(r *IntelTD) { r.TCBSVN2[0] = 4 })),
		b.judge("T28", "relaunch-advised", "Made under a module that is out of date, while a new one runs.", specLevels, "hardware.tcb_status", "tcb_status", "",
			QuoteVersion(5), EditTD(func(r *IntelTD) { r.TCBSVN[0] = 3 })),
	}
}

// tdxCode are other programs than the trust file names.
func tdxCode() []intelCase {
	b := intelBuilder{attest.TDX}
	measured := func(name, about string, opts ...IntelOption) intelCase {
		return b.judge("T21", name, about, specTDInfo, "code.measurement", "measurement", "", opts...)
	}
	cases := []intelCase{measured("mrtd", "Another MRTD.", EditTD(func(r *IntelTD) { r.MRTD[47] ^= 1 }))}
	for i := range 4 {
		cases = append(cases, measured(fmt.Sprintf("rtmr%d", i), "Another value of this register alone.", EditTD(func(r *IntelTD) { r.RTMR[i][0] ^= 0x80 })))
	}
	cases = append(cases,
		measured("rtmr3-never-extended", "A register that was never extended, where the trust file names a value.", EditTD(func(r *IntelTD) { r.RTMR[3] = [48]byte{} })),
		measured("rotated", "The right values in the wrong registers.", EditTD(func(r *IntelTD) { r.RTMR[0], r.RTMR[1] = r.RTMR[1], r.RTMR[0] })),
	)
	zero := b.judge("T21", "rtmr3-extended", "A register that was extended, where the trust file says zero.", specTDInfo, "code.measurement", "measurement", "")
	zero.trust = intelTrust(attest.TDX, tdReference(map[string]string{"rtmr3": "zero"}), "any", "")
	return append(append(cases, zero), policyCases(b, func(id []byte) IntelOption { return EditTD(func(r *IntelTD) { copy(r.MRCONFIGID[:], id) }) })...)
}

// policyCases are about the register that holds the policy's digest.
func policyCases(b intelBuilder, launch func([]byte) IntelOption) []intelCase {
	digest := bytes.Repeat([]byte{0x5a}, 32)
	row, spec := b.of("T23", "X07"), b.of(specTDInfo, specKSS)
	var out []intelCase
	for _, p := range []struct {
		name, about string
		id          []byte
	}{
		{"policy-none", "Launched without a policy.", nil},
		{"policy-other", "Launched with another policy.", bytes.Repeat([]byte{0xa5}, 32)},
		{"policy-longer", "The policy's digest with something behind it.", append(bytes.Clone(digest), 1)},
		{"policy-shifted", "The policy's digest at the end of the register.", append(make([]byte, 16), digest...)},
	} {
		c := b.judge(row, p.name, p.about, spec, "policy.launch", "launch_policy", "", launch(p.id))
		c.trust = intelTrust(b.kind, healthyReference(b.kind), "sha256:"+hex.EncodeToString(digest), "")
		out = append(out, c)
	}
	return out
}

func sgxHealthy() []intelCase {
	b := intelBuilder{attest.SGX}
	return []intelCase{
		b.accept("X16", "version-3", "A healthy enclave, quote version 3.", specQuote),
		b.accept("X16", "version-4", "A healthy enclave, quote version 4.", specQuote, QuoteVersion(4)),
		b.accept("X16", "version-5", "A healthy enclave, quote version 5.", specQuote, QuoteVersion(5)),
		b.accept("X16", "processor-ca", "A processor whose key the Processor CA certified.", specPCK, ByProcessorCA()),
	}
}

func sgxForm() []intelCase {
	b := intelBuilder{attest.SGX}
	const check = "hardware.quote"
	reserved := func(at int) IntelOption { return EditSGX(func(e *IntelEnclave) { e.Reserved[at] = 1 }) }
	return []intelCase{
		b.refuse("G02", "zero-padding", "Zeros behind the quote of an enclave, which no buffer leaves there.", specQuote, check, attest.CodeMalformed, EditQuoteBytes(func(q []byte) []byte { return append(q, 0) })),
		b.refuse("X16", "td-as-enclave", "A trust domain's quote under this label.", specQuote, check, attest.CodeKindMismatch, func(m *IntelMachine) {
			m.tdx, m.Version, m.Body = true, 4, intelforge.BodyTDX10
		}),
		b.refuse("X16", "version-5-td-body", "An enclave's quote with the body type of a trust domain.", specQuote, check, "unsupported", QuoteVersion(5), EditQuote(func(q *IntelQuote) { q.BodyType = intelforge.BodyTDX10 })),
		b.refuse("X16", "outer-type-5", "Certificates where the quoting enclave's report belongs.", specQuote, check, "no_pck_chain", QuoteVersion(4), EditQuote(func(q *IntelQuote) { q.OuterType = 5 })),
		b.refuse("X16", "reserved-20", "A reserved byte of the report is set.", specSGX, check, attest.CodeMalformed, reserved(0)),
		b.refuse("X16", "reserved-96", "A reserved byte of the report is set.", specSGX, check, attest.CodeMalformed, reserved(12)),
		b.refuse("X16", "reserved-160", "A reserved byte of the report is set.", specSGX, check, attest.CodeMalformed, reserved(75)),
		b.refuse("X16", "reserved-262", "A reserved byte of the report is set.", specSGX, check, attest.CodeMalformed, reserved(117)),
		b.refuse("X11", "simulation", "A quote without signature, as simulators make it.", specQuote, check, attest.CodeMalformed, EditQuoteBytes(func(q []byte) []byte { return append(q[:432], 0, 0, 0, 0) })),
	}
}

// sgxEnclave are enclaves that were made in a way that nobody should accept.
func sgxEnclave() []intelCase {
	b := intelBuilder{attest.SGX}
	flag := func(bits uint64) IntelOption { return EditSGX(func(e *IntelEnclave) { e.Attributes |= bits }) }
	without := func(bits uint64) IntelOption { return EditSGX(func(e *IntelEnclave) { e.Attributes &^= bits }) }
	attributes := func(row, name, about, check string, opts ...IntelOption) intelCase {
		return b.judge(row, name, about, specSGX, check, "sgx_attributes", "", opts...)
	}
	return []intelCase{
		b.judge("X01", "debug", "The enclave's memory can be read from outside.", specSGX, "hardware.debug", "debug", "", flag(2)),
		attributes("X02", "not-initialised", "An enclave that was never initialised.", "hardware.enclave_init", without(1)),
		attributes("X02", "not-64-bit", "An enclave in 32-bit mode.", "hardware.enclave_64bit", without(4)),
		attributes("X03", "provision-key", "The enclave may learn the platform's identity.", "hardware.provision_key", flag(1<<4)),
		attributes("X03", "einittoken-key", "The enclave may make launch tokens.", "hardware.einittoken_key", flag(1<<5)),
		attributes("X03", "reserved-bit-3", "An attribute without a name.", "hardware.enclave_reserved", flag(1<<3)),
		attributes("X03", "reserved-bit-63", "An attribute without a name.", "hardware.enclave_reserved", flag(1<<63)),
		b.judge("X03", "attributes-of-the-file", "Another attribute than the trust file names.", specSGX, "hardware.enclave_attributes", "sgx_attributes",
			"attributes: {value: 0x5, mask: 0xfffffffffffffffd}", flag(1<<10)),
		b.judge("X06", "misc-select", "Exception information is written.", specSGX, "hardware.misc_select", "misc_select", "", EditSGX(func(e *IntelEnclave) { e.MiscSelect = 1 })),
		b.judge("X06", "xfrm-pkru", "Processor state outside of what is allowed.", specSGX, "hardware.xfrm", "xfrm", "", EditSGX(func(e *IntelEnclave) { e.XFRM |= 1 << 9 })),
		b.judge("X06", "xfrm-without-sse", "Less processor state than every enclave has.", specSGX, "hardware.xfrm", "xfrm", "", EditSGX(func(e *IntelEnclave) { e.XFRM = 1 })),
		b.judge("X06", "xfrm-of-the-file", "State that the trust file does not allow.", specSGX, "hardware.xfrm", "xfrm", "xfrm: {value: 0x3, mask: 0xffffffffffffffff}"),
		b.judge("X05", "sample-key", "Signed with the sample key of Intel's SDK.", specSGX, "hardware.test_signer", "test_signer", "", EditSGX(func(e *IntelEnclave) {
			copy(e.MRSIGNER[:], unhex("83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e"))
		})),
		b.judge("X07", "config-without-kss", "A configuration without the feature that has one.", specKSS, "hardware.kss_fields", "inconsistent", "", EditSGX(func(e *IntelEnclave) { e.ConfigID[0] = 1 })),
		b.judge("X07", "kss-required", "The trust file requires KSS.", specKSS, "hardware.kss", "sgx_attributes", "kss: require"),
	}
}

func unhex(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}

func sgxPlatform() []intelCase {
	b := intelBuilder{attest.SGX}
	var cases []intelCase
	for _, s := range []string{"SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"} {
		cases = append(cases, b.judge("X09", strings.ToLower(s), "A platform with the status "+s+", which no rule accepts.", specLevels, "hardware.tcb_status", "tcb_status", "", Platform(s)))
	}
	return append(cases,
		b.judge("X09", "advisory-not-listed", "A status that is accepted, with an advisory that is not.", specLevels, "hardware.advisories", "advisory",
			"tcb_status: [SWHardeningNeeded], advisories: [INTEL-SA-00615]", Platform("SWHardeningNeeded", "INTEL-SA-00615", "INTEL-SA-00837")),
		b.judge("X09", "second-level", "A platform at the second level, which is out of date.", specLevels, "hardware.tcb_status", "tcb_status", "", EditPCK(func(p *IntelPCK) { p.Components[0] = 6 })))
}

// sgxCode are other programs than the trust file names.
func sgxCode() []intelCase {
	b := intelBuilder{attest.SGX}
	signer := EnclaveSigner()
	measured := func(row, name, about, reference string, opts ...IntelOption) intelCase {
		c := b.judge(row, name, about, specSGX, "code.measurement", "measurement", "", opts...)
		if reference != "" {
			c.trust = intelTrust(attest.SGX, reference, "any", "")
		}
		return c
	}
	bySigner := func(more string) string {
		return "{mrsigner: " + hex.EncodeToString(signer[:]) + ", product: 7, svn: 3" + more + "}"
	}
	kss := EditSGX(func(e *IntelEnclave) { e.Attributes |= 1 << 7 })
	cases := []intelCase{
		measured("X04", "mrenclave", "Another enclave.", "", EditSGX(func(e *IntelEnclave) { e.MRENCLAVE[31] ^= 1 })),
		measured("X05", "mrsigner", "An enclave of another signer.", bySigner(""), EditSGX(func(e *IntelEnclave) { e.MRSIGNER[0] ^= 1 })),
		measured("X05", "product", "Another product of the signer.", bySigner(""), EditSGX(func(e *IntelEnclave) { e.ISVProdID = 8 })),
		measured("X05", "svn", "A version below the one in the trust file.", bySigner(""), EditSGX(func(e *IntelEnclave) { e.ISVSVN = 2 })),
		measured("X07", "config-svn", "A configuration below the one in the trust file.", bySigner(", config_svn: 4"), kss, EditSGX(func(e *IntelEnclave) { e.ConfigSVN = 3 })),
		measured("X08", "ext-product", "Another extended product id.", bySigner(`, ext_product: "01000000000000000000000000000000"`), kss, EditSGX(func(e *IntelEnclave) { e.ISVExtProdID[0] = 2 })),
		measured("X08", "family", "Another family.", bySigner(`, family: "01000000000000000000000000000000"`), kss, EditSGX(func(e *IntelEnclave) { e.ISVFamilyID[0] = 2 })),
		measured("X08", "family-that-nobody-named", "A family where the trust file names none.", bySigner(""), kss, EditSGX(func(e *IntelEnclave) { e.ISVFamilyID[0] = 2 })),
	}
	return append(cases, policyCases(b, func(id []byte) IntelOption {
		return EditSGX(func(e *IntelEnclave) {
			e.Attributes |= 1 << 7
			copy(e.ConfigID[:], id)
		})
	})...)
}

// tdxLogs are event logs beside a quote.
func tdxLogs() []intelCase {
	b := intelBuilder{attest.TDX}
	const check = "hardware.event_log"
	events := []logEvent{{1, 0x80000001, []byte("variable")}, {1, 4, []byte{0, 0, 0, 0}}, {2, 0x80000007, []byte("boot")}, {3, 0xd, []byte("kernel")}, {4, 6, []byte("policy")}}
	measured := EditTD(func(r *IntelTD) { r.RTMR = replayLog(events) })
	log := func(data []byte) IntelOption {
		return EditIntelEndorsements(func(e attest.Endorsements) attest.Endorsements {
			return append(e, attest.Endorsement{Label: attest.LabelEventLog, Data: data})
		})
	}
	good := encodeLog(events)
	extra := append(slices.Clone(events), logEvent{4, 6, []byte("more")})
	swapped := slices.Clone(events)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	mrtd := append(slices.Clone(events), logEvent{0, 6, []byte("mrtd")})
	refuse := func(name, about string, code attest.Code, data []byte) intelCase {
		return b.refuse("T22", name, about, specCCEL, check, code, measured, log(data))
	}
	return []intelCase{
		b.accept("T22", "log", "A log that leads to the registers.", specCCEL, measured, log(good)),
		b.accept("T22", "log-with-other-data", "A log with data that nobody measured: they are not passed on.", specCCEL, measured, log(bytes.Replace(good, []byte("kernel"), []byte("kernal"), 1))),
		refuse("extra-event", "A log with one more event.", "event_log", encodeLog(extra)),
		refuse("missing-event", "A log that lacks its last event.", "event_log", encodeLog(events[:4])),
		refuse("reordered", "Two events of one register are swapped.", "event_log", encodeLog(swapped)),
		refuse("mrtd-extended", "A log that extends MRTD, which cannot be.", "event_log", encodeLog(mrtd)),
		refuse("truncated", "A log that ends inside an event.", attest.CodeMalformed, good[:len(good)-3]),
		refuse("unknown-algorithm", "An event with a digest that the header does not declare.", attest.CodeMalformed, bytes.Replace(good, []byte{1, 0, 0, 0, 0x0c, 0}, []byte{1, 0, 0, 0, 0x12, 0}, 1)),
		b.refuse("G04", "log-too-large", "A log with more padding than any.", specCCEL, check, attest.CodeTooLarge, measured, log(append(bytes.Clone(good), bytes.Repeat([]byte{0xff}, attest.MaxEndorsement)...))),
		b.accept("T22", "log-padded", "A log in an area that is filled up.", specCCEL, measured, log(append(bytes.Clone(good), bytes.Repeat([]byte{0xff}, 4096)...))),
		b.refuse("T22", "log-twice", "Two logs.", specCCEL, check, attest.CodeAmbiguous, measured, log(good), log(good)),
	}
}

// logEvent is an event whose digest is the hash of its data.
type logEvent struct {
	register, kind uint32
	data           []byte
}

// encodeLog writes a log in the crypto agile format with SHA-384 alone (TCG PFP
// 10.4.5.1 and 10.2.2).
func encodeLog(events []logEvent) []byte {
	le := binary.LittleEndian
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	spec = le.AppendUint32(spec, 1)
	spec = le.AppendUint16(spec, 0x0c)
	spec = le.AppendUint16(spec, 48)
	spec = append(spec, 0)
	out := le.AppendUint32(make([]byte, 4), 3)
	out = append(out, make([]byte, 20)...)
	out = append(le.AppendUint32(out, uint32(len(spec))), spec...)
	for _, e := range events {
		sum := sha384(e.data)
		out = le.AppendUint32(out, e.register)
		out = le.AppendUint32(out, e.kind)
		out = le.AppendUint32(out, 1)
		out = le.AppendUint16(out, 0x0c)
		out = append(out, sum[:]...)
		out = append(le.AppendUint32(out, uint32(len(e.data))), e.data...)
	}
	return out
}

func replayLog(events []logEvent) (rtmr [4][48]byte) {
	for _, e := range events {
		if e.register >= 1 && e.register <= 4 {
			sum := sha384(e.data)
			r := &rtmr[e.register-1]
			*r = sha384(append(r[:], sum[:]...))
		}
	}
	return rtmr
}
