package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/client"
)

// withGPU is the hardware of a machine with a GPU of the fake vendor.
type withGPU struct {
	attest.Attester
	t *testing.T
	// over changes what the GPU is asked to sign.
	over func(attest.Bound) attest.Bound
}

func (w *withGPU) Kind() attest.Kind { return attest.Composite }

func (w *withGPU) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	machine, end, err := w.Attester.Attest(ctx, b)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	if w.over != nil {
		b = w.over(b)
	}
	gpu, more := attesttest.NewNVIDIA().MakeGPU(w.t, b.Nonce(attest.NVIDIAGPU), func(g *attesttest.GPU) { g.Now = newClock().now() })
	ev, err := form.EncodeComposite([]attest.Evidence{machine, gpu})
	return ev, append(end, more...), err
}

// fakeComposite trusts the simulated root and the fake vendor's.
func fakeComposite(t *testing.T) attest.Verifier {
	t.Helper()
	machine, err := sim.NewVerifier(testRoot(t).Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	device, rim := attesttest.NewNVIDIA().Roots(t)
	gpu, err := nvgpu.NewVerifierWithRoots(attest.NVIDIAGPU, nvgpu.Roots{Device: device, RIM: rim})
	if err != nil {
		t.Fatal(err)
	}
	v, err := composite.NewVerifier(machine, gpu)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const oneGPU = "hardware: {gpu: {count: 1, architectures: [HOPPER], driver: [any], vbios: [any]}}\n"

// TestComposite: a machine with its GPU over the gate, and the ways in which it
// is refused. Nothing is sent to one that was.
func TestComposite(t *testing.T) {
	elsewhere := func(attest.Bound) attest.Bound {
		b, err := attest.Statement{
			Purpose: attest.PurposeKeys, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
			Policy: attest.Digest{3}, NotBefore: newClock().now(), NotAfter: newClock().now(),
		}.Bind()
		if err != nil {
			t.Error(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		gpu      bool // the box shows one
		trust    string
		over     func(attest.Bound) attest.Bound
		verifier bool // that of the fake vendor
		want     attest.Code
	}{
		"whole":                          {gpu: true, trust: oneGPU, verifier: true},
		"the GPU of another box":         {gpu: true, trust: oneGPU, verifier: true, over: elsewhere, want: attest.CodeNotBound},
		"a GPU that NVIDIA did not make": {gpu: true, trust: oneGPU, want: attest.CodeUntrustedRoot},
		"no GPU":                         {trust: oneGPU, want: appraise.CodeNoParts},
		"no rule for one":                {gpu: true, want: attest.CodeKindMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := boxConfig{}
			if c.gpu {
				cfg.server = func(s *atls.ServerConfig) { s.Attester = &withGPU{Attester: s.Attester, t: t, over: c.over} }
			}
			b := newBox(t, cfg)
			cl := newClient(t, b, trustFile(t, c.trust))
			if c.verifier {
				cl.UseVerifier(fakeComposite(t))
			}
			resp, err := cl.HTTP().Get(b.url())
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if r, ok := client.ResultFrom(resp); !ok || !r.Trusted() || !r.Simulated() {
					t.Errorf("%v, %s", ok, r.Verdict())
				}
				return
			}
			var refused *client.RefusedError
			if !errors.As(err, &refused) || b.requests.Load() != 0 {
				t.Fatalf("%d requests, error %v", b.requests.Load(), err)
			}
			if !slices.ContainsFunc(refused.Failure.Failed(), func(f attest.Check) bool { return f.Code == c.want }) {
				t.Errorf("%v, expected %s", err, c.want)
			}
		})
	}
}
