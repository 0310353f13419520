package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

// raw is evidence as a vendor's tool wrote it, without a statement or a policy.
type raw struct {
	// evidence is that of a machine. Its kind is KindInvalid if there is none.
	evidence attest.Evidence
	// devices are those of a file that holds devices and no machine.
	devices []attest.Evidence
	// endorsements are those that lay in the same file.
	endorsements attest.Endorsements
	// spdm is a device's signed report, which says nothing without the device's
	// certificates.
	spdm []byte
	// leftOut is how many bytes there were behind the evidence. Nobody signed them.
	leftOut int
}

// Lengths and offsets by which the binary formats are told apart.
const (
	snpReportSize = 1184       // AMD 56860, ATTESTATION_REPORT
	quoteHeader   = 48         // Intel SGX ECDSA QuoteLib Reference, appendix A.3: version 2, key type 2, TEE type 4 ...
	teeSGX        = 0x00000000 // TEE type, in version 3 a reserved field that is zero
	teeTDX        = 0x00000081
)

// readRaw tells by its first bytes what a file holds. It reports false for what
// has no format that is known here. That the rest can be read is not said by it.
func readRaw(data []byte) (raw, bool, error) {
	switch {
	case bytes.HasPrefix(data, []byte("BBX")):
		return readForm(data)
	case isQuote(data):
		kind := attest.SGX
		if binary.LittleEndian.Uint32(data[4:]) == teeTDX {
			kind = attest.TDX
		}
		return machineOf(kind, data), true, nil
	case len(data) == snpReportSize:
		return machineOf(attest.SNP, data), true, nil
	case isCOSE(data):
		return readNitro(data)
	case isCOSE(withoutRecord(data)):
		return readNitro(withoutRecord(data))
	}
	if report, ok := spdmReport(data); ok {
		return raw{spdm: report}, true, nil
	}
	return readJSON(data)
}

// readNitro takes the document that stands at the beginning. Public tools keep
// documents in records with something behind them.
func readNitro(data []byte) (raw, bool, error) {
	document, rest, err := nitro.Split(data)
	if err != nil {
		return raw{}, true, err
	}
	r := machineOf(attest.Nitro, document)
	r.leftOut = len(rest)
	return r, true, nil
}

// withoutRecord cuts off the head of a record in the SCALE codec, as dstack
// writes it: a version, a kind and a length of two bytes whose last two bits are
// 01 (SCALE, compact integers).
func withoutRecord(data []byte) []byte {
	const version, nitroEnclave, twoBytes = 0, 2, 1
	if len(data) > 4 && data[0] == version && data[1] == nitroEnclave && data[2]&3 == twoBytes {
		return data[4:]
	}
	return nil
}

// spdmReport reads a GET_MEASUREMENTS request of SPDM 1.1 with all measurements
// and its answer (DMTF DSP0274 1.1, 10.11), as bytes or in hex.
func spdmReport(data []byte) ([]byte, bool) {
	begin := []byte{0x11, 0xe0, 0x01, 0xff}
	if bytes.HasPrefix(data, begin) {
		return data, true
	}
	text := bytes.TrimSpace(data)
	out := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(out, text); err != nil || !bytes.HasPrefix(out, begin) {
		return nil, false
	}
	return out, true
}

func machineOf(kind attest.Kind, data []byte) raw {
	return raw{evidence: attest.Evidence{Kind: kind, Data: data}}
}

// isQuote reports whether data begins as a quote: a version from 3 to 5, a type
// of attestation key, which no SNP report has there, and one of the two TEEs.
func isQuote(data []byte) bool {
	if len(data) < quoteHeader {
		return false
	}
	version, key, tee := binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint16(data[2:]), binary.LittleEndian.Uint32(data[4:])
	return version >= 3 && version <= 5 && key != 0 && (tee == teeSGX || tee == teeTDX)
}

// isCOSE reports whether data begins as COSE_Sign1 (RFC 9052, 4.2): an array of
// four, whose first is a byte string, with its tag or without.
func isCOSE(data []byte) bool {
	const tag, array, byteString = 0xd2, 0x84, 0x40
	data = bytes.TrimPrefix(data, []byte{tag})
	return len(data) > 1 && data[0] == array && data[1]&0xe0 == byteString
}

// readForm reads the containers of package form, which a box writes.
func readForm(data []byte) (raw, bool, error) {
	if _, err := form.ParseTPM(data); err == nil {
		return machineOf(attest.TPM, data), true, nil
	}
	if _, err := form.ParseComposite(data); err == nil {
		return machineOf(attest.Composite, data), true, nil
	}
	if a, err := form.ParseAzure(data); err == nil {
		kind := attest.AzureSNP
		if len(a.TDQuote) != 0 {
			kind = attest.AzureTDX
		}
		return machineOf(kind, data), true, nil
	}
	return raw{}, false, nil
}

// readJSON reads the files of two public collectors: an object is an Azure
// machine's, a list holds NVIDIA devices.
func readJSON(data []byte) (raw, bool, error) {
	text := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		ev, end, err := azure.FromTrusteeJSON(data)
		return raw{evidence: ev, endorsements: end}, true, err
	case bytes.HasPrefix(text, []byte("[")):
		devices, err := nvgpu.FromNVIDIAJSON(data)
		return raw{devices: devices}, true, err
	}
	return raw{}, false, nil
}
