package snp

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/attest"
)

// GUID names an entry of a certificate table. The bytes are in the order in
// which the GUID is written.
type GUID [16]byte

// String returns the usual form, 63da758d-e664-4564-adc5-f4b93be8accd.
func (g GUID) String() string {
	h := hex.EncodeToString(g[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// The GUIDs of AMD 56421 (GHCB), SNP extended guest request.
var (
	guidVCEK = GUID{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	guidVLEK = GUID{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1}
	guidASK  = GUID{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82} // or ASVK
	guidARK  = GUID{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae}
	guidCRL  = GUID{0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea}
)

// CertTableEntry is one entry of the table that a hypervisor hands to its
// guest together with a report.
type CertTableEntry struct {
	GUID GUID
	Data []byte // shares memory with the table
}

const (
	tableRow        = 24 // bytes: GUID, offset, length
	maxTableEntries = 16
)

// ParseCertTable reads a certificate table (AMD 56421, SNP extended guest
// request): rows of GUID, offset and length, ended by a row of zeros, and the
// data the rows point to. It refuses two entries of one GUID, entries that
// overlap each other or the rows, and any byte that belongs to no entry, except
// zeros, with which hypervisors fill up pages. The error is an
// [*attest.Failure].
func ParseCertTable(data []byte) ([]CertTableEntry, error) {
	table, failure := parseCertTable(data)
	if failure != nil {
		return nil, failure
	}
	return table, nil
}

func parseCertTable(data []byte) ([]CertTableEntry, *attest.Failure) {
	if len(data) > attest.MaxEndorsement {
		return nil, tableFailure(attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d", attest.MaxEndorsement))
	}
	rows, err := parseTableRows(data)
	if err != nil {
		return nil, err
	}
	if err := checkTableLayout(data, rows); err != nil {
		return nil, err
	}
	out := make([]CertTableEntry, len(rows))
	for i, r := range rows {
		out[i] = CertTableEntry{GUID: r.guid, Data: data[r.from:r.to:r.to]}
	}
	return out, nil
}

func tableFailure(code attest.Code, seen, expected string) *attest.Failure {
	return attest.NewFailure("hardware.cert_table", code, seen, expected)
}

// tableSpan is a row: the entry occupies data[from:to].
type tableSpan struct {
	guid     GUID
	from, to uint64
}

func parseTableRows(data []byte) ([]tableSpan, *attest.Failure) {
	var rows []tableSpan
	seen := make(map[GUID]bool)
	for rest := data; ; rest = rest[tableRow:] {
		if len(rest) < tableRow {
			return nil, tableFailure(attest.CodeMalformed, fmt.Sprintf("no end after %d rows", len(rows)), "a row of zeros")
		}
		guid := GUID(rest[:16])
		offset, length := binary.LittleEndian.Uint32(rest[16:]), binary.LittleEndian.Uint32(rest[20:])
		switch {
		case allZero(rest[:tableRow]):
			return rows, nil
		case len(rows) == maxTableEntries:
			return nil, tableFailure(attest.CodeTooLarge, "more rows", fmt.Sprintf("at most %d", maxTableEntries))
		case seen[guid]:
			return nil, tableFailure(attest.CodeAmbiguous, "two entries of "+guid.String(), "one")
		}
		seen[guid] = true
		rows = append(rows, tableSpan{guid, uint64(offset), uint64(offset) + uint64(length)})
	}
}

// checkTableLayout walks the entries in the order of their place, so that each
// has only its predecessor to collide with.
func checkTableLayout(data []byte, rows []tableSpan) *attest.Failure {
	sorted := slices.SortedFunc(slices.Values(rows), func(a, b tableSpan) int { return cmp.Compare(a.from, b.from) })
	index := uint64(tableRow * (len(rows) + 1))
	used := index
	for _, r := range sorted {
		if failure := r.check(data, index); failure != nil {
			return failure
		}
		if r.from < used {
			return tableFailure(attest.CodeAmbiguous, fmt.Sprintf("entry %s begins at byte %d", r.guid, r.from), fmt.Sprintf("%d or later, behind the entry before it", used))
		}
		if !allZero(data[used:r.from]) {
			return tableFailure(attest.CodeMalformed, fmt.Sprintf("data before byte %d that no row names", r.from), "zeros")
		}
		used = r.to
	}
	if !allZero(data[used:]) {
		return tableFailure(attest.CodeMalformed, fmt.Sprintf("data after byte %d that no row names", used), "zeros")
	}
	return nil
}

// check judges an entry's place by itself.
func (r tableSpan) check(data []byte, index uint64) *attest.Failure {
	switch size := r.to - r.from; {
	case size > attest.MaxEndorsement:
		return tableFailure(attest.CodeTooLarge, fmt.Sprintf("entry %s of %d bytes", r.guid, size), fmt.Sprintf("at most %d", attest.MaxEndorsement))
	case size == 0:
		return tableFailure(attest.CodeMalformed, "entry "+r.guid.String()+" is empty", "data")
	case r.from < index:
		return tableFailure(attest.CodeMalformed, fmt.Sprintf("entry %s begins at byte %d, among the rows", r.guid, r.from), fmt.Sprintf("%d or later", index))
	case r.to > uint64(len(data)):
		return tableFailure(attest.CodeMalformed, fmt.Sprintf("entry %s ends at byte %d", r.guid, r.to), fmt.Sprintf("at most %d", len(data)))
	}
	return nil
}

// entry returns the data of a GUID, nil if the table has none.
func entry(table []CertTableEntry, g GUID) []byte {
	for _, e := range table {
		if e.GUID == g {
			return e.Data
		}
	}
	return nil
}
