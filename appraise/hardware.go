package appraise

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

func (h *hardware) accepts(p snp.Product) bool { return p.Valid() && slices.Contains(h.products, p) }

// hardware makes every check on the machine. The Verifier has shown that AMD's
// chain signed the report; here it is what the report says that counts.
func (a *appraisal) hardware() {
	a.genuine()
	a.endorsements()
	a.chip()
	a.signer()
	a.guestPolicy()
	a.platform()
	a.privilege()
	a.firmware()
	a.idBlock()
	a.mitigations()
}

// genuine refuses simulated evidence unless the trust file says in so many
// words that it is acceptable.
func (a *appraisal) genuine() {
	c := a.claims
	switch {
	case !c.Kind.Simulated() && !c.Simulated:
		a.check("hardware.genuine", true, "", c.Kind.String(), "hardware")
	case a.trust.simulated:
		a.check("hardware.genuine", true, "", "SIMULATED", "allow_simulated: true, says the trust file")
	default:
		a.fail("hardware.genuine", CodeSimulated, "SIMULATED: it proves nothing about hardware", "hardware, or allow_simulated: true in the trust file")
	}
	kinds := a.trust.Kinds()
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	a.check("hardware.accepted_kind", slices.Contains(kinds, c.Kind), attest.CodeKindMismatch, c.Kind.String(), strings.Join(names, " or "))
}

// endorsements judges when the vendor's signatures are valid, and whether
// anything tells that they were not withdrawn.
func (a *appraisal) endorsements() {
	v := a.claims.Endorsed
	a.holdsUntil(v.NotAfter)
	a.check("hardware.accepted_time", v.Contains(a.at), attest.CodeExpired,
		fmt.Sprintf("%s to %s", v.NotBefore.UTC().Format(dayLayout), v.NotAfter.UTC().Format(dayLayout)),
		"to contain "+a.at.UTC().Format(dayLayout))
	a.revocation("hardware.revocation_ca", a.detail.ARKCRL, a.trust.hardware.revocation == revocationRequire)
	// AMD's key distribution service gives out a CRL by the ARK only. One by the
	// ASK is used where there is one and cannot be asked for.
	a.revocation("hardware.revocation_key", a.detail.ASKCRL, false)
}

func (a *appraisal) revocation(name string, r snp.Revocation, required bool) {
	expected := a.trust.hardware.revocation.String()
	switch {
	case !r.Checked && required:
		a.fail(name, attest.CodeNoCRL, "no revocation list", expected)
	case !r.Checked:
		a.skip(name, attest.CodeNoCRL, "no revocation list", expected)
	default:
		until := r.NextUpdate
		if limit := a.trust.hardware.crlMaxAge; limit > 0 && r.ThisUpdate.Add(limit).Before(until) {
			until = r.ThisUpdate.Add(limit)
		}
		a.holdsUntil(until)
		a.check(name, !a.at.After(until), attest.CodeStaleCRL,
			"not revoked, list accepted until "+until.UTC().Format(dayLayout), "a list that is accepted on "+a.at.UTC().Format(dayLayout))
	}
}

func (a *appraisal) chip() {
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
func (a *appraisal) allowedChip() {
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

func (a *appraisal) signer() {
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
func (a *appraisal) guestPolicy() {
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
func (a *appraisal) smt() {
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

func (a *appraisal) platform() {
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

// bit compares one bit with its rule. A rule that was never set refuses.
func (a *appraisal) bit(name string, code attest.Code, want rule, on bool) {
	switch want {
	case ruleAllow:
		a.skip(name, CodeNotRequired, onOff(on), want.String())
	case ruleRequire:
		a.check(name, on, code, onOff(on), onOff(true))
	case ruleForbid:
		a.check(name, !on, code, onOff(on), onOff(false))
	default:
		a.fail(name, code, onOff(on), "a rule")
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// privilege is about who inside the guest asked for the report.
func (a *appraisal) privilege() {
	r, want := a.detail.Report, a.trust.hardware.vmpl
	switch {
	case r.FromHost():
		a.fail("hardware.vmpl", CodeVMPL, "asked for by the host", want.String())
	case want.any && r.VMPL <= 3:
		a.skip("hardware.vmpl", CodeNotRequired, fmt.Sprint(r.VMPL), wordAny+", says the trust file")
	default:
		a.check("hardware.vmpl", !want.any && r.VMPL == want.level, CodeVMPL, fmt.Sprint(r.VMPL), want.String())
	}
	a.check("hardware.guest_svn", r.GuestSVN >= a.trust.hardware.guestSVN, CodeGuestSVN,
		fmt.Sprint(r.GuestSVN), fmt.Sprintf("%d or higher", a.trust.hardware.guestSVN))
}

// firmware compares every TCB version with the floor, component by component:
// more of one does not make up for less of another.
func (a *appraisal) firmware() {
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

func (a *appraisal) firmwareVersion() {
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
func (a *appraisal) idBlock() {
	r, h := a.detail.Report, &a.trust.hardware
	a.idKey("hardware.id_key", r.IDKeyDigest, h.idKeys, true)
	a.idKey("hardware.author_key", r.AuthorKeyDigest, h.authorKeys, r.AuthorKeyEn)
	a.guestID("hardware.family_id", r.FamilyID, h.familyID)
	a.guestID("hardware.image_id", r.ImageID, h.imageID)
}

// idKey compares the digest of a key; signed says that there was such a key.
func (a *appraisal) idKey(name string, digest [48]byte, want [][48]byte, signed bool) {
	if len(want) == 0 {
		a.skip(name, CodeNotRequired, shortOrNone(digest[:]), wordAny+": the trust file lists none")
		return
	}
	ok := signed && digest != [48]byte{} && slices.Contains(want, digest)
	a.check(name, ok, snp.CodeIDBlock, fmt.Sprintf("%x", digest), fmt.Sprintf("one of the %d keys in the trust file", len(want)))
}

func (a *appraisal) guestID(name string, id, want [16]byte) {
	if want == [16]byte{} {
		a.skip(name, CodeNotRequired, shortOrNone(id[:]), wordAny)
		return
	}
	a.check(name, id == want, snp.CodeIDBlock, fmt.Sprintf("%x", id), fmt.Sprintf("%x", want))
}

// mitigations exist from report version 5 on. Where one is required an older
// report cannot show it and is refused.
func (a *appraisal) mitigations() {
	r, h := a.detail.Report, &a.trust.hardware
	a.mitigation("hardware.mitigation_launch", r.LaunchMitVector, h.mitLaunch)
	a.mitigation("hardware.mitigation_current", r.CurrentMitVector, h.mitCurrent)
}

func (a *appraisal) mitigation(name string, has, want uint64) {
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

// short shows enough of a digest to recognise it: 7b3f..9c1e.
func short(digest []byte) string {
	switch {
	case len(digest) == 0:
		return "none"
	case len(digest) <= 4:
		return fmt.Sprintf("%x", digest)
	}
	return fmt.Sprintf("%x..%x", digest[:2], digest[len(digest)-2:])
}

// shortOrNone is short for what a report leaves zero where there is nothing.
func shortOrNone(b []byte) string {
	if !slices.ContainsFunc(b, func(v byte) bool { return v != 0 }) {
		return "none"
	}
	return short(b)
}
