package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/voice"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// silero is what silero VAD tells of itself.
func silero() Model {
	return Model{
		Inputs:  []onnx.ValueInfo{value("input", tensor.Float32, -1, -1), value("state", tensor.Float32, 2, -1, 128), value("sr", tensor.Int64)},
		Outputs: []onnx.ValueInfo{value("output", tensor.Float32, -1, 1), value("stateN", tensor.Float32, -1, -1, -1)},
	}
}

func voiceDoc(more string) string { return "voice: {model: m.onnx, rate: 16000" + more + "}\n" }

// loud is a model for which what is loud is speech. It remembers how many windows it heard.
func loud(_ context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	x, state := tensor.Data[float32](in["input"]), in["state"].Clone()
	tensor.Data[float32](state)[0]++
	return tensors{"output": tensor.Of([]float32{float32(math.Abs(float64(x[len(x)/2])))}, 1, 1), "stateN": state}, nil
}

// TestVoice: a second of silence, one of sound, one of silence.
func TestVoice(t *testing.T) {
	p := open(t, voiceDoc(", pad: 0s"), silero())
	samples := bytes.Repeat([]byte{0, 0}, 16384)
	samples = append(append(samples, bytes.Repeat([]byte{0, 0x60}, 16384)...), samples...)
	for range 2 { // what the model remembers is a request's own
		heard := 0
		out, err := p.Run(t.Context(), audio(wav16(samples)), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			if n := tensor.Data[float32](in["state"])[0]; int(n) != heard || model != "m.onnx" || tensor.Data[int64](in["sr"])[0] != 16000 || in["input"].Len() != 576 {
				t.Fatalf("window %d: %v", heard, in)
			}
			heard++
			return loud(ctx, model, in)
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"start": "[1.024]", "end": "[2.048]"} {
			if got := fmt.Sprint(tensor.Data[float32](out[name])); got != want {
				t.Errorf("%s %s, expected %s", name, got, want)
			}
		}
		if n := out["probability"].Len(); n != 96 || heard != 96 {
			t.Errorf("%d probabilities, %d windows, expected 96", n, heard)
		}
	}
	out, err := p.Run(t.Context(), audio(wav16(samples[:2000])), loud)
	if err != nil || out["start"].Check() != nil || out["start"].Len() != 0 || out["end"].Len() != 0 {
		t.Errorf("silence: %v, %v", out, err)
	}
}

// TestVoiceReal finds, end to end, what silero-vad finds in a recording; package voice
// has the other ones.
func TestVoiceReal(t *testing.T) {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
	}
	p, ask := opened(t, string(fileOf(t, "../../examples/voice/pipeline.yaml")), fileOf(t, dir, "silero-vad.onnx"), nil)
	if err := p.Try(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(t.Context(), audio(wavOf(t, []json.RawMessage{[]byte(`"young"`), []byte("8000"), []byte(`"leisure"`), []byte("3200"), []byte(`"amiable"`)})), ask)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(tensor.Data[float32](out["start"]), tensor.Data[float32](out["end"]))
	if want := "[0.226 3.714 11.042] [2.878 10.398 13.854]"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

func TestVoiceDocuments(t *testing.T) {
	for doc, want := range map[string]string{
		"voice: {model: m.onnx}":              "rate",
		"voice: {rate: 16000}":                "model",
		"voice: {model: m.txt, rate: 16000}":  "ends in .onnx",
		"voice: {model: m.onnx, rate: 44100}": "8000 or 16000",
		voiceDoc(", threshold: 0.04"):         "0.05 to 0.95",
		voiceDoc(", threshold: 0.96"):         "0.05 to 0.95",
		voiceDoc(", silence: -1ms"):           "voice.silence",
		voiceDoc(", speech: 61s"):             "voice.speech",
		voiceDoc(", pad: 1us"):                "voice.pad",
		voiceDoc("") + "model: m.onnx":        "more than one pipeline",
	} {
		if _, err := Parse([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", doc, err, want)
		}
	}
	d, err := Parse([]byte("voice: {model: m.onnx, rate: 8000, threshold: 0.4, silence: 1s, speech: 2ms, pad: 0s}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(d.task.(*voiceTask).options()); got != "{8000 0.4 1s 2ms 0s}" {
		t.Error(got)
	}
	if d, err = Parse([]byte(voiceDoc(""))); err != nil || d.task.(*voiceTask).options() != voice.Default() {
		t.Errorf("a document without options: %v", err)
	}
}

func TestVoiceModels(t *testing.T) {
	d, err := Parse([]byte(voiceDoc("")))
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(m *Model){
		"another input":    func(m *Model) { m.Inputs = append(m.Inputs, value("h", tensor.Float32, 2, 1, 64)) },
		"a flat input":     func(m *Model) { m.Inputs[0].Shape = []int64{-1} },
		"a whole input":    func(m *Model) { m.Inputs[0].Type = tensor.Int64 },
		"no input":         func(m *Model) { m.Inputs = m.Inputs[1:] },
		"an open state":    func(m *Model) { m.Inputs[1].Shape = []int64{2, 1, -1} },
		"a huge state":     func(m *Model) { m.Inputs[1].Shape = []int64{65, 1, 128} },
		"a wide state":     func(m *Model) { m.Inputs[1].Shape = []int64{2, 1, 1<<16 + 1} },
		"no state":         func(m *Model) { m.Inputs = m.Inputs[:1] },
		"rates":            func(m *Model) { m.Inputs[2].Shape = []int64{1} },
		"no output":        func(m *Model) { m.Outputs = m.Outputs[1:] },
		"no next state":    func(m *Model) { m.Outputs = m.Outputs[:1] },
		"an output of int": func(m *Model) { m.Outputs[0].Type = tensor.Int64 },
	} {
		m := silero()
		edit(&m)
		if _, err := New(t.Context(), d, map[string]Model{"m.onnx": m}, nil, nil); err == nil || !strings.Contains(err.Error(), "silero VAD") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := silero()
	m.Inputs = m.Inputs[:2]
	if _, err := New(t.Context(), d, map[string]Model{"m.onnx": m}, nil, nil); err != nil {
		t.Errorf("a model for one rate: %v", err)
	}
}

func TestVoiceRefusals(t *testing.T) {
	p := open(t, voiceDoc(""), silero())
	var wrong *InputError
	for name, in := range map[string]map[string]*tensor.Tensor{
		"no sound":       audio("hello"),
		"two recordings": audio(wav16([]byte{0, 0}), wav16([]byte{0, 0})),
	} {
		if _, err := p.Run(t.Context(), in, loud); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	one := tensor.Of([]float32{0.5}, 1, 1)
	state := tensor.Of(make([]float32, 256), 2, 1, 128)
	for name, out := range map[string]tensors{
		"nothing":        {},
		"no state":       {"output": one},
		"no output":      {"stateN": state},
		"two outputs":    {"output": tensor.List[float32](1, 2), "stateN": state},
		"a whole number": {"output": tensor.List[int64](1), "stateN": state},
		"a short state":  {"output": one, "stateN": tensor.List[float32](1)},
		"a whole state":  {"output": one, "stateN": tensor.Of(make([]int64, 256), 2, 1, 128)},
		"a broken state": {"output": one, "stateN": tensor.Of(make([]float32, 255), 2, 1, 128)},
	} {
		_, err := p.Run(t.Context(), audio(wav16([]byte{0, 0})), answers(out))
		if err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), "one probability and a state") {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	fails := func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return nil, broken
	}
	if err := p.Try(t.Context(), fails); !errors.Is(err, broken) {
		t.Errorf("tried: %v", err)
	}
	if _, err := p.Run(t.Context(), audio(wav16([]byte{0, 0})), fails); err != broken {
		t.Errorf("asked: %v", err)
	}
}

func answers(out tensors) Ask {
	return func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return out, nil
	}
}

// FuzzAudio: whatever callers send and models say, there is an answer or an error, and the
// model is asked for windows alone.
func FuzzAudio(f *testing.F) {
	f.Add(wav16(make([]byte, 400)), uint16(1), byte(0))
	f.Add(wav16(make([]byte, 2*16000*7)), uint16(320), byte(2))
	f.Fuzz(func(t *testing.T, file string, hop uint16, add byte) {
		if len(file) > 1<<20 {
			return
		}
		p, err := hears(t, []onnx.ValueInfo{value("x", tensor.Float32, 1, -1)}, 2)
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Run(t.Context(), audio(file), frames(2, func(n int) int {
			if n < 1 || n > 6*16000 {
				t.Fatalf("a window of %d samples", n)
			}
			return n/max(16, int(hop)) + int(add%4)
		}))
		if err == nil && (out["text"].Check() != nil || out["text"].Len() != 1) {
			t.Fatalf("%v", out)
		}
		v := open(t, voiceDoc(""), silero())
		if out, err = v.Run(t.Context(), audio(file), loud); err == nil && out["start"].Len() != out["end"].Len() {
			t.Fatalf("%v", out)
		}
	})
}
