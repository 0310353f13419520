package pcs_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/pcs"
)

func codeOf(err error) attest.Code {
	var f *attest.Failure
	if errors.As(err, &f) {
		return f.Code()
	}
	return ""
}

// given are what a vendor hands out for one machine.
type given struct{ info, identity, tcbChain, rootCRL, pckCRL, pckChain []byte }

func of(t testing.TB, vendor *attesttest.Intel) given {
	t.Helper()
	ev, end := vendor.Make(t, attest.TDX, [64]byte{1})
	get := func(label string) []byte {
		data, found, err := end.Get(label)
		if err != nil || !found {
			t.Fatalf("%s: %v", label, err)
		}
		return data
	}
	// The quote holds the PCK certificate, its CA and the root.
	_, rest := pem.Decode(ev.Data[bytes.Index(ev.Data, []byte("-----BEGIN")):])
	last := []byte("-----END CERTIFICATE-----\n")
	return given{
		get(attest.LabelIntelTCBInfo), get(attest.LabelIntelQEIdentity), get(attest.LabelIntelTCBChain),
		get(attest.LabelIntelRootCRL), get(attest.LabelIntelPCKCRL), rest[:bytes.LastIndex(rest, last)+len(last)],
	}
}

func verifier(t testing.TB) *pcs.Verifier {
	t.Helper()
	v, err := pcs.NewVerifierWithRoot(attesttest.NewIntel().Root(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCheckDocument(t *testing.T) {
	v, g, s := verifier(t), of(t, attesttest.NewIntel()), of(t, attesttest.IntelStranger())
	now := attesttest.Epoch()
	edit := func(doc []byte, old, text string) []byte {
		out := bytes.Replace(doc, []byte(old), []byte(text), 1)
		if bytes.Equal(out, doc) {
			t.Fatalf("%q is not there", old)
		}
		return out
	}
	signatureAt := bytes.LastIndex(g.info, []byte(`"signature":"`)) + len(`"signature":"`)
	flipped := bytes.Clone(g.info)
	flipped[signatureAt] = map[bool]byte{true: '0', false: '1'}[flipped[signatureAt] == '1']
	swapped := append(bytes.Clone(g.tcbChain[bytes.LastIndex(g.tcbChain, []byte("-----BEGIN")):]), g.tcbChain...)
	for name, c := range map[string]struct {
		doc, chain []byte
		member     string
		at         time.Time
		want       attest.Code
	}{
		"TCB info":               {g.info, g.tcbChain, pcs.MemberTCBInfo, now, ""},
		"QE identity":            {g.identity, g.tcbChain, pcs.MemberQEIdentity, now, ""},
		"the other member":       {g.info, g.tcbChain, pcs.MemberQEIdentity, now, attest.CodeMalformed},
		"one byte changed":       {edit(g.info, "UpToDate", "UpToDatE"), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeBadSignature},
		"a space inside":         {edit(g.info, `"version":`, `"version": `), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeBadSignature},
		"another signature":      {flipped, g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeBadSignature},
		"a short signature":      {edit(g.info, `"signature":"`+string(g.info[signatureAt:signatureAt+2]), `"signature":"`), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"a signature not in hex": {edit(g.info, `"signature":"`, `"signature":"zz`), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"no signature":           {[]byte(`{"tcbInfo":{}}`), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"no member":              {[]byte(`{"signature":"` + strings.Repeat("00", 64) + `"}`), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"a third member":         {edit(g.info, `{"tcbInfo"`, `{"x":1,"tcbInfo"`), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"two members":            {edit(g.info, `{"tcbInfo"`, `{"tcbInfo":{},"tcbInfo"`), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"trailing bytes":         {append(bytes.Clone(g.info), '{'), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"over the limit":         {append(bytes.Clone(g.info), bytes.Repeat([]byte{' '}, attest.MaxEndorsement)...), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"a stranger's":           {s.info, s.tcbChain, pcs.MemberTCBInfo, now, attest.CodeUntrustedRoot},
		"a stranger's signature": {s.info, g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeBadSignature},
		"signed by the PCK CA":   {g.info, g.pckChain, pcs.MemberTCBInfo, now, attest.CodeBadChain},
		"no chain":               {g.info, nil, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"the wrong way round":    {g.info, swapped, pcs.MemberTCBInfo, now, attest.CodeMalformed},
		"the root alone":         {g.info, g.tcbChain[bytes.LastIndex(g.tcbChain, []byte("-----BEGIN")):], pcs.MemberTCBInfo, now, attest.CodeBadChain},
		"before its signer":      {g.info, g.tcbChain, pcs.MemberTCBInfo, now.AddDate(-30, 0, 0), attest.CodeExpired},
		"after its signer":       {g.info, g.tcbChain, pcs.MemberTCBInfo, now.AddDate(40, 0, 0), attest.CodeExpired},
		"no JSON":                {[]byte("x"), g.tcbChain, pcs.MemberTCBInfo, now, attest.CodeMalformed},
	} {
		if err := v.CheckDocument(c.doc, c.chain, c.member, c.at); codeOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

func TestCheckCRL(t *testing.T) {
	v, g, s := verifier(t), of(t, attesttest.NewIntel()), of(t, attesttest.IntelStranger())
	now := attesttest.Epoch()
	for name, c := range map[string]struct {
		der, chain []byte
		at         time.Time
		issuer     string
		want       attest.Code
	}{
		"of the root":           {g.rootCRL, nil, now, "Intel SGX Root CA", ""},
		"of a CA":               {g.pckCRL, g.pckChain, now, "Intel SGX PCK Platform CA", ""},
		"of a CA as the root's": {g.pckCRL, nil, now, "", attest.CodeBadCRL},
		"of the root as a CA's": {g.rootCRL, g.pckChain, now, "", attest.CodeBadCRL},
		"by the TCB signer":     {g.pckCRL, g.tcbChain, now, "", attest.CodeBadCRL},
		"of a stranger":         {s.rootCRL, nil, now, "", attest.CodeBadCRL},
		"of a stranger's CA":    {s.pckCRL, s.pckChain, now, "", attest.CodeUntrustedRoot},
		"with an empty chain":   {g.pckCRL, []byte{}, now, "", attest.CodeMalformed},
		"after its CA":          {g.pckCRL, g.pckChain, now.AddDate(40, 0, 0), "", attest.CodeExpired},
		"none":                  {nil, nil, now, "", attest.CodeBadCRL},
	} {
		issuer, err := v.CheckCRL(c.der, c.chain, c.at)
		if codeOf(err) != c.want || issuer != c.issuer || (err == nil) != (c.want == "") {
			t.Errorf("%s: %q, %v, expected %q, %q", name, issuer, err, c.issuer, c.want)
		}
	}
}

// TestReal: what Intel signed, under Intel's root.
func TestReal(t *testing.T) {
	v, err := pcs.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../vectors/tdx/tdx_quote_collateral.json")
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]string
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC)
	doc := []byte(`{"tcbInfo":` + c["tcb_info"] + `,"signature":"` + c["tcb_info_signature"] + `"}`)
	if err := v.CheckDocument(doc, []byte(c["tcb_info_issuer_chain"]), pcs.MemberTCBInfo, at); err != nil {
		t.Errorf("TCB info: %v", err)
	}
	if err := verifier(t).CheckDocument(doc, []byte(c["tcb_info_issuer_chain"]), pcs.MemberTCBInfo, at); codeOf(err) != attest.CodeUntrustedRoot {
		t.Errorf("under another root: %v", err)
	}
	for _, list := range []struct{ crl, chain string }{{"root_ca_crl", ""}, {"pck_crl", "pck_crl_issuer_chain"}} {
		der, err := hex.DecodeString(c[list.crl])
		if err != nil {
			t.Fatal(err)
		}
		var chain []byte
		if list.chain != "" {
			chain = []byte(c[list.chain])
		}
		if issuer, err := v.CheckCRL(der, chain, at); err != nil || !strings.HasPrefix(issuer, "Intel SGX ") {
			t.Errorf("%s: %q, %v", list.crl, issuer, err)
		}
	}
}

func TestZeroVerifierRefuses(t *testing.T) {
	g, now := of(t, attesttest.NewIntel()), attesttest.Epoch()
	for _, v := range []*pcs.Verifier{nil, {}} {
		if err := v.CheckDocument(g.info, g.tcbChain, pcs.MemberTCBInfo, now); codeOf(err) != attest.CodeUntrustedRoot {
			t.Errorf("document: %v", err)
		}
		if _, err := v.CheckCRL(g.rootCRL, nil, now); codeOf(err) != attest.CodeUntrustedRoot {
			t.Errorf("CRL: %v", err)
		}
	}
	if v, err := pcs.NewVerifierWithRoot([]byte("x")); err == nil || v != nil {
		t.Error("a root that is none accepted")
	}
}

func FuzzCheckDocument(f *testing.F) {
	v, g := verifier(f), of(f, attesttest.NewIntel())
	f.Add(g.info, g.tcbChain)
	f.Add(g.identity, g.pckChain)
	f.Fuzz(func(t *testing.T, doc, chain []byte) {
		err := v.CheckDocument(doc, chain, pcs.MemberTCBInfo, attesttest.Epoch())
		if err == nil && !bytes.Contains(doc, []byte(`"tcbInfo"`)) {
			t.Fatalf("accepted %q", doc)
		}
	})
}
