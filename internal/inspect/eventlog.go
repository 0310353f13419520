package inspect

import (
	"bytes"
	"fmt"
)

const specLog = "TCG PC Client Platform Firmware Profile 1.06, 10, event log; UEFI 2.10, 38, CC event log"

// eventNames are the types of events (PFP, 10.4.1).
var eventNames = map[uint64]string{
	0x00: "EV_PREBOOT_CERT", 0x01: "EV_POST_CODE", 0x03: "EV_NO_ACTION", 0x04: "EV_SEPARATOR", 0x05: "EV_ACTION", 0x06: "EV_EVENT_TAG", 0x07: "EV_S_CRTM_CONTENTS",
	0x08: "EV_S_CRTM_VERSION", 0x09: "EV_CPU_MICROCODE", 0x0a: "EV_PLATFORM_CONFIG_FLAGS", 0x0b: "EV_TABLE_OF_DEVICES", 0x0d: "EV_IPL", 0x0e: "EV_IPL_PARTITION_DATA",
	0x0f: "EV_NONHOST_CODE", 0x10: "EV_NONHOST_CONFIG", 0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG", 0x80000002: "EV_EFI_VARIABLE_BOOT", 0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
	0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER", 0x80000006: "EV_EFI_GPT_EVENT", 0x80000007: "EV_EFI_ACTION", 0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB", 0x80000009: "EV_EFI_HANDOFF_TABLES",
	0x8000000a: "EV_EFI_PLATFORM_FIRMWARE_BLOB2", 0x8000000b: "EV_EFI_HANDOFF_TABLES2", 0x8000000c: "EV_EFI_VARIABLE_BOOT2", 0x800000e0: "EV_EFI_VARIABLE_AUTHORITY",
}

var digestSizes = map[uint64]int{0x04: 20, 0x0b: 32, 0x0c: 48, 0x0d: 64}

// isEventLog reports whether data begins as a crypto agile log does.
func isEventLog(data []byte) bool {
	return len(data) > 48 && bytes.HasPrefix(data[32:], []byte("Spec ID Event03\x00"))
}

// eventLog shows a crypto agile log.
func eventLog(title string, data []byte) Section {
	c := read(title, specLog, data)
	c.rows(
		row{4, "header.register", number, "0 in a TPM's log"}, row{4, "header.type", named(word, le, eventNames), "EV_NO_ACTION"},
		row{20, "header.digest", inHex, "zero"},
	)
	c.field(row{int(le(c.take(4, "header.size"))), "header.event", inHex, `"Spec ID Event03": the algorithms of this log`})
	end := len(c.data) - padding(c.data)
	for i := 0; c.ok() && c.at < len(c.data); i++ {
		if c.at >= end {
			c.note("padding", fmt.Sprintf("%d bytes", len(c.data)-c.at), "the log's area is larger than the log")
			c.at = len(c.data)
			break
		}
		c.event(i)
	}
	return c.section()
}

// padding returns how many bytes at the end are one value, as in a table that is
// larger than its log.
func padding(v []byte) int {
	n := 0
	for i := len(v) - 1; i >= 0 && (v[i] == 0 || v[i] == 0xff) && v[i] == v[len(v)-1]; i-- {
		n++
	}
	return n
}

// maxDigests of one event: a log has one for each bank, and few TPMs have four.
const maxDigests = 16

func (c *cursor) event(i int) {
	at := c.at
	register, kind, count := le(c.take(4, "register")), c.take(4, "event type"), le(c.take(4, "digest count"))
	if count > maxDigests {
		c.fail("event %d has %d digests, expected at most %d", i, count, maxDigests)
		return
	}
	digests := ""
	for range count {
		alg := le(c.take(2, "digest algorithm"))
		size, known := digestSizes[alg]
		if !known {
			c.fail("event %d has a digest of algorithm %#x", i, alg)
		}
		if !c.ok() {
			return
		}
		digests += fmt.Sprintf(" %#x:%x", alg, c.take(size, "digest"))
	}
	body := c.take(int(le(c.take(4, "event size"))), "event data")
	if !c.ok() {
		return
	}
	c.add(Field{Offset: at, Size: c.at - at, Name: fmt.Sprintf("event %d", i), Value: fmt.Sprintf("register %d %s%s", register, named(word, le, eventNames)(kind), digests)})
	if len(body) > 0 {
		value := inHex(body)
		if printable(body) {
			value = text(body)
		}
		f := Field{Offset: c.at - len(body), Size: len(body), Name: fmt.Sprintf("event %d data", i), Value: value}
		if i == 0 {
			f.Meaning = "nobody signed the log: data count as far as their hash is the digest"
		}
		c.add(f)
	}
}
