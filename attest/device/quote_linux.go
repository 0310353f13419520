package device

import (
	"encoding/binary"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// maxQuote bounds an Intel quote. Those of today have 5 KiB; the kernel's own
// limit is a moving one.
const maxQuote = 64 << 10

// TEE types in the header of a quote (Intel TDX DCAP Quoting Library API, A.3.1).
const (
	teeSGX uint32 = 0x00
	teeTDX uint32 = 0x81
)

// Where things are in a quote (same document, A.3). Version 5 puts a type (2
// bytes) and a size (4 bytes) before the body.
const (
	quoteHeader  = 48
	bodyHead     = 6
	teeTypeAt    = 4
	sgxData      = 320 // REPORTDATA in an SGX report body
	tdxData      = 520 // REPORTDATA in a TD report body, 1.0 and 1.5
	sgxBody      = 384
	tdxBody      = 584
	bodySGX      = 1
	bodyTDX10    = 2
	bodyTDX15    = 3
	reportDataSz = 64
)

// checkQuote refuses a quote that is not over the bytes that were asked for.
// The quoting enclave is on the host's side of the kernel, and with it the whole
// way that the quote came.
func checkQuote(quote []byte, tee uint32, reportData [64]byte) error {
	if len(quote) < quoteHeader+bodyHead+tdxBody && tee == teeTDX || len(quote) < quoteHeader+bodyHead+sgxBody {
		return fmt.Errorf("quote of %d bytes, too short for its body", len(quote))
	}
	version := binary.LittleEndian.Uint16(quote)
	if got := binary.LittleEndian.Uint32(quote[teeTypeAt:]); got != tee {
		return fmt.Errorf("quote of TEE type %#x, expected %#x", got, tee)
	}
	at := quoteHeader
	switch {
	case version == 3 && tee == teeSGX, version == 4:
	case version == 5:
		if err := checkBodyType(binary.LittleEndian.Uint16(quote[quoteHeader:]), tee); err != nil {
			return err
		}
		at += bodyHead
	default:
		return fmt.Errorf("quote of version %d, expected one of the TEE's", version)
	}
	if tee == teeTDX {
		at += tdxData
	} else {
		at += sgxData
	}
	return isOver("quote", quote[at:at+reportDataSz], reportData[:])
}

func checkBodyType(got uint16, tee uint32) error {
	if tee == teeSGX && got == bodySGX || tee == teeTDX && (got == bodyTDX10 || got == bodyTDX15) {
		return nil
	}
	return fmt.Errorf("quote with a body of type %d, which is not of TEE type %#x", got, tee)
}

// Where the kernel keeps the log of what was measured at boot.
const (
	pathCCEL   = "/sys/firmware/acpi/tables/data/CCEL"
	pathTPMLog = "/sys/kernel/security/tpm0/binary_bios_measurements"
)

// eventLog staples the log. Nobody signed it and evidence is good without it,
// so one that is missing or over the limit is left out: whoever needs it says so.
func eventLog(files files, path string) attest.Endorsements {
	log, err := files.read(path, attest.MaxEndorsement)
	if err != nil || len(log) == 0 {
		return nil
	}
	return attest.Endorsements{{Label: attest.LabelEventLog, Data: log}}
}
