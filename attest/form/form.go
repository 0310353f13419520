// Package form holds the containers of Evidence for which no vendor defined
// one: a TPM quote with what it is over, an Azure paravisor's three documents, a
// GPU's report with its certificates, and several kinds in one.
//
// It answers one question: which bytes are which part? It stands on both sides
// of the trust boundary: package device writes these forms in the box, the
// verifiers read them. A form proves nothing; all that is checked here is that
// it can be read in one way only and that every length is within its limit.
package form

import (
	"encoding/binary"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/blob"
)

// The first bytes of each form; the digit is the version.
const (
	magicTPM       = "BBXTPMQ1"
	magicAzure     = "BBXAZVT1"
	magicGPU       = "BBXNVGP1"
	magicComposite = "BBXCOMP1"
)

// Limits.
const (
	maxQuote     = 4 << 10  // TPMS_ATTEST, TPMT_SIGNATURE, TPMT_PUBLIC
	maxPCR       = 64       // bytes of one PCR value
	MaxPCRs      = 24       // registers of one bank (TCG PC Client PTP)
	maxHCL       = 16 << 10 // HCL report with its runtime data
	maxTDQuote   = 16 << 10
	maxGPUReport = 64 << 10
	maxGPUChain  = 32 << 10
	MaxParts     = 32
	maxKindName  = 64
)

// TPM is a TPM 2.0 quote and what is needed to read it.
type TPM struct {
	Quote     []byte // TPMS_ATTEST, as signed (TPM 2.0 Part 2, 10.12.12)
	Signature []byte // TPMT_SIGNATURE (Part 2, 11.3.4)
	AKPublic  []byte // TPMT_PUBLIC of the attestation key (Part 2, 12.2.4)
	Bank      uint16 // TPM_ALG_ID of the PCR bank, 0x000B for SHA-256
	PCRs      []PCR  // in rising order of their index
}

// PCR is one register's value.
type PCR struct {
	Index uint8
	Value []byte
}

// Encode returns the quote as Evidence.Data.
func (q TPM) Encode() []byte {
	out := []byte(magicTPM)
	for _, v := range [][]byte{q.Quote, q.Signature, q.AKPublic, binary.BigEndian.AppendUint16(nil, q.Bank)} {
		out = blob.Append(out, v)
	}
	out = append(out, byte(len(q.PCRs)))
	for _, p := range q.PCRs {
		out = append(out, p.Index)
		out = blob.Append(out, p.Value)
	}
	return out
}

// ParseTPM reads what [TPM.Encode] wrote. The result shares memory with data.
func ParseTPM(data []byte) (TPM, error) {
	r := blob.NewReader("form: TPM quote", data)
	r.Magic(magicTPM)
	q := TPM{Quote: r.Blob(maxQuote), Signature: r.Blob(maxQuote), AKPublic: r.Blob(maxQuote)}
	bank := r.Blob(2)
	if r.Err() == nil && len(bank) != 2 {
		r.Fail("bank of %d bytes, expected 2", len(bank))
	}
	last := -1
	n := r.Count(MaxPCRs)
	q.PCRs = make([]PCR, 0, n)
	for range n {
		index := r.Take(1)
		value := r.Blob(maxPCR)
		if r.Err() != nil {
			break
		}
		if int(index[0]) <= last || index[0] >= MaxPCRs {
			r.Fail("PCR %d after PCR %d, expected rising below %d", index[0], last, MaxPCRs)
		}
		last = int(index[0])
		q.PCRs = append(q.PCRs, PCR{Index: index[0], Value: value})
	}
	if err := r.End(); err != nil {
		return TPM{}, err
	}
	q.Bank = binary.BigEndian.Uint16(bank)
	return q, nil
}

// Azure is what an Azure confidential VM shows: the report that the hardware
// signed for the paravisor, and a quote of the TPM that the paravisor emulates.
type Azure struct {
	HCLReport []byte // "HCLA" header, hardware report, runtime data (NV index 0x01400001)
	TDQuote   []byte // the TDREPORT of HCLReport made into a quote; empty on SEV-SNP
	TPM       TPM
}

// Encode returns the Evidence.Data of an Azure VM.
func (a Azure) Encode() []byte {
	out := []byte(magicAzure)
	for _, v := range [][]byte{a.HCLReport, a.TDQuote, a.TPM.Encode()} {
		out = blob.Append(out, v)
	}
	return out
}

// ParseAzure reads what [Azure.Encode] wrote. The result shares memory with data.
func ParseAzure(data []byte) (Azure, error) {
	r := blob.NewReader("form: Azure evidence", data)
	r.Magic(magicAzure)
	a := Azure{HCLReport: r.Blob(maxHCL), TDQuote: r.Blob(maxTDQuote)}
	quote := r.Blob(attest.MaxEvidence)
	if err := r.End(); err != nil {
		return Azure{}, err
	}
	var err error
	if a.TPM, err = ParseTPM(quote); err != nil {
		return Azure{}, err
	}
	return a, nil
}

// GPU is the evidence of one NVIDIA GPU or NVSwitch.
type GPU struct {
	Report []byte // SPDM GET_MEASUREMENTS request and response, as signed (DMTF DSP0274 1.1)
	Chain  []byte // device certificate and its issuers, PEM
}

// Encode returns the device's Evidence.Data.
func (g GPU) Encode() []byte {
	out := blob.Append([]byte(magicGPU), g.Report)
	return blob.Append(out, g.Chain)
}

// ParseGPU reads what [GPU.Encode] wrote. The result shares memory with data.
func ParseGPU(data []byte) (GPU, error) {
	r := blob.NewReader("form: GPU evidence", data)
	r.Magic(magicGPU)
	g := GPU{Report: r.Blob(maxGPUReport), Chain: r.Blob(maxGPUChain)}
	if err := r.End(); err != nil {
		return GPU{}, err
	}
	return g, nil
}

// EncodeComposite returns several pieces of Evidence as one of kind Composite.
func EncodeComposite(parts []attest.Evidence) (attest.Evidence, error) {
	if len(parts) < 2 || len(parts) > MaxParts {
		return attest.Evidence{}, fmt.Errorf("form: composite of %d parts, expected 2 to %d", len(parts), MaxParts)
	}
	out := append([]byte(magicComposite), byte(len(parts)))
	for _, p := range parts {
		out = blob.Append(out, []byte(p.Kind.String()))
		out = blob.Append(out, p.Data)
	}
	return attest.Evidence{Kind: attest.Composite, Data: out}, nil
}

// ParseComposite reads what [EncodeComposite] wrote. A composite holds no other
// composite, so its depth is one. The parts share memory with data.
func ParseComposite(data []byte) ([]attest.Evidence, error) {
	r := blob.NewReader("form: composite", data)
	r.Magic(magicComposite)
	n := r.Count(MaxParts)
	if r.Err() == nil && n < 2 {
		r.Fail("%d parts, expected 2 to %d", n, MaxParts)
	}
	parts := make([]attest.Evidence, 0, n)
	for range n {
		name, body := r.Blob(maxKindName), r.Blob(attest.MaxEvidence)
		if r.Err() != nil {
			break
		}
		kind, err := attest.ParseKind(string(name))
		switch {
		case err != nil:
			r.Fail("%v", err)
		case kind == attest.Composite:
			r.Fail("a composite inside a composite")
		}
		parts = append(parts, attest.Evidence{Kind: kind, Data: body})
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return parts, nil
}
