package dcap

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// reaches reports whether a package has at least the level's numbers, each of
// them: a processor may be newer in one part and older in another.
func (p *PCK) reaches(l *PlatformLevel) bool {
	for i, svn := range l.SGX {
		if p.Components[i] < svn {
			return false
		}
	}
	return p.PCESVN >= l.PCESVN
}

// reaches reports whether TEE_TCB_SVN has at least the level's numbers. The first
// two are SVN and version of the TDX module; if the version is not 0 the module
// has an identity with levels of its own and they are not compared here.
func (t *TDReport) reaches(l *PlatformLevel) bool {
	from := 0
	if t.TEETCBSVN[1] > 0 {
		from = 2
	}
	for i := from; i < len(l.TDX); i++ {
		if t.TEETCBSVN[i] < l.TDX[i] {
			return false
		}
	}
	return true
}

// levels finds the first level that the processor reaches and, for TDX, the
// first that both the processor and the TD's numbers reach.
func (t *TCBInfo) levels(p *PCK, td *TDReport) (hardware, platform *PlatformLevel) {
	for i := range t.Levels {
		l := &t.Levels[i]
		if !p.reaches(l) {
			continue
		}
		if hardware == nil {
			hardware = l
		}
		if td == nil || td.reaches(l) {
			return hardware, l
		}
	}
	return hardware, nil
}

// moduleLevel finds the level of a TDX module of a version that has an identity.
func (m *ModuleIdentity) moduleLevel(svn uint8) *Level {
	for i := range m.Levels {
		if uint16(svn) >= m.Levels[i].ISVSVN {
			return &m.Levels[i].Level
		}
	}
	return nil
}

// checkModule establishes that Intel signed the TDX module that measured the TD:
// by its signer and attributes, which its version's identity gives; version 0
// has none and falls under the document's own. Attributes must also be zero,
// whatever the mask says: none is defined that a module may have in production.
func (t *TCBInfo) checkModule(td *TDReport) (*ModuleIdentity, *pki.Problem) {
	version := td.TEETCBSVN[1]
	signer := t.Module
	var m *ModuleIdentity
	if version > 0 {
		if m = t.module(version); m == nil {
			return nil, &pki.Problem{Code: CodeTDXModule, Seen: fmt.Sprintf("TDX module version %d", version), Expected: "one of Intel's module identities"}
		}
		signer = &m.ModuleSigner
	}
	switch {
	case signer == nil:
		return nil, &pki.Problem{Code: CodeTDXModule, Seen: "no TDX module in the TCB info", Expected: "its signer"}
	case td.MRSIGNERSEAM != signer.MRSIGNER:
		return nil, &pki.Problem{Code: CodeTDXModule, Seen: fmt.Sprintf("MRSIGNERSEAM %x...", td.MRSIGNERSEAM[:8]), Expected: fmt.Sprintf("%x...", signer.MRSIGNER[:8])}
	case td.SEAMAttributes != 0 || signer.Attributes != [8]byte{}:
		return nil, &pki.Problem{Code: CodeTDXModule, Seen: fmt.Sprintf("SEAMATTRIBUTES %#x", td.SEAMAttributes), Expected: fmt.Sprintf("0, Intel's %x", signer.Attributes)}
	}
	return m, nil
}

// convergeModule is what platform and TDX module amount to together.
func convergeModule(platform, module Status) Status {
	switch module {
	case UpToDate:
		return platform
	case Revoked:
		return Revoked
	case OutOfDate:
		return outOfDate(platform)
	}
	return StatusUnknown
}

// convergeQE is what the rest and the quoting enclave amount to together. Of a
// quoting enclave, all that is neither up to date nor revoked is out of date.
func convergeQE(rest, qe Status) Status {
	switch qe {
	case UpToDate:
		return rest
	case Revoked:
		return Revoked
	case StatusUnknown:
		return StatusUnknown
	}
	return outOfDate(rest)
}

// outOfDate adds a part that is out of date to a status.
func outOfDate(s Status) Status {
	switch s {
	case UpToDate, SWHardeningNeeded:
		return OutOfDate
	case ConfigurationNeeded, ConfigurationAndSWHardeningNeeded:
		return OutOfDateConfigurationNeeded
	}
	return s
}

func (s Status) configurationNeeded() bool {
	return s == ConfigurationNeeded || s == ConfigurationAndSWHardeningNeeded || s == OutOfDateConfigurationNeeded
}

// relaunch tells a TD that was started under an old module on a machine whose
// module has been updated since (TEE_TCB_SVN_2, TDX 1.5) from a machine that is
// still out of date: the first only has to be started again. It changes nothing
// unless the processor and the quoting enclave are fine and the module alone is
// behind.
func (t *TCBInfo) relaunch(td *TDReport, hardware, status, module, qe Status) (Status, *pki.Problem) {
	fine := hardware == UpToDate || hardware == SWHardeningNeeded || hardware == ConfigurationNeeded || hardware == ConfigurationAndSWHardeningNeeded
	behind := (status == OutOfDate || status == OutOfDateConfigurationNeeded) && module == OutOfDate
	if qe != UpToDate || !fine || !behind {
		return status, nil
	}
	latest := &t.Levels[0]
	need := uint16(latest.TDX[0])
	if version := td.TEETCBSVN2[1]; version > 0 {
		m := t.module(version)
		if m == nil {
			return StatusUnknown, &pki.Problem{Code: CodeTDXModule, Seen: fmt.Sprintf("TDX module version %d runs now", version), Expected: "one of Intel's module identities"}
		}
		need = m.Levels[0].ISVSVN
	}
	if uint16(td.TEETCBSVN2[0]) < need || td.TEETCBSVN2[2] < latest.TDX[2] {
		return status, nil
	}
	if hardware.configurationNeeded() || status.configurationNeeded() {
		return TDRelaunchAdvisedConfigurationNeeded, nil
	}
	return TDRelaunchAdvised, nil
}

// evaluate finds out how the machine stands. The checks it returns are those of
// the TDX module and of the levels.
func (t *TCBInfo) evaluate(p *PCK, q *Quote, identity *QEIdentity) (*TCB, []attest.Check) {
	var checks []attest.Check
	out := &TCB{Evaluation: t.Evaluation, QEEvaluation: identity.Evaluation}
	qe := identity.level(q.QEReport.ISVSVN)
	hardware, platform := t.levels(p, q.TD)
	switch {
	case platform == nil:
		return nil, append(checks, noLevel("hardware.tcb_level", "the machine's numbers"))
	case qe == nil:
		return nil, append(checks, noLevel("hardware.qe_level", fmt.Sprintf("the quoting enclave's SVN %d", q.QEReport.ISVSVN)))
	}
	out.Hardware, out.Platform, out.QE = hardware.Level.clone(), platform.Level.clone(), qe.clone()
	out.Status = platform.Status
	if q.TD != nil {
		problem := t.evaluateModule(q, out)
		if problem != nil {
			return nil, append(checks, problem.Check("hardware.tdx_module"))
		}
		checks = append(checks, pki.Judge("hardware.tdx_module", true, "", moduleName(out), ""))
	}
	out.Status = convergeQE(out.Status, qe.Status)
	out.collectAdvisories()
	return out, append(checks, pki.Judge("hardware.tcb_level", out.Status != StatusUnknown, CodeNoTCBLevel, out.Status.String(), "a known status"))
}

func noLevel(name, what string) attest.Check {
	return pki.Judge(name, false, CodeNoTCBLevel, what+": no level reached", "one of Intel's levels")
}

func moduleName(t *TCB) string {
	if t.Module == nil {
		return "signed by Intel"
	}
	return t.ModuleID + ", " + t.Module.Status.String()
}

// evaluateModule adds the TDX module to the status.
func (t *TCBInfo) evaluateModule(q *Quote, out *TCB) *pki.Problem {
	m, problem := t.checkModule(q.TD)
	if problem != nil {
		return problem
	}
	module := UpToDate
	if m != nil {
		level := m.moduleLevel(q.TD.TEETCBSVN[0])
		if level == nil {
			return &pki.Problem{Code: CodeNoTCBLevel, Seen: fmt.Sprintf("TDX module %s SVN %d", m.ID, q.TD.TEETCBSVN[0]), Expected: "one of its levels"}
		}
		own := level.clone()
		out.Module, out.ModuleID, module = &own, m.ID, level.Status
	}
	out.Status = convergeModule(out.Status, module)
	if q.BodyType == BodyTDX15 && out.Status != Revoked {
		out.Status, problem = t.relaunch(q.TD, out.Hardware.Status, out.Status, module, out.QE.Status)
	}
	return problem
}

// clone returns a copy that shares no memory with l.
func (l Level) clone() Level {
	l.Advisories = slices.Clone(l.Advisories)
	return l
}

// collectAdvisories lists what any of the parts misses.
func (t *TCB) collectAdvisories() {
	levels := []*Level{&t.Platform, &t.Hardware, &t.QE, t.Module}
	for _, l := range levels {
		if l != nil {
			t.Advisories = append(t.Advisories, l.Advisories...)
		}
	}
	slices.Sort(t.Advisories)
	t.Advisories = slices.Compact(t.Advisories)
}
