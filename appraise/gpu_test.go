package appraise

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

const gpuSection = "gpu: {count: 1, architectures: [HOPPER], driver: [999.01.02], vbios: [96.00.DD.00.01]%s}"

// gpuTrust is a trust file with a section hardware.gpu.
func gpuTrust(section string) string {
	return fmt.Sprintf("version: 1\naccept:\n  - name: box\n    sev-snp: {measurement: %096x}\n    policy: any\nhardware:\n  products: [Genoa]\n  %s\n", 1, section)
}

// gpuPart is a GPU that nobody has a reason to refuse.
func gpuPart(key byte) *attest.Claims {
	return &attest.Claims{Kind: attest.NVIDIAGPU, Detail: &nvgpu.Claims{
		Arch: nvgpu.Hopper, Chip: "GH100", DeviceKey: attest.Digest{key},
		Report:       &nvgpu.Report{Opaque: nvgpu.Opaque{Driver: "999.01.02", VBIOS: "96.00.DD.00.01"}},
		Measurements: []nvgpu.Comparison{{Outcome: nvgpu.Matches, Source: "driver"}},
		Revocation:   []nvgpu.Revocation{{Subject: "ica", Status: nvgpu.Good}},
	}}
}

func judgeGPUs(t *testing.T, section string, parts ...*attest.Claims) []attest.Check {
	t.Helper()
	trust, err := ParseTrust([]byte(gpuTrust(section)))
	if err != nil {
		t.Fatal(err)
	}
	a := &appraisal{trust: trust, at: time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)}
	trust.hardware.gpu.judge(a, parts)
	return a.checks
}

func statusOf(checks []attest.Check, name string) attest.Check {
	i := slices.IndexFunc(checks, func(c attest.Check) bool { return c.Name == name })
	if i < 0 {
		return attest.Check{Name: "no check " + name}
	}
	return checks[i]
}

func TestGPUAccepted(t *testing.T) {
	checks := judgeGPUs(t, fmt.Sprintf(gpuSection, ""), gpuPart(1))
	if err := attest.FailureOf(checks); err != nil {
		t.Error(err)
	}
	if c := statusOf(checks, "hardware.gpu_place"); c.Status != attest.Skip || c.Code != CodePlaceUnproven {
		t.Errorf("%s: that the GPU sits in the machine must show as not proven", c)
	}
}

func TestGPURefused(t *testing.T) {
	edit := func(f func(*attest.Claims, *nvgpu.Claims)) []*attest.Claims {
		p := gpuPart(1)
		f(p, p.Detail.(*nvgpu.Claims))
		return []*attest.Claims{p}
	}
	detail := func(f func(*nvgpu.Claims)) []*attest.Claims {
		return edit(func(_ *attest.Claims, d *nvgpu.Claims) { f(d) })
	}
	hold := nvgpu.Revocation{Subject: "ica", Status: nvgpu.Held}
	for _, c := range []struct {
		name, more, check string
		code              attest.Code
		parts             []*attest.Claims
	}{
		{"none", "", "hardware.gpus", CodeNoParts, nil},
		{"one too many", "", "hardware.gpus", CodeParts, []*attest.Claims{gpuPart(1), gpuPart(2)}},
		{"no switch", ", switches: 1", "hardware.switches", CodeNoParts, []*attest.Claims{gpuPart(1)}},
		{"switch", "", "hardware.switches", CodeParts, edit(func(p *attest.Claims, _ *nvgpu.Claims) { p.Kind = attest.NVSwitch })},
		{"same device", "", "hardware.gpus_distinct", CodeSamePart, []*attest.Claims{gpuPart(1), gpuPart(1)}},
		{"no detail", "", "hardware.part2_claims", attest.CodeMalformed, []*attest.Claims{{Kind: attest.NVIDIAGPU}}},
		{"no report", "", "hardware.part2_claims", attest.CodeMalformed, detail(func(d *nvgpu.Claims) { d.Report = nil })},
		{"architecture", "", "hardware.part2_architecture", CodeArchitecture, detail(func(d *nvgpu.Claims) { d.Arch = nvgpu.Blackwell })},
		{"driver", "", "hardware.part2_driver", CodeGPUVersion, detail(func(d *nvgpu.Claims) { d.Report.Opaque.Driver = "1" })},
		{"driver not said", "", "hardware.part2_driver", CodeGPUVersion, detail(func(d *nvgpu.Claims) { d.Report.Opaque.Driver = "" })},
		{"vbios", "", "hardware.part2_vbios", CodeGPUVersion, detail(func(d *nvgpu.Claims) { d.Report.Opaque.VBIOS = "1" })},
		{"not compared", "", "hardware.part2_measurements", nvgpu.CodeNoRIM, detail(func(d *nvgpu.Claims) { d.Measurements = nil })},
		{"differs", "", "hardware.part2_measurements", CodeGPUMeasured, detail(func(d *nvgpu.Claims) { d.Measurements[0].Outcome = nvgpu.Differs })},
		{"differs where missing is allowed", ", measurements: allow_missing", "hardware.part2_measurements", CodeGPUMeasured, detail(func(d *nvgpu.Claims) { d.Measurements[0].Outcome = nvgpu.Differs })},
		{"not asked", "", "hardware.part2_revocation", nvgpu.CodeNoOCSP, detail(func(d *nvgpu.Claims) { d.Revocation = nil })},
		{"one not asked", "", "hardware.part2_revocation", nvgpu.CodeNoOCSP, detail(func(d *nvgpu.Claims) { d.Revocation = append(d.Revocation, nvgpu.Revocation{}) })},
		{"not asked where hold is allowed", ", revocation: allow_hold", "hardware.part2_revocation", nvgpu.CodeNoOCSP, detail(func(d *nvgpu.Claims) { d.Revocation = []nvgpu.Revocation{hold, {}} })},
		{"hold", "", "hardware.part2_revocation", nvgpu.CodeHold, detail(func(d *nvgpu.Claims) { d.Revocation = append(d.Revocation, hold) })},
		{"hold where missing is allowed", ", revocation: allow_missing", "hardware.part2_revocation", nvgpu.CodeHold, detail(func(d *nvgpu.Claims) { d.Revocation = []nvgpu.Revocation{hold, {}} })},
		{"hold alone where missing is allowed", ", revocation: allow_missing", "hardware.part2_revocation", nvgpu.CodeHold, detail(func(d *nvgpu.Claims) { d.Revocation = []nvgpu.Revocation{hold} })},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := statusOf(judgeGPUs(t, fmt.Sprintf(gpuSection, c.more), c.parts...), c.check)
			if got.Status != attest.Fail || got.Code != c.code {
				t.Errorf("%s, want %s to fail with %s", got, c.check, c.code)
			}
		})
	}
}

// TestUnsaidWordIsNotListed, whatever stands in the list.
func TestUnsaidWordIsNotListed(t *testing.T) {
	a := &appraisal{}
	a.listedWord("hardware.word", CodeGPUVersion, "", []string{""})
	if attest.FailureOf(a.checks) == nil {
		t.Errorf("%v", a.checks)
	}
}

// TestGPULoosened: what was written out is accepted, and shows as skipped.
func TestGPULoosened(t *testing.T) {
	missing := gpuPart(1)
	missing.Detail.(*nvgpu.Claims).Measurements = nil
	missing.Detail.(*nvgpu.Claims).Revocation = nil
	held := gpuPart(1)
	held.Detail.(*nvgpu.Claims).Revocation[0].Status = nvgpu.Held
	for _, c := range []struct {
		section, check string
		part           *attest.Claims
	}{
		{"gpu: {count: 1, architectures: [any], driver: [any], vbios: [any], revocation: allow_missing, measurements: allow_missing}", "hardware.part2_measurements", missing},
		{"gpu: {count: 1, architectures: [any], driver: [any], vbios: [any], revocation: allow_missing, measurements: allow_missing}", "hardware.part2_revocation", missing},
		{"gpu: {count: 1, architectures: [any], driver: [any], vbios: [any]}", "hardware.part2_driver", gpuPart(1)},
		{"gpu: {count: 1, architectures: [any], driver: [any], vbios: [any], revocation: allow_hold}", "hardware.part2_revocation", held},
	} {
		checks := judgeGPUs(t, c.section, c.part)
		if err := attest.FailureOf(checks); err != nil {
			t.Errorf("%s: %v", c.section, err)
		}
		if got := statusOf(checks, c.check); got.Status != attest.Skip || got.Code == "" {
			t.Errorf("%s: %s, want a skipped check with its reason", c.section, got)
		}
	}
}

func TestGPUSectionRefused(t *testing.T) {
	for name, section := range map[string]string{
		"no count":             "gpu: {architectures: [any], driver: [any], vbios: [any]}",
		"no device":            "gpu: {count: 0, vbios: [any]}",
		"negative":             "gpu: {count: -1, switches: 2, architectures: [any], driver: [any], vbios: [any]}",
		"negative switches":    "gpu: {count: 2, switches: -1, architectures: [any], driver: [any], vbios: [any]}",
		"too many to add":      "gpu: {count: 9223372036854775807, switches: 9223372036854775807, architectures: [any], driver: [any], vbios: [any]}",
		"long word":            "gpu: {count: 1, architectures: [any], driver: [" + strings.Repeat("1", 65) + "a], vbios: [any]}",
		"too many":             "gpu: {count: 30, switches: 2, architectures: [any], driver: [any], vbios: [any]}",
		"no architectures":     "gpu: {count: 1, driver: [any], vbios: [any]}",
		"no driver":            "gpu: {count: 1, architectures: [any], vbios: [any]}",
		"no vbios":             "gpu: {count: 1, architectures: [any], driver: [any]}",
		"unknown architecture": "gpu: {count: 1, architectures: [AMPERE], driver: [any], vbios: [any]}",
		"switch architecture":  "gpu: {count: 1, architectures: [LS10], driver: [any], vbios: [any]}",
		"any and more":         "gpu: {count: 1, architectures: [any, HOPPER], driver: [any], vbios: [any]}",
		"twice":                "gpu: {count: 1, architectures: [HOPPER, HOPPER], driver: [any], vbios: [any]}",
		"empty word":           `gpu: {count: 1, architectures: [any], driver: [""], vbios: [any]}`,
		"revocation":           "gpu: {count: 1, architectures: [any], driver: [any], vbios: [any], revocation: allow}",
		"measurements":         "gpu: {count: 1, architectures: [any], driver: [any], vbios: [any], measurements: any}",
		"unknown key":          "gpu: {count: 1, architectures: [any], driver: [any], vbios: [any], slots: 1}",
	} {
		if trust, err := ParseTrust([]byte(gpuTrust(section))); err == nil || trust != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestGPUMarshalled: a trust file with the section is written and read back.
func TestGPUMarshalled(t *testing.T) {
	for _, section := range []string{
		fmt.Sprintf(gpuSection, ""),
		`gpu: {count: 8, switches: 4, architectures: [HOPPER, BLACKWELL], driver: ["590.12"], vbios: [any], revocation: allow_hold, measurements: allow_missing}`,
		"gpu: {count: 0, switches: 4, vbios: [any]}",
	} {
		trust, err := ParseTrust([]byte(gpuTrust(section)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseTrust(trust.Marshal())
		if err != nil || string(again.Marshal()) != string(trust.Marshal()) {
			t.Errorf("%s: %v\n%s", section, err, trust.Marshal())
		}
		if !strings.Contains(string(trust.Marshal()), "gpu: {count: ") {
			t.Errorf("%s: lost in\n%s", section, trust.Marshal())
		}
	}
}

// TestGPUFirstUse takes what was shown, and says what was not.
func TestGPUFirstUse(t *testing.T) {
	sw := gpuPart(3)
	sw.Kind = attest.NVSwitch
	bare := gpuPart(4)
	bare.Detail.(*nvgpu.Claims).Measurements, bare.Detail.(*nvgpu.Claims).Revocation = nil, nil
	held := gpuPart(5)
	held.Detail.(*nvgpu.Claims).Revocation[0].Status = nvgpu.Held
	for _, c := range []struct {
		parts    []*attest.Claims
		want     string
		loosened int
	}{
		{[]*attest.Claims{gpuPart(1), gpuPart(2), sw}, "{count: 2, switches: 1, architectures: [\"HOPPER\"], driver: [\"999.01.02\"], vbios: [\"96.00.DD.00.01\"], revocation: require, measurements: require}", 0},
		{[]*attest.Claims{bare}, "{count: 1, architectures: [\"HOPPER\"], driver: [\"999.01.02\"], vbios: [\"96.00.DD.00.01\"], revocation: allow_missing, measurements: allow_missing}", 2},
		{[]*attest.Claims{held}, "{count: 1, architectures: [\"HOPPER\"], driver: [\"999.01.02\"], vbios: [\"96.00.DD.00.01\"], revocation: allow_hold, measurements: require}", 1},
	} {
		u := &firstUse{trust: defaults()}
		if got := flowFields(u.gpus(c.parts).fields()); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		if n := len(u.trust.Loosened()); n != c.loosened {
			t.Errorf("%d lines of what was loosened, want %d", n, c.loosened)
		}
	}
}
