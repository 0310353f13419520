package tpmforge

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// HCL is a paravisor's report.
type HCL struct {
	Version  uint32
	Type     uint32 // 2 SEV-SNP, 4 TDX
	HashType uint32
	Runtime  []byte
	Size     int // of the whole, padded with zeros
}

// NewHCL returns a healthy one for SEV-SNP.
func NewHCL(runtime []byte) HCL {
	return HCL{Version: 2, Type: 2, HashType: 1, Runtime: runtime, Size: 2600}
}

// ReportData is what the hardware is asked to sign.
func (h HCL) ReportData() [64]byte {
	var out [64]byte
	sum := sha256.Sum256(h.Runtime)
	copy(out[:], sum[:])
	return out
}

// Encode joins header, hardware report and runtime data.
func (h HCL) Encode(hardware []byte) []byte {
	le := binary.LittleEndian
	runtime := []byte{}
	for _, v := range []uint32{uint32(20 + len(h.Runtime)), 1, h.Type, h.HashType, uint32(len(h.Runtime))} {
		runtime = le.AppendUint32(runtime, v)
	}
	out := le.AppendUint32([]byte("HCLA"), h.Version)
	out = le.AppendUint32(out, uint32(1216+20+len(h.Runtime)))
	out = le.AppendUint32(out, 2)
	out = append(out, make([]byte, 16)...)
	out = append(out, hardware...)
	out = append(out, make([]byte, 1216-len(out))...)
	out = append(append(out, runtime...), h.Runtime...)
	return append(out, make([]byte, max(0, h.Size-len(out)))...)
}

// Runtime writes the runtime claims with this attestation key.
func Runtime(ak *rsa.PublicKey, console bool) []byte {
	n := base64.RawURLEncoding.EncodeToString(ak.N.Bytes())
	return fmt.Appendf(nil, `{"keys":[{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"%s"}],`+
		`"vm-configuration":{"console-enabled":%t,"secure-boot":true,"tpm-enabled":true,"vmUniqueId":"00000000-0000-0000-0000-000000000000"},`+
		`"user-data":"%0128d"}`, n, console, 0)
}

// TDReport returns the TDREPORT_STRUCT from which a TD quote of version 4 was made
// (TDX Module ABI 1.5): type, hashes over its parts, report data, TEE_TCB_INFO and
// TDINFO; the MAC is any.
func TDReport(quote []byte) []byte {
	body := quote[48:632]
	r := make([]byte, 1024)
	r[0] = 0x81
	copy(r[128:], body[520:584])
	copy(r[224:], []byte("a MAC of the processor's own"))
	r[256] = 0xff
	copy(r[264:], body[:120])
	copy(r[512:], body[120:520])
	copy(r[32:], Sum(SHA384, r[256:495]))
	copy(r[80:], Sum(SHA384, r[512:]))
	return r
}
