package appraise

import (
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestReferenceIdentifies: reference values of which everything is any, or what
// every machine has, say nothing about the code. One value makes them say it.
func TestReferenceIdentifies(t *testing.T) {
	v48, v32 := strings.Repeat("ab", 48), strings.Repeat("ab", 32)
	for _, c := range []struct{ section, format, nothing, something string }{
		{"tdx", "{mrtd: any, rtmr0: any, rtmr1: %s, rtmr2: any, rtmr3: zero}", "any", v48},
		{"tdx", "{mrtd: %s, rtmr0: any, rtmr1: any, rtmr2: any, rtmr3: any}", "any", v48},
		{"nitro", "{pcr0: any, pcr1: any, pcr2: any, pcr3: %s}", "none", v48},
		{"nitro", "{pcr0: any, pcr1: any, pcr2: %s, pcr16: " + v48 + "}", "any", v48},
		{"tpm", "{pcrs: {pcr0: zero, pcr2: any, pcr4: %s, pcr7: any, pcr9: any, pcr11: any}}", "any", v32},
		{"tpm", "{pcrs: {pcr0: zero, pcr2: any, pcr4: any, pcr7: any, pcr9: any, pcr11: any, pcr14: %s, pcr15: " + v32 + "}}", "zero", v32},
		{"azure-sev-snp", "{measurement: " + v48 + ", pcrs: {pcr4: any, pcr7: any, pcr9: any, pcr11: %s}}", "any", v32},
		{"azure-tdx", "{measurement: %s, pcrs: {pcr4: any, pcr7: " + v32 + ", pcr9: any, pcr11: any}}", "any", v48},
		{"azure-tdx", "{measurement: " + v48 + ", pcrs: {pcr4: any, pcr7: any, pcr9: any, pcr11: %s, pcr23: " + v32 + "}}", "zero", v32},
	} {
		for word, want := range map[string]bool{c.nothing: false, c.something: true} {
			trust, err := ParseTrust([]byte("version: 1\naccept:\n  - {name: a, " + c.section + ": " + fmt.Sprintf(c.format, word) + ", policy: any}\n"))
			if err != nil {
				t.Fatal(err)
			}
			kind := trust.Kinds()[0]
			if got := trust.accept[0].identifies(kind); got != want {
				t.Errorf("%s with %.8s: %v", c.section, word, got)
			}
		}
	}
	if (reference{}).identifies(attest.TDX) || (snpReference{}).identifies() || (sgxReference{}).identifies() {
		t.Error("no reference values identify something")
	}
}

// TestAnyCode: a box is not trusted for code that nobody named, and code that
// somebody named is not hidden by an entry that accepts all.
func TestAnyCode(t *testing.T) {
	const anything = "  - {name: anything, nitro: {pcr0: any, pcr1: any, pcr2: any}, policy: any}\n"
	exact := "  - {name: exact, nitro: {" + imageRegisters() + "}, policy: any}\n"
	for name, c := range map[string]struct {
		accept, reference string
		verdict           Verdict
		want              attest.Status
	}{
		"anything":        {anything, "anything", Partial, attest.Skip},
		"exact":           {exact, "exact", Trusted, attest.Pass},
		"anything, exact": {anything + exact, "exact", Trusted, attest.Pass},
	} {
		trust, err := ParseTrust([]byte("version: 1\naccept:\n" + c.accept))
		if err != nil {
			t.Fatal(err)
		}
		r := trust.Appraise(onConnection(t), attesttest.Epoch())
		if r.Verdict() != c.verdict || r.Code() != c.reference {
			t.Errorf("%s: %s as %s, expected %s as %s: %v", name, r.Verdict(), r.Code(), c.verdict, c.reference, r.Err())
		}
		for _, check := range r.Checks() {
			if check.Name == checkMeasurement && check.Status != c.want {
				t.Errorf("%s: %s", name, check)
			}
		}
	}
}
