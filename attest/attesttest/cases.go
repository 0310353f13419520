package attesttest

import (
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
)

// Stage says who has to notice.
type Stage string

// The stages.
const (
	// StageVerify: the Verifier refuses.
	StageVerify Stage = "verify"
	// StageAppraise: the Claims are true and say so; appraisal refuses them,
	// unless it was told to allow this.
	StageAppraise Stage = "appraise"
	// StageNone: nobody has a reason to refuse.
	StageNone Stage = "none"
)

// Case is one row of vectors/snp/CASES.md: an attack on SNP evidence.
type Case struct {
	// Row is the row's number, S01 to S33 or G01 to G28. A row may have
	// several cases.
	Row, Name string
	Stage     Stage
	// Code is the refusal's, empty if there is none.
	Code attest.Code
	// AMD is the vendor whose roots the relying party holds.
	AMD     *AMD
	Options []Option
	// Line is the product line that the machine says it is of.
	Line Line
}

// Make returns the case's Evidence and Endorsements.
func (c Case) Make(t testing.TB, reportData [64]byte) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	return c.AMD.Make(t, reportData, c.Options...)
}

// Cases returns every case. None of them depends on what the relying party
// compares report data with.
func (a *AMD) Cases(t testing.TB) []Case {
	t.Helper()
	var out []Case
	for _, group := range [][]Case{
		healthyCases(), parseCases(), reservedCases(), signatureCases(), a.chainCases(t), a.vendorCases(),
		a.crlCases(t), signerCases(), tcbCases(), a.tableCases(t), guestCases(), platformCases(),
	} {
		out = append(out, group...)
	}
	for i := range out {
		c := &out[i]
		if c.AMD == nil {
			c.AMD = a
		}
		c.Line = c.AMD.machine(c.Options).Report.Line
	}
	return out
}

func refuse(row, name string, code attest.Code, opts ...Option) Case {
	return Case{Row: row, Name: name, Stage: StageVerify, Code: code, Options: opts}
}

func appraise(row, name string, code attest.Code, opts ...Option) Case {
	return Case{Row: row, Name: name, Stage: StageAppraise, Code: code, Options: opts}
}

func accept(row, name string, opts ...Option) Case {
	return Case{Row: row, Name: name, Stage: StageNone, Options: opts}
}

// healthyCases are machines that nobody has a reason to refuse.
func healthyCases() []Case {
	return []Case{
		accept("S07", "Genoa version 3", On(Genoa, 3)),
		accept("S07", "Genoa version 5", On(Genoa, 5)),
		accept("S22", "Turin version 3", On(Turin, 3)),
		accept("S22", "Turin version 5", On(Turin, 5)),
		appraise("S07", "Milan version 2, which names no processor", "unsupported", On(Milan, 2)),
		appraise("S10", "Milan version 3", "product_not_allowed", On(Milan, 3)),
		appraise("S10", "Milan version 5", "product_not_allowed", On(Milan, 5)),
	}
}

func parseCases() []Case {
	put := func(at int, b byte) Option { return EditUnsigned(func(r []byte) { r[at] = b }) }
	cases := []Case{
		refuse("G01", "empty report", attest.CodeMalformed, EditSigned(func([]byte) []byte { return nil })),
		refuse("G01", "signed part only", attest.CodeMalformed, EditSigned(func(r []byte) []byte { return r[:amdforge.SignedSize] })),
		refuse("G02", "trailing byte", attest.CodeMalformed, EditSigned(func(r []byte) []byte { return append(r, 0) })),
		refuse("G03", "over the limit", attest.CodeTooLarge, EditSigned(func(r []byte) []byte { return append(r, make([]byte, attest.MaxEvidence)...) })),
		refuse("G27", "labelled as simulated", attest.CodeKindMismatch, Kind(attest.SimSNP)),
		refuse("G27", "labelled as nothing", attest.CodeKindMismatch, Kind(attest.KindInvalid)),
		refuse("S04", "policy bit 17 is zero", attest.CodeMalformed, NoPolicyBits(PolicyReservedOne)),
		refuse("S06", "VMPL 4", attest.CodeMalformed, VMPL(4)),
		refuse("S08", "family 0x17 (no SEV-SNP)", "unknown_product", EditReport(func(r *Report) { r.Family = 0x17 })),
		refuse("S08", "family 0x1b", "unknown_product", EditReport(func(r *Report) { r.Family = 0x1b })),
		refuse("S08", "stepping 16", "unknown_product", EditReport(func(r *Report) { r.Stepping = 16 })),
		refuse("S08", "no processor", "unknown_product", EditReport(func(r *Report) { r.Family, r.Model, r.Stepping = 0, 0, 0 })),
		refuse("S22", "Turin TCB in a Genoa report", attest.CodeMalformed, EditReport(func(r *Report) { r.Line = Turin }), EditCert(func(c *Cert) { c.Line, c.HWID = Genoa, ChipID(Genoa) })),
		refuse("S22", "Genoa TCB in a Turin report", attest.CodeMalformed, On(Turin, 5), put(0x3e, 7)),
		refuse("S27", "unknown platform bit", attest.CodeMalformed, PlatformBits(1<<8)),
		refuse("S27", "highest platform bit", attest.CodeMalformed, PlatformBits(1<<63)),
	}
	for bit := 26; bit < 64; bit++ {
		cases = append(cases, refuse("S04", fmt.Sprintf("policy bit %d", bit), attest.CodeMalformed, PolicyBits(1<<bit)))
	}
	for _, v := range []uint32{0, 1, 4, 6, 7, 0x100, 1 << 31, 1<<32 - 1} {
		cases = append(cases, refuse("S07", fmt.Sprintf("version %d", v), "unsupported", EditUnsigned(func(r []byte) {
			r[0], r[1], r[2], r[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
		})))
	}
	for _, alg := range []uint32{0, 2, 0x101, 1 << 31} {
		cases = append(cases, refuse("G11", fmt.Sprintf("signature algorithm %#x", alg), "unsupported_alg", EditReport(func(r *Report) { r.SigAlgo = alg })))
	}
	return cases
}

// reservedCases set each reserved byte, for each version and TCB layout.
func reservedCases() []Case {
	var out []Case
	add := func(l Line, version uint32, spans ...[2]int) {
		for _, s := range spans {
			for _, at := range slices.Compact([]int{s[0], s[1] - 1}) {
				name := fmt.Sprintf("%s version %d byte %#x", l, version, at)
				edit := EditUnsigned(func(r []byte) { r[at] |= 0x80 })
				if at >= amdforge.SignedSize {
					edit = EditSigned(func(r []byte) []byte { r[at] |= 0x80; return r })
				}
				out = append(out, refuse("S31", name, attest.CodeMalformed, On(l, version), edit))
			}
		}
	}
	genoaTCB := [][2]int{{0x3a, 0x3e}, {0x182, 0x186}, {0x1e2, 0x1e6}, {0x1f2, 0x1f6}}
	turinTCB := [][2]int{{0x3c, 0x3f}, {0x184, 0x187}, {0x1e4, 0x1e7}, {0x1f4, 0x1f7}}
	everywhere := [][2]int{{0x48, 0x50}, {0x18b, 0x1a0}, {0x1eb, 0x1ec}, {0x1ef, 0x1f0}, {0x208, 0x2a0}, {0x330, 0x4a0}}
	add(Genoa, 5, append(genoaTCB, everywhere...)...)
	add(Turin, 5, append(turinTCB, everywhere...)...)
	add(Turin, 5, [2]int{0x1a8, 0x1e0})
	add(Genoa, 3, [2]int{0x1f8, 0x208})
	add(Milan, 2, [2]int{0x188, 0x18b}, [2]int{0x1f8, 0x208})
	return out
}

func signatureCases() []Case {
	return []Case{
		accept("G09", "n - s instead of s", EditSignature(func(_, s, n *big.Int) { s.Sub(n, s) })),
		refuse("G10", "r is zero", attest.CodeBadSignature, EditSignature(func(r, _, _ *big.Int) { r.SetInt64(0) })),
		refuse("G10", "s is zero", attest.CodeBadSignature, EditSignature(func(_, s, _ *big.Int) { s.SetInt64(0) })),
		refuse("G10", "both are zero", attest.CodeBadSignature, EditSignature(func(r, s, _ *big.Int) { r.SetInt64(0); s.SetInt64(0) })),
		refuse("G10", "r + n", attest.CodeBadSignature, EditSignature(func(r, _, n *big.Int) { r.Add(r, n) })),
		refuse("G10", "s + n", attest.CodeBadSignature, EditSignature(func(_, s, n *big.Int) { s.Add(s, n) })),
		refuse("G10", "r + 2^575", attest.CodeBadSignature, EditSignature(func(r, _, _ *big.Int) { r.SetBit(r, 575, 1) })),
		refuse("G10", "r and s swapped", attest.CodeBadSignature, EditSignature(func(r, s, _ *big.Int) { *r, *s = *s, *r })),
		refuse("G12", "over SHA-256", attest.CodeBadSignature, OverSHA256()),
		refuse("G13", "P-224", "bad_key", OnCurve(elliptic.P224())),
		refuse("G13", "P-256", "bad_key", OnCurve(elliptic.P256())),
		refuse("G13", "P-521", "bad_key", OnCurve(elliptic.P521())),
		refuse("S23", "measurement changed after signing", attest.CodeBadSignature, EditSigned(func(r []byte) []byte { r[0x90] ^= 1; return r })),
	}
}

func (a *AMD) chainCases(t testing.TB) []Case {
	chain, turin := a.Chain(t, Genoa), a.Chain(t, Turin)
	other := Stranger().Chain(t, Genoa)
	now := Epoch()
	caCert := func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	return []Case{
		refuse("G14", "a stranger's chain with his root beside it", attest.CodeUntrustedRoot, IssuedBy(other.ASK),
			InTable(TableEntry{GUID: amdforge.GUIDARK, Data: other.ARK.DER()}, TableEntry{GUID: amdforge.GUIDASK, Data: other.ASK.DER()})),
		refuse("G15", "the right names and a stranger's keys", attest.CodeUntrustedRoot, IssuedBy(other.ASK)),
		refuse("G17", "issued by the root", attest.CodeBadChain, IssuedBy(chain.ARK)),
		refuse("G17", "VCEK issued by the ASVK", attest.CodeBadChain, IssuedBy(chain.ASVK)),
		refuse("G17", "VLEK issued by the ASK", attest.CodeBadChain, VLEK("CN=csp.example"), IssuedBy(chain.ASK)),
		refuse("G17", "a leaf that is a CA", attest.CodeBadChain, EditTemplate(caCert)),
		refuse("G18", "leaf expired", attest.CodeExpired, CertValid(now.AddDate(-7, 0, 0), now.Add(-time.Second))),
		refuse("G18", "leaf of tomorrow", attest.CodeExpired, CertValid(now.AddDate(0, 0, 1), now.AddDate(7, 0, 0))),
		refuse("S09", "Genoa report, Turin chain", "product_mismatch", IssuedBy(turin.ASK)),
		refuse("S09", "Genoa report, Turin certificate", "product_mismatch", EditCert(func(c *Cert) { c.Line, c.HWID = Turin, ChipID(Turin) })),
		refuse("S09", "Genoa chain, Turin report", "product_mismatch", On(Turin, 5), IssuedBy(chain.ASK)),
		refuse("S09", "certificate names another product", "product_mismatch", EditCert(func(c *Cert) { c.ProductName = "Milan-B0" })),
		refuse("S09", "certificate names no product", attest.CodeMalformed, EditTemplate(func(c *x509.Certificate) { amdforge.SetExtension(c, amdforge.OIDProductName, nil) })),
		refuse("S17", "certificate without an SNP level", attest.CodeMalformed, EditTemplate(func(c *x509.Certificate) { amdforge.SetExtension(c, amdforge.OIDSPL(3), nil) })),
		refuse("S17", "certificate with a level of 256", attest.CodeMalformed, EditTemplate(func(c *x509.Certificate) { amdforge.SetExtension(c, amdforge.OIDSPL(3), []byte{2, 2, 1, 0}) })),
		refuse("S17", "certificate with a negative level", attest.CodeMalformed, EditTemplate(func(c *x509.Certificate) { amdforge.SetExtension(c, amdforge.OIDSPL(3), []byte{2, 1, 0xff}) })),
		refuse("S17", "bytes behind a level", attest.CodeMalformed, EditTemplate(func(c *x509.Certificate) { amdforge.SetExtension(c, amdforge.OIDSPL(3), []byte{2, 1, 28, 0}) })),
		refuse("S15", "hardware id of 63 bytes", attest.CodeMalformed, CertHWID(ChipID(Genoa)[:63])),
	}
}

// vendorCases are about the pinned certificates themselves: a relying party
// that was given these must not use them.
func (a *AMD) vendorCases() []Case {
	now := Epoch()
	variant := func(role Role, edit func(*x509.Certificate)) *AMD {
		return a.Edited(func(r Role, c *x509.Certificate) {
			if r == role {
				edit(c)
			}
		})
	}
	expire := func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }
	future := func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }
	return []Case{
		{Row: "G18", Name: "root expired", Stage: StageVerify, Code: attest.CodeExpired, AMD: variant(RoleARK, expire)},
		{Row: "G18", Name: "root of tomorrow", Stage: StageVerify, Code: attest.CodeExpired, AMD: variant(RoleARK, future)},
		{Row: "G18", Name: "intermediate expired", Stage: StageVerify, Code: attest.CodeExpired, AMD: variant(RoleASK, expire)},
		{Row: "G18", Name: "intermediate of tomorrow", Stage: StageVerify, Code: attest.CodeExpired, AMD: variant(RoleASK, future)},
	}
}

func (a *AMD) crlCases(t testing.TB) []Case {
	chain, other := a.Chain(t, Genoa), Stranger().Chain(t, Genoa)
	now := Epoch()
	ask, asvk := chain.ASK.Cert.SerialNumber, chain.ASVK.Cert.SerialNumber
	garbage := func(label string) Option {
		return EditEndorsements(func(end attest.Endorsements) attest.Endorsements {
			for i := range end {
				if end[i].Label == label {
					end[i].Data = []byte("no CRL")
				}
			}
			return end
		})
	}
	keep := func(*CRL) {}
	return []Case{
		appraise("G19", "no CRL", attest.CodeNoCRL, NoCRL()),
		refuse("G20", "CRL three years past its next update", attest.CodeStaleCRL, ARKCRL(func(c *CRL) { c.ThisUpdate, c.NextUpdate = now.AddDate(-4, 0, 0), now.AddDate(-3, 0, 0) })),
		refuse("G21", "CRL of tomorrow", attest.CodeBadCRL, ARKCRL(func(c *CRL) { c.ThisUpdate = now.AddDate(0, 0, 1) })),
		refuse("G23", "CRL signed with a stranger's key", attest.CodeBadCRL, ARKCRL(func(c *CRL) { c.Signer = other.ARK.Key })),
		refuse("G23", "a stranger's CRL", attest.CodeBadCRL, ARKCRL(func(c *CRL) { c.Issuer = other.ARK })),
		refuse("G23", "the ASK's CRL in place of the root's", attest.CodeBadCRL, ARKCRL(func(c *CRL) { c.Issuer = chain.ASK })),
		refuse("G23", "the root's CRL signed by the ASK", attest.CodeBadCRL, ARKCRL(func(c *CRL) { c.Signer = chain.ASK.Key })),
		refuse("G23", "no CRL but something else", attest.CodeBadCRL, garbage(attest.LabelSNPARKCRL)),
		refuse("G23", "the root's CRL in place of the ASK's", attest.CodeBadCRL, ASKCRL(func(c *CRL) { c.Issuer = chain.ARK })),
		refuse("G23", "the ASK's CRL with a stranger's signature", attest.CodeBadCRL, ASKCRL(func(c *CRL) { c.Signer = other.ASK.Key })),
		refuse("G24", "ASK revoked", attest.CodeRevoked, ARKCRL(Revoke(ask))),
		accept("G24", "ASVK revoked, but the ASK signed", ARKCRL(Revoke(asvk))),
		refuse("G25", "VCEK revoked", attest.CodeRevoked, ASKCRL(Revoke(big.NewInt(0)))),
		refuse("G26", "ASVK revoked", attest.CodeRevoked, VLEK("CN=csp.example"), ARKCRL(Revoke(asvk))),
		accept("G25", "ASK's CRL without entries", ASKCRL(keep)),
	}
}

func signerCases() []Case {
	const csp = "CN=cc-us-east-2.amazonaws.com"
	return []Case{
		refuse("S11", "report says VLEK, key is a VCEK", "signer_mismatch", SigningKey(KeyVLEK)),
		refuse("S11", "report says VCEK, key is a VLEK", "signer_mismatch", VLEK(csp), SigningKey(KeyVCEK)),
		refuse("S11", "report says nobody signed", "signer_mismatch", SigningKey(KeyNone)),
		refuse("S11", "reserved signing key", attest.CodeMalformed, SigningKey(2)),
		refuse("S11", "VCEK with the name of a VLEK", "signer_mismatch", EditCert(func(c *Cert) { c.CommonName = "SEV-VLEK" })),
		appraise("S12", "VLEK", "signer_not_allowed", VLEK(csp)),
		appraise("S12", "VLEK on Turin", "signer_not_allowed", On(Turin, 5), VLEK(csp)),
		appraise("S13", "VLEK of another provider", "csp", VLEK("CN=other.example")),
		appraise("S14", "chip id masked", "chip_masked", MaskedChip()),
		refuse("S15", "chip id not the certificate's", "chip_mismatch", CertHWID(make([]byte, 64))),
		refuse("S15", "chip id not the certificate's, Turin", "chip_mismatch", On(Turin, 5), CertHWID([]byte{1, 2, 3, 4, 5, 6, 7, 8})),
		appraise("S16", "another chip", "chip_not_allowed", WithChip([]byte("another chip"))),
	}
}

func tcbCases() []Case {
	tcb := HealthyTCB(Genoa)
	low, high, older := tcb, tcb, tcb
	low.SNP, high.SNP = tcb.SNP-1, tcb.SNP+1
	older.Microcode, older.SNP = tcb.Microcode-40, tcb.SNP+1
	turin := HealthyTCB(Turin)
	fmc := turin
	fmc.FMC++
	return []Case{
		refuse("S17", "reported above the certificate's", "tcb_cert_mismatch", CertTCB(low)),
		refuse("S17", "reported below the certificate's", "tcb_cert_mismatch", CertTCB(high)),
		refuse("S17", "FMC level not the certificate's", "tcb_cert_mismatch", On(Turin, 5), CertTCB(fmc)),
		appraise("S18", "one component low, another high", "tcb_low", AllTCB(older)),
		appraise("S19", "committed low", "provisional", EditReport(func(r *Report) { r.CommittedTCB.Microcode -= 40 })),
		appraise("S20", "launched low", "launch_tcb", EditReport(func(r *Report) { r.LaunchTCB.Microcode -= 40 })),
		refuse("S21", "current below committed", "inconsistent", EditReport(func(r *Report) { r.CurrentTCB.SNP-- })),
	}
}

func (a *AMD) tableCases(t testing.TB) []Case {
	chain := a.Chain(t, Genoa)
	ask := chain.ASK.DER()
	vlek, err := chain.VEK(Cert{Line: Genoa, VLEK: true, CSPID: "CN=csp.example", TCB: HealthyTCB(Genoa), NotBefore: Epoch().AddDate(-1, 0, 0), NotAfter: Epoch().AddDate(6, 0, 0)})
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	askEntry := TableEntry{GUID: amdforge.GUIDASK, Data: ask}
	lie := func(rows func(vek TableEntry) []TableRow) Option {
		return EditTable(func(vek TableEntry) []byte { return append(amdforge.TableIndex(rows(vek)...), vek.Data...) })
	}
	return []Case{
		accept("S33", "certificate in a table", InTable()),
		accept("S33", "certificate in a table with its CA", InTable(askEntry)),
		refuse("S33", "two certificates under one GUID", attest.CodeAmbiguous, EditTable(func(vek TableEntry) []byte { return amdforge.CertTable(vek, vek) })),
		refuse("S33", "VCEK and VLEK", attest.CodeAmbiguous, EditTable(func(vek TableEntry) []byte {
			return amdforge.CertTable(vek, TableEntry{GUID: amdforge.GUIDVLEK, Data: vlek.DER})
		})),
		refuse("S33", "overlapping entries", attest.CodeAmbiguous, lie(func(vek TableEntry) []TableRow {
			n := uint32(len(vek.Data))
			return []TableRow{{GUID: vek.GUID, Offset: 72, Length: n}, {GUID: amdforge.GUIDASK, Offset: 73, Length: n - 1}}
		})),
		refuse("S33", "entry within the index", attest.CodeMalformed, lie(func(vek TableEntry) []TableRow {
			return []TableRow{{GUID: vek.GUID, Offset: 8, Length: 100}}
		})),
		refuse("G03", "entry of 4 GiB", attest.CodeTooLarge, lie(func(vek TableEntry) []TableRow {
			return []TableRow{{GUID: vek.GUID, Offset: 48, Length: 1<<32 - 1}}
		})),
		refuse("G03", "offset and length that wrap round", attest.CodeMalformed, lie(func(vek TableEntry) []TableRow {
			return []TableRow{{GUID: vek.GUID, Offset: 1<<32 - 100, Length: 200}}
		})),
		refuse("S33", "index without an end", attest.CodeMalformed, EditTable(func(vek TableEntry) []byte { return vek.GUID[:] })),
	}
}

func guestCases() []Case {
	return []Case{
		appraise("S01", "debug", "debug", Debug()),
		appraise("S02", "migration agent", "migration", Migratable()),
		appraise("S02", "migration allowed, no agent yet", "migration", PolicyBits(PolicyMigrateMA)),
		appraise("S03", "SMT allowed by the guest", "smt", PolicyBits(PolicySMT)),
		appraise("S05", "CXL allowed", "policy", PolicyBits(PolicyCXLAllow)),
		appraise("S05", "ABI 1.51 required", "policy", PolicyBits(1<<8|51)),
		appraise("S05", "single socket", "policy", PolicyBits(PolicySingleSocket)),
		appraise("S05", "AES-256-XTS", "policy", PolicyBits(PolicyAES256XTS)),
		appraise("S05", "RAPL off", "policy", PolicyBits(PolicyRAPLDisable)),
		appraise("S05", "ciphertext hiding", "policy", PolicyBits(PolicyCiphertextHiding)),
		appraise("S05", "page swap off", "policy", PolicyBits(PolicyPageSwapDisable)),
		appraise("S06", "VMPL 1", "vmpl", VMPL(1)),
		appraise("S06", "VMPL 3", "vmpl", VMPL(3)),
		appraise("S06", "asked for by the host", "vmpl", VMPL(0xffffffff)),
		appraise("S23", "another measurement", "measurement", WithMeasurement([48]byte{1})),
		appraise("S23", "measurement of zeros", "measurement", WithMeasurement([48]byte{})),
		appraise("S24", "other host data", "launch_policy", HostData([32]byte{1})),
		appraise("S25", "identity signed by another", "id_block", IDBlock([16]byte{1}, [16]byte{2}, [48]byte{3}, [48]byte{})),
		refuse("S25", "author key without a digest", "id_block", EditReport(func(r *Report) { r.AuthorKeyEn = true })),
		appraise("S26", "guest SVN", "svn", GuestSVN(0)),
	}
}

func platformCases() []Case {
	return []Case{
		appraise("S27", "TSME off", "platform", NoPlatformBits(PlatformTSME)),
		appraise("S27", "ECC off", "platform", NoPlatformBits(PlatformECC)),
		appraise("S28", "no alias check", "platform", NoPlatformBits(PlatformAliasCheck)),
		appraise("S29", "no ciphertext hiding", "platform", NoPlatformBits(PlatformCiphertextHiding)),
		appraise("S29", "RAPL on", "platform", NoPlatformBits(PlatformRAPLDisabled)),
		appraise("S30", "mitigations not in force", "mitigation", MitVectors(0, 0)),
		appraise("S30", "mitigations in force now, not at launch", "mitigation", MitVectors(0, 1)),
	}
}
