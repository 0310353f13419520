// Package amdforge writes what AMD's firmware and key servers write: SEV-SNP
// attestation reports, certificate chains, revocation lists and certificate
// tables, all in AMD's own format and all signed with keys made here.
//
// It answers one question: what would the bytes look like if the machine were
// in this state? The simulator needs that for the one good state, the tests for
// every bad one, so every field can be set and nothing is checked on the way
// out.
//
// It deliberately shares no code with the package that reads reports. Each is
// written from AMD's tables alone, so a misread offset shows as a difference
// between the two rather than cancelling out.
//
// The package stands outside the trust boundary: it makes claims, it never
// judges them. No verifier trusts its roots unless somebody hands them over.
//
// Sources: AMD 56860 "SEV Secure Nested Paging Firmware ABI Specification"
// (report: table "ATTESTATION_REPORT Structure", TCB: section 2.2), AMD 57230
// "Versioned Chip Endorsement Key Certificate and KDS Interface Specification"
// (certificates), AMD 56421 "GHCB Standardization" (certificate table).
package amdforge
