package inspect

import (
	"fmt"

	"github.com/blindbox/blindbox/attest/form"
)

const specSPDM = "DMTF DSP0274 1.1, 10.11, GET_MEASUREMENTS; NVIDIA attestation SDK"

func gpuForm(title string, data []byte) []Section {
	g, err := form.ParseGPU(data)
	if err != nil {
		return []Section{{Title: title + " evidence", Spec: specForm, Size: len(data), Problem: err.Error()}}
	}
	return append([]Section{spdm(title+" report", g.Report)}, certificates(title+", device chain", g.Chain)...)
}

// spdm shows a request and its response.
func spdm(title string, data []byte) Section {
	c := read(title, specSPDM, data)
	c.rows(
		row{1, "request.SPDMVersion", word, ""}, row{1, "request.code", word, "0xe0 GET_MEASUREMENTS"},
		row{1, "request.param1", word, "bit 0: a signature is asked for"}, row{1, "request.param2", word, "0xff: all measurements"},
		row{32, "request.nonce", inHex, "what was asked to be signed; a box: the nonce of its statement"},
		row{1, "request.slotID", word, ""},
		row{1, "response.SPDMVersion", word, ""}, row{1, "response.code", word, "0x60 MEASUREMENTS"},
		row{1, "response.param1", word, ""}, row{1, "response.param2", word, ""},
	)
	blocks := le(c.field(row{1, "response.numberOfBlocks", number, ""}))
	length := int(le(c.field(row{3, "response.measurementRecordLength", number, "bytes"})))
	end := c.at + length
	for range blocks {
		c.measurement()
		if !c.ok() {
			break
		}
	}
	if c.ok() && c.at != end {
		c.fail("the measurements end at %#x, their record at %#x", c.at, end)
	}
	c.field(row{32, "response.nonce", inHex, "chosen by the device"})
	opaque := int(le(c.field(row{2, "response.opaqueLength", number, ""})))
	c.opaque(opaque)
	c.field(row{96, "response.signature", inHex, "r and s, ECDSA P-384, over everything before"})
	return c.section()
}

// measurement shows one measurement block (DSP0274, 10.11.1).
func (c *cursor) measurement() {
	at := c.at
	index := le(c.take(1, "measurement"))
	spec, size := c.take(1, "measurement specification"), int(le(c.take(2, "measurement size")))
	name := fmt.Sprintf("measurement %d", index)
	body := c.take(size, name)
	if !c.ok() {
		return
	}
	f := Field{Offset: at, Size: c.at - at, Name: name, Value: inHex(body)}
	if index == 1 {
		f.Meaning = "each is compared with the reference manifests (RIM) of driver and VBIOS"
	}
	if spec[0] == 1 && len(body) >= 3 && int(le(body[1:3])) == len(body)-3 {
		f.Value = fmt.Sprintf("type %#02x %s", body[0], inHex(body[3:]))
	}
	c.add(f)
}

// opaqueNames are the types in NVIDIA's opaque data that have a published name.
var opaqueNames = map[uint64]string{
	1: "CERT_ISSUER_NAME", 2: "AUTHORITY_KEY_IDENTIFIER", 3: "DRIVER_VERSION", 4: "GPU_INFO", 5: "SKU", 6: "VBIOS_VERSION", 7: "MANUFACTURER_ID", 8: "TAMPER_DETECTION",
	9: "SMC", 10: "VPR", 11: "NVDEC0_STATUS", 12: "MSRSCNT", 13: "CPRINFO", 14: "BOARD_ID", 15: "CHIP_SKU", 16: "CHIP_SKU_MOD", 17: "PROJECT", 18: "PROJECT_SKU", 19: "PROJECT_SKU_MOD",
	20: "FWID", 21: "PROTECTED_PCIE_STATUS", 22: "SWITCH_PDI", 23: "FLOORSWEPT_PORTS", 24: "POSITION_ID", 25: "LOCK_SWITCH_STATUS", 26: "GPU_LINK_CONN", 27: "SYS_ENABLE_STATUS", 28: "OPAQUE_DATA_VERSION", 29: "CHIP_INFO",
}

func (c *cursor) opaque(size int) {
	end := c.at + size
	for c.ok() && c.at < end {
		at := c.at
		kind, n := le(c.take(2, "opaque type")), int(le(c.take(2, "opaque size")))
		body := c.take(n, "opaque data")
		if !c.ok() {
			return
		}
		name := opaqueNames[kind]
		if name == "" {
			name = fmt.Sprintf("type %d", kind)
		}
		value := inHex(body)
		if printable(body) {
			value += " " + text(body)
		}
		c.add(Field{Offset: at, Size: c.at - at, Name: "opaque." + name, Value: value})
	}
	if c.ok() && c.at != end {
		c.fail("the opaque data end at %#x, expected %#x", c.at, end)
	}
}

func printable(v []byte) bool {
	n := 0
	for _, b := range v {
		if b != 0 && (b < ' ' || b > '~') {
			return false
		}
		if b != 0 {
			n++
		}
	}
	return n > 3
}

func composite(data []byte) []Section {
	parts, err := form.ParseComposite(data)
	if err != nil {
		return []Section{{Title: "composite evidence", Spec: specForm, Size: len(data), Problem: err.Error()}}
	}
	var out []Section
	for i, p := range parts {
		out = append(out, within(fmt.Sprintf("part %d of %d", i+1, len(parts)), Evidence(p))...)
	}
	return out
}
