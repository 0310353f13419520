package launch

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// tpmPCR is the register of a TPM into which a box extends its policy before it
// serves (package device, BindPolicy).
const tpmPCR = 15

// Of a TPM 2.0 (Part 2): algSHA256 in 6.3, generated in 6.2, a quote's type in
// 6.9, the sizes of TPMS_CLOCK_INFO and of firmwareVersion in 10.11.1 and 10.12.12.
const (
	algSHA256            = 0x000B
	generated     uint32 = 0xFF544347
	typeQuote     uint16 = 0x8018
	clockFirmware        = 17 + 8
)

// readRegisters takes the register from beside the quote, where it has its value,
// if the quote is over all registers that are there.
func readRegisters(k attest.Kind, q form.TPM) (Record, error) {
	if q.Bank != algSHA256 {
		return Record{}, fmt.Errorf("registers of the algorithm %#x, expected SHA-256", q.Bank)
	}
	out := Record{Kind: k, Field: fmt.Sprintf("PCR%d", tpmPCR)}
	h := sha256.New()
	for _, p := range q.PCRs {
		h.Write(p.Value)
		if p.Index == tpmPCR {
			out.Digest = p.Value
		}
	}
	if out.Digest == nil {
		return Record{}, fmt.Errorf("no value of PCR%d", tpmPCR)
	}
	extra, mask, digest, err := readAttested(q.Quote)
	if err != nil {
		return Record{}, err
	}
	if want := maskOf(q.PCRs); mask != want {
		return Record{}, fmt.Errorf("a quote over registers %#06x, expected %#06x", mask, want)
	}
	if sum := h.Sum(nil); string(sum) != string(digest) {
		return Record{}, fmt.Errorf("a quote over registers %x, and those beside it give %x", digest, sum)
	}
	out.Signed = extra
	return out, nil
}

func maskOf(pcrs []form.PCR) (mask uint32) {
	for _, p := range pcrs {
		mask |= 1 << p.Index
	}
	return mask
}

// readAttested returns extraData, the selected registers and pcrDigest of a
// TPMS_ATTEST (Part 2, 10.12.12) with one selection of SHA-256.
func readAttested(quote []byte) (extra []byte, mask uint32, digest []byte, err error) {
	r := attested{rest: quote}
	head := r.take(6)
	r.sized() // the key's qualified name
	extra = r.sized()
	r.take(clockFirmware)
	selection := r.take(4 + 2 + 1 + 3) // TPML_PCR_SELECTION: count, algorithm, size, bits
	digest = r.sized()
	switch {
	case r.short || len(r.rest) != 0:
		return nil, 0, nil, errors.New("a quote that is cut off, or with bytes behind it")
	case binary.BigEndian.Uint32(head) != generated || binary.BigEndian.Uint16(head[4:]) != typeQuote:
		return nil, 0, nil, fmt.Errorf("a structure that begins with %x, expected a quote", head)
	case binary.BigEndian.Uint32(selection) != 1 || binary.BigEndian.Uint16(selection[4:]) != algSHA256 || selection[6] != 3:
		return nil, 0, nil, fmt.Errorf("a quote over a selection %x, expected one of SHA-256", selection)
	}
	return extra, uint32(selection[7]) | uint32(selection[8])<<8 | uint32(selection[9])<<16, digest, nil
}

// attested reads a TPM's structure; after the first short read it reads zeros.
type attested struct {
	rest  []byte
	short bool
}

func (r *attested) take(n int) []byte {
	if r.short || n > len(r.rest) {
		r.short = true
		return make([]byte, n)
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

// sized reads a TPM2B.
func (r *attested) sized() []byte { return r.take(int(binary.BigEndian.Uint16(r.take(2)))) }
