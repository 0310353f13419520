package nitro

import "github.com/blindbox/blindbox/attest"

// Codes of refusals that are not in package attest. Package pki adds bad_key.
const (
	CodeUnsupportedAlg attest.Code = "unsupported_alg" // a signature other than ES384, or registers that are no SHA-384
	CodeModuleMismatch attest.Code = "module_mismatch" // the certificate was issued for another enclave than the document names
)
