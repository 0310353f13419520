package attesttest

import (
	"bytes"
	"cmp"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/race"
)

// Harness is one TEE's verifier and something that it accepts.
type Harness struct {
	// Verifier is under test. It is used by many goroutines at once.
	Verifier attest.Verifier
	// Evidence is accepted at At with these Endorsements, and proves ReportData.
	// Every bit of it must count.
	Evidence     attest.Evidence
	Endorsements attest.Endorsements
	At           time.Time
	ReportData   [64]byte
	// Nonce is what Evidence proves instead, if hardware of its kind signs one.
	Nonce []byte
	// Required are the labels without which Evidence must be refused.
	Required []string
	// Unsigned are byte ranges [from, to) of Evidence.Data that nothing
	// protects and that the format does not fix.
	Unsigned [][2]int
	// Padding says that zeros may follow Evidence: it reaches us through buffers
	// of fixed size.
	Padding bool
	// ClaimsKind is the kind of the claims where that is not the verifier's: for
	// composite evidence, whose claims are those of the machine.
	ClaimsKind attest.Kind
	// Stride cuts and flips only every Stride-th byte, for a verifier that
	// builds on another one that passes the whole suite. It must be odd, so
	// that every bit of a byte gets its turn; zero means every byte.
	Stride int
}

// stride is how far apart the bytes are that a sweep over so many changes: never less
// than one. Under the race detector, which makes a signature ten times slower, a long
// sweep leaves out more: its calls come one after the other, and there is nothing in
// them for it to find.
func (h Harness) stride(bytes int) int {
	stride := max(h.Stride, 1)
	if race.Enabled && bytes > 512 {
		return 27 * stride
	}
	return stride
}

// TestVerifier checks the promises of [attest.Verifier] that do not depend on
// what the hardware is. It takes a few thousand calls of Verify.
func TestVerifier(t *testing.T, h Harness) {
	t.Helper()
	if h.Stride < 0 || h.Stride > 0 && h.Stride%2 == 0 {
		t.Fatalf("attesttest: stride %d, expected an odd number or zero", h.Stride)
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"accepts", testAccepts},
		{"kind", testKind},
		{"truncated evidence", testTruncatedEvidence},
		{"trailing bytes", testTrailing},
		{"bit flips", testBitFlips},
		{"oversize", testOversize},
		{"time", testTime},
		{"concurrent use", testConcurrent},
		{"inputs not changed", testInputs},
		{"deterministic", testDeterministic},
		{"unknown endorsements", testUnknownEndorsements},
		{"duplicate endorsements", testDuplicates},
		{"missing endorsements", testMissing},
		{"damaged endorsements", testDamagedEndorsements},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, h) })
	}
}

// verify calls the verifier and checks what must hold of every answer.
func (h Harness) verify(t testing.TB, ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	t.Helper()
	claims, err := h.Verifier.Verify(ev, end, at)
	if (claims == nil) == (err == nil) {
		t.Fatalf("claims %v and error %v, expected exactly one of them", claims, err)
	}
	if err != nil {
		checkRefusal(t, err)
		return nil, err
	}
	h.checkClaims(t, claims, at)
	return claims, nil
}

// checkRefusal expects a Failure to hold a failed check, and each of those to
// say why.
func checkRefusal(t testing.TB, err error) {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		return
	}
	if len(f.Failed()) == 0 {
		t.Errorf("refused without a failed check: %v", err)
	}
	for _, c := range f.Failed() {
		if c.Name == "" || c.Code == "" {
			t.Errorf("failed check %+v, expected a name and a code", c)
		}
	}
}

func (h Harness) checkClaims(t testing.TB, c *attest.Claims, at time.Time) {
	t.Helper()
	kind := cmp.Or(h.ClaimsKind, h.Verifier.Kind())
	if c.Kind != kind || c.Simulated != kind.Simulated() {
		t.Errorf("claims of kind %s, simulated %v, from a verifier of %s", c.Kind, c.Simulated, kind)
	}
	if !c.Endorsed.Contains(at) {
		t.Errorf("endorsed from %s to %s, accepted at %s", c.Endorsed.NotBefore, c.Endorsed.NotAfter, at)
	}
	if len(c.Measurement) == 0 && kind != attest.TPM && !kind.Device() { // several registers do, and no value alone
		t.Error("claims without a measurement")
	}
	if err := attest.FailureOf(c.Checks); err != nil {
		t.Errorf("claims in spite of %v", err)
	}
	names := make(map[string]bool)
	for _, check := range c.Checks {
		if check.Name == "" || names[check.Name] {
			t.Errorf("check name %q is empty or used twice", check.Name)
		}
		names[check.Name] = true
	}
}

// refused expects an error.
func (h Harness) refused(t testing.TB, what string, ev attest.Evidence, end attest.Endorsements, at time.Time) error {
	t.Helper()
	_, err := h.verify(t, ev, end, at)
	if err == nil {
		t.Errorf("%s: accepted", what)
	}
	return err
}

func (h Harness) evidence(data []byte) attest.Evidence {
	return attest.Evidence{Kind: h.Evidence.Kind, Data: data}
}

func testAccepts(t *testing.T, h Harness) {
	claims, err := h.verify(t, h.Evidence, h.Endorsements, h.At)
	if err != nil {
		t.Fatal(err)
	}
	if claims.ReportData != h.ReportData {
		t.Errorf("report data %x, expected %x", claims.ReportData, h.ReportData)
	}
	if !bytes.Equal(claims.Nonce, h.Nonce) {
		t.Errorf("nonce %x, expected %x", claims.Nonce, h.Nonce)
	}
}

func testKind(t *testing.T, h Harness) {
	if h.Verifier.Kind() != h.Evidence.Kind || !h.Evidence.Kind.Valid() {
		t.Fatalf("verifier of %s, evidence of %s", h.Verifier.Kind(), h.Evidence.Kind)
	}
	for k := range attest.Kind(255) {
		if k == h.Evidence.Kind {
			continue
		}
		err := h.refused(t, k.String(), attest.Evidence{Kind: k, Data: h.Evidence.Data}, h.Endorsements, h.At)
		var f *attest.Failure
		if !errors.As(err, &f) || f.Code() != attest.CodeKindMismatch {
			t.Errorf("kind %s: %v, expected code %s", k, err, attest.CodeKindMismatch)
		}
	}
}

func testTruncatedEvidence(t *testing.T, h Harness) {
	for n := 0; n < len(h.Evidence.Data); n += h.stride(len(h.Evidence.Data)) {
		h.refused(t, "truncated", h.evidence(h.Evidence.Data[:n:n]), h.Endorsements, h.At)
	}
	h.refused(t, "nil", h.evidence(nil), h.Endorsements, h.At)
}

func testTrailing(t *testing.T, h Harness) {
	tails := [][]byte{{0xff}, append(make([]byte, 15), 1), h.Evidence.Data}
	if !h.Padding {
		tails = append(tails, []byte{0}, make([]byte, 16))
	}
	for _, tail := range tails {
		h.refused(t, "trailing bytes", h.evidence(slices.Concat(h.Evidence.Data, tail)), h.Endorsements, h.At)
	}
	for i, e := range h.Endorsements {
		end := clone(h.Endorsements)
		end[i].Data = append(end[i].Data, 0)
		h.refused(t, "trailing byte in "+e.Label, h.Evidence, end, h.At)
	}
}

// testBitFlips flips one bit of each byte, each time another one.
func testBitFlips(t *testing.T, h Harness) {
	data := bytes.Clone(h.Evidence.Data)
	for i := 0; i < len(data); i += h.stride(len(data)) {
		if inSpans(h.Unsigned, i) {
			continue
		}
		bit := byte(1) << (i % 8)
		data[i] ^= bit
		if h.refused(t, "bit flip", h.evidence(data), h.Endorsements, h.At) == nil {
			t.Errorf("bit %#x of byte %#x does not count", bit, i)
		}
		data[i] ^= bit
	}
}

func inSpans(spans [][2]int, i int) bool {
	for _, s := range spans {
		if i >= s[0] && i < s[1] {
			return true
		}
	}
	return false
}

// maxAllocated is how much a refusal of too many bytes may allocate: far less
// than the bytes, since they need not be copied.
const maxAllocated = 256 << 10

func testOversize(t *testing.T, h Harness) {
	big := make([]byte, 16<<20)
	copy(big, h.Evidence.Data)
	for _, n := range []int{attest.MaxEvidence, attest.MaxEvidence + 1, len(big)} {
		spent := allocated(func() { h.refused(t, "oversize", h.evidence(big[:n:n]), h.Endorsements, h.At) })
		if spent > maxAllocated {
			t.Errorf("%d bytes allocated to refuse %d bytes of evidence, limit %d", spent, n, maxAllocated)
		}
	}
	for i, e := range h.Endorsements {
		end := clone(h.Endorsements)
		copy(big, e.Data)
		end[i].Data = big
		spent := allocated(func() { h.refused(t, "oversize "+e.Label, h.Evidence, end, h.At) })
		if spent > maxAllocated {
			t.Errorf("%d bytes allocated to refuse an oversize %s, limit %d", spent, e.Label, maxAllocated)
		}
	}
}

// allocated returns the bytes allocated while f runs.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func testTime(t *testing.T, h Harness) {
	h.refused(t, "at the zero time", h.Evidence, h.Endorsements, time.Time{})
	h.refused(t, "in 1970", h.Evidence, h.Endorsements, time.Unix(0, 0))
	h.refused(t, "in 9999", h.Evidence, h.Endorsements, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	claims, err := h.verify(t, h.Evidence, h.Endorsements, h.At)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{claims.Endorsed.NotBefore, claims.Endorsed.NotAfter} {
		if _, err := h.verify(t, h.Evidence, h.Endorsements, at); err != nil {
			t.Errorf("endorsed at %s but refused: %v", at, err)
		}
	}
	h.refused(t, "before anything is valid", h.Evidence, h.Endorsements, claims.Endorsed.NotBefore.Add(-time.Second))
	h.refused(t, "after something has expired", h.Evidence, h.Endorsements, claims.Endorsed.NotAfter.Add(time.Second))
	zone := time.FixedZone("elsewhere", -11*3600)
	elsewhere, err := h.verify(t, h.Evidence, h.Endorsements, h.At.In(zone))
	if err != nil || !reflect.DeepEqual(elsewhere, claims) {
		t.Errorf("the time zone makes a difference: %v", err)
	}
}

func testConcurrent(t *testing.T, h Harness) {
	want, err := h.verify(t, h.Evidence, h.Endorsements, h.At)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(h.Evidence.Data)
	bad[len(bad)/2] ^= 1
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if i%2 == 1 {
				h.refused(t, "bad evidence", h.evidence(bad), h.Endorsements, h.At)
				return
			}
			got, err := h.verify(t, h.Evidence, h.Endorsements, h.At)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("other claims when used concurrently: %v", err)
			}
		})
	}
	wg.Wait()
}

func testInputs(t *testing.T, h Harness) {
	data, end := bytes.Clone(h.Evidence.Data), clone(h.Endorsements)
	claims, err := h.verify(t, h.evidence(data), end, h.At)
	if err != nil {
		t.Fatal(err)
	}
	h.refused(t, "too late", h.evidence(data), end, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if !bytes.Equal(data, h.Evidence.Data) || !reflect.DeepEqual(end, clone(h.Endorsements)) {
		t.Fatal("the verifier changed its inputs")
	}
	want, err := h.verify(t, h.Evidence, h.Endorsements, h.At)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	for _, e := range end {
		clear(e.Data)
	}
	if !reflect.DeepEqual(claims, want) {
		t.Error("claims changed with the bytes they were read from")
	}
}

func testDeterministic(t *testing.T, h Harness) {
	a, errA := h.verify(t, h.Evidence, h.Endorsements, h.At)
	b, errB := h.verify(t, h.Evidence, h.Endorsements, h.At)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("two answers to one question: %v, %v", errA, errB)
	}
	late := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	errA = h.refused(t, "too late", h.Evidence, h.Endorsements, late)
	errB = h.refused(t, "too late", h.Evidence, h.Endorsements, late)
	if errA != nil && errB != nil && errA.Error() != errB.Error() {
		t.Errorf("two refusals for one reason:\n%v\n%v", errA, errB)
	}
	reversed := clone(h.Endorsements)
	slices.Reverse(reversed)
	if c, err := h.verify(t, h.Evidence, reversed, h.At); err != nil || !reflect.DeepEqual(a, c) {
		t.Errorf("the order of the endorsements makes a difference: %v", err)
	}
}

func testUnknownEndorsements(t *testing.T, h Harness) {
	want, err := h.verify(t, h.Evidence, h.Endorsements, h.At)
	if err != nil {
		t.Fatal(err)
	}
	junk := attest.Endorsement{Label: "attesttest/unknown", Data: []byte("junk")}
	end := append(attest.Endorsements{junk}, append(clone(h.Endorsements), junk)...)
	got, err := h.verify(t, h.Evidence, end, h.At)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("an endorsement with an unknown label makes a difference: %v", err)
	}
}

func testDuplicates(t *testing.T, h Harness) {
	for _, e := range h.Endorsements {
		h.refused(t, "the same "+e.Label+" twice", h.Evidence, append(clone(h.Endorsements), e), h.At)
		other := attest.Endorsement{Label: e.Label, Data: []byte("other")}
		h.refused(t, "two of "+e.Label, h.Evidence, append(clone(h.Endorsements), other), h.At)
		h.refused(t, "two of "+e.Label, h.Evidence, append(attest.Endorsements{other}, clone(h.Endorsements)...), h.At)
	}
}

func testMissing(t *testing.T, h Harness) {
	for _, label := range h.Required {
		end := slices.DeleteFunc(clone(h.Endorsements), func(e attest.Endorsement) bool { return e.Label == label })
		if len(end) == len(h.Endorsements) {
			t.Errorf("the harness has no endorsement %q", label)
		}
		h.refused(t, "without "+label, h.Evidence, end, h.At)
	}
}

// testDamagedEndorsements truncates each at every offset and flips a bit of
// each byte. An endorsement that was given must be right, even if it could have
// been left out.
func testDamagedEndorsements(t *testing.T, h Harness) {
	for i, e := range h.Endorsements {
		end := clone(h.Endorsements)
		// A text may end with or without white space.
		for n := 0; n < len(bytes.TrimRight(e.Data, "\r\n")); n += h.stride(len(e.Data)) {
			end[i].Data = e.Data[:n:n]
			h.refused(t, "truncated "+e.Label, h.Evidence, end, h.At)
		}
		end[i].Data = bytes.Clone(e.Data)
		for n := 0; n < len(e.Data); n += h.stride(len(e.Data)) {
			bit := byte(1) << (n % 8)
			end[i].Data[n] ^= bit
			if h.refused(t, "damaged "+e.Label, h.Evidence, end, h.At) == nil {
				t.Errorf("bit %#x of byte %#x of %s does not count", bit, n, e.Label)
			}
			end[i].Data[n] ^= bit
		}
	}
}
