package snp_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/snp"
)

var mutants = flag.Int("mutants", 120, "how many mutants of each sort are shown to both libraries")

// tally counts what two libraries say.
type tally struct {
	both, neither int
	onlyPeer      map[string]int // accepted by the peer, refused by ours: by our first failed check
}

func newTally() *tally { return &tally{onlyPeer: map[string]int{}} }

func (y *tally) add(t *testing.T, ours, peer error) {
	t.Helper()
	switch {
	case ours == nil && peer == nil:
		y.both++
	case ours != nil && peer != nil:
		y.neither++
	case peer == nil:
		failed := failure(t, ours).Failed()[0]
		y.onlyPeer[fmt.Sprintf("`%s` `%s`", failed.Name, failed.Code)]++
	default:
		t.Errorf("ours accepts what the peer refuses: %v", peer)
	}
}

func (y *tally) log(t *testing.T) {
	t.Helper()
	t.Logf("both accept %d, both refuse %d", y.both, y.neither)
	for _, check := range slices.Sorted(maps.Keys(y.onlyPeer)) {
		t.Logf("the peer accepts, ours refuses by %s: %d", check, y.onlyPeer[check])
	}
	attesttest.Explained(t, "go-sev-guest", slices.Sorted(maps.Keys(y.onlyPeer)))
}

// peerVerify asks go-sev-guest.
func peerVerify(report []byte, chain *spb.CertificateChain, opts *verify.Options) error {
	parsed, err := abi.ReportToProto(report)
	if err != nil {
		return err
	}
	return verify.SnpAttestation(&spb.Attestation{Report: parsed, CertificateChain: chain}, opts)
}

// TestCapturesAgainstPeer changes bytes of real reports and certificates: ours
// never accepts what go-sev-guest refuses.
func TestCapturesAgainstPeer(t *testing.T) {
	v, total, r := amdVerifier(t), newTally(), rand.New(rand.NewPCG(1, 2))
	var known []machine
	for _, m := range machines {
		if peerVerify(m.evidence(t).Data, m.peerChain(t), m.peerOptions(t)) == nil {
			known = append(known, m)
		}
	}
	if len(known) < 5 {
		t.Fatalf("the peer accepts only %d of the captures", len(known))
	}
	for range *mutants {
		m := known[r.IntN(len(known))]
		report, vek := bytes.Clone(m.evidence(t).Data), bytes.Clone(m.endorsements(t)[0].Data)
		if r.IntN(3) == 0 {
			damage(r, vek)
		} else {
			damage(r, report)
		}
		chain := &spb.CertificateChain{VcekCert: vek}
		if m.signer == snp.SignerVLEK {
			chain = &spb.CertificateChain{VlekCert: vek}
		}
		_, ours := v.Verify(attest.Evidence{Kind: attest.SNP, Data: report}, attest.Endorsements{{Label: attest.LabelSNPVEK, Data: vek}}, m.at)
		total.add(t, ours, peerVerify(report, chain, m.peerOptions(t)))
	}
	total.log(t)
}

// damage changes one place; one time in four it changes nothing that counts.
func damage(r *rand.Rand, b []byte) {
	at := r.IntN(len(b))
	n := min(1+r.IntN(8), len(b)-at)
	switch r.IntN(5) {
	case 0:
		b[at] = byte(r.Uint32())
	case 1:
		clear(b[at : at+n])
	case 2:
		copy(b[at:at+n], bytes.Repeat([]byte{0xff}, n))
	default:
		b[at] ^= 1 << r.IntN(8)
	}
}

// TestForgedAgainstPeer changes reports and certificates before a vendor that both
// libraries trust signs them, so that the changes themselves are judged.
func TestForgedAgainstPeer(t *testing.T) {
	amd := attesttest.New()
	v, total, r := forgedVerifier(t, amd, attest.SNP), newTally(), rand.New(rand.NewPCG(3, 4))
	opts := forgedPeerOptions(t, amd)
	for range *mutants {
		ev, end := amd.Make(t, [64]byte{1}, forgedMutant(r)...)
		vek, _, err := end.Get(attest.LabelSNPVEK)
		if err != nil {
			t.Fatal(err)
		}
		chain := &spb.CertificateChain{VcekCert: vek}
		if key := binary.LittleEndian.Uint32(ev.Data[0x48:]) >> 2 & 7; key == 1 {
			chain = &spb.CertificateChain{VlekCert: vek}
		}
		_, ours := v.Verify(ev, end, attesttest.Epoch())
		peer := peerVerify(ev.Data, chain, opts)
		if ours == nil && peer != nil && unknownToPeer(ev.Data) {
			continue // docs/peers.md, "Models of a line"
		}
		total.add(t, ours, peer)
	}
	total.log(t)
	if total.both == 0 || total.neither == 0 {
		t.Error("the mutants are all of one sort")
	}
}

// unknownToPeer reports whether the peer knows no product for the report's processor.
func unknownToPeer(report []byte) bool {
	eax := abi.FmsToCpuid1Eax(report[0x188], report[0x189], report[0x18a])
	return abi.SevProductFromCpuid1Eax(eax).Name == spb.SevProduct_SEV_PRODUCT_UNKNOWN
}

// forgedMutant is a Genoa or Milan machine with up to two things changed.
func forgedMutant(r *rand.Rand) []attesttest.Option {
	opts := []attesttest.Option{attesttest.On(attesttest.Genoa, 3)}
	if r.IntN(4) == 0 {
		opts = []attesttest.Option{attesttest.On(attesttest.Milan, 3)}
	}
	seed := r.Uint64()
	own := func() *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }
	for range 1 + r.IntN(2) {
		switch r.IntN(6) {
		case 0, 1, 2:
			opts = append(opts, attesttest.EditUnsigned(func(report []byte) { damage(own(), report[:0x2a0]) }))
		case 3:
			opts = append(opts, attesttest.EditCert(func(c *attesttest.Cert) { changeTCB(own(), c) }))
		case 4:
			opts = append(opts, attesttest.EditTemplate(func(c *x509.Certificate) { changeTemplate(own(), c) }))
		default:
			opts = append(opts, attesttest.PolicyBits(1<<r.IntN(26)), attesttest.PlatformBits(1<<r.IntN(10)))
		}
	}
	return opts
}

func changeTCB(r *rand.Rand, c *attesttest.Cert) {
	for _, part := range []*uint8{&c.TCB.Bootloader, &c.TCB.TEE, &c.TCB.SNP, &c.TCB.Microcode} {
		if r.IntN(2) == 0 {
			*part += uint8(r.IntN(3)) - 1
		}
	}
}

func changeTemplate(r *rand.Rand, c *x509.Certificate) {
	switch r.IntN(4) {
	case 0:
		c.NotAfter = c.NotBefore.AddDate(0, 0, r.IntN(600))
	case 1:
		c.NotBefore = attesttest.Epoch().AddDate(0, 0, r.IntN(20)-10)
	case 2:
		c.Subject.CommonName = []string{"SEV-VLEK", "VCEK", "SEV-VCEK", ""}[r.IntN(4)]
	default:
		if n := len(c.ExtraExtensions); n != 0 {
			i := r.IntN(n)
			if r.IntN(2) == 0 {
				c.ExtraExtensions = slices.Delete(slices.Clone(c.ExtraExtensions), i, i+1)
				return
			}
			c.ExtraExtensions = slices.Clone(c.ExtraExtensions)
			value := bytes.Clone(c.ExtraExtensions[i].Value)
			damage(r, value)
			c.ExtraExtensions[i].Value = value
		}
	}
}

func forgedPeerOptions(t testing.TB, amd *attesttest.AMD) *verify.Options {
	t.Helper()
	roots := make(map[string][]*trust.AMDRootCerts)
	for _, line := range []attesttest.Line{attesttest.Milan, attesttest.Genoa} {
		c := amd.Roots(t, line)
		roots[line.String()] = []*trust.AMDRootCerts{{
			Product: line.String(), ProductCerts: &trust.ProductCerts{Ark: c.ARK, Ask: c.ASK, Asvk: c.ASVK},
		}}
	}
	return &verify.Options{DisableCertFetching: true, Now: attesttest.Epoch(), TrustedRoots: roots}
}
