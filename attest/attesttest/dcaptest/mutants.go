package dcaptest

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

// TestMutants changes one to three bytes of the real quotes that are accepted, n
// times: each is refused, or, where the change says nothing (white space between the
// certificates), establishes exactly what the quote itself does.
func (k Kind[V, C]) TestMutants(t *testing.T, n int) {
	type sample struct {
		quote  []byte
		end    attest.Endorsements
		claims *attest.Claims
		Capture
	}
	v, r := k.Intel(t), rand.New(rand.NewPCG(7, 8))
	var samples []sample
	for _, c := range k.Captures {
		ev, end := k.Evidence(t, c), k.Endorsements(t, c)
		if claims, err := v.Verify(ev, end, c.At); err == nil {
			samples = append(samples, sample{ev.Data, end, claims, c})
		}
	}
	same := 0
	for i := range n {
		s := samples[i%len(samples)]
		quote := bytes.Clone(s.quote)
		for range 1 + r.IntN(3) {
			quote[r.IntN(len(quote))] ^= byte(1 + r.IntN(255))
		}
		claims, err := v.Verify(attest.Evidence{Kind: k.Kind, Data: quote}, s.end, s.At)
		switch {
		case (claims == nil) == (err == nil):
			t.Fatalf("%s, mutant %d: claims %v and error %v", s.Name, i, claims, err)
		case err == nil && !reflect.DeepEqual(claims, s.claims):
			t.Fatalf("%s, mutant %d: accepted, with other claims", s.Name, i)
		case err == nil:
			same++
		}
	}
	t.Logf("%d mutants of %d quotes: %d refused, %d say the same", n, len(samples), n-same, same)
}
