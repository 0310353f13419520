package voice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/model/pipeline/sound"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// golden is testdata/golden.json, which golden.py beside it wrote.
type golden struct {
	Found []struct {
		expected
		Parts         []json.RawMessage
		Probabilities []float32
	}
	Cut []struct {
		expected
		Seed uint32
	}
}

type expected struct {
	Rate    int
	Options struct {
		Threshold *float64
		Silence   *int64 `json:"min_silence_duration_ms"`
		Speech    *int64 `json:"min_speech_duration_ms"`
		Pad       *int64 `json:"speech_pad_ms"`
	}
	Segments [][2]int
}

func (e expected) options() Options {
	o := Default()
	o.Rate = e.Rate
	if v := e.Options.Threshold; v != nil {
		o.Threshold = *v
	}
	for _, p := range []struct {
		from *int64
		to   *time.Duration
	}{{e.Options.Silence, &o.Silence}, {e.Options.Speech, &o.Speech}, {e.Options.Pad, &o.Pad}} {
		if p.from != nil {
			*p.to = time.Duration(*p.from) * time.Millisecond
		}
	}
	return o
}

func (e expected) check(t *testing.T, got []Segment) {
	t.Helper()
	want := make([]Segment, len(e.Segments))
	for i, s := range e.Segments {
		want[i] = Segment{s[0], s[1]}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil || len(g.Found) == 0 || len(g.Cut) == 0 {
		t.Fatalf("%d and %d cases: %v", len(g.Found), len(g.Cut), err)
	}
	return g
}

// TestSegments cuts made-up probabilities as silero-vad does.
func TestSegments(t *testing.T) {
	for _, c := range readGolden(t).Cut {
		t.Run(fmt.Sprint(c.Seed), func(t *testing.T) {
			c.check(t, c.options().Segments(madeUp(c.Seed), 199*Window(c.Rate)+1+int(c.Seed)))
		})
	}
}

// madeUp is made_up of golden.py.
func madeUp(seed uint32) (out []float32) {
	p := 512
	for range 200 {
		seed = seed*1664525 + 1013904223
		p = min(1024, max(0, p+int((seed>>16)%513)-256))
		out = append(out, float32(p)/1024)
	}
	return out
}

// TestSilero finds in recordings what silero-vad finds with the same model.
func TestSilero(t *testing.T) {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
	}
	s := session(t, filepath.Join(dir, "silero-vad.onnx"))
	known := map[string][]float32{} // options change nothing that the model is asked
	for _, c := range readGolden(t).Found {
		name := fmt.Sprintf("%s at %d", c.Parts, c.Rate)
		if race.Enabled && len(c.Parts) > 1 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			samples := joined(t, c.Parts, 16000/c.Rate)
			got, err := known[name], error(nil)
			if got == nil {
				got, err = c.options().Probabilities(t.Context(), samples, asks(t.Context(), s, c.Rate))
			}
			if err != nil {
				t.Fatal(err)
			}
			known[name] = got
			if len(got) != len(c.Probabilities) {
				t.Fatalf("%d windows, expected %d", len(got), len(c.Probabilities))
			}
			for i, p := range got {
				if math.Abs(float64(p-c.Probabilities[i])) > 1e-4 {
					t.Errorf("window %d: %v, expected %v", i, p, c.Probabilities[i])
				}
			}
			c.check(t, c.options().Segments(got, len(samples)))
		})
	}
}

func session(t *testing.T, file string) *onnx.Session {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.ParseFrom(bytes.NewReader(b), onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asks asks the model, and keeps what it remembers.
func asks(ctx context.Context, s *onnx.Session, rate int) func([]float32) (float32, error) {
	state := tensor.Of(make([]float32, 2*128), 2, 1, 128)
	return func(heard []float32) (float32, error) {
		out, err := s.Run(ctx, map[string]*tensor.Tensor{"input": tensor.Of(heard, 1, int64(len(heard))), "state": state, "sr": tensor.Scalar(int64(rate))})
		if err != nil {
			return 0, err
		}
		state = out["stateN"]
		return tensor.Data[float32](out["output"])[0], nil
	}
}

// joined is the recordings and silences of a case one after the other, of which it takes
// each so-many-th sample.
func joined(t *testing.T, parts []json.RawMessage, each int) (samples []float32) {
	t.Helper()
	for _, p := range parts {
		var silence int
		var name string
		if json.Unmarshal(p, &silence) == nil {
			samples = append(samples, make([]float32, silence)...)
		} else if err := json.Unmarshal(p, &name); err != nil {
			t.Fatal(err)
		} else {
			samples = append(samples, recording(t, name)...)
		}
	}
	var out []float32
	for i := 0; i < len(samples); i += each {
		out = append(out, samples[i])
	}
	return out
}

func recording(t *testing.T, name string) []float32 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "sound", "testdata", name+".wav"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := sound.Open(string(b), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := r.Samples(t.Context(), 16000)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// TestProbabilities shows what the model is asked.
func TestProbabilities(t *testing.T) {
	samples := make([]float32, Window(8000)+3)
	for i := range samples {
		samples[i] = float32(i + 1)
	}
	var heard [][]float32
	o := Default()
	o.Rate = 8000
	got, err := o.Probabilities(t.Context(), samples, func(x []float32) (float32, error) {
		heard = append(heard, slices.Clone(x))
		return 0.25, nil
	})
	if err != nil || !slices.Equal(got, []float32{0.25, 0.25}) {
		t.Fatal(got, err)
	}
	first := slices.Concat(make([]float32, 32), samples[:256])
	second := slices.Concat(samples[256-32:], make([]float32, 253))
	if !slices.Equal(heard[0], first) || !slices.Equal(heard[1], second) {
		t.Errorf("heard %v", heard)
	}
}

func TestProbabilitiesStop(t *testing.T) {
	o, samples, broken := Default(), make([]float32, 5000), errors.New("broken")
	if _, err := o.Probabilities(t.Context(), samples, func([]float32) (float32, error) { return 0, broken }); err != broken {
		t.Errorf("a model that fails: %v", err)
	}
	for _, p := range []float32{-0.01, 1.01, float32(math.NaN())} {
		if _, err := o.Probabilities(t.Context(), samples, func([]float32) (float32, error) { return p, nil }); err == nil || !strings.Contains(err.Error(), "expected a probability") {
			t.Errorf("%v: %v", p, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	if _, err := o.Probabilities(ctx, samples, func([]float32) (float32, error) { asked++; cancel(); return 0, nil }); err != context.Canceled || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if got, err := o.Probabilities(t.Context(), nil, nil); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

// FuzzSegments holds what every answer has: segments in order, apart, and within the
// recording.
func FuzzSegments(f *testing.F) {
	f.Add([]byte{0, 200, 200, 200, 200, 200, 200, 200, 200, 200, 0, 0, 0, 0, 0}, uint16(7000), byte(128), uint16(100), uint16(250), uint16(30))
	f.Add([]byte{255, 0, 255, 0, 255}, uint16(0), byte(10), uint16(0), uint16(0), uint16(1000))
	f.Fuzz(func(t *testing.T, heights []byte, cut uint16, threshold byte, silence, speech, pad uint16) {
		ms := func(n uint16) time.Duration { return time.Duration(n) * time.Millisecond }
		o := Options{Rate: 16000, Threshold: max(0.05, float64(threshold)/255), Silence: ms(silence), Speech: ms(speech), Pad: ms(pad)}
		p := make([]float32, len(heights))
		for i, h := range heights {
			p[i] = float32(h) / 255
		}
		samples := max(0, len(p)*Window(o.Rate)-int(cut)%Window(o.Rate))
		last := 0
		for _, s := range o.Segments(p, samples) {
			if s.Start < last || s.End < s.Start || s.End > samples {
				t.Fatalf("%v after %d in %d samples", s, last, samples)
			}
			last = s.End
		}
	})
}
