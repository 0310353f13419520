package azure

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// Layout of an HCL report: header, hardware report, runtime data.
const (
	hclSignature  = "HCLA"
	hclHeaderSize = 32
	hclRuntime    = hclHeaderSize + snp.ReportSize // 1216: the room is that of the larger report
	runtimeHeader = 20
	tdReportSize  = 1024 // TDREPORT_STRUCT (TDX Module ABI 1.5)
	maxRuntime    = 8 << 10
	maxHCL        = 16 << 10
)

// Types of hardware report in the runtime data's header.
const (
	reportSNP = 2
	reportTDX = 4
)

// hashSHA256 says that report_data begins with a SHA-256 of the runtime claims.
const hashSHA256 = 1

// HCL is a paravisor's report, taken apart.
type HCL struct {
	Version  uint32
	Kind     attest.Kind // AzureSNP or AzureTDX
	Hardware []byte      // report of SEV-SNP, or TDREPORT
	Runtime  []byte      // JSON
}

// ParseHCL reads an HCL report without trusting it. Bytes behind the runtime
// data, up to the size of the NV index that it is read from, must be zero. The
// result shares memory with data.
func ParseHCL(data []byte) (*HCL, error) {
	if len(data) < hclRuntime+runtimeHeader || len(data) > maxHCL {
		return nil, fmt.Errorf("azure: HCL report of %d bytes, expected %d to %d", len(data), hclRuntime+runtimeHeader, maxHCL)
	}
	le := binary.LittleEndian
	word := func(at int) uint32 { return le.Uint32(data[at:]) }
	h := &HCL{Version: word(4)}
	length := word(hclRuntime + 16)
	if uint64(length) > maxRuntime || int(length) > len(data)-hclRuntime-runtimeHeader {
		return nil, fmt.Errorf("azure: runtime claims of %d bytes in an HCL report of %d", length, len(data))
	}
	end := hclRuntime + runtimeHeader + int(length)
	h.Runtime = data[hclRuntime+runtimeHeader : end : end]
	for _, f := range []struct {
		name      string
		got, want uint32
	}{
		{"size", word(8), uint32(end)},
		{"request type", word(12), 2},
		{"status", word(16), 0},
		{"runtime data size", word(hclRuntime), runtimeHeader + length},
		{"runtime data version", word(hclRuntime + 4), 1},
		{"hash type", word(hclRuntime + 12), hashSHA256},
	} {
		if f.got != f.want {
			return nil, fmt.Errorf("azure: HCL report with %s %d, expected %d", f.name, f.got, f.want)
		}
	}
	switch {
	case string(data[:4]) != hclSignature:
		return nil, fmt.Errorf("azure: begins with %q, expected %q", data[:4], hclSignature)
	case h.Version != 1 && h.Version != 2:
		return nil, fmt.Errorf("azure: HCL report of version %d, expected 1 or 2", h.Version)
	case !allZero(data[20:hclHeaderSize]) || !allZero(data[end:]):
		return nil, fmt.Errorf("azure: HCL report with something in its reserved bytes")
	}
	if err := h.readHardware(data[hclHeaderSize:hclRuntime:hclRuntime], word(hclRuntime+8)); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *HCL) readHardware(room []byte, kind uint32) error {
	switch kind {
	case reportSNP:
		h.Kind, h.Hardware = attest.AzureSNP, room
	case reportTDX:
		h.Kind, h.Hardware = attest.AzureTDX, room[:tdReportSize:tdReportSize]
		if !allZero(room[tdReportSize:]) {
			return fmt.Errorf("azure: something behind the TDREPORT")
		}
	default:
		return fmt.Errorf("azure: hardware report of type %d, expected %d (SEV-SNP) or %d (TDX)", kind, reportSNP, reportTDX)
	}
	return nil
}

// expectedData is what the hardware has to have signed: the hash of the runtime
// claims, and zeros. All 64 bytes count.
func (h *HCL) expectedData() [64]byte {
	var out [64]byte
	sum := sha256.Sum256(h.Runtime)
	copy(out[:], sum[:])
	return out
}

// Offsets in TDREPORT_STRUCT (TDX Module ABI 1.5, "TDREPORT_STRUCT"): a MAC
// structure of 256 bytes, TEE_TCB_INFO of 239 and 17 reserved, TDINFO of 512.
const (
	tdTCBHash    = 32
	tdInfoHash   = 80
	tdReportData = 128
	tdTCBInfo    = 256
	tdTCBInfoEnd = tdTCBInfo + 239
	tdInfo       = 512
)

// checkTDREPORT looks at what of a TDREPORT can be checked away from its machine:
// its type, and its hashes over its own parts. Only the TD quote is signed.
func checkTDREPORT(r []byte) error {
	tcb, info := sha512.Sum384(r[tdTCBInfo:tdTCBInfoEnd]), sha512.Sum384(r[tdInfo:])
	switch {
	case !bytes.Equal(r[:4], []byte{0x81, 0, r[2], 0}) || r[2] > 1:
		return fmt.Errorf("azure: TDREPORT of type %x, expected 81000000", r[:4])
	case !bytes.Equal(tcb[:], r[tdTCBHash:tdTCBHash+48]):
		return fmt.Errorf("azure: TDREPORT with another hash than that of its TEE_TCB_INFO")
	case !bytes.Equal(info[:], r[tdInfoHash:tdInfoHash+48]):
		return fmt.Errorf("azure: TDREPORT with another hash than that of its TDINFO")
	case !allZero(r[4:16]) || !allZero(r[192:224]) || !allZero(r[tdTCBInfoEnd:tdInfo]):
		return fmt.Errorf("azure: TDREPORT with something in its reserved bytes")
	}
	return nil
}

// sameTD compares the TDREPORT with the body of a TD quote, version 4 or 5 (TDX
// DCAP Quoting Library API, A.3): TCB and module, attributes to RTMR3, report data.
func sameTD(report, quote []byte) error {
	body, err := tdBody(quote)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		a, b []byte
	}{
		{"TDX module", report[tdTCBInfo+8 : tdTCBInfo+128], body[:120]},
		{"trust domain", report[tdInfo : tdInfo+400], body[120:520]},
		{"report data", report[tdReportData : tdReportData+64], body[520:584]},
	} {
		if !bytes.Equal(f.a, f.b) {
			return fmt.Errorf("azure: HCL report and TD quote differ in the %s", f.name)
		}
	}
	return nil
}

func tdBody(quote []byte) ([]byte, error) {
	const header, descriptor, size = 48, 6, 584
	at := header
	if len(quote) >= 2 && binary.LittleEndian.Uint16(quote) == 5 {
		at += descriptor
	}
	if len(quote) < at+size {
		return nil, fmt.Errorf("azure: TD quote of %d bytes, expected %d or more", len(quote), at+size)
	}
	return quote[at : at+size], nil
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
