package nitro_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/internal/awsforge"
	"github.com/blindbox/blindbox/attest/nitro"
)

var full = flag.Bool("full", false, "change every byte in TestContract, not some")

// some is how many bytes lie between two that are changed, unless all are.
func some(n int) int {
	if *full {
		return 0
	}
	return n
}

func TestContract(t *testing.T) {
	data := [64]byte{1, 2, 3}
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: forgedVerifier(t), Evidence: attesttest.NewAWS().Make(t, data), At: attesttest.Epoch(), ReportData: data, Stride: some(5),
	})
}

func TestContractReal(t *testing.T) {
	attesttest.TestVerifier(t, attesttest.Harness{Verifier: awsVerifier(t), Evidence: production.evidence(t), At: production.at, Stride: some(17)})
}

// TestClaims holds what becomes of the fields that an enclave chooses.
func TestClaims(t *testing.T) {
	policy := [32]byte{9}
	ev := attesttest.NewAWS().Make(t, [64]byte{7}, attesttest.EnclavePolicy(policy), attesttest.EditEnclave(func(d *awsforge.Document) {
		d.Nonce, d.PublicKey = []byte{1, 2}, []byte{3}
	}))
	claims, err := forgedVerifier(t).Verify(ev, nil, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	pcr0, extended := attesttest.EnclavePCR(0), sum384(append(make([]byte, 48), policy[:]...))
	if claims.ReportData != [64]byte{7} || !bytes.Equal(claims.Measurement, pcr0[:]) || !bytes.Equal(claims.LaunchDigest, extended) {
		t.Errorf("claims %+v", claims)
	}
	d := claims.Detail.(*nitro.Claims).Document
	if !bytes.Equal(d.Nonce, []byte{1, 2}) || !bytes.Equal(d.PublicKey, []byte{3}) || d.ModuleID != attesttest.EnclaveModule || d.Debug() ||
		len(d.CABundle) != 4 || len(d.PCRs) != 17 {
		t.Errorf("document %+v", d)
	}
}

// TestUserData holds that only 64 bytes can prove anything, wherever they stand.
func TestUserData(t *testing.T) {
	word := bytes.Repeat([]byte{5}, 64)
	for name, edit := range map[string]func(*awsforge.Document){
		"63 bytes": func(d *awsforge.Document) { d.UserData = word[:63] },
		"65 bytes": func(d *awsforge.Document) { d.UserData = append(bytes.Clone(word), 5) },
		"empty":    func(d *awsforge.Document) { d.UserData = []byte{} },
		"null":     func(d *awsforge.Document) { d.UserData = nil },
		"in nonce": func(d *awsforge.Document) { d.UserData, d.Nonce = nil, word },
		"as key":   func(d *awsforge.Document) { d.UserData, d.PublicKey = nil, word },
	} {
		claims, err := forgedVerifier(t).Verify(attesttest.NewAWS().Make(t, [64]byte{}, attesttest.EditEnclave(edit)), nil, attesttest.Epoch())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if claims.ReportData != [64]byte{} {
			t.Errorf("%s: report data %x", name, claims.ReportData)
		}
		d := claims.Detail.(*nitro.Claims).Document
		if (d.UserData == nil) == (name == "empty") && name != "63 bytes" && name != "65 bytes" {
			t.Errorf("%s: user data %v", name, d.UserData)
		}
	}
}

// TestBoundByStatement goes the whole way from a statement to Proves.
func TestBoundByStatement(t *testing.T) {
	at := attesttest.Epoch()
	bound, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: attest.Digest{4}, NotBefore: at, NotAfter: at.Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	ev, _, err := attesttest.NewAWS().Attester().Attest(t.Context(), bound)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := forgedVerifier(t).Verify(ev, nil, at)
	if err != nil || !claims.Proves(bound) {
		t.Errorf("the claims do not prove the statement: %v", err)
	}
	other, err := forgedVerifier(t).Verify(attesttest.NewAWS().Make(t, [64]byte{1}), nil, at)
	if err != nil || other.Proves(bound) {
		t.Errorf("other claims prove the statement: %v", err)
	}
}

// TestAllFailuresTogether holds that one refusal names everything that is wrong.
func TestAllFailuresTogether(t *testing.T) {
	ev := attesttest.StrangerAWS().Make(t, [64]byte{1}, attesttest.EditEnclave(func(d *awsforge.Document) {
		d.ModuleID, d.Timestamp = "i-1-enc2", 1
	}), attesttest.EditSent(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }))
	_, err := forgedVerifier(t).Verify(ev, nil, attesttest.Epoch().AddDate(1, 0, 0))
	for name, code := range map[string]attest.Code{
		"hardware.root": attest.CodeUntrustedRoot, "hardware.validity": attest.CodeExpired, "hardware.module": nitro.CodeModuleMismatch,
		"hardware.timestamp": attest.CodeStaleEvidence, "hardware.signature": attest.CodeBadSignature,
	} {
		casetest.Refused(t, err, name, code)
	}
}

// TestTimestampEdges holds both ends of the leaf's validity.
func TestTimestampEdges(t *testing.T) {
	now := attesttest.Epoch()
	for offset, good := range map[time.Duration]bool{
		-3 * time.Second: true, -3*time.Second - time.Millisecond: false, 3 * time.Hour: true, 3*time.Hour + time.Millisecond: false,
	} {
		ev := attesttest.NewAWS().Make(t, [64]byte{1}, attesttest.EditEnclave(func(d *awsforge.Document) {
			d.Timestamp = uint64(now.Add(offset).UnixMilli())
		}))
		_, err := forgedVerifier(t).Verify(ev, nil, now)
		if good && err != nil {
			t.Errorf("%s: %v", offset, err)
		}
		if !good {
			casetest.Refused(t, err, "hardware.timestamp", attest.CodeStaleEvidence)
		}
	}
}

// TestLeafWithoutRoot holds that a leaf on another curve is not verified with,
// even where there is no chain to check.
func TestLeafWithoutRoot(t *testing.T) {
	ev := attesttest.StrangerAWS().Make(t, [64]byte{1}, attesttest.EnclaveCurve(awsforge.Leaf, elliptic.P256()))
	_, err := forgedVerifier(t).Verify(ev, nil, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.root", attest.CodeUntrustedRoot)
	casetest.Refused(t, err, "hardware.signature", "bad_key")
}

func TestModuleForms(t *testing.T) {
	for _, id := range []string{"i-1", "i-1-enc", "i--enc1", "1-enc1", "i-1-enc1-enc2", "i-G-enc1", "i-1-encG", "i-1-ENC1", "x-1-enc1"} {
		ev := attesttest.NewAWS().Make(t, [64]byte{1}, attesttest.EditEnclave(func(d *awsforge.Document) { d.ModuleID = id }))
		_, err := forgedVerifier(t).Verify(ev, nil, attesttest.Epoch())
		casetest.Refused(t, err, "hardware.document", attest.CodeMalformed)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	issue := func(edit func(*x509.Certificate), curve elliptic.Curve) []byte {
		o := awsforge.ChainOptions{Now: attesttest.Epoch(), Curve: func(awsforge.Role) elliptic.Curve { return curve }}
		if edit != nil {
			o.Edit = func(_ awsforge.Role, c *x509.Certificate) { edit(c) }
		}
		cert, err := o.Issue(awsforge.Root, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.DER()
	}
	good := attesttest.NewAWS().Root(t)
	notOwn := bytes.Clone(good)
	notOwn[len(notOwn)-1] ^= 1
	for name, roots := range map[string][][]byte{
		"none":         nil,
		"empty":        {nil},
		"no DER":       {[]byte("root")},
		"cut":          {good[:len(good)-1]},
		"trailing":     {append(bytes.Clone(good), 0)},
		"not its own":  {notOwn},
		"P-256":        {issue(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA256 }, elliptic.P256())},
		"no CA":        {issue(func(c *x509.Certificate) { c.IsCA = false }, nil)},
		"may not sign": {issue(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, nil)},
		"no key usage": {issue(func(c *x509.Certificate) { c.KeyUsage = 0 }, nil)},
		"second":       {good, []byte("root")},
	} {
		if v, err := nitro.NewVerifierWithRoots(roots...); err == nil || v != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if v := awsVerifier(t); v.Kind() != attest.Nitro {
		t.Errorf("kind %s", v.Kind())
	}
}

// TestRootIsPublished compares the built-in root with AWS's figure: it is the
// first certificate of real bundles.
func TestRootIsPublished(t *testing.T) {
	d, err := nitro.ParseDocument(production.evidence(t).Data)
	if err != nil {
		t.Fatal(err)
	}
	const published = "641A0321A3E244EFE456463195D606317ED7CDCC3C1756E09893F3C68F79BB5B"
	sum := sha256.Sum256(d.CABundle[0])
	if got := strings.ToUpper(hex.EncodeToString(sum[:])); got != published {
		t.Errorf("root %s, want %s", got, published)
	}
}

// TestChain verifies many documents of one enclave with its certificates
// verified once.
func TestChain(t *testing.T) {
	v, enclave := forgedVerifier(t), attesttest.NewAWS().Attester()
	first, _ := attestWith(t, enclave, 1)
	chain, err := v.Endorse(first, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	for i := range byte(3) {
		ev, bound := attestWith(t, enclave, i+1)
		warm, err := chain.Verify(ev, attesttest.Epoch())
		if err != nil || !warm.Proves(bound) {
			t.Fatalf("document %d: %v", i, err)
		}
		cold, err := v.Verify(ev, nil, attesttest.Epoch())
		if err != nil || !reflect.DeepEqual(cold, warm) {
			t.Errorf("document %d: other claims than without the chain: %v", i, err)
		}
	}
	if span := chain.Endorsed(); span.NotAfter.Sub(span.NotBefore) != 3*time.Hour+3*time.Second {
		t.Errorf("endorsed %v", span)
	}
}

func attestWith(t *testing.T, a *attesttest.EnclaveAttester, nonce byte) (attest.Evidence, attest.Bound) {
	t.Helper()
	at := attesttest.Epoch()
	bound, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{nonce}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: attest.Digest{4}, NotBefore: at, NotAfter: at.Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	ev, _, err := a.Attest(t.Context(), bound)
	if err != nil {
		t.Fatal(err)
	}
	return ev, bound
}

func TestChainRefuses(t *testing.T) {
	v, aws, at := forgedVerifier(t), attesttest.NewAWS(), attesttest.Epoch()
	good := aws.Make(t, [64]byte{1})
	chain, err := v.Endorse(good, at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.Verify(aws.Make(t, [64]byte{1}), at)
	casetest.Refused(t, err, "hardware.chain", attest.CodeBadChain) // another enclave's certificates
	_, err = chain.Verify(attest.Evidence{Kind: attest.TDX, Data: good.Data}, at)
	casetest.Refused(t, err, "hardware.kind", attest.CodeKindMismatch)
	_, err = chain.Verify(attest.Evidence{Kind: attest.Nitro, Data: good.Data[:100]}, at)
	casetest.Refused(t, err, "hardware.document", attest.CodeMalformed)
	_, err = chain.Verify(good, at.Add(4*time.Hour))
	casetest.Refused(t, err, "hardware.validity", attest.CodeExpired)
	bad := bytes.Clone(good.Data)
	bad[len(bad)-1] ^= 1
	_, err = chain.Verify(attest.Evidence{Kind: attest.Nitro, Data: bad}, at)
	casetest.Refused(t, err, "hardware.signature", attest.CodeBadSignature)
	var none *nitro.Chain
	for _, c := range []*nitro.Chain{none, {}} {
		_, err = c.Verify(good, at)
		casetest.Refused(t, err, "hardware.chain", attest.CodeBadChain)
	}
}

// TestChainComparesTheBundle holds that the same leaf with other issuers is
// another chain.
func TestChainComparesTheBundle(t *testing.T) {
	var bundle [][]byte
	cut := false
	enclave := attesttest.NewAWS().Attester(attesttest.EditBundle(func(b [][]byte) [][]byte {
		bundle = b
		if cut {
			return b[:3]
		}
		return b
	}))
	first, _ := attestWith(t, enclave, 1)
	chain, err := forgedVerifier(t).Endorse(first, attesttest.Epoch())
	if err != nil || len(bundle) != 4 {
		t.Fatal(err)
	}
	cut = true
	second, _ := attestWith(t, enclave, 2)
	_, err = chain.Verify(second, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.chain", attest.CodeBadChain)
}

func TestEndorseRefuses(t *testing.T) {
	v, aws, at := forgedVerifier(t), attesttest.NewAWS(), attesttest.Epoch()
	good := aws.Make(t, [64]byte{1})
	for name, c := range map[string]struct {
		ev    attest.Evidence
		at    time.Time
		check string
		code  attest.Code
	}{
		"kind":     {attest.Evidence{Kind: attest.SGX, Data: good.Data}, at, "hardware.kind", attest.CodeKindMismatch},
		"bytes":    {attest.Evidence{Kind: attest.Nitro}, at, "hardware.document", attest.CodeMalformed},
		"stranger": {attesttest.StrangerAWS().Make(t, [64]byte{1}), at, "hardware.root", attest.CodeUntrustedRoot},
		"expired":  {good, at.Add(4 * time.Hour), "hardware.validity", attest.CodeExpired},
		"curve":    {aws.Make(t, [64]byte{1}, attesttest.EnclaveCurve(awsforge.Leaf, elliptic.P256())), at, "hardware.chain", "bad_key"},
	} {
		chain, err := v.Endorse(c.ev, c.at)
		if chain != nil {
			t.Errorf("%s: a chain", name)
		}
		casetest.Refused(t, err, c.check, c.code)
	}
}
