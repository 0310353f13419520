package sound

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const hour = time.Hour

// chunk is a part of a WAV file.
func chunk(id string, data []byte) []byte {
	b := append([]byte(id), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(data)))
	b = append(b, data...)
	return append(b, make([]byte, len(data)%2)...)
}

// file is a WAV file of chunks.
func file(chunks ...[]byte) string {
	body := append([]byte("WAVE"), slices.Concat(chunks...)...)
	return string(chunk("RIFF", body))
}

// header is a chunk named fmt.
func header(tag, channels, rate, bits int) []byte {
	b := make([]byte, 16)
	frame := channels * bits / 8
	binary.LittleEndian.PutUint16(b, uint16(tag))
	binary.LittleEndian.PutUint16(b[2:], uint16(channels))
	binary.LittleEndian.PutUint32(b[4:], uint32(rate))
	binary.LittleEndian.PutUint32(b[8:], uint32(rate*frame))
	binary.LittleEndian.PutUint16(b[12:], uint16(frame))
	binary.LittleEndian.PutUint16(b[14:], uint16(bits))
	return b
}

func extensible(tag, channels, rate, bits int, tail string) []byte {
	b := append(header(tagExtensible, channels, rate, bits), 22, 0, byte(bits), 0, 0, 0, 0, 0, byte(tag), byte(tag>>8))
	return append(b, tail...)
}

func mono16(samples ...byte) string {
	return file(chunk("fmt ", header(tagPCM, 1, 16000, 16)), chunk("data", samples))
}

func floats(width int, values ...float64) (b []byte) {
	for _, v := range values {
		if width == 32 {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
		} else {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	return b
}

func TestSamples(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []float32
	}{
		"8 bits":  {file(chunk("fmt ", header(tagPCM, 1, 16000, 8)), chunk("data", []byte{0, 128, 255})), []float32{-1, 0, 127. / 128}},
		"16 bits": {mono16(0, 0x80, 0xff, 0x7f, 1, 0), []float32{-1, 32767. / 32768, 1. / 32768}},
		"24 bits": {file(chunk("fmt ", header(tagPCM, 1, 16000, 24)), chunk("data", []byte{0, 0, 0x80, 1, 0, 0, 0xff, 0xff, 0xff})), []float32{-1, 1. / (1 << 23), -1. / (1 << 23)}},
		"32 bits": {file(chunk("fmt ", header(tagPCM, 1, 16000, 32)), chunk("data", []byte{0, 0, 0, 0x80, 0, 0, 0, 0x40})), []float32{-1, 0.5}},
		"float32": {file(chunk("fmt ", header(tagFloat, 1, 16000, 32)), chunk("data", floats(32, 1.5, -0.25))), []float32{1.5, -0.25}},
		"float64": {file(chunk("fmt ", header(tagFloat, 1, 16000, 64)), chunk("data", floats(64, 0.1, -1))), []float32{0.1, -1}},
		"extensible PCM": {file(chunk("fmt ", extensible(tagPCM, 1, 16000, 16, subFormat)), chunk("data", []byte{0, 0x40})),
			[]float32{0.5}},
		"extensible float": {file(chunk("fmt ", extensible(tagFloat, 1, 16000, 32, subFormat)), chunk("data", floats(32, 0.5))),
			[]float32{0.5}},
		"two channels":          {file(chunk("fmt ", header(tagPCM, 2, 16000, 16)), chunk("data", []byte{0, 0x40, 0, 0, 0, 0xc0, 0, 0x40})), []float32{0.25, 0}},
		"a chunk of odd size":   {file(chunk("LIST", []byte("odd")), chunk("fmt ", header(tagPCM, 1, 16000, 16)), chunk("data", []byte{0, 0x40})), []float32{0.5}},
		"a longer fmt":          {file(chunk("fmt ", append(header(tagPCM, 1, 16000, 16), 0, 0)), chunk("data", []byte{0, 0x40})), []float32{0.5}},
		"more after the data":   {file(chunk("fmt ", header(tagPCM, 1, 16000, 16)), chunk("data", []byte{0, 0x40}), chunk("LIST", []byte("what"))), []float32{0.5}},
		"sizes nobody knew":     {streamed(0xffffffff, 0, 0x40, 0, 0xc0), []float32{0.5, -0.5}},
		"sizes as SoX has it":   {streamed(0x7ffff000, 0, 0x40, 0, 0xc0), []float32{0.5, -0.5}},
		"a stream that was cut": {streamed(0xffffffff, 0, 0x40, 7), []float32{0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Open(c.file, hour)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Samples(t.Context(), r.Rate())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, expected %v", got, c.want)
			}
		})
	}
}

// streamed is a file whose data says another size than it has.
func streamed(size uint32, samples ...byte) string {
	b := []byte(mono16(samples...))
	binary.LittleEndian.PutUint32(b[4:], size)
	binary.LittleEndian.PutUint32(b[40:], size)
	return string(b[:44+len(samples)])
}

// TestRefusals has a file for each check, and says what is left of its message.
func TestRefusals(t *testing.T) {
	data := chunk("data", []byte{1, 2, 3, 4})
	with := func(edit func(b []byte)) string {
		h := header(tagPCM, 1, 16000, 16)
		edit(h)
		return file(chunk("fmt ", h), data)
	}
	good := mono16(1, 2, 3, 4)
	for name, c := range map[string]struct{ file, want string }{
		"nothing":           {"", "no WAV file"},
		"no RIFF":           {"RIFT" + good[4:], "no WAV file"},
		"no WAVE":           {good[:8] + "AVI " + good[12:], "no WAV file"},
		"big-endian":        {"RIFX" + good[4:], "big-endian"},
		"Ogg":               {"OggS" + good[4:], "an Ogg file"},
		"M4A":               {"\x00\x00\x00\x20ftypM4A ", "MP4 or M4A"},
		"no chunk":          {good[:12], "no chunk named data"},
		"no data":           {file(chunk("fmt ", header(tagPCM, 1, 16000, 16))), "no chunk named data"},
		"half a chunk":      {good[:24], "it was cut"},
		"half the data":     {good[:46], "2 bytes of samples of the 4"},
		"half a frame":      {mono16(1, 2, 3), "multiple of 2"},
		"no samples":        {mono16(), "without a sample"},
		"no size":           {streamed(0, 1, 2), "did not fill in"},
		"data before fmt":   {file(data, chunk("fmt ", header(tagPCM, 1, 16000, 16))), "come before what they are"},
		"two fmt":           {file(chunk("fmt ", header(tagPCM, 1, 16000, 16)), chunk("fmt ", header(tagPCM, 1, 16000, 16)), data), "two chunks named fmt"},
		"short fmt":         {file(chunk("fmt ", make([]byte, 15)), data), "of 15 bytes"},
		"no channel":        {file(chunk("fmt ", header(tagPCM, 0, 16000, 16)), data), "0 channels"},
		"33 channels":       {file(chunk("fmt ", header(tagPCM, 33, 16000, 16)), data), "33 channels"},
		"slow":              {file(chunk("fmt ", header(tagPCM, 1, 7999, 16)), data), "7999 samples"},
		"fast":              {file(chunk("fmt ", header(tagPCM, 1, 192001, 16)), data), "192001 samples"},
		"12 bits":           {file(chunk("fmt ", header(tagPCM, 1, 16000, 12)), data), "12 bits"},
		"0 bits":            {file(chunk("fmt ", header(tagPCM, 1, 16000, 0)), data), "0 bits"},
		"float of 16 bits":  {file(chunk("fmt ", header(tagFloat, 1, 16000, 16)), data), "16 bits"},
		"another frame":     {with(func(b []byte) { b[12] = 4 }), "4 bytes for all channels"},
		"mu-law":            {with(func(b []byte) { b[0] = 7 }), "mu-law"},
		"an unknown format": {with(func(b []byte) { b[1] = 9 }), "format 2305"},
		"short extensible":  {file(chunk("fmt ", extensible(tagPCM, 1, 16000, 16, subFormat[:13])), data), "extensible"},
		"another GUID":      {file(chunk("fmt ", extensible(tagPCM, 1, 16000, 16, strings.Repeat("x", 14))), data), "extensible"},
		"extensible mu-law": {file(chunk("fmt ", extensible(7, 1, 16000, 16, subFormat)), data), "mu-law"},
		"endless chunks":    {file(slices.Repeat(chunk("LIST", nil), maxChunks), chunk("fmt ", header(tagPCM, 1, 16000, 16)), data), "more than 1000 chunks"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(c.file, hour); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, expected %q", err, c.want)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	second := mono16(make([]byte, 2*16000+2)...)
	if _, err := Open(second, time.Second); err == nil || !strings.Contains(err.Error(), "at most 1s") {
		t.Errorf("a sample more than a second: %v", err)
	}
	r, err := Open(second[:len(second)-2][:40]+"\x00\x7d\x00\x00"+second[44:len(second)-2], time.Second)
	if err != nil || r.Duration() != time.Second {
		t.Errorf("a second: %v, %v", r, err)
	}
	r = &Recording{format: format{channels: 1, rate: 192000, bits: 8}, frames: 1 << 40}
	if got := r.Duration().Hours(); math.Abs(got-(1<<40)/192000./3600) > 1e-6 {
		t.Errorf("%v hours of 2^40 frames", got)
	}
}

func TestNotFinite(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), 1e300} {
		for _, rate := range []int{16000, 8000} {
			r, err := Open(file(chunk("fmt ", header(tagFloat, 1, 16000, 64)), chunk("data", floats(64, 0, v, 0))), hour)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Samples(t.Context(), rate); err == nil || !strings.Contains(err.Error(), "sample 1 is not finite") {
				t.Errorf("%v at %d: %v", v, rate, err)
			}
		}
	}
}

func recording(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func FuzzOpen(f *testing.F) {
	f.Add(mono16(1, 2, 3, 4), uint32(16000))
	f.Add(streamed(0xffffffff, 1, 2), uint32(8000))
	f.Add(file(chunk("LIST", []byte("odd")), chunk("fmt ", extensible(tagFloat, 2, 44100, 32, subFormat)), chunk("data", floats(32, 1, 2, 3, 4))), uint32(11025))
	f.Add(file(chunk("fmt ", header(tagPCM, 3, 192000, 24)), chunk("data", make([]byte, 90))), uint32(48000))
	f.Fuzz(func(t *testing.T, wav string, rate uint32) {
		r, err := Open(wav, time.Second/10)
		if err != nil {
			return
		}
		if r.Duration() > time.Second/10 || r.frames > int64(len(wav)) {
			t.Fatalf("%v, %d frames of %d bytes", r.Duration(), r.frames, len(wav))
		}
		to := int(minRate + rate%(maxRate-minRate+1))
		a, err := r.Samples(t.Context(), to)
		if err != nil {
			return
		}
		if int64(len(a)) != r.Length(to) || math.Abs(float64(len(a))-float64(r.frames)*float64(to)/float64(r.Rate())) >= 1 {
			t.Fatalf("%d samples of %d frames from %d to %d", len(a), r.frames, r.Rate(), to)
		}
		if b, err := r.Samples(t.Context(), to); err != nil || !slices.Equal(a, b) {
			t.Fatal("another answer")
		}
	})
}

// TestManyBits: bits are not taken for a part of the format's number.
func TestManyBits(t *testing.T) {
	for _, bits := range []int{0x108, 0x110, 0x220, 0x320, 0x340, 0x8010} {
		for _, tag := range []int{tagPCM, tagFloat} {
			_, err := Open(file(chunk("fmt ", header(tag, 8, 16000, bits)), chunk("data", make([]byte, bits))), hour)
			if err == nil || !strings.Contains(err.Error(), "bits") {
				t.Errorf("tag %d, %d bits: %v", tag, bits, err)
			}
		}
	}
}
