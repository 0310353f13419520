package device

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// tpmPolicyPCR is where a box puts its policy's digest: the register that Linux
// sets aside for the identity of the system (UAPI group, Linux TPM PCR registry).
const tpmPolicyPCR = 15

// tpmAttester is an Attester behind a TPM, which can bind a policy too.
type tpmAttester struct {
	*turns
	files files
}

// BindPolicy extends the digest of the box's policy into PCR 15, so that every
// quote holds it: whoever starts a machine with a TPM tells it nothing of the
// policy. A register cannot be set back before the machine starts again. Done
// again with the same digest it does nothing; with another, or where somebody else
// was there before, it is an error.
func (a tpmAttester) BindPolicy(policy attest.Digest) error {
	if policy.IsZero() {
		return errors.New("device: no policy to bind: the digest is zero")
	}
	l, err := openTPM(a.files)
	if err != nil {
		return unavailable(err)
	}
	defer l.Close()
	zero := make([]byte, sha256.Size)
	want := sha256.Sum256(append(bytes.Clone(zero), policy[:]...))
	value, err := l.policyPCR()
	switch {
	case err != nil:
		return unavailable(err)
	case bytes.Equal(value, want[:]):
		return nil
	case !bytes.Equal(value, zero):
		return unavailable(fmt.Errorf("PCR %d is %x, expected one that nobody has extended", tpmPolicyPCR, value))
	}
	if err := l.extend(tpmPolicyPCR, policy); err != nil {
		return unavailable(err)
	}
	// No value comes with an error, and none is not the one expected.
	if value, err = l.policyPCR(); !bytes.Equal(value, want[:]) {
		return unavailable(errors.Join(err, fmt.Errorf("PCR %d became %x, expected %x", tpmPolicyPCR, value, want)))
	}
	return nil
}

func (l tpmLink) policyPCR() ([]byte, error) {
	pcrs, err := l.readPCRs()
	if err != nil {
		return nil, err
	}
	return pcrs[tpmPolicyPCR].Value, nil
}

// extend adds a digest to a register of the SHA-256 bank (Part 3, 22.2).
func (l tpmLink) extend(pcr uint32, digest attest.Digest) error {
	params := binary.BigEndian.AppendUint32(nil, 1)
	params = append(append(params, words(algSHA256)...), digest[:]...)
	_, err := l.command(ccPCRExtend, 1, []uint32{pcr}, params)
	return err
}
