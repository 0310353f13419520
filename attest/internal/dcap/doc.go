// Package dcap verifies Intel's quotes, those of SGX enclaves and of TDX
// domains, down to Intel's root certificate.
//
// It answers one question: did genuine Intel hardware sign this quote, and at
// which patch level does Intel say it stands? It stands on the relying party's
// side of the trust boundary; quote, certificates, CRLs, TCB info and QE
// identity all come from a stranger, and only the pinned root is trusted.
//
// What hangs together how: the root certifies a PCK CA, which certifies the PCK
// of one processor package at one patch level; the PCK signs the report of
// Intel's quoting enclave (QE), whose report data name the attestation key; the
// attestation key signs the quote. The root also certifies the TCB signing key,
// which signs the TCB info (which patch levels are good) and the QE identity
// (which quoting enclave is Intel's). Without those two a quote proves nothing:
// any enclave that may use the provisioning key could have signed it.
//
// Sources: Intel "SGX ECDSA Quote Library Reference" (quote v3, appendix A),
// "TDX DCAP Quoting Library API" (quotes v4 and v5, appendix A.3), "SGX PCK
// Certificate and CRL Profile Specification" (certificates), "PCS API v4" (TCB
// info, QE identity). Levels are matched and converged as Intel's Quote
// Verification Library does.
package dcap
