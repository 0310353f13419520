package mel

import (
	"context"
	"encoding/json"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/sound"
)

// TestBesideWhisper compares spectrograms with those of openai-whisper, which
// testdata/golden.py asked.
func TestBesideWhisper(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name          string
		Bands, Frames int
		Sum           float64
		Rows          map[int][]float32
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		samples := make([]float32, 3300)
		if c.Name != "" {
			samples = recording(t, c.Name)
		}
		s, err := New(t.Context(), samples, c.Bands)
		if err != nil {
			t.Fatal(err)
		}
		frames := c.Frames
		got := make([]float32, frames*c.Bands)
		s.Window(got, 0)
		worst, sum := 0.0, 0.0
		for _, v := range got {
			sum += float64(v)
		}
		for row, want := range c.Rows {
			for band, w := range want {
				worst = max(worst, math.Abs(float64(got[band*frames+row]-w)))
			}
		}
		if s.Frames() != c.Frames || worst > 3e-5 || math.Abs(sum-c.Sum)/float64(len(got)) > 1e-6 || len(c.Rows) < 20 && c.Name != "" {
			t.Errorf("%q: %d frames, expected %d; worst difference %g; sum %g, expected %g", c.Name, s.Frames(), c.Frames, worst, sum, c.Sum)
		}
		if most := Bytes(int64(len(samples)), c.Bands); int64(4*len(s.values)) > most {
			t.Errorf("%q: %d numbers, told %d bytes", c.Name, len(s.values), most)
		}
	}
}

func recording(t testing.TB, name string) []float32 {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "sound", "testdata", name+".wav"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := sound.Open(string(file), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := r.Samples(t.Context(), Rate)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// TestWindow: windows are parts of the whole, and behind the end it is silent.
func TestWindow(t *testing.T) {
	s, err := New(t.Context(), recording(t, "young"), 80)
	if err != nil {
		t.Fatal(err)
	}
	whole, part := make([]float32, 80*1000), make([]float32, 80*100)
	s.Window(whole, 0)
	for _, from := range []int{0, 7, 250, 290, 900} {
		s.Window(part, from)
		for i := range part {
			band, frame := i/100, i%100
			if part[i] != whole[band*1000+from+frame] {
				t.Fatalf("band %d, frame %d of the window at %d: %g, expected %g", band, frame, from, part[i], whole[band*1000+from+frame])
			}
		}
	}
	if s.Frames() != 299 || whole[298] == 0 || whole[299] != 0 || whole[999] != 0 {
		t.Errorf("%d frames, the last of %g and then %g", s.Frames(), whole[298], whole[299])
	}
	for _, n := range []int{0, 1, 159, 160, 199, 200, 399, 400, 401} {
		s, err := New(t.Context(), make([]float32, n), 3)
		if err != nil || s.Frames() != n/160 || int64(4*len(s.values)) > Bytes(int64(n), 3) {
			t.Errorf("%d samples: %v, %v", n, s, err)
		}
	}
}

func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := New(ctx, make([]float32, 1000), 80); s != nil || err != context.Canceled {
		t.Errorf("%v, %v", s, err)
	}
}

// TestFourier compares the transform with its definition.
func TestFourier(t *testing.T) {
	f, random := newFourier(), rand.New(rand.NewPCG(1, 2))
	for i := range f.in {
		f.in[i] = complex(random.NormFloat64(), random.NormFloat64())
	}
	in := f.in
	f.transform()
	for k := range size {
		var want complex128
		for i, x := range in {
			want += x * f.roots[i*k%size]
		}
		if cmplx.Abs(f.out[k]-want) > 1e-11 {
			t.Fatalf("%d: %v, expected %v", k, f.out[k], want)
		}
	}
}

// TestFilters: as many bands as there may be, however narrow, stay within the spectrum.
func TestFilters(t *testing.T) {
	for _, bands := range []int{1, 2, 80, 128, MaxBands} {
		for i, f := range filters(bands) {
			if f.first < 0 || f.first+len(f.weights) > size/2+1 || bands <= 80 && len(f.weights) == 0 {
				t.Errorf("%d bands: band %d is %d frequencies from %d on", bands, i, len(f.weights), f.first)
			}
		}
	}
}

func BenchmarkMel(b *testing.B) {
	samples := make([]float32, 30*Rate)
	for i := range samples {
		samples[i] = float32(i%977) / 977
	}
	for b.Loop() {
		if _, err := New(b.Context(), samples, 80); err != nil {
			b.Fatal(err)
		}
	}
}
