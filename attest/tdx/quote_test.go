package tdx_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/tdx"
)

// TestParseQuote: what a quote says unverified is what the claims say, where they
// are accepted.
func TestParseQuote(t *testing.T) {
	accepted := 0
	for _, c := range captures() {
		if c.status == 0 {
			continue
		}
		accepted++
		claims, err := intelVerifier(t).Verify(c.evidence(t), c.endorsements(t), c.at)
		if err != nil {
			t.Fatal(err)
		}
		data := c.evidence(t).Data
		q, err := tdx.ParseQuote(data)
		clear(data)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		facts := claims.Detail.(*tdx.Claims)
		if q.Version != facts.QuoteVersion || q.Report != *facts.Report || q.PCK.FMSPC != facts.PCK.FMSPC || q.PCK.PCEID != facts.PCK.PCEID {
			t.Errorf("%s: %+v, expected %+v", c.name, q, facts)
		}
		chain, err := tdx.PCKChain(c.evidence(t))
		if err != nil || !bytes.Equal(chain.Data, q.PCKChain) {
			t.Errorf("%s: another PCK chain, %v", c.name, err)
		}
	}
	if accepted == 0 {
		t.Error("no capture was compared")
	}
}

func TestParseQuoteRefuses(t *testing.T) {
	other, _ := attesttest.NewIntel().Make(t, attest.SGX, [64]byte{1})
	whole := captures()[0].evidence(t).Data
	noChain := bytes.Replace(whole, []byte("-----BEGIN CERTIFICATE-----"), []byte("-----begin certificate-----"), 1)
	badChain := bytes.Replace(whole, []byte("\nMII"), []byte("\nAAA"), 1)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"empty":           {nil, "tdx: dcap: quote: malformed"},
		"cut":             {whole[:600], "tdx: dcap: quote: malformed"},
		"of another TEE":  {other.Data, "tdx: a quote of "},
		"no certificate":  {noChain, "tdx: PCK certificate: "},
		"bad certificate": {badChain, "tdx: PCK certificate: "},
	} {
		q, err := tdx.ParseQuote(tc.data)
		if q != nil || err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v, expected %s", name, q, err, tc.want)
		}
	}
}

// FuzzParseQuote: what cannot be read is refused by the verifier too.
func FuzzParseQuote(f *testing.F) {
	c := captures()[0]
	v, end := intelVerifier(f), c.endorsements(f)
	for _, c := range captures() {
		f.Add(c.evidence(f).Data)
	}
	ev, _ := attesttest.NewIntel().Make(f, attest.TDX, [64]byte{1}, attesttest.QuoteVersion(5))
	f.Add(ev.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := tdx.ParseQuote(data)
		if (q == nil) == (err == nil) {
			t.Fatalf("quote %v and error %v", q, err)
		}
		_, refused := v.Verify(attest.Evidence{Kind: attest.TDX, Data: data}, end, c.at)
		if err != nil && refused == nil {
			t.Fatalf("accepted, and cannot be read: %v", err)
		}
		var failure *attest.Failure
		if refused != nil && !errors.As(refused, &failure) {
			t.Fatal(refused)
		}
	})
}

// What a quote says can be read without any collateral: that says which collateral
// to ask Intel for, and proves nothing.
func ExampleParseQuote() {
	data, err := os.ReadFile("../../vectors/tdx/quote_v4_tdx_ecdsa_p256.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	quote, err := tdx.ParseQuote(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("version %d, attributes %s\n", quote.Version, quote.Report.Attributes)
	fmt.Printf("FMSPC %X, PCE %x\n", quote.PCK.FMSPC, quote.PCK.PCEID)
	// Output:
	// version 4, attributes sept_ve_disable
	// FMSPC C0806F000000, PCE 0000
}
