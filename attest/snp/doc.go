// Package snp reads AMD SEV-SNP attestation reports and decides whether a
// genuine AMD processor signed them.
//
// It answers one question: which facts about this machine did AMD's hardware
// vouch for at the time given? It is the Verifier of RFC 9334 for one vendor's
// format. Whether the facts are good enough (debug bit, TCB floor, allowed
// chips) is the business of package appraise.
//
// It stands on the relying party's side of the trust boundary. Everything it
// reads comes from a stranger: the report from the box, the certificates and
// CRLs from whoever stapled them. What it trusts is compiled in: AMD's root and
// intermediate certificates, each pinned as a whole certificate by its SHA-256.
// It uses no network, no clock and nothing outside the standard library.
//
// Sources: AMD 56860 (SEV-SNP firmware ABI), AMD 57230 (VCEK and VLEK
// certificates, key distribution service), AMD 56421 (GHCB, certificate table).
package snp
