package appraise

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Codes that only the appraisal of a Nitro Enclave gives.
const (
	CodeInstance  attest.Code = "instance_not_allowed" // an enclave of an EC2 instance that the trust file does not list
	CodePublicKey attest.Code = "public_key_missing"   // the trust file asks for a public key in the document, or for none
)

// nitroMachine is what an AWS Nitro Enclave showed.
type nitroMachine struct {
	claims *attest.Claims
	doc    *nitro.Document
}

func newNitroMachine(c *attest.Claims, d *nitro.Claims) machine {
	if d == nil || d.Document == nil {
		return nil
	}
	return nitroMachine{c, d.Document}
}

func (m nitroMachine) kinds() []attest.Kind { return []attest.Kind{attest.Nitro} }

func (m nitroMachine) consistent() bool {
	var reportData [64]byte
	if len(m.doc.UserData) == len(reportData) {
		reportData = [64]byte(m.doc.UserData)
	}
	var launch []byte
	if pcr, ok := m.doc.PCRs[nitro.LaunchPCR]; ok {
		launch = pcr[:]
	}
	pcr0, ok := m.doc.PCRs[0]
	return ok && m.claims.Nonce == nil && m.claims.ReportData == reportData &&
		slices.Equal(m.claims.Measurement, pcr0[:]) && slices.Equal(m.claims.LaunchDigest, launch)
}

// essential: that nobody outside can read the enclave's console, and that the
// document is of today.
func (m nitroMachine) essential() []string { return []string{"hardware.debug", "hardware.age"} }

func (m nitroMachine) code() string {
	seen := make(nitroReference)
	for i := range nitroCode {
		if pcr, ok := m.doc.PCRs[i]; ok {
			seen[i] = pcrRule{value: pcr, none: pcr.IsZero()}
		}
	}
	return seen.String()
}

func (m nitroMachine) summary(r Result) string {
	return fmt.Sprintf("AWS Nitro Enclave %s, document %s old, chain to %s root ok (certificate until %s)",
		m.doc.ModuleID, age(r.at.Sub(m.doc.Timestamp)), r.vendor("AWS"), m.claims.Endorsed.NotAfter.UTC().Format(time.RFC3339))
}

// nitroJSON describes an enclave in the stable form of a Result.
type nitroJSON struct {
	Kind      string            `json:"kind"`
	ModuleID  string            `json:"module_id"`
	Timestamp time.Time         `json:"timestamp"`
	Debug     bool              `json:"debug"`
	PCRs      map[string]string `json:"pcrs"` // hex by index; those of zeros are left out
	PublicKey string            `json:"public_key,omitempty"`
	Nonce     string            `json:"nonce,omitempty"`
}

func (m nitroMachine) document() any {
	out := &nitroJSON{
		Kind: m.claims.Kind.String(), ModuleID: m.doc.ModuleID, Timestamp: m.doc.Timestamp, Debug: m.doc.Debug(),
		PCRs: make(map[string]string), PublicKey: hex.EncodeToString(m.doc.PublicKey), Nonce: hex.EncodeToString(m.doc.Nonce),
	}
	for i, pcr := range m.doc.PCRs {
		if !pcr.IsZero() {
			out.PCRs[strconv.Itoa(i)] = hex.EncodeToString(pcr[:])
		}
	}
	return out
}

// judge makes every check on the enclave. The registers that identify the code
// are compared as code.measurement.
func (m nitroMachine) judge(a *appraisal) {
	q := a.trust.hardware.nitro
	a.check("hardware.debug", !m.doc.Debug(), CodeDebug, m.codeRegisters(), "PCR0, PCR1 and PCR2 measured: in debug mode they are zero")
	a.documentAge(m.doc.Timestamp, q.maxAge)
	m.judgeInstance(a, q)
	a.bit("hardware.public_key", CodePublicKey, q.publicKey, m.doc.PublicKey != nil)
}

// documentAge judges the time that the hypervisor wrote down. The nonce in the
// statement shows freshness too, but only on a connection.
func (a *appraisal) documentAge(made time.Time, limit time.Duration) {
	const name = "hardware.age"
	seen, old := made.Format(time.RFC3339), a.at.Sub(made)
	if old < -a.trust.skew {
		a.fail(name, attest.CodeClock, seen, "no later than "+a.at.UTC().Format(time.RFC3339))
		return
	}
	a.check(name, old <= limit+a.trust.skew, attest.CodeStaleEvidence, seen,
		fmt.Sprintf("at most %s before %s", limit, a.at.UTC().Format(time.RFC3339)))
}

func (m nitroMachine) judgeInstance(a *appraisal, q nitroRules) {
	const name = "hardware.instance"
	instance, _, _ := strings.Cut(m.doc.ModuleID, "-enc")
	if len(q.instances) == 0 {
		a.skip(name, CodeNotRequired, instance, wordAny)
		return
	}
	a.check(name, slices.Contains(q.instances, instance), CodeInstance, instance, strings.Join(q.instances, ", "))
}

func (m nitroMachine) codeRegisters() string {
	parts := make([]string, nitroCode)
	for i := range parts {
		pcr := m.doc.PCRs[i]
		parts[i] = fmt.Sprintf("PCR%d %s", i, shortOrNone(pcr[:]))
	}
	return strings.Join(parts, ", ")
}

// nitroCode is the number of registers that measure code, from PCR0 on. Each has
// to be named, or any has to be written.
const nitroCode = 3

// nitroReferenceDoc is the section nitro of an entry of accept: a value for each
// register by its name, pcr0 to pcr31.
type nitroReferenceDoc = strictyaml.At[map[pcrName]strictyaml.At[pcrRule]]

// pcrName is the name of a register, pcr0 to pcr31.
type pcrName int

func (p *pcrName) UnmarshalText(text []byte) error {
	digits, found := strings.CutPrefix(string(text), "pcr")
	n, _ := strconv.Atoi(digits) // 0 or the largest number if it is none
	if !found || n < 0 || n >= nitro.MaxPCRs || strconv.Itoa(n) != digits {
		return fmt.Errorf("expected pcr0 to pcr%d", nitro.MaxPCRs-1)
	}
	*p = pcrName(n)
	return nil
}

// pcrRule is the value of a register, any, or none: nothing was measured into
// it. Zeros have that word so that a value that was never filled in is no value.
type pcrRule struct {
	any, none bool
	value     nitro.PCR
}

const wordNone = "none"

func (p *pcrRule) UnmarshalText(text []byte) error {
	switch string(text) {
	case wordAny:
		p.any = true
		return nil
	case wordNone:
		p.none = true
		return nil
	}
	v, err := fixedHex(text, len(p.value))
	if err != nil {
		return fmt.Errorf("%w, or the word any or none", err)
	}
	p.value = nitro.PCR(v)
	return nil
}

func (p pcrRule) String() string {
	switch {
	case p.any:
		return wordAny
	case p.none:
		return wordNone
	}
	return hex.EncodeToString(p.value[:])
}

// accepts reports whether a register that is there has the value.
func (p pcrRule) accepts(seen nitro.PCR) bool {
	switch {
	case p.any:
		return true
	case p.none:
		return seen.IsZero()
	}
	return !p.value.IsZero() && seen == p.value
}

func (r *reader) nitroReference(path string, d *nitroReferenceDoc) codeValues {
	out := make(nitroReference)
	for i, rule := range d.Value {
		if int(i) < nitroCode && rule.Value.none {
			r.fail(rule.Pos, fmt.Sprintf("%s.pcr%d", path, i), "only an enclave in debug mode has none, and none of those is accepted")
		}
		out[int(i)] = rule.Value
	}
	for i := range nitroCode {
		if _, ok := out[i]; !ok {
			r.fail(d.Pos, fmt.Sprintf("%s.pcr%d", path, i), "missing: write its value, or any")
		}
	}
	return out
}

// nitroReference holds the registers that are compared, by index.
type nitroReference map[int]pcrRule

// identifies reports whether only some enclaves have one of the values. From
// PCR16 on an enclave writes what it likes.
func (v nitroReference) identifies() bool {
	for i, p := range v {
		if i < nitro.LaunchPCR && !p.any && !p.none {
			return true
		}
	}
	return false
}

// matches reports whether every register that is listed is there and has its
// value.
func (v nitroReference) matches(c *attest.Claims) bool {
	d, _ := c.Detail.(*nitro.Claims)
	if d == nil || d.Document == nil || len(v) == 0 {
		return false
	}
	for i, rule := range v {
		if seen, ok := d.Document.PCRs[i]; !ok || !rule.accepts(seen) {
			return false
		}
	}
	return true
}

func (v nitroReference) fields() []field {
	var out []field
	for _, i := range slices.Sorted(maps.Keys(v)) {
		out = append(out, field{"pcr" + strconv.Itoa(i), v[i].String()})
	}
	return out
}

func (v nitroReference) String() string {
	parts := make([]string, 0, len(v))
	for _, f := range v.fields() {
		parts = append(parts, f.key+" "+f.value)
	}
	return strings.Join(parts, " ")
}

// nitroRulesDoc is the section hardware.nitro.
type nitroRulesDoc struct {
	Pos       strictyaml.Pos
	MaxAge    strictyaml.At[time.Duration] `yaml:"max_age"`
	Instances []strictyaml.At[string]      `yaml:"instances"`
	PublicKey rule                         `yaml:"public_key"`
}

// nitroRules are what a trust file says about an enclave.
type nitroRules struct {
	// maxAge is how old a document may be by the hypervisor's clock.
	maxAge time.Duration
	// instances are the EC2 instances whose enclaves are accepted; none means any.
	instances []string
	publicKey rule
}

func defaultNitro() nitroRules { return nitroRules{maxAge: DefaultMaxAge, publicKey: ruleAllow} }

func (r *reader) nitroRules(path string, d *nitroRulesDoc, out *nitroRules) {
	r.duration(d.MaxAge, path+".max_age", &out.maxAge, maxMaxAge)
	out.instances = list(r, d.Instances, path+".instances")
	for i, s := range d.Instances {
		if digits, found := strings.CutPrefix(s.Value, "i-"); !found || digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
			r.errs.Add(s.Pos, fmt.Sprintf("%s.instances[%d]", path, i), "", strictyaml.Quote(s.Value), "the id of an instance, i- and hex digits")
		}
	}
	if d.PublicKey != ruleUnset {
		out.publicKey = d.PublicKey
	}
}

// fields are the keys that differ from the defaults.
func (q nitroRules) fields() []field {
	var out []field
	def := defaultNitro()
	if q.maxAge != def.maxAge {
		out = append(out, field{"max_age", q.maxAge.String()})
	}
	if len(q.instances) != 0 {
		out = append(out, field{"instances", flow(q.instances)})
	}
	if q.publicKey != def.publicKey {
		out = append(out, field{"public_key", q.publicKey.String()})
	}
	return out
}

// nitro takes the registers of an enclave that is there: those of the code, and
// that of its signer if it has one. PCR3 and PCR4 are those of a role and of an
// instance, which change with every deployment. An enclave in debug mode has no
// registers to take.
func (u *firstUse) nitro(d *nitro.Claims) codeValues {
	if d == nil || d.Document == nil || d.Document.Debug() {
		return nil
	}
	out := make(nitroReference)
	for _, i := range []int{0, 1, 2, 8} {
		pcr := d.Document.PCRs[i]
		if i < nitroCode || !pcr.IsZero() {
			out[i] = pcrRule{value: pcr}
		}
	}
	return out
}
