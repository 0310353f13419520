package dcap

import (
	"bytes"

	"github.com/blindbox/blindbox/attest/internal/pki"
)

// ReadPCK reads what the first certificate of the quote's chain says about the
// processor. Nothing is verified: whoever made the quote chose it.
func (q *Quote) ReadPCK() (*PCK, error) {
	blocks, err := pki.SplitPEM(bytes.TrimSuffix(q.PCKChain, []byte{0}), pckChainLength) // at least one
	if err != nil {
		return nil, err
	}
	leaf, err := pki.ParseCertificate(blocks[0])
	if err != nil {
		return nil, err
	}
	return readPCK(leaf)
}
