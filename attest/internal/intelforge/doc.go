// Package intelforge writes what Intel's hardware, quoting enclaves and
// provisioning service write: quotes of versions 3, 4 and 5, PCK certificates
// and their issuers, revocation lists, TCB info and QE identities, all in
// Intel's own format and all signed with keys made here.
//
// It answers one question: what would the bytes look like if a machine or the
// service were in this state? The tests need that for every bad state, so each
// field can be set and nothing is checked on the way out.
//
// It deliberately shares no code with the package that reads these formats. Each
// is written from Intel's tables alone, so a misread offset shows as a
// difference between the two rather than cancelling out.
//
// The package stands outside the trust boundary: it makes claims, it never
// judges them. No verifier trusts its root unless somebody hands it over. Keys
// and signatures depend on nothing but their names and what is signed, so what
// is written twice is the same twice. They are as public as this file.
//
// Sources: those of package dcap.
package intelforge
