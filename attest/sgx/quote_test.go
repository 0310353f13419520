package sgx_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/sgx"
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
		q, err := sgx.ParseQuote(data)
		clear(data)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		facts := claims.Detail.(*sgx.Claims)
		if q.Version != facts.QuoteVersion || q.Report != *facts.Report || q.PCK.FMSPC != facts.PCK.FMSPC || q.PCK.PCEID != facts.PCK.PCEID {
			t.Errorf("%s: %+v, expected %+v", c.name, q, facts)
		}
		chain, err := sgx.PCKChain(c.evidence(t))
		if err != nil || !bytes.Equal(chain.Data, q.PCKChain) {
			t.Errorf("%s: another PCK chain, %v", c.name, err)
		}
	}
	if accepted == 0 {
		t.Error("no capture was compared")
	}
}

func TestParseQuoteRefuses(t *testing.T) {
	other, _ := attesttest.NewIntel().Make(t, attest.TDX, [64]byte{1})
	whole := captures()[0].evidence(t).Data
	noChain := bytes.Replace(whole, []byte("-----BEGIN CERTIFICATE-----"), []byte("-----begin certificate-----"), 1)
	badChain := bytes.Replace(whole, []byte("\nMII"), []byte("\nAAA"), 1)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"empty":           {nil, "sgx: dcap: quote: malformed"},
		"cut":             {whole[:600], "sgx: dcap: quote: malformed"},
		"of another TEE":  {other.Data, "sgx: a quote of "},
		"no certificate":  {noChain, "sgx: PCK certificate: "},
		"bad certificate": {badChain, "sgx: PCK certificate: "},
	} {
		q, err := sgx.ParseQuote(tc.data)
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
	ev, _ := attesttest.NewIntel().Make(f, attest.SGX, [64]byte{1}, attesttest.QuoteVersion(5))
	f.Add(ev.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := sgx.ParseQuote(data)
		if (q == nil) == (err == nil) {
			t.Fatalf("quote %v and error %v", q, err)
		}
		_, refused := v.Verify(attest.Evidence{Kind: attest.SGX, Data: data}, end, c.at)
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
	data, err := os.ReadFile("../../vectors/sgx/quote_v3_ecdsa_p256_pck_chain.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	quote, err := sgx.ParseQuote(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("version %d, attributes %s\n", quote.Version, quote.Report.Attributes)
	fmt.Printf("FMSPC %X, PCE %x\n", quote.PCK.FMSPC, quote.PCK.PCEID)
	// Output:
	// version 3, attributes init mode64bit
	// FMSPC 00606A000000, PCE 0000
}
