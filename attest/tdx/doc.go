// Package tdx reads quotes of Intel TDX trust domains and decides whether
// genuine Intel hardware stands behind them.
//
// It answers one question: which facts about this virtual machine, its TDX
// module and its platform did Intel's keys vouch for at the time given? It is
// the Verifier of RFC 9334 for one vendor's format. Whether the facts are good
// enough (TCB status, debug bit, allowed measurements) is the business of
// package appraise.
//
// It stands on the relying party's side of the trust boundary. Everything it
// reads comes from a stranger: the quote from the box, the collateral from
// whoever stapled it. What it trusts is compiled in: the certificate of Intel's
// SGX Root CA, pinned as a whole. It uses no network and no clock.
//
// Sources: Intel TDX Module ABI and Base Architecture specifications 1.5
// (TDREPORT_STRUCT, TDINFO_STRUCT, ATTRIBUTES, XFAM), Intel TDX DCAP Quoting
// Library API (quote versions 4 and 5), Intel SGX and TDX Provisioning
// Certification Service API 4.
package tdx
