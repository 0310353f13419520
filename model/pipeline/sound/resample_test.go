package sound

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// golden is a case of testdata/golden.json, which golden.py beside it wrote.
type golden struct {
	Source      string
	From, To    int
	Length      int
	Step        int
	Scipy, Soxr []float64
}

// source is the sound that a case begins with, as golden.py has it.
func (g golden) source(t *testing.T) *Recording {
	t.Helper()
	wav := ""
	if g.Source == "noise" {
		wav = mono(g.From, noise())
	} else {
		b := []byte(recording(t, g.Source))
		wav = mono(g.From, b[44:])
	}
	r, err := Open(wav, hour)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mono(rate int, samples []byte) string {
	return file(chunk("fmt ", header(tagPCM, 1, rate, 16)), chunk("data", samples))
}

func noise() (b []byte) {
	state := uint32(1)
	for i := range 4410 {
		state = state*1664525 + 1013904223
		v := 0.25*math.Sin(float64(i)*0.05) + 0.25*math.Sin(float64(i*i)*1e-4) + float64(state>>16)/65536*0.25
		n := int16(math.RoundToEven(v * 32767))
		b = append(b, byte(n), byte(n>>8))
	}
	return b
}

// TestGolden compares with SciPy's polyphase filter, given the same window, and with
// soxr, whose window is another: it keeps more of the last 8th below half the rate. The rates of 44,101 and 16,000 have no divisor in common:
// weights are interpolated.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for _, c := range cases {
		got, err := c.source(t).Samples(t.Context(), c.To)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != c.Length {
			t.Errorf("%s from %d to %d: %d samples, SciPy makes %d", c.Source, c.From, c.To, len(got), c.Length)
			continue
		}
		if d, _ := apart(got, c.Scipy, c.Step); d > 1e-6 {
			t.Errorf("%s from %d to %d: %.2g from SciPy's, expected at most 1e-6", c.Source, c.From, c.To, d)
		}
		d, part := apart(got, c.Soxr, c.Step)
		t.Logf("%s from %d to %d: at most %.2g from soxr's, %.2g of the sound", c.Source, c.From, c.To, d, part)
		if c.Source != "noise" && part > 0.12 {
			t.Errorf("%s from %d to %d: soxr's differs in %.2g of the sound, expected at most 0.12", c.Source, c.From, c.To, part)
		}
	}
}

// apart returns the largest difference, and how large differences are in the mean beside
// the values.
func apart(got []float32, want []float64, step int) (most, part float64) {
	var differences, values float64
	for i, w := range want {
		if i*step < len(got) {
			d := math.Abs(float64(got[i*step]) - w)
			most, differences, values = max(most, d), differences+d*d, values+w*w
		}
	}
	return most, math.Sqrt(differences / values)
}

// TestTones sends tones through: what both rates can hold is kept, what they cannot is
// gone.
func TestTones(t *testing.T) {
	for _, c := range []struct {
		from, to  int
		hz        float64
		low, high float64 // of what is left
	}{
		{48000, 16000, 440, 0.999, 1.001},
		{48000, 16000, 0.84 * 8000, 0.999, 1.001},
		{48000, 16000, 8001, 0, 1.1e-4},
		{48000, 16000, 12000, 0, 1.1e-4},
		{44100, 16000, 6700, 0.999, 1.001},
		{8000, 16000, 3300, 0.999, 1.001},
		{44101, 16000, 3000, 0.999, 1.001},
		{44101, 16000, 9000, 0, 1.1e-4},
	} {
		var tone []byte
		for i := range c.from / 4 {
			n := int32(math.MaxInt32 / 2 * math.Sin(2*math.Pi*c.hz*float64(i)/float64(c.from)))
			tone = append(tone, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		}
		r, err := Open(file(chunk("fmt ", header(tagPCM, 1, c.from, 32)), chunk("data", tone)), hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Samples(t.Context(), c.to)
		if err != nil {
			t.Fatal(err)
		}
		middle := got[len(got)/4 : len(got)*3/4]
		sum := 0.0
		for _, v := range middle {
			sum += float64(v) * float64(v)
		}
		if left := math.Sqrt(2*sum/float64(len(middle))) / 0.5; left < c.low || left > c.high {
			t.Errorf("%v Hz from %d to %d: %.6f is left, expected %v to %v", c.hz, c.from, c.to, left, c.low, c.high)
		}
	}
}

// TestBlocks shows that a sample does not depend on the block that it was made in.
func TestBlocks(t *testing.T) {
	r := golden{Source: "noise", From: 44100}.source(t)
	whole, err := r.Samples(t.Context(), 16000)
	if err != nil {
		t.Fatal(err)
	}
	f := newFilter(44100, 16000)
	for _, first := range []int{0, 1, 255, 256, 777, len(whole) - 3} {
		one := make([]float32, min(3, len(whole)-first))
		if err := f.fill(one, int64(first), r.mix); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(one, whole[first:first+len(one)]) {
			t.Errorf("from %d on: %v, expected %v", first, one, whole[first:first+len(one)])
		}
	}
}

func TestSamplesStop(t *testing.T) {
	r := golden{Source: "noise", From: 44100}.source(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, rate := range []int{44100, 16000} {
		if _, err := r.Samples(ctx, rate); err != context.Canceled {
			t.Errorf("to %d: %v", rate, err)
		}
	}
	for _, rate := range []int{0, minRate - 1, maxRate + 1} {
		if _, err := r.Samples(t.Context(), rate); err == nil {
			t.Errorf("made %d samples a second", rate)
		}
	}
}

func BenchmarkSamples(b *testing.B) {
	r, err := Open(mono(44100, make([]byte, 44100*2*10)), hour)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := r.Samples(b.Context(), 16000); err != nil {
			b.Fatal(err)
		}
	}
}
