package nvgpu

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// maxDevices is that of one composite.
const maxDevices = 32

// FromNVIDIAJSON reads an evidence file as NVIDIA's collectors write it: a list
// of devices, each with its architecture, the nonce in hex, and the report and
// the certificates in base64. Architecture and nonce are compared with what
// the report says, since a reader of the file may have looked at them only.
func FromNVIDIAJSON(data []byte) ([]attest.Evidence, error) {
	var list []struct {
		Arch        string `json:"arch"`
		Certificate string `json:"certificate"`
		Evidence    string `json:"evidence"`
		Nonce       string `json:"nonce"`
	}
	options := strictjson.Options{AllowUnknown: true, Limits: strictjson.Limits{Bytes: attest.MaxBundle}}
	if err := strictjson.Decode(data, &list, options); err != nil {
		return nil, fmt.Errorf("nvgpu: evidence file: %w", err)
	}
	if len(list) == 0 || len(list) > maxDevices {
		return nil, fmt.Errorf("nvgpu: evidence file of %d devices, expected 1 to %d", len(list), maxDevices)
	}
	out := make([]attest.Evidence, len(list))
	for i, d := range list {
		ev, err := importDevice(d.Arch, d.Nonce, d.Evidence, d.Certificate)
		if err != nil {
			return nil, fmt.Errorf("nvgpu: device %d of the evidence file: %w", i+1, err)
		}
		out[i] = ev
	}
	return out, nil
}

func importDevice(archName, nonceHex, reportBase64, chainBase64 string) (attest.Evidence, error) {
	arch, err := ParseArch(archName)
	if err != nil {
		return attest.Evidence{}, err
	}
	report, err := base64.StdEncoding.Strict().DecodeString(reportBase64)
	if err != nil {
		return attest.Evidence{}, fmt.Errorf("evidence is not base64")
	}
	chain, err := base64.StdEncoding.Strict().DecodeString(chainBase64)
	if err != nil {
		return attest.Evidence{}, fmt.Errorf("certificate is not base64")
	}
	r, err := ParseReport(report)
	if err != nil {
		return attest.Evidence{}, err
	}
	if nonce, err := hex.DecodeString(nonceHex); err != nil || !bytes.Equal(nonce, r.Nonce[:]) {
		return attest.Evidence{}, fmt.Errorf("nonce %.64q, the report says %x", nonceHex, r.Nonce)
	}
	return Encode(arch.kind(), report, chain), nil
}

// FromNVIDIAText reads a report in hex and certificates in PEM, the two text
// files that NVIDIA's tools write for one device.
func FromNVIDIAText(kind attest.Kind, reportHex, chain []byte) (attest.Evidence, error) {
	if !kind.Device() {
		return attest.Evidence{}, fmt.Errorf("nvgpu: evidence of kind %s, expected a GPU or a switch", kind)
	}
	if len(reportHex) > 2*maxReport {
		return attest.Evidence{}, fmt.Errorf("nvgpu: report of %d characters, the limit is %d", len(reportHex), 2*maxReport)
	}
	report, err := hex.DecodeString(string(bytes.TrimSpace(reportHex)))
	if err != nil {
		return attest.Evidence{}, fmt.Errorf("nvgpu: report is not hex")
	}
	if _, err := ParseReport(report); err != nil {
		return attest.Evidence{}, err
	}
	return Encode(kind, report, chain), nil
}
