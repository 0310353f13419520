package dcap

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
)

func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		name, quote, collateral, at string
		tee                         TEE
	}{
		{"sgx-v3", "sgx/sgx_quote", "sgx/sgx_quote_collateral.json", "2025-06-20", SGX},
		{"tdx-v4", "tdx/tdx_quote", "tdx/tdx_quote_collateral.json", "2025-06-20", TDX},
	} {
		quote, end, at := read(b, c.quote), collateralFile(b, c.collateral), date(b, c.at)
		e, err := NewEngine(c.tee)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/cold", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				q, _ := ReadQuote(quote, c.tee)
				if f, checks := e.Verify(q, end, at); f == nil {
					b.Fatal(failed(checks))
				}
			}
		})
		q, _ := ReadQuote(quote, c.tee)
		chain, err := e.Endorse(append(attest.Endorsements{{Label: attest.LabelIntelPCKChain, Data: q.PCKChain}}, end...), at)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/warm", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				q, _ := ReadQuote(quote, c.tee)
				if f, checks := chain.Verify(q, at); f == nil {
					b.Fatal(failed(checks))
				}
			}
		})
	}
}
