package nitro_test

import (
	"crypto/sha512"
	"testing"

	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/nitro"
)

func sum384(b []byte) []byte {
	sum := sha512.Sum384(b)
	return sum[:]
}

// The benchmarks verify one real document. Both sides have their roots before
// the clock starts.
//
// Cold is a document never seen before: read it, parse four certificates, check
// four signatures on certificates: the root is pinned, its
// bytes are compared. Then one on the document. Warm is another document of an
// enclave whose chain was verified before.
//
// No public Go library for these documents is among the modules of this
// project, so the peer is the floor: as many verifications on P-384 with the
// standard library as nobody can do without, over ready digests.
func BenchmarkVerifyCold(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		v, ev := awsVerifier(b), production.evidence(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(ev, nil, production.at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor-5-signatures", func(b *testing.B) { casetest.BenchmarkSignatures(b, 5) })
}

func BenchmarkVerifyWarm(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		ev := production.evidence(b)
		chain, err := awsVerifier(b).Endorse(ev, production.at)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chain.Verify(ev, production.at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor-1-signature", func(b *testing.B) { casetest.BenchmarkSignatures(b, 1) })
}

func BenchmarkParseDocument(b *testing.B) {
	data := production.evidence(b).Data
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nitro.ParseDocument(data); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWarmAllocations holds the warm path to its budget, which a slow machine
// cannot hide.
func TestWarmAllocations(t *testing.T) {
	ev := production.evidence(t)
	chain, err := awsVerifier(t).Endorse(ev, production.at)
	if err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(20, func() {
		if _, err := chain.Verify(ev, production.at); err != nil {
			t.Fatal(err)
		}
	})
	if got > 120 {
		t.Errorf("%v allocations, budget 120", got)
	}
}
