package catalogue

import "github.com/blindbox/blindbox/attest"

// intel returns 270 to 284: Intel's hardware in a state that is not acceptable.
// The codes are declared by attest/internal/dcap, attest/tdx and appraise.
func intel() []Entry { return append(intelPlatform(), intelGuest()...) }

func intelPlatform() []Entry {
	return []Entry{
		{
			Number: 270, Codes: []attest.Code{"tcb_status"},
			Title:   "Intel does not call the platform up to date",
			Cause:   "Processor microcode, TDX module or quoting enclave are behind, or the machine's setup leaves a weakness open. Intel publishes a status for each patch level.",
			NotDone: nothingSent,
			Fix:     "Have the operator update firmware and microcode. To accept the status knowingly, name it and each advisory: `tcb_status: [UpToDate, SWHardeningNeeded]`, `advisories: [INTEL-SA-...]`.",
			Example: "BBX-270 hardware: Intel does not call the platform up to date\n  seen       OutOfDate (platform OutOfDate, QE UpToDate)\n  expected   UpToDate\n  nothing was sent.",
		},
		{
			Number: 271, Codes: []attest.Code{"advisory"},
			Title:   "a known weakness that you do not accept",
			Cause:   "The platform's status is one that the trust file accepts, and Intel names advisories for it that the trust file does not list.",
			NotDone: nothingSent,
			Fix:     "Read the advisories at Intel's security center. List those that do not concern you under `advisories`, or have the platform updated.",
			Example: "BBX-271 hardware: a known weakness that you do not accept\n  seen       INTEL-SA-00615 INTEL-SA-00657\n  expected   only those listed: INTEL-SA-00615\n  nothing was sent.",
		},
		{
			Number: 272, Codes: []attest.Code{"tcb_evaluation"},
			Title:   "Intel's statement about the platform is from before a TCB recovery",
			Cause:   "TCB info or QE identity are in force, but somebody asked Intel for old ones, which do not count recent weaknesses.",
			NotDone: nothingSent,
			Fix:     "Have the box fetch its endorsements anew. `tcb_evaluation` in the trust file sets the least number that is accepted.",
			Example: "BBX-272 hardware: Intel's statement about the platform is from before a TCB recovery\n  seen       16\n  expected   18 or higher (built-in table)\n  nothing was sent.",
		},
		{
			Number: 273, Codes: []attest.Code{"fmspc_not_allowed", "memory_integrity"},
			Title:   "a kind of platform that you do not accept",
			Cause:   "The trust file lists processor models (FMSPC) and this is not one of them, or asks for cryptographic memory integrity, which this platform does not have.",
			NotDone: nothingSent,
			Fix:     "Use another machine, or change `fmspc` or `memory_integrity` under `hardware: {tdx: ...}` or `{sgx: ...}`.",
			Example: "BBX-273 hardware: a kind of platform that you do not accept\n  seen       memory integrity off\n  expected   on\n  nothing was sent.",
		},
		{
			Number: 274, Codes: []attest.Code{"seam", "module_order"},
			Title:   "the TDX module is not one that you accept",
			Cause:   "The module that separates trust domains is not Intel's, has attributes that Intel's have not, is not listed under `mrseam`, or is older than the one the box was started under.",
			NotDone: nothingSent,
			Fix:     "Have the operator load a current module of Intel's. If the trust file lists modules, add the new one.",
			Example: "BBX-274 hardware: the TDX module is not one that you accept\n  seen       1cc6..4d25\n  expected   one of the 2 in the trust file\n  nothing was sent.",
		},
	}
}

func intelGuest() []Entry {
	return []Entry{
		{
			Number: 275, Codes: []attest.Code{"td_attributes", "xfam"},
			Title:   "the trust domain was made with attributes that you do not accept",
			Cause:   "The host chooses the attributes and the processor state (XFAM) of a trust domain. One of them is on that the trust file forbids, or SEPT_VE_DISABLE is off, or a bit is set that nobody here knows.",
			NotDone: nothingSent,
			Fix:     "Have the operator start the box with other attributes, or allow the bit by its name under `hardware: {tdx: ...}`.",
			Example: "BBX-275 hardware: the trust domain was made with attributes that you do not accept\n  seen       perfmon on\n  expected   off\n  nothing was sent.",
		},
		{
			Number: 276, Codes: []attest.Code{"owner", "service_td"},
			Title:   "somebody is bound to the box whom you do not name",
			Cause:   "The host gave the trust domain an owner (MROWNER, MROWNERCONFIG) or bound a service trust domain to it, which can move it to another machine.",
			NotDone: nothingSent,
			Fix:     "Have the operator start the box without them, or name the values under `hardware: {tdx: ...}`.",
			Example: "BBX-276 hardware: somebody is bound to the box whom you do not name\n  seen       service TD 77be..01c3\n  expected   none\n  nothing was sent.",
		},
		{
			Number: 277, Codes: []attest.Code{"event_log", "no_event_log"},
			Title:   "the event log does not lead to the measured registers",
			Cause:   "The log that came with the quote is of another boot, or somebody added, dropped or moved an entry. Nobody signs a log: it counts only if it leads to RTMR0 to RTMR3 exactly.",
			NotDone: nothingSent,
			Fix:     "For a file: use the log of the same boot, or none. On a connection: treat the log as forged.",
			Example: "BBX-277 hardware: the event log does not lead to the measured registers\n  seen       RTMR2 9d00..41aa\n  expected   7b3f..9c1e, as in the quote\n  nothing was sent.",
		},
		{
			Number: 278, Codes: []attest.Code{"sgx_attributes", "xfrm", "misc_select"},
			Title:   "the enclave was made with attributes that you do not accept",
			Cause:   "The enclave may use keys of the platform, was never initialised, or may use processor state or exception information that the trust file does not allow.",
			NotDone: nothingSent,
			Fix:     "Have the enclave built and started with other attributes, or change `attributes`, `xfrm` or `misc_select` under `hardware: {sgx: ...}`.",
			Example: "BBX-278 hardware: the enclave was made with attributes that you do not accept\n  seen       0x207\n  expected   0x3 under mask 0xffffffffffffff1b\n  nothing was sent.",
		},
		{
			Number: 279, Codes: []attest.Code{"test_signer"},
			Title:   "the enclave is signed with a key that everybody has",
			Cause:   "MRSIGNER is that of a sample or debugging key of an SGX toolkit. Anybody can sign any enclave with it.",
			NotDone: nothingSent,
			Fix:     "Have the enclave signed with a key of its publisher's own. No trust file can allow this.",
			Example: "BBX-279 hardware: the enclave is signed with a key that everybody has\n  seen       83d7..ce9e the sample key of Intel's SGX SDK\n  nothing was sent.",
		},
	}
}
