package tpmforge

import "encoding/binary"

// Quote is a TPMS_ATTEST.
type Quote struct {
	Magic          uint32
	Type           uint16
	Qualified      []byte
	Extra          []byte
	Clock          uint64
	Reset, Restart uint32
	Safe           byte
	Firmware       uint64
	Selections     []Selection
	Digest         []byte
	Tail           []byte
}

// Selection is one bank's.
type Selection struct {
	Bank uint16
	PCRs []uint8
	Size int // bytes of the bitmap; zero means 3
}

// Registers are the values of one bank.
type Registers map[uint8][]byte

// NewQuote returns a healthy quote of every register given.
func NewQuote(ak AK, bank uint16, values Registers, extra []byte) Quote {
	q := Quote{
		Magic: 0xff544347, Type: 0x8018, Qualified: ak.QualifiedName(), Extra: extra,
		Clock: 1234567, Reset: 3, Safe: 1, Firmware: 0x2020031200120003,
	}
	s := Selection{Bank: bank}
	var all [][]byte
	for i := range uint8(24) {
		if v, ok := values[i]; ok {
			s.PCRs = append(s.PCRs, i)
			all = append(all, v)
		}
	}
	q.Selections, q.Digest = []Selection{s}, Sum(ak.Hash, all...)
	return q
}

// Encode returns the bytes that are signed.
func (q Quote) Encode() []byte {
	be := binary.BigEndian
	out := join(be.AppendUint32(nil, q.Magic), u16(int(q.Type)), Sized(q.Qualified), Sized(q.Extra))
	out = be.AppendUint64(out, q.Clock)
	out = be.AppendUint32(be.AppendUint32(out, q.Reset), q.Restart)
	out = be.AppendUint64(append(out, q.Safe), q.Firmware)
	out = be.AppendUint32(out, uint32(len(q.Selections)))
	for _, s := range q.Selections {
		if s.Size == 0 {
			s.Size = 3
		}
		bits := make([]byte, s.Size)
		for _, i := range s.PCRs {
			bits[i/8] |= 1 << (i % 8)
		}
		out = append(join(out, u16(int(s.Bank)), []byte{byte(s.Size)}), bits...)
	}
	return join(out, Sized(q.Digest), q.Tail)
}
