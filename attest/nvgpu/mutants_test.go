package nvgpu_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/form"
)

var mutantCount = flag.Int("mutants", 160, "how many damaged pieces of evidence TestMutants verifies")

// TestMutants damages the evidence of real devices and the manifests and answers
// of a forged one. None is accepted, unless the damage left what counts as it was.
func TestMutants(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type seed struct {
		v    attest.Verifier
		ev   attest.Evidence
		end  attest.Endorsements
		from capture
	}
	var seeds []seed
	for _, c := range captures {
		ev := c.evidence(t)[0]
		seeds = append(seeds, seed{nvidiaVerifier(t, ev.Kind), ev, c.endorsements(t), c})
	}
	// Manifests and answers apart, so that a mutant of one does not cost the other.
	for _, without := range []attesttest.GPUOption{attesttest.NoRIMs(), attesttest.NoOCSP()} {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, without)
		seeds = append(seeds, seed{forgedVerifier(t, attest.NVIDIAGPU), ev, end, capture{name: "forged", at: attesttest.Epoch()}})
	}
	refused := make(map[attest.Code]int)
	for i := range *mutantCount {
		s := seeds[i%len(seeds)]
		data, more := s.ev.Data, s.end
		if target := random.IntN(1 + len(s.end)); target == 0 {
			data = mutate(random, data)
		} else {
			more = append(attest.Endorsements(nil), s.end...)
			more[target-1].Data = mutate(random, more[target-1].Data)
		}
		claims, err := s.v.Verify(attest.Evidence{Kind: s.ev.Kind, Data: data}, more, s.from.at)
		if (claims == nil) == (err == nil) {
			t.Fatalf("claims %v and error %v", claims, err)
		}
		if err == nil && !sameSigned(s.ev.Data, data) {
			t.Fatalf("mutant %d of %s accepted", i, s.from.name)
		}
		var f *attest.Failure
		if errors.As(err, &f) {
			refused[f.Code()]++
		}
	}
	t.Logf("%d mutants; refused: %v", *mutantCount, refused)
}

// mutate changes a few bytes, or moves, cuts or repeats a piece.
func mutate(random *rand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	at, n := random.IntN(len(out)), 1+random.IntN(16)
	end := min(at+n, len(out))
	switch random.IntN(5) {
	case 0:
		out[at] ^= 1 << random.IntN(8)
	case 1:
		for i := at; i < end; i++ {
			out[i] = byte(random.Uint32())
		}
	case 2:
		out = append(out[:at], out[end:]...)
	case 3:
		out = append(out[:end:end], append(bytes.Clone(out[at:end]), out[end:]...)...)
	default:
		copy(out[at:], out[random.IntN(len(out)):])
	}
	return out
}

// sameSigned reports whether two pieces of evidence have the same report.
func sameSigned(a, b []byte) bool {
	x, errX := form.ParseGPU(a)
	y, errY := form.ParseGPU(b)
	return errX == nil && errY == nil && bytes.Equal(x.Report, y.Report)
}
