// Package awsforge writes what AWS's Nitro system writes: attestation documents
// of enclaves in CBOR and COSE, and the certificate chains below them, with keys
// made here.
//
// It answers one question: what would the bytes look like if the enclave were in
// this state? Tests need that for every bad state, so every field can be set,
// every form of CBOR can be written, and nothing is checked on the way out.
//
// It deliberately shares no code with the package that reads documents. Each is
// written from the specifications alone, so a misread one shows as a difference
// between the two rather than cancelling out.
//
// The package stands outside the trust boundary: it makes claims, it never
// judges them. No verifier trusts its roots unless somebody hands them over.
//
// Sources: AWS Nitro Enclaves NSM API, docs/attestation_process.md; RFC 8949
// (CBOR); RFC 9052 and 9053 (COSE).
package awsforge
