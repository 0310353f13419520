package appraise

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// snpMachine is what AMD SEV-SNP showed, simulated or not.
type snpMachine struct {
	claims *attest.Claims
	detail *snp.Claims
}

func newSNPMachine(c *attest.Claims, d *snp.Claims) machine {
	if d == nil || d.Report == nil {
		return nil
	}
	return snpMachine{c, d}
}

func (m snpMachine) kinds() []attest.Kind { return []attest.Kind{attest.SNP, attest.SimSNP} }

func (m snpMachine) consistent() bool {
	c, r := m.claims, m.detail.Report
	return c.ReportData == r.ReportData &&
		slices.Equal(c.Measurement, r.Measurement[:]) &&
		slices.Equal(c.LaunchDigest, r.HostData[:]) &&
		(r.Product == m.detail.Product || r.Version == 2 && r.Product == 0) &&
		r.SigningKey == m.detail.Signer &&
		r.ReportedTCB == m.detail.CertTCB
}

// essential: that the firmware was held against a floor.
func (m snpMachine) essential() []string {
	return []string{"hardware.tcb_current", "hardware.tcb_reported", "hardware.tcb_certified", "hardware.tcb_committed", "hardware.tcb_launch"}
}

func (m snpMachine) code() string { return fmt.Sprintf("%x", m.claims.Measurement) }

func (m snpMachine) summary(r Result) string {
	d := m.detail
	return fmt.Sprintf("AMD SEV-SNP, %s, TCB %s %s, chain to %s root ok (%s)",
		d.Product, d.Report.ReportedTCB, floorNote(r, "hardware.tcb_current"), r.vendor("AMD"),
		revocationText(d.ARKCRL.Checked, d.ARKCRL.ThisUpdate, r.at))
}

// hardwareJSON describes the machine in the stable form of a Result.
type hardwareJSON struct {
	Kind          string      `json:"kind"`
	Product       snp.Product `json:"product"`
	Signer        snp.Signer  `json:"signer"`
	ReportVersion uint32      `json:"report_version"`
	TCB           snp.TCB     `json:"tcb"` // REPORTED_TCB, the one the key was made for
	Firmware      string      `json:"firmware"`
	ChipID        string      `json:"chip_id,omitempty"` // hex
	CSP           string      `json:"csp,omitempty"`
}

func (m snpMachine) document() any {
	d := m.detail
	return &hardwareJSON{
		Kind: m.claims.Kind.String(), Product: d.Product, Signer: d.Signer, ReportVersion: d.Report.Version,
		TCB: d.Report.ReportedTCB, Firmware: d.Report.CurrentVersion.String(),
		ChipID: hex.EncodeToString(d.ChipID), CSP: d.CSP,
	}
}

// judge makes every check on the machine. The Verifier has shown that AMD's
// chain signed the report; here it is what the report says that counts.
func (m snpMachine) judge(a *appraisal) {
	s := snpAppraisal{a, m.detail}
	s.endorsements()
	s.chip()
	s.signer()
	s.guestPolicy()
	s.platform()
	s.privilege()
	s.firmware()
	s.idBlock()
	s.mitigations()
}

// snpAppraisal is an appraisal of one SNP report, whoever carried it.
type snpAppraisal struct {
	*appraisal
	detail *snp.Claims
}

// endorsements judges whether anything tells that the keys were not withdrawn.
func (a snpAppraisal) endorsements() {
	h, ark, ask := &a.trust.hardware, a.detail.ARKCRL, a.detail.ASKCRL
	a.revocation("hardware.revocation_ca", ark.Checked, ark.ThisUpdate, ark.NextUpdate, h.revocation == revocationRequire)
	// AMD's key distribution service gives out a CRL by the ARK only. One by the
	// ASK is used where there is one and cannot be asked for.
	a.revocation("hardware.revocation_key", ask.Checked, ask.ThisUpdate, ask.NextUpdate, false)
}

func (h *snpRules) accepts(p snp.Product) bool { return p.Valid() && slices.Contains(h.products, p) }

func (a snpAppraisal) chip() {
	h, d := &a.trust.hardware, a.detail
	names := make([]string, len(h.products))
	for i, p := range h.products {
		names[i] = p.String()
	}
	a.check("hardware.accepted_product", h.accepts(d.Product), CodeProduct, d.Product.String(), strings.Join(names, " or "))
	a.check("hardware.accepted_version", slices.Contains(h.reportVersions, d.Report.Version), snp.CodeUnsupported,
		fmt.Sprint(d.Report.Version), strings.ReplaceAll(strings.Trim(fmt.Sprint(h.reportVersions), "[]"), " ", " or "))
	a.allowedChip()
	if d.Signer == snp.SignerVLEK {
		return // a VLEK has no chip id; whether that will do is the signer check
	}
	masked := d.ChipIDMasked || d.Report.ChipIDMasked() || d.Report.MaskChipKey
	switch {
	case masked && h.maskedChip:
		a.skip("hardware.chip_shown", CodeNotRequired, "masked", "masked_chip: allow, says the trust file")
	default:
		a.check("hardware.chip_shown", !masked, CodeMaskedChip, shown(masked), "shown")
	}
}

func shown(masked bool) string {
	if masked {
		return "masked"
	}
	return "shown"
}

// allowedChip compares the certificate's chip id, which AMD signed, with the
// list. Turin has an id of 8 bytes that a report pads with zeros to 64.
func (a snpAppraisal) allowedChip() {
	chips, d := a.trust.hardware.chips, a.detail
	var id [64]byte
	copy(id[:], d.ChipID)
	seen := "chip " + short(d.ChipID)
	if len(d.ChipID) == 0 {
		seen = "no chip id: signed by a key that many chips share"
	}
	switch {
	case len(chips) != 0:
		ok := len(d.ChipID) != 0 && id != [64]byte{} && slices.Contains(chips, id)
		a.check("hardware.accepted_chip", ok, CodeChip, seen, fmt.Sprintf("one of the %d chips in the trust file", len(chips)))
	case d.Product == snp.Milan:
		a.fail("hardware.accepted_chip", CodeChip, seen, "a chip in the trust file: Milan is accepted by chip only")
	default:
		a.skip("hardware.accepted_chip", CodeNotRequired, seen, wordAny+" chip: the trust file lists none")
	}
}

func (a snpAppraisal) signer() {
	csps, d := a.trust.hardware.csps, a.detail
	switch {
	case d.Signer == snp.SignerVCEK:
		a.check("hardware.accepted_signer", true, "", "VCEK", "VCEK")
		return
	case d.Signer != snp.SignerVLEK || len(csps) == 0:
		a.fail("hardware.accepted_signer", CodeSigner, d.Signer.String(), "VCEK: the trust file has no vlek")
		return
	}
	a.check("hardware.accepted_signer", true, "", "VLEK", "VCEK or VLEK")
	a.check("hardware.accepted_csp", slices.Contains(csps, d.CSP), CodeCSP, d.CSP, strings.Join(csps, " or "))
}

// guestPolicy looks at every bit of GUEST_POLICY (AMD 56860). The policy is not
// part of the measurement: the host chose it at launch.
func (a snpAppraisal) guestPolicy() {
	r, want := a.detail.Report, a.trust.hardware.guest
	p := r.Policy
	a.check("hardware.debug", !p.Debug(), CodeDebug, onOff(p.Debug()), "off")
	agent := p.MigrateMA() || r.HasMigrationAgent()
	a.check("hardware.migration", !agent, CodeMigration, onOff(agent), "off, and no migration agent")
	abi := dotted{p.ABIMajor(), p.ABIMinor()}
	a.check("hardware.guest_abi", abi.atLeast(a.trust.hardware.abi), CodeGuestPolicy,
		fmt.Sprintf("%d.%d", abi[0], abi[1]), fmt.Sprintf("%d.%d or later", a.trust.hardware.abi[0], a.trust.hardware.abi[1]))
	a.smt()
	a.bit("hardware.guest_single_socket", CodeGuestPolicy, want.singleSocket, p.SingleSocket())
	a.bit("hardware.guest_cxl", CodeGuestPolicy, want.cxl, p.CXLAllowed())
	a.bit("hardware.guest_mem_aes_256_xts", CodeGuestPolicy, want.aes256XTS, p.MemAES256XTS())
	a.bit("hardware.guest_rapl_disabled", CodeGuestPolicy, want.raplDisabled, p.RAPLDisabled())
	a.bit("hardware.guest_ciphertext_hiding", CodeGuestPolicy, want.ciphertextHiding, p.CiphertextHidingDRAM())
	a.bit("hardware.guest_page_swap_disabled", CodeGuestPolicy, want.pageSwapDisabled, p.PageSwapDisabled())
	reserved := uint64(p) &^ knownGuestPolicyBits
	a.check("hardware.guest_policy_reserved", reserved == guestPolicyOne, CodeGuestPolicy, fmt.Sprintf("%#x", reserved), fmt.Sprintf("%#x", guestPolicyOne))
}

// knownGuestPolicyBits are the ABI version and the named bits. Of the others
// bit 17 is one and the rest zero (AMD 56860, GUEST_POLICY).
const (
	guestPolicyOne       = 1 << 17
	knownGuestPolicyBits = 1<<26 - 1 - guestPolicyOne
)

// smt is about sibling threads. The guest's policy says whether it may run
// where they are on, the platform whether they are on.
func (a snpAppraisal) smt() {
	r := a.detail.Report
	seen := "guest policy " + onOff(r.Policy.SMT()) + ", platform " + onOff(r.PlatformInfo.SMT())
	if a.trust.hardware.smt == ruleAllow {
		a.skip("hardware.smt", CodeNotRequired, seen, ruleAllow.String())
		return
	}
	a.check("hardware.smt", !r.Policy.SMT() && !r.PlatformInfo.SMT(), CodeSMT, seen, "off in both")
}

// knownPlatformBits are the bits of PLATFORM_INFO that have a name here: SMT to
// TIO, bits 0 to 7. Newer firmware sets bit 6, IOMMU_WRITE_SAFE (AMD-SB-3016).
const knownPlatformBits = 1<<8 - 1

func (a snpAppraisal) platform() {
	p, want := a.detail.Report.PlatformInfo, a.trust.hardware.platform
	a.bit("hardware.platform_tsme", CodePlatform, want.tsme, p.TSME())
	a.bit("hardware.platform_ecc", CodePlatform, want.ecc, p.ECC())
	a.bit("hardware.platform_rapl_disabled", CodePlatform, want.raplDisabled, p.RAPLDisabled())
	a.bit("hardware.platform_ciphertext_hiding", CodePlatform, want.ciphertextHiding, p.CiphertextHidingDRAM())
	a.bit("hardware.platform_alias_check", CodePlatform, want.aliasCheck, p.AliasCheckComplete())
	a.bit("hardware.platform_iommu_write_safe", CodePlatform, want.iommuWriteSafe, p.IOMMUWriteSafe())
	a.bit("hardware.platform_tio", CodePlatform, want.tio, p.TIO())
	known := knownPlatformBits | want.extraBits
	a.check("hardware.platform_bits", uint64(p)&^known == 0, CodePlatformBits, fmt.Sprintf("%#x", uint64(p)), fmt.Sprintf("no bit outside %#x", known))
}

// privilege is about who inside the guest asked for the report.
func (a snpAppraisal) privilege() {
	r, want := a.detail.Report, a.trust.hardware.vmpl
	switch {
	case r.FromHost():
		a.fail("hardware.vmpl", CodeVMPL, "asked for by the host", want.String())
	case want.any && r.VMPL <= 3:
		a.skip("hardware.vmpl", CodeNotRequired, fmt.Sprint(r.VMPL), wordAny+", says the trust file")
	default:
		a.check("hardware.vmpl", r.VMPL == want.level, CodeVMPL, fmt.Sprint(r.VMPL), want.String())
	}
	a.check("hardware.guest_svn", r.GuestSVN >= a.trust.hardware.guestSVN, CodeGuestSVN,
		fmt.Sprint(r.GuestSVN), fmt.Sprintf("%d or higher", a.trust.hardware.guestSVN))
}

// firmware compares every TCB version with the floor, component by component:
// more of one does not make up for less of another.
func (a snpAppraisal) firmware() {
	r := a.detail.Report
	floor, source := a.trust.Floor(a.detail.Product, r.Stepping)
	expected := floor.String() + " or higher in each (" + source + ")"
	inForce := a.trust.hasFloor(a.detail.Product) || !a.at.Before(floorsSince())
	for _, row := range []struct {
		name string
		tcb  snp.TCB
		code attest.Code
	}{
		{"hardware.tcb_current", r.CurrentTCB, CodeTCBLow},
		{"hardware.tcb_reported", r.ReportedTCB, CodeTCBLow},
		{"hardware.tcb_certified", a.detail.CertTCB, CodeTCBLow},
		{"hardware.tcb_committed", r.CommittedTCB, CodeProvisional},
		{"hardware.tcb_launch", r.LaunchTCB, CodeLaunchTCB},
	} {
		if !inForce {
			a.skip(row.name, CodeNotChecked, row.tcb.String(), "a floor in the trust file: the built-in ones hold since "+floorsSince().Format(dayLayout))
			continue
		}
		a.check(row.name, row.tcb.AtLeast(floor), row.code, row.tcb.String(), expected)
	}
	ordered := r.CurrentTCB.AtLeast(r.CommittedTCB) && r.CurrentTCB.AtLeast(r.ReportedTCB) && !r.CurrentVersion.Less(r.CommittedVersion)
	a.check("hardware.tcb_order", ordered, snp.CodeInconsistent,
		fmt.Sprintf("current %s, committed %s, reported %s", r.CurrentTCB, r.CommittedTCB, r.ReportedTCB),
		"current to be the highest")
	a.firmwareVersion()
}

func (a snpAppraisal) firmwareVersion() {
	r, want := a.detail.Report, a.trust.hardware.firmware
	seen := fmt.Sprintf("%s, committed %s", r.CurrentVersion, r.CommittedVersion)
	if want == (dotted{}) {
		a.skip("hardware.firmware", CodeNotRequired, seen, wordAny+": the TCB floor decides")
		return
	}
	floor := snp.FirmwareVersion{Major: want[0], Minor: want[1], Build: want[2]}
	ok := !r.CurrentVersion.Less(floor) && !r.CommittedVersion.Less(floor)
	a.check("hardware.firmware", ok, CodeFirmware, seen, want.String()+" or later, committed")
}

// idBlock is about who signed for the guest: the keys whose digests the
// firmware put into the report, and the ids that the signed block carries.
func (a snpAppraisal) idBlock() {
	r, h := a.detail.Report, &a.trust.hardware
	a.idKey("hardware.id_key", r.IDKeyDigest, h.idKeys, true)
	a.idKey("hardware.author_key", r.AuthorKeyDigest, h.authorKeys, r.AuthorKeyEn)
	a.guestID("hardware.family_id", r.FamilyID, h.familyID)
	a.guestID("hardware.image_id", r.ImageID, h.imageID)
}

// idKey compares the digest of a key; signed says that there was such a key.
func (a snpAppraisal) idKey(name string, digest [48]byte, want [][48]byte, signed bool) {
	if len(want) == 0 {
		a.skip(name, CodeNotRequired, shortOrNone(digest[:]), wordAny+": the trust file lists none")
		return
	}
	ok := signed && digest != [48]byte{} && slices.Contains(want, digest)
	a.check(name, ok, snp.CodeIDBlock, fmt.Sprintf("%x", digest), fmt.Sprintf("one of the %d keys in the trust file", len(want)))
}

func (a snpAppraisal) guestID(name string, id, want [16]byte) {
	if want == [16]byte{} {
		a.skip(name, CodeNotRequired, shortOrNone(id[:]), wordAny)
		return
	}
	a.check(name, id == want, snp.CodeIDBlock, fmt.Sprintf("%x", id), fmt.Sprintf("%x", want))
}

// mitigations exist from report version 5 on. Where one is required an older
// report cannot show it and is refused.
func (a snpAppraisal) mitigations() {
	r, h := a.detail.Report, &a.trust.hardware
	a.mitigation("hardware.mitigation_launch", r.LaunchMitVector, h.mitLaunch)
	a.mitigation("hardware.mitigation_current", r.CurrentMitVector, h.mitCurrent)
}

func (a snpAppraisal) mitigation(name string, has, want uint64) {
	seen := fmt.Sprintf("%#x", has)
	if version := a.detail.Report.Version; version < 5 {
		seen = fmt.Sprintf("none in a report of version %d", version)
		has = 0
	}
	if want == 0 {
		a.skip(name, CodeNotRequired, seen, wordAny)
		return
	}
	a.check(name, has&want == want, CodeMitigation, seen, fmt.Sprintf("every bit of %#x", want))
}

// snpReferenceDoc is the section sev-snp of an entry of accept.
type snpReferenceDoc struct {
	Measurement hex48 `yaml:"measurement,required"`
}

func (r *reader) snpReference(_ string, d *snpReferenceDoc) codeValues {
	return snpReference(d.Measurement)
}

// snpReference is MEASUREMENT as the build computed it.
type snpReference [48]byte

func (v snpReference) matches(c *attest.Claims) bool { return slices.Equal(v[:], c.Measurement) }

func (v snpReference) identifies() bool { return v != snpReference{} }

func (v snpReference) fields() []field { return []field{{"measurement", v.String()}} }

func (v snpReference) String() string { return hex.EncodeToString(v[:]) }

// snp takes the measurement of a box that is there, and loosens what keeps its
// machine from being accepted.
func (u *firstUse) snp(d *snp.Claims) codeValues {
	s := snpFirstUse{u, d, d.Report}
	s.machine()
	s.levels()
	s.bits()
	return snpReference(d.Report.Measurement)
}

// snpFirstUse fits the rules for SEV-SNP to one report.
type snpFirstUse struct {
	*firstUse
	detail *snp.Claims
	report *snp.Report
}

// machine accepts the product, and of a product that is not accepted as a
// whole only this chip.
func (u snpFirstUse) machine() {
	h, d := &u.trust.hardware, u.detail
	h.products = []snp.Product{d.Product}
	if d.Product == snp.Milan && len(d.ChipID) != 0 {
		var id [64]byte
		copy(id[:], d.ChipID)
		h.chips = [][64]byte{id}
		u.loosen("Milan, whose signing keys can be extracted in software; only this chip")
	}
	if d.Signer == snp.SignerVLEK {
		h.csps = []string{d.CSP}
		u.loosen("a key that many chips of %s share", d.CSP)
	} else if d.ChipIDMasked || u.report.MaskChipKey {
		h.maskedChip = true
		u.loosen("the host hides the chip id")
	}
	if u.report.Version == 2 {
		h.reportVersions = []uint32{2}
		u.loosen("a report of version 2, which does not name its processor")
	}
	if !d.ARKCRL.Checked {
		h.revocation = revocationAllowMissing
		u.loosen("nothing says whether its keys were revoked")
	}
}

// levels keeps the built-in floors if the machine meets them, and writes its
// own levels down if it does not.
func (u snpFirstUse) levels() {
	h, r := &u.trust.hardware, u.report
	h.guestSVN = r.GuestSVN
	if r.VMPL <= 3 {
		h.vmpl = vmplRule{level: r.VMPL}
		if r.VMPL != 0 {
			u.loosen("privilege level %d: what runs above it in the same machine can read everything", r.VMPL)
		}
	}
	lowest := r.ReportedTCB
	for _, t := range []snp.TCB{r.CurrentTCB, r.CommittedTCB, r.LaunchTCB} {
		lowest = lowestOf(lowest, t)
	}
	if floor := builtInFloor(u.detail.Product, r.Stepping); !lowest.AtLeast(floor) {
		h.floors = map[snp.Product]snp.TCB{u.detail.Product: lowest}
		u.loosen("firmware %s is below the floor %s of %s and has known weaknesses", lowest, floor, FloorsDate)
	}
}

func lowestOf(a, b snp.TCB) snp.TCB {
	return snp.TCB{
		FMC:        min(a.FMC, b.FMC),
		Bootloader: min(a.Bootloader, b.Bootloader),
		TEE:        min(a.TEE, b.TEE),
		SNP:        min(a.SNP, b.SNP),
		Microcode:  min(a.Microcode, b.Microcode),
	}
}

func (u snpFirstUse) bits() {
	h, r := &u.trust.hardware, u.report
	if !r.PlatformInfo.AliasCheckComplete() {
		h.platform.aliasCheck = ruleAllow
		u.loosen("the firmware does not say that it looked for aliased memory (BadRAM)")
	}
	if r.Policy.CXLAllowed() {
		h.guest.cxl = ruleAllow
		u.loosen("the guest may run where CXL devices are attached")
	}
	if extra := uint64(r.PlatformInfo) &^ knownPlatformBits; extra != 0 {
		h.platform.extraBits = extra
		u.loosen("platform bits %s, which this version does not know", bitList(extra))
	}
}
