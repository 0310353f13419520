package nvgpu

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Types of the fields in NVIDIA's opaque data (nvtrust, spdm_msrt_resp_msg.py).
// Each field is a type and a length of two bytes, little-endian, and its value.
const (
	fieldDriver     = 3
	fieldVBIOS      = 6
	fieldNVDEC0     = 11
	fieldCounters   = 12 // MSRSCNT
	fieldBoard      = 14
	fieldChipSKU    = 15
	fieldProject    = 17
	fieldProjectSKU = 18
	fieldFWID       = 20
	fieldPPCIE      = 21 // protected PCIe
	fieldPDI        = 22 // a switch's own id, or those of the switches that a GPU is linked to
	fieldChip       = 35

	maxFields = 64
	maxField  = 4 << 10
	maxText   = 64
	fwidSize  = 48
	pdiSize   = 8
)

// Values of NVDEC0 and of protected PCIe.
const (
	flagOn  = 0xaa
	flagOff = 0x55
)

// Opaque is what NVIDIA's firmware says beside the measurements. It is signed
// with them. A text that the firmware left out is empty.
type Opaque struct {
	Driver     string // "550.90.07"; a switch has none
	VBIOS      string // "96.00.9F.00.01"
	Project    string // "1010"
	ProjectSKU string // "0200"
	ChipSKU    string // "882"
	Chip       string // "GB100"; Hopper does not say
	Board      []byte
	FWID       []byte // 48 bytes or nil
	PDI        []byte // 8 bytes each, or nil
	// Counters say how often each measurement was extended (MSRSCNT).
	Counters []uint32
	// NVDEC0 and ProtectedPCIe are 0xaa for on, 0x55 for off, 0 if not said.
	NVDEC0        uint8
	ProtectedPCIe uint8
}

// ParseOpaque reads the fields. A type that occurs twice is refused, one that is
// not known is passed over: the device signed it, and later firmware adds some.
func ParseOpaque(data []byte) (*Opaque, error) {
	o := &Opaque{}
	seen := make(map[uint16]bool, maxFields)
	for len(data) != 0 {
		if len(data) < 4 {
			return nil, fmt.Errorf("opaque data ends with %d bytes, expected a field", len(data))
		}
		id, size := binary.LittleEndian.Uint16(data), int(binary.LittleEndian.Uint16(data[2:]))
		switch {
		case size > maxField || size > len(data)-4:
			return nil, fmt.Errorf("opaque field %d of %d bytes, %d left", id, size, len(data)-4)
		case seen[id]:
			return nil, fmt.Errorf("opaque field %d twice", id)
		case len(seen) == maxFields:
			return nil, fmt.Errorf("more than %d opaque fields", maxFields)
		}
		seen[id] = true
		if err := o.set(id, data[4:4+size:4+size]); err != nil {
			return nil, fmt.Errorf("opaque field %d: %w", id, err)
		}
		data = data[4+size:]
	}
	return o, nil
}

func (o *Opaque) set(id uint16, v []byte) (err error) {
	switch id {
	case fieldDriver:
		o.Driver, err = text(v)
	case fieldVBIOS:
		o.VBIOS, err = vbiosVersion(v)
	case fieldProject:
		o.Project, err = text(v)
	case fieldProjectSKU:
		o.ProjectSKU, err = text(v)
	case fieldChipSKU:
		o.ChipSKU, err = text(v)
	case fieldChip:
		o.Chip, err = text(v)
	case fieldBoard:
		o.Board = v
	case fieldFWID:
		o.FWID, err = v, sized(v, fwidSize)
	case fieldPDI:
		o.PDI, err = v, multiple(v, pdiSize)
	case fieldCounters:
		o.Counters, err = counters(v)
	case fieldNVDEC0:
		o.NVDEC0, err = flag(v)
	case fieldPPCIE:
		o.ProtectedPCIe, err = flag(v)
	}
	return err
}

func sized(v []byte, n int) error {
	if len(v) != n {
		return fmt.Errorf("%d bytes, expected %d", len(v), n)
	}
	return nil
}

func multiple(v []byte, n int) error {
	if len(v) == 0 || len(v)%n != 0 {
		return fmt.Errorf("%d bytes, expected a multiple of %d", len(v), n)
	}
	return nil
}

// flag reads one byte that firmware writes so that a flipped bit shows.
func flag(v []byte) (uint8, error) {
	if len(v) != 1 || v[0] != flagOn && v[0] != flagOff {
		return 0, fmt.Errorf("%x, expected %#x or %#x", v[:min(len(v), 8)], flagOn, flagOff)
	}
	return v[0], nil
}

func counters(v []byte) ([]uint32, error) {
	if err := multiple(v, 4); err != nil {
		return nil, err
	}
	out := make([]uint32, len(v)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(v[4*i:])
	}
	return out, nil
}

// text reads a string that is padded with zeros. It becomes part of the name of
// a manifest, so nothing may be in it that means something in a path.
func text(v []byte) (string, error) {
	s := strings.TrimRight(string(v), "\x00")
	if len(s) == 0 || len(s) > maxText {
		return "", fmt.Errorf("text of %d bytes, expected 1 to %d", len(s), maxText)
	}
	for _, c := range []byte(s) {
		if c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", fmt.Errorf("text with byte %#x, expected letters, digits, dots and dashes", c)
		}
	}
	return s, nil
}

// vbiosVersion reads "96.00.9F.00.01". A switch writes it so; a GPU writes two
// numbers of four bytes, little-endian: the first four parts, then the fifth.
func vbiosVersion(v []byte) (string, error) {
	if len(v) != 8 {
		s, err := text(v)
		return strings.ToUpper(s), err
	}
	if v[5]|v[6]|v[7] != 0 {
		return "", fmt.Errorf("version %x, expected three zero bytes at its end", v)
	}
	return fmt.Sprintf("%02X.%02X.%02X.%02X.%02X", v[3], v[2], v[1], v[0], v[4]), nil
}
