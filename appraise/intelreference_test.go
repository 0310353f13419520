package appraise

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/tdx"
)

// TestIntelReferencesDeny: reference values match no claims that lack a report,
// and values that were never set match nothing.
func TestIntelReferencesDeny(t *testing.T) {
	any := register48{any: true}
	for name, c := range map[string]struct {
		values codeValues
		claims attest.Claims
	}{
		"tdx, no detail":     {tdxReference{any, any, any, any, any}, attest.Claims{}},
		"tdx, other detail":  {tdxReference{any, any, any, any, any}, attest.Claims{Detail: &sgx.Claims{Report: &sgx.Report{}}}},
		"tdx, nil detail":    {tdxReference{any, any, any, any, any}, attest.Claims{Detail: (*tdx.Claims)(nil)}},
		"tdx, no report":     {tdxReference{any, any, any, any, any}, attest.Claims{Detail: &tdx.Claims{}}},
		"tdx, zero values":   {tdxReference{}, attest.Claims{Detail: &tdx.Claims{Report: &tdx.Report{}}}},
		"sgx, no detail":     {sgxReference{enclave: true}, attest.Claims{}},
		"sgx, other detail":  {sgxReference{enclave: true}, attest.Claims{Detail: &tdx.Claims{Report: &tdx.Report{}}}},
		"sgx, nil detail":    {sgxReference{enclave: true}, attest.Claims{Detail: (*sgx.Claims)(nil)}},
		"sgx, no report":     {sgxReference{enclave: true}, attest.Claims{Detail: &sgx.Claims{}}},
		"sgx, no references": {sgxReference{}, attest.Claims{Detail: &sgx.Claims{Report: &sgx.Report{}}}},
	} {
		if c.values.matches(&c.claims) {
			t.Errorf("%s: matches", name)
		}
	}
}
