package catalogue

import "github.com/blindbox/blindbox/attest"

// tpm returns 260 to 269: quotes of a TPM, and paravisors whose TPM it is.
func tpm() []Entry {
	return []Entry{
		{
			Number: 260, Codes: []attest.Code{"tpm_generated", "tpm_not_quote"},
			Title:   "the TPM signed something else than a quote",
			Cause:   "Everything that a TPM makes up itself begins with a fixed number, and a quote of its registers has a type of its own. These bytes have another beginning or another type: they say nothing about registers.",
			NotDone: nothingSent,
			Fix:     "Treat the evidence as forged.",
			Example: "BBX-260 hardware: the TPM signed something else than a quote\n  seen       0x8017\n  expected   0x8018 (quote)\n  nothing was sent.",
		},
		{
			Number: 261, Codes: []attest.Code{"pcr_selection", "pcr_bank", "pcr_digest"},
			Title:   "the registers shown are not those that were quoted",
			Cause:   "The quote is over other registers, over another bank, over one with a broken hash (SHA-1), or the values that came with it are not the ones it was made of. A register that is extended between reading and quoting also gives this.",
			NotDone: nothingSent,
			Fix:     "Try again. If it stays, the box's TPM driver is broken, or somebody changes the values on the way.",
			Example: "BBX-261 hardware: the registers shown are not those that were quoted\n  seen       digest 5d01.. of the registers given\n  expected   77ac.., as quoted\n  nothing was sent.",
		},
		{
			Number: 262, Codes: []attest.Code{"pcr_not_extended"},
			Title:   "a register that every firmware extends was never extended",
			Cause:   "The quote is over a bank that the firmware does not serve. Its registers still have their first values, and whoever controls the machine can extend them to any value.",
			NotDone: nothingSent,
			Fix:     "Have the operator quote a bank that the firmware measures into (SHA-256), and switch off the others in the firmware's settings.",
			Example: "BBX-262 hardware: a register that every firmware extends was never extended\n  seen       PCR [0 1 2 3 4 5 6 7] with its first value\n  nothing was sent.",
		},
		{
			Number: 263, Codes: []attest.Code{"tpm_scheme", "tpm_key", "ek_profile"},
			Title:   "a TPM key that is not what it has to be",
			Cause:   "An attestation key has to be made by its TPM, unable to leave it and restricted to what the TPM makes up itself, and it signs with one scheme. An endorsement key's certificate has to say that it is one. Otherwise the key may be anybody's.",
			NotDone: nothingSent,
			Fix:     "Have the operator make the attestation key with the template in docs/hardware/vtpm.md.",
			Example: "BBX-263 hardware: a TPM key that is not what it has to be\n  seen       0x40472\n  expected   restricted, sign, fixedTPM, fixedParent and sensitiveDataOrigin, and not decrypt\n  nothing was sent.",
		},
		{
			Number: 264, Codes: []attest.Code{"tpm_unbound", "ak_not_allowed"},
			Title:   "nothing says whose attestation key this is",
			Cause:   "Anybody can make a key and sign a quote with it. No certificate leads from this one to a root that is trusted here, and the trust file does not name it.",
			NotDone: nothingSent,
			Fix:     "Challenge the TPM once (docs/hardware/vtpm.md) and put the key's name into the trust file under `hardware: {tpm: {ak_names: [...]}}`, or use a TPM whose attestation key is certified.",
			Example: "BBX-264 hardware: nothing says whose attestation key this is\n  seen       000b41fe.., unbound\n  expected   a key in the trust file\n  nothing was sent.",
		},
		{
			Number: 265, Codes: []attest.Code{"secure_boot"},
			Title:   "Secure Boot is off, or nothing shows that it is on",
			Cause:   "The event log does not lead to a state in which Secure Boot was on, or there is no log. Without it the firmware starts anything.",
			NotDone: nothingSent,
			Fix:     "Have the operator switch Secure Boot on. If the registers alone are enough for you, write `secure_boot: allow`.",
			Example: "BBX-265 hardware: Secure Boot is off, or nothing shows that it is on\n  seen       off\n  expected   on\n  nothing was sent.",
		},
		{
			Number: 266, Codes: []attest.Code{"tpm_clock", "tpm_firmware"},
			Title:   "the TPM's clock or firmware is not one that you accept",
			Cause:   "The TPM says that its clock may have gone back (power was lost without a clean shutdown), that it was suspended more often than you accept, or that it runs other firmware than the trust file lists.",
			NotDone: nothingSent,
			Fix:     "Have the operator restart the machine cleanly, or review the firmware number and list it.",
			Example: "BBX-266 hardware: the TPM's clock or firmware is not one that you accept\n  seen       clock not safe\n  expected   safe\n  nothing was sent.",
		},
		{
			Number: 267, Codes: []attest.Code{"paravisor_key", "td_mismatch"},
			Title:   "the parts of the evidence belong to different machines",
			Cause:   "The quote is by another TPM than that of the paravisor that the hardware vouches for, or the TD quote is of another trust domain than the paravisor's report.",
			NotDone: nothingSent,
			Fix:     "Treat the evidence as forged: somebody joins the parts of two machines.",
			Example: "BBX-267 hardware: the parts of the evidence belong to different machines\n  seen       a quote by another key\n  expected   HCLAkPub of the runtime claims\n  nothing was sent.",
		},
		{
			Number: 268, Codes: []attest.Code{"vm_configuration"},
			Title:   "the machine is set up in a way that you do not accept",
			Cause:   "The paravisor says that the machine has a serial console, on which the host sees and types, that Secure Boot is off, or it does not say.",
			NotDone: nothingSent,
			Fix:     "Have the operator create the machine without them. A console that the image does not use can be accepted: `hardware: {azure: {console: allow}}`.",
			Example: "BBX-268 hardware: the machine is set up in a way that you do not accept\n  seen       console on\n  expected   off\n  nothing was sent.",
		},
	}
}
