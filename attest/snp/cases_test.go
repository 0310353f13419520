package snp_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
	"github.com/blindbox/blindbox/attest/snp"
)

var update = flag.Bool("update", false, "write vectors/snp/CASES.md")

// forgedVerifier trusts a fake AMD for all three lines.
func forgedVerifier(t testing.TB, amd *attesttest.AMD, kind attest.Kind) *snp.Verifier {
	t.Helper()
	v, err := snp.NewVerifierWithRoots(kind, forgedRoots(t, amd)...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func forgedRoots(t testing.TB, amd *attesttest.AMD) []snp.Root {
	var roots []snp.Root
	for _, l := range []struct {
		line    attesttest.Line
		product snp.Product
	}{{attesttest.Milan, snp.Milan}, {attesttest.Genoa, snp.Genoa}, {attesttest.Turin, snp.Turin}} {
		r := amd.Roots(t, l.line)
		roots = append(roots, snp.Root{Product: l.product, ARK: bytes.Clone(r.ARK.Raw), ASK: bytes.Clone(r.ASK.Raw), ASVK: bytes.Clone(r.ASVK.Raw)})
	}
	return roots
}

// ownCases are rows that need more than one state of a machine: they are about
// this package's choices.
func ownCases(t testing.TB, amd *attesttest.AMD) []attesttest.Case {
	genoa := amd.Chain(t, attesttest.Genoa)
	reissued := amd.Edited(func(_ attesttest.Role, c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }).Chain(t, attesttest.Genoa)
	refuse := func(row, name string, code attest.Code, opts ...attesttest.Option) attesttest.Case {
		return attesttest.Case{Row: row, Name: name, Stage: attesttest.StageVerify, Code: code, AMD: amd, Options: opts}
	}
	accept := func(row, name string, opts ...attesttest.Option) attesttest.Case {
		return attesttest.Case{Row: row, Name: name, Stage: attesttest.StageNone, AMD: amd, Options: opts}
	}
	critical := func(id asn1.ObjectIdentifier) attesttest.Option {
		return attesttest.EditTemplate(func(c *x509.Certificate) {
			for i := range c.ExtraExtensions {
				if c.ExtraExtensions[i].Id.Equal(id) {
					c.ExtraExtensions[i].Critical = true
				}
			}
		})
	}
	set := func(id asn1.ObjectIdentifier, value []byte) attesttest.Option {
		return attesttest.EditTemplate(func(c *x509.Certificate) { amdforge.SetExtension(c, id, value) })
	}
	usage := func(u x509.KeyUsage) attesttest.Option {
		return attesttest.EditTemplate(func(c *x509.Certificate) { c.KeyUsage = u })
	}
	end := func(f func(attest.Endorsements) attest.Endorsements) attesttest.Option {
		return attesttest.EditEndorsements(f)
	}
	trailing := func(label string) attesttest.Option {
		return end(func(e attest.Endorsements) attest.Endorsements {
			for i := range e {
				if e[i].Label == label {
					e[i].Data = append(bytes.Clone(e[i].Data), 0)
				}
			}
			return e
		})
	}
	cpuid := func(family, model uint8) attesttest.Option {
		return attesttest.EditReport(func(r *attesttest.Report) { r.Family, r.Model = family, model })
	}
	level := func(n int) asn1.ObjectIdentifier { return amdforge.OIDSPL(n) }
	return []attesttest.Case{
		refuse("G02", "byte behind the certificate", attest.CodeMalformed, trailing(attest.LabelSNPVEK)),
		refuse("G02", "byte behind the CRL", attest.CodeBadCRL, trailing(attest.LabelSNPARKCRL)),
		refuse("G02", "byte behind the table's entries", attest.CodeMalformed, attesttest.EditTable(func(vek attesttest.TableEntry) []byte { return append(amdforge.CertTable(vek), 1) })),
		refuse("G02", "data between the table's entries", attest.CodeMalformed, attesttest.EditTable(func(vek attesttest.TableEntry) []byte {
			index := amdforge.TableIndex(amdforge.TableRow{GUID: vek.GUID, Offset: 49, Length: uint32(len(vek.Data))})
			return append(append(index, 1), vek.Data...)
		})),
		refuse("G02", "empty table entry", attest.CodeMalformed, attesttest.InTable(attesttest.TableEntry{GUID: amdforge.GUIDASK})),
		refuse("G12", "certificate signed over SHA-256", attest.CodeBadChain, attesttest.EditTemplate(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA256WithRSAPSS })),
		refuse("G12", "certificate signed with PKCS #1 v1.5", attest.CodeBadChain, attesttest.EditTemplate(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA384WithRSA })),
		refuse("G12", "CRL signed over SHA-256", attest.CodeBadCRL, attesttest.ARKCRL(func(c *attesttest.CRL) {
			c.Edit = func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.SHA256WithRSAPSS }
		})),
		accept("G02", "table filled up with zeros", attesttest.EditTable(func(vek attesttest.TableEntry) []byte { return append(amdforge.CertTable(vek), make([]byte, 1000)...) })),
		refuse("G03", "certificate of 64 KiB and one byte", attest.CodeTooLarge, end(func(e attest.Endorsements) attest.Endorsements {
			return append(slices.DeleteFunc(e, isVEK), attest.Endorsement{Label: attest.LabelSNPVEK, Data: make([]byte, attest.MaxEndorsement+1)})
		})),
		refuse("G03", "table of 17 rows", attest.CodeTooLarge, attesttest.EditTable(func(vek attesttest.TableEntry) []byte {
			var entries []attesttest.TableEntry
			for i := range byte(17) {
				entries = append(entries, attesttest.TableEntry{GUID: [16]byte{i + 1}, Data: []byte{1}})
			}
			return amdforge.CertTable(entries...)
		})),
		refuse("G03", "seventeen endorsements", attest.CodeTooLarge, end(func(e attest.Endorsements) attest.Endorsements {
			return append(e, make(attest.Endorsements, attest.MaxEndorsements)...)
		})),
		refuse("G16", "the root's key in another certificate", attest.CodeUntrustedRoot, attesttest.InTable(attesttest.TableEntry{GUID: amdforge.GUIDARK, Data: reissued.ARK.DER()})),
		refuse("G16", "the ASK's key in another certificate", attest.CodeUntrustedRoot, attesttest.InTable(attesttest.TableEntry{GUID: amdforge.GUIDASK, Data: reissued.ASK.DER()})),
		accept("G16", "the pinned certificates", attesttest.InTable(
			attesttest.TableEntry{GUID: amdforge.GUIDARK, Data: genoa.ARK.DER()}, attesttest.TableEntry{GUID: amdforge.GUIDASK, Data: genoa.ASK.DER()})),
		refuse("G17", "leaf that may sign certificates", attest.CodeBadChain, usage(x509.KeyUsageCertSign)),
		refuse("G17", "leaf that may sign CRLs", attest.CodeBadChain, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageCRLSign)),
		refuse("G17", "leaf that may not sign", attest.CodeBadChain, usage(x509.KeyUsageKeyEncipherment)),
		refuse("G17", "critical extension", attest.CodeBadChain, critical(amdforge.OIDProductName)),
		refuse("G19", "table holds garbage for a CRL", attest.CodeBadCRL, attesttest.NoCRL(), attesttest.InTable(attesttest.TableEntry{GUID: amdforge.GUIDCRL, Data: []byte("no CRL")})),
		refuse("G19", "CRL of no bytes", attest.CodeMalformed, end(func(e attest.Endorsements) attest.Endorsements {
			for i := range e {
				if e[i].Label == attest.LabelSNPARKCRL {
					e[i].Data = nil
				}
			}
			return e
		})),
		refuse("G23", "the ASK's name under the root's signature", attest.CodeBadCRL, attesttest.ARKCRL(func(c *attesttest.CRL) {
			c.Issuer, c.Signer = genoa.ASK, genoa.ARK.Key
		})),
		{Row: "G23", Name: "root that may not sign CRLs", Stage: attesttest.StageVerify, Code: attest.CodeBadCRL, AMD: amd.Edited(func(r attesttest.Role, c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageCertSign
		})},
		refuse("G23", "CRL with a critical extension", attest.CodeBadCRL, attesttest.ARKCRL(func(c *attesttest.CRL) {
			c.Edit = func(l *x509.RevocationList) { l.ExtraExtensions = append(l.ExtraExtensions, criticalExtension()) }
		})),
		refuse("G23", "CRL entry with a critical extension", attest.CodeBadCRL, attesttest.ARKCRL(func(c *attesttest.CRL) {
			c.Edit = func(l *x509.RevocationList) {
				e := x509.RevocationListEntry{SerialNumber: big.NewInt(99), RevocationTime: l.ThisUpdate}
				e.ExtraExtensions = append(e.ExtraExtensions, criticalExtension())
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, e)
			}
		})),
		refuse("G24", "root revoked by itself", attest.CodeRevoked, attesttest.ARKCRL(attesttest.Revoke(genoa.ARK.Cert.SerialNumber))),
		accept("G25", "another chip's key revoked", attesttest.ASKCRL(attesttest.Revoke(big.NewInt(7)))),
		refuse("G25", "VLEK revoked", attest.CodeRevoked, attesttest.VLEK("CN=csp.example"), attesttest.ASKCRL(func(c *attesttest.CRL) {
			c.Issuer, c.Revoked = genoa.ASVK, []*big.Int{new(big.Int)}
		})),
		refuse("G35", "no certificate", attest.CodeUnavailable, end(func(e attest.Endorsements) attest.Endorsements { return slices.DeleteFunc(e, isVEK) })),
		refuse("S08", "model between Genoa and Zen 4c", snp.CodeUnknownProduct, cpuid(0x19, 0x20)),
		refuse("S08", "Zen 4 client processor", snp.CodeUnknownProduct, cpuid(0x19, 0x61)),
		refuse("S08", "Zen 5 client processor", snp.CodeUnknownProduct, cpuid(0x1a, 0x44)),
		refuse("S08", "processor after Turin", snp.CodeUnknownProduct, cpuid(0x1a, 0x50)),
		accept("S08", "Bergamo", cpuid(0x19, 0xa0)),
		accept("S08", "Turin Dense", attesttest.On(attesttest.Turin, 5), cpuid(0x1a, 0x11)),
		refuse("S07", "Turin version 2", snp.CodeUnsupported, attesttest.On(attesttest.Turin, 2)),
		refuse("S17", "no structure version", attest.CodeMalformed, set(amdforge.OIDStructVersion, nil)),
		refuse("S17", "structure version 2", attest.CodeMalformed, set(amdforge.OIDStructVersion, amdforge.Integer(2))),
		refuse("S17", "provider in an indefinite length", attest.CodeMalformed, attesttest.VLEK("CN=csp.example"),
			set(amdforge.OIDCSPID, append([]byte{asn1.TagIA5String, 0x80}, bytes.Repeat([]byte("a"), 128)...))),
		refuse("S17", "product name not IA5", attest.CodeMalformed, set(amdforge.OIDProductName, []byte("\x0c\x05Genoa"))),
		refuse("S17", "product name of no line", attest.CodeMalformed, set(amdforge.OIDProductName, amdforge.IA5("Rome"))),
		refuse("S17", "product name with a long stepping", attest.CodeMalformed, set(amdforge.OIDProductName, amdforge.IA5("Genoa-B00"))),
		refuse("S17", "no reserved level", attest.CodeMalformed, set(level(5), nil)),
		refuse("S17", "reserved level not zero", attest.CodeMalformed, set(level(5), amdforge.Integer(1))),
		refuse("S17", "FMC level on Genoa", attest.CodeMalformed, set(level(9), amdforge.Integer(0))),
		refuse("S17", "no FMC level on Turin", attest.CodeMalformed, attesttest.On(attesttest.Turin, 5), set(level(9), nil)),
		refuse("S17", "extension of AMD's that nobody knows", attest.CodeMalformed, set(amdforge.OIDSPL(10), amdforge.Integer(0))),
		refuse("S11", "certificate of nobody", attest.CodeMalformed, set(amdforge.OIDHWID, nil)),
		refuse("S11", "certificate of a chip and a provider", attest.CodeMalformed, set(amdforge.OIDCSPID, amdforge.IA5("CN=csp.example"))),
		refuse("S13", "provider without a name", attest.CodeMalformed, attesttest.VLEK("CN=csp.example"), set(amdforge.OIDCSPID, amdforge.IA5(""))),
		accept("S15", "hardware id in an OCTET STRING", set(amdforge.OIDHWID, append([]byte{4, 64}, attesttest.ChipID(attesttest.Genoa)...))),
		refuse("S15", "hardware id of 64 bytes on Turin", attest.CodeMalformed, attesttest.On(attesttest.Turin, 5), set(amdforge.OIDHWID, make([]byte, 64))),
		refuse("S21", "current below reported", snp.CodeInconsistent, attesttest.EditReport(func(r *attesttest.Report) {
			r.CurrentTCB.Microcode--
			r.CommittedTCB.Microcode--
		})),
		refuse("S21", "committed above current", snp.CodeInconsistent, attesttest.EditReport(func(r *attesttest.Report) { r.CommittedTCB.SNP++ })),
		refuse("S21", "firmware older than committed", snp.CodeInconsistent, attesttest.EditReport(func(r *attesttest.Report) { r.Current.Build-- })),
		refuse("S25", "author key digest without the flag", snp.CodeIDBlock, attesttest.EditReport(func(r *attesttest.Report) {
			r.IDKeyDigest, r.AuthorKeyDigest = [48]byte{1}, [48]byte{2}
		})),
		accept("S25", "ID key and author key", attesttest.IDBlock([16]byte{1}, [16]byte{2}, [48]byte{3}, [48]byte{4})),
		refuse("S25", "author key without ID key", snp.CodeIDBlock, attesttest.EditReport(func(r *attesttest.Report) {
			r.AuthorKeyEn, r.AuthorKeyDigest = true, [48]byte{1}
		})),
		refuse("S27", "bit 6 on Genoa", attest.CodeMalformed, attesttest.PlatformBits(1<<6)),
		accept("S27", "bit 6 on Turin", attesttest.On(attesttest.Turin, 5), attesttest.PlatformBits(1<<6)),
		refuse("S33", "certificate beside a table with another", attest.CodeAmbiguous, attesttest.InTable(), end(func(e attest.Endorsements) attest.Endorsements {
			return append(e, attest.Endorsement{Label: attest.LabelSNPVEK, Data: vector(t, "genoa-v5-oak.vek.der")})
		})),
		refuse("S33", "certificate given twice", attest.CodeAmbiguous, end(func(e attest.Endorsements) attest.Endorsements {
			for _, item := range e {
				if isVEK(item) {
					return append(e, item)
				}
			}
			return e
		})),
	}
}

func isVEK(e attest.Endorsement) bool { return e.Label == attest.LabelSNPVEK }

// allCases is the catalogue: the rows about the machine, and those about this
// package.
func allCases(t testing.TB) (*attesttest.AMD, []attesttest.Case) {
	amd := attesttest.New()
	cases := append(amd.Cases(t), ownCases(t, amd)...)
	slices.SortStableFunc(cases, func(a, b attesttest.Case) int { return strings.Compare(a.Row, b.Row) })
	return amd, cases
}

// TestCases runs every case against the verifier and compares the outcome with
// the catalogue and, line by line, with the table that people read.
func TestCases(t *testing.T) {
	amd, cases := allCases(t)
	base := forgedVerifier(t, amd, attest.SNP)
	table := newCaseTable()
	for _, c := range cases {
		t.Run(c.Row+"/"+c.Name, func(t *testing.T) {
			v := base
			if c.AMD != amd {
				v = forgedVerifier(t, c.AMD, attest.SNP)
			}
			ev, end := c.Make(t, [64]byte{1, 2, 3})
			_, err := v.Verify(ev, end, attesttest.Epoch())
			if c.Stage != attesttest.StageVerify {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				table.add(c.Row, c.Name, verdict(c), "", "")
				return
			}
			table.add(c.Row, c.Name, "refused", c.Code, failedWith(t, err, c.Code))
		})
	}
	table.compare(t)
}

func verdict(c attesttest.Case) string {
	if c.Stage == attesttest.StageAppraise {
		return "true claims; for the appraisal policy"
	}
	return "verified"
}

// failedWith expects the refusal to name the code and returns the check that did.
func failedWith(t testing.TB, err error, want attest.Code) string {
	t.Helper()
	if err == nil {
		t.Fatalf("verified, want %s", want)
	}
	for _, c := range failure(t, err).Failed() {
		if c.Seen == "" || c.Expected == "" {
			t.Errorf("%s says neither what was seen nor what was expected: %+v", c.Name, c)
		}
		if c.Code == want {
			return c.Name
		}
	}
	t.Fatalf("want %s: %v", want, err)
	return ""
}

func criticalExtension() (x pkix.Extension) {
	x.Id, x.Critical, x.Value = asn1.ObjectIdentifier{2, 5, 29, 27}, true, []byte{2, 1, 1}
	return x
}

// caseTable is vectors/snp/CASES.md.
type caseTable struct{ b strings.Builder }

func newCaseTable() *caseTable {
	t := new(caseTable)
	t.b.WriteString(`# SEV-SNP cases

What the verifier says about each input, written by its test (` + "`go test ./attest/snp -run TestCases -update`" + `).
Rows with one number are forms of one attack: G are general, S are of SEV-SNP. "True claims" means that a genuine
machine may well be in this state: the verifier reports it and the appraisal policy decides.

| row | input | verdict | code | check |
|---|---|---|---|---|
`)
	for _, m := range machines {
		t.add("real", m.name, "verified", "", "")
	}
	return t
}

func (t *caseTable) add(row, input, verdict string, code attest.Code, check string) {
	fmt.Fprintf(&t.b, "| %s | %s | %s | %s | %s |\n", row, input, verdict, code, check)
}

func (t *caseTable) compare(tb testing.TB) {
	tb.Helper()
	path := filepath.Join("..", "..", "vectors", "snp", "CASES.md")
	if *update {
		if err := os.WriteFile(path, []byte(t.b.String()), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	want := strings.Split(t.b.String(), "\n")
	for i, line := range strings.Split(string(got), "\n") {
		if i >= len(want) || line != want[i] {
			tb.Fatalf("%s differs from what the verifier does at line %d: %q (run with -update)", path, i+1, line)
		}
	}
	if n := strings.Count(string(got), "\n"); n != len(want)-1 {
		tb.Errorf("%s has %d lines, want %d (run with -update)", path, n, len(want)-1)
	}
}
