package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t testing.TB, name string) *Image {
	t.Helper()
	m, err := Decode(t.Context(), read(t, name), DefaultLimits())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// furthest is the largest difference of two bytes, and the mean of all.
func furthest(t testing.TB, a, b *Image) (most int, mean float64) {
	t.Helper()
	if a.W != b.W || a.H != b.H || len(a.Pix) != 3*a.W*a.H || len(b.Pix) != len(a.Pix) {
		t.Fatalf("%d x %d (%d bytes), expected %d x %d", a.W, a.H, len(a.Pix), b.W, b.H)
	}
	sum := 0
	for i, v := range a.Pix {
		d := max(int(v)-int(b.Pix[i]), int(b.Pix[i])-int(v))
		most, sum = max(most, d), sum+d
	}
	return most, float64(sum) / float64(len(a.Pix))
}

// TestDecode: what Pillow reads from the same files. PNG is exact. JPEG's decoders round the inverse
// cosine transform in ways of their own, by one in each of the three planes; in files of blocks of one
// colour there is nothing to round.
func TestDecode(t *testing.T) {
	for name, most := range map[string]int{
		"rgb.png": 0, "alpha.png": 0, "gray.png": 0, "palette.png": 0, "clear.png": 0, "bits.png": 0,
		"rgb.jpg": 3, "gray.jpg": 1, "cmyk.jpg": 3, "half.jpg": 3, "progressive.jpg": 3,
		"blocks.h2v2.jpg": 0, "blocks.h2v1.jpg": 0, "blocks.h1v2.jpg": 0, "blocks.h4v1.jpg": 0, "wide.h2v2.jpg": 0,
		"narrow.h2v2.jpg": 3, "narrow.h2v1.jpg": 3, "five.h2v2.jpg": 3,
	} {
		t.Run(name, func(t *testing.T) {
			got, mean := furthest(t, decode(t, name), decode(t, name+".shown.png"))
			t.Logf("largest difference %d/255, mean %.3f", got, mean)
			if got > most || mean > 0.2 {
				t.Errorf("differs by %d/255 (mean %.3f), expected at most %d", got, mean, most)
			}
		})
	}
}

func TestOrientation(t *testing.T) {
	for turn := '1'; turn <= '8'; turn++ {
		name := "turn" + string(turn) + ".jpg"
		if got, _ := furthest(t, decode(t, name), decode(t, name+".shown.png")); got > 4 {
			t.Errorf("%s: differs by %d/255", name, got)
		}
	}
}

// jpegWith has segments behind the first marker of a small JPEG file.
func jpegWith(t testing.TB, segments ...string) []byte {
	t.Helper()
	var file bytes.Buffer
	m := image.NewGray(image.Rect(0, 0, 8, 4))
	m.SetGray(0, 0, color.Gray{Y: 255})
	if err := jpeg.Encode(&file, m, nil); err != nil {
		t.Fatal(err)
	}
	return append([]byte("\xff\xd8"+strings.Join(segments, "")), file.Bytes()[2:]...)
}

func app1Segment(body string) string {
	return "\xff\xe1" + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)+2))) + body
}

func TestOrientationOfDamagedFiles(t *testing.T) {
	entry := "\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"little":          {"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + entry, 6},
		"big":             {"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00", 6},
		"second":          {"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00" + strings.Repeat("\x01", 12) + entry, 6},
		"beyond count":    {"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + strings.Repeat("\x01", 12) + entry, 1},
		"outside":         {"Exif\x00\x00II*\x00\xff\xff\xff\xff\x01\x00" + entry, 1},
		"cut":             {"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + entry[:11], 1},
		"none":            {"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00", 1},
		"nine":            {"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x09\x00\x00\x00", 1},
		"of another type": {"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x04\x00\x01\x00\x00\x00\x06\x00\x00\x00", 1},
		"short":           {"Exif\x00\x00II", 1},
		"other":           {"http://ns.adobe.com/xap/1.0/\x00", 1},
	} {
		file := jpegWith(t, app1Segment(c.body))
		if got := scanJPEG(file).turn; got != c.want {
			t.Errorf("%s: orientation %d, expected %d", name, got, c.want)
		}
		m, err := Decode(t.Context(), file, DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if tall := m.H > m.W; tall != (c.want >= 5) {
			t.Errorf("%s: %d x %d", name, m.W, m.H)
		}
	}
}

// TestHeader: what decoding takes is known before, and the size is that of the turned picture.
func TestHeader(t *testing.T) {
	for name, want := range map[string]Header{
		"rgb.png":         {W: 61, H: 47, Bytes: 61 * 47 * (4 + 3)},
		"rgb.jpg":         {W: 61, H: 47, Bytes: 64 * 64 * 11},
		"progressive.jpg": {W: 61, H: 47, Bytes: 64 * 64 * (11 + 12)},
		"gray.jpg":        {W: 61, H: 47, Bytes: 64 * 64 * 11},
		"turn3.jpg":       {W: 40, H: 24, Bytes: 64 * 32 * 14, turn: 3},
		"turn6.jpg":       {W: 24, H: 40, Bytes: 64 * 32 * 14, turn: 6},
	} {
		want.turn = max(want.turn, 1)
		if got, err := ReadHeader(read(t, name), DefaultLimits()); got != want || err != nil {
			t.Errorf("%s: %+v, %v, expected %+v", name, got, err, want)
		}
	}
}

// pngOf is the header of a PNG file and some data.
func pngOf(w, h uint32, depth, kind, interlace byte, chunks ...string) []byte {
	ihdr := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h), depth, kind, 0, 0, interlace)
	file := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + string(ihdr))
	file = binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(ihdr))
	return append(file, strings.Join(chunks, "")...)
}

// sized is a JPEG file that says that it is of another size, and of another kind.
func sized(t testing.TB, w, h uint16, marker byte) []byte {
	file := jpegWith(t)
	at := bytes.Index(file, []byte{0xff, sof0})
	file[at+1] = marker
	binary.BigEndian.PutUint16(file[at+5:], h)
	binary.BigEndian.PutUint16(file[at+7:], w)
	return file
}

// TestRefused: before any memory is taken for pixels.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file []byte
		want error
		says string
	}{
		"nothing":         {nil, ErrFormat, "expected a PNG or a JPEG"},
		"gif":             {[]byte("GIF89a"), ErrFormat, "expected a PNG or a JPEG"},
		"magic alone":     {[]byte("\x89PNG\r\n\x1a\n"), ErrFormat, "ends in its header"},
		"jpeg alone":      {[]byte("\xff\xd8"), ErrFormat, "EOF"},
		"header alone":    {pngOf(8, 8, 8, 2, 0), ErrFormat, "EOF"},
		"no width":        {pngOf(0, 8, 8, 2, 0), ErrFormat, "0 x 8"},
		"large":           {pngOf(60000, 60000, 8, 2, 0), ErrLimit, "60000 x 60000 pixels, at most 40000000"},
		"larger":          {pngOf(1<<32-1, 1<<32-1, 8, 2, 0), ErrLimit, "at most 40000000"},
		"long":            {pngOf(70000, 1, 8, 2, 0), ErrLimit, "65535 on a side"},
		"deep":            {pngOf(6300, 6300, 16, 6, 1), ErrLimit, "719 MiB"},
		"jpeg":            {sized(t, 60000, 60000, sof0), ErrLimit, "60000 x 60000 pixels"},
		"progressive":     {sized(t, 6300, 6300, sof2), ErrLimit, "not progressive"},
		"thin":            {sized(t, 65535, 610, sof2), ErrLimit, "not progressive"},
		"damaged picture": {read(t, "rgb.png")[:900], ErrFormat, "png: "},
		"damaged jpeg":    {read(t, "rgb.jpg")[:900], ErrFormat, "JPEG"},
	} {
		m, err := Decode(t.Context(), c.file, DefaultLimits())
		if m != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %v with %q", name, err, c.want, c.says)
		}
	}
}

// TestStray: what stands between segments is read over by the decoder and not by the scan, so the
// file counts as the dearest kind.
func TestStray(t *testing.T) {
	plain := sized(t, 6300, 6300, sof0)
	if _, err := Decode(t.Context(), plain, DefaultLimits()); errors.Is(err, ErrLimit) {
		t.Fatalf("a plain file of this size: %v", err)
	}
	stray := append([]byte("\xff\xd8\x00"), plain[2:]...)
	if _, err := Decode(t.Context(), stray, DefaultLimits()); !errors.Is(err, ErrLimit) {
		t.Errorf("with a stray byte: %v", err)
	}
}

func TestDecodeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"rgb.png", "rgb.jpg"} {
		if _, err := Decode(ctx, read(t, name), DefaultLimits()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := decode(t, "rgb.png")
	if _, err := m.Resize(ctx, 20, 47, Bilinear()); !errors.Is(err, context.Canceled) {
		t.Errorf("across: %v", err)
	}
	if _, err := m.Resize(ctx, 61, 20, Bilinear()); !errors.Is(err, context.Canceled) {
		t.Errorf("down: %v", err)
	}
	if _, err := m.Linear(ctx, 20, 20); !errors.Is(err, context.Canceled) {
		t.Errorf("linear: %v", err)
	}
	if err := (Values{}).Write(ctx, make([]float32, 3*61*47), m); !errors.Is(err, context.Canceled) {
		t.Errorf("values: %v", err)
	}
	if _, err := flatten(ctx, image.NewGray(image.Rect(0, 0, 3, 3))); !errors.Is(err, context.Canceled) {
		t.Errorf("flatten: %v", err)
	}
}

// TestKinds: every kind of picture that a decoder may return shows the same, also with an origin
// of its own.
func TestKinds(t *testing.T) {
	r := image.Rect(3, 2, 9, 7)
	fill := func(x, y int) color.NRGBA {
		v := uint8(40*x+9*y) & 0xfe
		return color.NRGBA{R: v, G: v, B: v, A: 255}
	}
	palette := color.Palette{}
	for v := range 128 {
		palette = append(palette, color.Gray{Y: uint8(2 * v)})
	}
	for name, m := range map[string]interface {
		image.Image
		Set(x, y int, c color.Color)
	}{
		"gray": image.NewGray(r), "gray16": image.NewGray16(r), "rgba": image.NewRGBA(r), "rgba64": image.NewRGBA64(r),
		"nrgba": image.NewNRGBA(r), "nrgba64": image.NewNRGBA64(r), "cmyk": image.NewCMYK(r), "paletted": image.NewPaletted(r, palette),
	} {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				m.Set(x, y, fill(x, y))
			}
		}
		got, err := flatten(t.Context(), m)
		if err != nil || got.W != 6 || got.H != 5 {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		for i := range got.W * got.H {
			if want := fill(3+i%6, 2+i/6); !bytes.Equal(got.Pix[3*i:3*i+3], []byte{want.R, want.R, want.R}) {
				t.Errorf("%s: pixel %d is %d, expected %d", name, i, got.Pix[3*i:3*i+3], want.R)
			}
		}
	}
}

// FuzzDecode: no file makes it panic, or return what is not within its limits.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"rgb.png", "alpha.png", "palette.png", "bits.png", "half.jpg", "progressive.jpg", "cmyk.jpg", "turn6.jpg"} {
		f.Add(read(f, name))
	}
	f.Add(pngOf(60000, 60000, 8, 2, 0))
	lim := Limits{Pixels: 1 << 16, Bytes: 1 << 22}
	f.Fuzz(func(t *testing.T, file []byte) {
		head, headErr := ReadHeader(file, lim)
		m, err := Decode(t.Context(), file, lim)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return
		}
		if headErr != nil || head.W != m.W || head.H != m.H || int64(m.W)*int64(m.H) > lim.Pixels || len(m.Pix) != 3*m.W*m.H || m.W < 1 || m.H < 1 {
			t.Fatalf("%d x %d, %d bytes", m.W, m.H, len(m.Pix))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	big := New(4000, 3000)
	for i := range big.Pix {
		big.Pix[i] = byte(i * i >> 9)
	}
	m := image.NewNRGBA(image.Rect(0, 0, big.W, big.H))
	for i := range big.W * big.H {
		copy(m.Pix[4*i:], big.Pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, m), jpeg.Encode(&asJPEG, m, nil)); err != nil {
		b.Fatal(err)
	}
	for name, file := range map[string][]byte{"png": asPNG.Bytes(), "jpeg": asJPEG.Bytes()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Decode(b.Context(), file, DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("resize", func(b *testing.B) {
		for b.Loop() {
			if _, err := big.Resize(b.Context(), 341, 256, Bilinear()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestTwoReadings: a file whose segments could be walked over in another way than the decoder does
// counts as what it is, or as more.
func TestTwoReadings(t *testing.T) {
	file := read(t, "progressive.jpg")
	honest, err := ReadHeader(file, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	// A comment in which a frame of the cheap kind stands, where it is found if the byte 0xff that
	// fills up is taken for a marker, or a marker that stands alone for one with a length.
	cheap := "\xff\xc0\x00\x08\x08\x00\x01\x00\x01\x01" + strings.Repeat("\x00", 10)
	for name, before := range map[string]string{"filled up": "\xff", "alone": "\xff\xd0"} {
		body := strings.Repeat(cheap, 4000)
		for shift := range 20 {
			bad := string(file[:2]) + before + "\xff\xef\xff\xff" + (strings.Repeat("\x00", shift) + body)[:0xfffd] + string(file[2:])
			head, err := ReadHeader([]byte(bad), DefaultLimits())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := Decode(t.Context(), []byte(bad), DefaultLimits()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if head.Bytes < honest.Bytes {
				t.Fatalf("%s, %d: %d bytes, and the file alone takes %d", name, shift, head.Bytes, honest.Bytes)
			}
		}
	}
}
