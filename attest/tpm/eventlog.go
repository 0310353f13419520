package tpm

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/attest/internal/tcg"
)

// explained reports whether a firmware's log has to lead to the register. PCR 10,
// 11 and 15 an operating system extends without writing into that log (IMA,
// systemd's boot phases); 16 and 23 are anybody's; 17 to 22 are a dynamic launch's.
// PCR 12 to 14 are boot loaders' where they are used at all.
func explained(index uint8, extended bool) bool {
	return index < 10 || extended && index >= 12 && index <= 14
}

// ReadLog replays an event log and keeps what it explains. The registers were
// quoted, the log is anybody's: one that does not lead to all of them is refused,
// and so is one that cheats. It needs Claims from [Examine] that passed.
func (c *Claims) ReadLog(data []byte) []attest.Check {
	const name, expected = "hardware.tpm_event_log", "a log that leads to the quoted registers"
	log, err := tcg.Parse(data)
	if err != nil {
		return []attest.Check{pki.Judge(name, false, CodeEventLog, err.Error(), expected)}
	}
	registers, err := log.ReplayTPM(c.Bank)
	if err != nil {
		return []attest.Check{pki.Judge(name, false, CodeEventLog, err.Error(), expected)}
	}
	if bad := c.differ(registers[:]); len(bad) != 0 {
		return []attest.Check{pki.Judge(name, false, CodeEventLog, fmt.Sprintf("leads to another PCR %v", bad), expected)}
	}
	checks := []attest.Check{pki.Judge(name, true, "", fmt.Sprintf("%d events", len(log.Events)), expected)}
	c.Boot = &Boot{Events: len(log.Events), ExitedBootServices: c.PCRs[5] != nil && log.ExitedBootServices(c.Bank)}
	if c.PCRs[7] == nil {
		return checks
	}
	sb, err := log.ReadSecureBoot(c.Bank, 7)
	if err != nil {
		return append(checks, attest.Check{Name: "hardware.tpm_secure_boot", Status: attest.Skip, Code: CodeEventLog, Seen: err.Error(), Expected: "the state of Secure Boot"})
	}
	c.Boot.SecureBoot = sb
	return append(checks, pki.Judge("hardware.tpm_secure_boot", true, "", onOff(sb.Enabled), ""))
}

// differ returns the quoted registers to which the log does not lead.
func (c *Claims) differ(registers []tcg.Register) []uint8 {
	var bad []uint8
	for index, value := range c.PCRs {
		r := registers[index]
		if explained(index, r.Extended) && !bytes.Equal(r.Value, value) {
			bad = append(bad, index)
		}
	}
	slices.Sort(bad)
	return bad
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
