package inspect

import (
	"fmt"
)

const (
	specQuote  = "Intel TDX DCAP Quoting Library API, A.3, and SGX ECDSA QuoteLib Reference, appendix A"
	specReport = "Intel SDM vol. 3D, 38.15, REPORT"
	specTD     = "Intel TDX Module 1.5 ABI, TDREPORT_STRUCT and TDINFO_STRUCT; Quoting Library API, A.3.2"
)

// quote shows a quote, version 3 to 5.
func quote(title string, data []byte) []Section {
	c := read(title+", header", specQuote, data)
	version := le(c.field(row{2, "version", number, "3 SGX, 4 SGX or TDX, 5 either with a body descriptor"}))
	c.field(row{2, "attestation_key_type", named(number, le, map[uint64]string{2: "ECDSA P-256", 3: "ECDSA P-384"}), ""})
	tee := c.field(row{4, "tee_type", named(word, le, map[uint64]string{0: "SGX", 0x81: "TDX"}), "in version 3 reserved"})
	if version == 3 {
		c.rows(row{2, "qe_svn", number, "security version of the quoting enclave"}, row{2, "pce_svn", number, "of the provisioning certification enclave"})
	} else {
		c.field(row{4, "reserved", reserved, ""})
	}
	c.rows(
		row{16, "qe_vendor_id", inHex, "939a7233f79c4ca9940a0db3957f0607 is Intel"},
		row{20, "user_data", inHex, "chosen by the quoting enclave; the first 16 bytes are the platform's id (QE ID)"},
	)
	td := le(tee) == 0x81
	size, tdVersion15 := 384, false
	if td {
		size = 584
	}
	if version == 5 {
		kind := le(c.field(row{2, "body_type", named(number, le, map[uint64]string{1: "SGX report", 2: "TD report 1.0", 3: "TD report 1.5"}), ""}))
		size = int(le(c.field(row{4, "body_size", number, ""})))
		td, tdVersion15 = kind != 1, kind == 3
	}
	body := c.take(size, "body")
	signed := c.at
	length := int(le(c.take(4, "signature size")))
	signature := c.take(length, "signature data")
	rest := c.data[min(c.at, len(c.data)):]
	head := c.s
	head.Size = signed
	if len(rest) > 0 && c.ok() {
		head.Problem = fmt.Sprintf("%d bytes after the signature data: %s", len(rest), reserved(rest[:min(len(rest), 64)]))
	}
	if !c.ok() {
		return []Section{head}
	}
	out := []Section{head}
	if td {
		out = append(out, tdBody(title+", TD report", body, tdVersion15))
	} else {
		out = append(out, enclaveReport(title+", enclave report", body))
	}
	return append(out, quoteSignature(title, signature, version)...)
}

var sgxAttributes = flags(bit{0, "INIT"}, bit{1, "DEBUG"}, bit{2, "MODE64BIT"}, bit{4, "PROVISION_KEY"}, bit{5, "EINITTOKEN_KEY"}, bit{6, "CET"}, bit{7, "KSS"}, bit{10, "AEX_NOTIFY"})

// enclaveReport shows an SGX report body, 384 bytes.
func enclaveReport(title string, data []byte) Section {
	c := read(title, specReport, data)
	c.rows(
		row{16, "CPUSVN", inHex, "security version of the processor and its microcode"},
		row{4, "MISCSELECT", word, "what is saved at an exception"},
		row{12, "reserved", reserved, ""},
		row{16, "ISVEXTPRODID", inHex, "extended product id (KSS)"},
		row{8, "ATTRIBUTES.FLAGS", sgxAttributes, "DEBUG lets the host read the enclave"},
		row{8, "ATTRIBUTES.XFRM", word, "processor state that the enclave may use"},
		row{32, "MRENCLAVE", inHex, "measurement of the enclave"},
		row{32, "reserved", reserved, ""},
		row{32, "MRSIGNER", inHex, "SHA-256 of the key that signed the enclave"},
		row{32, "reserved", reserved, ""},
		row{64, "CONFIGID", inHex, "bound at the enclave's start (KSS); a box: its policy"},
		row{2, "ISVPRODID", number, "product id, given by the signer"},
		row{2, "ISVSVN", number, "security version, given by the signer"},
		row{2, "CONFIGSVN", number, "of CONFIGID"},
		row{42, "reserved", reserved, ""},
		row{16, "ISVFAMILYID", inHex, "family id (KSS)"},
		row{64, "REPORTDATA", inHex, "what the enclave asked to have signed; a box: SHA-512 of its statement"},
	)
	return c.section()
}

var tdAttributes = flags(bit{0, "DEBUG"}, bit{4, "HGS_PLUS_PROF"}, bit{5, "PERF_PROF"}, bit{6, "PMT_PROF"}, bit{16, "ICSSD"}, bit{27, "LASS"}, bit{28, "SEPT_VE_DISABLE"},
	bit{29, "MIGRATABLE"}, bit{30, "PKS"}, bit{31, "KL"}, bit{62, "TPA"}, bit{63, "PERFMON"})

// tdBody shows a TD report as it is in a quote.
func tdBody(title string, data []byte, v15 bool) Section {
	c := read(title, specTD, data)
	c.rows(
		row{16, "TEE_TCB_SVN", inHex, "versions of the TDX module and its loader"},
		row{48, "MRSEAM", inHex, "measurement of the TDX module"},
		row{48, "MRSIGNERSEAM", inHex, "signer of the TDX module; zero is Intel"},
		row{8, "SEAMATTRIBUTES", word, "of the TDX module; zero for a production module"},
		row{8, "TDATTRIBUTES", tdAttributes, "DEBUG lets the host read the TD, MIGRATABLE lets a service TD export it"},
		row{8, "XFAM", word, "processor state that the TD may use"},
		row{48, "MRTD", inHex, "measurement of what the TD was started with: its firmware"},
		row{48, "MRCONFIGID", inHex, "bound at launch; a box: its policy"},
		row{48, "MROWNER", inHex, "owner, bound at launch"},
		row{48, "MROWNERCONFIG", inHex, "the owner's configuration, bound at launch"},
		row{48, "RTMR0", inHex, "run-time measurement: firmware configuration"},
		row{48, "RTMR1", inHex, "run-time measurement: boot loader and kernel"},
		row{48, "RTMR2", inHex, "run-time measurement: command line, initrd, OS"},
		row{48, "RTMR3", inHex, "run-time measurement: the application's"},
		row{64, "REPORTDATA", inHex, "what the TD asked to have signed; a box: SHA-512 of its statement"},
	)
	if v15 {
		c.rows(row{16, "TEE_TCB_SVN2", inHex, "of the module that runs now, if it was updated under the TD"},
			row{48, "MRSERVICETD", inHex, "measurement of bound service TDs; zero if there are none"})
	}
	return c.section()
}

// tdReport shows a TDREPORT as the processor makes it, 1024 bytes: Azure's
// paravisor has one.
func tdReport(title string, data []byte) Section {
	c := read(title, specTD, data)
	c.rows(
		row{4, "REPORTTYPE", inHex, "81 00 00 00 is TDX"},
		row{12, "reserved", reserved, ""},
		row{16, "CPUSVN", inHex, "security version of the processor"},
		row{48, "TEE_TCB_INFO_HASH", inHex, "SHA-384 of the TCB info below"},
		row{48, "TEE_INFO_HASH", inHex, "SHA-384 of the TD info below"},
		row{64, "REPORTDATA", inHex, "the first 32 bytes: SHA-256 of the paravisor's runtime data"},
		row{32, "reserved", reserved, ""},
		row{32, "MAC", inHex, "good on this processor only: others need the quote"},
		row{239, "TEE_TCB_INFO", inHex, "the TDX module"},
		row{17, "reserved", reserved, ""},
		row{8, "TDATTRIBUTES", tdAttributes, "DEBUG lets the host read the TD"},
		row{8, "XFAM", word, "processor state that the TD may use"},
		row{48, "MRTD", inHex, "measurement of what the TD was started with: the paravisor"},
		row{48, "MRCONFIGID", inHex, ""}, row{48, "MROWNER", inHex, ""}, row{48, "MROWNERCONFIG", inHex, ""},
		row{48, "RTMR0", inHex, ""}, row{48, "RTMR1", inHex, ""}, row{48, "RTMR2", inHex, ""}, row{48, "RTMR3", inHex, ""},
		row{48, "SERVTD_HASH", inHex, "bound service TDs"},
		row{64, "reserved", reserved, ""},
	)
	return c.section()
}

func quoteSignature(title string, data []byte, version uint64) []Section {
	c := read(title+", signature", specQuote, data)
	c.rows(row{64, "signature", inHex, "r and s over header and body, by the attestation key"}, row{64, "attestation_key", inHex, "ECDSA P-256, x and y"})
	if version >= 4 {
		kind := le(c.field(row{2, "certification_data_type", certType, ""}))
		size := int(le(c.field(row{4, "certification_data_size", number, ""})))
		if kind != 6 {
			return append([]Section{c.s}, certification(title, kind, c.take(size, "certification data"))...)
		}
	}
	report := c.take(384, "QE report")
	c.rows(row{64, "qe_report_signature", inHex, "r and s over the QE report, by the PCK"})
	size := int(le(c.field(row{2, "qe_auth_data_size", number, ""})))
	c.field(row{size, "qe_auth_data", inHex, "the QE report's data are SHA-256 of attestation key and this"})
	kind := le(c.field(row{2, "certification_data_type", certType, ""}))
	size = int(le(c.field(row{4, "certification_data_size", number, ""})))
	cert := c.take(size, "certification data")
	if !c.ok() {
		return []Section{c.s}
	}
	out := []Section{c.section(), enclaveReport(title+", report of the quoting enclave", report)}
	return append(out, certification(title, kind, cert)...)
}

var certType = named(number, le, map[uint64]string{
	1: "PPID in clear", 2: "PPID, RSA-2048", 3: "PPID, RSA-3072", 4: "PCK certificate", 5: "PCK certificate chain", 6: "QE report", 7: "platform manifest",
})

func certification(title string, kind uint64, data []byte) []Section {
	if kind == 5 {
		return certificates(title+", PCK chain", data)
	}
	return []Section{one(title+", certification data", specQuote, len(data), Field{Size: len(data), Name: "data", Value: inHex(data), Meaning: "names the platform without its certificate"})}
}
