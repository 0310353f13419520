package appraise

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// What SGX and TDX have in common: a platform whose state Intel publishes as TCB
// info, by name of a status and ids of advisories.

// intelRules are about the platform.
type intelRules struct {
	statuses   []string // accepted by name
	advisories []string // accepted where the status is not UpToDate
	evaluation uint32   // least TCB evaluation data number; 0: the built-in one
	fmspcs     [][6]byte
	piids      [][16]byte
	integrity  rule // of memory, by the platform's type
	smt        rule
}

// intelRulesDoc holds the keys that hardware.tdx and hardware.sgx share.
type intelRulesDoc struct {
	statuses   []strictyaml.At[string]
	advisories []strictyaml.At[string]
	evaluation strictyaml.At[uint32]
	fmspcs     []strictyaml.At[hex6]
	piids      []strictyaml.At[hex16]
	integrity  strictyaml.At[rule]
	smt        strictyaml.At[rule]
}

// The statuses that Intel gives a TCB level (PCS API 4, TCBInfo, tcbStatus), and
// those that its verification library makes of a platform and a TDX module that
// was replaced under running trust domains.
const statusUpToDate = "UpToDate"

func acceptableStatuses() []string {
	return []string{
		statusUpToDate, "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
		"OutOfDate", "OutOfDateConfigurationNeeded", "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded",
	}
}

func defaultIntel() intelRules {
	return intelRules{statuses: []string{statusUpToDate}, integrity: ruleAllow, smt: ruleAllow}
}

func (r *reader) intelRules(path string, d intelRulesDoc, out *intelRules) {
	if d.statuses != nil {
		out.statuses = list(r, d.statuses, path+".tcb_status")
	}
	for i, s := range d.statuses {
		if !slices.Contains(acceptableStatuses(), s.Value) {
			r.errs.Add(s.Pos, fmt.Sprintf("%s.tcb_status[%d]", path, i), "", strictyaml.Quote(s.Value), "one of "+strings.Join(acceptableStatuses(), ", "))
		}
	}
	out.advisories = list(r, d.advisories, path+".advisories")
	for i, a := range d.advisories {
		if !isAdvisory(a.Value) {
			r.errs.Add(a.Pos, fmt.Sprintf("%s.advisories[%d]", path, i), "", strictyaml.Quote(a.Value), "an id such as INTEL-SA-00615")
		}
	}
	if d.evaluation.Pos.Line != 0 && d.evaluation.Value == 0 {
		r.errs.Add(d.evaluation.Pos, path+".tcb_evaluation", "", "0", "1 or more")
	}
	out.evaluation = d.evaluation.Value
	for _, v := range list(r, d.fmspcs, path+".fmspc") {
		out.fmspcs = append(out.fmspcs, v)
	}
	for _, v := range list(r, d.piids, path+".piid") {
		out.piids = append(out.piids, v)
	}
	r.oneOf(path+".memory_integrity", d.integrity, &out.integrity, ruleAllow, ruleRequire)
	r.oneOf(path+".smt", d.smt, &out.smt, ruleAllow, ruleForbid)
}

// oneOf takes a rule over if it is one of those that make sense.
func (r *reader) oneOf(path string, in strictyaml.At[rule], out *rule, sense ...rule) {
	if in.Value == ruleUnset {
		return
	}
	if !slices.Contains(sense, in.Value) {
		names := make([]string, len(sense))
		for i, s := range sense {
			names[i] = s.String()
		}
		r.errs.Add(in.Pos, path, "", in.Value.String(), strings.Join(names, " or "))
		return
	}
	*out = in.Value
}

func isAdvisory(s string) bool {
	digits, found := strings.CutPrefix(s, "INTEL-SA-")
	return found && len(digits) == 5 && strings.Trim(digits, "0123456789") == ""
}

// hex6 is an FMSPC: family, model, stepping, platform type and custom SKU.
type hex6 [6]byte

func (h *hex6) UnmarshalText(text []byte) error {
	v, err := fixedHex(text, len(h))
	copy(h[:], v)
	return err
}

// fields are the keys that differ from the defaults.
func (q intelRules) fields() []field {
	def := defaultIntel()
	var out []field
	put := func(key, value, usual string) {
		if value != usual {
			out = append(out, field{key, value})
		}
	}
	put("tcb_status", flow(q.statuses), flow(def.statuses))
	put("advisories", flow(q.advisories), flow(def.advisories))
	put("tcb_evaluation", fmt.Sprint(q.evaluation), fmt.Sprint(def.evaluation))
	put("fmspc", flow(hexes(q.fmspcs)), "[]")
	put("piid", flow(hexes(q.piids)), "[]")
	put("memory_integrity", q.integrity.String(), def.integrity.String())
	put("smt", q.smt.String(), def.smt.String())
	return out
}

// hexes writes digits of which YAML could think that they are a number.
func hexes[T [6]byte | [16]byte | [48]byte](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strconv.Quote(fmt.Sprintf("%x", v))
	}
	return out
}

// EvaluationDate is the day on which the built-in table of TCB evaluation data
// numbers was last looked at.
const EvaluationDate = "2026-11-22"

// evaluation is one TCB evaluation data number and the day of the TCB recovery
// event that it belongs to.
type evaluation struct {
	number uint32
	event  time.Time
}

// evaluations are those that Intel's service listed on 2025-06-02 (PCS API 4,
// /sgx/certification/v4/tcbevaluationdatanumbers; the numbers of SGX and TDX are
// the same), as a public project quotes its answer.
func evaluations() []evaluation {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []evaluation{
		{17, day(2024, time.March, 12)},
		{18, day(2024, time.November, 12)},
		{19, day(2025, time.May, 13)},
	}
}

// evaluationFloor returns the least TCB evaluation data number for a day: the
// newest one whose event is at least twelve months past, which is what Intel
// calls standard and gives out where nothing else is asked for. It returns 0
// for a day of which the table knows nothing.
func evaluationFloor(at time.Time) uint32 {
	var floor uint32
	for _, e := range evaluations() {
		if !at.Before(e.event.AddDate(1, 0, 0)) {
			floor = e.number
		}
	}
	return floor
}

// intelPlatform is what the claims of an SGX or TDX machine say of the platform.
type intelPlatform struct {
	status     string
	parts      string // the statuses that it was made of
	advisories []string
	evaluation uint32 // the lower one of TCB info and QE identity
	fmspc      [6]byte
	piid       []byte // nil: the platform has none
	integrity  bool   // memory is protected by cryptographic integrity
	smt        *bool  // nil: the certificate does not say
	root, pck  intelCRL
}

type intelCRL struct {
	checked    bool
	this, next time.Time
}

// Names of the checks that others refer to.
const (
	checkTCBStatus     = "hardware.tcb_status"
	checkTCBEvaluation = "hardware.tcb_evaluation"
)

// intel judges a platform.
func (a *appraisal) intel(q intelRules, p intelPlatform) {
	required := a.trust.hardware.revocation == revocationRequire
	a.revocation("hardware.revocation_ca", p.root.checked, p.root.this, p.root.next, required)
	a.revocation("hardware.revocation_key", p.pck.checked, p.pck.this, p.pck.next, required)
	a.check(checkTCBStatus, slices.Contains(q.statuses, p.status), CodeTCBStatus, p.status+" ("+p.parts+")", strings.Join(q.statuses, " or "))
	a.intelAdvisories(q, p)
	a.intelEvaluation(q, p)
	a.listed("hardware.accepted_fmspc", CodeFMSPC, fmt.Sprintf("%x", p.fmspc), len(q.fmspcs), slices.Contains(q.fmspcs, p.fmspc))
	a.intelInstance(q, p)
	a.bit("hardware.memory_integrity", CodeMemoryIntegrity, q.integrity, p.integrity)
	a.intelSMT(q, p)
}

// intelAdvisories: a platform that is not up to date is accepted for weaknesses
// that were looked up one by one.
func (a *appraisal) intelAdvisories(q intelRules, p intelPlatform) {
	const name = "hardware.advisories"
	if p.status == statusUpToDate {
		a.skip(name, CodeNotRequired, textOr(p.advisories, "none"), "any of a platform that is UpToDate")
		return
	}
	var unknown []string
	for _, id := range p.advisories {
		if !slices.Contains(q.advisories, id) {
			unknown = append(unknown, id)
		}
	}
	a.check(name, len(unknown) == 0, CodeAdvisory, textOr(p.advisories, "none"), "only those listed: "+textOr(q.advisories, "none"))
}

func textOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, " ")
}

func (a *appraisal) intelEvaluation(q intelRules, p intelPlatform) {
	floor, source := q.evaluation, "trust file"
	if floor == 0 {
		floor, source = evaluationFloor(a.at), "built-in table of "+EvaluationDate
	}
	seen := fmt.Sprint(p.evaluation)
	if floor == 0 {
		a.skip(checkTCBEvaluation, CodeNotChecked, seen, "tcb_evaluation in the trust file: the built-in table begins on "+evaluations()[0].event.AddDate(1, 0, 0).Format(dayLayout))
		return
	}
	a.check(checkTCBEvaluation, p.evaluation >= floor, CodeTCBEvaluation, seen, fmt.Sprintf("%d or higher (%s)", floor, source))
}

// listed compares with an allow-list of which an empty one says nothing.
func (a *appraisal) listed(name string, code attest.Code, seen string, entries int, found bool) {
	if entries == 0 {
		a.skip(name, CodeNotRequired, seen, wordAny+": the trust file lists none")
		return
	}
	a.check(name, found, code, seen, fmt.Sprintf("one of the %d in the trust file", entries))
}

func (a *appraisal) intelInstance(q intelRules, p intelPlatform) {
	var id [16]byte
	copy(id[:], p.piid)
	seen := "none"
	if len(p.piid) != 0 {
		seen = hex.EncodeToString(p.piid)
	}
	a.listed("hardware.accepted_piid", CodeChip, seen, len(q.piids), len(p.piid) == len(id) && slices.Contains(q.piids, id))
}

func (a *appraisal) intelSMT(q intelRules, p intelPlatform) {
	const name = "hardware.smt"
	seen := "unknown: the certificate does not say"
	if p.smt != nil {
		seen = onOff(*p.smt)
	}
	if q.smt == ruleAllow {
		a.skip(name, CodeNotRequired, seen, ruleAllow.String())
		return
	}
	a.check(name, p.smt != nil && !*p.smt, CodeSMT, seen, "off")
}

// intel fits the rules for a platform to one that is there.
func (u *firstUse) intel(q *intelRules, p intelPlatform) {
	if p.status != statusUpToDate && slices.Contains(acceptableStatuses(), p.status) {
		q.statuses = []string{p.status}
		q.advisories = slices.Clone(p.advisories)
		u.loosen("the platform's TCB is %s (%s)", p.status, textOr(p.advisories, "no advisory named"))
	}
	if floor := evaluationFloor(u.at); floor == 0 || p.evaluation < floor {
		q.evaluation = p.evaluation
		u.loosen("TCB info with evaluation data number %d, where %d or higher is usual", p.evaluation, max(floor, evaluations()[0].number))
	}
	if !p.root.checked || !p.pck.checked {
		u.trust.hardware.revocation = revocationAllowMissing
		u.loosen("nothing says whether its keys were revoked")
	}
}

func (p intelPlatform) summary(r Result) string {
	return fmt.Sprintf("TCB %s, evaluation %d %s, chain to %s root ok (%s)", p.status, p.evaluation,
		floorNote(r, checkTCBEvaluation), r.vendor("Intel"), revocationText(p.pck.checked, p.pck.this, r.at))
}

// intelJSON describes the platform in the stable form of a Result.
type intelJSON struct {
	Kind         string   `json:"kind"`
	QuoteVersion uint16   `json:"quote_version"`
	TCBStatus    string   `json:"tcb_status"`
	Advisories   []string `json:"advisories"`
	Evaluation   uint32   `json:"tcb_evaluation"`
	FMSPC        string   `json:"fmspc"`          // hex
	PIID         string   `json:"piid,omitempty"` // hex
}

func (p intelPlatform) document(kind attest.Kind, version uint16) *intelJSON {
	out := &intelJSON{
		Kind: kind.String(), QuoteVersion: version, TCBStatus: p.status, Advisories: p.advisories,
		Evaluation: p.evaluation, FMSPC: hex.EncodeToString(p.fmspc[:]), PIID: hex.EncodeToString(p.piid),
	}
	if out.Advisories == nil {
		out.Advisories = []string{}
	}
	return out
}

// newIntelCRL returns what is known from one CRL.
func newIntelCRL(r tdx.Revocation) intelCRL { return intelCRL{r.Checked, r.ThisUpdate, r.NextUpdate} }

func tdxPlatform(d *tdx.Claims) intelPlatform {
	return newIntelPlatform(d.TCB, d.PCK, d.CryptographicIntegrity(), d.RootCRL, d.PCKCRL)
}

func sgxPlatform(d *sgx.Claims) intelPlatform {
	return newIntelPlatform(d.TCB, d.PCK, d.CryptographicIntegrity(), d.RootCRL, d.PCKCRL)
}

func newIntelPlatform(t tdx.TCB, pck tdx.PCK, integrity bool, root, key tdx.Revocation) intelPlatform {
	p := intelPlatform{
		status: t.Status.String(), parts: tcbParts(t), advisories: t.Advisories,
		evaluation: min(t.Evaluation, t.QEEvaluation), fmspc: pck.FMSPC, integrity: integrity,
		root: newIntelCRL(root), pck: newIntelCRL(key),
	}
	if pck.PlatformID != nil {
		p.piid = pck.PlatformID[:]
	}
	if pck.Configuration != nil {
		p.smt = pck.Configuration.SMTEnabled
	}
	return p
}

// tcbParts names the statuses that were converged.
func tcbParts(t tdx.TCB) string {
	text := "platform " + t.Platform.Status.String()
	if t.Module != nil {
		text += ", module " + t.ModuleID + " " + t.Module.Status.String()
	}
	return text + ", QE " + t.QE.Status.String()
}
