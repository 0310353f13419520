package azure_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/form"
)

// FuzzHCL: no bytes make the parser of HCL reports or runtime claims panic.
func FuzzHCL(f *testing.F) {
	for _, m := range machines {
		ev, _ := imported(f, m.name)
		a, err := form.ParseAzure(ev.Data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.HCLReport)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := azure.ParseHCL(data)
		if (h == nil) == (err == nil) {
			t.Fatalf("report %v and error %v", h, err)
		}
		if err != nil {
			return
		}
		if r, err := azure.ParseRuntime(h.Runtime); (r == nil) == (err == nil) {
			t.Fatalf("claims %v and error %v", r, err)
		}
	})
}

// FuzzTrusteeJSON: what is imported is a form that can be read.
func FuzzTrusteeJSON(f *testing.F) {
	for _, m := range machines {
		f.Add(capture(f, m.name+".json"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ev, _, err := azure.FromTrusteeJSON(data)
		if err == nil && !ev.Kind.Valid() {
			t.Errorf("kind %s", ev.Kind)
		}
	})
}

// FuzzVerify: nothing that differs from a forged machine's evidence is accepted.
func FuzzVerify(f *testing.F) {
	ev, end := attesttest.MakeAzure(f, attesttest.TPMNonce())
	v := fakeVerifier(f)
	f.Add(ev.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := v.Verify(attest.Evidence{Kind: attest.AzureSNP, Data: data}, end, attesttest.Epoch())
		if (claims == nil) == (err == nil) {
			t.Fatalf("claims %v and error %v", claims, err)
		}
	})
}
