package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/model/pipeline/mel"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// said is a case of testdata/transcribe/golden.json, which golden.py beside it wrote.
type said struct {
	Parts    []json.RawMessage
	Seconds  float64
	Text     string
	Segments [][3]any // start, end, text
}

// TestTranscribe writes down what faster-whisper writes down with the same weights: the same
// words, and the same times.
func TestTranscribe(t *testing.T) {
	var cases []said
	if err := json.Unmarshal(fileOf(t, "testdata/transcribe/golden.json"), &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	p, ask := whisperOf(t)
	if err := p.Try(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if race.Enabled && i > 1 {
			break
		}
		out, err := p.Run(t.Context(), audio(wavOf(t, c.Parts)), ask)
		if err != nil {
			t.Fatalf("%s: %v", c.Parts, err)
		}
		if text := tensor.Data[string](out["text"])[0]; text != c.Text {
			t.Errorf("%s: %s\nexpected %s", c.Parts, text, c.Text)
		}
		if l := tensor.Data[string](out["language"])[0]; l != "en" {
			t.Errorf("language %q", l)
		}
		c.compare(t, tensor.Data[string](out["segment"]), tensor.Data[float32](out["start"]), tensor.Data[float32](out["end"]))
	}
}

func (c said) compare(t *testing.T, segment []string, start, end []float32) {
	if len(segment) != len(c.Segments) {
		t.Fatalf("%s: %q, expected %q", c.Parts, segment, c.Segments)
	}
	for i, s := range c.Segments {
		// Nothing ends after the recording here.
		same := func(got float32, want any) bool {
			return math.Abs(float64(got)-min(want.(float64), c.Seconds)) < 0.001
		}
		if segment[i] != s[2] || !same(start[i], s[0]) || !same(end[i], s[1]) {
			t.Errorf("%s: %g to %g: %q, expected %v", c.Parts, start[i], end[i], segment[i], s)
		}
	}
}

// whisperOf is Whisper tiny.en in the pipeline of examples/speech.
func whisperOf(t testing.TB) (*Pipeline, Ask) {
	t.Helper()
	dir := os.Getenv("BLINDBOX_MODELS")
	if _, err := os.Stat(filepath.Join(dir, "whisper")); dir == "" || err != nil {
		t.Skip("no Whisper in BLINDBOX_MODELS: `make test` fetches it")
	}
	d, err := Parse(fileOf(t, "../../examples/speech/words/pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sessions, models, files := map[string]*onnx.Session{}, map[string]Model{}, map[string][]byte{}
	for _, name := range d.Models() {
		m, err := onnx.ParseFrom(bytes.NewReader(fileOf(t, dir, "whisper", name)), onnx.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		s, err := onnx.NewSession(m)
		if err != nil {
			t.Fatal(err)
		}
		sessions[name], models[name] = s, Model{s.Inputs(), s.Outputs()}
	}
	for _, name := range d.Files() {
		files[name] = fileOf(t, dir, "whisper", name)
	}
	p, err := New(t.Context(), d, models, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return sessions[model].Run(ctx, in)
	}
}

// BenchmarkTranscribe writes down 40 s of speech.
func BenchmarkTranscribe(b *testing.B) {
	p, ask := whisperOf(b)
	var parts []json.RawMessage
	for _, name := range []string{"jfk", "leisure", "young", "jfk", "amiable"} {
		parts = append(parts, json.RawMessage(fmt.Sprintf("%q", name)), json.RawMessage("16000"))
	}
	in := audio(wavOf(b, parts))
	for b.Loop() {
		if _, err := p.Run(b.Context(), in, ask); err != nil {
			b.Fatal(err)
		}
	}
	seconds := float64(len(tensor.Data[string](in["audio"])[0])) / 2 / mel.Rate
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/seconds, "of-its-time")
}
