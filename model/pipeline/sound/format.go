package sound

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The formats of a WAV file that are read (mmreg.h).
const (
	tagPCM        = 0x0001
	tagFloat      = 0x0003
	tagExtensible = 0xfffe
)

// tagNames are others that people have.
var tagNames = map[int]string{0x0002: "ADPCM", 0x0006: "A-law", 0x0007: "mu-law", 0x0011: "IMA ADPCM", 0x0031: "GSM", 0x0055: "MP3", 0x00ff: "AAC"}

// subFormat is the end of the GUID that says the format of an extensible file; the
// format's number stands before it.
const subFormat = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// format is how samples stand in a file.
type format struct {
	channels, rate, bits int
	floating             bool
	value                func([]byte) float32 // of one sample
}

// frame is how many bytes all channels take at a time.
func (f format) frame() int { return f.channels * f.bits / 8 }

// parseFormat reads a chunk named fmt. The number of bytes a second is not looked at: it
// follows from the others, and programs write it wrongly.
func parseFormat(chunk string) (format, error) {
	if len(chunk) < 16 {
		return format{}, fmt.Errorf("a WAV file with a chunk named fmt of %d bytes, expected 16 or more", len(chunk))
	}
	tag, err := formatTag(chunk)
	if err != nil {
		return format{}, err
	}
	f := format{channels: little16(chunk[2:]), bits: little16(chunk[14:]), floating: tag == tagFloat}
	rate, frame := little32(chunk[4:]), little16(chunk[12:])
	switch {
	case f.channels < 1 || f.channels > maxChannels:
		return format{}, fmt.Errorf("a WAV file with %d channels, expected 1 to %d", f.channels, maxChannels)
	case rate < minRate || rate > maxRate:
		return format{}, fmt.Errorf("a WAV file with %d samples a second, expected %d to %d", rate, minRate, maxRate)
	case f.decode(tag) == nil:
		return format{}, fmt.Errorf("a WAV file with samples of %d bits, expected 8, 16, 24 or 32, or 32 or 64 of floating point", f.bits)
	case frame != f.frame():
		return format{}, fmt.Errorf("a WAV file with %d bytes for all channels at a time, expected %d for %d channels of %d bits", frame, f.frame(), f.channels, f.bits)
	}
	f.rate, f.value = int(rate), f.decode(tag)
	return f, nil
}

// formatTag is the number of the format, of an extensible file that of its sub-format.
// How many of its bits mean something is not looked at: the others are zero, below them.
func formatTag(chunk string) (int, error) {
	tag := little16(chunk)
	if tag == tagExtensible {
		if len(chunk) < 40 || chunk[26:40] != subFormat {
			return 0, fmt.Errorf("a WAV file with an extensible format of %d bytes that is none of the common ones, expected 40 bytes and PCM or floating point", len(chunk))
		}
		tag = little16(chunk[24:])
	}
	if tag != tagPCM && tag != tagFloat {
		name := tagNames[tag]
		if name == "" {
			name = fmt.Sprintf("format %d", tag)
		}
		return 0, fmt.Errorf("a WAV file with samples as %s, expected PCM or floating point: `ffmpeg -i FILE -c:a pcm_s16le out.wav` makes one", name)
	}
	return tag, nil
}

// decode returns what makes a number of a sample, or nil for samples of another size.
func (f format) decode(tag int) func([]byte) float32 {
	if f.bits > 64 {
		return nil // and not taken for a part of the tag
	}
	switch tag<<8 | f.bits {
	case tagPCM<<8 | 8:
		return func(b []byte) float32 { return float32(int(b[0])-128) / (1 << 7) } // 8 bits alone are without a sign
	case tagPCM<<8 | 16:
		return func(b []byte) float32 { return float32(int16(binary.LittleEndian.Uint16(b))) / (1 << 15) }
	case tagPCM<<8 | 24:
		return func(b []byte) float32 {
			return float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)>>8) / (1 << 23)
		}
	case tagPCM<<8 | 32:
		return func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) / (1 << 31) }
	case tagFloat<<8 | 32:
		return func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	case tagFloat<<8 | 64:
		return func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }
	}
	return nil
}
