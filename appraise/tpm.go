package appraise

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/tpm"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Codes that only the appraisal of a TPM gives.
const (
	CodeTPMUnbound  attest.Code = "tpm_unbound"    // nothing says whose attestation key it is
	CodeAK          attest.Code = "ak_not_allowed" // an attestation key that the trust file does not name
	CodeSecureBoot  attest.Code = "secure_boot"    // Secure Boot was off, or nothing shows that it was on
	CodeTPMClock    attest.Code = "tpm_clock"      // the TPM's clock may have gone back
	CodeTPMFirmware attest.Code = "tpm_firmware"   // TPM firmware that the trust file does not list
)

// tpmMachine is what a machine with a TPM showed. Its memory is not encrypted.
type tpmMachine struct {
	claims *attest.Claims
	detail *tpm.Claims
}

func newTPMMachine(c *attest.Claims, d *tpm.Claims) machine {
	if d == nil || d.Quote == nil || len(d.PCRs) == 0 {
		return nil
	}
	return tpmMachine{c, d}
}

func (m tpmMachine) kinds() []attest.Kind { return []attest.Kind{attest.TPM} }

func (m tpmMachine) consistent() bool {
	return tpmConsistent(m.claims, m.detail) && m.claims.Measurement == nil
}

// tpmConsistent compares what every kind with a TPM takes from it.
func tpmConsistent(c *attest.Claims, d *tpm.Claims) bool {
	return c.ReportData == [64]byte{} && slices.Equal(c.Nonce, d.Nonce()) && slices.Equal(c.LaunchDigest, d.LaunchDigest())
}

const checkAK = "hardware.accepted_ak"

// essential: that it is known whose key signed.
func (m tpmMachine) essential() []string { return []string{checkAK} }

func (m tpmMachine) code() string { return tpmSeen(m.detail).String() }

func (m tpmMachine) summary(Result) string {
	return fmt.Sprintf("TPM 2.0, attestation key %s %s; memory NOT encrypted", short(m.detail.AKName), m.detail.Binding)
}

// tpmJSON describes a TPM in the stable form of a Result.
type tpmJSON struct {
	Kind     string            `json:"kind"`
	AKName   string            `json:"ak_name"`
	Binding  string            `json:"binding"`
	Bank     string            `json:"bank"`
	PCRs     map[string]string `json:"pcrs"` // hex by index; those of zeros are left out
	Firmware string            `json:"firmware"`
	Resets   uint32            `json:"resets"`
	Restarts uint32            `json:"restarts"`
	Events   int               `json:"events,omitempty"`
	Secure   *bool             `json:"secure_boot,omitempty"`
}

func (m tpmMachine) document() any { return tpmDocument(m.claims.Kind, m.detail) }

func tpmDocument(k attest.Kind, d *tpm.Claims) *tpmJSON {
	out := &tpmJSON{
		Kind: k.String(), AKName: hex.EncodeToString(d.AKName), Binding: d.Binding.String(), Bank: d.Bank.String(),
		PCRs: make(map[string]string), Firmware: fmt.Sprintf("%#x", d.Quote.FirmwareVersion),
		Resets: d.Quote.Clock.ResetCount, Restarts: d.Quote.Clock.RestartCount,
	}
	for i, v := range d.PCRs {
		if !isZero(v) {
			out.PCRs[strconv.Itoa(int(i))] = hex.EncodeToString(v)
		}
	}
	if d.Boot != nil {
		out.Events = d.Boot.Events
		if d.Boot.SecureBoot != nil {
			out.Secure = &d.Boot.SecureBoot.Enabled
		}
	}
	return out
}

// judge makes every check on the TPM. The registers that identify the code are
// compared as code.measurement.
func (m tpmMachine) judge(a *appraisal) {
	q := a.trust.hardware.tpm
	a.skip("hardware.memory_encryption", CodeNotRequired, "none: whoever runs the machine can read its memory, and a TPM in software too", ruleAllow.String())
	a.attestationKey(q, m.detail)
	a.tpmState(q, m.detail)
	a.secureBoot(q.secureBoot, m.detail.Boot)
}

// attestationKey: a key that the trust file names has answered a challenge by
// whoever wrote the file; otherwise the Verifier must know whose key it is.
func (a *appraisal) attestationKey(q tpmRules, d *tpm.Claims) {
	seen := fmt.Sprintf("%x, %s", d.AKName, d.Binding)
	if len(q.akNames) != 0 {
		ok := slices.ContainsFunc(q.akNames, func(n hexName) bool { return slices.Equal(n, d.AKName) })
		a.check(checkAK, ok, CodeAK, seen, fmt.Sprintf("one of the %d keys in the trust file", len(q.akNames)))
		return
	}
	a.check(checkAK, d.Binding == tpm.Certified || d.Binding == tpm.Activated, CodeTPMUnbound, seen,
		"a key that is certified, or named in the trust file")
	if d.Binding == tpm.Certified {
		a.revocation("hardware.revocation_key", d.AKCRL.Checked, d.AKCRL.ThisUpdate, d.AKCRL.NextUpdate, a.trust.hardware.revocation == revocationRequire)
	}
}

// tpmState judges the TPM's clock and firmware.
func (a *appraisal) tpmState(q tpmRules, d *tpm.Claims) {
	a.bit("hardware.tpm_clock", CodeTPMClock, q.clock, d.Quote.Clock.Safe)
	const name = "hardware.tpm_firmware"
	seen := fmt.Sprintf("%#x", d.Quote.FirmwareVersion)
	if len(q.firmware) == 0 {
		a.skip(name, CodeNotRequired, seen, wordAny)
		return
	}
	a.check(name, slices.Contains(q.firmware, hexMask(d.Quote.FirmwareVersion)), CodeTPMFirmware, seen, flow(q.firmware))
}

// secureBoot judges what the event log shows. Where there is no log, nothing does.
func (a *appraisal) secureBoot(want rule, b *tpm.Boot) {
	const name, boot = "hardware.accepted_secure_boot", "hardware.accepted_boot"
	on := b != nil && b.SecureBoot != nil && b.SecureBoot.Enabled
	a.bit(name, CodeSecureBoot, want, on)
	if b == nil {
		a.skip(boot, CodeNotRequired, "no event log", "the firmware handed over")
		return
	}
	a.check(boot, b.ExitedBootServices, CodeSecureBoot, "the firmware is still in charge", "handed over to an operating system")
}

// tpmRulesDoc is the section hardware.tpm.
type tpmRulesDoc struct {
	Pos        strictyaml.Pos
	AKNames    []strictyaml.At[hexName] `yaml:"ak_names"`
	SecureBoot rule                     `yaml:"secure_boot"`
	Clock      rule                     `yaml:"clock"`
	Firmware   []strictyaml.At[hexMask] `yaml:"firmware"`
	Memory     strictyaml.At[rule]      `yaml:"unencrypted_memory"`
}

// tpmRules are what a trust file says about a TPM.
type tpmRules struct {
	akNames           []hexName
	secureBoot, clock rule
	firmware          []hexMask
	// unencrypted says in so many words that a machine without encrypted memory will
	// do where others have it.
	unencrypted bool
}

func defaultTPM() tpmRules { return tpmRules{secureBoot: ruleRequire, clock: ruleRequire} }

func (r *reader) tpmRules(path string, d *tpmRulesDoc, out *tpmRules) {
	for i, n := range d.AKNames {
		if slices.ContainsFunc(out.akNames, func(m hexName) bool { return slices.Equal(m, n.Value) }) {
			r.fail(n.Pos, fmt.Sprintf("%s.ak_names[%d]", path, i), "a key that is named twice")
		}
		out.akNames = append(out.akNames, n.Value)
	}
	for _, b := range []struct {
		in  rule
		out *rule
	}{{d.SecureBoot, &out.secureBoot}, {d.Clock, &out.clock}} {
		if b.in != ruleUnset {
			*b.out = b.in
		}
	}
	for _, f := range d.Firmware {
		out.firmware = append(out.firmware, f.Value)
	}
	switch d.Memory.Value {
	case ruleUnset:
	case ruleAllow:
		out.unencrypted = true
	default:
		r.errs.Add(d.Memory.Pos, path+".unencrypted_memory", "", d.Memory.Value.String(), "allow: no machine with a TPM alone has another")
	}
}

// tpmBesideOthers refuses a file that accepts a TPM alone beside other hardware and
// does not say that it means it. Which of them a client meets, the host decides, so
// such a file is worth as much as its weakest kind: one whose memory the host reads,
// and whose TPM may be a program of the host's.
func (r *reader) tpmBesideOthers(d *document) {
	h := &r.out.hardware
	if len(h.kinds) < 2 || h.tpm.unencrypted {
		return
	}
	for i, a := range d.Accept {
		if a.TPM != nil {
			r.fail(a.TPM.Pos, fmt.Sprintf("accept[%d].tpm", i), "a TPM alone does not encrypt memory, and the host chooses which of these machines a client meets: "+
				"write hardware: {tpm: {unencrypted_memory: allow}} if that is meant, or a file of its own for machines with a TPM")
		}
	}
}

// fields are the keys that differ from the defaults.
func (q tpmRules) fields() []field {
	var out []field
	if len(q.akNames) != 0 {
		names := make([]string, len(q.akNames))
		for i, n := range q.akNames {
			names[i] = strQuote(n)
		}
		out = append(out, field{"ak_names", flow(names)})
	}
	def := defaultTPM()
	if q.secureBoot != def.secureBoot {
		out = append(out, field{"secure_boot", q.secureBoot.String()})
	}
	if q.clock != def.clock {
		out = append(out, field{"clock", q.clock.String()})
	}
	if len(q.firmware) != 0 {
		out = append(out, field{"firmware", flow(q.firmware)})
	}
	if q.unencrypted {
		out = append(out, field{"unencrypted_memory", ruleAllow.String()})
	}
	return out
}

// hexName is the name of a TPM key: 000b and a SHA-256, or 000c and a SHA-384.
type hexName []byte

func (h *hexName) UnmarshalText(text []byte) error {
	size := 34
	if strings.HasPrefix(string(text), "000c") {
		size = 50
	} else if !strings.HasPrefix(string(text), "000b") {
		return fmt.Errorf("expected the name of a TPM key: 000b and 64 hex digits, or 000c and 96")
	}
	v, err := fixedHex(text, size)
	*h = v
	return err
}

// tpmPCRs is a mapping from registers to values: {pcr4: <hex>, pcr7: any}.
type tpmPCRs = strictyaml.At[map[pcrName]strictyaml.At[pcrValue]]

// pcrValue is the value of a TPM's register: hex digits of SHA-256 or SHA-384, the
// word zero for one that was never extended, or the word any.
type pcrValue struct {
	any, zero bool
	value     string // bytes
}

func (p *pcrValue) UnmarshalText(text []byte) error {
	switch string(text) {
	case wordAny:
		p.any = true
		return nil
	case wordZero:
		p.zero = true
		return nil
	}
	size := 32
	if len(text) == 96 {
		size = 48
	}
	v, err := fixedHex(text, size)
	if err != nil {
		return fmt.Errorf("%w, or the words zero or any", err)
	}
	p.value = string(v)
	return nil
}

func (p pcrValue) String() string {
	switch {
	case p.any:
		return wordAny
	case p.zero:
		return wordZero
	}
	return hex.EncodeToString([]byte(p.value))
}

// identifies reports whether only some machines have one of the values. What is
// measured at boot ends at PCR 14.
func (v tpmReference) identifies() bool {
	for i, p := range v {
		if i < 15 && p.value != "" {
			return true
		}
	}
	return false
}

// accepts reports whether a register that was quoted has the value. The zero
// pcrValue accepts nothing.
func (p pcrValue) accepts(seen []byte) bool {
	switch {
	case len(seen) == 0:
		return false
	case p.any:
		return true
	case p.zero:
		return isZero(seen)
	}
	return p.value != "" && p.value == string(seen)
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(v byte) bool { return v != 0 }) }

// tpmReferenceDoc is the section tpm of an entry of accept.
type tpmReferenceDoc struct {
	Pos  strictyaml.Pos
	PCRs tpmPCRs `yaml:"pcrs,required"`
}

// tpmReference holds the registers that are compared, by index.
type tpmReference map[uint8]pcrValue

// Registers that hold code: the firmware (0, 2), what it started (4), by whose
// leave (7), what that loaded (9) and a unified kernel image's parts (11). Each has
// to be named. Boot loaders' command line, add-ons and keys (8, 12, 13, 14; PFP 3.3.4
// and systemd's list) stay zero unless they are named.
func firmwareRegisters() []uint8 { return []uint8{0, 2} }
func codeRegisters() []uint8     { return []uint8{4, 7, 9, 11} }
func emptyRegisters() []uint8    { return []uint8{8, 12, 13, 14} }

func (r *reader) tpmReference(path string, d *tpmReferenceDoc) codeValues {
	return r.pcrs(path+".pcrs", d.PCRs, slices.Concat(firmwareRegisters(), codeRegisters()))
}

// pcrs reads the registers, of which those in required have to be named.
func (r *reader) pcrs(path string, d tpmPCRs, required []uint8) tpmReference {
	out := make(tpmReference)
	for i, v := range d.Value {
		if i > 23 {
			r.fail(v.Pos, fmt.Sprintf("%s.pcr%d", path, i), "no PC has more than pcr0 to pcr23")
			continue
		}
		out[uint8(i)] = v.Value
	}
	for _, i := range required {
		if _, ok := out[i]; !ok {
			r.fail(d.Pos, fmt.Sprintf("%s.pcr%d", path, i), "missing: write its value, zero or any")
		}
	}
	for _, i := range emptyRegisters() {
		if _, ok := out[i]; !ok {
			out[i] = pcrValue{zero: true}
		}
	}
	return out
}

// tpmOf returns the TPM's claims in the details of a kind that has some.
func tpmOf(c *attest.Claims) *tpm.Claims {
	switch d := c.Detail.(type) {
	case *tpm.Claims:
		return d
	case *azure.Claims:
		if d != nil {
			return d.TPM
		}
	}
	return nil
}

func (v tpmReference) matches(c *attest.Claims) bool {
	d := tpmOf(c)
	if d == nil || len(v) == 0 {
		return false
	}
	for i, want := range v {
		if !want.accepts(d.PCRs[i]) {
			return false
		}
	}
	return true
}

func (v tpmReference) fields() []field { return []field{{"pcrs", flowFields(v.list())}} }

func (v tpmReference) list() []field {
	var out []field
	for _, i := range slices.Sorted(maps.Keys(v)) {
		out = append(out, field{"pcr" + strconv.Itoa(int(i)), v[i].yaml()})
	}
	return out
}

// yaml is the value as it stands in a file: digits alone could be read as a
// number.
func (p pcrValue) yaml() string {
	if p.any || p.zero {
		return p.String()
	}
	return strQuote([]byte(p.value))
}

func (v tpmReference) String() string {
	parts := make([]string, 0, len(v))
	for _, i := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, fmt.Sprintf("pcr%d %s", i, v[i]))
	}
	return strings.Join(parts, " ")
}

// tpmSeen returns the registers of a machine as reference values. PCR 15 is the
// policy's.
func tpmSeen(d *tpm.Claims) tpmReference {
	out := make(tpmReference)
	for _, i := range slices.Concat(firmwareRegisters(), codeRegisters(), emptyRegisters()) {
		if v, ok := d.PCRs[i]; ok {
			out[i] = pcrValue{zero: isZero(v), value: string(v)}
			if isZero(v) {
				out[i] = pcrValue{zero: true}
			}
		}
	}
	return out
}

// tpm takes the registers of a box that is there, and loosens what keeps its TPM
// from being accepted.
func (u *firstUse) tpm(d *tpm.Claims) codeValues {
	q := &u.trust.hardware.tpm
	u.loosen("its memory is NOT encrypted: whoever runs the machine can read it")
	if d.Binding == tpm.Unbound {
		q.akNames = []hexName{slices.Clone(d.AKName)}
		u.loosen("nobody certified its attestation key, and it answered no challenge")
	}
	if d.Binding == tpm.Certified && !d.AKCRL.Checked {
		u.trust.hardware.revocation = revocationAllowMissing
		u.loosen("nothing says whether its attestation key's certificate was revoked")
	}
	if d.Boot == nil || d.Boot.SecureBoot == nil || !d.Boot.SecureBoot.Enabled {
		q.secureBoot = ruleAllow
		u.loosen("nothing shows that Secure Boot was on")
	}
	if !d.Quote.Clock.Safe {
		q.clock = ruleAllow
		u.loosen("the TPM's clock may have gone back")
	}
	return tpmSeen(d)
}
