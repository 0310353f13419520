package attesttest

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/nvforge"
)

// Where the verdicts come from.
const (
	specSPDM   = "DMTF DSP0274 1.1.2, 10.11"
	specOpaque = "nvtrust, spdm_msrt_resp_msg.py, OpaqueData"
	specDICE   = "TCG DICE Attestation Architecture 1.1, 6.1"
	specRIM    = "TCG RIM 1.01; nvtrust, rim and verifier.py"
	specDSig   = "W3C XML Signature 1.1, 4.4 and 8.1"
	specXML    = "W3C XML 1.0, 2; Canonical XML 1.1, 2"
	specOCSP   = "RFC 6960, 3.2 and 4.2"
)

// nvidiaCase is a Vector before its evidence is made.
type nvidiaCase struct {
	row, name, about, spec string
	stage                  Stage
	check                  string
	code                   attest.Code
	trust                  string
	vendor                 *NVIDIA
	at                     time.Time
	// parts are the devices of a composite; nil means that the evidence is one
	// device, made with opts.
	parts [][]GPUOption
	opts  []GPUOption
}

// NVIDIAVectors returns the cases of GPUs and switches that package nvgpu and the
// section hardware.gpu of a trust file decide.
func NVIDIAVectors(t testing.TB) []Vector {
	t.Helper()
	return NewNVIDIA().vectors.get(t, makeNVIDIAVectors)
}

func makeNVIDIAVectors(t testing.TB) []Vector {
	t.Helper()
	var out []Vector
	for _, group := range [][]nvidiaCase{
		gpuHealthy(), gpuReports(), gpuOpaque(), gpuChains(t), gpuDevices(),
		gpuManifests(t), gpuXML(), gpuSignatures(), gpuOCSP(t), gpuAppraised(),
	} {
		for _, c := range group {
			out = append(out, c.vector(t))
		}
	}
	return out
}

// vectorNonce is what the devices of all vectors sign.
func vectorNonce() [32]byte { return sha256.Sum256([]byte("nonce")) }

func (c nvidiaCase) vector(t testing.TB) Vector {
	t.Helper()
	vendor := NewNVIDIA()
	if c.vendor != nil {
		vendor = c.vendor
	}
	if c.at.IsZero() {
		c.at = Epoch()
	}
	v := Vector{Row: c.row, Name: c.name, About: c.about, Spec: c.spec, Stage: c.stage, Check: c.check, Code: c.code, Trust: c.trust, At: c.at}
	device, rim := NewNVIDIA().Roots(t)
	v.Roots = [][]byte{device, rim}
	if c.parts == nil {
		v.Evidence, v.Endorsements = vendor.MakeGPU(t, vectorNonce(), c.opts...)
		return v
	}
	amd := New().Roots(t, Genoa)
	v.Roots = append(v.Roots, amd.ARK.Raw, amd.ASK.Raw)
	machine, end := New().Make(t, [64]byte{1})
	parts := []attest.Evidence{machine}
	for _, opts := range c.parts {
		ev, more := vendor.MakeGPU(t, vectorNonce(), opts...)
		parts, end = append(parts, ev), mergeEndorsements(end, more)
	}
	v.Evidence, v.Endorsements = Composite(parts...), end
	return v
}

// mergeEndorsements keeps the first of each label: devices share manifests.
func mergeEndorsements(a, b attest.Endorsements) attest.Endorsements {
	for _, e := range b {
		if _, found, _ := a.Get(e.Label); !found {
			a = append(a, e)
		}
	}
	return a
}

func gpuRefuse(row, name, about, spec, check string, code attest.Code, opts ...GPUOption) nvidiaCase {
	return nvidiaCase{row: row, name: name, about: about, spec: spec, stage: StageVerify, check: check, code: code, opts: opts}
}

func gpuAccept(row, name, about, spec string, opts ...GPUOption) nvidiaCase {
	return nvidiaCase{row: row, name: name, about: about, spec: spec, stage: StageNone, opts: opts}
}

func gpuHealthy() []nvidiaCase {
	return []nvidiaCase{
		gpuAccept("V01", "h100", "A healthy H100 with both manifests and an OCSP response for each certificate.", specSPDM),
		gpuAccept("V01", "blackwell", "A Blackwell GPU, whose certificate names the firmware in another extension.", specDICE, Blackwell()),
		gpuAccept("V01", "nvswitch", "An NVSwitch with its manifest.", specSPDM, Switch()),
		gpuAccept("V01", "nothing-stapled", "Nothing but the device's own evidence: true, and what was not checked is said.", specRIM, NoRIMs(), NoOCSP()),
		gpuAccept("V01", "no-firmware-id", "Older firmware does not repeat its id in the report.", specDICE, SetGPUField(20, nil)),
		gpuAccept("V01", "unknown-field", "A field that later firmware added: signed, and passed over.", specOpaque, SetGPUField(900, []byte{1, 2, 3})),
	}
}

func gpuReports() []nvidiaCase {
	bad := func(name, about string, opts ...GPUOption) nvidiaCase {
		return gpuRefuse("V02", name, about, specSPDM, "hardware.report", attest.CodeMalformed, opts...)
	}
	set := func(f func(*nvforge.Report)) GPUOption { return EditGPUReport(f) }
	return []nvidiaCase{
		bad("empty", "No report.", EditGPUSigned(func([]byte) []byte { return nil })),
		bad("cut", "The report without its last byte.", EditGPUSigned(func(b []byte) []byte { return b[:len(b)-1] })),
		bad("trailing", "A byte after the signature.", EditGPUSigned(func(b []byte) []byte { return append(b, 0) })),
		bad("request-only", "The request without a response.", EditGPUSigned(func(b []byte) []byte { return b[:37] })),
		bad("request-code", "Another request than GET_MEASUREMENTS.", set(func(r *nvforge.Report) { r.RequestCode = 0xe1 })),
		bad("response-code", "An error instead of measurements.", set(func(r *nvforge.Report) { r.ResponseCode = 0x7f })),
		bad("slot", "The response was signed with the key of another slot.", set(func(r *nvforge.Report) { r.ResponseSlot = 1 })),
		bad("no-blocks", "A count of 0 measurements.", set(func(r *nvforge.Report) { r.BlockCount = 0 })),
		bad("one-block-less", "A count that leaves a measurement over.", set(func(r *nvforge.Report) { r.BlockCount = 63 })),
		bad("index-twice", "A measurement index that occurs twice.", set(func(r *nvforge.Report) { r.Blocks[5].Index = 5 })),
		bad("other-specification", "A measurement block of another specification than DMTF's.", set(func(r *nvforge.Report) { r.Blocks[0].Spec = 2 })),
		bad("inner-size", "The two sizes of a measurement contradict each other.", set(func(r *nvforge.Report) { r.Blocks[0].ValueSize = 47 })),
		bad("record-length", "A measurement record longer than the response.", set(func(r *nvforge.Report) { r.RecordLength = 1<<24 - 1 })),
		bad("opaque-length", "Opaque data longer than the response.", set(func(r *nvforge.Report) { r.OpaqueLength = 1<<16 - 1 })),
		gpuRefuse("V03", "spdm-1-2", "SPDM 1.2 signs other bytes, so a report of it is not understood.", specSPDM, "hardware.report", "unsupported",
			set(func(r *nvforge.Report) { r.RequestVersion, r.ResponseVersion = 0x12, 0x12 })),
		gpuRefuse("V03", "response-1-0", "A response of another version than the request.", specSPDM, "hardware.report", "unsupported", set(func(r *nvforge.Report) { r.ResponseVersion = 0x10 })),
		gpuRefuse("V03", "one-measurement", "A request for one measurement only.", specSPDM, "hardware.report", "unsupported", set(func(r *nvforge.Report) { r.Param2 = 1 })),
		gpuRefuse("V03", "unsigned-request", "A request that asks for no signature.", specSPDM, "hardware.report", "unsupported", set(func(r *nvforge.Report) { r.Param1 = 0 })),
		gpuRefuse("V04", "nonce-changed", "The nonce was replaced after the device signed.", specSPDM, "hardware.signature", attest.CodeBadSignature,
			EditGPUSigned(func(b []byte) []byte { b[4] ^= 1; return b })),
		gpuRefuse("V04", "measurement-changed", "A measurement was replaced after the device signed.", specSPDM, "hardware.signature", attest.CodeBadSignature,
			EditGPUSigned(func(b []byte) []byte { b[60] ^= 1; return b })),
		gpuRefuse("V04", "signature-zero", "A signature of zeros.", specSPDM, "hardware.signature", attest.CodeBadSignature,
			EditGPUSigned(func(b []byte) []byte { clear(b[len(b)-96:]); return b })),
		gpuRefuse("V04", "sha-256", "The right bytes, signed by the right key over the wrong hash.", specSPDM, "hardware.signature", attest.CodeBadSignature,
			func(g *GPU) { g.Digest = func(b []byte) []byte { s := sha256.Sum256(b); return s[:] } }),
		gpuRefuse("G27", "labelled-as-tdx", "A GPU's evidence labelled as a processor's.", specSPDM, "hardware.kind", attest.CodeKindMismatch, func(g *GPU) { g.Kind = attest.TDX }),
	}
}

func gpuOpaque() []nvidiaCase {
	bad := func(name, about string, id uint16, value []byte) nvidiaCase {
		return gpuRefuse("V05", name, about, specOpaque, "hardware.report", attest.CodeMalformed, SetGPUField(id, value))
	}
	twice := EditGPUReport(func(r *nvforge.Report) {
		r.Fields = append(r.Fields, nvforge.Field{Type: 3, Value: []byte("1.2.3")})
	})
	return []nvidiaCase{
		bad("path-in-driver", "A driver version with characters that mean something in a file name.", 3, []byte("../../x\x00")),
		bad("driver-too-long", "A driver version of 100 characters.", 3, bytes.Repeat([]byte("1"), 100)),
		bad("firmware-id-short", "A firmware id of 47 bytes.", 20, make([]byte, 47)),
		bad("nvdec-unknown", "A state of NVDEC0 that is neither on nor off.", 11, []byte{0x54}),
		bad("too-many-counters", "More counters than measurements.", 12, make([]byte, 4*65)),
		bad("odd-counters", "Counters of three bytes.", 12, make([]byte, 3)),
		bad("vbios-trailing", "A VBIOS version with bytes that belong to no part of it.", 6, []byte{0, 0xdd, 0, 0x96, 1, 0, 0, 1}),
		gpuRefuse("V05", "field-twice", "Two driver versions: two readers could pick different ones.", specOpaque, "hardware.report", attest.CodeMalformed, twice),
	}
}

func gpuChains(t testing.TB) []nvidiaCase {
	bad := func(name, about string, code attest.Code, opts ...GPUOption) nvidiaCase {
		return gpuRefuse("V06", name, about, rfcChain, "hardware.chain", code, opts...)
	}
	n := NewNVIDIA()
	stranger := bad("other-vendor", "The right names under somebody else's root.", attest.CodeUntrustedRoot)
	stranger.vendor = StrangerNVIDIA()
	ownRoot := bad("own-root-below", "A chain of somebody else's with the pinned root put at its end.", attest.CodeUntrustedRoot,
		EditGPUChain(func(c []*nvforge.CA) []*nvforge.CA {
			c[len(c)-1] = n.cert(t, gpuRoot, nil, nil)
			return c
		}))
	ownRoot.vendor = StrangerNVIDIA()
	p521 := func(c *nvforge.Cert) { c.Curve = elliptic.P521() }
	return []nvidiaCase{
		stranger, ownRoot,
		bad("curve-p256", "A device key on P-256.", "bad_key", EditGPUCert(gpuLeaf, func(c *nvforge.Cert) { c.Curve = elliptic.P256() })),
		bad("curve-p521", "A device key on P-521, which takes ten times as long to verify.", "bad_key", EditGPUCert(gpuLeaf, p521)),
		bad("intermediate-p521", "An intermediate on P-521: refused before any signature is verified.", "bad_key", EditGPUCert(gpuICA, p521)),
		bad("leaf-is-ca", "A leaf that may issue certificates.", attest.CodeBadChain, EditGPUCert(gpuLeaf, func(c *nvforge.Cert) { c.CA = true })),
		bad("issuer-no-ca", "An issuer that is no CA.", attest.CodeBadChain, EditGPUCert(gpuICA, func(c *nvforge.Cert) { c.CA = false })),
		bad("reversed", "The certificates from the root down.", attest.CodeBadChain, EditGPUChain(func(c []*nvforge.CA) []*nvforge.CA {
			for i, j := 0, len(c)-1; i < j; i, j = i+1, j-1 {
				c[i], c[j] = c[j], c[i]
			}
			return c
		})),
		bad("no-root", "The chain without the root.", attest.CodeUntrustedRoot, EditGPUChain(func(c []*nvforge.CA) []*nvforge.CA { return c[:len(c)-1] })),
		bad("leaf-only", "The leaf alone.", attest.CodeBadChain, EditGPUChain(func(c []*nvforge.CA) []*nvforge.CA { return c[:1] })),
		bad("too-many", "Seven certificates.", attest.CodeMalformed, EditGPUChain(func(c []*nvforge.CA) []*nvforge.CA { return append(c, c[1], c[2]) })),
		bad("text-between", "Text between the certificates.", attest.CodeMalformed, func(g *GPU) {
			g.PEM = append(g.PEM, func(b []byte) []byte { return append([]byte("a comment\n"), b...) })
		}),
		gpuRefuse("V07", "leaf-expired", "The leaf has expired.", rfcChain, "hardware.validity", attest.CodeExpired,
			EditGPUCert(gpuLeaf, func(c *nvforge.Cert) { c.NotAfter = Epoch().Add(-time.Second) })),
		gpuRefuse("V07", "identity-not-yet", "An intermediate that is not valid yet.", rfcChain, "hardware.validity", attest.CodeExpired,
			EditGPUCert(gpuIdentity, func(c *nvforge.Cert) { c.NotBefore = Epoch().Add(time.Second) })),
	}
}

func gpuDevices() []nvidiaCase {
	other := bytes.Repeat([]byte{7}, 48)
	chip := func(name, chip string) nvidiaCase {
		return gpuRefuse("V09", name, "A chip of an architecture that gives no such reports.", specDICE, "hardware.device", "unknown_chip", func(g *GPU) { g.Chip = chip })
	}
	return []nvidiaCase{
		gpuRefuse("V08", "firmware-id-of-report", "The report names other firmware than the key was certified for.", specDICE, "hardware.firmware_id", "firmware_id_mismatch", SetGPUField(20, other)),
		gpuRefuse("V08", "firmware-id-of-certificate", "The key was certified for other firmware than the report names.", specDICE, "hardware.firmware_id", "firmware_id_mismatch",
			func(g *GPU) { g.FWID = other }),
		gpuRefuse("V08", "firmware-id-blackwell", "The same on Blackwell.", specDICE, "hardware.firmware_id", "firmware_id_mismatch", Blackwell(), SetGPUField(20, other)),
		gpuRefuse("V08", "other-device-key", "The leaf names another device's key than that of its issuer.", specDICE, "hardware.device_key", "inconsistent",
			EditGPUCert(gpuLeaf, func(c *nvforge.Cert) {
				stranger, err := nvforge.Issue(nvforge.Cert{Name: "x", NotBefore: Epoch(), NotAfter: Epoch()}, nil)
				if err == nil {
					c.Extra[len(c.Extra)-1] = nvforge.Composite(stranger, gpuFWID())
				}
			})),
		gpuRefuse("V08", "malformed-extension", "The extension that names the firmware cannot be read.", specDICE, "hardware.device", attest.CodeMalformed,
			EditGPUCert(gpuLeaf, func(c *nvforge.Cert) { c.Extra[len(c.Extra)-1].Value = []byte{0x30, 0} })),
		chip("ampere", "GA100"), chip("no-chip", "X"),
		gpuRefuse("V10", "switch-as-gpu", "An NVSwitch labelled as a GPU.", specDICE, "hardware.device", attest.CodeKindMismatch, Switch(), func(g *GPU) { g.Kind = attest.NVIDIAGPU }),
		gpuRefuse("V10", "gpu-as-switch", "A GPU labelled as an NVSwitch.", specDICE, "hardware.device", attest.CodeKindMismatch, func(g *GPU) { g.Kind = attest.NVSwitch }),
	}
}

func gpuManifests(t testing.TB) []nvidiaCase {
	n := NewNVIDIA()
	bad := func(row, name, about, check string, code attest.Code, opts ...GPUOption) nvidiaCase {
		return gpuRefuse(row, name, about, specRIM, check, code, opts...)
	}
	return []nvidiaCase{
		bad("V11", "other-signer", "A manifest signed under somebody else's root.", "hardware.driver_rim", attest.CodeUntrustedRoot,
			EditRIMChain(func([]*nvforge.CA) []*nvforge.CA {
				g := StrangerNVIDIA().newGPU([32]byte{})
				return g.rimChain(t)
			})),
		bad("V11", "signed-by-device", "A manifest signed by the device itself, whose chain ends in the other root.", "hardware.driver_rim", attest.CodeUntrustedRoot,
			EditRIMChain(func([]*nvforge.CA) []*nvforge.CA { return n.newGPU([32]byte{}).chain(t) })),
		bad("V11", "signer-is-ca", "A manifest signed by an intermediate.", "hardware.driver_rim", attest.CodeBadChain,
			EditRIMChain(func(c []*nvforge.CA) []*nvforge.CA { return c[1:] })),
		bad("V12", "signer-expired", "The certificate of the manifest's signer has expired.", "hardware.driver_rim_validity", attest.CodeExpired,
			EditGPUCert(rimSigner, func(c *nvforge.Cert) { c.NotAfter = Epoch().Add(-time.Second) })),
		bad("V12", "signer-not-yet", "The certificate of the manifest's signer is not valid yet.", "hardware.vbios_rim_validity", attest.CodeExpired,
			EditGPUCert(rimSigner, func(c *nvforge.Cert) { c.NotBefore = Epoch().Add(time.Second) })),
		bad("V13", "other-driver", "A genuine manifest of another driver under this one's name.", "hardware.driver_rim_version", "rim_mismatch",
			DriverRIM(func(m *nvforge.Manifest) { m.Version = "999.01.01" })),
		bad("V13", "other-vbios", "A genuine manifest of another VBIOS under this one's name.", "hardware.vbios_rim_version", "rim_mismatch",
			VBIOSRIM(func(m *nvforge.Manifest) { m.Version = "96.00.DC.00.01" })),
		bad("V13", "other-chip", "A genuine manifest for another chip.", "hardware.driver_rim_version", "rim_mismatch",
			DriverRIM(func(m *nvforge.Manifest) { m.Product = "GB100" })),
		bad("V14", "conflict", "Driver and VBIOS manifest list the same measurement.", "hardware.rim_conflict", "rim_conflict",
			VBIOSRIM(func(m *nvforge.Manifest) { m.Resources[10].Active = true })),
		bad("V15", "index-twice", "A manifest that lists a measurement twice.", "hardware.driver_rim", attest.CodeMalformed,
			DriverRIM(func(m *nvforge.Manifest) { m.Resources[11].Index = 10 })),
		bad("V15", "nothing-active", "A manifest without an active measurement.", "hardware.driver_rim", attest.CodeMalformed,
			DriverRIM(func(m *nvforge.Manifest) { m.Resources = resources(gpuMeasured) })),
		bad("V15", "no-payload", "A manifest without measurements.", "hardware.driver_rim", attest.CodeMalformed, DriverRIM(func(m *nvforge.Manifest) {
			m.Body = func(s string) string { return strings.ReplaceAll(s, "Payload>", "Other>") }
		})),
		bad("V15", "short-value", "A value of another size than the manifest says.", "hardware.driver_rim", attest.CodeMalformed, DriverRIM(func(m *nvforge.Manifest) {
			m.Resources[10].Values = append(m.Resources[10].Values, "00")
		})),
		bad("V15", "active-word", "A measurement that is neither active nor inactive.", "hardware.driver_rim", attest.CodeMalformed, DriverRIM(func(m *nvforge.Manifest) {
			m.Body = func(s string) string { return strings.Replace(s, `active="True"`, `active="true"`, 1) }
		})),
		bad("V15", "given-twice", "Two manifests under one name.", "hardware.driver_rim", attest.CodeAmbiguous,
			EditGPUEndorsements(func(e attest.Endorsements) attest.Endorsements { return append(e, e[0]) })),
		gpuAccept("V15", "alternatives", "A manifest with several good values for one measurement.", specRIM, DriverRIM(func(m *nvforge.Manifest) {
			m.Resources[10].Values = append([]string{strings.Repeat("ab", 48)}, m.Resources[10].Values...)
		})),
	}
}

func gpuXML() []nvidiaCase {
	bad := func(name, about string, f func(string) string) nvidiaCase {
		return gpuRefuse("V16", name, about, specXML, "hardware.driver_rim", attest.CodeMalformed, DriverRIM(func(m *nvforge.Manifest) { m.Signed = f }))
	}
	before := func(text string) func(string) string { return func(s string) string { return text + s } }
	inside := func(text string) func(string) string {
		return func(s string) string { return strings.Replace(s, "\n    <ns0:Payload>", text+"\n    <ns0:Payload>", 1) }
	}
	return []nvidiaCase{
		bad("doctype", "A document type, which could define entities.", before(`<!DOCTYPE a [<!ENTITY b "c">]>`)),
		bad("entity", "An entity that is none of the five.", inside("&nbsp;")),
		bad("character-reference", "A character by its number.", inside("&#65;")),
		bad("comment", "A comment, which the signature does not cover.", inside("<!-- a -->")),
		bad("cdata", "A CDATA section.", inside("<![CDATA[a]]>")),
		bad("instruction", "A processing instruction.", inside("<?a b?>")),
		bad("depth", "Elements nested a hundred deep.", inside(strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100))),
		bad("second-root", "A second root element.", func(s string) string { return s + "<a></a>" }),
		bad("attribute-twice", "An attribute that occurs twice under two prefixes.", func(s string) string {
			return strings.Replace(s, `ns2:Hash0=`, `xmlns:p="http://www.w3.org/2001/04/xmlenc#sha384" p:Hash0="00" ns2:Hash0=`, 1)
		}),
		bad("not-utf8", "Bytes that are not UTF-8.", inside("\xff")),
		gpuAccept("V16", "other-spelling", "Another spelling of the same document: quotes, order, line ends and empty tags do not count.", specXML,
			DriverRIM(func(m *nvforge.Manifest) {
				m.Source = func(s string) string {
					s = strings.ReplaceAll(s, "></ns0:Resource>", " />")
					s = strings.ReplaceAll(s, `type="Measurement"`, `type = "Measurement"`)
					s = strings.ReplaceAll(s, `type = "Measurement"`, `type='Measurement'`)
					return strings.ReplaceAll(s, "\n", "\r\n")
				}
			})),
	}
}

func gpuSignatures() []nvidiaCase {
	bad := func(row, name, about string, code attest.Code, f func(*nvforge.Manifest)) nvidiaCase {
		return gpuRefuse(row, name, about, specDSig, "hardware.driver_rim", code, DriverRIM(f))
	}
	signed := func(f func(string) string) func(*nvforge.Manifest) {
		return func(m *nvforge.Manifest) { m.Signed = f }
	}
	info := func(f func(string) string) func(*nvforge.Manifest) {
		return func(m *nvforge.Manifest) { m.SignedInfo = f }
	}
	cut := func(s string) (head, signature, tail string) {
		i, j := strings.Index(s, "<ds:Signature "), strings.Index(s, "</ds:Signature>")+len("</ds:Signature>")
		return s[:i], s[i:j], s[j:]
	}
	return []nvidiaCase{
		bad("V17", "value-changed", "A golden value was changed after the manifest was signed.", attest.CodeBadSignature, signed(func(s string) string {
			return strings.Replace(s, hex.EncodeToString(gpuValue(10)), strings.Repeat("00", 48), 1)
		})),
		bad("V17", "activated", "An inactive measurement was made active.", attest.CodeBadSignature, signed(func(s string) string {
			return strings.Replace(s, `active="False"`, `active="True"`, 1)
		})),
		bad("V17", "unsigned", "No signature.", attest.CodeMalformed, signed(func(s string) string {
			head, _, tail := cut(s)
			return head + tail
		})),
		bad("V18", "wrapped", "The signed document inside another one that lists other values.", attest.CodeMalformed, signed(func(s string) string {
			return `<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" tagId="a">` + s + "</SoftwareIdentity>"
		})),
		bad("V18", "two-signatures", "Two signatures.", attest.CodeMalformed, signed(func(s string) string {
			head, signature, tail := cut(s)
			return head + signature + signature + tail
		})),
		bad("V18", "signature-deeper", "The signature inside another element.", attest.CodeMalformed, signed(func(s string) string {
			head, signature, tail := cut(s)
			return strings.Replace(head, "</ns0:Payload>", signature+"</ns0:Payload>", 1) + tail
		})),
		bad("V18", "second-payload", "A second list of measurements beside the signed one.", attest.CodeMalformed, signed(func(s string) string {
			return strings.Replace(s, "<ns0:Payload>", "<ns0:Payload></ns0:Payload><ns0:Payload>", 1)
		})),
		bad("V18", "object", "An object inside the signature, which it does not cover.", attest.CodeMalformed, signed(func(s string) string {
			return strings.Replace(s, "</ds:Signature>", "<ds:Object></ds:Object></ds:Signature>", 1)
		})),
		bad("V19", "reference-to-part", "A reference to one element instead of the whole document.", attest.CodeMalformed, func(m *nvforge.Manifest) { m.URI = "#part" }),
		bad("V19", "two-references", "Two references.", attest.CodeMalformed, info(func(s string) string {
			i := strings.Index(s, "<ds:Reference")
			return s + s[i:]
		})),
		bad("V19", "xpath", "A transform that leaves out what it likes.", attest.CodeMalformed, func(m *nvforge.Manifest) { m.Transform = "http://www.w3.org/TR/1999/REC-xpath-19991116" }),
		bad("V20", "hmac", "A signature method whose key everybody has.", attest.CodeMalformed, func(m *nvforge.Manifest) { m.Signature = "http://www.w3.org/2000/09/xmldsig#hmac-sha1" }),
		bad("V20", "sha1-digest", "A digest by SHA-1.", attest.CodeMalformed, func(m *nvforge.Manifest) { m.Digest = "http://www.w3.org/2000/09/xmldsig#sha1" }),
		bad("V20", "c14n-with-comments", "A canonical form that keeps comments.", attest.CodeMalformed, func(m *nvforge.Manifest) { m.C14N = "http://www.w3.org/2006/12/xml-c14n11#WithComments" }),
	}
}

func gpuOCSP(t testing.TB) []nvidiaCase {
	n := NewNVIDIA()
	device := func(row, name, about string, code attest.Code, f func(*nvforge.Answer)) nvidiaCase {
		return gpuRefuse(row, name, about, specOCSP, "hardware.ocsp", code, EditOCSP(gpuICA, f))
	}
	dated := func(name, about string, code attest.Code, f func(*nvforge.Answer)) nvidiaCase {
		return gpuRefuse("V22", name, about, specOCSP, "hardware.ocsp_time", code, EditOCSP(gpuICA, f))
	}
	delegate := func(edit func(*nvforge.Cert)) func(*nvforge.Answer) {
		return func(a *nvforge.Answer) {
			issuer := n.cert(t, gpuIdentity, n.cert(t, gpuRoot, nil, nil), nil)
			a.Signer = n.newGPU([32]byte{}).responder(t, issuer, edit)
			a.Delegates = []*nvforge.CA{a.Signer}
		}
	}
	return []nvidiaCase{
		device("V21", "revoked", "NVIDIA revoked an intermediate for good.", attest.CodeRevoked, func(a *nvforge.Answer) { a.Status, a.Reason = 1, 1 }),
		device("V21", "revoked-no-reason", "Revoked, and no reason given.", attest.CodeRevoked, func(a *nvforge.Answer) { a.Status = 1 }),
		device("V21", "unknown", "The responder does not know the certificate.", "ocsp_unknown", func(a *nvforge.Answer) { a.Status = 2 }),
		gpuRefuse("V21", "rim-signer-revoked", "NVIDIA revoked the signer of a manifest.", specOCSP, "hardware.driver_rim_ocsp", attest.CodeRevoked,
			EditOCSP(rimSigner, func(a *nvforge.Answer) { a.Status, a.Reason = 1, 1 })),
		gpuAccept("V21", "signed-by-issuer", "A response that the issuer itself signed, named by its key.", specOCSP, EditOCSP(gpuICA, func(a *nvforge.Answer) {
			a.Signer, a.Delegates, a.ByKey = n.cert(t, gpuIdentity, n.cert(t, gpuRoot, nil, nil), nil), nil, true
		})),
		gpuAccept("V21", "sha384-id", "A response that names the issuer by SHA-384.", specOCSP, EditOCSP(gpuICA, func(a *nvforge.Answer) { a.SHA384 = true })),
		dated("stale", "A response past its next update.", "stale_ocsp", func(a *nvforge.Answer) { a.NextUpdate = Epoch().Add(-time.Second) }),
		dated("future", "A response from the future.", "bad_ocsp", func(a *nvforge.Answer) { a.ThisUpdate = Epoch().Add(time.Second) }),
		dated("responder-expired", "The responder's certificate has expired.", "stale_ocsp", delegate(func(c *nvforge.Cert) { c.NotAfter = Epoch().Add(-time.Second) })),
		device("V22", "no-next-update", "A response that never ends.", "bad_ocsp", func(a *nvforge.Answer) { a.NextUpdate = time.Time{} }),
		device("V23", "other-certificate", "A response about another certificate.", "bad_ocsp", func(a *nvforge.Answer) {
			other := *a.Cert
			other.SerialNumber = otherSerial()
			a.Cert = &other
		}),
		device("V23", "other-issuer", "A response about a certificate of the same number by another issuer.", "bad_ocsp", func(a *nvforge.Answer) { a.Issuer = a.Cert }),
		device("V23", "two-answers", "A response that answers twice.", attest.CodeMalformed, func(a *nvforge.Answer) { a.Times = 2 }),
		device("V23", "error", "An error instead of an answer.", attest.CodeMalformed, func(a *nvforge.Answer) { a.Code = 6 }),
		device("V23", "critical-extension", "A critical extension that is not understood.", attest.CodeMalformed, func(a *nvforge.Answer) { a.Critical = true }),
		device("V24", "responder-without-purpose", "A responder whose certificate is not for OCSP: any device could answer for itself.", "bad_ocsp", delegate(func(c *nvforge.Cert) { c.Responder = false })),
		device("V24", "responder-is-ca", "A responder that is a CA.", "bad_ocsp", delegate(func(c *nvforge.Cert) {
			c.CA = true
			c.Edit = func(x *x509.Certificate) { x.KeyUsage |= x509.KeyUsageDigitalSignature }
		})),
		device("V24", "responder-p521", "A responder with a key on P-521.", "bad_ocsp", delegate(func(c *nvforge.Cert) { c.Curve = elliptic.P521() })),
		device("V24", "responder-of-other-ca", "A responder of another issuer.", "bad_ocsp", func(a *nvforge.Answer) {
			a.Signer = n.newGPU([32]byte{}).responder(t, n.cert(t, gpuRoot, nil, nil), nil)
			a.Delegates = []*nvforge.CA{a.Signer}
		}),
		device("V24", "responder-by-stranger", "A responder with the right names under somebody else's key.", "bad_ocsp", func(a *nvforge.Answer) {
			s := StrangerNVIDIA()
			a.Signer = s.newGPU([32]byte{}).responder(t, s.cert(t, gpuIdentity, s.cert(t, gpuRoot, nil, nil), nil), nil)
			a.Delegates = []*nvforge.CA{a.Signer}
		}),
		device("V24", "responder-not-there", "A response without the responder's certificate.", "bad_ocsp", func(a *nvforge.Answer) { a.Delegates = nil }),
		device("V24", "signature", "A response that was changed after it was signed.", "bad_ocsp", func(a *nvforge.Answer) {
			stranger := StrangerNVIDIA().cert(t, "anybody", nil, nil)
			a.Signer = &nvforge.CA{Cert: a.Signer.Cert, Key: stranger.Key}
		}),
	}
}

// gpuTrust is a trust file for a machine with GPUs.
func gpuTrust(rules string) string {
	return fmt.Sprintf("version: 1\naccept:\n  - name: box\n    sev-snp: {measurement: %x}\n    policy: any\nhardware:\n  products: [Genoa]\n%s", Measurement(), rules)
}

func gpuAppraised() []nvidiaCase {
	const section = "  gpu: {count: %d, architectures: [HOPPER], driver: [999.01.02], vbios: [96.00.DD.00.01]%s}\n"
	one := func(more string) string { return gpuTrust(fmt.Sprintf(section, 1, more)) }
	judge := func(row, name, about, check string, code attest.Code, trust string, parts ...[]GPUOption) nvidiaCase {
		return nvidiaCase{row: row, name: name, about: about, spec: specRIM, stage: StageAppraise, check: check, code: code, trust: trust, parts: parts}
	}
	gpu := func(opts ...GPUOption) []GPUOption { return append([]GPUOption{}, opts...) }
	second := GPUSerial("48B02D0000000002")
	hold := EditOCSP(gpuIdentity, func(a *nvforge.Answer) { a.Status, a.Reason = 1, 6 })
	rimHold := EditOCSP(rimL2, func(a *nvforge.Answer) { a.Status, a.Reason = 1, 6 })
	other := bytes.Repeat([]byte{7}, 48)
	return []nvidiaCase{
		judge("V25", "measurement-differs", "A measurement that the driver's manifest does not know.", "hardware.part2_measurements", "gpu_measurement", one(""), gpu(GPUMeasures(12, other))),
		judge("V25", "vbios-measurement-differs", "A measurement that the VBIOS manifest does not know.", "hardware.part2_measurements", "gpu_measurement", one(""), gpu(GPUMeasures(3, other))),
		judge("V25", "measurement-missing", "The device reports fewer measurements than the manifests list.", "hardware.part2_measurements", "gpu_measurement", one(""),
			gpu(SetGPUField(12, make([]byte, 4)), EditGPUReport(func(r *nvforge.Report) { r.Blocks = r.Blocks[:38] }))),
		judge("V25", "nvdec-on", "Measurement 35 differs while NVDEC0 is on.", "hardware.part2_measurements", "gpu_measurement", one(""), gpu(GPUMeasures(35, other))),
		judge("V26", "manifests-missing", "No manifest was given, so nothing was compared.", "hardware.part2_measurements", "no_rim", one(""), gpu(NoRIMs())),
		judge("V26", "driver-manifest-missing", "The driver's manifest was withheld.", "hardware.part2_measurements", "no_rim", one(""), gpu(func(g *GPU) { g.Driver = nil })),
		judge("V26", "allowed-missing-differs", "Manifests may be missing, and the one that is there does not know a measurement.", "hardware.part2_measurements", "gpu_measurement",
			one(", measurements: allow_missing"), gpu(GPUMeasures(12, other))),
		judge("V27", "hold", "NVIDIA suspended a certificate of the device.", "hardware.part2_revocation", "certificate_hold", one(""), gpu(hold)),
		judge("V27", "hold-of-manifest", "NVIDIA suspended a certificate behind a manifest.", "hardware.part2_revocation", "certificate_hold", one(""), gpu(rimHold)),
		judge("V27", "hold-where-missing-is-allowed", "A hold is worse than no answer.", "hardware.part2_revocation", "certificate_hold", one(", revocation: allow_missing"), gpu(hold)),
		judge("V28", "not-asked", "No OCSP response was given.", "hardware.part2_revocation", "no_ocsp", one(""), gpu(NoOCSP())),
		judge("V28", "not-asked-hold-allowed", "A hold may be, but no answer at all may not.", "hardware.part2_revocation", "no_ocsp", one(", revocation: allow_hold"), gpu(NoOCSP())),
		judge("V29", "other-driver", "A driver that the trust file does not list.", "hardware.part2_driver", "gpu_version_not_allowed",
			gpuTrust("  gpu: {count: 1, architectures: [any], driver: [\"998.00\"], vbios: [any]}\n"), gpu()),
		judge("V29", "other-vbios", "A VBIOS that the trust file does not list.", "hardware.part2_vbios", "gpu_version_not_allowed",
			gpuTrust("  gpu: {count: 1, architectures: [any], driver: [any], vbios: [96.00.00.00.01]}\n"), gpu()),
		judge("V29", "other-architecture", "A GPU of an architecture that the trust file does not list.", "hardware.part2_architecture", "architecture_not_allowed",
			gpuTrust("  gpu: {count: 1, architectures: [BLACKWELL], driver: [any], vbios: [any]}\n"), gpu()),
		judge("V30", "gpu-missing", "One GPU where the trust file asks for two.", "hardware.gpus", "part_missing", gpuTrust(fmt.Sprintf(section, 2, "")), gpu()),
		judge("V30", "gpu-too-many", "Two GPUs where the trust file asks for one.", "hardware.gpus", "part_not_allowed", one(""), gpu(), gpu(second)),
		judge("V30", "no-rules", "A GPU, and a trust file that says nothing of any.", "hardware.parts", "part_not_allowed", gpuTrust(""), gpu()),
		judge("V30", "switch-missing", "No switch where the trust file asks for one.", "hardware.switches", "part_missing", one(", switches: 1"), gpu()),
		judge("V30", "switch-for-gpu", "A switch in the place of a GPU.", "hardware.gpus", "part_missing", one(""), gpu(Switch())),
		{row: "V31", name: "same-gpu-twice", about: "One GPU that answered twice, shown as two.", spec: specDICE, stage: StageVerify,
			check: "hardware.part3_device", code: attest.CodeAmbiguous, parts: [][]GPUOption{gpu(), gpu(SetGPUField(14, []byte{9, 9, 9, 9}))}},
		{row: "V31", name: "two-gpus", about: "Two GPUs of one machine.", spec: specDICE, stage: StageNone, parts: [][]GPUOption{gpu(), gpu(second)}},
		{row: "H06", name: "place-not-proven", about: "Genuine devices that signed the right nonce: true, and that they sit in this machine is shown as not proven.", spec: specSPDM,
			stage: StageNone, parts: [][]GPUOption{gpu()}},
	}
}
