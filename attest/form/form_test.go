package form_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

func quote() form.TPM {
	return form.TPM{
		Quote: []byte("quote"), Signature: []byte("signature"), AKPublic: []byte("key"), Bank: 0x000B,
		PCRs: []form.PCR{{Index: 0, Value: make([]byte, 32)}, {Index: 23, Value: bytes.Repeat([]byte{1}, 32)}},
	}
}

func composite(t testing.TB) attest.Evidence {
	t.Helper()
	ev, err := form.EncodeComposite([]attest.Evidence{{Kind: attest.TDX, Data: []byte("a")}, {Kind: attest.NVIDIAGPU, Data: []byte("b")}})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestRoundTrip(t *testing.T) {
	if got, err := form.ParseTPM(quote().Encode()); err != nil || !reflect.DeepEqual(got, quote()) {
		t.Errorf("TPM: %+v, %v", got, err)
	}
	azure := form.Azure{HCLReport: []byte("hcl"), TDQuote: []byte("td"), TPM: quote()}
	if got, err := form.ParseAzure(azure.Encode()); err != nil || !reflect.DeepEqual(got, azure) {
		t.Errorf("Azure: %+v, %v", got, err)
	}
	gpu := form.GPU{Report: []byte("report"), Chain: []byte("chain")}
	if got, err := form.ParseGPU(gpu.Encode()); err != nil || !reflect.DeepEqual(got, gpu) {
		t.Errorf("GPU: %+v, %v", got, err)
	}
	if got, err := form.ParseComposite(composite(t).Data); err != nil || len(got) != 2 || got[1].Kind != attest.NVIDIAGPU || string(got[1].Data) != "b" {
		t.Errorf("composite: %+v, %v", got, err)
	}
}

func TestRefuses(t *testing.T) {
	falling := quote()
	falling.PCRs[0].Index = 23
	high := quote()
	high.PCRs[1].Index = 24
	wideBank := bytes.Replace(quote().Encode(), []byte{0, 0, 0, 2, 0, 0x0B}, []byte{0, 0, 0, 1, 0x0B}, 1)
	azure := form.Azure{HCLReport: []byte("hcl"), TPM: quote()}.Encode()
	many := append([]byte("BBXTPMQ1"), make([]byte, 12)...) // three empty parts
	many = append(many, 0, 0, 0, 2, 0, 0x0B, form.MaxPCRs+1)
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"same PCR twice":     {second(form.ParseTPM(falling.Encode())), "PCR 23 after PCR 23"},
		"PCR 24":             {second(form.ParseTPM(high.Encode())), "PCR 24"},
		"bank of one byte":   {second(form.ParseTPM(wideBank)), "bank of 1 bytes"},
		"25 PCRs":            {second(form.ParseTPM(many)), "25 items, limit 24"},
		"other form":         {second(form.ParseGPU(quote().Encode())), "expected \"BBXNVGP1\""},
		"trailing":           {second(form.ParseTPM(append(quote().Encode(), 0))), "1 bytes after the end"},
		"Azure, trailing":    {second(form.ParseAzure(append(azure, 0))), "1 bytes after the end"},
		"Azure, other quote": {second(form.ParseAzure(bytes.Replace(azure, []byte("BBXTPMQ1"), []byte("BBXTPMQ2"), 1))), "TPM quote"},
		"GPU, trailing":      {second(form.ParseGPU(append(form.GPU{}.Encode(), 0))), "1 bytes after the end"},
		"GPU, long chain":    {second(form.ParseGPU(form.GPU{Chain: make([]byte, 32<<10+1)}.Encode())), "limit 32768"},
		"nested":             {second(form.ParseComposite(nested(t))), "inside a composite"},
		"unknown kind":       {second(form.ParseComposite(bytes.Replace(composite(t).Data, []byte("tdx"), []byte("tdy"), 1))), "tdy"},
		"one part":           {second(form.ParseComposite(append([]byte("BBXCOMP1\x01"), composite(t).Data[9:9+4+3+4+1]...))), "1 parts"},
		"33 parts":           {second(form.ParseComposite([]byte("BBXCOMP1\x21"))), "limit 32"},
		"trailing part":      {second(form.ParseComposite(append(composite(t).Data, 0))), "1 bytes after the end"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v, expected an error about %q", name, c.err, c.says)
		}
	}
	for _, n := range []int{0, 1, form.MaxParts + 1} {
		if _, err := form.EncodeComposite(make([]attest.Evidence, n)); err == nil {
			t.Errorf("composite of %d parts encoded", n)
		}
	}
	whole := composite(t).Data
	for i := range whole {
		if _, err := form.ParseComposite(whole[:i]); err == nil {
			t.Errorf("composite cut at %d accepted", i)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func nested(t testing.TB) []byte {
	ev, err := form.EncodeComposite([]attest.Evidence{{Kind: attest.TDX, Data: []byte("a")}, composite(t)})
	if err != nil {
		t.Fatal(err)
	}
	return ev.Data
}

func FuzzForms(f *testing.F) {
	f.Add(quote().Encode())
	f.Add(form.Azure{HCLReport: []byte("hcl"), TPM: quote()}.Encode())
	f.Add(form.GPU{Report: []byte("report"), Chain: []byte("chain")}.Encode())
	f.Add(composite(f).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := form.ParseTPM(data); err == nil && !bytes.Equal(q.Encode(), data) {
			t.Error("TPM: two encodings of one quote")
		}
		if a, err := form.ParseAzure(data); err == nil && !bytes.Equal(a.Encode(), data) {
			t.Error("Azure: two encodings")
		}
		if g, err := form.ParseGPU(data); err == nil && !bytes.Equal(g.Encode(), data) {
			t.Error("GPU: two encodings")
		}
		parts, err := form.ParseComposite(data)
		if err != nil {
			return
		}
		if ev, err := form.EncodeComposite(parts); err != nil || !bytes.Equal(ev.Data, data) {
			t.Error("composite: two encodings")
		}
	})
}
