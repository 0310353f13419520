package tpmforge

import (
	"encoding/binary"
	"unicode/utf16"
)

// Event is one entry of an event log.
type Event struct {
	Register uint32
	Type     uint32
	Data     []byte
	// Digest is that of every bank; nil means the hash of Data, and zeros for
	// EV_NO_ACTION.
	Digest []byte
}

// Log is an event log with one bank.
type Log struct {
	Bank   uint16
	Events []Event
	Tail   []byte
}

func size(bank uint16) int {
	if bank == SHA384 {
		return 48
	}
	return 32
}

func (l Log) digest(e Event) []byte {
	switch {
	case e.Digest != nil:
		return e.Digest
	case e.Type == 3:
		return make([]byte, size(l.Bank))
	}
	return Sum(l.Bank, e.Data)
}

// Encode writes the log in the crypto agile format.
func (l Log) Encode() []byte {
	le := binary.LittleEndian
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	spec = le.AppendUint32(spec, 1)
	spec = le.AppendUint16(le.AppendUint16(spec, l.Bank), uint16(size(l.Bank)))
	spec = append(spec, 0)
	out := le.AppendUint32(make([]byte, 4), 3)
	out = append(out, make([]byte, 20)...)
	out = append(le.AppendUint32(out, uint32(len(spec))), spec...)
	for _, e := range l.Events {
		out = le.AppendUint32(le.AppendUint32(out, e.Register), e.Type)
		out = le.AppendUint16(le.AppendUint32(out, 1), l.Bank)
		out = append(out, l.digest(e)...)
		out = append(le.AppendUint32(out, uint32(len(e.Data))), e.Data...)
	}
	return append(out, l.Tail...)
}

// Replay returns the registers to which the log leads.
func (l Log) Replay() Registers {
	out := Registers{}
	for _, e := range l.Events {
		if e.Type == 3 {
			continue
		}
		i := uint8(e.Register)
		if out[i] == nil {
			out[i] = make([]byte, size(l.Bank))
		}
		out[i] = Sum(l.Bank, out[i], l.digest(e))
	}
	return out
}

// Variable writes a UEFI_VARIABLE_DATA.
func Variable(guid, name string, data []byte) []byte {
	le := binary.LittleEndian
	chars := utf16.Encode([]rune(name))
	out := le.AppendUint64([]byte(guid), uint64(len(chars)))
	out = le.AppendUint64(out, uint64(len(data)))
	for _, c := range chars {
		out = le.AppendUint16(out, c)
	}
	return append(out, data...)
}

// The GUIDs of the Secure Boot variables.
const (
	GlobalGUID   = "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"
	SecurityGUID = "\xcb\xb2\x19\xd7\x3a\x3d\x96\x45\xa3\xbc\xda\xd0\x0e\x67\x65\x6f"
)

// Event types.
const (
	NoAction  = 0x00000003
	Separator = 0x00000004
	Driver    = 0x80000001
	App       = 0x80000003
	EFIAction = 0x80000007
	Authority = 0x800000e0
)

// HealthyLog is that of a machine that started one image under Secure Boot.
func HealthyLog(bank uint16, image []byte) Log {
	l := Log{Bank: bank}
	add := func(register, kind uint32, data []byte) {
		l.Events = append(l.Events, Event{Register: register, Type: kind, Data: data})
	}
	add(0, 8, []byte("2\x00.\x000\x00\x00\x00"))
	add(7, Driver, Variable(GlobalGUID, "SecureBoot", []byte{1}))
	add(7, Driver, Variable(GlobalGUID, "PK", []byte("platform key")))
	add(7, Driver, Variable(GlobalGUID, "KEK", []byte("key exchange key")))
	add(7, Driver, Variable(SecurityGUID, "db", []byte("allowed")))
	add(7, Driver, Variable(SecurityGUID, "dbx", []byte("forbidden")))
	for r := range uint32(8) {
		add(r, Separator, make([]byte, 4))
	}
	add(7, Authority, Variable(SecurityGUID, "db", []byte("the key that signed the image")))
	l.Events = append(l.Events, Event{Register: 4, Type: App, Data: []byte("path"), Digest: Sum(bank, image)})
	add(9, 6, []byte("initrd"))
	add(5, EFIAction, []byte("Exit Boot Services Invocation"))
	add(5, EFIAction, []byte("Exit Boot Services Returned with Success"))
	return l
}
