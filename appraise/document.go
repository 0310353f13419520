package appraise

import (
	"fmt"
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// document is a trust file as it is written. Only what needs more than its own
// text to be judged is judged later, with the place it was read from.
type document struct {
	Version        strictyaml.At[int]           `yaml:"version,required"`
	Accept         []acceptDoc                  `yaml:"accept,required"`
	Hardware       hardwareDoc                  `yaml:"hardware"`
	AllowSimulated strictyaml.At[bool]          `yaml:"allow_simulated"`
	SimulatedRoot  strictyaml.At[sha256Digest]  `yaml:"simulated_root"`
	MaxAge         strictyaml.At[time.Duration] `yaml:"max_age"`
	ClockSkew      strictyaml.At[time.Duration] `yaml:"clock_skew"`
	Require        requireDoc                   `yaml:"require"`
}

type acceptDoc struct {
	Pos      strictyaml.Pos
	Name     strictyaml.At[string] `yaml:"name,required"`
	SNP      *snpReferenceDoc      `yaml:"sev-snp"`
	TDX      *tdxReferenceDoc      `yaml:"tdx"`
	SGX      *sgxReferenceDoc      `yaml:"sgx"`
	Nitro    *nitroReferenceDoc    `yaml:"nitro"`
	TPM      *tpmReferenceDoc      `yaml:"tpm"`
	AzureSNP *azureReferenceDoc    `yaml:"azure-sev-snp"`
	AzureTDX *azureReferenceDoc    `yaml:"azure-tdx"`
	Policy   policyRule            `yaml:"policy,required"`
	Expires  day                   `yaml:"expires"`
}

type hardwareDoc struct {
	Kinds          []strictyaml.At[kindName]    `yaml:"kinds"`
	Products       []strictyaml.At[productName] `yaml:"products"`
	Chips          []strictyaml.At[hex64]       `yaml:"chips"`
	TCB            tcbByProductDoc              `yaml:"tcb"`
	ReportVersions []strictyaml.At[uint32]      `yaml:"report_versions"`
	Firmware       dotted                       `yaml:"firmware"`
	ABI            dotted                       `yaml:"abi"`
	VMPL           vmplRule                     `yaml:"vmpl"`
	GuestSVN       uint32                       `yaml:"guest_svn"`
	SMT            strictyaml.At[rule]          `yaml:"smt"`
	GuestPolicy    guestPolicyDoc               `yaml:"guest_policy"`
	TSME           rule                         `yaml:"tsme"`
	ECC            rule                         `yaml:"ecc"`
	RAPLDisabled   rule                         `yaml:"rapl_disabled"`
	Hiding         rule                         `yaml:"ciphertext_hiding"`
	AliasCheck     rule                         `yaml:"alias_check"`
	IOMMUWriteSafe rule                         `yaml:"iommu_write_safe"`
	TIO            rule                         `yaml:"tio"`
	PlatformBits   []strictyaml.At[uint8]       `yaml:"platform_bits"`
	MaskedChip     strictyaml.At[rule]          `yaml:"masked_chip"`
	VLEK           vlekDoc                      `yaml:"vlek"`
	IDKey          []strictyaml.At[hex48]       `yaml:"id_key"`
	AuthorKey      []strictyaml.At[hex48]       `yaml:"author_key"`
	FamilyID       hex16                        `yaml:"family_id"`
	ImageID        hex16                        `yaml:"image_id"`
	Mitigations    mitigationsDoc               `yaml:"mitigations"`
	Revocation     revocationRule               `yaml:"revocation"`
	CRLMaxAge      strictyaml.At[time.Duration] `yaml:"crl_max_age"`
	TDX            *tdxRulesDoc                 `yaml:"tdx"`
	SGX            *sgxRulesDoc                 `yaml:"sgx"`
	Nitro          *nitroRulesDoc               `yaml:"nitro"`
	TPM            *tpmRulesDoc                 `yaml:"tpm"`
	Azure          *azureRulesDoc               `yaml:"azure"`
	GPU            *gpuRulesDoc                 `yaml:"gpu"`
}

type guestPolicyDoc struct {
	SingleSocket     rule `yaml:"single_socket"`
	CXL              rule `yaml:"cxl"`
	AES256XTS        rule `yaml:"mem_aes_256_xts"`
	RAPLDisabled     rule `yaml:"rapl_disabled"`
	CiphertextHiding rule `yaml:"ciphertext_hiding"`
	PageSwapDisabled rule `yaml:"page_swap_disabled"`
}

type tcbByProductDoc struct {
	Milan strictyaml.At[tcbDoc] `yaml:"Milan"`
	Genoa strictyaml.At[tcbDoc] `yaml:"Genoa"`
	Turin strictyaml.At[tcbDoc] `yaml:"Turin"`
}

type tcbDoc struct {
	FMC        strictyaml.At[uint8] `yaml:"fmc"`
	Bootloader uint8                `yaml:"bootloader,required"`
	TEE        uint8                `yaml:"tee,required"`
	SNP        uint8                `yaml:"snp,required"`
	Microcode  uint8                `yaml:"microcode,required"`
}

type vlekDoc struct {
	CSP []strictyaml.At[string] `yaml:"csp"`
}

type mitigationsDoc struct {
	Launch  []strictyaml.At[uint8] `yaml:"launch"`
	Current []strictyaml.At[uint8] `yaml:"current"`
}

type requireDoc struct {
	Callers    strictyaml.Words                 `yaml:"callers"`
	Egress     strictyaml.Words                 `yaml:"egress"`
	Logs       strictyaml.Words                 `yaml:"logs"`
	Images     []strictyaml.At[sha256Digest]    `yaml:"images"`
	Models     []strictyaml.At[sha256Digest]    `yaml:"models"`
	Command    []strictyaml.At[string]          `yaml:"command"`
	Env        map[string]strictyaml.At[string] `yaml:"env"`
	Services   map[string]serviceDoc            `yaml:"services"`
	Operators  strictyaml.Words                 `yaml:"operators"`
	Isolation  strictyaml.Words                 `yaml:"isolation"`
	Request    byteSize                         `yaml:"request"`
	Concurrent strictyaml.At[int]               `yaml:"concurrent"`
}

type serviceDoc struct {
	Pos     strictyaml.Pos
	Command []strictyaml.At[string] `yaml:"command,required"`
}

// ParseTrust reads a trust file. The error names every problem with its line
// and column; there is no Trust then.
func ParseTrust(doc []byte) (*Trust, error) {
	var d document
	if err := strictyaml.Decode(doc, &d); err != nil {
		return nil, fmt.Errorf("appraise: trust file: %w", err)
	}
	r := reader{out: defaults()}
	r.document(&d)
	if err := r.errs.Err(); err != nil {
		return nil, fmt.Errorf("appraise: trust file: %w", err)
	}
	return r.out, nil
}

// reader turns a document into a Trust and collects what is wrong with it.
type reader struct {
	out  *Trust
	errs strictyaml.Errors
}

func (r *reader) fail(p strictyaml.Pos, path, problem string) {
	r.errs.Add(p, path, problem, "", "")
}

func (r *reader) document(d *document) {
	if d.Version.Value != 1 {
		r.errs.Add(d.Version.Pos, "version", "", fmt.Sprint(d.Version.Value), "1")
	}
	r.accept(d.Accept)
	r.hardware(&d.Hardware)
	r.tpmBesideOthers(d)
	r.simulated(d)
	r.duration(d.MaxAge, "max_age", &r.out.maxAge, maxMaxAge)
	r.duration(d.ClockSkew, "clock_skew", &r.out.skew, maxClockSkew)
	r.require(&d.Require)
}

func (r *reader) accept(list []acceptDoc) {
	names := make(map[string]bool, len(list))
	same := make(map[string]string, len(list))
	for i, a := range list {
		path := fmt.Sprintf("accept[%d]", i)
		if a.Name.Value == "" || len(a.Name.Value) > maxName {
			r.fail(a.Name.Pos, path+".name", fmt.Sprintf("a name of 1 to %d bytes", maxName))
		}
		if names[a.Name.Value] {
			r.fail(a.Name.Pos, path+".name", "the name "+strictyaml.Quote(a.Name.Value)+" again")
		}
		names[a.Name.Value] = true
		ref := reference{
			name: a.Name.Value, policy: a.Policy, expires: time.Time(a.Expires),
			code: r.sections(path, referenceDocs{a.SNP, a.TDX, a.SGX, a.Nitro, a.TPM, a.AzureSNP, a.AzureTDX}),
		}
		if len(ref.code) == 0 {
			r.fail(a.Pos, path, "no reference values: expected a section such as "+kindNames(sectionKinds()))
		}
		for kind, values := range ref.code {
			if values == nil {
				continue // it could not be read, and that was said
			}
			key := kind.String() + " " + values.String() + " " + ref.policy.String()
			if other, twice := same[key]; twice {
				r.fail(a.Pos, path, "the measurement and policy of "+strictyaml.Quote(other)+" again")
			}
			same[key] = ref.name
		}
		r.out.accept = append(r.out.accept, ref)
	}
	// The decoder refuses an empty list; this refuses what it lets through.
	if len(r.out.accept) == 0 {
		r.fail(strictyaml.Pos{Line: 1, Column: 1}, "accept", "no reference values: nothing could ever be accepted")
	}
}

const maxName = 128

func (r *reader) simulated(d *document) {
	switch allowed, root := d.AllowSimulated.Pos.Line != 0, d.SimulatedRoot.Pos.Line != 0; {
	case allowed && !d.AllowSimulated.Value:
		r.fail(d.AllowSimulated.Pos, "allow_simulated", "only true can be written here: leave the key out instead")
	case allowed && !root:
		r.fail(d.AllowSimulated.Pos, "simulated_root", "missing: allow_simulated needs the fingerprint of the simulated root")
	case root && !allowed:
		r.fail(d.SimulatedRoot.Pos, "simulated_root", "has no meaning without allow_simulated: true")
	case allowed:
		r.out.simulated = true
		r.out.simulatedRoot = attest.Digest(d.SimulatedRoot.Value)
	}
}

func (r *reader) duration(in strictyaml.At[time.Duration], path string, out *time.Duration, limit time.Duration) {
	if in.Pos.Line == 0 {
		return
	}
	if in.Value < 0 || in.Value > limit {
		r.errs.Add(in.Pos, path, "", in.Value.String(), "at most "+limit.String())
		return
	}
	*out = in.Value
}

// list returns the values of a list and refuses one that occurs twice: whoever
// wrote it meant two different ones.
func list[T comparable](r *reader, in []strictyaml.At[T], path string) []T {
	var out []T
	seen := make(map[T]int, len(in))
	for i, item := range in {
		if first, twice := seen[item.Value]; twice {
			r.fail(item.Pos, fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("the same as %s[%d]", path, first))
		}
		seen[item.Value] = i
		out = append(out, item.Value)
	}
	return out
}

func (r *reader) hardware(d *hardwareDoc) {
	h := &r.out.hardware
	r.kinds(d)
	r.products(d)
	r.floors(d)
	for i, v := range d.ReportVersions {
		if v.Value != 2 && v.Value != 3 && v.Value != 5 {
			r.errs.Add(v.Pos, fmt.Sprintf("hardware.report_versions[%d]", i), "", fmt.Sprint(v.Value), "2, 3 or 5")
		}
	}
	if versions := list(r, d.ReportVersions, "hardware.report_versions"); versions != nil {
		h.reportVersions = versions
	}
	h.firmware, h.abi, h.vmpl, h.guestSVN = d.Firmware, d.ABI, d.VMPL, d.GuestSVN
	if d.Revocation != revocationUnset {
		h.revocation = d.Revocation
	}
	if d.CRLMaxAge.Pos.Line != 0 && d.CRLMaxAge.Value <= 0 {
		r.errs.Add(d.CRLMaxAge.Pos, "hardware.crl_max_age", "", d.CRLMaxAge.Value.String(), "more than nothing: every list has some age")
	}
	h.crlMaxAge = d.CRLMaxAge.Value
	r.bits(d)
	r.identity(d)
	r.rules(d)
	h.mitLaunch = r.bitSet(d.Mitigations.Launch, "hardware.mitigations.launch", 0)
	h.mitCurrent = r.bitSet(d.Mitigations.Current, "hardware.mitigations.current", 0)
}

// kinds are those that an entry of accept has a section for. They may be listed
// too, and then both must agree: a kind without a section could never be
// accepted, and a section for a kind that is not listed would be without effect.
func (r *reader) kinds(d *hardwareDoc) {
	h := &r.out.hardware
	h.kinds = r.out.sections()
	if d.Kinds == nil {
		return
	}
	listed := list(r, d.Kinds, "hardware.kinds")
	for i, k := range listed {
		if !slices.Contains(h.kinds, attest.Kind(k)) {
			r.fail(d.Kinds[i].Pos, fmt.Sprintf("hardware.kinds[%d]", i), "no entry of accept has a section "+attest.Kind(k).String())
		}
	}
	for _, k := range h.kinds {
		if !slices.Contains(listed, kindName(k)) {
			r.fail(d.Kinds[0].Pos, "hardware.kinds", "an entry of accept has a section "+k.String()+", which is not listed")
		}
	}
}

func (r *reader) products(d *hardwareDoc) {
	h := &r.out.hardware
	for _, c := range list(r, d.Chips, "hardware.chips") {
		h.chips = append(h.chips, c)
	}
	names := list(r, d.Products, "hardware.products")
	if names != nil {
		h.products = nil
	}
	for i, name := range names {
		h.products = append(h.products, snp.Product(name))
		if snp.Product(name) == snp.Milan && len(h.chips) == 0 {
			r.fail(d.Products[i].Pos, fmt.Sprintf("hardware.products[%d]", i),
				"Milan needs hardware.chips: its signing keys can be extracted in software, so only chips you know are acceptable")
		}
	}
}

func (r *reader) floors(d *hardwareDoc) {
	for _, row := range []struct {
		product snp.Product
		tcb     strictyaml.At[tcbDoc]
	}{{snp.Milan, d.TCB.Milan}, {snp.Genoa, d.TCB.Genoa}, {snp.Turin, d.TCB.Turin}} {
		if row.tcb.Pos.Line != 0 {
			r.floor(row.product, row.tcb)
		}
	}
}

func (r *reader) floor(p snp.Product, in strictyaml.At[tcbDoc]) {
	path := "hardware.tcb." + p.String()
	hasFMC := in.Value.FMC.Pos.Line != 0
	switch {
	case !r.out.hardware.accepts(p):
		r.fail(in.Pos, path, "a floor for a product that hardware.products does not list")
	case p == snp.Turin && !hasFMC:
		r.fail(in.Pos, path+".fmc", "missing: Turin counts its FMC too")
	case p != snp.Turin && hasFMC:
		r.fail(in.Value.FMC.Pos, path+".fmc", "only Turin has an FMC")
	}
	if r.out.hardware.floors == nil {
		r.out.hardware.floors = make(map[snp.Product]snp.TCB)
	}
	t := in.Value
	r.out.hardware.floors[p] = snp.TCB{
		FMC: t.FMC.Value, Bootloader: t.Bootloader, TEE: t.TEE, SNP: t.SNP, Microcode: t.Microcode,
	}
}

func (r *reader) bits(d *hardwareDoc) {
	h := &r.out.hardware
	if d.SMT.Value == ruleRequire {
		r.errs.Add(d.SMT.Pos, "hardware.smt", "", "require", "allow or forbid: sibling threads protect nothing")
	}
	for _, b := range []struct {
		in  rule
		out *rule
	}{
		{d.SMT.Value, &h.smt},
		{d.GuestPolicy.SingleSocket, &h.guest.singleSocket},
		{d.GuestPolicy.CXL, &h.guest.cxl},
		{d.GuestPolicy.AES256XTS, &h.guest.aes256XTS},
		{d.GuestPolicy.RAPLDisabled, &h.guest.raplDisabled},
		{d.GuestPolicy.CiphertextHiding, &h.guest.ciphertextHiding},
		{d.GuestPolicy.PageSwapDisabled, &h.guest.pageSwapDisabled},
		{d.TSME, &h.platform.tsme},
		{d.ECC, &h.platform.ecc},
		{d.RAPLDisabled, &h.platform.raplDisabled},
		{d.Hiding, &h.platform.ciphertextHiding},
		{d.AliasCheck, &h.platform.aliasCheck},
		{d.IOMMUWriteSafe, &h.platform.iommuWriteSafe},
		{d.TIO, &h.platform.tio},
	} {
		if b.in != ruleUnset {
			*b.out = b.in
		}
	}
	h.platform.extraBits = r.bitSet(d.PlatformBits, "hardware.platform_bits", knownPlatformBits)
}

// bitSet turns a list of bit numbers into a mask. Bits that have a name of
// their own must be spelled by it.
func (r *reader) bitSet(in []strictyaml.At[uint8], path string, named uint64) uint64 {
	var mask uint64
	for i, bit := range in {
		switch {
		case bit.Value > 63:
			r.errs.Add(bit.Pos, fmt.Sprintf("%s[%d]", path, i), "", fmt.Sprint(bit.Value), "a bit from 0 to 63")
		case named&(1<<bit.Value) != 0:
			r.fail(bit.Pos, fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("bit %d has a key of its own", bit.Value))
		}
	}
	for _, bit := range list(r, in, path) {
		mask |= 1 << (bit & 63)
	}
	return mask
}

// identity reads who may have signed for the chip and for the guest.
func (r *reader) identity(d *hardwareDoc) {
	h := &r.out.hardware
	if d.MaskedChip.Value == ruleRequire {
		r.errs.Add(d.MaskedChip.Pos, "hardware.masked_chip", "", "require", "allow or forbid")
	}
	h.maskedChip = d.MaskedChip.Value == ruleAllow
	h.csps = list(r, d.VLEK.CSP, "hardware.vlek.csp")
	for i, csp := range d.VLEK.CSP {
		if csp.Value == "" || len(csp.Value) > maxName {
			r.fail(csp.Pos, fmt.Sprintf("hardware.vlek.csp[%d]", i), fmt.Sprintf("a name of 1 to %d bytes", maxName))
		}
	}
	for _, k := range list(r, d.IDKey, "hardware.id_key") {
		h.idKeys = append(h.idKeys, k)
	}
	for _, k := range list(r, d.AuthorKey, "hardware.author_key") {
		h.authorKeys = append(h.authorKeys, k)
	}
	h.familyID, h.imageID = d.FamilyID, d.ImageID
}
