package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/voice"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// voiceTask finds speech in a recording.
type voiceTask struct {
	Pos       strictyaml.Pos
	Model     name    `yaml:"model,required"`
	Rate      integer `yaml:"rate,required"`
	Threshold number  `yaml:"threshold"`
	Silence   pause   `yaml:"silence"`
	Speech    pause   `yaml:"speech"`
	Pad       pause   `yaml:"pad"`
}

type pause = strictyaml.At[time.Duration]

// maxPause is the longest of the times of a voiceTask.
const maxPause = time.Minute

func (v *voiceTask) check(c *checker) {
	c.model(v.Model, "voice.model")
	if r := v.Rate.Value; r != 8000 && r != 16000 {
		c.refuse(v.Rate.Pos, "voice.rate", fmt.Sprint(r), "8000 or 16000")
	}
	if given(v.Threshold) {
		c.within(v.Threshold, "voice.threshold", 0.05, 0.95)
	}
	for _, p := range []struct {
		value pause
		key   string
	}{{v.Silence, "silence"}, {v.Speech, "speech"}, {v.Pad, "pad"}} {
		if d := p.value.Value; d < 0 || d > maxPause || d%time.Millisecond != 0 {
			c.refuse(p.value.Pos, "voice."+p.key, d.String(), "whole milliseconds, at most "+maxPause.String())
		}
	}
}

// options are those of the package silero-vad, but for what the document says.
func (v *voiceTask) options() voice.Options {
	o := voice.Default()
	o.Rate = v.Rate.Value
	if given(v.Threshold) {
		o.Threshold = float64(v.Threshold.Value)
	}
	for _, p := range []struct {
		value pause
		to    *time.Duration
	}{{v.Silence, &o.Silence}, {v.Speech, &o.Speech}, {v.Pad, &o.Pad}} {
		if given(p.value) {
			*p.to = p.value.Value
		}
	}
	return o
}

// The inputs and outputs of silero VAD.
const (
	voiceInput, voiceState, voiceRate = "input", "state", "sr"
	voiceOutput, voiceNext            = "output", "stateN"
)

func (v *voiceTask) open(b *binder) (runner, error) {
	m, r := b.models[v.Model.Value], &voiceRunner{model: v.Model.Value, options: v.options()}
	for _, in := range m.Inputs {
		switch n := len(in.Shape); {
		case in.Name == voiceInput && in.Type == tensor.Float32 && n == 2:
			r.heard = true
		case in.Name == voiceState && in.Type == tensor.Float32 && n == 3 && in.Shape[0] > 0 && in.Shape[2] > 0 && in.Shape[0] <= 64 && in.Shape[2] <= 1<<16:
			r.state = []int64{in.Shape[0], 1, in.Shape[2]}
		case in.Name == voiceRate && in.Type == tensor.Int64 && n == 0:
			r.rate = true
		default:
			return nil, v.misfit("the input " + in.String())
		}
	}
	outputs := map[string]bool{}
	for _, out := range m.Outputs {
		outputs[out.Name] = out.Type == tensor.Float32
	}
	if !r.heard || r.state == nil || !outputs[voiceOutput] || !outputs[voiceNext] {
		return nil, v.misfit(fmt.Sprintf("the inputs %s and the outputs %s", names(m.Inputs), names(m.Outputs)))
	}
	return r, nil
}

func (v *voiceTask) misfit(seen string) error {
	return misfit(v.Model.Pos, "voice.model", "a model with "+seen,
		"silero VAD, version 5 or 6: the inputs input, state and sr, the outputs output and stateN")
}

// voiceRunner is a voiceTask ready to run.
type voiceRunner struct {
	model       string
	options     voice.Options
	heard, rate bool // inputs that the model has
	state       []int64
}

func (r *voiceRunner) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{{Name: audioName, Type: tensor.String, Shape: []int64{1}, Symbols: []string{""}}}
}

func (r *voiceRunner) outputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("start", tensor.Float32), result("end", tensor.Float32), result("probability", tensor.Float32)}
}

func (r *voiceRunner) run(ctx context.Context, in map[string]*tensor.Tensor, ask Ask) (map[string]*tensor.Tensor, error) {
	recordings, err := recordingsOf(in, r.options.Rate)
	if err != nil {
		return nil, err
	}
	samples, err := recordings[0].Samples(ctx, r.options.Rate)
	if err != nil {
		return nil, heard(ctx, 0, err)
	}
	l, err := r.listener()
	if err != nil {
		return nil, err
	}
	probabilities, err := r.options.Probabilities(ctx, samples, func(window []float32) (float32, error) { return l.listen(ctx, window, ask) })
	if err != nil {
		return nil, err
	}
	var start, end []float32
	for _, s := range r.options.Segments(probabilities, len(samples)) {
		start, end = append(start, r.seconds(s.Start)), append(end, r.seconds(s.End))
	}
	return tensors{"start": tensor.List(start...), "end": tensor.List(end...), "probability": tensor.List(probabilities...)}, nil
}

// needs is what the samples take, and the list of probabilities twice.
func (r *voiceRunner) needs(in map[string]*tensor.Tensor) (most int64) {
	for _, n := range lengthsOf(in, r.options.Rate) {
		most = max(most, 4*n+8*(n/int64(voice.Window(r.options.Rate))+1))
	}
	return most
}

// try asks for a window of silence.
func (r *voiceRunner) try(ctx context.Context, ask Ask) error {
	l, err := r.listener()
	if err != nil {
		return err
	}
	rate := r.options.Rate
	if _, err = l.listen(ctx, make([]float32, voice.Context(rate)+voice.Window(rate)), ask); err != nil {
		return fmt.Errorf("pipeline.yaml: %s cannot take %d samples a second: %w", r.model, rate, err)
	}
	return nil
}

func (r *voiceRunner) seconds(samples int) float32 {
	return float32(float64(samples) / float64(r.options.Rate))
}

// listener is what one request knows: what the model remembers of the windows so far.
type listener struct {
	*voiceRunner
	state *tensor.Tensor
}

// listener returns one that has heard nothing.
func (r *voiceRunner) listener() (*listener, error) {
	state, err := tensor.New(tensor.Float32, r.state)
	return &listener{voiceRunner: r, state: state}, err
}

func (l *listener) listen(ctx context.Context, window []float32, ask Ask) (float32, error) {
	in := tensors{voiceInput: tensor.Of(window, 1, int64(len(window))), voiceState: l.state}
	if l.rate {
		in[voiceRate] = tensor.Scalar(int64(l.options.Rate))
	}
	out, err := ask(ctx, l.model, in)
	if err != nil {
		return 0, err
	}
	p, next := out[voiceOutput], out[voiceNext]
	if p == nil || p.Type != tensor.Float32 || p.Check() != nil || p.Len() != 1 || next == nil || next.Type != tensor.Float32 || next.Check() != nil || next.Len() != l.state.Len() {
		return 0, fmt.Errorf("pipeline: the model gave %d outputs that are not one probability and a state of %v", len(out), l.state.Shape)
	}
	l.state = next.Reshaped(l.state.Shape)
	return tensor.Data[float32](p)[0], nil
}
