package dcap

import "github.com/blindbox/blindbox/attest"

// Codes of refusals that Intel's formats have. The shared ones are in package
// attest.
const (
	CodeUnsupported      attest.Code = "unsupported"       // a quote version, body or certification data that is not verified here
	CodeUnsupportedAlg   attest.Code = "unsupported_alg"   // an attestation key of another type than ECDSA P-256
	CodeQEVendor         attest.Code = "qe_vendor"         // a quoting enclave that is not Intel's
	CodeNoPCKChain       attest.Code = "no_pck_chain"      // a quote that names its PCK instead of holding the certificate
	CodePCKMismatch      attest.Code = "pck_mismatch"      // a quote of another machine than the one that was endorsed
	CodeNoCollateral     attest.Code = "no_collateral"     // TCB info, QE identity or their signing chain not given
	CodeBadCollateral    attest.Code = "bad_collateral"    // a document that Intel did not sign, or from the future
	CodeStaleCollateral  attest.Code = "stale_collateral"  // a document past its next update
	CodePlatformMismatch attest.Code = "platform_mismatch" // TCB info of another kind of machine (FMSPC, PCE id) or TEE
	CodeQEIdentity       attest.Code = "qe_identity"       // the quoting enclave is not the one that Intel's identity describes
	CodeQEBinding        attest.Code = "qe_binding"        // the quoting enclave does not vouch for the attestation key
	CodeTDXModule        attest.Code = "tdx_module"        // the TDX module is not one of Intel's identities
	CodeNoTCBLevel       attest.Code = "no_tcb_level"      // the machine reaches none of Intel's levels
	CodeInconsistent     attest.Code = "inconsistent"      // a platform CA's certificate without a platform, or reverse
)
