package azure

import (
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/tpm"
)

// Claims are the facts in attest.Claims.Detail for AzureSNP and AzureTDX.
type Claims struct {
	// Hardware is what AMD or Intel vouches for: the claims that package snp or tdx
	// makes of the report about the paravisor.
	Hardware *attest.Claims
	// Runtime is the paravisor's word, which Hardware binds.
	Runtime *Runtime
	// TPM is what the paravisor's TPM quoted; its Binding is ByHardware.
	TPM *tpm.Claims
}
