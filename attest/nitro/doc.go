// Package nitro reads attestation documents of AWS Nitro Enclaves and decides
// whether the Nitro system signed them.
//
// It answers one question: which facts about this enclave did the hypervisor
// vouch for at the time given? It is the Verifier of RFC 9334 for one vendor's
// format. Whether the facts are good enough (which image, how old, debug mode)
// is the business of package appraise.
//
// It stands on the relying party's side of the trust boundary. Everything it
// reads comes from a stranger, the certificates included: an attestation
// document carries its own chain. What it trusts is compiled in: AWS's root, one
// whole certificate with its SHA-256. It uses no network and no clock.
//
// The CBOR reader is its own, for the few forms that a document consists of;
// docs/rfc/003 says why. It has no recursion and accepts one encoding of every
// value.
//
// Sources: AWS Nitro Enclaves NSM API, docs/attestation_process.md (called NSM
// below, with its section); RFC 8949 (CBOR); RFC 9052 and 9053 (COSE).
package nitro
