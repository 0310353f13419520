package inspect

import (
	"fmt"

	"github.com/blindbox/blindbox/attest/form"
)

const (
	specTPM   = "TCG TPM 2.0 Library, Part 2: Structures"
	specForm  = "docs/rfc/002, package attest/form"
	specAzure = "Microsoft, Azure confidential VMs: guest attestation, HCL report"
)

var tpmAlg = named(wordBE, be, map[uint64]string{
	0x01: "RSA", 0x04: "SHA-1", 0x0b: "SHA-256", 0x0c: "SHA-384", 0x0d: "SHA-512", 0x10: "none", 0x14: "RSASSA", 0x16: "RSAPSS", 0x18: "ECDSA", 0x23: "ECC",
})

func tpmForm(data []byte) []Section {
	q, err := form.ParseTPM(data)
	if err != nil {
		return []Section{{Title: "tpm evidence", Spec: specForm, Size: len(data), Problem: err.Error()}}
	}
	return tpmParts(q)
}

func tpmParts(q form.TPM) []Section {
	pcrs := Section{Title: "PCR values", Spec: specForm, Fields: []Field{}}
	for _, p := range q.PCRs {
		pcrs.Size += len(p.Value)
		pcrs.Fields = append(pcrs.Fields, Field{Offset: -1, Size: len(p.Value), Name: fmt.Sprintf("PCR%d", p.Index), Value: inHex(p.Value), Meaning: pcrMeanings[p.Index]})
	}
	pcrs.Title += fmt.Sprintf(", bank %s", tpmAlg([]byte{byte(q.Bank >> 8), byte(q.Bank)}))
	return []Section{tpmAttest(q.Quote), tpmSignature(q.Signature), tpmPublic(q.AKPublic), pcrs}
}

// pcrMeanings are what a PC puts into its registers (TCG PC Client Platform
// Firmware Profile, 3.3.4; UAPI group, Linux TPM PCR registry).
var pcrMeanings = map[uint8]string{
	0: "firmware", 1: "firmware's configuration", 2: "option ROMs", 3: "their configuration", 4: "boot loader, kernel image", 5: "partition table",
	6: "the maker's", 7: "secure boot's state and keys", 8: "boot loader: commands", 9: "boot loader: files", 10: "IMA",
	11: "unified kernel image", 12: "kernel command line, credentials", 13: "system extensions", 14: "shim's keys", 15: "the system's identity; a box: its policy",
	16: "for debugging; anyone can reset it", 23: "the application's; anyone can reset it",
}

// tpmAttest shows a TPMS_ATTEST.
func tpmAttest(data []byte) Section {
	c := read("TPMS_ATTEST, as signed", specTPM+", 10.12.12", data)
	c.rows(
		row{4, "magic", wordBE, "0xff544347: the TPM itself wrote what follows"},
		row{2, "type", named(wordBE, be, map[uint64]string{0x8018: "quote", 0x8017: "certify", 0x8019: "time", 0x8014: "NV"}), ""},
	)
	c.sizedBE("qualifiedSigner", "name of the key that signed")
	c.sizedBE("extraData", "what was asked to be signed; a box: the nonce of its statement")
	c.rows(
		row{8, "clockInfo.clock", numberBE, "milliseconds that the TPM ran"},
		row{4, "clockInfo.resetCount", numberBE, "starts of the machine"},
		row{4, "clockInfo.restartCount", numberBE, "resumptions since"},
		row{1, "clockInfo.safe", numberBE, "1: the clock did not go back"},
		row{8, "firmwareVersion", wordBE, "the maker's"},
	)
	for range be(c.field(row{4, "pcrSelect.count", numberBE, "banks"})) {
		c.field(row{2, "pcrSelect.hash", tpmAlg, ""})
		n := int(be(c.take(1, "sizeofSelect")))
		c.field(row{n, "pcrSelect.registers", showSelection, "which registers"})
		if !c.ok() {
			break
		}
	}
	c.sizedBE("pcrDigest", "hash over the registers' values, in order")
	return c.section()
}

func showSelection(v []byte) string {
	var on []int
	for i := range len(v) * 8 {
		if v[i/8]>>(i%8)&1 == 1 {
			on = append(on, i)
		}
	}
	return fmt.Sprint(on)
}

// sizedBE shows a TPM2B.
func (c *cursor) sizedBE(name, meaning string) {
	n := int(be(c.take(2, name)))
	c.field(row{n, name, inHex, meaning})
}

func tpmSignature(data []byte) Section {
	c := read("TPMT_SIGNATURE", specTPM+", 11.3.4", data)
	alg := be(c.field(row{2, "sigAlg", tpmAlg, ""}))
	c.field(row{2, "hash", tpmAlg, ""})
	if alg == 0x18 {
		c.sizedBE("r", "")
		c.sizedBE("s", "")
	} else {
		c.sizedBE("sig", "")
	}
	return c.section()
}

func tpmPublic(data []byte) Section {
	c := read("TPMT_PUBLIC of the attestation key", specTPM+", 12.2.4", data)
	kind := be(c.field(row{2, "type", tpmAlg, ""}))
	c.field(row{2, "nameAlg", tpmAlg, ""})
	names := []bit{{1, "fixedTPM"}, {2, "stClear"}, {4, "fixedParent"}, {5, "sensitiveDataOrigin"}, {6, "userWithAuth"}, {7, "adminWithPolicy"},
		{10, "noDA"}, {11, "encryptedDuplication"}, {16, "restricted"}, {17, "decrypt"}, {18, "sign"}}
	c.field(row{4, "objectAttributes", func(v []byte) string { return flags(names...)(reversed(v)) },
		"an attestation key is fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign (8.3)"})
	c.sizedBE("authPolicy", "")
	c.field(row{2, "parameters.symmetric", tpmAlg, ""})
	if scheme := be(c.field(row{2, "parameters.scheme", tpmAlg, ""})); scheme != 0x10 {
		c.field(row{2, "parameters.scheme.hash", tpmAlg, ""})
	}
	if kind == 0x23 {
		c.field(row{2, "parameters.curveID", named(wordBE, be, map[uint64]string{3: "P-256", 4: "P-384", 5: "P-521"}), ""})
		c.field(row{2, "parameters.kdf", tpmAlg, ""})
		c.sizedBE("unique.x", "")
		c.sizedBE("unique.y", "")
		return c.section()
	}
	c.rows(row{2, "parameters.keyBits", numberBE, ""}, row{4, "parameters.exponent", numberBE, "0 is 65537"})
	c.sizedBE("unique.n", "")
	return c.section()
}

func reversed(v []byte) []byte {
	out := make([]byte, len(v))
	for i, b := range v {
		out[len(v)-1-i] = b
	}
	return out
}

func azureForm(data []byte) []Section {
	a, err := form.ParseAzure(data)
	if err != nil {
		return []Section{{Title: "Azure evidence", Spec: specForm, Size: len(data), Problem: err.Error()}}
	}
	out := hclReport(a.HCLReport)
	if len(a.TDQuote) > 0 {
		out = append(out, quote("TD quote of the paravisor", a.TDQuote)...)
	}
	return append(out, within("vTPM", tpmParts(a.TPM))...)
}

// hclReport shows the paravisor's report.
func hclReport(data []byte) []Section {
	c := read("HCL report, header", specAzure, data)
	c.rows(
		row{4, "signature", text, "HCLA"}, row{4, "version", number, ""}, row{4, "report_size", number, ""},
		row{4, "request_type", number, ""}, row{4, "status", number, ""}, row{12, "reserved", reserved, ""},
	)
	hardware := c.take(1184, "hardware report")
	c.field(row{4, "runtime.size", number, "of the runtime data with their head"})
	c.field(row{4, "runtime.version", number, ""})
	kind := le(c.field(row{4, "runtime.report_type", named(number, le, map[uint64]string{2: "SEV-SNP", 4: "TDX"}), "of the hardware report"}))
	c.field(row{4, "runtime.hash_type", named(number, le, map[uint64]string{1: "SHA-256", 2: "SHA-384", 3: "SHA-512"}), "of the runtime data, in the hardware report's report data"})
	size := int(le(c.field(row{4, "runtime.data_size", number, ""})))
	doc := c.take(size, "runtime data")
	out := []Section{c.s}
	if !c.ok() {
		return out
	}
	out[0].Size = len(data)
	if kind == 4 {
		out = append(out, tdReport("HCL report, TDREPORT", hardware[:1024]))
	} else {
		out = append(out, snpReport("HCL report, SNP report", hardware))
	}
	return append(out, jsonText("HCL report, runtime data", specAzure, doc, runtimeMeanings))
}

var runtimeMeanings = map[string]string{
	"keys": "HCLAkPub signs the vTPM's quotes, HCLEkPub is its endorsement key", "vm-configuration": "what the host was told to start", "user-data": "given by the guest",
	"secure-boot": "whether the vTPM's firmware checks signatures", "console-enabled": "whether the host has a console",
}
