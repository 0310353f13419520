package nvforge

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
)

// Report is a request and its response, every field as it goes on the wire
// (DMTF DSP0274 1.1.2, 10.11).
type Report struct {
	RequestVersion, RequestCode, Param1, Param2 byte
	Nonce                                       [32]byte
	SlotParam                                   byte

	ResponseVersion, ResponseCode, ResponseParam1, ResponseSlot byte
	Blocks                                                      []Block
	BlockCount                                                  int // -1: as many as there are
	RecordLength                                                int // -1: as long as it is
	ResponderNonce                                              [32]byte
	Fields                                                      []Field
	OpaqueLength                                                int // -1: as long as it is
}

// Block is one measurement block.
type Block struct {
	Index, Spec, Type byte
	Value             []byte
	Size, ValueSize   int // -1: as long as it is
}

// Field is one field of NVIDIA's opaque data.
type Field struct {
	Type  uint16
	Value []byte
}

// NewReport returns a well-formed report with these measurements.
func NewReport(nonce [32]byte, values [][]byte, fields []Field) *Report {
	r := &Report{
		RequestVersion: 0x11, RequestCode: 0xe0, Param1: 1, Param2: 0xff, Nonce: nonce,
		ResponseVersion: 0x11, ResponseCode: 0x60, BlockCount: -1, RecordLength: -1,
		ResponderNonce: sha512.Sum512_256(nonce[:]), Fields: fields, OpaqueLength: -1,
	}
	for i, v := range values {
		r.Blocks = append(r.Blocks, Block{Index: byte(i + 1), Spec: 1, Type: 1, Value: v, Size: -1, ValueSize: -1})
	}
	return r
}

func either(n, real int) int {
	if n < 0 {
		return real
	}
	return n
}

// Encode returns all that is signed.
func (r *Report) Encode() []byte {
	out := []byte{r.RequestVersion, r.RequestCode, r.Param1, r.Param2}
	out = append(append(out, r.Nonce[:]...), r.SlotParam)
	var record []byte
	for _, b := range r.Blocks {
		record = append(record, b.Index, b.Spec)
		record = binary.LittleEndian.AppendUint16(record, uint16(either(b.Size, len(b.Value)+3)))
		record = binary.LittleEndian.AppendUint16(append(record, b.Type), uint16(either(b.ValueSize, len(b.Value))))
		record = append(record, b.Value...)
	}
	n := either(r.RecordLength, len(record))
	out = append(out, r.ResponseVersion, r.ResponseCode, r.ResponseParam1, r.ResponseSlot,
		byte(either(r.BlockCount, len(r.Blocks))), byte(n), byte(n>>8), byte(n>>16))
	out = append(append(out, record...), r.ResponderNonce[:]...)
	var opaque []byte
	for _, f := range r.Fields {
		opaque = binary.LittleEndian.AppendUint16(opaque, f.Type)
		opaque = binary.LittleEndian.AppendUint16(opaque, uint16(len(f.Value)))
		opaque = append(opaque, f.Value...)
	}
	out = binary.LittleEndian.AppendUint16(out, uint16(either(r.OpaqueLength, len(opaque))))
	return append(out, opaque...)
}

// Sign appends the signature: r and s, each as long as the curve's order.
func Sign(message []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	sum := sha512.Sum384(message)
	return SignDigest(message, key, sum[:])
}

func rawSignature(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, fmt.Errorf("nvforge: sign: %w", err)
	}
	half := (key.Params().BitSize + 7) / 8
	raw := make([]byte, 2*half)
	r.FillBytes(raw[:half])
	s.FillBytes(raw[half:])
	return raw, nil
}

// SignDigest appends the signature of any digest.
func SignDigest(message []byte, key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	raw, err := rawSignature(key, digest)
	if err != nil {
		return nil, err
	}
	return append(append([]byte(nil), message...), raw...), nil
}

// Evidence puts a report and its certificates into one byte string, each behind
// its length.
func Evidence(report, pem []byte) []byte {
	out := []byte("BBXNVGP1")
	for _, b := range [][]byte{report, pem} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
	}
	return out
}
