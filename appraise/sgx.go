package appraise

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// sgxMachine is what an Intel SGX enclave showed.
type sgxMachine struct {
	claims *attest.Claims
	detail *sgx.Claims
}

func newSGXMachine(c *attest.Claims, d *sgx.Claims) machine {
	if d == nil || d.Report == nil {
		return nil
	}
	return sgxMachine{c, d}
}

func (m sgxMachine) kinds() []attest.Kind { return []attest.Kind{attest.SGX} }

func (m sgxMachine) consistent() bool {
	c, r := m.claims, m.detail.Report
	return c.ReportData == r.ReportData && c.Nonce == nil &&
		slices.Equal(c.Measurement, r.MRENCLAVE[:]) &&
		slices.Equal(c.LaunchDigest, r.ConfigID[:])
}

// essential: that the TCB info was held against a floor, since an old one calls
// an old platform up to date.
func (m sgxMachine) essential() []string { return []string{checkTCBStatus, checkTCBEvaluation} }

func (m sgxMachine) code() string {
	r := m.detail.Report
	return fmt.Sprintf("mrenclave %x mrsigner %x product %d svn %d ext_product %x family %x config_svn %d",
		r.MRENCLAVE, r.MRSIGNER, r.ISVProdID, r.ISVSVN, r.ISVExtProdID, r.ISVFamilyID, r.ConfigSVN)
}

func (m sgxMachine) summary(r Result) string {
	return "Intel SGX, " + sgxPlatform(m.detail).summary(r)
}

func (m sgxMachine) document() any {
	return sgxPlatform(m.detail).document(m.claims.Kind, m.detail.QuoteVersion)
}

func (m sgxMachine) judge(a *appraisal) {
	q := a.trust.hardware.sgx
	a.intel(q.intelRules, sgxPlatform(m.detail))
	a.sgxReport(q, m.detail.Report)
}

// sgxReport makes every check on how the enclave was made. What identifies its
// code is compared as code.measurement.
func (a *appraisal) sgxReport(q sgxRules, r *sgx.Report) {
	seen := r.Attributes
	a.check("hardware.debug", !seen.Has(sgx.AttributeDebug), CodeDebug, onOff(seen.Has(sgx.AttributeDebug)), "off")
	a.check("hardware.enclave_init", seen.Has(sgx.AttributeInit), CodeSGXAttributes, onOff(seen.Has(sgx.AttributeInit)), "on")
	a.check("hardware.enclave_64bit", seen.Has(sgx.AttributeMode64Bit), CodeSGXAttributes, onOff(seen.Has(sgx.AttributeMode64Bit)), "on")
	// Enclaves with these two keys belong to the platform. With the first one
	// the platform's identity can be learned, with the second one launch tokens made.
	a.check("hardware.provision_key", !seen.Has(sgx.AttributeProvisionKey), CodeSGXAttributes, onOff(seen.Has(sgx.AttributeProvisionKey)), "off")
	a.check("hardware.einittoken_key", !seen.Has(sgx.AttributeEINITToken), CodeSGXAttributes, onOff(seen.Has(sgx.AttributeEINITToken)), "off")
	a.check("hardware.enclave_reserved", seen.Reserved() == 0, CodeSGXAttributes, fmt.Sprintf("%#x", uint64(seen)),
		fmt.Sprintf("no bit outside %#x", uint64(sgx.AttributesNamed)))
	a.bit("hardware.kss", CodeSGXAttributes, q.kss, seen.Has(sgx.AttributeKSS))
	a.masked("hardware.enclave_attributes", CodeSGXAttributes, uint64(seen), q.attributes)
	a.masked("hardware.xfrm", CodeXFRM, uint64(r.XFRM), q.xfrm)
	a.masked("hardware.misc_select", CodeMiscSelect, uint64(r.MiscSelect), q.miscSelect)
	a.sgxSigner(r.MRSIGNER)
	// Without KSS the processor ignores these; a report that has them lies.
	kss := seen.Has(sgx.AttributeKSS) || r.ConfigID == [64]byte{} && r.ConfigSVN == 0 && r.ISVExtProdID == [16]byte{} && r.ISVFamilyID == [16]byte{}
	a.check("hardware.kss_fields", kss, snp.CodeInconsistent, "KSS "+onOff(seen.Has(sgx.AttributeKSS)), "no field of KSS without KSS")
}

// masked compares the bits of a value that count.
func (a *appraisal) masked(name string, code attest.Code, seen uint64, want maskedValue) {
	if want.mask == 0 {
		a.skip(name, CodeNotRequired, fmt.Sprintf("%#x", seen), wordAny+": the trust file names no bit")
		return
	}
	a.check(name, seen&want.mask == want.value, code, fmt.Sprintf("%#x", seen), fmt.Sprintf("%#x under mask %#x", want.value, want.mask))
}

// sgxTestSigners are keys that everybody has: enclaves signed with them may be
// anybody's. They are accepted by measurement only if at all, and since such an
// enclave was never meant for production, not even so.
func sgxTestSigners() map[string]string {
	return map[string]string{
		"83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e": "the sample key of Intel's SGX SDK",
		"ca9ad7331448980aa28890ce73e433638377f179ab4456b2fe237193193a8d0a": "Open Enclave's default for unsigned debug enclaves",
	}
}

func (a *appraisal) sgxSigner(signer [32]byte) {
	text, test := sgxTestSigners()[hex.EncodeToString(signer[:])]
	a.check("hardware.test_signer", !test, CodeTestSigner, fmt.Sprintf("%x %s", signer, text), "no key that is public")
}

// sgxRules are what a trust file says about an enclave.
type sgxRules struct {
	intelRules
	kss                          rule
	attributes, xfrm, miscSelect maskedValue
}

// The defaults: of ATTRIBUTES each bit has a check of its own; the state of x87
// and SSE must be there, of AVX and AVX-512 may, and nothing else (bits 0 to 2 and
// 5 to 7 of XCR0); no extra information on exceptions.
func defaultSGX() sgxRules {
	return sgxRules{
		intelRules: defaultIntel(),
		kss:        ruleAllow,
		xfrm:       maskedValue{value: 0x3, mask: 0xffffffffffffff1b},
		miscSelect: maskedValue{value: 0, mask: 0xffffffff},
	}
}

// sgxRulesDoc is the section hardware.sgx.
type sgxRulesDoc struct {
	Pos        strictyaml.Pos
	Statuses   []strictyaml.At[string]       `yaml:"tcb_status"`
	Advisories []strictyaml.At[string]       `yaml:"advisories"`
	Evaluation strictyaml.At[uint32]         `yaml:"tcb_evaluation"`
	FMSPC      []strictyaml.At[hex6]         `yaml:"fmspc"`
	PIID       []strictyaml.At[hex16]        `yaml:"piid"`
	Integrity  strictyaml.At[rule]           `yaml:"memory_integrity"`
	SMT        strictyaml.At[rule]           `yaml:"smt"`
	KSS        rule                          `yaml:"kss"`
	Attributes strictyaml.At[maskedValueDoc] `yaml:"attributes"`
	XFRM       strictyaml.At[maskedValueDoc] `yaml:"xfrm"`
	MiscSelect strictyaml.At[maskedValueDoc] `yaml:"misc_select"`
}

type maskedValueDoc struct {
	Value hexMask `yaml:"value,required"`
	Mask  hexMask `yaml:"mask,required"`
}

func (r *reader) sgxRules(path string, d *sgxRulesDoc, out *sgxRules) {
	r.intelRules(path, intelRulesDoc{d.Statuses, d.Advisories, d.Evaluation, d.FMSPC, d.PIID, d.Integrity, d.SMT}, &out.intelRules)
	if d.KSS != ruleUnset {
		out.kss = d.KSS
	}
	r.masked(path+".attributes", d.Attributes, &out.attributes)
	r.masked(path+".xfrm", d.XFRM, &out.xfrm)
	r.masked(path+".misc_select", d.MiscSelect, &out.miscSelect)
}

func (r *reader) masked(path string, in strictyaml.At[maskedValueDoc], out *maskedValue) {
	if in.Pos.Line == 0 {
		return
	}
	if in.Value.Value&^in.Value.Mask != 0 {
		r.errs.Add(in.Pos, path, "", in.Value.Value.String(), "no bit outside its mask "+in.Value.Mask.String())
	}
	*out = maskedValue{uint64(in.Value.Value), uint64(in.Value.Mask)}
}

func (v maskedValue) String() string { return fmt.Sprintf("{value: %#x, mask: %#x}", v.value, v.mask) }

// fields are the keys that differ from the defaults.
func (q sgxRules) fields() []field {
	def := defaultSGX()
	out := q.intelRules.fields()
	if q.kss != def.kss {
		out = append(out, field{"kss", q.kss.String()})
	}
	for _, f := range []struct {
		key          string
		value, usual maskedValue
	}{{"attributes", q.attributes, def.attributes}, {"xfrm", q.xfrm, def.xfrm}, {"misc_select", q.miscSelect, def.miscSelect}} {
		if f.value != f.usual {
			out = append(out, field{f.key, f.value.String()})
		}
	}
	return out
}

func parseHexMask(text string) (uint64, error) {
	digits, found := strings.CutPrefix(text, "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if !found || err != nil {
		return 0, fmt.Errorf("expected 0x and at most 16 hex digits")
	}
	return n, nil
}

func strQuote(b []byte) string { return strconv.Quote(hex.EncodeToString(b)) }

// sgxReferenceDoc is the section sgx of an entry of accept: the enclave itself,
// or a signer, product and least version.
type sgxReferenceDoc struct {
	Pos        strictyaml.Pos
	MRENCLAVE  strictyaml.At[hex32]  `yaml:"mrenclave"`
	MRSIGNER   strictyaml.At[hex32]  `yaml:"mrsigner"`
	Product    strictyaml.At[uint16] `yaml:"product"`
	SVN        strictyaml.At[uint16] `yaml:"svn"`
	ExtProduct strictyaml.At[hex16]  `yaml:"ext_product"`
	Family     strictyaml.At[hex16]  `yaml:"family"`
	ConfigSVN  strictyaml.At[uint16] `yaml:"config_svn"`
}

func (r *reader) sgxReference(path string, d *sgxReferenceDoc) codeValues {
	enclave, signer := d.MRENCLAVE.Pos.Line != 0, d.MRSIGNER.Pos.Line != 0
	product, svn := d.Product.Pos.Line != 0, d.SVN.Pos.Line != 0
	switch {
	case !enclave && !signer:
		r.fail(d.Pos, path, "expected mrenclave, or mrsigner with product and svn")
		return nil
	case signer && (!product || !svn):
		r.fail(d.MRSIGNER.Pos, path+".mrsigner", "needs product and svn beside it: a key signs more than one program, and old versions of each")
		return nil
	case !signer && (product || svn):
		r.fail(d.Pos, path, "product and svn mean nothing without mrsigner")
		return nil
	}
	if text, test := sgxTestSigners()[hex.EncodeToString(d.MRSIGNER.Value[:])]; test {
		r.fail(d.MRSIGNER.Pos, path+".mrsigner", text+": anybody can sign with it")
		return nil
	}
	return sgxReference{
		enclave: enclave, mrenclave: d.MRENCLAVE.Value,
		signer: signer, mrsigner: d.MRSIGNER.Value, product: d.Product.Value, svn: d.SVN.Value,
		extProduct: d.ExtProduct.Value, family: d.Family.Value, configSVN: d.ConfigSVN.Value,
	}
}

// hex32 is a measurement of SHA-256.
type hex32 [32]byte

func (h *hex32) UnmarshalText(text []byte) error {
	v, err := fixedHex(text, len(h))
	copy(h[:], v)
	return err
}

// sgxReference is one enclave, or all enclaves of a signer's product from a
// version on.
type sgxReference struct {
	enclave, signer     bool
	mrenclave, mrsigner [32]byte
	product, svn        uint16
	extProduct, family  [16]byte // zero: the enclave must have none
	configSVN           uint16   // this or higher
}

func (v sgxReference) matches(c *attest.Claims) bool {
	d, _ := c.Detail.(*sgx.Claims)
	if d == nil || d.Report == nil || !v.enclave && !v.signer {
		return false
	}
	r := d.Report
	switch {
	case v.enclave && v.mrenclave != r.MRENCLAVE:
		return false
	case v.signer && (v.mrsigner != r.MRSIGNER || v.product != r.ISVProdID || r.ISVSVN < v.svn):
		return false
	}
	return v.extProduct == r.ISVExtProdID && v.family == r.ISVFamilyID && r.ConfigSVN >= v.configSVN
}

func (v sgxReference) identifies() bool { return v.enclave || v.signer }

func (v sgxReference) fields() []field {
	var out []field
	if v.enclave {
		out = append(out, field{"mrenclave", strQuote(v.mrenclave[:])})
	}
	if v.signer {
		out = append(out, field{"mrsigner", strQuote(v.mrsigner[:])}, field{"product", fmt.Sprint(v.product)}, field{"svn", fmt.Sprint(v.svn)})
	}
	if v.extProduct != [16]byte{} {
		out = append(out, field{"ext_product", strQuote(v.extProduct[:])})
	}
	if v.family != [16]byte{} {
		out = append(out, field{"family", strQuote(v.family[:])})
	}
	if v.configSVN != 0 {
		out = append(out, field{"config_svn", fmt.Sprint(v.configSVN)})
	}
	return out
}

func (v sgxReference) String() string {
	var parts []string
	for _, f := range v.fields() {
		parts = append(parts, f.key+" "+strings.Trim(f.value, `"`))
	}
	return strings.Join(parts, " ")
}

// sgx takes the measurement of an enclave that is there, and loosens what keeps
// its machine from being accepted.
func (u *firstUse) sgx(d *sgx.Claims) codeValues {
	q, r := &u.trust.hardware.sgx, d.Report
	u.intel(&q.intelRules, sgxPlatform(d))
	if seen := uint64(r.XFRM); seen&q.xfrm.mask != q.xfrm.value && seen&3 == 3 {
		q.xfrm.mask &^= seen &^ 3
		u.loosen("the enclave may use processor state %#x", seen)
	}
	if seen := uint64(r.MiscSelect); seen != 0 {
		q.miscSelect = maskedValue{seen, 0xffffffff}
		u.loosen("the processor writes extra information %#x when the enclave is interrupted", seen)
	}
	return sgxReference{enclave: true, mrenclave: r.MRENCLAVE, extProduct: r.ISVExtProdID, family: r.ISVFamilyID, configSVN: r.ConfigSVN}
}
