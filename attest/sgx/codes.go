package sgx

import "github.com/blindbox/blindbox/attest/internal/dcap"

// Codes of quotes, which SGX shares with TDX. Those of all formats are in package
// attest.
const (
	CodeUnsupported      = dcap.CodeUnsupported      // a quote version, body or certification data that is not verified here
	CodeUnsupportedAlg   = dcap.CodeUnsupportedAlg   // an attestation key of another type than ECDSA P-256
	CodeQEVendor         = dcap.CodeQEVendor         // a quoting enclave that is not Intel's
	CodeNoPCKChain       = dcap.CodeNoPCKChain       // a quote that names its PCK instead of holding the certificate
	CodePCKMismatch      = dcap.CodePCKMismatch      // a quote of another machine than the one that was endorsed
	CodeNoCollateral     = dcap.CodeNoCollateral     // TCB info, QE identity or their signing chain not given
	CodeBadCollateral    = dcap.CodeBadCollateral    // a document that Intel did not sign, or from the future
	CodeStaleCollateral  = dcap.CodeStaleCollateral  // a document past its next update
	CodePlatformMismatch = dcap.CodePlatformMismatch // TCB info of another kind of machine (FMSPC, PCE id) or TEE
	CodeQEIdentity       = dcap.CodeQEIdentity       // the quoting enclave is not the one that Intel's identity describes
	CodeQEBinding        = dcap.CodeQEBinding        // the quoting enclave does not vouch for the attestation key
	CodeNoTCBLevel       = dcap.CodeNoTCBLevel       // the machine reaches none of Intel's levels
	CodeInconsistent     = dcap.CodeInconsistent     // a platform CA's certificate without a platform, or reverse
)
