package appraise

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/tpm"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// CodeVMConfiguration is given to a machine that the paravisor says was set up in a
// way that the trust file does not accept.
const CodeVMConfiguration attest.Code = "vm_configuration"

// azureMachine is what an Azure VM showed: the hardware below the paravisor, the
// paravisor's word, and its TPM.
type azureMachine struct {
	claims   *attest.Claims
	detail   *azure.Claims
	hardware machine
}

func newAzureMachine(c *attest.Claims, d *azure.Claims) machine {
	if d == nil || d.Hardware == nil || d.Runtime == nil || newTPMMachine(c, d.TPM) == nil {
		return nil
	}
	if _, nested := d.Hardware.Detail.(*azure.Claims); nested {
		return nil
	}
	hardware := machineOf(d.Hardware)
	if hardware == nil {
		return nil
	}
	return azureMachine{c, d, hardware}
}

// azureHardware is the kind of hardware below each kind of Azure VM.
func azureHardware(k attest.Kind) attest.Kind {
	switch k {
	case attest.AzureSNP:
		return attest.SNP
	case attest.AzureTDX:
		return attest.TDX
	}
	return attest.KindInvalid
}

func (m azureMachine) kinds() []attest.Kind { return []attest.Kind{attest.AzureSNP, attest.AzureTDX} }

func (m azureMachine) consistent() bool {
	hw := m.detail.Hardware
	return hw.Kind.Valid() && hw.Kind == azureHardware(m.claims.Kind) && !hw.Simulated &&
		slices.Contains(m.hardware.kinds(), hw.Kind) && m.hardware.consistent() &&
		tpmConsistent(m.claims, m.detail.TPM) && m.detail.TPM.Binding == tpm.ByHardware &&
		slices.Equal(m.claims.Measurement, hw.Measurement)
}

func (m azureMachine) essential() []string { return m.hardware.essential() }

func (m azureMachine) code() string {
	return fmt.Sprintf("paravisor %x %s", m.claims.Measurement, tpmSeen(m.detail.TPM))
}

func (m azureMachine) summary(r Result) string {
	return "Azure paravisor with vTPM on " + m.hardware.summary(r)
}

// azureJSON describes an Azure VM in the stable form of a Result.
type azureJSON struct {
	Kind     string                `json:"kind"`
	Hardware any                   `json:"hardware"`
	TPM      *tpmJSON              `json:"tpm"`
	VM       azure.VMConfiguration `json:"vm_configuration"`
}

func (m azureMachine) document() any {
	return &azureJSON{
		Kind: m.claims.Kind.String(), Hardware: m.hardware.document(),
		TPM: tpmDocument(m.claims.Kind, m.detail.TPM), VM: m.detail.Runtime.VM,
	}
}

// judge makes every check on the hardware below the paravisor, with the rules for
// that hardware, then those on the paravisor and its TPM.
func (m azureMachine) judge(a *appraisal) {
	m.hardware.judge(a)
	q := a.trust.hardware.azure
	a.said("hardware.azure_console", q.console, m.detail.Runtime.VM.ConsoleEnabled)
	a.said("hardware.azure_secure_boot", q.secureBoot, m.detail.Runtime.VM.SecureBoot)
	a.tpmState(tpmRules{clock: q.clock, firmware: q.firmware}, m.detail.TPM)
	if b := m.detail.TPM.Boot; b != nil {
		a.secureBoot(q.secureBoot, b)
	}
}

// said compares what the paravisor says with a rule. Where it says nothing, only
// a rule that allows either is met.
func (a *appraisal) said(name string, want rule, on *bool) {
	if on == nil && want != ruleAllow {
		a.fail(name, CodeVMConfiguration, "not said", want.String())
		return
	}
	a.bit(name, CodeVMConfiguration, want, on != nil && *on)
}

// azureReferenceDoc is the section azure-sev-snp or azure-tdx of an entry of accept.
type azureReferenceDoc struct {
	Pos         strictyaml.Pos
	Measurement register48 `yaml:"measurement,required"`
	PCRs        tpmPCRs    `yaml:"pcrs,required"`
}

// azureReference is the measurement of the paravisor and the registers of its TPM.
type azureReference struct {
	kind      attest.Kind
	paravisor register48
	pcrs      tpmReference
}

func (r *reader) azureReference(path string, k attest.Kind, d *azureReferenceDoc) codeValues {
	if d.Measurement == (register48{}) {
		r.fail(d.Pos, path+".measurement", "no paravisor has a measurement of zeros")
	}
	return azureReference{k, d.Measurement, r.pcrs(path+".pcrs", d.PCRs, codeRegisters())}
}

// identifies asks for both. The paravisor is Microsoft's and the same below
// everybody's machine; without it, the registers are anybody's word.
func (v azureReference) identifies() bool { return v.paravisor.identifies() && v.pcrs.identifies() }

func (v azureReference) matches(c *attest.Claims) bool {
	if c.Kind != v.kind || len(c.Measurement) != 48 || v.paravisor == (register48{}) {
		return false
	}
	return v.paravisor.accepts([48]byte(c.Measurement)) && v.pcrs.matches(c)
}

func (v azureReference) fields() []field {
	return append([]field{{"measurement", v.paravisor.String()}}, v.pcrs.fields()...)
}

func (v azureReference) String() string {
	return "paravisor " + v.paravisor.String() + " " + v.pcrs.String()
}

// azureRulesDoc is the section hardware.azure.
type azureRulesDoc struct {
	Pos        strictyaml.Pos
	Console    rule                     `yaml:"console"`
	SecureBoot rule                     `yaml:"secure_boot"`
	Clock      rule                     `yaml:"clock"`
	Firmware   []strictyaml.At[hexMask] `yaml:"firmware"`
}

// azureRules are what a trust file says about a paravisor and its TPM. What it says
// about the hardware below stands where that hardware's rules do.
type azureRules struct {
	console, secureBoot, clock rule
	firmware                   []hexMask
}

func defaultAzure() azureRules {
	return azureRules{console: ruleForbid, secureBoot: ruleRequire, clock: ruleRequire}
}

func (q *azureRules) rules() []struct {
	key  string
	rule *rule
} {
	return []struct {
		key  string
		rule *rule
	}{{"console", &q.console}, {"secure_boot", &q.secureBoot}, {"clock", &q.clock}}
}

func (r *reader) azureRules(_ string, d *azureRulesDoc, out *azureRules) {
	for i, in := range []rule{d.Console, d.SecureBoot, d.Clock} {
		if in != ruleUnset {
			*out.rules()[i].rule = in
		}
	}
	for _, f := range d.Firmware {
		out.firmware = append(out.firmware, f.Value)
	}
}

// fields are the keys that differ from the defaults.
func (q azureRules) fields() []field {
	var out []field
	def := defaultAzure()
	for i, b := range q.rules() {
		if *b.rule != *def.rules()[i].rule {
			out = append(out, field{b.key, b.rule.String()})
		}
	}
	if len(q.firmware) != 0 {
		out = append(out, field{"firmware", flow(q.firmware)})
	}
	return out
}

// azure takes the registers of a box that is there, and loosens what keeps its
// machine from being accepted.
func (u *firstUse) azure(c *attest.Claims, d *azure.Claims) codeValues {
	m := newAzureMachine(c, d)
	if m == nil || u.code(d.Hardware) == nil {
		return nil
	}
	q := &u.trust.hardware.azure
	if v := d.Runtime.VM.ConsoleEnabled; v == nil || *v {
		q.console = ruleAllow
		u.loosen("the host has a serial console of the machine")
	}
	b := d.TPM.Boot
	if v := d.Runtime.VM.SecureBoot; v == nil || !*v || b != nil && (b.SecureBoot == nil || !b.SecureBoot.Enabled) {
		q.secureBoot = ruleAllow
		u.loosen("nothing shows that Secure Boot was on")
	}
	if !d.TPM.Quote.Clock.Safe {
		q.clock = ruleAllow
		u.loosen("the TPM's clock may have gone back")
	}
	seen := tpmSeen(d.TPM)
	delete(seen, 0)
	delete(seen, 2)
	return azureReference{c.Kind, register48{value: [48]byte(c.Measurement)}, seen}
}
