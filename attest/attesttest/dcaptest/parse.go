package dcaptest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestParseQuote: what a quote says unverified is what the claims say, where they
// are accepted.
func (k Kind[V, C]) TestParseQuote(t *testing.T) {
	accepted := 0
	for _, c := range k.Captures {
		if c.Status == 0 {
			continue
		}
		accepted++
		claims, err := k.Intel(t).Verify(k.Evidence(t, c), k.Endorsements(t, c), c.At)
		if err != nil {
			t.Fatal(err)
		}
		data := k.Evidence(t, c).Data
		q, pem, err := k.Parse(data)
		clear(data)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		facts := k.Detail(claims)
		if q.Version != facts.Version || q.Report != facts.Report || q.PCK.FMSPC != facts.PCK.FMSPC || q.PCK.PCEID != facts.PCK.PCEID {
			t.Errorf("%s: %+v, expected %+v", c.Name, q, facts)
		}
		chain, err := k.PCKChain(k.Evidence(t, c))
		if err != nil || !bytes.Equal(chain.Data, pem) {
			t.Errorf("%s: another PCK chain, %v", c.Name, err)
		}
	}
	if accepted == 0 {
		t.Error("no capture was compared")
	}
}

// TestParseQuoteRefuses: each refusal names the package and the fault.
func (k Kind[V, C]) TestParseQuoteRefuses(t *testing.T) {
	other, _ := attesttest.NewIntel().Make(t, k.Other, [64]byte{1})
	whole := k.Evidence(t, k.Captures[0]).Data
	noChain := bytes.Replace(whole, []byte("-----BEGIN CERTIFICATE-----"), []byte("-----begin certificate-----"), 1)
	badChain := bytes.Replace(whole, []byte("\nMII"), []byte("\nAAA"), 1)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"empty":           {nil, "dcap: quote: malformed"},
		"cut":             {whole[:600], "dcap: quote: malformed"},
		"of another TEE":  {other.Data, "a quote of "},
		"no certificate":  {noChain, "PCK certificate: "},
		"bad certificate": {badChain, "PCK certificate: "},
	} {
		q, pem, err := k.Parse(tc.data)
		if q.Report != nil || pem != nil || err == nil || !strings.HasPrefix(err.Error(), k.Kind.String()+": "+tc.want) {
			t.Errorf("%s: %v, %v, expected %s", name, q, err, tc.want)
		}
	}
}

// seed adds every capture, and a forged quote of version 5.
func (k Kind[V, C]) seed(f *testing.F) {
	f.Helper()
	for _, c := range k.Captures {
		f.Add(k.Evidence(f, c).Data)
	}
	_, ev, _ := k.make(f, attesttest.QuoteVersion(5))
	f.Add(ev.Data)
}

// FuzzParseQuote: what cannot be read is refused by the verifier too.
func (k Kind[V, C]) FuzzParseQuote(f *testing.F) {
	c := k.Captures[0]
	v, end := k.Intel(f), k.Endorsements(f, c)
	k.seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		q, _, err := k.Parse(data)
		if (q.Report == nil) == (err == nil) {
			t.Fatalf("quote %v and error %v", q, err)
		}
		_, refused := v.Verify(attest.Evidence{Kind: k.Kind, Data: data}, end, c.At)
		if err != nil && refused == nil {
			t.Fatalf("accepted, and cannot be read: %v", err)
		}
		if refused != nil {
			Failure(t, refused)
		}
	})
}

// FuzzVerify: whatever comes as a quote, the answer is claims or an error, and a
// quote that is accepted says what the first capture says.
func (k Kind[V, C]) FuzzVerify(f *testing.F) {
	c := k.Captures[0]
	v, end := k.Intel(f), k.Endorsements(f, c)
	k.seed(f)
	want := [64]byte(k.Evidence(f, c).Data[k.ReportData:])
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := v.Verify(attest.Evidence{Kind: k.Kind, Data: data}, end, c.At)
		if (claims == nil) == (err == nil) {
			t.Fatalf("claims %v and error %v", claims, err)
		}
		if err == nil && claims.ReportData != want {
			t.Fatal("another quote was accepted")
		}
	})
}
