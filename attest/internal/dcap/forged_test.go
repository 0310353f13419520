package dcap

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// p256Order is the order of the curve (FIPS 186-5).
func p256Order() *big.Int { return elliptic.P256().Params().N }

func signature(q *intelforge.Quote, edit func(r, s *big.Int)) {
	r, s := new(big.Int).SetBytes(q.Signature[:32]), new(big.Int).SetBytes(q.Signature[32:])
	edit(r, s)
	q.Signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func replace(old, text string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(text), 1) }
}

// stranger is another vendor with the same names.
func stranger(t testing.TB) *intelforge.Vendor {
	t.Helper()
	v, err := intelforge.NewVendor("stranger", now())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// otherKey is a public key on another curve.
func otherKey(t testing.TB, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := intelforge.NewKeyOn(curve, "other")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

type forgedCase struct {
	name string
	edit func(*forged)
	want []string // failed checks with their codes
}

func signatureCases() []forgedCase {
	after := func(edit func(*intelforge.Quote)) func(*forged) { return func(f *forged) { f.signed = edit } }
	sig := func(edit func(r, s *big.Int)) func(*forged) {
		return after(func(q *intelforge.Quote) { signature(q, edit) })
	}
	bad := []string{"hardware.quote_signature bad_signature"}
	qe := []string{"hardware.qe_signature bad_signature"}
	return []forgedCase{
		{"s negated", sig(func(_, s *big.Int) { s.Sub(p256Order(), s) }), nil},
		{"r is 0", sig(func(r, _ *big.Int) { r.SetInt64(0) }), bad},
		{"s is 0", sig(func(_, s *big.Int) { s.SetInt64(0) }), bad},
		{"r is the order", sig(func(r, _ *big.Int) { r.Set(p256Order()) }), bad},
		{"s is the order", sig(func(_, s *big.Int) { s.Set(p256Order()) }), bad},
		{"swapped", sig(func(r, s *big.Int) { *r, *s = *s, *r }), bad},
		{"header changed", after(func(q *intelforge.Quote) { q.Header.UserData[19] ^= 1 }), bad},
		{"body changed", after(func(q *intelforge.Quote) { q.Body = bytes.Clone(q.Body); q.Body[len(q.Body)-1] ^= 1 }), bad},
		{"body type changed", func(f *forged) {
			f.version = 5
			f.unsigned = func(q *intelforge.Quote) { q.Header.Version = 4 }
			f.signed = func(q *intelforge.Quote) { q.Header.Version = 5 }
		}, bad},
		{"key changed", after(func(q *intelforge.Quote) { q.AttestationKey = bytes.Clone(q.AttestationKey); q.AttestationKey[0] ^= 1 }),
			[]string{"hardware.quote_signature bad_signature", "hardware.qe_binding qe_binding"}},
		{"authentication data changed", after(func(q *intelforge.Quote) { q.QEAuth = []byte("others") }), []string{"hardware.qe_binding qe_binding"}},
		{"second half not zero", func(f *forged) {
			f.asIs = true
			key, _ := intelforge.NewKey("attestation")
			public, _ := intelforge.RawPublic(key)
			f.qe.ReportData = intelforge.Binding(public, []byte("forged authentication data bytes"))
			f.qe.ReportData[63] = 1
		}, []string{"hardware.qe_binding qe_binding"}},
		{"QE report changed", after(func(q *intelforge.Quote) { q.QEReport = bytes.Clone(q.QEReport); q.QEReport[0] ^= 1 }), qe},
		{"QE report by another key", func(f *forged) { f.pckKey = f.vendor.TCBSigning.Key }, qe},
	}
}

func chainCases(t *testing.T) []forgedCase {
	cert := func(edit func(*intelforge.Certificate)) func(*forged) { return func(f *forged) { f.cert = edit } }
	chain := func(edit func(*intelforge.Package) []byte) func(*forged) {
		return func(f *forged) { f.chain = edit }
	}
	fail := func(code attest.Code) []string { return []string{"hardware.pck_chain " + string(code)} }
	return []forgedCase{
		{"Processor CA", func(f *forged) {
			f.ca, f.facts.PlatformID, f.facts.Configuration = f.vendor.Processor, nil, nil
			f.pckCRL, f.pckCRLKey = f.vendor.PCKCRL(f.vendor.Processor), f.vendor.Processor.Key
		}, nil},
		{"stranger's chain", chain(func(p *intelforge.Package) []byte {
			v := stranger(t)
			return intelforge.PEM(p.PCK.DER, v.Platform.DER, v.Root.DER)
		}), fail(attest.CodeUntrustedRoot)},
		{"stranger's CA under the root", chain(func(p *intelforge.Package) []byte {
			return intelforge.PEM(p.PCK.DER, stranger(t).Platform.DER, p.Vendor.Root.DER)
		}), fail(attest.CodeUntrustedRoot)},
		{"extra root", chain(func(p *intelforge.Package) []byte {
			return intelforge.PEM(p.PCK.DER, p.CA.DER, p.Vendor.Root.DER, stranger(t).Root.DER)
		}), fail(attest.CodeMalformed)},
		{"no root", chain(func(p *intelforge.Package) []byte { return intelforge.PEM(p.PCK.DER, p.CA.DER) }), fail(attest.CodeBadChain)},
		{"out of order", chain(func(p *intelforge.Package) []byte { return intelforge.PEM(p.PCK.DER, p.Vendor.Root.DER, p.CA.DER) }), fail(attest.CodeBadChain)},
		{"two zero bytes", chain(func(p *intelforge.Package) []byte { return append(p.Chain(), 0) }), fail(attest.CodeMalformed)},
		{"text before", chain(func(p *intelforge.Package) []byte { return append([]byte("x"), p.Chain()...) }), fail(attest.CodeMalformed)},
		{"empty", chain(func(*intelforge.Package) []byte { return nil }), fail(attest.CodeMalformed)},
		{"certificate cut", chain(func(p *intelforge.Package) []byte {
			return intelforge.PEM(p.PCK.DER[:300], p.CA.DER, p.Vendor.Root.DER)
		}), fail(attest.CodeMalformed)},
		{"another name", cert(func(c *intelforge.Certificate) { c.Subject = intelforge.IntelName(intelforge.TCBSigningCN) }), fail(attest.CodeBadChain)},
		{"issued by the TCB signing key", func(f *forged) { f.ca = f.vendor.TCBSigning }, fail(attest.CodeBadChain)},
		{"issuer of another name", func(f *forged) { f.ca = renamed(t, f.vendor) }, fail(attest.CodeBadChain)},
		{"P-384 key", cert(func(c *intelforge.Certificate) { c.PublicKey = otherKey(t, elliptic.P384()) }), fail("bad_key")},
		{"SHA-384", cert(func(c *intelforge.Certificate) { c.Algorithm = intelforge.ECDSAWithSHA384() }), fail(attest.CodeBadChain)},
		{"not yet valid", cert(func(c *intelforge.Certificate) { c.NotBefore = now().Add(time.Second) }), []string{"hardware.validity expired"}},
		{"expired", cert(func(c *intelforge.Certificate) { c.NotAfter = now().Add(-time.Second) }), []string{"hardware.validity expired"}},
		{"no SGX extension", cert(func(c *intelforge.Certificate) { c.Extensions = c.Extensions[:5] }), []string{"hardware.pck malformed"}},
		{"platform id from the Processor CA", func(f *forged) { f.ca = f.vendor.Processor }, []string{"hardware.pck inconsistent"}},
		{"no platform id from the Platform CA", func(f *forged) { f.facts.PlatformID, f.facts.Configuration = nil, nil }, []string{"hardware.pck inconsistent"}},
		{"another FMSPC", func(f *forged) { f.facts.FMSPC = []byte{0, 0, 0, 0, 0, 1} }, []string{"hardware.tcb_info_platform platform_mismatch"}},
		{"another PCE", func(f *forged) { f.facts.PCEID = []byte{1, 0} }, []string{"hardware.tcb_info_platform platform_mismatch"}},
	}
}

// renamed is a CA below the root that is neither of Intel's two.
func renamed(t testing.TB, v *intelforge.Vendor) *intelforge.Issuer {
	t.Helper()
	c := v.Platform.Certificate
	c.Subject = intelforge.IntelName("Intel SGX PCK Other CA")
	out, err := v.Issue(c, v.Platform.Key, v.Root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func collateralCases(t *testing.T) []forgedCase {
	drop := func(label string) func(*forged) { return func(f *forged) { f.endorsements = without(label) } }
	missing := []string{"hardware.endorsements no_collateral"}
	info := func(code string) []string { return []string{"hardware.tcb_info " + code} }
	identity := func(code string) []string { return []string{"hardware.qe_identity " + code} }
	const badChain = "hardware.tcb_chain "
	unsigned := []string{"hardware.tcb_info bad_collateral", "hardware.qe_identity bad_collateral"}
	return []forgedCase{
		{"no TCB info", drop(attest.LabelIntelTCBInfo), missing},
		{"no QE identity", drop(attest.LabelIntelQEIdentity), missing},
		{"no TCB chain", drop(attest.LabelIntelTCBChain), missing}, // what it would have checked is not called forged
		{"no TCB chain, empty TCB info", func(f *forged) {
			drop(attest.LabelIntelTCBChain)(f)
			whole := f.endorsements
			f.endorsements = func(e attest.Endorsements) attest.Endorsements { e = whole(e); e[0].Data = nil; return e }
		}, append(slices.Clone(missing), info("malformed")...)},
		{"nothing", func(f *forged) { f.endorsements = func(attest.Endorsements) attest.Endorsements { return nil } }, []string{missing[0], missing[0], missing[0]}},
		{"empty TCB info", func(f *forged) {
			f.endorsements = func(e attest.Endorsements) attest.Endorsements { e[0].Data = nil; return e }
		}, info("malformed")},
		{"TCB info twice", func(f *forged) {
			f.endorsements = func(e attest.Endorsements) attest.Endorsements { return append(e, e[0]) }
		}, []string{"hardware.endorsements ambiguous", missing[0]}},
		{"TCB info too large", func(f *forged) {
			f.endorsements = func(e attest.Endorsements) attest.Endorsements {
				e[0].Data = append(e[0].Data, make([]byte, attest.MaxEndorsement)...)
				return e
			}
		}, []string{"hardware.endorsements too_large", missing[0]}},
		{"another PCK chain beside the quote", func(f *forged) {
			f.endorsements = func(e attest.Endorsements) attest.Endorsements {
				return append(e, attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: f.vendor.TCBChain()})
			}
		}, []string{"hardware.endorsements ambiguous"}},
		{"TCB info changed", func(f *forged) { f.infoAnswer = replace("OutOfDate", "UpToDate") }, info("bad_collateral")},
		{"TCB info with white space", func(f *forged) { f.infoAnswer = replace(`"version":3`, `"version": 3`) }, info("bad_collateral")},
		{"white space around it", func(f *forged) { f.infoAnswer = replace(`{"tcbInfo":`, "\n{ \"tcbInfo\" : ") }, nil},
		{"QE identity changed", func(f *forged) { f.identityAnswer = replace(`"isvprodid":2`, `"isvprodid":3`) }, identity("bad_collateral")},
		{"documents by the root", func(f *forged) { f.documentKey = f.vendor.Root.Key }, unsigned},
		{"documents by a stranger", func(f *forged) {
			v := stranger(t)
			f.documentKey, f.tcbChain = v.TCBSigning.Key, v.TCBChain()
		}, append([]string{badChain + "untrusted_root"}, unsigned...)},
		{"documents by the Platform CA", func(f *forged) {
			f.documentKey, f.tcbChain = f.vendor.Platform.Key, intelforge.PEM(f.vendor.Platform.DER, f.vendor.Root.DER)
		}, append([]string{badChain + "bad_chain"}, unsigned...)},
		{"documents by a key of another name", func(f *forged) {
			c := f.vendor.TCBSigning.Certificate
			c.Subject = intelforge.IntelName("Intel SGX PCK Certificate")
			issued, err := f.vendor.Issue(c, f.vendor.TCBSigning.Key, f.vendor.Root)
			if err != nil {
				t.Fatal(err)
			}
			f.tcbChain = intelforge.PEM(issued.DER, f.vendor.Root.DER)
		}, append([]string{badChain + "bad_chain"}, unsigned...)},
		{"TCB chain is no PEM", func(f *forged) { f.tcbChain = f.vendor.TCBSigning.DER }, append([]string{badChain + "malformed"}, unsigned...)},
		{"TCB info for SGX", func(f *forged) { f.info = f.vendor.SGXInfo() }, info("platform_mismatch")},
		{"QE identity for SGX", func(f *forged) { f.identity = f.vendor.QEIdentity(false) }, identity("platform_mismatch")},
		{"TCB info past its time", func(f *forged) { f.info.NextUpdate = "2026-06-15T11:59:59Z" }, []string{"hardware.tcb_info_time stale_collateral"}},
		{"TCB info of tomorrow", func(f *forged) { f.info.IssueDate = "2026-06-15T12:00:01Z" }, []string{"hardware.tcb_info_time bad_collateral"}},
		{"TCB info at both ends", func(f *forged) { f.info.IssueDate, f.info.NextUpdate = "2026-06-15T12:00:00Z", "2026-06-15T12:00:00Z" }, nil},
		{"QE identity past its time", func(f *forged) { f.identity.NextUpdate = "2026-06-15T11:59:59Z" }, []string{"hardware.qe_identity_time stale_collateral"}},
		{"QE identity of tomorrow", func(f *forged) { f.identity.IssueDate = "2026-06-15T12:00:01Z" }, []string{"hardware.qe_identity_time bad_collateral"}},
		{"QE of another signer", func(f *forged) { f.qe.MRSIGNER[31] ^= 1 }, []string{"hardware.qe qe_identity"}},
		{"QE of another product", func(f *forged) { f.qe.ISVProdID = 1 }, []string{"hardware.qe qe_identity"}},
		{"QE with exception information", func(f *forged) { f.qe.MiscSelect = 1 }, []string{"hardware.qe qe_identity"}},
		{"QE in debug mode", func(f *forged) { f.qe.Attributes |= 2 }, []string{"hardware.qe qe_identity"}},
		{"QE not initialised", func(f *forged) { f.qe.Attributes &^= 1 }, []string{"hardware.qe qe_identity"}},
		{"QE with another XFRM", func(f *forged) { f.identity.AttributesMask = "FBFFFFFFFFFFFFFFFF00000000000000" }, []string{"hardware.qe qe_identity"}},
		{"QE below every level", func(f *forged) { f.qe.ISVSVN = 1 }, []string{"hardware.qe_level no_tcb_level"}},
	}
}

func crlCases() []forgedCase {
	const root, pck = "hardware.root_crl ", "hardware.pck_crl "
	revoke := func(serial []byte) []intelforge.Revoked { return []intelforge.Revoked{{Serial: serial, Date: now()}} }
	return []forgedCase{
		{"no root CRL", func(f *forged) { f.endorsements = without(attest.LabelIntelRootCRL) }, nil},
		{"no PCK CRL", func(f *forged) { f.endorsements = without(attest.LabelIntelPCKCRL) }, nil},
		{"PCK CA revoked", func(f *forged) { f.rootCRL.Entries = revoke(f.vendor.Platform.Certificate.Serial) }, []string{"hardware.root_crl_entries revoked"}},
		{"TCB signing revoked", func(f *forged) { f.rootCRL.Entries = revoke(f.vendor.TCBSigning.Certificate.Serial) }, []string{"hardware.root_crl_entries revoked"}},
		{"PCK revoked", func(f *forged) {
			f.cert = func(c *intelforge.Certificate) { c.Serial = []byte{7} }
			f.pckCRL.Entries = revoke([]byte{7})
		}, []string{"hardware.pck_crl_entries revoked"}},
		{"CRL of the other CA", func(f *forged) { f.pckCRL, f.pckCRLKey = f.vendor.PCKCRL(f.vendor.Processor), f.vendor.Processor.Key }, []string{pck + "bad_crl"}},
		{"CRL of the root for the PCK", func(f *forged) { f.pckCRL, f.pckCRLKey = f.rootCRL, f.vendor.Root.Key }, []string{pck + "bad_crl"}},
		{"root CRL by a CA", func(f *forged) { f.rootCRLKey = f.vendor.Platform.Key }, []string{root + "bad_crl"}},
		{"root CRL past its time", func(f *forged) { f.rootCRL.NextUpdate = now().Add(-time.Second) }, []string{"hardware.root_crl_time stale_crl"}},
		{"root CRL of tomorrow", func(f *forged) { f.rootCRL.ThisUpdate = now().Add(time.Second) }, []string{"hardware.root_crl_time bad_crl"}},
		{"PCK CRL past its time", func(f *forged) { f.pckCRL.NextUpdate = now().Add(-time.Second) }, []string{"hardware.pck_crl_time stale_crl"}},
		{"PCK CRL of tomorrow", func(f *forged) { f.pckCRL.ThisUpdate = now().Add(time.Second) }, []string{"hardware.pck_crl_time bad_crl"}},
		{"PCK CRL without end", func(f *forged) { f.pckCRL.NextUpdate = time.Time{} }, []string{pck + "bad_crl"}},
	}
}

// TestForged: every case fails exactly the checks it is meant to fail, and Facts
// come only if none failed.
func TestForged(t *testing.T) {
	all := slices.Concat(signatureCases(), chainCases(t), collateralCases(t), crlCases(), []forgedCase{{"as it should be", func(*forged) {}, nil}})
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			f := newForged(t, TDX)
			c.edit(f)
			_, checks := f.verify(t)
			if got := failed(checks); !slices.Equal(got, c.want) {
				t.Errorf("failed %q, expected %q", got, c.want)
				for _, check := range checks {
					if check.Status == attest.Fail {
						t.Log(check)
					}
				}
			}
		})
	}
}

// TestMissingCRLs: what was not checked is said, not passed over.
func TestMissingCRLs(t *testing.T) {
	f := newForged(t, SGX)
	f.endorsements = func(e attest.Endorsements) attest.Endorsements { return e[:3] }
	facts, checks := f.verify(t)
	if facts == nil {
		t.Fatal(failed(checks))
	}
	if facts.RootCRL.Checked || facts.PCKCRL.Checked {
		t.Error("CRLs that nobody gave were checked")
	}
	skipped := 0
	for _, c := range checks {
		if c.Status == attest.Skip && c.Code == attest.CodeNoCRL {
			skipped++
		}
	}
	if skipped != 2 {
		t.Errorf("%d checks skipped, expected 2", skipped)
	}
}

func TestFacts(t *testing.T) {
	f := newForged(t, TDX)
	f.pckCRL.NextUpdate = now().Add(time.Hour)
	facts, checks := f.verify(t)
	if facts == nil {
		t.Fatal(failed(checks))
	}
	p := facts.PCK
	if facts.Issuer != PlatformCA || !bytes.Equal(p.FMSPC[:], f.facts.FMSPC) || string(p.PPID[:]) != string(f.facts.PPID) || string(p.PlatformID[:]) != string(f.facts.PlatformID) ||
		p.PCESVN != 11 || p.Components != f.facts.Components || !bytes.Equal(p.CPUSVN[:], f.facts.CPUSVN) || p.SGXType != SGXScalable || p.Configuration == nil || !*p.Configuration.SMTEnabled {
		t.Errorf("PCK: %+v", p)
	}
	if !facts.Endorsed.NotAfter.Equal(now().Add(time.Hour)) || !facts.Endorsed.NotBefore.Equal(now().AddDate(0, 0, -7)) {
		t.Errorf("endorsed %v", facts.Endorsed)
	}
	if facts.TCB.Evaluation != 17 || facts.TCB.QEEvaluation != 17 || facts.TCB.ModuleID != "TDX_01" || facts.TCBInfo.Issued.IsZero() || facts.QEIdentity.NextUpdate.IsZero() {
		t.Errorf("TCB: %+v", facts.TCB)
	}
	if !facts.RootCRL.Checked || !facts.PCKCRL.Checked || facts.PCKCRL.Number.Int64() != 1 {
		t.Errorf("CRLs: %+v %+v", facts.RootCRL, facts.PCKCRL)
	}
}

// TestChain: a chain endorsed once verifies its machine's quotes and no others,
// and checks the dates each time.
func TestChain(t *testing.T) {
	for _, tee := range []TEE{SGX, TDX} {
		f := newForged(t, tee)
		q, _ := ReadQuote(f.quote(t), tee)
		end := append(f.collateral(t), attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: q.PCKChain})
		chain, err := f.engine(t).Endorse(end, f.at)
		if err != nil {
			t.Fatal(err)
		}
		if facts, checks := chain.Verify(q, f.at); facts == nil {
			t.Errorf("%s: %v", tee, failed(checks))
		}
		if v := chain.Endorsed(); !v.Contains(f.at) {
			t.Errorf("endorsed %v", v)
		}
		if _, checks := chain.Verify(q, chain.Endorsed().NotAfter.Add(time.Second)); !slices.Contains(failed(checks), "hardware.tcb_info_time stale_collateral") {
			t.Errorf("too late: %v", failed(checks))
		}
		if _, checks := chain.Verify(q, chain.Endorsed().NotBefore.Add(-time.Second)); !slices.Contains(failed(checks), "hardware.root_crl_time bad_crl") {
			t.Errorf("too early: %v", failed(checks))
		}
		other := newForged(t, tee)
		other.cert = func(c *intelforge.Certificate) { c.Serial = []byte{9} }
		q2, _ := ReadQuote(other.quote(t), tee)
		if facts, checks := chain.Verify(q2, f.at); facts != nil || !slices.Contains(failed(checks), "hardware.pck_match pck_mismatch") {
			t.Errorf("another machine: %v", failed(checks))
		}
		if facts, checks := chain.Verify(nil, f.at); facts != nil || attest.FailureOf(checks) != nil {
			t.Errorf("no quote: facts %t, %v", facts != nil, failed(checks))
		}
		wrong := newForged(t, SGX+TDX-tee)
		q3, _ := ReadQuote(wrong.quote(t), SGX+TDX-tee)
		if facts, checks := chain.Verify(q3, f.at); facts != nil || !slices.Contains(failed(checks), "hardware.quote kind_mismatch") {
			t.Errorf("the other TEE: %v", failed(checks))
		}
	}
}

func TestEndorseRefuses(t *testing.T) {
	f := newForged(t, TDX)
	q, _ := ReadQuote(f.quote(t), TDX)
	chain := attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: q.PCKChain}
	for name, c := range map[string]struct {
		end  attest.Endorsements
		at   time.Time
		want string
	}{
		"no PCK chain":  {f.collateral(t), f.at, string(CodeNoPCKChain)},
		"no collateral": {attest.Endorsements{chain}, f.at, string(CodeNoCollateral)},
		"too late":      {append(f.collateral(t), chain), f.at.AddDate(1, 0, 0), string(CodeStaleCollateral)},
	} {
		got, err := f.engine(t).Endorse(c.end, c.at)
		if got != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %s", name, err, c.want)
		}
	}
}

// TestZeroValues: what was not made by a constructor refuses everything.
func TestZeroValues(t *testing.T) {
	f := newForged(t, TDX)
	q, _ := ReadQuote(f.quote(t), TDX)
	for name, e := range map[string]*Engine{"nil": nil, "zero": {}} {
		if facts, checks := e.Verify(q, f.collateral(t), f.at); facts != nil || attest.FailureOf(checks) == nil {
			t.Errorf("%s engine accepted a quote", name)
		}
		if c, err := e.Endorse(f.collateral(t), f.at); c != nil || err == nil {
			t.Errorf("%s engine endorsed", name)
		}
	}
	chain, err := f.engine(t).Endorse(append(f.collateral(t), attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: q.PCKChain}), f.at)
	if err != nil {
		t.Fatal(err)
	}
	noPCK, noDocuments := *chain, *chain
	noPCK.pck, noDocuments.documents = nil, nil
	for name, c := range map[string]*Chain{"nil": nil, "zero": {}, "without a PCK": &noPCK, "without documents": &noDocuments} {
		if facts, checks := c.Verify(q, f.at); facts != nil || attest.FailureOf(checks) == nil {
			t.Errorf("%s chain accepted a quote", name)
		}
	}
}

func TestEngineRefusesRoots(t *testing.T) {
	v := stranger(t)
	if _, err := NewEngine(7); err == nil {
		t.Error("an engine for no TEE")
	}
	for name, der := range map[string][]byte{
		"not a certificate": []byte("x"), "not a CA": v.TCBSigning.DER, "not self-signed": v.Platform.DER,
	} {
		if e, err := NewEngineWithRoot(TDX, der); e != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
		if c, err := RootOf(der); c != nil || err == nil {
			t.Errorf("%s: RootOf accepted it", name)
		}
	}
	weak := v.Root.Certificate
	weak.Algorithm = intelforge.ECDSAWithSHA384()
	der, err := weak.Sign(v.Root.Key)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := NewEngineWithRoot(TDX, der); e != nil || err == nil {
		t.Error("a root signed with SHA-384: accepted")
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if cn := root.Subject.CommonName; cn != "Intel SGX Root CA" {
		t.Errorf("the root is %q", cn)
	}
	if _, err := pinned(root.Raw, strings.Repeat("0", 64)); err == nil {
		t.Error("a certificate with another digest: accepted")
	}
	none := intelPin{"none", strings.Repeat("0", 64)}
	if e, err := pinnedEngine(TDX, none); e != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a root's file: %v", err)
	}
	if e, err := pinnedEngine(TDX, intelRoot(), none); e != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	platform, err := intelKnown()[0].load()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := RootOf(v.Root.DER)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newEngine(TDX, mine, platform); err == nil {
		t.Error("an engine that knows a certificate its root did not issue")
	}
}
