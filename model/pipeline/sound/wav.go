package sound

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What a recording may be.
const (
	minRate     = 8_000
	maxRate     = 192_000
	maxChannels = 32
	// maxChunks is how many chunks may stand before the samples. Programs write a few.
	maxChunks = 1000
)

// unknownSize and all above it stand where a program that writes to a pipe cannot know
// the size: 0xffffffff by ffmpeg, 0x7ffff000 and its like by SoX and eSpeak. Then all
// that follows is samples.
const unknownSize = 0x7ffff000

// Recording is a WAV file whose head was read and makes sense. It keeps the file.
type Recording struct {
	data   string // the samples, whole frames of all channels
	format format
	frames int64
}

// Open reads the head of a WAV file, and takes no memory for its samples. A recording
// that lasts longer than longest is refused.
func Open(wav string, longest time.Duration) (*Recording, error) {
	if err := checkKind(wav); err != nil {
		return nil, err
	}
	r := &Recording{}
	if err := r.readChunks(wav[12:]); err != nil {
		return nil, err
	}
	if r.frames == 0 {
		return nil, errors.New("a WAV file without a sample")
	}
	if d := r.Duration(); d > longest {
		return nil, fmt.Errorf("a recording of %v, at most %v is allowed: cut it into parts", d.Round(time.Millisecond), longest)
	}
	return r, nil
}

// Rate is how many samples a second the file has.
func (r *Recording) Rate() int { return r.format.rate }

// Channels is how many channels the file has.
func (r *Recording) Channels() int { return r.format.channels }

// Duration is how long the recording lasts.
func (r *Recording) Duration() time.Duration {
	rate := int64(r.format.rate)
	// Seconds first: the frames of a long file times a billion do not fit into an int64.
	return time.Duration(r.frames/rate)*time.Second + time.Duration(r.frames%rate)*time.Second/time.Duration(rate)
}

// kinds are beginnings of files that people send when they are asked for a recording.
var kinds = []struct{ head, name string }{
	{"RIFX", "a big-endian WAV file"},
	{"RF64", "an RF64 file"},
	{"OggS", "an Ogg file"},
	{"fLaC", "a FLAC file"},
	{"ID3", "an MP3 file"},
	{"\xff\xfb", "an MP3 file"},
	{"FORM", "an AIFF file"},
	{"\x1a\x45\xdf\xa3", "a WebM or Matroska file"},
	{"caff", "a Core Audio file"},
	{".snd", "an AU file"},
	{"#!AMR", "an AMR file"},
}

func checkKind(file string) error {
	if len(file) >= 12 && file[:4] == "RIFF" && file[8:12] == "WAVE" {
		return nil
	}
	seen := "no WAV file"
	for _, k := range kinds {
		if strings.HasPrefix(file, k.head) {
			seen = k.name
		}
	}
	if len(file) >= 8 && file[4:8] == "ftyp" {
		seen = "an MP4 or M4A file"
	}
	return fmt.Errorf("%s, expected RIFF/WAVE: `ffmpeg -i FILE -ar 16000 -ac 1 out.wav` makes one", seen)
}

// readChunks walks through the chunks up to the samples. What stands after them, such as
// names and pictures, is not looked at.
func (r *Recording) readChunks(rest string) error {
	for range maxChunks {
		if len(rest) < 8 {
			return errors.New("a WAV file without samples: it has no chunk named data")
		}
		id, size := rest[:4], int64(little32(rest[4:]))
		rest = rest[8:]
		if id == "data" {
			return r.readData(rest, size)
		}
		if size > int64(len(rest)) {
			return fmt.Errorf("a WAV file with a chunk of %d bytes before its samples, of which %d are there: it was cut", size, len(rest))
		}
		if id == "fmt " {
			if err := r.readFormat(rest[:size]); err != nil {
				return err
			}
		}
		rest = rest[min(size+size%2, int64(len(rest))):] // chunks begin at even places
	}
	return fmt.Errorf("a WAV file with more than %d chunks before its samples", maxChunks)
}

func (r *Recording) readFormat(chunk string) (err error) {
	if r.format.channels != 0 {
		return errors.New("a WAV file with two chunks named fmt, expected one")
	}
	r.format, err = parseFormat(chunk)
	return err
}

func (r *Recording) readData(rest string, size int64) error {
	frame := int64(r.format.frame())
	switch have := int64(len(rest)); {
	case frame == 0:
		return errors.New("a WAV file whose samples come before what they are: expected a chunk named fmt before the one named data")
	case size >= unknownSize:
		size = have - have%frame
	case size > have:
		return fmt.Errorf("a WAV file with %d bytes of samples of the %d that it should have: it was cut", have, size)
	case size == 0 && have > 0:
		return errors.New("a WAV file that says it has no samples: the program that streamed it did not fill in how many there are; `ffmpeg -i FILE out.wav` does")
	case size%frame != 0:
		return fmt.Errorf("a WAV file with %d bytes of samples, expected a multiple of %d, which all channels take at a time", size, frame)
	}
	r.data, r.frames = rest[:size], size/frame
	return nil
}

func little16(s string) int { return int(s[0]) | int(s[1])<<8 }

func little32(s string) uint32 { return binary.LittleEndian.Uint32([]byte(s[:4])) }
