package picture

import (
	"bytes"
	"encoding/binary"
)

// jpegScan is what the segments of a JPEG file say before its first scan.
type jpegScan struct {
	sequential bool // baseline or extended: surely not progressive
	channels   int64
	turn       int
}

// Markers of ITU-T T.81, table B.1.
const (
	sof0 = 0xc0
	sof1 = 0xc1
	sof2 = 0xc2
	dht  = 0xc4
	dqt  = 0xdb
	dri  = 0xdd
	app0 = 0xe0
	app1 = 0xe1
	appF = 0xef
	com  = 0xfe
)

// scanJPEG walks over the segments as they should be, one right behind the other. Where a file
// has anything else it stops, and the file counts as the dearest kind: the decoder is more lenient
// and must not be led to another frame than this one.
func scanJPEG(file []byte) jpegScan {
	s := jpegScan{channels: 4, turn: 1}
	rest := file[2:]
	for len(rest) >= 4 && rest[0] == 0xff {
		marker, n := rest[1], int(binary.BigEndian.Uint16(rest[2:]))
		if n < 2 || len(rest) < 2+n || !hasLength(marker) {
			break
		}
		body := rest[4 : 2+n]
		switch marker {
		case sof0, sof1, sof2:
			if len(body) >= 6 {
				s.sequential, s.channels = marker != sof2, min(int64(body[5]), 4)
			}
		case app1:
			if t := orientation(body); t != 0 && s.turn == 1 {
				s.turn = t
			}
		}
		rest = rest[2+n:]
	}
	return s
}

// hasLength says whether a segment follows a marker that every decoder passes over as a whole. Where
// another marker stands, such as 0xff, which fills up, or one that stands alone, what follows could
// be read in two ways.
func hasLength(marker byte) bool {
	switch marker {
	case sof0, sof1, sof2, dht, dqt, dri, com:
		return true
	}
	return app0 <= marker && marker <= appF
}

// orientation reads the tag 0x0112 of an EXIF segment (CIPA DC-008, 4.6.4 and 4.7.2): which way up the
// camera was. 0 if it does not say.
func orientation(body []byte) int {
	tiff, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if bytes.HasPrefix(tiff, []byte("MM")) {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 0
	}
	const size, tag, short = 12, 0x0112, 3
	entries := tiff[at+2:]
	for n := order.Uint16(tiff[at:]); n > 0 && len(entries) >= size; n-- {
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if v := order.Uint16(entries[8:]); v >= 1 && v <= 8 {
				return int(v)
			}
			return 0
		}
		entries = entries[size:]
	}
	return 0
}
