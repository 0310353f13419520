package catalogue

import "github.com/blindbox/blindbox/attest"

// The codes in this table are declared by attest/snp and appraise, which this
// package does not import: it must know their names, not their meaning. The
// test of this package finds every declared code that no entry explains.

// hardware returns 230 to 259: genuine hardware in a state that is not
// acceptable.
func hardware() []Entry {
	return append(machine(), firmware()...)
}

// machine returns what is wrong with which machine it is and how it was
// configured.
func machine() []Entry {
	return []Entry{
		{
			Number: 230, Codes: []attest.Code{"debug"},
			Title:   "the host may read the box's memory",
			Cause:   "The guest was launched with the DEBUG bit in its policy. That bit is not part of the measurement, so the code looks unchanged.",
			NotDone: nothingSent,
			Fix:     "Never send data to such a box. No trust file can allow it.",
			Example: "BBX-230 hardware: the host may read the box's memory\n  seen       guest policy debug=1\n  expected   debug=0\n  nothing was sent.",
		},
		{
			Number: 231, Codes: []attest.Code{"migration"},
			Title:   "a migration agent may export the box",
			Cause:   "The guest was launched with MIGRATE_MA, or names a migration agent. Such an agent can move the guest, with its memory, elsewhere.",
			NotDone: nothingSent,
			Fix:     "Never send data to such a box. No trust file can allow it.",
			Example: "BBX-231 hardware: a migration agent may export the box\n  seen       guest policy migrate_ma=1\n  nothing was sent.",
		},
		{
			Number: 232, Codes: []attest.Code{"vmpl"},
			Title:   "the report comes from another privilege level",
			Cause:   "The report was asked for by software at another VMPL than the trust file expects, or by the host.",
			NotDone: nothingSent,
			Fix:     "If the box runs under a paravisor or SVSM, state its level: `hardware: {vmpl: ...}`. Otherwise treat it as an attack.",
			Example: "BBX-232 hardware: the report comes from another privilege level\n  seen       VMPL 4294967295 (asked for by the host)\n  expected   VMPL 0\n  nothing was sent.",
		},
		{
			Number: 233, Codes: []attest.Code{"smt", "platform", "platform_unknown"},
			Title:   "the platform is not configured as required",
			Cause:   "A setting of the machine (SMT, TSME, ECC memory, alias check, ciphertext hiding) is not what the trust file requires, or the machine reports a setting that this version does not know.",
			NotDone: nothingSent,
			Fix:     "Have the operator change the machine's setup or firmware, or change the requirement under `hardware:` knowing what it protects against.",
			Example: "BBX-233 hardware: the platform is not configured as required\n  seen       alias_check=0\n  expected   alias_check=1\n  nothing was sent.",
		},
		{
			Number: 234, Codes: []attest.Code{"policy"},
			Title:   "the guest policy of the hardware is not as required",
			Cause:   "A bit of the SNP guest policy differs from the trust file, or its minimum ABI version is too old. This is the hardware's own policy and not box.yaml.",
			NotDone: nothingSent,
			Fix:     "Have the operator launch the box with the required guest policy.",
			Example: "BBX-234 hardware: the guest policy of the hardware is not as required\n  seen       cxl=1\n  expected   cxl=0\n  nothing was sent.",
		},
		{
			Number: 235, Codes: []attest.Code{"chip_not_allowed"},
			Title:   "this chip is not in the allow-list",
			Cause:   "The trust file lists chips and this is not one of them. Milan is accepted only with such a list, since keys have been extracted from that product line.",
			NotDone: nothingSent,
			Fix:     "If you know that the machine stands where it should, add its id to `hardware: {chips: [...]}`. Learn the id from somebody who can touch the machine and not from the box.",
			Example: "BBX-235 hardware: this chip is not in the allow-list\n  seen       Milan, chip 5c0e..\n  expected   a list of chips, which Milan requires\n  nothing was sent.",
		},
		{
			Number: 236, Codes: []attest.Code{"chip_mismatch"},
			Title:   "report and certificate are of different chips",
			Cause:   "The chip id in the report is not the one in the certificate that signed it.",
			NotDone: nothingSent,
			Fix:     "For a file: use the certificate of the same machine. On a connection: treat the evidence as forged.",
			Example: "BBX-236 hardware: report and certificate are of different chips\n  seen       chip 5c0e..\n  expected   chip 77ab.. (certificate)\n  nothing was sent.",
		},
		{
			Number: 237, Codes: []attest.Code{"chip_masked"},
			Title:   "the report does not say which chip it is from",
			Cause:   "The host masks the chip id (MASK_CHIP_KEY), so an allow-list cannot be applied.",
			NotDone: nothingSent,
			Fix:     "Have the operator switch masking off. The trust file can allow it if no chips are listed.",
			Example: "BBX-237 hardware: the report does not say which chip it is from\n  seen       chip id all zero\n  nothing was sent.",
		},
		{
			Number: 238, Codes: []attest.Code{"product_not_allowed"},
			Title:   "a product line that you do not accept",
			Cause:   "The processor's product line is not among `hardware: {products: [...]}`. Milan is never accepted without a list of chips.",
			NotDone: nothingSent,
			Fix:     "Use another machine, or add the product line, for Milan together with `chips`.",
			Example: "BBX-238 hardware: a product line that you do not accept\n  seen       Milan\n  expected   Genoa, Turin\n  nothing was sent.",
		},
		{
			Number: 239, Codes: []attest.Code{"unknown_product", "unsupported"},
			Title:   "a report version or processor that is not accepted",
			Cause:   "This version of blindbox does not know the report's version or the processor, or the trust file does not accept that version: without `report_versions` it takes 3 and 5, since version 2 does not name its processor.",
			NotDone: nothingSent,
			Fix:     "Update blindbox. Version 2 reports are accepted only if the trust file lists them under `report_versions`.",
			Example: "BBX-239 hardware: a report version or processor that is not accepted\n  seen       accepted version 2\n  expected   3 or 5\n  nothing was sent.",
		},
		{
			Number: 240, Codes: []attest.Code{"product_mismatch"},
			Title:   "report, certificate and chain are of different products",
			Cause:   "A report of one product line came with the certificate or the authorities of another.",
			NotDone: nothingSent,
			Fix:     "For a file: use the certificate of the same machine. On a connection: treat the evidence as forged.",
			Example: "BBX-240 hardware: report, certificate and chain are of different products\n  seen       report Milan, certificate Genoa\n  nothing was sent.",
		},
		{
			Number: 241, Codes: []attest.Code{"signer_mismatch", "bad_key", "unsupported_alg"},
			Title:   "the report was not signed with a key that may sign reports",
			Cause:   "The report names another sort of key than the certificate holds (VCEK or VLEK), no key at all, another curve than P-384, or another algorithm than ECDSA with SHA-384.",
			NotDone: nothingSent,
			Fix:     "For a file: use the certificate that belongs to the report. On a connection: treat the evidence as forged.",
			Example: "BBX-241 hardware: the report was not signed with a key that may sign reports\n  seen       signing key VLEK, certificate VCEK\n  nothing was sent.",
		},
		{
			Number: 242, Codes: []attest.Code{"signer_not_allowed", "csp", "vlek"},
			Title:   "the report is signed with a cloud provider's key that you do not accept",
			Cause:   "A VLEK is shared by all machines of one provider and names no chip. The trust file does not allow VLEKs, or allows those of another provider.",
			NotDone: nothingSent,
			Fix:     "Have the operator use the chip's own key (VCEK), or allow the provider: `hardware: {vlek: {csp: [...]}}`.",
			Example: "BBX-242 hardware: the report is signed with a cloud provider's key that you do not accept\n  seen       VLEK of CN=cc-us-east-2.amazonaws.com\n  expected   VCEK\n  nothing was sent.",
		},
		{
			Number: 243, Codes: []attest.Code{"id_block"},
			Title:   "the id block is not the one required",
			Cause:   "The launch was not signed by the id key or author key that the trust file names, names another family or image, or the flags about these keys contradict each other.",
			NotDone: nothingSent,
			Fix:     "Have the operator launch with the right id block, or correct the digests under `hardware:`.",
			Example: "BBX-243 hardware: the id block is not the one required\n  seen       id key digest 00..\n  expected   4fd0..\n  nothing was sent.",
		},
	}
}

// firmware returns what is wrong with versions.
func firmware() []Entry {
	return []Entry{
		{
			Number: 250, Codes: []attest.Code{"tcb_low", "firmware_low"},
			Title:   "the firmware is older than you accept",
			Cause:   "A part of the machine's firmware is below the floor, either of the trust file or built in with its date. Each part is compared by itself: a high one does not make up for a low one.",
			NotDone: nothingSent,
			Fix:     "Have the operator update BIOS and microcode. Lower the floor under `hardware: {tcb: ...}` only if you know which holes that reopens.",
			Example: "BBX-250 hardware: the firmware is older than you accept\n  seen       reported TCB 10/0/21/84\n  expected   at least 10/0/24/85\n  nothing was sent.",
		},
		{
			Number: 251, Codes: []attest.Code{"launch_tcb"},
			Title:   "the box was started on firmware older than you accept",
			Cause:   "The firmware is good now, but was below the floor when the box was launched, and may have been attacked then.",
			NotDone: nothingSent,
			Fix:     "Have the operator start the box anew.",
			Example: "BBX-251 hardware: the box was started on firmware older than you accept\n  seen       launch TCB 10/0/21/84\n  expected   at least 10/0/24/85\n  nothing was sent.",
		},
		{
			Number: 252, Codes: []attest.Code{"provisional"},
			Title:   "the host can still go back to older firmware",
			Cause:   "The running firmware is good but not committed: the host can roll it back below the floor without restarting the box.",
			NotDone: nothingSent,
			Fix:     "Have the operator commit the firmware (SNP_COMMIT).",
			Example: "BBX-252 hardware: the host can still go back to older firmware\n  seen       committed TCB 10/0/21/84\n  expected   at least 10/0/24/85\n  nothing was sent.",
		},
		{
			Number: 253, Codes: []attest.Code{"tcb_cert_mismatch"},
			Title:   "the report claims another firmware than its key was made for",
			Cause:   "AMD derives a key for each level of firmware and writes the level into the certificate. The report claims another one.",
			NotDone: nothingSent,
			Fix:     "For a file: get the certificate for the report's level. On a connection: the box staples an old certificate, or the evidence is forged.",
			Example: "BBX-253 hardware: the report claims another firmware than its key was made for\n  seen       reported TCB 10/0/24/85\n  expected   10/0/21/84 (certificate)\n  nothing was sent.",
		},
		{
			Number: 254, Codes: []attest.Code{"svn"},
			Title:   "the box's own security version is too low",
			Cause:   "The guest SVN in the report is below the trust file's floor: its publisher has since fixed something.",
			NotDone: nothingSent,
			Fix:     "Have the operator run the current release.",
			Example: "BBX-254 hardware: the box's own security version is too low\n  seen       guest SVN 3\n  expected   at least 5\n  nothing was sent.",
		},
		{
			Number: 255, Codes: []attest.Code{"mitigation"},
			Title:   "a firmware mitigation is not in effect",
			Cause:   "The trust file requires a bit of the mitigation vector that the report does not have, at launch or now.",
			NotDone: nothingSent,
			Fix:     "Have the operator update the firmware and start the box anew.",
			Example: "BBX-255 hardware: a firmware mitigation is not in effect\n  seen       launch mitigations 0x0\n  expected   0x1\n  nothing was sent.",
		},
		{
			Number: 256, Codes: []attest.Code{"inconsistent"},
			Title:   "the report contradicts itself",
			Cause:   "It holds a combination of values that the firmware cannot produce, such as running firmware older than the committed one.",
			NotDone: nothingSent,
			Fix:     "Treat the evidence as forged.",
			Example: "BBX-256 hardware: the report contradicts itself\n  seen       current TCB 10/0/21/84\n  expected   at least the committed one, 10/0/24/85\n  nothing was sent.",
		},
	}
}
