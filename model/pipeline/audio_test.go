package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

const speech = "testdata/speech"

// spoken is a case of testdata/speech/golden.json, which golden.py beside it wrote.
type spoken struct {
	Parts      []json.RawMessage
	Samples    int
	Tiny, Hama string
}

// wavOf is a file of recordings and silences one after the other.
func wavOf(t testing.TB, parts []json.RawMessage) string {
	t.Helper()
	var data []byte
	for _, p := range parts {
		var silence int
		var name string
		if json.Unmarshal(p, &silence) == nil {
			data = append(data, make([]byte, 2*silence)...)
			continue
		}
		if err := json.Unmarshal(p, &name); err != nil {
			t.Fatal(err)
		}
		data = append(data, fileOf(t, "sound/testdata", name+".wav")[44:]...)
	}
	return wav16(data)
}

// wav16 is a file of samples of 16 bits, 16,000 a second.
func wav16(data []byte) string {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return string(append(b, data...))
}

func fileOf(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// opened is a pipeline with one model, and what asks it.
func opened(t testing.TB, doc string, model []byte, files map[string][]byte) (*Pipeline, Ask) {
	t.Helper()
	m, err := onnx.ParseFrom(bytes.NewReader(model), onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(m)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), d, map[string]Model{d.Models()[0]: {s.Inputs(), s.Outputs()}}, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, func(ctx context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return s.Run(ctx, in)
	}
}

const tinyDoc = `
model: tiny.onnx
input: {audio: {rate: 16000, normalize: true, window: 12s}}
output: [ctc: {vocabulary: vocab.json, blank: "<pad>", word: "|"}]
`

// TestSpeech reads recordings as transformers and hama do, whole and in windows.
func TestSpeech(t *testing.T) {
	var cases []spoken
	if err := json.Unmarshal(fileOf(t, speech, "golden.json"), &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	t.Run("tiny", func(t *testing.T) {
		p, ask := opened(t, tinyDoc, fileOf(t, speech, "tiny.onnx"), map[string][]byte{"vocab.json": fileOf(t, speech, "vocab.json")})
		testSpeech(t, p, ask, cases, func(c spoken) string { return c.Tiny }, 0)
	})
	t.Run("hama", func(t *testing.T) {
		dir := os.Getenv("BLINDBOX_MODELS")
		if dir == "" {
			t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
		}
		const example = "../../examples/speech"
		doc := strings.Replace(string(fileOf(t, example, "pipeline.yaml")), "16000}", "16000, window: 12s}", 1)
		p, ask := opened(t, doc, fileOf(t, dir, "speech", "hama-asr.onnx"), map[string][]byte{"sounds.txt": fileOf(t, example, "sounds.txt")})
		if race.Enabled {
			cases = cases[:1]
		}
		// The model computes in 16 bits, which ONNX Runtime widens to 32 here and there: of a
		// minute's words, some may have another sound.
		testSpeech(t, p, ask, cases, func(c spoken) string { return c.Hama }, 3)
	})
}

func testSpeech(t *testing.T, p *Pipeline, ask Ask, cases []spoken, want func(spoken) string, others int) {
	var files, texts []string
	for _, c := range cases {
		files, texts = append(files, wavOf(t, c.Parts)), append(texts, want(c))
	}
	out, err := p.Run(t.Context(), audio(files...), ask)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range tensor.Data[string](out["text"]) {
		if n := otherWords(got, texts[i]); n > others*len(cases[i].Parts)/8 {
			t.Errorf("%s: %d words are others:\n%s, expected\n%s", cases[i].Parts, n, got, texts[i])
		}
	}
}

// otherWords counts the words that differ.
func otherWords(got, want string) (n int) {
	a, b := strings.Fields(got), strings.Fields(want)
	if len(a) != len(b) {
		return max(len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func audio(files ...string) map[string]*tensor.Tensor {
	return map[string]*tensor.Tensor{"audio": tensor.List(files...)}
}

// hears is a pipeline whose model is a function of samples.
func hears(t testing.TB, inputs []onnx.ValueInfo, classes int64) (*Pipeline, error) {
	t.Helper()
	d, err := Parse([]byte("model: m.onnx\ninput: {audio: {rate: 16000, window: 6s}}\noutput: [ctc: {vocabulary: v.txt, blank: _}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := "_\n" + strings.Repeat("x\n", int(classes-1))
	logits := onnx.ValueInfo{Name: "logits", Type: tensor.Float32, Shape: []int64{1, -1, classes}}
	return New(t.Context(), d, map[string]Model{"m.onnx": {inputs, []onnx.ValueInfo{logits}}}, map[string][]byte{"v.txt": []byte(vocabulary)}, nil)
}

// frames is a model that gives so many frames for a window.
func frames(classes int, count func(samples int) int) Ask {
	return func(_ context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		n := count(in["x"].Len())
		return tensors{"logits": tensor.Of(make([]float32, n*classes), 1, int64(n), int64(classes))}, nil
	}
}

// TestAudioFeeds shows what models are given of a recording.
func TestAudioFeeds(t *testing.T) {
	p, err := hears(t, []onnx.ValueInfo{value("x", tensor.Float32, 1, -1), value("n", tensor.Int64, -1), value("m", tensor.Int64, -1, -1)}, 2)
	if err != nil {
		t.Fatal(err)
	}
	var in tensors
	_, err = p.Run(t.Context(), audio(wav16([]byte{0, 0x40, 0, 0xc0})), func(_ context.Context, model string, got map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		in = got
		return frames(2, func(int) int { return 1 })(t.Context(), model, got)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tensor.Data[float32](in["x"]), in["x"].Shape, tensor.Data[int64](in["n"]), tensor.Data[int64](in["m"]), in["m"].Shape); got != "[0.5 -0.5] [1 2] [2] [1 1] [1 2]" {
		t.Error(got)
	}
}

func TestAudioModels(t *testing.T) {
	x := value("x", tensor.Float32, -1, -1)
	for name, inputs := range map[string][]onnx.ValueInfo{
		"no samples":          {value("n", tensor.Int64, -1)},
		"two samples":         {x, x},
		"a picture":           {value("x", tensor.Float32, -1, 3, -1, -1)},
		"a fixed length":      {value("x", tensor.Float32, -1, 16000)},
		"a batch of two":      {value("x", tensor.Float32, 2, -1)},
		"a scalar beside":     {x, value("sr", tensor.Int64)},
		"a fixed mask beside": {x, value("m", tensor.Int64, 1, 7)},
		"a flag beside":       {x, value("b", tensor.Bool, -1)},
	} {
		if _, err := hears(t, inputs, 2); err == nil || !strings.Contains(err.Error(), "input.audio") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAudioDocuments(t *testing.T) {
	for input, want := range map[string]string{
		"{window: 6s}":                "rate",
		"{rate: 7999}":                "8000 to 48000",
		"{rate: 48001}":               "8000 to 48000",
		"{rate: 16000, window: 0s}":   "multiple of 6s",
		"{rate: 16000, window: 7s}":   "multiple of 6s",
		"{rate: 16000, window: 126s}": "at most 2m0s",
		"{rate: 16000, hop: 3}":       "hop",
	} {
		_, err := Parse([]byte("model: m.onnx\ninput: {audio: " + input + "}\noutput: [normalize]\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", input, err)
		}
	}
}

func TestAudioRefusals(t *testing.T) {
	p, err := hears(t, []onnx.ValueInfo{value("x", tensor.Float32, 1, -1)}, 2)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	ask := func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		asked++
		return frames(2, func(int) int { return 1 })(ctx, model, in)
	}
	good := wav16(make([]byte, 320))
	long := wav16(make([]byte, 2*8000*60*6)) // at 8,000 a second it lasts 6 minutes
	long = long[:24] + "\x40\x1f" + long[26:]
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"no sound":     {[]string{good, "hello"}, "element 1: no WAV file"},
		"all of them":  {slices.Repeat([]string{long}, 12), "element 11: a recording of 6m0s, at most"},
		"not a number": {[]string{strings.Replace(wav16([]byte{0, 0, 0xc0, 0x7f}), "\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10", "\x03\x00\x01\x00\x80\x3e\x00\x00\x00\xfa\x00\x00\x04\x00\x20", 1)}, "element 0: a recording whose sample 0"},
	} {
		asked = 0
		_, err := p.Run(t.Context(), audio(c.files...), ask)
		var refused *InputError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || asked > 0 {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
	}
}

// TestWindows counts the frames that are put together of a recording of 20 s.
func TestWindows(t *testing.T) {
	p, err := hears(t, []onnx.ValueInfo{value("x", tensor.Float32, 1, -1)}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		count func(samples int) int
		want  string // of the error
	}{
		"20 ms":                   {func(n int) int { return n / 320 }, ""},
		"20 ms, one less":         {func(n int) int { return n/320 - 1 }, ""},
		"80 ms":                   {func(n int) int { return n/1280 + 1 }, ""},
		"30 ms":                   {func(n int) int { return n / 480 }, "cannot be put together"},
		"5 ms":                    {func(n int) int { return n / 80 }, "cannot be put together"},
		"three less":              {func(n int) int { return n/320 - 3 }, "cannot be put together"},
		"none at the end":         {func(n int) int { return max(1, n/320-n%96000) }, ""},
		"one frame for all of it": {func(int) int { return 1 }, "cannot be put together"},
	} {
		_, err := p.Run(t.Context(), audio(wav16(make([]byte, 2*16000*20+20))), frames(2, c.count))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWindowsMeet shows that each frame is there once: a model that says where in the
// recording a frame is.
func TestWindowsMeet(t *testing.T) {
	const length = 16000*20 + 777
	s := &audioSource{rate: 16000, samples: "x", windows: windowsOf(6e9, 16000)}
	samples := make([]float32, length)
	for i := range samples {
		samples[i] = float32(i)
	}
	for _, hop := range []int{160, 320, 640, 1280} {
		out, err := s.ask(t.Context(), 0, samples, func(in tensors) (tensors, error) {
			x := tensor.Data[float32](in["x"])
			var at []float32
			for i := 0; i < len(x); i += hop {
				at = append(at, x[i])
			}
			return tensors{"y": tensor.Of(at, 1, int64(len(at)), 1), "lengths": tensor.List(int64(len(at)))}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got := tensor.Data[float32](out["y"])
		for i, v := range got {
			if int(v) != i*hop {
				t.Fatalf("hop %d: frame %d is of sample %v", hop, i, v)
			}
		}
		if len(got) != (length+hop-1)/hop || out["y"].Shape[1] != int64(len(got)) {
			t.Errorf("hop %d: %d frames, shape %v", hop, len(got), out["y"].Shape)
		}
	}
}

func TestWindowsStop(t *testing.T) {
	p, err := hears(t, []onnx.ValueInfo{value("x", tensor.Float32, 1, -1)}, 2)
	if err != nil {
		t.Fatal(err)
	}
	file := wav16(make([]byte, 2*16000*20))
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	_, err = p.Run(ctx, audio(file), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		asked++
		cancel()
		return frames(2, func(n int) int { return n / 320 })(ctx, model, in)
	})
	if !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	broken := errors.New("broken")
	if _, err = p.Run(t.Context(), audio(file), func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return nil, broken
	}); err != broken {
		t.Errorf("a model that fails: %v", err)
	}
	asked = 0
	_, err = p.Run(t.Context(), audio(file), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		asked++
		return frames(asked+1, func(n int) int { return n / 320 })(ctx, model, in)
	})
	if err == nil || !strings.Contains(err.Error(), "frames of 2 and of 3 elements") {
		t.Errorf("a model that changes: %v", err)
	}
}

func TestWindowsTooMuch(t *testing.T) {
	p, err := hears(t, []onnx.ValueInfo{value("x", tensor.Float32, 1, -1)}, 1<<17)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Run(t.Context(), audio(wav16(make([]byte, 2*16000*11))), frames(1<<17, func(n int) int { return n / 320 }))
	var refused *InputError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "send it in parts") {
		t.Errorf("%v", err)
	}
}

// TestStandardized has the values that the feature extractor of transformers gives.
func TestStandardized(t *testing.T) {
	got := standardized([]float32{0, 1, 2, 3})
	for i, want := range []float64{-1.3416407, -0.4472136, 0.4472136, 1.3416407} {
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("%v", got)
		}
	}
	if got := standardized(make([]float32, 3)); !slices.Equal(got, make([]float32, 3)) {
		t.Errorf("silence became %v", got)
	}
}
