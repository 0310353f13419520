package device

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/cbor"
)

// Limits of the device (Linux include/uapi/linux/nsm.h) and of what it returns.
const (
	nsmRequestMax  = 0x1000
	nsmResponseMax = 0x3000
)

// policyPCR is the first register that is the enclave's own; PCR0 to 15 are the
// hypervisor's.
const policyPCR = 16

// nsmDevice takes one request in CBOR and returns the answer (NSM API,
// docs/nsm_api). It is an interface so that tests need no enclave.
type nsmDevice interface {
	request(cbor []byte) ([]byte, error)
}

// nsm is the driver of the Nitro Security Module.
type nsm struct{ device nsmDevice }

// openNSM returns the Attester of the Nitro Security Module behind that path.
func openNSM(path string) (attest.Attester, error) {
	if unsafe.Sizeof(nsmMessage{}) != 32 {
		return nil, fmt.Errorf("%s: this version speaks with it on 64-bit systems only", path)
	}
	return newNSM(nsmFile(path)), nil
}

// nsmAttester is an Attester that can bind a policy too.
type nsmAttester struct {
	*turns
	nsm nsm
}

func newNSM(d nsmDevice) nsmAttester { return nsmAttester{inTurns(nsm{d}), nsm{d}} }

func (nsm) kind() attest.Kind { return attest.Nitro }

// once asks for a document with the 64 bytes as user data. The nonce that the
// relying party chose is in what they are the hash of.
func (n nsm) once(b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	userData := b.Bytes()
	answer, err := n.call("Attestation", nsmField{"user_data", cborBytes(userData[:])}, nsmField{"nonce", cborNull()}, nsmField{"public_key", cborNull()})
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	document, err := answer.Bytes("document")
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	signed, err := userDataOf(document)
	if err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("document: %w", err)
	}
	if err := isOver("document", signed, userData[:]); err != nil {
		return attest.Evidence{}, nil, err
	}
	return attest.Evidence{Kind: attest.Nitro, Data: document}, nil, nil
}

// userDataOf finds the user data in a COSE_Sign1 document. It checks nothing
// else: who signed it is for the relying party to say.
func userDataOf(document []byte) ([]byte, error) {
	fields, err := cbor.Payload(document)
	if err != nil {
		return nil, err
	}
	return fields.Bytes("user_data")
}

// BindPolicy extends the digest of the box's policy into PCR16 of this enclave
// and locks it, so that every document holds it and nothing can change it: an
// enclave has no other place for what is not in its image. It has to be done
// before the box serves anybody. Done again with the same digest it does nothing;
// with another, or where somebody else was there before, it is an error.
func (a nsmAttester) BindPolicy(policy attest.Digest) error { return a.nsm.bindPolicy(policy) }

func (n nsm) bindPolicy(policy attest.Digest) error {
	if policy.IsZero() {
		return errors.New("device: no policy to bind: the digest is zero")
	}
	sum := sha512.Sum384(append(make([]byte, sha512.Size384), policy[:]...))
	value, locked, err := n.describe(policyPCR)
	if err != nil {
		return unavailable(err)
	}
	switch {
	case locked && bytes.Equal(value, sum[:]):
		return nil
	case locked || !bytes.Equal(value, make([]byte, sha512.Size384)):
		return fmt.Errorf("device: PCR%d is %x, locked %t, expected one that nobody has extended", policyPCR, value, locked)
	}
	if err := n.extendAndLock(policy, sum[:]); err != nil {
		return unavailable(err)
	}
	return nil
}

func (n nsm) extendAndLock(policy attest.Digest, want []byte) error {
	index := nsmField{"index", cborUint(policyPCR)}
	answer, err := n.call("ExtendPCR", index, nsmField{"data", cborBytes(policy[:])})
	if err != nil {
		return err
	}
	if value, err := answer.Bytes("data"); err != nil || !bytes.Equal(value, want) {
		return errors.Join(err, fmt.Errorf("PCR%d became %x, expected %x", policyPCR, value, want))
	}
	if _, err := n.call("LockPCR", index); err != nil {
		return err
	}
	value, locked, err := n.describe(policyPCR)
	if err != nil {
		return err
	}
	if !locked || !bytes.Equal(value, want) {
		return fmt.Errorf("PCR%d is %x, locked %t, expected %x, locked", policyPCR, value, locked, want)
	}
	return nil
}

// describe returns a register and whether it is locked.
func (n nsm) describe(index byte) (value []byte, locked bool, err error) {
	answer, err := n.call("DescribePCR", nsmField{"index", cborUint(index)})
	if err != nil {
		return nil, false, err
	}
	if value, err = answer.Bytes("data"); err != nil {
		return nil, false, err
	}
	switch item := answer["lock"]; {
	case bytes.Equal(item, []byte{cborTrue}):
		return value, true, nil
	case bytes.Equal(item, []byte{cborFalse}):
		return value, false, nil
	default:
		return nil, false, fmt.Errorf("answer with lock %x, expected true or false", item)
	}
}

// nsmField is a field of a request.
type nsmField struct {
	name  string
	value []byte
}

// call sends {name: {fields}} and returns the fields of {name: {...}}. A request
// without an answer comes back as its name alone. Whatever else comes is an
// error, {"Error": "InvalidIndex"} among it.
func (n nsm) call(name string, fields ...nsmField) (cbor.Fields, error) {
	req := append([]byte{cborMap(1)}, cborText(name)...)
	req = append(req, cborMap(len(fields)))
	for _, f := range fields {
		req = append(append(req, cborText(f.name)...), f.value...)
	}
	if len(req) > nsmRequestMax {
		return nil, fmt.Errorf("%s: request of %d bytes, the limit is %d", name, len(req), nsmRequestMax)
	}
	data, err := n.device.request(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > nsmResponseMax {
		return nil, fmt.Errorf("%s: answer of %d bytes, the limit is %d", name, len(data), nsmResponseMax)
	}
	answer, err := readAnswer(name, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return answer, nil
}

func readAnswer(name string, data []byte) (cbor.Fields, error) {
	if bytes.Equal(data, cborText(name)) {
		return cbor.Fields{}, nil
	}
	outer, err := cbor.Map(data)
	if err != nil {
		return nil, err
	}
	if reason, failed := outer["Error"]; failed {
		return nil, fmt.Errorf("the module answers %q", cbor.Text(reason))
	}
	body, ok := outer[name]
	if !ok || len(outer) != 1 {
		return nil, fmt.Errorf("an answer to something else: %.64x", data)
	}
	return cbor.Map(body)
}

// What is sent is written here; what comes back is read by package cbor.
const (
	cborFalse byte = 0xf4
	cborTrue  byte = 0xf5
)

func cborNull() []byte { return []byte{0xf6} }

// cborUint is a number below 24.
func cborUint(n byte) []byte { return []byte{n} }

// cborMap starts a map of fewer than 24 pairs.
func cborMap(n int) byte { return cbor.MajorMap<<5 | byte(n) }

func cborText(s string) []byte { return append(cborLength(cbor.MajorText, len(s)), s...) }

func cborBytes(b []byte) []byte { return append(cborLength(cbor.MajorBytes, len(b)), b...) }

// cborLength starts a string of fewer than 256 bytes.
func cborLength(major byte, n int) []byte {
	if n < 24 {
		return []byte{major<<5 | byte(n)}
	}
	return []byte{major<<5 | 24, byte(n)}
}

// nsmRequestCode is _IOWR(0x0A, 0, struct nsm_raw) with 32 bytes (Linux
// include/uapi/linux/nsm.h).
const nsmRequestCode = 0xC0200A00

// nsmMessage is struct nsm_raw: where the request is and where the answer goes.
type nsmMessage struct{ request, response syscall.Iovec }

// nsmFile is the real module.
type nsmFile string

// request opens the device for one question, as its users are few and the
// kernel keeps nothing between two.
func (path nsmFile) request(cbor []byte) ([]byte, error) {
	f, err := os.OpenFile(string(path), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if len(cbor) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	answer := make([]byte, nsmResponseMax)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&cbor[0])
	pin.Pin(&answer[0])
	m := nsmMessage{request: syscall.Iovec{Base: &cbor[0]}, response: syscall.Iovec{Base: &answer[0]}}
	m.request.SetLen(len(cbor))
	m.response.SetLen(len(answer))
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), nsmRequestCode, uintptr(unsafe.Pointer(&m))); errno != 0 {
		return nil, &os.PathError{Op: "ioctl", Path: string(path), Err: errno}
	}
	// The kernel says how much it wrote.
	n := uint64(m.response.Len)
	if n > uint64(len(answer)) {
		return nil, fmt.Errorf("%s: answer of %d bytes, the limit is %d", string(path), n, len(answer))
	}
	return answer[:n], nil
}
