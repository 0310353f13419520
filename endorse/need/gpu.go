package need

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/endorse/source"
)

// Lengths in an SPDM measurement report: the request, then the response's
// header, record, nonce, opaque data and signature (DMTF DSP0274 1.1.2, 10.11).
const (
	spdmRequest   = 37
	spdmHeader    = 8
	spdmNonce     = 32
	maxGPUChain   = 10
	opaqueDriver  = 3
	opaqueVBIOS   = 6
	opaqueChipSKU = 15
	opaqueProject = 17
	opaqueProjSKU = 18
	opaqueChip    = 35
)

// switchBIOS names NVSwitch's board, which its report does not.
const switchBIOS = "5612_0002_890"

// The chips that stand for their architecture in a manifest's name.
const (
	hopper    = "GH100"
	blackwell = "GB100"
)

func (o Options) gpu(ev attest.Evidence) ([]Plan, error) {
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		return nil, err
	}
	fields, err := opaqueData(g.Report)
	if err != nil {
		return nil, err
	}
	ids := []string{"NV_SWITCH_BIOS_" + switchBIOS + "_" + fields.vbios()}
	certs, err := pemCertificates(g.Chain, maxGPUChain)
	if err != nil {
		return nil, fmt.Errorf("certificate chain: %w", err)
	}
	if ev.Kind == attest.NVIDIAGPU {
		board := strings.ToUpper(fields.text(opaqueProject) + "_" + fields.text(opaqueProjSKU) + "_" + fields.text(opaqueChipSKU))
		ids = []string{fields.driver(certs), "NV_GPU_VBIOS_" + board + "_" + fields.vbios()}
	}
	var p Plan
	for _, id := range ids {
		rim, err := source.RIM(id)
		if err != nil {
			return nil, err
		}
		p = append(p, rim)
	}
	status, err := statusOf(certs)
	if err != nil {
		return nil, err
	}
	return []Plan{append(p, status...)}, nil
}

// statusOf names the OCSP responses of a device's chain: all but the root, which
// nobody can withdraw, and the leaf, which the device makes for itself and
// NVIDIA does not know (NVIDIA, nvtrust local verifier).
func statusOf(certs []*x509.Certificate) (Plan, error) {
	var p Plan
	for i := 1; i+1 < len(certs); i++ {
		obj, err := source.OCSP(certs[i], certs[i+1])
		if err != nil {
			return nil, err
		}
		p = append(p, obj)
	}
	return p, nil
}

// After names what an object needs in its turn, once it is there: a manifest
// brings its signers' certificates, whose status NVIDIA tells. What cannot be
// read needs nothing; the verifier will say what is wrong with it.
func After(o source.Object, data []byte) Plan {
	if o.Form() != source.FormRIM {
		return nil
	}
	var certs []*x509.Certificate
	for _, piece := range bytes.SplitN(data, []byte("X509Certificate>"), 2*maxGPUChain+2) {
		// Opening and closing tags alternate, so every second piece is a certificate.
		text, _, found := bytes.Cut(piece, []byte("</"))
		if der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(text), nil))); found && err == nil {
			if cert, err := x509.ParseCertificate(der); err == nil {
				certs = append(certs, cert)
			}
		}
	}
	var p Plan
	for i := range max(len(certs)-1, 0) {
		if obj, err := source.OCSP(certs[i], certs[i+1]); err == nil {
			p = append(p, obj)
		}
	}
	return p
}

// opaque are the fields that NVIDIA's firmware adds to the measurements.
type opaque map[int][]byte

func opaqueData(report []byte) (opaque, error) {
	c := &cursor{rest: report}
	c.take(spdmRequest)
	head := c.take(spdmHeader)
	if c.bad {
		return nil, fmt.Errorf("report of %d bytes, expected an SPDM request and a response", len(report))
	}
	c.take(int(head[5]) | int(head[6])<<8 | int(head[7])<<16)
	c.take(spdmNonce)
	data := &cursor{rest: c.take(c.u16()), bad: c.bad}
	fields := opaque{}
	for len(data.rest) != 0 && !data.bad {
		id := data.u16()
		fields[id] = data.take(data.u16())
	}
	if data.bad {
		return nil, fmt.Errorf("report of %d bytes is cut off", len(report))
	}
	return fields, nil
}

func (f opaque) text(id int) string { return strings.TrimRight(string(f[id]), "\x00") }

// driver names the driver's manifest. Reports of Hopper and of early Blackwell
// do not name the chip; the device's certificate begins with it.
func (f opaque) driver(certs []*x509.Certificate) string {
	chip := strings.ToUpper(f.text(opaqueChip))
	if chip == "" && len(certs) > 0 && strings.HasPrefix(certs[0].Subject.CommonName, "GB") {
		chip = blackwell
	}
	if chip == "" || chip == hopper {
		return "NV_GPU_DRIVER_" + hopper + "_" + f.text(opaqueDriver)
	}
	return "NV_GPU_CC_DRIVER_" + chip + "_" + f.text(opaqueDriver)
}

// vbios returns the version without its dots. A GPU writes it as two numbers of
// four bytes, little-endian: the first four parts, then the fifth.
func (f opaque) vbios() string {
	v := f[opaqueVBIOS]
	if len(v) == 8 {
		return fmt.Sprintf("%08X%02X", binary.LittleEndian.Uint32(v), v[4])
	}
	return strings.ToUpper(strings.ReplaceAll(f.text(opaqueVBIOS), ".", ""))
}
