package tpm

import "github.com/blindbox/blindbox/attest/form"

// Values in a quote (Part 2, 6.2 and 6.9).
const (
	generatedValue = 0xff544347 // TPM_GENERATED_VALUE: no restricted key signs foreign bytes that begin so
	typeQuote      = 0x8018     // TPM_ST_ATTEST_QUOTE
)

// Limits of the parts of a quote.
const (
	maxName  = 66 // algorithm and SHA-512
	maxExtra = 66 // TPM2B_DATA
	maxHash  = 64
	maxBanks = 16
)

// Quote is a TPMS_ATTEST of type quote, decoded (Part 2, 10.12.12). It is what the
// bytes say.
type Quote struct {
	QualifiedSigner []byte // qualified name of the key that signs
	ExtraData       []byte // qualifyingData: chosen by who asked
	Clock           ClockInfo
	FirmwareVersion uint64 // of the TPM, in its vendor's own numbers
	PCRDigest       []byte // over the values of the selected registers
	selections      []selection
}

// ClockInfo says when, by the TPM's own counters (Part 2, 10.11.1).
type ClockInfo struct {
	Clock        uint64 // milliseconds for which the TPM has had power
	ResetCount   uint32 // of power cycles
	RestartCount uint32 // of suspends and hibernations since the last reset
	Safe         bool   // Clock was never higher: it did not lose an update
}

type selection struct {
	bank uint16
	pcrs []uint8
}

// header is what every attestation begins with.
type header struct {
	magic uint32
	kind  uint16
}

// parseHeader reads magic and type, so that what is no quote is refused by name.
func parseHeader(data []byte) (header, error) {
	r := &reader{what: "attestation", rest: data}
	h := header{magic: r.u32(), kind: r.u16()}
	return h, r.err
}

// ParseQuote reads a TPMS_ATTEST of type quote. The result shares memory with
// data.
func ParseQuote(data []byte) (*Quote, error) {
	r := &reader{what: "quote", rest: data}
	if magic := r.u32(); r.err == nil && magic != generatedValue {
		r.fail("magic %#x, expected %#x", magic, uint32(generatedValue))
	}
	if kind := r.u16(); r.err == nil && kind != typeQuote {
		r.fail("type %#x, expected %#x", kind, typeQuote)
	}
	q := &Quote{QualifiedSigner: r.sized(maxName), ExtraData: r.sized(maxExtra)}
	q.Clock = ClockInfo{Clock: r.u64(), ResetCount: r.u32(), RestartCount: r.u32(), Safe: r.boolean()}
	q.FirmwareVersion = r.u64()
	n := r.u32()
	if n > maxBanks {
		r.fail("%d banks, limit %d", n, maxBanks)
	}
	for i := uint32(0); i < n && r.err == nil; i++ {
		q.selections = append(q.selections, r.selection())
	}
	q.PCRDigest = r.sized(maxHash)
	if err := r.end(); err != nil {
		return nil, err
	}
	return q, nil
}

// boolean reads a TPMI_YES_NO.
func (r *reader) boolean() bool {
	v := r.u8()
	if v > 1 {
		r.fail("%d, expected 0 or 1", v)
	}
	return v == 1
}

// selection reads a TPMS_PCR_SELECTION: bit i of byte i/8 stands for PCR i
// (Part 2, 10.6.1).
func (r *reader) selection() selection {
	s := selection{bank: r.u16(), pcrs: make([]uint8, 0, form.MaxPCRs)}
	n := r.u8()
	if n > form.MaxPCRs/8 {
		r.fail("a selection of %d bytes, limit %d", n, form.MaxPCRs/8)
	}
	for i, b := range r.take(int(n)) {
		for bit := range 8 {
			if b>>bit&1 != 0 {
				s.pcrs = append(s.pcrs, uint8(8*i+bit))
			}
		}
	}
	return s
}
