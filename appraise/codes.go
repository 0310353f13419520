package appraise

import "github.com/blindbox/blindbox/attest"

// Codes that only appraisal gives. It also gives those of packages attest and
// snp where the finding is the same. Each belongs to one kind of finding, so
// that a program can tell old firmware from changed code without reading text.
const (
	CodeSimulated       attest.Code = "simulated"           // evidence that proves nothing about hardware
	CodeMeasurement     attest.Code = "measurement"         // other code than any reference value names
	CodeReferenceEnded  attest.Code = "reference_expired"   // the code was accepted, until a date that has passed
	CodeProduct         attest.Code = "product_not_allowed" // a product line that the trust file does not list
	CodeChip            attest.Code = "chip_not_allowed"    // a chip that is not in the allow-list
	CodeMaskedChip      attest.Code = "chip_masked"         // the report does not say which chip it is from
	CodeSigner          attest.Code = "signer_not_allowed"  // a VLEK, which the trust file does not allow
	CodeCSP             attest.Code = "csp"                 // a VLEK of another cloud
	CodeDebug           attest.Code = "debug"               // the host may read the guest's memory
	CodeMigration       attest.Code = "migration"           // a migration agent may export the guest
	CodeSMT             attest.Code = "smt"                 // sibling threads are on and the trust file forbids it
	CodeGuestPolicy     attest.Code = "policy"              // another guest policy bit than required, or too old an ABI
	CodeVMPL            attest.Code = "vmpl"                // a report from another privilege level, or asked for by the host
	CodeGuestSVN        attest.Code = "svn"                 // the guest's own security version is below the floor
	CodePlatform        attest.Code = "platform"            // a platform bit that is required and off, or forbidden and on
	CodePlatformBits    attest.Code = "platform_unknown"    // a platform bit that nobody here knows
	CodeTCBLow          attest.Code = "tcb_low"             // current, reported or certified TCB below the floor
	CodeProvisional     attest.Code = "provisional"         // firmware that the host can still roll back below the floor
	CodeLaunchTCB       attest.Code = "launch_tcb"          // the guest was started on firmware below the floor
	CodeFirmware        attest.Code = "firmware_low"        // SNP firmware version below the minimum
	CodeMitigation      attest.Code = "mitigation"          // a firmware mitigation that is required and not in effect
	CodeLaunchPolicy    attest.Code = "launch_policy"       // the box was launched with another policy than it shows
	CodeRequirement     attest.Code = "policy_requirement"  // the box's policy allows more than the trust file tolerates
	CodeParts           attest.Code = "part_not_allowed"    // a device beside the processor that the trust file has no rule for
	CodeNoParts         attest.Code = "part_missing"        // the trust file asks for devices and none was shown
	CodeTCBStatus       attest.Code = "tcb_status"          // Intel says that the platform is not up to date, and the trust file does not accept that by name
	CodeAdvisory        attest.Code = "advisory"            // a known weakness that the trust file does not list
	CodeTCBEvaluation   attest.Code = "tcb_evaluation"      // TCB info from before a TCB recovery that has to be counted in
	CodeFMSPC           attest.Code = "fmspc_not_allowed"   // a processor model that the trust file does not list
	CodeMemoryIntegrity attest.Code = "memory_integrity"    // memory without cryptographic integrity
	CodeTDAttributes    attest.Code = "td_attributes"       // an attribute of the trust domain that is not acceptable
	CodeXFAM            attest.Code = "xfam"                // the trust domain may use processor state that the trust file does not allow
	CodeSEAM            attest.Code = "seam"                // a TDX module that is not Intel's, or not among those listed
	CodeModuleOrder     attest.Code = "module_order"        // the TDX module that runs is older than the one the trust domain was made under
	CodeOwner           attest.Code = "owner"               // an owner that the trust file does not name
	CodeServiceTD       attest.Code = "service_td"          // a service trust domain is bound to the box
	CodeSGXAttributes   attest.Code = "sgx_attributes"      // an attribute of the enclave that is not acceptable
	CodeXFRM            attest.Code = "xfrm"                // the enclave may use processor state that the trust file does not allow
	CodeMiscSelect      attest.Code = "misc_select"         // the processor writes extra information when the enclave is interrupted
	CodeTestSigner      attest.Code = "test_signer"         // signed with a key that everybody has
	CodeNotChecked      attest.Code = "not_checked"         // could not be looked at
	CodeNotRequired     attest.Code = "not_required"        // the trust file says any, or asks for nothing
)
