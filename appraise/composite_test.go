package appraise_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/composite"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/snp"
)

// cluster is a machine with GPUs and the vendors whose roots are trusted.
type cluster struct {
	at        time.Time
	statement attest.Statement
	channel   []attest.Check
	verifier  *composite.Verifier
	parts     []attest.Evidence
	end       attest.Endorsements
}

func newCluster(t testing.TB, gpus int) *cluster {
	t.Helper()
	amd, nvidia := attesttest.New(), attesttest.NewNVIDIA()
	c := &cluster{at: attesttest.Epoch()}
	c.statement, c.channel = session(t, c.at)
	bound := bind(t, c.statement)
	ev, end := amd.Make(t, bound.Bytes(), keepHostData(sha256.Sum256([]byte(document))))
	c.parts, c.end = append(c.parts, ev), end
	for i := range gpus {
		c.addGPU(t, fmt.Sprintf("48B02DF44660DA%02d", i), bound)
	}
	roots := amd.Roots(t, attesttest.Genoa)
	machine, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: roots.ARK.Raw, ASK: roots.ASK.Raw, ASVK: roots.ASVK.Raw})
	if err != nil {
		t.Fatal(err)
	}
	device, rim := nvidia.Roots(t)
	gpu, err := nvgpu.NewVerifierWithRoots(attest.NVIDIAGPU, nvgpu.Roots{Device: device, RIM: rim})
	if err != nil {
		t.Fatal(err)
	}
	if c.verifier, err = composite.NewVerifier(machine, gpu); err != nil {
		t.Fatal(err)
	}
	return c
}

// addGPU adds a device that proves the statement b. What NVIDIA says about two
// devices is partly the same.
func (c *cluster) addGPU(t testing.TB, serial string, b attest.Bound) {
	t.Helper()
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, b.Nonce(attest.NVIDIAGPU), attesttest.GPUSerial(serial))
	c.parts = append(c.parts, ev)
	for _, e := range end {
		if _, there, _ := c.end.Get(e.Label); !there {
			c.end = append(c.end, e)
		}
	}
}

func (c *cluster) input(t testing.TB) appraise.Input {
	t.Helper()
	ev, err := form.EncodeComposite(c.parts)
	if err != nil {
		t.Fatal(err)
	}
	in := appraise.Input{Statement: c.statement, Channel: c.channel, Policy: []byte(document)}
	in.Claims, in.Err = c.verifier.Verify(ev, c.end, c.at)
	return in
}

const twoGPUs = "  gpu: {count: 2, architectures: [HOPPER], driver: [any], vbios: [any]}\n"

func clusterTrust(t testing.TB, rules string) *appraise.Trust {
	t.Helper()
	trust, err := appraise.ParseTrust(fmt.Appendf(nil, "version: 1\naccept:\n  - {name: guest, sev-snp: {measurement: %x}, policy: any}\nhardware:\n  smt: allow\n%s", attesttest.Measurement(), rules))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// TestComposite: one machine with its GPUs, one Result.
func TestComposite(t *testing.T) {
	other := bind(t, func() attest.Statement { s, _ := session(t, attesttest.Epoch().Add(time.Second)); return s }())
	for name, c := range map[string]struct {
		gpus   int
		rules  string
		change func(*testing.T, *cluster)
		want   attest.Code // empty: trusted
	}{
		"whole":                    {2, twoGPUs, nil, ""},
		"one is missing":           {1, twoGPUs, nil, appraise.CodeNoParts},
		"one too many":             {3, twoGPUs, nil, appraise.CodeParts},
		"no rule for devices":      {2, "", nil, appraise.CodeParts},
		"other architecture":       {2, strings.Replace(twoGPUs, "HOPPER", "BLACKWELL", 1), nil, appraise.CodeArchitecture},
		"a GPU of another machine": {1, twoGPUs, func(t *testing.T, c *cluster) { c.addGPU(t, "48B02DF44660DA99", other) }, attest.CodeNotBound},
		"one GPU shown as two":     {1, twoGPUs, func(t *testing.T, c *cluster) { c.addGPU(t, "48B02DF44660DA00", bind(t, c.statement)) }, attest.CodeAmbiguous},
		"copied evidence":          {1, twoGPUs, func(_ *testing.T, c *cluster) { c.parts = append(c.parts, c.parts[1]) }, attest.CodeAmbiguous},
		"no answers by NVIDIA":     {2, twoGPUs, func(_ *testing.T, c *cluster) { c.end = without(c.end, attest.LabelNVIDIAOCSP) }, nvgpu.CodeNoOCSP},
		"no manifests":             {2, twoGPUs, func(_ *testing.T, c *cluster) { c.end = without(c.end, attest.LabelNVIDIARIM) }, nvgpu.CodeNoRIM},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t, c.gpus)
			if c.change != nil {
				c.change(t, cl)
			}
			r := clusterTrust(t, c.rules).Appraise(cl.input(t), cl.at)
			if c.want == "" {
				if !r.Trusted() {
					t.Errorf("refused: %v", r.Err())
				}
				if line := r.Lines()[0].Text; !strings.HasSuffix(line, "+ 2 nvidia-gpu") {
					t.Errorf("line %q", line)
				}
				return
			}
			if r.Trusted() || !slices.Contains(r.Codes(), c.want) {
				t.Errorf("verdict %s with %v, expected %s", r.Verdict(), r.Codes(), c.want)
			}
		})
	}
}

func without(end attest.Endorsements, prefix string) attest.Endorsements {
	return slices.DeleteFunc(slices.Clone(end), func(e attest.Endorsement) bool { return strings.HasPrefix(e.Label, prefix) })
}

// TestMachineAloneWhereGPUsAreAskedFor: the plain evidence of the same machine.
func TestMachineAloneWhereGPUsAreAskedFor(t *testing.T) {
	c := newCluster(t, 2)
	in := c.input(t)
	alone := *in.Claims
	alone.Parts = nil
	in.Claims = &alone
	if r := clusterTrust(t, twoGPUs).Appraise(in, c.at); r.Trusted() || !slices.Contains(r.Codes(), appraise.CodeNoParts) {
		t.Errorf("verdict %s with %v", r.Verdict(), r.Codes())
	}
	if r := clusterTrust(t, "").Appraise(in, c.at); !r.Trusted() {
		t.Errorf("without a rule: %v", r.Err())
	}
}

// TestFirstUseOfAComposite: the file asks for the devices that were there.
func TestFirstUseOfAComposite(t *testing.T) {
	c := newCluster(t, 2)
	in := c.input(t)
	if in.Err != nil {
		t.Fatal(in.Err)
	}
	file := appraise.FromClaims(in.Claims, in.Statement, in.Policy, "first", c.at).Marshal()
	trust, err := appraise.ParseTrust(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	if r := trust.Appraise(in, c.at); !r.Trusted() || !trust.GPUs() {
		t.Errorf("%v\n%s", r.Err(), file)
	}
	if r := trust.Appraise(newCluster(t, 1).input(t), c.at); r.Trusted() {
		t.Error("trusted without one of its GPUs")
	}
}
