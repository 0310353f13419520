package tpm

import "github.com/blindbox/blindbox/attest"

// Codes of refusals that only this format has. The shared ones are in package
// attest.
const (
	CodeNotGenerated attest.Code = "tpm_generated"    // bytes that do not begin as everything does that a TPM makes up itself
	CodeNotQuote     attest.Code = "tpm_not_quote"    // another attestation than a quote: a key, a time, an audit
	CodeSelection    attest.Code = "pcr_selection"    // the quote is over other registers than those given
	CodeBank         attest.Code = "pcr_bank"         // a bank with a broken hash, or with one that is not known
	CodePCRDigest    attest.Code = "pcr_digest"       // the registers given are not those that were quoted
	CodeNotExtended  attest.Code = "pcr_not_extended" // a register that every firmware extends still has its first value
	CodeScheme       attest.Code = "tpm_scheme"       // signature, key and quote name different schemes or hashes, or a weak one
	CodeKey          attest.Code = "tpm_key"          // a key of another kind or with other attributes than it must have
	CodeEventLog     attest.Code = "event_log"        // a log that does not lead to the registers, or that cheats
	CodeEKProfile    attest.Code = "ek_profile"       // an endorsement key certificate without what the TCG asks of one
)
