package sgx

import "github.com/blindbox/blindbox/attest/internal/dcap"

// Quote is what the bytes of a quote say. It proves nothing: whoever made them
// could write there what they liked. [Verifier.Verify] tells what is true.
type Quote struct {
	Version uint16 // of the quote's format: 3, 4 or 5
	// UserData is the quoting enclave's: an id of the machine in the first 16
	// bytes, or zeros.
	UserData [20]byte
	Report   Report // of the enclave
	// PCK is what the first certificate in the quote says about the processor,
	// its FMSPC and PCEID among it: they name Intel's TCB info for the machine.
	PCK PCK
	// PCKChain is the PEM text of that certificate and its issuers.
	PCKChain []byte
}

// ParseQuote reads a quote and verifies nothing. It refuses what
// [Verifier.Verify] refuses for its form alone, a quote of a trust domain among it. The
// result shares no memory with data.
func ParseQuote(data []byte) (*Quote, error) {
	q, pck, err := dcap.ParseUnverified(dcap.SGX, data)
	if err != nil {
		return nil, err
	}
	return &Quote{Version: q.Header.Version, UserData: q.Header.UserData, Report: *newReport(q), PCK: *pck, PCKChain: q.PCKChain}, nil
}
