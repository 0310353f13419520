package catalogue

import "github.com/blindbox/blindbox/attest"

// quotes returns 283 to 288: Intel's signatures do not lead from the root to the
// quote. The codes are declared by attest/internal/dcap.
func quotes() []Entry {
	return []Entry{
		{
			Number: 283, Codes: []attest.Code{"qe_vendor", "qe_identity", "qe_binding"},
			Title:   "the quote was not made by Intel's quoting enclave",
			Cause:   "A quote is as good as the enclave that signs it. This one is another vendor's, is not the one that Intel's QE identity describes, or does not vouch for the key that signed the quote.",
			NotDone: nothingSent,
			Fix:     "Treat the evidence as forged. Only if the machine is yours: its DCAP software may be a developer's build.",
			Example: "BBX-283 hardware: the quote was not made by Intel's quoting enclave\n  seen       ATTRIBUTES 17\n  expected   11, under Intel's mask\n  nothing was sent.",
		},
		{
			Number: 284, Codes: []attest.Code{"no_pck_chain", "pck_mismatch"},
			Title:   "the quote does not hold the certificate of its processor",
			Cause:   "The quote names its PCK certificate instead of holding it (certification data other than type 5), or holds that of another machine than the one that was verified before.",
			NotDone: nothingSent,
			Fix:     "Have the operator configure the machine's quote provider library to fetch PCK certificates; it then puts the chain into each quote.",
			Example: "BBX-284 hardware: the quote does not hold the certificate of its processor\n  seen       certification data type 3\n  expected   5, a PCK certificate chain\n  nothing was sent.",
		},
		{
			Number: 285, Codes: []attest.Code{"bad_collateral", "stale_collateral"},
			Title:   "TCB info or QE identity cannot be used",
			Cause:   "The document's signature is not that of Intel's TCB signing key over these very bytes, its date of issue lies in the future, or it is past the date by which Intel replaces it. An old document is how a new weakness is hidden.",
			NotDone: nothingSent,
			Fix:     "Have the box staple those of today, or fetch them: `blindbox endorsements fetch`. They are replaced every 30 days. For an old file give the time at which it was made: `--at TIME`. If a date is in the future, check this machine's clock.",
			Example: "BBX-285 hardware: TCB info or QE identity cannot be used\n  seen       not signed by the TCB signing key\n  expected   signed by Intel SGX TCB Signing\n  nothing was sent.",
		},
		{
			Number: 286, Codes: []attest.Code{"platform_mismatch"},
			Title:   "the TCB info is that of another kind of machine",
			Cause:   "Intel publishes TCB info for each processor model (FMSPC), provisioning enclave and TEE. The one given is not that of the machine that signed.",
			NotDone: nothingSent,
			Fix:     "Fetch the one for the FMSPC that the processor's certificate names: `blindbox endorsements fetch`.",
			Example: "BBX-286 hardware: the TCB info is that of another kind of machine\n  seen       FMSPC 00606a000000, PCE 0000\n  expected   FMSPC c0806f000000, PCE 0000, as the TCB info\n  nothing was sent.",
		},
		{
			Number: 287, Codes: []attest.Code{"tdx_module"},
			Title:   "the TDX module is not one that Intel names",
			Cause:   "The module that measured the box has a version without an identity in Intel's TCB info, another signer, or attributes that no production module has.",
			NotDone: nothingSent,
			Fix:     "Fetch the newest TCB info: `blindbox endorsements fetch`. If the module is still not in it, do not use the machine.",
			Example: "BBX-287 hardware: the TDX module is not one that Intel names\n  seen       TDX module version 9\n  expected   one of Intel's module identities\n  nothing was sent.",
		},
		{
			Number: 288, Codes: []attest.Code{"no_tcb_level"},
			Title:   "the machine is older than every patch level that Intel lists",
			Cause:   "Processor, TDX module or quoting enclave have lower numbers than the lowest level of Intel's TCB info, so Intel says nothing about it, not even that it is out of date.",
			NotDone: nothingSent,
			Fix:     "Have the operator update firmware and microcode. No trust file can allow this.",
			Example: "BBX-288 hardware: the machine is older than every patch level that Intel lists\n  seen       the machine's numbers: no level reached\n  expected   one of Intel's levels\n  nothing was sent.",
		},
	}
}

// collateral returns the entry about Intel's documents that were not there.
func collateral() []Entry {
	return []Entry{
		{
			Number: 304, Codes: []attest.Code{"no_collateral"},
			Title:   "nothing says how the platform stands",
			Cause:   "TCB info, QE identity or the chain of the key that signed them were not given. Without them any enclave with the provisioning key could have signed, and any weakness could be open.",
			NotDone: nothingSent,
			Fix:     "Have the box staple them, or fetch them: `blindbox endorsements fetch`. They are replaced every 30 days. For a file, give those of its time with `--collateral` or `--endorsement`, or today's with `--fetch`.",
			Example: "BBX-304 hardware: nothing says how the platform stands\n  seen       none given\n  expected   Intel's TCB info\n  nothing was sent.",
		},
	}
}
