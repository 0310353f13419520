package dcap

import (
	"fmt"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// TestConvergence holds the two tables against those of Intel's Quote
// Verification Library, written out: rows are the platform's status, columns the
// part's.
func TestConvergence(t *testing.T) {
	for _, c := range []struct{ rest, part, want Status }{
		{UpToDate, UpToDate, UpToDate},
		{SWHardeningNeeded, UpToDate, SWHardeningNeeded},
		{ConfigurationNeeded, UpToDate, ConfigurationNeeded},
		{ConfigurationAndSWHardeningNeeded, UpToDate, ConfigurationAndSWHardeningNeeded},
		{OutOfDate, UpToDate, OutOfDate},
		{OutOfDateConfigurationNeeded, UpToDate, OutOfDateConfigurationNeeded},
		{Revoked, UpToDate, Revoked},
		{UpToDate, OutOfDate, OutOfDate},
		{SWHardeningNeeded, OutOfDate, OutOfDate},
		{ConfigurationNeeded, OutOfDate, OutOfDateConfigurationNeeded},
		{ConfigurationAndSWHardeningNeeded, OutOfDate, OutOfDateConfigurationNeeded},
		{OutOfDate, OutOfDate, OutOfDate},
		{OutOfDateConfigurationNeeded, OutOfDate, OutOfDateConfigurationNeeded},
		{Revoked, OutOfDate, Revoked},
		{UpToDate, Revoked, Revoked},
		{OutOfDate, Revoked, Revoked},
		{OutOfDateConfigurationNeeded, Revoked, Revoked},
		{Revoked, Revoked, Revoked},
		{UpToDate, StatusUnknown, StatusUnknown},
		{StatusUnknown, UpToDate, StatusUnknown},
	} {
		if got := convergeModule(c.rest, c.part); got != c.want {
			t.Errorf("platform %s, module %s: %s, expected %s", c.rest, c.part, got, c.want)
		}
		if got := convergeQE(c.rest, c.part); got != c.want {
			t.Errorf("rest %s, QE %s: %s, expected %s", c.rest, c.part, got, c.want)
		}
	}
	if got := convergeQE(UpToDate, ConfigurationNeeded); got != OutOfDate {
		t.Errorf("a QE that needs configuration: %s", got)
	}
	if got := convergeModule(UpToDate, SWHardeningNeeded); got != StatusUnknown {
		t.Errorf("a module with a status that modules do not have: %s", got)
	}
	if got := convergeQE(TDRelaunchAdvised, UpToDate); got != TDRelaunchAdvised {
		t.Errorf("relaunch advised, QE up to date: %s", got)
	}
}

type levelCase struct {
	name string
	tee  TEE
	edit func(*forged)
	want Status
	fail string
}

func tdxLevels() []levelCase {
	v15 := func(svn2 [16]byte, edit func(*forged)) func(*forged) {
		return func(f *forged) {
			f.version, f.bodyType, f.td.TCBSVN2 = 5, intelforge.BodyTDX15, svn2
			if edit != nil {
				edit(f)
			}
		}
	}
	old := func(f *forged) { f.td.TCBSVN[0] = 2 } // module TDX_01 at the level that is out of date
	return []levelCase{
		{"up to date", TDX, func(*forged) {}, UpToDate, ""},
		{"TDX microcode behind", TDX, func(f *forged) { f.td.TCBSVN[2] = 6 }, OutOfDate, ""},
		{"TDX microcode below every level", TDX, func(f *forged) { f.td.TCBSVN[2] = 4 }, 0, "hardware.tcb_level no_tcb_level"},
		{"processor behind", TDX, func(f *forged) { f.facts.Components[0] = 6 }, OutOfDate, ""},
		{"last component behind", TDX, func(f *forged) { f.info.Levels[0].TCB.SGX[15].SVN = 1 }, OutOfDate, ""},
		{"last TDX component behind", TDX, func(f *forged) { f.info.Levels[0].TCB.TDX[15].SVN = 1 }, OutOfDate, ""},
		{"processor newer in one, older in another", TDX, func(f *forged) { f.facts.Components = [16]byte{255, 6, 2, 2, 3, 1, 0, 3} }, OutOfDate, ""},
		{"processor below every level", TDX, func(f *forged) { f.facts.Components[1] = 4 }, 0, "hardware.tcb_level no_tcb_level"},
		{"PCE behind", TDX, func(f *forged) { f.facts.PCESVN = 10; f.facts.Components[7] = 0 }, OutOfDate, ""},
		{"PCE below every level", TDX, func(f *forged) { f.facts.PCESVN = 4 }, 0, "hardware.tcb_level no_tcb_level"},
		{"platform revoked, module up to date", TDX, func(f *forged) { f.info.Levels[0].Status = "Revoked" }, Revoked, ""},
		{"platform out of date, module up to date", TDX, func(f *forged) { f.info.Levels[0].Status = "OutOfDate" }, OutOfDate, ""},
		{"platform needs configuration, module out of date", TDX, func(f *forged) { f.info.Levels[0].Status = "ConfigurationNeeded"; old(f) }, OutOfDateConfigurationNeeded, ""},
		{"module out of date", TDX, old, OutOfDate, ""},
		{"module revoked", TDX, func(f *forged) { f.info.TDXModuleIdentities[1].Levels[0].Status = "Revoked" }, Revoked, ""},
		{"module below every level", TDX, func(f *forged) { f.td.TCBSVN[0] = 1 }, 0, "hardware.tdx_module no_tcb_level"},
		{"module of an unknown version", TDX, func(f *forged) { f.td.TCBSVN[1] = 2 }, 0, "hardware.tdx_module tdx_module"},
		{"module of another version", TDX, func(f *forged) { f.td.TCBSVN[1] = 3 }, UpToDate, ""},
		{"module without identities", TDX, func(f *forged) { f.info.TDXModuleIdentities = nil }, 0, "hardware.tdx_module tdx_module"},
		{"version 0, all compared", TDX, func(f *forged) { f.td.TCBSVN = [16]byte{5, 0, 7} }, UpToDate, ""},
		{"version 0, module behind", TDX, func(f *forged) { f.td.TCBSVN = [16]byte{4, 0, 7} }, OutOfDate, ""},
		{"version 0, without identities", TDX, func(f *forged) { f.td.TCBSVN = [16]byte{5, 0, 7}; f.info.TDXModuleIdentities = nil }, UpToDate, ""},
		{"version 0, another signer", TDX, func(f *forged) { f.td.TCBSVN = [16]byte{5, 0, 7}; f.td.MRSIGNERSEAM[47] = 1 }, 0, "hardware.tdx_module tdx_module"},
		{"another signer", TDX, func(f *forged) { f.td.MRSIGNERSEAM[0] = 1 }, 0, "hardware.tdx_module tdx_module"},
		{"signer of the identity, not of the document", TDX, func(f *forged) { f.info.TDXModule.MRSIGNER = "01" + f.info.TDXModule.MRSIGNER[2:] }, UpToDate, ""},
		{"module attributes", TDX, func(f *forged) { f.td.SEAMAttributes = 1 << 63 }, 0, "hardware.tdx_module tdx_module"},
		{"module attributes that Intel expects", TDX, func(f *forged) {
			f.td.SEAMAttributes = 1
			f.info.TDXModuleIdentities[1].Attributes = "0100000000000000"
		}, 0, "hardware.tdx_module tdx_module"},
		{"module attributes that Intel expects and are not there", TDX, func(f *forged) { f.info.TDXModuleIdentities[1].Attributes = "0100000000000000" }, 0, "hardware.tdx_module tdx_module"},
		{"identity in another case", TDX, func(f *forged) { f.info.TDXModuleIdentities[1].ID = "tdx_01" }, UpToDate, ""},
		{"QE out of date", TDX, func(f *forged) { f.qe.ISVSVN = 3 }, OutOfDate, ""},
		{"QE revoked", TDX, func(f *forged) { f.identity.Levels[0].Status = "Revoked" }, Revoked, ""},
		{"levels in another order", TDX, func(f *forged) { slices.Reverse(f.info.Levels) }, UpToDate, ""},
		{"module levels in another order", TDX, func(f *forged) { slices.Reverse(f.info.TDXModuleIdentities[1].Levels) }, UpToDate, ""},

		{"relaunch", TDX, v15([16]byte{4, 1, 7}, old), TDRelaunchAdvised, ""},
		{"relaunch and configuration", TDX, v15([16]byte{4, 1, 7}, func(f *forged) { old(f); f.info.Levels[0].Status = "ConfigurationNeeded" }), TDRelaunchAdvisedConfigurationNeeded, ""},
		{"relaunch with software hardening", TDX, v15([16]byte{4, 1, 7}, func(f *forged) { old(f); f.info.Levels[0].Status = "SWHardeningNeeded" }), TDRelaunchAdvised, ""},
		{"no relaunch in TDX 1.0", TDX, func(f *forged) { old(f); f.td.TCBSVN2 = [16]byte{4, 1, 7} }, OutOfDate, ""},
		{"module still behind", TDX, v15([16]byte{3, 1, 7}, old), OutOfDate, ""},
		{"microcode still behind", TDX, v15([16]byte{4, 1, 6}, old), OutOfDate, ""},
		{"relaunch to another version", TDX, v15([16]byte{2, 3, 7}, old), TDRelaunchAdvised, ""},
		{"another version still behind", TDX, v15([16]byte{1, 3, 7}, old), OutOfDate, ""},
		{"unknown module runs now", TDX, v15([16]byte{9, 9, 9}, old), 0, "hardware.tdx_module tdx_module"},
		{"relaunch to version 0", TDX, v15([16]byte{5, 0, 7}, old), TDRelaunchAdvised, ""},
		{"version 0 still behind", TDX, v15([16]byte{4, 0, 7}, old), OutOfDate, ""},
		{"up to date in TDX 1.5", TDX, v15([16]byte{5, 1, 7}, nil), UpToDate, ""},
		{"no relaunch if the processor is behind", TDX, v15([16]byte{4, 1, 7}, func(f *forged) { old(f); f.facts.Components[0] = 6 }), OutOfDate, ""},
		{"no relaunch if the QE is behind", TDX, v15([16]byte{4, 1, 7}, func(f *forged) { old(f); f.qe.ISVSVN = 3 }), OutOfDate, ""},
		{"no relaunch if the module is fine", TDX, v15([16]byte{5, 1, 7}, func(f *forged) { f.td.TCBSVN[2] = 6 }), OutOfDate, ""},
		{"no relaunch of what is revoked", TDX, v15([16]byte{9, 9, 9}, func(f *forged) { f.info.TDXModuleIdentities[1].Levels[0].Status = "Revoked" }), Revoked, ""},
	}
}

func sgxLevels() []levelCase {
	status := func(name string) func(*forged) { return func(f *forged) { f.info.Levels[0].Status = name } }
	var out []levelCase
	for s := UpToDate; s <= Revoked; s++ {
		out = append(out, levelCase{"platform " + s.String(), SGX, status(s.String()), s, ""})
	}
	return append(out,
		levelCase{"second level", SGX, func(f *forged) { f.facts.Components[0] = 6 }, OutOfDate, ""},
		levelCase{"QE second level", SGX, func(f *forged) { f.qe.ISVSVN = 7 }, OutOfDate, ""},
		levelCase{"QE second level, configuration", SGX, func(f *forged) { f.qe.ISVSVN = 7; status("ConfigurationAndSWHardeningNeeded")(f) }, OutOfDateConfigurationNeeded, ""},
		levelCase{"QE below every level", SGX, func(f *forged) { f.qe.ISVSVN = 0 }, 0, "hardware.qe_level no_tcb_level"},
		levelCase{"below every level", SGX, func(f *forged) { f.facts.PCESVN = 0 }, 0, "hardware.tcb_level no_tcb_level"},
	)
}

func TestLevels(t *testing.T) {
	for _, c := range append(tdxLevels(), sgxLevels()...) {
		t.Run(fmt.Sprintf("%s/%s", c.tee, c.name), func(t *testing.T) {
			f := newForged(t, c.tee)
			c.edit(f)
			facts, checks := f.verify(t)
			if c.fail != "" {
				if got := failed(checks); !slices.Equal(got, []string{c.fail}) {
					t.Errorf("failed %q, expected %q", got, c.fail)
				}
				return
			}
			if facts == nil {
				t.Fatal(failed(checks))
			}
			if facts.TCB.Status != c.want {
				t.Errorf("%s, expected %s: %+v", facts.TCB.Status, c.want, facts.TCB)
			}
		})
	}
}

// TestParts: what each part is behind in stays visible.
func TestParts(t *testing.T) {
	f := newForged(t, TDX)
	f.td.TCBSVN, f.qe.ISVSVN = [16]byte{2, 1, 6}, 3
	f.info.Levels[0].Status, f.info.Levels[0].Advisories = "SWHardeningNeeded", []string{"INTEL-SA-00001"}
	f.identity.Levels[1].Advisories = []string{"INTEL-SA-00615", "INTEL-SA-00001"}
	facts, checks := f.verify(t)
	if facts == nil {
		t.Fatal(failed(checks))
	}
	got := facts.TCB
	if got.Status != OutOfDate || got.Hardware.Status != SWHardeningNeeded || got.Platform.Status != OutOfDate || got.Module.Status != OutOfDate || got.QE.Status != OutOfDate {
		t.Errorf("%+v", got)
	}
	if want := []string{"INTEL-SA-00001", "INTEL-SA-00615", "INTEL-SA-00960", "INTEL-SA-00982", "INTEL-SA-01036"}; !slices.Equal(got.Advisories, want) {
		t.Errorf("advisories %q, expected %q", got.Advisories, want)
	}
	if d := got.Platform.Date.Format(dateLayout); d != "2023-08-09T00:00:00Z" {
		t.Errorf("platform since %s", d)
	}
}

func TestStatusNames(t *testing.T) {
	for s := UpToDate; s <= TDRelaunchAdvisedConfigurationNeeded; s++ {
		text, err := s.MarshalText()
		got, ok := ParseStatus(string(text))
		if err != nil || !ok || got != s {
			t.Errorf("%d is written %q, read as %v", s, text, got)
		}
	}
	for _, name := range []string{"", "Unknown", "uptodate", "UpToDate "} {
		if s, ok := ParseStatus(name); ok || s != StatusUnknown {
			t.Errorf("%q is read as %v", name, s)
		}
	}
	if Status(99).String() != "Status(99)" {
		t.Error(Status(99).String())
	}
}
