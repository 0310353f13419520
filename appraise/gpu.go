package appraise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Codes that only the appraisal of GPUs and switches gives.
const (
	CodeSamePart      attest.Code = "part_duplicate"           // one device shown as two
	CodeArchitecture  attest.Code = "architecture_not_allowed" // a GPU of an architecture that the trust file does not list
	CodeGPUVersion    attest.Code = "gpu_version_not_allowed"  // a driver or VBIOS that the trust file does not list
	CodeGPUMeasured   attest.Code = "gpu_measurement"          // a measurement that NVIDIA's manifests do not know
	CodePlaceUnproven attest.Code = "place_not_proven"         // nothing says that the device sits in this machine (a skipped check)
)

// Limits of what a trust file may ask for: those of one composite.
const maxDevices = 31

// gpuRulesDoc is the section hardware.gpu: which devices must be beside the
// processor, and what they must run.
type gpuRulesDoc struct {
	Pos           strictyaml.Pos
	Count         strictyaml.At[int]      `yaml:"count,required"`
	Switches      strictyaml.At[int]      `yaml:"switches"`
	Architectures []strictyaml.At[string] `yaml:"architectures"`
	Driver        []strictyaml.At[string] `yaml:"driver"`
	VBIOS         []strictyaml.At[string] `yaml:"vbios"`
	Revocation    gpuRevocation           `yaml:"revocation"`
	Measurements  gpuMeasurements         `yaml:"measurements"`
}

// gpuRevocation says which answers about a device's certificates are enough.
type gpuRevocation uint8

const (
	gpuRevocationUnset gpuRevocation = iota
	gpuRevocationRequire
	gpuRevocationAllowHold
	gpuRevocationAllowMissing
)

func (r gpuRevocation) String() string {
	return []string{"", "require", "allow_hold", "allow_missing"}[r]
}

func (r *gpuRevocation) UnmarshalText(text []byte) error {
	for v := gpuRevocationRequire; v <= gpuRevocationAllowMissing; v++ {
		if v.String() == string(text) {
			*r = v
			return nil
		}
	}
	return fmt.Errorf("expected require, allow_hold or allow_missing")
}

// gpuMeasurements says whether NVIDIA's manifests must be there. Measurements
// that they do not accept are refused in any case.
type gpuMeasurements uint8

const (
	gpuMeasurementsUnset gpuMeasurements = iota
	gpuMeasurementsRequire
	gpuMeasurementsAllowMissing
)

func (m gpuMeasurements) String() string { return []string{"", "require", "allow_missing"}[m] }

func (m *gpuMeasurements) UnmarshalText(text []byte) error {
	for v := gpuMeasurementsRequire; v <= gpuMeasurementsAllowMissing; v++ {
		if v.String() == string(text) {
			*m = v
			return nil
		}
	}
	return fmt.Errorf("expected require or allow_missing")
}

// gpuRules are what a trust file says about the GPUs and switches of a machine.
// The zero value accepts none.
type gpuRules struct {
	count, switches int
	// Each list holds the one word any, or what is accepted.
	architectures, drivers, vbios []string
	revocation                    gpuRevocation
	measurements                  gpuMeasurements
}

func (r *reader) gpuRules(path string, d *gpuRulesDoc) *gpuRules {
	q := &gpuRules{
		count: d.Count.Value, switches: d.Switches.Value,
		revocation: gpuRevocationRequire, measurements: gpuMeasurementsRequire,
	}
	if d.Revocation != gpuRevocationUnset {
		q.revocation = d.Revocation
	}
	if d.Measurements != gpuMeasurementsUnset {
		q.measurements = d.Measurements
	}
	// The sum of two that are too large is negative.
	if q.count < 0 || q.switches < 0 || q.count+q.switches < 1 || q.count+q.switches > maxDevices {
		r.fail(d.Pos, path, fmt.Sprintf("%d GPUs and %d switches, expected 1 to %d together", q.count, q.switches, maxDevices))
	}
	q.architectures = r.words(d.Pos, path+".architectures", d.Architectures, q.count > 0)
	q.drivers = r.words(d.Pos, path+".driver", d.Driver, q.count > 0)
	q.vbios = r.words(d.Pos, path+".vbios", d.VBIOS, true)
	for i, a := range d.Architectures {
		if arch, err := nvgpu.ParseArch(a.Value); a.Value != wordAny && (err != nil || arch == nvgpu.LS10) {
			r.fail(a.Pos, fmt.Sprintf("%s.architectures[%d]", path, i), "expected HOPPER, BLACKWELL or any")
		}
	}
	return q
}

// words reads a list that must be there and either holds the one word any or
// does not hold it.
func (r *reader) words(pos strictyaml.Pos, path string, in []strictyaml.At[string], needed bool) []string {
	var out []string
	for _, w := range in {
		switch {
		case w.Value == "" || len(w.Value) > 64:
			r.fail(w.Pos, path, "expected a word of 1 to 64 characters")
		case slices.Contains(out, w.Value):
			r.fail(w.Pos, path, strictyaml.Quote(w.Value)+" twice")
		}
		out = append(out, w.Value)
	}
	switch {
	case len(out) == 0 && needed:
		r.fail(pos, path, "missing: list what is accepted, or write [any]")
	case len(out) > 1 && slices.Contains(out, wordAny):
		r.fail(pos, path, "any beside other words")
	}
	return out
}

// fields are all keys, so that a section that is there stays there.
func (q *gpuRules) fields() []field {
	if q == nil {
		return nil
	}
	out := []field{{"count", strconv.Itoa(q.count)}}
	if q.switches != 0 {
		out = append(out, field{"switches", strconv.Itoa(q.switches)})
	}
	for _, list := range []struct {
		key   string
		words []string
	}{{"architectures", q.architectures}, {"driver", q.drivers}, {"vbios", q.vbios}} {
		if len(list.words) != 0 {
			out = append(out, field{list.key, quoted(list.words)})
		}
	}
	return append(out, field{"revocation", q.revocation.String()}, field{"measurements", q.measurements.String()})
}

// judge makes every check on the devices. There is at least one, each is of a
// kind for which attest.Kind.Device holds, and part N of the claims is checked
// under names from partCheck(GroupHardware, N, ...). Whether each proves the
// statement, and when its certificates are valid, was looked at already.
func (q *gpuRules) judge(a *appraisal, parts []*attest.Claims) {
	q.judgeCount(a, "hardware.gpus", attest.NVIDIAGPU, q.count, parts)
	q.judgeCount(a, "hardware.switches", attest.NVSwitch, q.switches, parts)
	judgeDistinct(a, parts)
	for i, part := range parts {
		q.judgePart(a, i, part)
	}
	a.skip("hardware.gpu_place", CodePlaceUnproven, "genuine devices that answered this box: that they sit in this machine is not proven",
		"nothing: NVIDIA's reports do not say where a device is")
}

func (q *gpuRules) judgeCount(a *appraisal, name string, kind attest.Kind, want int, parts []*attest.Claims) {
	seen := 0
	for _, p := range parts {
		if p.Kind == kind {
			seen++
		}
	}
	code := CodeNoParts
	if seen > want {
		code = CodeParts
	}
	a.check(name, seen == want, code, strconv.Itoa(seen), strconv.Itoa(want))
}

// judgeDistinct refuses one device that answered twice: its signatures differ,
// its key does not.
func judgeDistinct(a *appraisal, parts []*attest.Claims) {
	const name = "hardware.gpus_distinct"
	first := make(map[attest.Digest]int)
	for i, p := range parts {
		d, ok := p.Detail.(*nvgpu.Claims)
		if !ok || d == nil {
			continue // refused by judgePart
		}
		if j, again := first[d.DeviceKey]; again {
			a.fail(name, CodeSamePart, fmt.Sprintf("parts %d and %d are one device, key %s", j+2, i+2, short(d.DeviceKey[:])), "a device for each part")
			return
		}
		first[d.DeviceKey] = i
	}
	a.check(name, true, "", fmt.Sprintf("%d devices", len(first)), "")
}

func (q *gpuRules) judgePart(a *appraisal, i int, part *attest.Claims) {
	name := func(check string) string { return partCheck(GroupHardware, i, check) }
	d, _ := part.Detail.(*nvgpu.Claims)
	if d == nil || d.Report == nil {
		a.fail(name("claims"), attest.CodeMalformed, "no claims of a GPU or switch", "those that package nvgpu makes")
		return
	}
	o := d.Report.Opaque
	if part.Kind == attest.NVIDIAGPU {
		a.listedWord(name("architecture"), CodeArchitecture, d.Arch.String(), q.architectures)
		a.listedWord(name("driver"), CodeGPUVersion, o.Driver, q.drivers)
	}
	a.listedWord(name("vbios"), CodeGPUVersion, o.VBIOS, q.vbios)
	q.judgeRevocation(a, name("revocation"), d)
	q.judgeMeasurements(a, name("measurements"), d)
}

// listedWord compares a word with those of the trust file.
func (a *appraisal) listedWord(name string, code attest.Code, seen string, accepted []string) {
	if slices.Equal(accepted, []string{wordAny}) {
		a.skip(name, CodeNotRequired, seen, wordAny)
		return
	}
	a.check(name, seen != "" && slices.Contains(accepted, seen), code, strconv.Quote(seen), strings.Join(accepted, " or "))
}

func (q *gpuRules) judgeRevocation(a *appraisal, name string, d *nvgpu.Claims) {
	held := len(d.Held()) != 0
	switch d.Revoked() {
	case nvgpu.Good:
		a.check(name, true, "", fmt.Sprintf("%d certificates good", len(d.Revocation)), "")
	case nvgpu.Held:
		q.judgeHeld(a, name, d)
	default:
		switch {
		case held && q.revocation != gpuRevocationAllowHold:
			q.judgeHeld(a, name, d)
		case q.revocation == gpuRevocationAllowMissing:
			a.skip(name, nvgpu.CodeNoOCSP, "not every certificate was asked about", q.revocation.String())
		default:
			a.fail(name, nvgpu.CodeNoOCSP, "not every certificate was asked about", q.revocation.String())
		}
	}
}

func (q *gpuRules) judgeHeld(a *appraisal, name string, d *nvgpu.Claims) {
	var subjects []string
	for _, r := range d.Held() {
		subjects = append(subjects, strconv.Quote(r.Subject))
	}
	seen := "NVIDIA suspended " + strings.Join(subjects, ", ")
	if q.revocation == gpuRevocationAllowHold {
		a.skip(name, nvgpu.CodeHold, seen, q.revocation.String())
		return
	}
	a.fail(name, nvgpu.CodeHold, seen, "no certificate on hold")
}

func (q *gpuRules) judgeMeasurements(a *appraisal, name string, d *nvgpu.Claims) {
	const expected = "what NVIDIA's manifests list"
	differing := d.Differing()
	switch {
	case len(differing) != 0:
		places := make([]string, len(differing))
		for i, m := range differing {
			places[i] = fmt.Sprintf("%d (%s)", m.Index, m.Source)
		}
		a.fail(name, CodeGPUMeasured, "measurement "+strings.Join(places, ", ")+" is another", expected)
	case d.Golden():
		a.check(name, true, "", fmt.Sprintf("%d measurements, none differs", len(d.Measurements)), expected)
	case q.measurements == gpuMeasurementsAllowMissing:
		a.skip(name, nvgpu.CodeNoRIM, "not compared: no manifest for "+missingRIMs(d), q.measurements.String())
	default:
		a.fail(name, nvgpu.CodeNoRIM, "not compared: no manifest for "+missingRIMs(d), expected)
	}
}

func missingRIMs(d *nvgpu.Claims) string {
	var out []string
	for _, m := range []nvgpu.RIM{d.Driver, d.VBIOS} {
		if !m.Checked && m.ID != "" {
			out = append(out, m.ID)
		}
	}
	if len(out) == 0 {
		return "what the device says that it runs"
	}
	return strings.Join(out, " and ")
}

// gpus fits rules to the devices of a machine that is there: as many, and the
// versions that they run. Only what was not shown is loosened.
func (u *firstUse) gpus(parts []*attest.Claims) *gpuRules {
	q := &gpuRules{revocation: gpuRevocationRequire, measurements: gpuMeasurementsRequire}
	missing, held, compared := false, false, true
	for _, p := range parts {
		d, ok := p.Detail.(*nvgpu.Claims)
		if !ok || d == nil || d.Report == nil {
			continue
		}
		if p.Kind == attest.NVIDIAGPU {
			q.count++
			q.architectures = with(q.architectures, d.Arch.String())
			q.drivers = with(q.drivers, d.Report.Opaque.Driver)
		} else {
			q.switches++
		}
		q.vbios = with(q.vbios, d.Report.Opaque.VBIOS)
		missing = missing || d.Revoked() == nvgpu.NotChecked
		held = held || len(d.Held()) != 0
		compared = compared && d.Compared()
	}
	switch {
	case held && !missing:
		q.revocation = gpuRevocationAllowHold
		u.loosen("NVIDIA suspended a certificate of a GPU, and that is accepted")
	case missing && !held:
		q.revocation = gpuRevocationAllowMissing
		u.loosen("not every certificate of the GPUs was asked about, and none has to be")
	}
	if !compared {
		q.measurements = gpuMeasurementsAllowMissing
		u.loosen("the GPUs' measurements were not compared with NVIDIA's manifests")
	}
	for _, list := range []*[]string{&q.drivers, &q.vbios} {
		if len(*list) == 0 && q.count > 0 {
			*list = []string{wordAny}
			u.loosen("a GPU did not say what it runs, and anything is accepted")
		}
	}
	return q
}

// with adds a word that is not there yet.
func with(list []string, word string) []string {
	if word == "" || slices.Contains(list, word) {
		return list
	}
	return append(list, word)
}
