package dcap

import (
	"slices"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

func TestKindOfTEE(t *testing.T) {
	for tee, want := range map[TEE]attest.Kind{SGX: attest.SGX, TDX: attest.TDX, 1: 0} {
		if got := tee.Kind(); got != want {
			t.Errorf("%s: %s, want %s", tee, got, want)
		}
	}
}

// TestRefusedVouchesForNothing: of what a refused key or document would vouch for,
// nothing is checked, however far the other half of the verification came.
func TestRefusedVouchesForNothing(t *testing.T) {
	byPCK := []string{"hardware.pck", "hardware.tcb_info_platform", "hardware.pck_crl", "hardware.qe_signature", "hardware.qe", "hardware.tdx_module", "hardware.tcb_level"}
	byDocuments := []string{"hardware.tcb_info_platform", "hardware.tcb_info_time", "hardware.qe_identity_time", "hardware.qe", "hardware.tdx_module", "hardware.tcb_level"}
	for name, c := range map[string]struct {
		edit   func(*forged)
		absent []string
	}{
		"stranger's PCK": {func(f *forged) {
			f.chain = func(p *intelforge.Package) []byte {
				return intelforge.PEM(p.PCK.DER, stranger(t).Platform.DER, p.Vendor.Root.DER)
			}
		}, byPCK},
		"stranger's documents": {func(f *forged) { f.documentKey = stranger(t).TCBSigning.Key }, byDocuments},
		"both": {func(f *forged) {
			f.chain = func(p *intelforge.Package) []byte { return intelforge.PEM(p.PCK.DER, p.CA.DER) }
			f.tcbChain = stranger(t).TCBChain()
		}, append(slices.Clone(byPCK), "hardware.root_crl", "hardware.validity")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForged(t, TDX)
			c.edit(f)
			facts, checks := f.verify(t)
			if facts != nil {
				t.Fatal("accepted")
			}
			for _, check := range checks {
				if slices.Contains(c.absent, check.Name) {
					t.Errorf("checked %s", check)
				}
			}
		})
	}
}

// TestZeroEngineLooksAtNothing: the one check says that there is no root.
func TestZeroEngineLooksAtNothing(t *testing.T) {
	for _, tee := range []TEE{SGX, TDX} {
		f := newForged(t, tee)
		q, _ := ReadQuote(f.quote(t), tee)
		if facts, checks := (&Engine{}).Verify(q, f.collateral(t), f.at); facts != nil || !slices.Equal(failed(checks), []string{"hardware.pck_chain untrusted_root"}) || len(checks) != 1 {
			t.Errorf("%s: %v", tee, checks)
		}
	}
}
