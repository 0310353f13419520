package appraise

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// Marshal returns the trust file. What the built-in defaults say is left out,
// so that the file holds the decisions of whoever wrote it; [ParseTrust] reads
// back the same Trust. Comments of a file that was read are not kept.
func (t *Trust) Marshal() []byte {
	w := &writer{}
	for _, line := range t.header {
		w.line(strings.TrimRight("# "+line, " "))
	}
	w.line("version: 1")
	w.line("accept:")
	for _, r := range t.accept {
		w.reference(r)
	}
	if fields := t.hardware.fields(); len(fields) != 0 {
		w.line("hardware:")
		w.fields(fields)
	}
	if t.simulated {
		w.line("allow_simulated: true  # proves nothing about hardware")
		w.line("simulated_root: " + digestPrefix + t.simulatedRoot.String())
	}
	if t.maxAge != DefaultMaxAge {
		w.line("max_age: " + t.maxAge.String())
	}
	if t.skew != DefaultClockSkew {
		w.line("clock_skew: " + t.skew.String())
	}
	if fields := t.require.fields(); len(fields) != 0 {
		w.line("require:")
		w.fields(fields)
	}
	return []byte(w.String())
}

type writer struct{ strings.Builder }

func (w *writer) line(text string) { w.WriteString(text + "\n") }

func (w *writer) fields(fields []field) {
	for _, f := range fields {
		w.line("  " + f.key + ": " + f.value)
	}
}

func (w *writer) reference(r reference) {
	w.line("  - name: " + strconv.Quote(r.name))
	for _, k := range sectionKinds() {
		if v := r.code[k]; v != nil {
			w.line("    " + k.String() + ": " + flowFields(v.fields()))
		}
	}
	w.line("    policy: " + r.policy.String())
	if !r.expires.IsZero() {
		w.line("    expires: " + r.expires.Format(dayLayout))
	}
}

// field is one key of a trust file with its value as it is written there.
type field struct{ key, value string }

// fields returns the keys under "hardware" that differ from the defaults.
func (h *hardware) fields() []field {
	def := defaults().hardware
	var out []field
	put := func(key, value, usual string) {
		if value != usual {
			out = append(out, field{key, value})
		}
	}
	put("products", flow(h.products), flow(def.products))
	put("chips", hexList(h.chips), hexList(def.chips))
	put("tcb", floorMap(h.floors), floorMap(def.floors))
	put("report_versions", flow(h.reportVersions), flow(def.reportVersions))
	put("firmware", h.firmware.String(), def.firmware.String())
	put("abi", h.abi.String(), def.abi.String())
	put("vmpl", h.vmpl.String(), def.vmpl.String())
	put("guest_svn", fmt.Sprint(h.guestSVN), fmt.Sprint(def.guestSVN))
	put("smt", h.smt.String(), def.smt.String())
	put("guest_policy", h.guest.flow(def.guest), "{}")
	for _, b := range h.platform.rules() {
		put(b.key, b.rule.String(), ruleOf(def.platform.rules(), b.key).String())
	}
	put("platform_bits", bitList(h.platform.extraBits), bitList(0))
	put("masked_chip", maskedRule(h.maskedChip), maskedRule(def.maskedChip))
	if len(h.csps) != 0 {
		put("vlek", "{csp: "+quoted(h.csps)+"}", "")
	}
	put("id_key", hexList(h.idKeys), hexList(def.idKeys))
	put("author_key", hexList(h.authorKeys), hexList(def.authorKeys))
	put("family_id", hex.EncodeToString(h.familyID[:]), hex.EncodeToString(def.familyID[:]))
	put("image_id", hex.EncodeToString(h.imageID[:]), hex.EncodeToString(def.imageID[:]))
	put("mitigations", mitigationMap(h.mitLaunch, h.mitCurrent), mitigationMap(0, 0))
	put("revocation", h.revocation.String(), def.revocation.String())
	put("crl_max_age", h.crlMaxAge.String(), def.crlMaxAge.String())
	return append(out, h.ruleSections()...)
}

// namedRule is a rule and its key in the file.
type namedRule struct {
	key  string
	rule rule
}

func (p platformRules) rules() []namedRule {
	return []namedRule{
		{"tsme", p.tsme}, {"ecc", p.ecc}, {"rapl_disabled", p.raplDisabled}, {"ciphertext_hiding", p.ciphertextHiding},
		{"alias_check", p.aliasCheck}, {"iommu_write_safe", p.iommuWriteSafe}, {"tio", p.tio},
	}
}

func (g guestRules) rules() []namedRule {
	return []namedRule{
		{"single_socket", g.singleSocket}, {"cxl", g.cxl}, {"mem_aes_256_xts", g.aes256XTS},
		{"rapl_disabled", g.raplDisabled}, {"ciphertext_hiding", g.ciphertextHiding}, {"page_swap_disabled", g.pageSwapDisabled},
	}
}

func (g guestRules) flow(usual guestRules) string {
	var parts []string
	for _, r := range g.rules() {
		if r.rule != ruleOf(usual.rules(), r.key) {
			parts = append(parts, r.key+": "+r.rule.String())
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func ruleOf(rules []namedRule, key string) rule {
	for _, r := range rules {
		if r.key == key {
			return r.rule
		}
	}
	return ruleUnset
}

func maskedRule(allowed bool) string {
	if allowed {
		return ruleAllow.String()
	}
	return ruleForbid.String()
}

func flow[T any](list []T) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = fmt.Sprint(v)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func quoted(list []string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = strconv.Quote(v)
	}
	return flow(parts)
}

func hexList[T [48]byte | [64]byte](list []T) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = fmt.Sprintf("%x", v)
	}
	return flow(parts)
}

func bitList(mask uint64) string {
	var parts []int
	for ; mask != 0; mask &= mask - 1 {
		parts = append(parts, bits.TrailingZeros64(mask))
	}
	return flow(parts)
}

func mitigationMap(launch, current uint64) string {
	var parts []string
	if launch != 0 {
		parts = append(parts, "launch: "+bitList(launch))
	}
	if current != 0 {
		parts = append(parts, "current: "+bitList(current))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func floorMap(floors map[snp.Product]snp.TCB) string {
	var parts []string
	for p := snp.Milan; p <= snp.Turin; p++ {
		if t, ok := floors[p]; ok {
			parts = append(parts, p.String()+": "+floorText(p, t))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func floorText(p snp.Product, t snp.TCB) string {
	fmc := ""
	if p == snp.Turin {
		fmc = fmt.Sprintf("fmc: %d, ", t.FMC)
	}
	return fmt.Sprintf("{%sbootloader: %d, tee: %d, snp: %d, microcode: %d}", fmc, t.Bootloader, t.TEE, t.SNP, t.Microcode)
}

// Value is one reference value of a trust file.
type Value struct {
	// Name is that of the entry of accept, Key the section and the key in it,
	// "measurement" for SEV-SNP, "tdx mrtd", Value as the file writes it.
	Name, Key, Value string
}

// Values returns what identifies the code that is accepted, in the order of the
// file: what has to be compared with what the code's publisher states.
func (t *Trust) Values() []Value {
	var out []Value
	for _, r := range t.accept {
		for _, k := range sectionKinds() {
			if v := r.code[k]; v != nil {
				for _, f := range codeFields("", k, v) {
					out = append(out, Value{r.name, strings.TrimSpace(f.key), f.value})
				}
			}
		}
	}
	return out
}

// fields returns everything that was decided, for comparison.
func (t *Trust) fields() []field {
	var out []field
	for _, r := range t.accept {
		path := "accept " + strconv.Quote(r.name)
		for _, k := range sectionKinds() {
			if v := r.code[k]; v != nil {
				out = append(out, codeFields(path, k, v)...)
			}
		}
		out = append(out, field{path + " policy", r.policy.String()})
		if !r.expires.IsZero() {
			out = append(out, field{path + " expires", r.expires.Format(dayLayout)})
		}
	}
	for _, f := range t.hardware.fields() {
		out = append(out, field{"hardware." + f.key, f.value})
	}
	if t.simulated {
		out = append(out, field{"allow_simulated", "true"}, field{"simulated_root", digestPrefix + t.simulatedRoot.String()})
	}
	for _, d := range []struct {
		key          string
		value, usual time.Duration
	}{{"max_age", t.maxAge, DefaultMaxAge}, {"clock_skew", t.skew, DefaultClockSkew}} {
		if d.value != d.usual {
			out = append(out, field{d.key, d.value.String()})
		}
	}
	for _, f := range t.require.fields() {
		out = append(out, field{"require." + f.key, f.value})
	}
	return out
}

// codeFields are the reference values of one kind. SEV-SNP was there first, and
// its measurement needs no kind before it.
func codeFields(path string, k attest.Kind, v codeValues) []field {
	if k != attest.SNP {
		path += " " + k.String()
	}
	var out []field
	for _, f := range v.fields() {
		out = append(out, field{path + " " + f.key, f.value})
	}
	return out
}
