package composite

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/sim"
)

var today = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func clock() time.Time { return today }

// sharedRoot is made once, since RSA keys are slow to make.
var sharedRoot = sync.OnceValues(func() (*sim.Root, error) { return sim.NewRoot(nil, today) })

// key is what genuine devices of this test have in common.
var key = []byte("the vendor's")

// deviceEvidence is a device's id, the nonce it signs and a signature, with one
// byte that the signature does not cover: two signatures by one device.
func deviceEvidence(id byte, nonce [32]byte) []byte {
	body := append([]byte{id, 0}, nonce[:]...)
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(body)
}

type deviceClaims struct{ id string }

func (c *deviceClaims) Identity() string { return c.id }

// fakeDevice verifies deviceEvidence. Signatures under the variant keys count
// too, so that one device can make two of them.
type fakeDevice struct {
	kind   attest.Kind
	err    error // instead of a verdict
	silent bool  // neither
	other  bool  // claims of another kind
}

func (f fakeDevice) Kind() attest.Kind { return f.kind }

func (f fakeDevice) Verify(ev attest.Evidence, _ attest.Endorsements, at time.Time) (*attest.Claims, error) {
	switch {
	case f.err != nil || f.silent:
		return nil, f.err
	case len(ev.Data) != 66 || ev.Data[1] > 1:
		return nil, attest.NewFailure("hardware.report", attest.CodeMalformed, fmt.Sprint(len(ev.Data)), "66 bytes")
	}
	body := bytes.Clone(ev.Data[:34])
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), ev.Data[34:]) {
		return nil, attest.NewFailure("hardware.signature", attest.CodeBadSignature, "another key", "the vendor's")
	}
	c := &attest.Claims{
		Kind: f.kind, Nonce: bytes.Clone(ev.Data[2:34]), Measurement: []byte{1},
		Endorsed: attest.Validity{NotBefore: today.AddDate(-1, 0, 0), NotAfter: today.AddDate(0, 0, 1)},
		Detail:   &deviceClaims{strings.Trim(string(ev.Data[:1]), "\x00")},
		Checks:   []attest.Check{{Name: "hardware.signature", Status: attest.Pass}},
	}
	if !c.Endorsed.Contains(at) {
		return nil, attest.NewFailure("hardware.validity", attest.CodeExpired, at.String(), "in force")
	}
	if f.other {
		c.Kind = attest.SNP
	}
	return c, nil
}

// rig is a simulated machine and two devices that all prove one statement.
type rig struct {
	machine   attest.Verifier
	parts     []attest.Evidence
	end       attest.Endorsements
	bound     attest.Bound
	verifiers []attest.Verifier
}

func newRig(t testing.TB) *rig {
	t.Helper()
	root, err := sharedRoot()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{}
	r.bound, err = attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: attest.Digest{4}, NotBefore: today, NotAfter: today.Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	a, err := root.NewAttester(sim.Box{Measurement: sim.Measure([]byte("code")), HostData: [32]byte{7}}, clock)
	if err != nil {
		t.Fatal(err)
	}
	ev, end, err := a.Attest(context.Background(), r.bound)
	if err != nil {
		t.Fatal(err)
	}
	if r.machine, err = sim.NewVerifier(root.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	r.end = end
	r.parts = []attest.Evidence{ev, r.gpu('a'), r.gpu('b')}
	r.verifiers = []attest.Verifier{r.machine, fakeDevice{kind: attest.NVIDIAGPU}}
	return r
}

func (r *rig) gpu(id byte) attest.Evidence {
	return attest.Evidence{Kind: attest.NVIDIAGPU, Data: deviceEvidence(id, r.bound.Nonce(attest.NVIDIAGPU))}
}

func (r *rig) verifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := NewVerifier(r.verifiers...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r *rig) evidence(t testing.TB) attest.Evidence {
	t.Helper()
	ev, err := form.EncodeComposite(r.parts)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestContract(t *testing.T) {
	r := newRig(t)
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: r.verifier(t), Evidence: r.evidence(t), Endorsements: r.end, At: today,
		ReportData: r.bound.Bytes(), ClaimsKind: attest.SimSNP, Stride: 7,
		Required: []string{attest.LabelSNPVEK, attest.LabelSimRoot, attest.LabelSimASK},
	})
}

func TestClaims(t *testing.T) {
	r := newRig(t)
	c, err := r.verifier(t).Verify(r.evidence(t), r.end, today)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := r.machine.Verify(r.parts[0], r.end, today)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind != attest.SimSNP || !c.Simulated || !c.Proves(r.bound) || len(c.Parts) != 2 {
		t.Fatalf("kind %s, simulated %v, %d parts", c.Kind, c.Simulated, len(c.Parts))
	}
	for i, p := range c.Parts {
		if p.Kind != attest.NVIDIAGPU || !p.Proves(r.bound) {
			t.Errorf("part %d of kind %s", i+2, p.Kind)
		}
	}
	if want := c.Parts[0].Endorsed.NotAfter; !c.Endorsed.NotAfter.Equal(want) || alone.Endorsed.NotAfter.Equal(want) {
		t.Errorf("endorsed until %s, expected what ends first, %s", c.Endorsed.NotAfter, want)
	}
	var names []string
	for _, check := range c.Checks {
		names = append(names, check.Name)
	}
	for _, want := range []string{"hardware.signature", "hardware.part2_signature", "hardware.part3_signature", "hardware.part3_device", "hardware.part2_unique", "hardware.part1_kind"} {
		if !slices.Contains(names, want) {
			t.Errorf("no check %s in %v", want, names)
		}
	}
	if alone.Checks[0].Name == "" || len(alone.Parts) != 0 {
		t.Error("the claims of the first part were changed")
	}
}

// TestRefused: each case differs in one thing from evidence that is accepted.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *rig)
		check  string
		code   attest.Code
	}{
		"a device first":              {func(_ *testing.T, r *rig) { r.parts[0], r.parts[1] = r.parts[1], r.parts[0] }, "hardware.part1_kind", attest.CodeKindMismatch},
		"two machines":                {func(_ *testing.T, r *rig) { r.parts[1] = r.parts[0] }, "hardware.part2_kind", attest.CodeKindMismatch},
		"no verifier for a machine":   {func(_ *testing.T, r *rig) { r.parts[0].Kind = attest.TDX }, "hardware.part1_kind", attest.CodeKindMismatch},
		"no verifier for a device":    {func(_ *testing.T, r *rig) { r.parts[2].Kind = attest.NVSwitch }, "hardware.part3_kind", attest.CodeKindMismatch},
		"G29 a TPM beside a machine":  {func(_ *testing.T, r *rig) { r.parts[2].Kind = attest.TPM }, "hardware.part3_kind", attest.CodeNotBound},
		"the same device twice":       {func(_ *testing.T, r *rig) { r.parts[2] = r.parts[1] }, "hardware.part3_unique", attest.CodeAmbiguous},
		"one device signs twice":      {func(_ *testing.T, r *rig) { r.parts[2].Data = r.again('a') }, "hardware.part3_device", attest.CodeAmbiguous},
		"a device without identity":   {func(_ *testing.T, r *rig) { r.parts[2] = r.gpu(0) }, "hardware.part3_device", attest.CodeAmbiguous},
		"G27 a part of another kind":  {func(_ *testing.T, r *rig) { r.parts[1].Data = r.parts[0].Data }, "hardware.part2_unique", attest.CodeAmbiguous},
		"a forged device":             {func(_ *testing.T, r *rig) { r.parts[2].Data[40] ^= 1 }, "hardware.part3_signature", attest.CodeBadSignature},
		"G28 a forged machine":        {func(_ *testing.T, r *rig) { r.parts[0].Data[0x50] ^= 1 }, "hardware.signature", attest.CodeBadSignature},
		"vendor's answers missing":    {func(_ *testing.T, r *rig) { r.fake(fakeDevice{err: attest.ErrUnavailable}) }, "hardware.part2_evidence", attest.CodeUnavailable},
		"verifier without a reason":   {func(_ *testing.T, r *rig) { r.fake(fakeDevice{err: &attest.Failure{}}) }, "hardware.part2_evidence", attest.CodeMalformed},
		"verifier that says nothing":  {func(_ *testing.T, r *rig) { r.fake(fakeDevice{silent: true}) }, "hardware.part3_evidence", attest.CodeMalformed},
		"verifier that mixes up kind": {func(_ *testing.T, r *rig) { r.fake(fakeDevice{other: true}) }, "hardware.part2_evidence", attest.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for i := range r.parts {
				r.parts[i].Data = bytes.Clone(r.parts[i].Data)
			}
			c.change(t, r)
			_, err := r.verifier(t).Verify(r.evidence(t), r.end, today)
			var f *attest.Failure
			if !errors.As(err, &f) {
				t.Fatalf("error %v", err)
			}
			for _, check := range f.Failed() {
				if check.Name == c.check && check.Code == c.code {
					return
				}
			}
			t.Errorf("refused with %v, expected %s %s", err, c.check, c.code)
		})
	}
}

// again is other evidence of the device, over another nonce.
func (r *rig) again(id byte) []byte { return deviceEvidence(id, [32]byte{9}) }

func (r *rig) fake(f fakeDevice) {
	f.kind = attest.NVIDIAGPU
	r.verifiers[1] = f
}

// TestAllFailuresShown: two bad parts are both named.
func TestAllFailuresShown(t *testing.T) {
	r := newRig(t)
	r.parts[1].Data[40] ^= 1
	r.parts[2].Data[40] ^= 1
	_, err := r.verifier(t).Verify(r.evidence(t), r.end, today)
	for _, want := range []string{"part2_signature", "part3_signature"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	r := newRig(t)
	gpu := fakeDevice{kind: attest.NVIDIAGPU}
	for name, list := range map[string][]attest.Verifier{
		"none":            nil,
		"a nil one":       {r.machine, gpu, nil},
		"two of a kind":   {r.machine, gpu, gpu},
		"no device":       {r.machine},
		"no machine":      {gpu},
		"no kind":         {r.machine, gpu, fakeDevice{}},
		"composites only": {r.machine, gpu, fakeDevice{kind: attest.Composite}},
	} {
		if v, err := NewVerifier(list...); err == nil || v != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestTooLarge: what is longer than any evidence is not even parsed.
func TestTooLarge(t *testing.T) {
	r := newRig(t)
	ev := attest.Evidence{Kind: attest.Composite, Data: append(r.evidence(t).Data, make([]byte, attest.MaxEvidence)...)}
	var f *attest.Failure
	if _, err := r.verifier(t).Verify(ev, r.end, today); !errors.As(err, &f) || f.Code() != attest.CodeTooLarge {
		t.Errorf("%d bytes: %v", len(ev.Data), err)
	}
}

// TestZeroVerifier: a Verifier that nobody made refuses.
func TestZeroVerifier(t *testing.T) {
	r := newRig(t)
	for _, v := range []*Verifier{{}, nil} {
		c, err := v.Verify(r.evidence(t), r.end, today)
		var f *attest.Failure
		if c != nil || !errors.As(err, &f) || f.Code() != attest.CodeKindMismatch {
			t.Errorf("claims %v, error %v", c, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	r := newRig(f)
	v := r.verifier(f)
	f.Add(r.evidence(f).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := v.Verify(attest.Evidence{Kind: attest.Composite, Data: data}, r.end, today)
		if (c == nil) == (err == nil) {
			t.Fatal("claims and an error, or neither")
		}
	})
}
