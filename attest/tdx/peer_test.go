package tdx_test

import (
	"bytes"
	"crypto/x509"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/dcaptest"
	"github.com/blindbox/blindbox/attest/tdx"
)

var mutants = flag.Int("mutants", 150, "how many mutants are shown to both libraries")

// peerStricter are refusals of the peer where ours makes a claim instead, which
// the appraisal then judges.
func peerStricter() []string {
	return []string{
		"unable to find latest status of TCB", // any status but UpToDate: ours is a claim
	}
}

// sample is one quote with its collateral, in an order that labels gives.
type sample struct {
	quote []byte
	end   attest.Endorsements
}

// mutate changes one of the pieces. The chain of the documents is left alone: the
// peer takes it from another place.
func (s sample) mutate(r *rand.Rand) sample {
	out := sample{bytes.Clone(s.quote), slices.Clone(s.end)}
	labels := []string{attest.LabelIntelTCBInfo, attest.LabelIntelQEIdentity, attest.LabelIntelPCKCRL, attest.LabelIntelRootCRL}
	if r.IntN(10) < 6 {
		out.quote = mutateBytes(r, out.quote)
		return out
	}
	label := labels[r.IntN(len(labels))]
	for i, e := range out.end {
		if e.Label == label {
			out.end[i].Data = mutateBytes(r, bytes.Clone(e.Data))
		}
	}
	return out
}

func mutateBytes(r *rand.Rand, b []byte) []byte {
	at := r.IntN(len(b))
	n := min(1+r.IntN(16), len(b)-at)
	switch r.IntN(8) {
	case 0, 1, 2:
		b[at] ^= 1 << r.IntN(8)
	case 3:
		b[at] = byte(r.Uint32())
	case 4:
		clear(b[at : at+n])
	case 5:
		b = slices.Insert(b, at, byte(r.Uint32()))
	case 6:
		b = slices.Delete(b, at, at+n)
	case 7:
		from := r.IntN(len(b) - n + 1)
		copy(b[at:at+n], bytes.Clone(b[from:from+n]))
	}
	return b
}

// TestAgainstPeer: ours accepts nothing that go-tdx-guest refuses, but for the
// reasons listed; where the peer accepts and ours refuses, the log counts why.
func TestAgainstPeer(t *testing.T) {
	c := benchCapture(t)
	v, good := quotes().Intel(t), sample{quotes().Evidence(t, c).Data, quotes().Endorsements(t, c)}
	roots, r := intelPool(t, c), rand.New(rand.NewPCG(1, 2))
	counts, stricter := map[string]int{}, map[string]int{}
	for i := range *mutants {
		m := good
		if i > 0 {
			m = good.mutate(r)
		}
		theirs := peerRecovered(newPeerGetter(t, quotes().Evidence(t, c), m.end), roots, c, m.quote)
		claims, err := v.Verify(attest.Evidence{Kind: attest.TDX, Data: m.quote}, m.end, c.At)
		switch {
		case i == 0 && (theirs != nil || err != nil):
			t.Fatalf("the capture itself: peer %v, ours %v", theirs, err)
		case theirs != nil && err == nil:
			why := listedReason(theirs)
			if why == "" {
				t.Errorf("mutant %d: ours accepts, peer: %v", i, theirs)
			}
			counts["ours accepts, peer refuses: "+why]++
			_ = claims.Detail.(*tdx.Claims)
		case theirs == nil && err != nil:
			f := dcaptest.Failure(t, err).Failed()[0]
			stricter[fmt.Sprintf("`%s` `%s`", f.Name, f.Code)]++
			counts["peer accepts, ours refuses"]++
		case err == nil:
			counts["both accept"]++
		default:
			counts["both refuse"]++
		}
	}
	for _, table := range []map[string]int{counts, stricter} {
		for _, k := range slices.Sorted(maps.Keys(table)) {
			t.Logf("%6d %s", table[k], k)
		}
	}
	attesttest.Explained(t, "go-tdx-guest", slices.Sorted(maps.Keys(stricter)))
}

// peerRecovered counts a panic of the peer as a refusal.
func peerRecovered(g peerGetter, roots *x509.CertPool, c dcaptest.Capture, quote []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	return peerVerify(g, roots, c.At, quote)
}

type panicError struct{}

func (panicError) Error() string { return "panic" }

var errPanic = panicError{}

func listedReason(err error) string {
	for _, reason := range peerStricter() {
		if strings.Contains(err.Error(), reason) {
			return reason
		}
	}
	return ""
}

// TestCapturesAgainstPeer: what both say of each real quote, with the reason
// where they differ.
func TestCapturesAgainstPeer(t *testing.T) {
	const noCRL = "no CRL: ours says in its claims that none was checked"
	differ := map[string]string{
		"v4-oasis":  noCRL,
		"v4-qvl":    "the peer compares FMSPCs in hex with regard to case",
		"v5-sample": "the peer reads no quote of version 5",

		"v4-oasis-trailing-in-force": noCRL,
	}
	v := quotes().Intel(t)
	for _, c := range captures() {
		ev, end := quotes().Evidence(t, c), quotes().Endorsements(t, c)
		theirs := peerRecovered(newPeerGetter(t, ev, end), intelPool(t, benchCapture(t)), c, ev.Data)
		_, err := v.Verify(ev, end, c.At)
		if why := differ[c.Name]; (theirs == nil) == (err == nil) && why != "" || (theirs != nil && err == nil) && why == "" {
			t.Errorf("%s: peer %v, ours %v, listed: %q", c.Name, theirs, err, why)
		}
		t.Logf("%s: peer %v; ours %v", c.Name, theirs, err)
	}
}
