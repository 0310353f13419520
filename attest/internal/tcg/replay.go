package tcg

import (
	"bytes"
	"errors"
	"fmt"
)

// Register is a register's value after a replay.
type Register struct {
	Value []byte
	// Extended says that an event led here. A register that nothing extended
	// says nothing about what was started.
	Extended bool
}

// startupLocality begins the data of the event that says from which locality
// the TPM was started; the byte after it is the first value of PCR 0 (PFP 10.4.5.3).
const startupLocality = "StartupLocality\x00"

// ReplayTPM returns the values of PCR 0 to 23 to which the log leads in one bank.
// PCR 17 to 22 begin with all bits set (TCG PTP 4.6.2), the others with zero.
func (l *Log) ReplayTPM(a Algorithm) ([MaxRegister + 1]Register, error) {
	var none, out [MaxRegister + 1]Register
	locality, err := l.locality()
	if err != nil {
		return none, err
	}
	for i := range out {
		out[i].Value = make([]byte, a.Size())
		if i >= 17 && i <= 22 {
			out[i].Value = bytes.Repeat([]byte{0xff}, a.Size())
		}
	}
	if n := len(out[0].Value); n > 0 {
		out[0].Value[n-1] = locality
	}
	if err := l.separators(); err != nil {
		return none, err
	}
	if err := l.extend(a, out[:]); err != nil {
		return none, err
	}
	return out, nil
}

// CCRegisters is the number of registers in a TDX log: MRTD, which no event may
// extend, and RTMR0 to 3 (UEFI 2.10, 38.4.1).
const CCRegisters = 5

// ReplayTDX returns the values of RTMR0 to RTMR3, SHA-384, to which a log of
// ACPI's CCEL leads.
func (l *Log) ReplayTDX() ([4]Register, error) {
	var all [CCRegisters]Register
	for i := range all {
		all[i].Value = make([]byte, SHA384.Size())
	}
	if err := l.extend(SHA384, all[:]); err != nil {
		return [4]Register{}, err
	}
	if all[0].Extended {
		return [4]Register{}, errors.New("tcg: an event extends register 0, which is MRTD and cannot be extended")
	}
	return [4]Register(all[1:]), nil
}

// extend applies every event in its order. The registers are as they begin.
func (l *Log) extend(a Algorithm, registers []Register) error {
	if a.Size() == 0 {
		return fmt.Errorf("tcg: replay with %s, which is not known", a)
	}
	for i, e := range l.Events {
		if e.Type == NoAction {
			continue
		}
		digest := e.Digest(a)
		switch {
		case len(digest) == 0:
			return fmt.Errorf("tcg: event %d has no %s digest", i, a)
		case int64(e.Register) >= int64(len(registers)):
			return fmt.Errorf("tcg: event %d extends register %d, expected at most %d", i, e.Register, len(registers)-1)
		}
		r := &registers[e.Register]
		r.Value = a.sum(append(r.Value, digest...))
		r.Extended = true
	}
	return nil
}

// locality returns the first value of PCR 0. The event that gives it stands
// before anything that extends a register, and there is at most one.
func (l *Log) locality() (byte, error) {
	var value byte
	var extended, found bool
	for i, e := range l.Events {
		if e.Type != NoAction {
			extended = true
			continue
		}
		if !bytes.HasPrefix(e.Data, []byte(startupLocality)) {
			continue
		}
		switch {
		case len(e.Data) != len(startupLocality)+1 || e.Register != 0:
			return 0, fmt.Errorf("tcg: event %d: startup locality of %d bytes in register %d", i, len(e.Data), e.Register)
		case extended || found:
			return 0, fmt.Errorf("tcg: event %d: startup locality after another event", i)
		}
		found, value = true, e.Data[len(startupLocality)]
		// TPM2_Startup is possible from 0, 3 and, for an H-CRTM, 4 (PTP 2.2).
		if value != 0 && value != 3 && value != 4 {
			return 0, fmt.Errorf("tcg: event %d: startup locality %d, expected 0, 3 or 4", i, value)
		}
	}
	return value, nil
}

// separators refuses a second separator in PCR 0 to 7. The first one ends the
// part that the firmware measured; a second one invites a reader to take what
// follows the first for that part too (PFP 10.4.1).
func (l *Log) separators() error {
	var seen [8]bool
	for i, e := range l.Events {
		if e.Type != Separator || e.Register >= 8 {
			continue
		}
		if seen[e.Register] {
			return fmt.Errorf("tcg: event %d: a second separator in PCR %d", i, e.Register)
		}
		seen[e.Register] = true
	}
	return nil
}
