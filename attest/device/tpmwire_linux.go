package device

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/blindbox/blindbox/attest/form"
)

// Eight commands of a TPM 2.0, written out: go-tpm does these and a hundred
// more by reflection, and what is linked into the box is what relying parties
// trust (docs/rfc/004). Names and numbers are those of the TPM 2.0 Library
// Specification, Part 2 (structures) and Part 3 (commands).
const (
	stNoSessions uint16 = 0x8001 // Part 2, 6.9
	stSessions   uint16 = 0x8002

	ccCreatePrimary uint32 = 0x0131 // Part 2, 6.5.2
	ccNVRead        uint32 = 0x014E
	ccQuote         uint32 = 0x0158
	ccFlushContext  uint32 = 0x0165
	ccNVReadPublic  uint32 = 0x0169
	ccReadPublic    uint32 = 0x0173
	ccPCRRead       uint32 = 0x017E
	ccPCRExtend     uint32 = 0x0182

	rhOwner       uint32 = 0x40000001 // Part 2, 7.4
	rhEndorsement uint32 = 0x4000000B
	rsPassword    uint32 = 0x40000009

	algSHA256 uint16 = 0x000B // Part 2, 6.3
	algNull   uint16 = 0x0010
	algECDSA  uint16 = 0x0018
	algECC    uint16 = 0x0023
	curveP256 uint16 = 0x0003

	// What an attestation key must be: made in the TPM, never to leave it, and
	// signing only what the TPM itself wrote (Part 2, 8.3.2): fixedTPM,
	// fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
	akAttributes uint32 = 0x00050072

	maxResponse = 4096 // the kernel's TPM_BUFSIZE
	maxNVRead   = 1024 // what every TPM gives at once
)

// tpmError is the response code of a command that the TPM refused.
type tpmError struct{ command, code uint32 }

func (e *tpmError) Error() string {
	return fmt.Sprintf("TPM refuses command %#x with response code %#x", e.command, e.code)
}

// Response codes without the bits that say which handle or parameter is meant
// (Part 2, 6.6.3).
const (
	rcHandle   uint32 = 0x08B // no such persistent or NV handle
	rcRetry    uint32 = 0x922
	rcYielded  uint32 = 0x908
	rcTesting  uint32 = 0x90A
	rcFormat1  uint32 = 0x080
	rcFormat1s uint32 = 0x0BF // mask of a format-one code
)

// isTPM reports whether err is that response code.
func isTPM(err error, code uint32) bool {
	var e *tpmError
	if !errors.As(err, &e) {
		return false
	}
	got := e.code
	if got&rcFormat1 != 0 {
		got &= rcFormat1s
	}
	return got == code
}

// tpmLink is an open TPM.
type tpmLink struct{ io.ReadWriteCloser }

// command sends one command and returns what follows the response's header. The
// handles that need authorization come first; all have the empty password.
func (l tpmLink) command(cc uint32, auths int, handles []uint32, params []byte) (*reply, error) {
	tag := stNoSessions
	var body []byte
	for _, h := range handles {
		body = binary.BigEndian.AppendUint32(body, h)
	}
	if auths > 0 {
		tag = stSessions
		body = binary.BigEndian.AppendUint32(body, uint32(9*auths))
		for range auths {
			body = binary.BigEndian.AppendUint32(body, rsPassword)
			body = append(body, 0, 0, 0, 0, 0) // no nonce, no attributes, no password
		}
	}
	body = append(body, params...)
	msg := binary.BigEndian.AppendUint16(nil, tag)
	msg = binary.BigEndian.AppendUint32(msg, uint32(10+len(body)))
	msg = binary.BigEndian.AppendUint32(msg, cc)
	if _, err := l.Write(append(msg, body...)); err != nil {
		return nil, err
	}
	return l.response(cc, tag)
}

func (l tpmLink) response(cc uint32, tag uint16) (*reply, error) {
	buf := make([]byte, maxResponse)
	// The kernel gives a response in one read, a socket perhaps in several.
	n, err := io.ReadAtLeast(l, buf, 10)
	if err != nil {
		return nil, fmt.Errorf("no response of the TPM to command %#x: %w", cc, err)
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < 10 || size > maxResponse {
		return nil, fmt.Errorf("response of %d bytes to command %#x, expected 10 to %d", size, cc, maxResponse)
	}
	if int(size) > n {
		if _, err := io.ReadFull(l, buf[n:size]); err != nil {
			return nil, fmt.Errorf("response to command %#x is cut off: %w", cc, err)
		}
	} else if n > int(size) {
		return nil, fmt.Errorf("%d bytes after the response to command %#x", n-int(size), cc)
	}
	if code := binary.BigEndian.Uint32(buf[6:]); code != 0 {
		return nil, &tpmError{cc, code}
	}
	if got := binary.BigEndian.Uint16(buf); got != tag {
		return nil, fmt.Errorf("response to command %#x has tag %#x, expected %#x", cc, got, tag)
	}
	return &reply{rest: buf[10:size]}, nil
}

// reply is read field by field; after the first that is missing all are empty.
type reply struct {
	rest []byte
	err  error
}

func (r *reply) take(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = fmt.Errorf("TPM response ends %d bytes early", n-len(r.rest))
	}
	if r.err != nil {
		return make([]byte, n)
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reply) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reply) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

// sized returns a TPM2B: bytes behind their two-byte length.
func (r *reply) sized() []byte {
	n := int(r.u16())
	if r.err == nil && n > len(r.rest) {
		r.err = fmt.Errorf("TPM response has a field of %d bytes, %d are left", n, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	return r.take(n)
}

func appendSized(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}

func words(v ...uint16) []byte {
	var b []byte
	for _, w := range v {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}

// defaultAK is the TPMT_PUBLIC that the attestation key is made from: ECDSA
// P-256 with SHA-256 (Part 2, 12.2.4).
func defaultAK() []byte {
	b := words(algECC, algSHA256)
	b = binary.BigEndian.AppendUint32(b, akAttributes)
	b = appendSized(b, nil) // authPolicy
	return append(b, words(algNull, algECDSA, algSHA256, curveP256, algNull, 0, 0)...)
}

// createAK makes a primary key of the endorsement hierarchy, so that the same
// TPM always makes the same one and nothing is stored (Part 3, 24.1).
func (l tpmLink) createAK(template []byte) (handle uint32, public []byte, err error) {
	params := appendSized(nil, words(0, 0)) // inSensitive: no password, no data
	params = appendSized(params, template)
	params = appendSized(params, nil)   // outsideInfo
	params = append(params, 0, 0, 0, 0) // creationPCR
	r, err := l.command(ccCreatePrimary, 1, []uint32{rhEndorsement}, params)
	if err != nil {
		return 0, nil, err
	}
	handle = r.u32()
	r.u32() // size of the parameters
	public = r.sized()
	return handle, public, r.err
}

// readPublic returns the TPMT_PUBLIC of a loaded or persistent key.
func (l tpmLink) readPublic(handle uint32) ([]byte, error) {
	r, err := l.command(ccReadPublic, 0, []uint32{handle}, nil)
	if err != nil {
		return nil, err
	}
	public := r.sized()
	return public, r.err
}

func (l tpmLink) flush(handle uint32) error {
	_, err := l.command(ccFlushContext, 0, nil, binary.BigEndian.AppendUint32(nil, handle))
	return err
}

// nvSize returns the size of an NV index in bytes.
func (l tpmLink) nvSize(index uint32) (int, error) {
	r, err := l.command(ccNVReadPublic, 0, []uint32{index}, nil)
	if err != nil {
		return 0, err
	}
	public := &reply{rest: r.sized()} // TPMS_NV_PUBLIC, Part 2, 13.5
	public.u32()                      // index
	public.u16()                      // nameAlg
	public.u32()                      // attributes
	public.sized()                    // authPolicy
	size := int(public.u16())
	return size, errors.Join(r.err, public.err)
}

// nvRead reads a whole NV index. Where it is the owner's to read, the owner has
// no password.
func (l tpmLink) nvRead(index uint32, limit int) ([]byte, error) {
	size, err := l.nvSize(index)
	if err != nil {
		return nil, err
	}
	if size == 0 || size > limit {
		return nil, fmt.Errorf("NV index %#x has %d bytes, expected 1 to %d", index, size, limit)
	}
	var out []byte
	for len(out) < size {
		n := min(size-len(out), maxNVRead)
		params := words(uint16(n), uint16(len(out)))
		r, err := l.command(ccNVRead, 1, []uint32{rhOwner, index}, params)
		if err != nil {
			return nil, err
		}
		r.u32() // size of the parameters
		part := r.sized()
		if r.err != nil {
			return nil, r.err
		}
		if len(part) != n {
			return nil, fmt.Errorf("NV index %#x: %d bytes at %d, expected %d", index, len(part), len(out), n)
		}
		out = append(out, part...)
	}
	return out, nil
}

// pcrSelection is a TPML_PCR_SELECTION with one TPMS_PCR_SELECTION of the SHA-256 bank (Part 2, 10.6.2).
func pcrSelection(mask uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1)
	b = append(b, words(algSHA256)...)
	return append(b, 3, byte(mask), byte(mask>>8), byte(mask>>16))
}

// allPCRs selects every register that a PC has.
const allPCRs uint32 = 1<<form.MaxPCRs - 1

// readPCRs reads all registers; a TPM gives at most eight at once and says
// which (Part 3, 22.4).
func (l tpmLink) readPCRs() ([]form.PCR, error) {
	var out []form.PCR
	for missing := allPCRs; missing != 0; {
		r, err := l.command(ccPCRRead, 0, nil, pcrSelection(missing))
		if err != nil {
			return nil, err
		}
		r.u32() // update counter
		got, err := readSelection(r)
		if err != nil {
			return nil, err
		}
		values := r.u32()
		if got == 0 || got&^missing != 0 {
			return nil, fmt.Errorf("TPM gives registers %#x of the SHA-256 bank, expected some of %#x", got, missing)
		}
		for i := range uint8(form.MaxPCRs) {
			if got&(1<<i) == 0 {
				continue
			}
			value := r.sized()
			if r.err != nil {
				return nil, r.err
			}
			if values == 0 || len(value) != 32 {
				return nil, fmt.Errorf("register %d of %d bytes, expected 32", i, len(value))
			}
			values--
			out = append(out, form.PCR{Index: i, Value: value})
		}
		missing &^= got
	}
	return inOrder(out), nil
}

// inOrder sorts what may have come in several answers.
func inOrder(pcrs []form.PCR) []form.PCR {
	out := make([]form.PCR, len(pcrs))
	for _, p := range pcrs {
		out[p.Index] = p
	}
	return out
}

// readSelection reads a TPML_PCR_SELECTION of one bank, SHA-256.
func readSelection(r *reply) (mask uint32, err error) {
	banks, alg, octets := r.u32(), r.u16(), r.take(1)[0]
	if r.err != nil {
		return 0, r.err
	}
	if banks != 1 || alg != algSHA256 || octets != 3 {
		return 0, fmt.Errorf("TPM answers for %d banks, the first %#x with %d octets, expected SHA-256 alone with 3", banks, alg, octets)
	}
	bits := r.take(3)
	return uint32(bits[0]) | uint32(bits[1])<<8 | uint32(bits[2])<<16, r.err
}

// quote signs all registers and the nonce (Part 3, 18.4). It returns a
// TPMS_ATTEST and a TPMT_SIGNATURE.
func (l tpmLink) quote(key uint32, nonce []byte) (quoted, signature []byte, err error) {
	params := appendSized(nil, nonce)
	params = append(params, words(algNull)...) // the key's own scheme
	params = append(params, pcrSelection(allPCRs)...)
	r, err := l.command(ccQuote, 1, []uint32{key}, params)
	if err != nil {
		return nil, nil, err
	}
	rest := r.u32()
	if r.err == nil && int64(rest) > int64(len(r.rest)) {
		return nil, nil, fmt.Errorf("TPM response has parameters of %d bytes, %d are left", rest, len(r.rest))
	}
	all := r.take(int(rest))
	p := &reply{rest: all, err: r.err}
	quoted = p.sized()
	return quoted, p.rest, p.err
}
