package need

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/source"
)

// Offsets in an SNP report (AMD 56860, table 23).
const (
	snpReport      = 1184
	offVersion     = 0x000
	offKeyInfo     = 0x048
	offReportedTCB = 0x180
	offFamily      = 0x188 // version 3 and later
	offModel       = 0x189
	offChipID      = 0x1a0
	sizeChipID     = 64
)

// Which key signed (AMD 56860, SIGNING_KEY, bits 4:2 of KEY_INFO).
const (
	signedByVCEK = 0
	signedByVLEK = 1
)

func (o Options) snp(report []byte) ([]Plan, error) {
	if len(report) != snpReport {
		return nil, fmt.Errorf("report of %d bytes, expected %d", len(report), snpReport)
	}
	hasKey, hasCRL, err := o.certTable()
	if err != nil {
		return nil, err
	}
	hasKey = hasKey || o.has(attest.LabelSNPVEK)
	vlek := false
	switch signer := report[offKeyInfo] >> 2 & 7; signer {
	case signedByVCEK:
	case signedByVLEK:
		vlek = true
	default:
		return nil, fmt.Errorf("signed by key %d, expected 0 (VCEK) or 1 (VLEK)", signer)
	}
	if vlek && !hasKey {
		return nil, errors.New("signed by a VLEK, whose certificate only the cloud provider has: the host must hand it out with the report (certificate table)")
	}
	lines, err := linesOf(report)
	if err != nil {
		return nil, err
	}
	var plans []Plan
	for _, line := range lines {
		var p Plan
		if !hasKey {
			vcek, err := vcekOf(line, report)
			if err != nil {
				return nil, err
			}
			p = append(p, vcek)
		}
		if !hasCRL {
			crl, err := source.AMDCRL(line, vlek)
			if err != nil {
				return nil, err
			}
			p = append(p, crl)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// linesOf returns the product line. A report of version 2 does not name its
// processor, but Turin writes none.
func linesOf(report []byte) ([]string, error) {
	if binary.LittleEndian.Uint32(report[offVersion:]) < 3 {
		return []string{"Milan", "Genoa"}, nil
	}
	switch family, model := report[offFamily], report[offModel]; {
	case family == 0x19 && model <= 0x0f:
		return []string{"Milan"}, nil
	case family == 0x19 && (model>>4 == 1 || model>>4 == 0xa): // Zen 4, Zen 4c
		return []string{"Genoa"}, nil
	case family == 0x1a && model <= 0x11:
		return []string{"Turin"}, nil
	default:
		return nil, fmt.Errorf("processor family %#x model %#x, expected Milan, Genoa or Turin", family, model)
	}
}

// vcekOf names the certificate of the key that is derived for REPORTED_TCB. Its
// layout is another on Turin (AMD 56860, TCB_VERSION).
func vcekOf(line string, report []byte) (source.Object, error) {
	b, id := report[offReportedTCB:], report[offChipID:offChipID+sizeChipID]
	tcb := source.TCB{Bootloader: b[0], TEE: b[1], SNP: b[6], Microcode: b[7]}
	if line == "Turin" {
		tcb = source.TCB{FMC: b[0], Bootloader: b[1], TEE: b[2], SNP: b[3], Microcode: b[7]}
		id = id[:8]
	}
	return source.VCEK(line, id, tcb)
}

// GUIDs of a certificate table, in the order in which they are written (AMD
// 56421, GHCB, SNP extended guest request).
const (
	guidVCEK = "\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd"
	guidVLEK = "\xa8\x07\x4b\xc2\xa2\x5a\x48\x3e\xaa\xe6\x39\xc0\x45\xa0\xb8\xa1"
	guidCRL  = "\x92\xf8\x1b\xc3\x58\x11\x4d\x3d\x97\xff\xd1\x9f\x88\xdc\x67\xea"
	guidRow  = 24 // GUID, offset, length
	maxRows  = 16
)

// certTable says what the host handed out with the report.
func (o Options) certTable() (key, crl bool, err error) {
	table, _, err := o.Have.Get(attest.LabelSNPCertTable)
	if err != nil {
		return false, false, err
	}
	for range maxRows {
		if len(table) < guidRow || string(table[:16]) == string(make([]byte, 16)) {
			break
		}
		switch string(table[:16]) {
		case guidVCEK, guidVLEK:
			key = true
		case guidCRL:
			crl = true
		}
		table = table[guidRow:]
	}
	return key, crl, nil
}
