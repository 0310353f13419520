package appraise

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// tdxMachine is what an Intel TDX trust domain showed.
type tdxMachine struct {
	claims *attest.Claims
	detail *tdx.Claims
}

func newTDXMachine(c *attest.Claims, d *tdx.Claims) machine {
	if d == nil || d.Report == nil {
		return nil
	}
	return tdxMachine{c, d}
}

func (m tdxMachine) kinds() []attest.Kind { return []attest.Kind{attest.TDX} }

func (m tdxMachine) consistent() bool {
	c, r := m.claims, m.detail.Report
	return c.ReportData == r.ReportData && c.Nonce == nil &&
		slices.Equal(c.Measurement, r.MRTD[:]) &&
		slices.Equal(c.LaunchDigest, r.MRCONFIGID[:])
}

// essential: that the TCB info was held against a floor, since an old one calls
// an old platform up to date.
func (m tdxMachine) essential() []string { return []string{checkTCBStatus, checkTCBEvaluation} }

func (m tdxMachine) code() string { return tdxRegisters(m.detail.Report).String() }

func (m tdxMachine) summary(r Result) string {
	return "Intel TDX, " + tdxPlatform(m.detail).summary(r)
}

func (m tdxMachine) document() any {
	return tdxPlatform(m.detail).document(m.claims.Kind, m.detail.QuoteVersion)
}

func (m tdxMachine) judge(a *appraisal) {
	a.intel(a.trust.hardware.tdx.intelRules, tdxPlatform(m.detail))
	a.tdxReport(a.trust.hardware.tdx, m.detail.Report)
}

// tdxReport makes every check on what the host chose and which module runs. The
// registers that identify the code are compared as code.measurement.
func (a *appraisal) tdxReport(q tdxRules, r *tdx.Report) {
	a.tdxAttributes(q, r.Attributes)
	a.check("hardware.xfam", uint64(r.XFAM)&^q.xfam == 0 && uint64(r.XFAM)&3 == 3, CodeXFAM,
		fmt.Sprintf("%#x", uint64(r.XFAM)), fmt.Sprintf("0x3 and no bit outside %#x", q.xfam))
	a.check("hardware.seam_signer", r.MRSIGNERSEAM == [48]byte{}, CodeSEAM, shortOrNone(r.MRSIGNERSEAM[:]), "none: Intel's")
	a.check("hardware.seam_attributes", r.SEAMAttributes == 0, CodeSEAM, fmt.Sprintf("%#x", r.SEAMAttributes), "0x0")
	a.listed("hardware.accepted_seam", CodeSEAM, fmt.Sprintf("%x", r.MRSEAM), len(q.mrseam), slices.Contains(q.mrseam, r.MRSEAM))
	a.tdxOwner("hardware.mrowner", CodeOwner, r.MROWNER, q.mrowner)
	a.tdxOwner("hardware.mrowner_config", CodeOwner, r.MROWNERCONFIG, q.mrownerConfig)
	a.tdxOwner("hardware.service_td", CodeServiceTD, r.MRSERVICETD, q.serviceTD)
	// The module that a trust domain was made under may be older than the one
	// that runs now, never newer: that would be a way back to a weak one.
	older := r.HasExtension && !svnAtLeast(r.TEETCBSVN2, r.TEETCBSVN)
	a.check("hardware.module_order", !older, CodeModuleOrder,
		fmt.Sprintf("made under %x, now %x", r.TEETCBSVN, r.TEETCBSVN2), "the module that runs to be at least as new")
}

func svnAtLeast(a, b [16]byte) bool {
	for i := range a {
		if a[i] < b[i] {
			return false
		}
	}
	return true
}

// tdxAttributes looks at every bit of TD_ATTRIBUTES. They are no part of any
// measurement: the host chose them. Debug and migration have no rule, and a
// guest whose pages may be taken and given back has none either.
func (a *appraisal) tdxAttributes(q tdxRules, seen tdx.Attributes) {
	a.check("hardware.debug", !seen.Debug(), CodeDebug, fmt.Sprintf("%#x", uint64(seen&tdx.AttributeTUD)), "no bit of TUD")
	a.check("hardware.migration", !seen.Migratable(), CodeMigration, onOff(seen.Migratable()), "off")
	a.check("hardware.sept_ve_disable", seen.SeptVEDisable(), CodeTDAttributes, onOff(seen.SeptVEDisable()), "on")
	for _, n := range q.bits.rules() {
		a.bit("hardware.td_"+n.key, CodeTDAttributes, n.rule, seen.Has(tdxBit(n.key)))
	}
	a.check("hardware.td_reserved", seen.Reserved() == 0, CodeTDAttributes, fmt.Sprintf("%#x", uint64(seen)),
		fmt.Sprintf("no bit outside %#x", uint64(tdx.AttributesNamed)))
}

func tdxBit(key string) tdx.Attributes {
	switch key {
	case "icssd":
		return tdx.AttributeICSSD
	case "lass":
		return tdx.AttributeLASS
	case "pks":
		return tdx.AttributePKS
	case "kl":
		return tdx.AttributeKL
	case "tpa":
		return tdx.AttributeTPA
	case "perfmon":
		return tdx.AttributePerfmon
	}
	return 0
}

// tdxOwner compares a value that the host chose. Nobody who wrote a trust file
// without it had anything in mind that a host may put there.
func (a *appraisal) tdxOwner(name string, code attest.Code, seen, want [48]byte) {
	expected := fmt.Sprintf("%x", want)
	if want == [48]byte{} {
		expected = "none"
	}
	a.check(name, seen == want, code, shortOrNone(seen[:]), expected)
}

// tdxRules are what a trust file says about a trust domain.
type tdxRules struct {
	intelRules
	bits                              tdxBits
	xfam                              uint64 // bits that may be set
	mrseam                            [][48]byte
	mrowner, mrownerConfig, serviceTD [48]byte
}

// tdxBits are rules for the bits of TD_ATTRIBUTES that may be chosen.
type tdxBits struct{ icssd, lass, pks, kl, tpa, perfmon rule }

func (b tdxBits) rules() []namedRule {
	return []namedRule{{"icssd", b.icssd}, {"lass", b.lass}, {"pks", b.pks}, {"kl", b.kl}, {"tpa", b.tpa}, {"perfmon", b.perfmon}}
}

// linuxXFAM is what KVM offers to a trust domain: x87, SSE, AVX, AVX-512, PKRU,
// CET for user and supervisor, AMX (Linux arch/x86/kvm/vmx/tdx.c: the supported
// XCR0 and XSS). Processor trace (8), user interrupts (14) and last branch
// records (15) are not among them.
const linuxXFAM = 0x61ae7

func defaultTDX() tdxRules {
	return tdxRules{
		intelRules: defaultIntel(),
		bits:       tdxBits{icssd: ruleForbid, lass: ruleForbid, pks: ruleForbid, kl: ruleForbid, tpa: ruleForbid, perfmon: ruleForbid},
		xfam:       linuxXFAM,
	}
}

// tdxRulesDoc is the section hardware.tdx.
type tdxRulesDoc struct {
	Pos           strictyaml.Pos
	Statuses      []strictyaml.At[string] `yaml:"tcb_status"`
	Advisories    []strictyaml.At[string] `yaml:"advisories"`
	Evaluation    strictyaml.At[uint32]   `yaml:"tcb_evaluation"`
	FMSPC         []strictyaml.At[hex6]   `yaml:"fmspc"`
	PIID          []strictyaml.At[hex16]  `yaml:"piid"`
	Integrity     strictyaml.At[rule]     `yaml:"memory_integrity"`
	SMT           strictyaml.At[rule]     `yaml:"smt"`
	ICSSD         rule                    `yaml:"icssd"`
	LASS          rule                    `yaml:"lass"`
	PKS           rule                    `yaml:"pks"`
	KL            rule                    `yaml:"kl"`
	TPA           rule                    `yaml:"tpa"`
	Perfmon       rule                    `yaml:"perfmon"`
	XFAM          strictyaml.At[hexMask]  `yaml:"xfam"`
	MRSEAM        []strictyaml.At[hex48]  `yaml:"mrseam"`
	MROwner       hex48                   `yaml:"mrowner"`
	MROwnerConfig hex48                   `yaml:"mrowner_config"`
	ServiceTD     hex48                   `yaml:"service_td"`
}

func (r *reader) tdxRules(path string, d *tdxRulesDoc, out *tdxRules) {
	r.intelRules(path, intelRulesDoc{d.Statuses, d.Advisories, d.Evaluation, d.FMSPC, d.PIID, d.Integrity, d.SMT}, &out.intelRules)
	for _, b := range []struct {
		in  rule
		out *rule
	}{
		{d.ICSSD, &out.bits.icssd}, {d.LASS, &out.bits.lass}, {d.PKS, &out.bits.pks},
		{d.KL, &out.bits.kl}, {d.TPA, &out.bits.tpa}, {d.Perfmon, &out.bits.perfmon},
	} {
		if b.in != ruleUnset {
			*b.out = b.in
		}
	}
	if d.XFAM.Pos.Line != 0 {
		out.xfam = uint64(d.XFAM.Value)
		if out.xfam&3 != 3 {
			r.errs.Add(d.XFAM.Pos, path+".xfam", "", d.XFAM.Value.String(), "a mask with bits 0 and 1, which every trust domain has")
		}
	}
	for _, v := range list(r, d.MRSEAM, path+".mrseam") {
		out.mrseam = append(out.mrseam, v)
	}
	out.mrowner, out.mrownerConfig, out.serviceTD = d.MROwner, d.MROwnerConfig, d.ServiceTD
}

// fields are the keys that differ from the defaults.
func (q tdxRules) fields() []field {
	def := defaultTDX()
	out := q.intelRules.fields()
	for _, b := range q.bits.rules() {
		if b.rule != ruleOf(def.bits.rules(), b.key) {
			out = append(out, field{b.key, b.rule.String()})
		}
	}
	if q.xfam != def.xfam {
		out = append(out, field{"xfam", hexMask(q.xfam).String()})
	}
	if len(q.mrseam) != 0 {
		out = append(out, field{"mrseam", flow(hexes(q.mrseam))})
	}
	for _, f := range []struct {
		key   string
		value [48]byte
	}{{"mrowner", q.mrowner}, {"mrowner_config", q.mrownerConfig}, {"service_td", q.serviceTD}} {
		if f.value != [48]byte{} {
			out = append(out, field{f.key, strQuote(f.value[:])})
		}
	}
	return out
}

// hexMask is a set of bits, written 0x and hex digits.
type hexMask uint64

func (h *hexMask) UnmarshalText(text []byte) error {
	n, err := parseHexMask(string(text))
	*h = hexMask(n)
	return err
}

func (h hexMask) String() string { return fmt.Sprintf("%#x", uint64(h)) }

// register48 is the value of a register of 48 bytes: hex digits, the word zero
// for one that was never extended, or the word any.
type register48 struct {
	any   bool
	value [48]byte
}

const wordZero = "zero"

func (v *register48) UnmarshalText(text []byte) error {
	switch string(text) {
	case wordAny:
		v.any = true
		return nil
	case wordZero:
		return nil
	}
	b, err := fixedHex(text, len(v.value))
	if err != nil {
		return fmt.Errorf("%w, or the words zero or any", err)
	}
	copy(v.value[:], b)
	return nil
}

func (v register48) String() string {
	switch {
	case v.any:
		return wordAny
	case v.value == [48]byte{}:
		return wordZero
	}
	return hex.EncodeToString(v.value[:])
}

// identifies reports whether only some machines have the value.
func (v register48) identifies() bool { return !v.any && v.value != [48]byte{} }

func (v register48) accepts(seen [48]byte) bool { return v.any || v.value == seen }

// tdxReferenceDoc is the section tdx of an entry of accept. All five registers
// are named: one that was left out would be one that nobody looks at.
type tdxReferenceDoc struct {
	MRTD  strictyaml.At[register48] `yaml:"mrtd,required"`
	RTMR0 register48                `yaml:"rtmr0,required"`
	RTMR1 register48                `yaml:"rtmr1,required"`
	RTMR2 register48                `yaml:"rtmr2,required"`
	RTMR3 register48                `yaml:"rtmr3,required"`
}

func (r *reader) tdxReference(path string, d *tdxReferenceDoc) codeValues {
	if d.MRTD.Value == (register48{}) {
		r.fail(d.MRTD.Pos, path+".mrtd", "no trust domain has a measurement of zeros")
		return nil
	}
	return tdxReference{d.MRTD.Value, d.RTMR0, d.RTMR1, d.RTMR2, d.RTMR3}
}

// tdxReference is MRTD and RTMR0 to RTMR3 as the build computed them.
type tdxReference [5]register48

// tdxRegisters returns the registers of a trust domain as reference values.
func tdxRegisters(r *tdx.Report) tdxReference {
	return tdxReference{{value: r.MRTD}, {value: r.RTMR[0]}, {value: r.RTMR[1]}, {value: r.RTMR[2]}, {value: r.RTMR[3]}}
}

func (v tdxReference) matches(c *attest.Claims) bool {
	d, _ := c.Detail.(*tdx.Claims)
	if d == nil || d.Report == nil {
		return false
	}
	for i, seen := range tdxRegisters(d.Report) {
		if !v[i].accepts(seen.value) {
			return false
		}
	}
	return v[0] != register48{}
}

func (v tdxReference) identifies() bool { return slices.ContainsFunc(v[:], register48.identifies) }

func (v tdxReference) fields() []field {
	out := make([]field, len(v))
	for i, key := range []string{"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"} {
		out[i] = field{key, v[i].String()}
	}
	return out
}

func (v tdxReference) String() string {
	var parts []string
	for _, f := range v.fields() {
		parts = append(parts, f.key+" "+f.value)
	}
	return strings.Join(parts, " ")
}

// tdx takes the registers of a box that is there, and loosens what keeps its
// machine from being accepted.
func (u *firstUse) tdx(d *tdx.Claims) codeValues {
	q, r := &u.trust.hardware.tdx, d.Report
	u.intel(&q.intelRules, tdxPlatform(d))
	for _, b := range []struct {
		bit  tdx.Attributes
		rule *rule
		text string
	}{
		{tdx.AttributeICSSD, &q.bits.icssd, "icssd"}, {tdx.AttributeLASS, &q.bits.lass, "lass"}, {tdx.AttributePKS, &q.bits.pks, "pks"},
		{tdx.AttributeKL, &q.bits.kl, "kl"}, {tdx.AttributeTPA, &q.bits.tpa, "tpa"}, {tdx.AttributePerfmon, &q.bits.perfmon, "perfmon"},
	} {
		if r.Attributes.Has(b.bit) {
			*b.rule = ruleAllow
			u.loosen("the trust domain has the attribute %s", b.text)
		}
	}
	if extra := uint64(r.XFAM) &^ q.xfam; extra != 0 {
		q.xfam |= extra
		u.loosen("the trust domain may use processor state %#x besides what Linux needs", extra)
	}
	q.mrowner, q.mrownerConfig, q.serviceTD = r.MROWNER, r.MROWNERCONFIG, r.MRSERVICETD
	if r.MRSERVICETD != [48]byte{} {
		u.loosen("a service trust domain %s is bound to it", short(r.MRSERVICETD[:]))
	}
	return tdxRegisters(r)
}
