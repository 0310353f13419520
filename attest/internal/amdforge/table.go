package amdforge

import "encoding/binary"

// GUIDs of the certificate table that a hypervisor hands to its guest (AMD
// 56421, section 4.1.8.1). The bytes are in the order the text is written:
// every hypervisor in use does that, although other GUIDs on the same machine
// have their first three groups turned round.
var (
	GUIDVCEK = [16]byte{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	GUIDVLEK = [16]byte{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1}
	GUIDASK  = [16]byte{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82}
	GUIDARK  = [16]byte{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae}
	GUIDCRL  = [16]byte{0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea}
)

// TableEntrySize is the size of one line of the table: GUID, offset, length.
const TableEntrySize = 24

// TableEntry is one certificate of a table.
type TableEntry struct {
	GUID [16]byte
	Data []byte
}

// TableRow is one line of a table's index, for tables that lie.
type TableRow struct {
	GUID           [16]byte
	Offset, Length uint32
}

// CertTable returns the table: an index that a zero line ends, then the data.
func CertTable(entries ...TableEntry) []byte {
	at := uint32(TableEntrySize * (len(entries) + 1))
	var rows []TableRow
	var data []byte
	for _, e := range entries {
		rows = append(rows, TableRow{e.GUID, at, uint32(len(e.Data))})
		data = append(data, e.Data...)
		at += uint32(len(e.Data))
	}
	return append(TableIndex(rows...), data...)
}

// TableIndex returns an index of exactly these rows and the zero line.
func TableIndex(rows ...TableRow) []byte {
	var out []byte
	for _, r := range rows {
		out = append(out, r.GUID[:]...)
		out = binary.LittleEndian.AppendUint32(out, r.Offset)
		out = binary.LittleEndian.AppendUint32(out, r.Length)
	}
	return append(out, make([]byte, TableEntrySize)...)
}
