package dcap

import "testing"

func TestForgedIsAccepted(t *testing.T) {
	for _, tee := range []TEE{SGX, TDX} {
		f := newForged(t, tee)
		facts, checks := f.verify(t)
		if facts == nil {
			t.Fatal(failed(checks))
		}
		if facts.TCB.Status != UpToDate {
			t.Errorf("%s: %s", tee, facts.TCB.Status)
		}
	}
}
