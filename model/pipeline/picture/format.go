package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"
)

type format struct {
	magic  string
	size   func(file []byte) (size, error)
	decode func(io.Reader) (image.Image, error)
}

func formatOf(file []byte) (format, bool) {
	for _, f := range []format{
		{"\x89PNG\r\n\x1a\n", pngSize, png.Decode},
		{"\xff\xd8", jpegSize, jpeg.Decode},
	} {
		if bytes.HasPrefix(file, []byte(f.magic)) {
			return f, true
		}
	}
	return format{}, false
}

// pngSize reads IHDR, the first chunk (PNG specification, 11.2.1): width, height, bits, colour
// type, compression, filter, interlace, from byte 16 on. The decoder reads the same bytes.
func pngSize(file []byte) (size, error) {
	if len(file) < 29 {
		return size{}, errors.New("the file ends in its header")
	}
	h := size{
		w: int64(binary.BigEndian.Uint32(file[16:])), h: int64(binary.BigEndian.Uint32(file[20:])),
		turn: 1,
	}
	each := int64(4) // the decoder's pixels: at most four channels of a byte
	if file[24] == 16 {
		each = 8
	}
	if file[28] != 0 {
		each *= 2 // interlaced: each pass is a picture of its own
	}
	h.bytes = product(each+3, h.w, h.h)
	return h, nil
}

// jpegSize asks the decoder for the size, and the file's own segments for the rest.
func jpegSize(file []byte) (size, error) {
	config, err := jpeg.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return size{}, err
	}
	s := scanJPEG(file)
	h := size{w: int64(config.Width), h: int64(config.Height), turn: s.turn}
	// At most: three planes, a fourth, four bytes a pixel that the decoder makes of them, and ours.
	each := int64(3 + 1 + 4 + 3)
	if !s.sequential {
		each += 4 * s.channels // a progressive file's coefficients, int32
	}
	if s.turn != 1 {
		each += 3
	}
	// The decoder works in blocks of at most 32 x 32 pixels.
	h.bytes = product(each, (h.w+31)/32*32, (h.h+31)/32*32)
	return h, nil
}

// product multiplies sizes that may be too large to be multiplied.
func product(each, w, h int64) int64 {
	const most = 1 << 62
	if w > 0 && h > most/w/each {
		return most
	}
	return each * w * h
}
