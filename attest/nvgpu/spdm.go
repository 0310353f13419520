package nvgpu

import (
	"encoding/binary"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// Sizes and codes of SPDM 1.1 (DMTF DSP0274 1.1.2, 10.11).
const (
	spdmVersion        = 0x11
	codeRequest        = 0xe0 // GET_MEASUREMENTS
	codeResponse       = 0x60 // MEASUREMENTS
	wantSignature      = 0x01 // Param1: a signature is requested
	allMeasurements    = 0xff // Param2: all measurement blocks at once
	requestSize        = 37   // header 4, nonce 32, SlotIDParam 1
	responseHeaderSize = 8    // header 4, number of blocks 1, length of the record 3
	nonceSize          = 32
	signatureSize      = 96 // ECDSA P-384, r and s, big-endian
	maxMeasurements    = 64
	maxMeasurement     = 64 // bytes of one value
	dmtfSpec           = 0x01
	maxReport          = 64 << 10
)

// Report is what a device signed: our question and its answer.
type Report struct {
	// Nonce is the relying party's, from the request.
	Nonce [nonceSize]byte
	// ResponderNonce is the device's own, which only makes the signature unique.
	ResponderNonce [nonceSize]byte
	Slot           uint8
	// Measurements are in rising order without a gap. NVIDIA's manifests count
	// from 0, SPDM from 1; Measurements[i] is the one that a manifest calls i.
	Measurements []Measurement
	Opaque       Opaque

	signed, signature []byte
}

// Measurement is one DMTF measurement block (DSP0274 1.1.2, table 45).
type Measurement struct {
	Type  uint8 // DMTFSpecMeasurementValueType
	Value []byte
}

// ParseReport reads a request followed by its response without trusting either.
// It accepts the one form whose every byte is accounted for.
func ParseReport(data []byte) (*Report, error) {
	if len(data) > maxReport {
		return nil, attest.NewFailure(checkReport, attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d", maxReport))
	}
	r, f := parseReport(data)
	if f != nil {
		return nil, f
	}
	return r, nil
}

func parseReport(data []byte) (*Report, *attest.Failure) {
	r := &Report{}
	if f := r.readRequest(data); f != nil {
		return nil, f
	}
	response := data[requestSize:]
	blocks, rest, f := r.readResponseHeader(response)
	if f != nil {
		return nil, f
	}
	count := int(response[4])
	if f := r.readBlocks(blocks, count); f != nil {
		return nil, f
	}
	if f := r.readTail(rest); f != nil {
		return nil, f
	}
	r.signed, r.signature = data[:len(data)-signatureSize], data[len(data)-signatureSize:]
	return r, nil
}

func malformed(format string, args ...any) *attest.Failure {
	return attest.NewFailure(checkReport, attest.CodeMalformed, fmt.Sprintf(format, args...), "SPDM 1.1 GET_MEASUREMENTS request and response")
}

func unsupported(format string, args ...any) *attest.Failure {
	return attest.NewFailure(checkReport, CodeUnsupported, fmt.Sprintf(format, args...), "SPDM 1.1, all measurements, signed")
}

// readRequest reads DSP0274 1.1.2, table 43. A later version signs other bytes.
func (r *Report) readRequest(data []byte) *attest.Failure {
	switch {
	case len(data) < requestSize+responseHeaderSize+nonceSize+2+signatureSize:
		return malformed("%d bytes", len(data))
	case data[0] != spdmVersion:
		return unsupported("request of SPDM version %#x", data[0])
	case data[1] != codeRequest:
		return malformed("request code %#x, expected %#x", data[1], codeRequest)
	case data[2] != wantSignature || data[3] != allMeasurements:
		return unsupported("request with parameters %#x and %#x", data[2], data[3])
	case data[36] > 7:
		return malformed("certificate slot %d, expected at most 7", data[36])
	}
	copy(r.Nonce[:], data[4:36])
	r.Slot = data[36]
	return nil
}

// readResponseHeader reads DSP0274 1.1.2, table 44, up to the measurement
// record, and returns the record and what follows it.
func (r *Report) readResponseHeader(b []byte) (record, rest []byte, f *attest.Failure) {
	length := int(b[5]) | int(b[6])<<8 | int(b[7])<<16
	switch {
	case b[0] != spdmVersion:
		return nil, nil, unsupported("response of SPDM version %#x", b[0])
	case b[1] != codeResponse:
		return nil, nil, malformed("response code %#x, expected %#x", b[1], codeResponse)
	case b[2] != 0:
		return nil, nil, malformed("response parameter %#x, expected 0 when all measurements were asked for", b[2])
	case b[3] != r.Slot:
		return nil, nil, malformed("response by certificate slot %d, expected %d", b[3], r.Slot)
	case length > len(b)-responseHeaderSize-nonceSize-2-signatureSize:
		return nil, nil, malformed("measurement record of %d bytes in a response of %d", length, len(b))
	}
	return b[responseHeaderSize : responseHeaderSize+length], b[responseHeaderSize+length:], nil
}

// readBlocks reads exactly count blocks. The values share memory with record.
func (r *Report) readBlocks(record []byte, count int) *attest.Failure {
	if count == 0 || count > maxMeasurements {
		return malformed("%d measurements, expected 1 to %d", count, maxMeasurements)
	}
	r.Measurements = make([]Measurement, 0, count)
	for i := range count {
		if len(record) < 7 {
			return malformed("measurement %d of %d is cut off", i+1, count)
		}
		size, value := int(binary.LittleEndian.Uint16(record[2:])), int(binary.LittleEndian.Uint16(record[5:]))
		switch {
		case int(record[0]) != i+1:
			return malformed("measurement index %d at place %d", record[0], i+1)
		case record[1] != dmtfSpec:
			return malformed("measurement %d of specification %#x, expected DMTF", i+1, record[1])
		case value == 0 || value > maxMeasurement || size != value+3 || len(record) < 4+size:
			return malformed("measurement %d of %d bytes in a block of %d", i+1, value, size)
		}
		r.Measurements = append(r.Measurements, Measurement{Type: record[4], Value: record[7 : 7+value : 7+value]})
		record = record[4+size:]
	}
	if len(record) != 0 {
		return malformed("%d bytes after the last measurement", len(record))
	}
	return nil
}

// readTail reads the responder's nonce, the opaque data and the signature's
// place, which must be the end.
func (r *Report) readTail(b []byte) *attest.Failure {
	copy(r.ResponderNonce[:], b)
	length := int(binary.LittleEndian.Uint16(b[nonceSize:]))
	b = b[nonceSize+2:]
	if len(b) != length+signatureSize {
		return malformed("%d bytes of opaque data and signature, expected %d", len(b), length+signatureSize)
	}
	opaque, err := ParseOpaque(b[:length])
	if err != nil {
		return malformed("%v", err)
	}
	if len(opaque.Counters) > len(r.Measurements) {
		return malformed("%d counters for %d measurements", len(opaque.Counters), len(r.Measurements))
	}
	r.Opaque = *opaque
	return nil
}
