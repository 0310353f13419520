package endorse

import "github.com/blindbox/blindbox/attest"

// Codes of refusals that need a memory of what was seen before, or of what was
// asked for. Those of package fetch say what a server did.
const (
	CodeCRLRollback     attest.Code = "crl_rollback"     // a CRL older than one that was seen
	CodeTCBRollback     attest.Code = "tcb_rollback"     // TCB data older than some that were seen
	CodeStaleCollateral attest.Code = "stale_collateral" // an object that is not, or no longer, in force
	CodeWrongCollateral attest.Code = "wrong_collateral" // a genuine object, but not the one asked for
)
