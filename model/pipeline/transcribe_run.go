package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/model/pipeline/dictate"
	"github.com/blindbox/blindbox/model/pipeline/mel"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
	"github.com/blindbox/blindbox/tokenize"
)

// transcriber is a transcribeTask ready to run.
type transcriber struct {
	encoder, decoder string
	features         string // the encoder's input
	bands, frames    int
	hidden           string // the encoder's output that the decoder gets; "": none
	width            int64
	branch           bool // the decoder is told whether there are memories
	memories         []memory
	classes          int // tokens of the model
	tokenizer        *tokenize.Tokenizer
	rules            dictate.Rules
	prompt           []int64    // tokens that begin a transcript
	language         string     // of models for one
	languages        []language // of models for several: those that may be spoken
	task             int64      // the token behind the language
	silence          float64
	most             int // tokens of a window
}

// inputs: one recording, for the words of several could not be told apart.
func (r *transcriber) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{{Name: audioName, Type: tensor.String, Shape: []int64{1}, Symbols: []string{""}}}
}

func (r *transcriber) outputs() []onnx.ValueInfo {
	single := func(name string) onnx.ValueInfo {
		return onnx.ValueInfo{Name: name, Type: tensor.String, Shape: []int64{1}, Symbols: []string{""}}
	}
	return []onnx.ValueInfo{single("text"), single("language"), result("segment", tensor.String), result("start", tensor.Float32), result("end", tensor.Float32)}
}

// needs is what the recording takes and its spectrogram, a window of it, and what the decoder
// remembers: of the recording, and of what it said while the next state is made of the last.
func (r *transcriber) needs(in map[string]*tensor.Tensor) (most int64) {
	window := 4 * int64(r.frames) * (int64(r.bands) + r.width)
	for _, m := range r.memories {
		rows := 2 * int64(r.steps())
		switch {
		case m.encoded:
			rows = int64(r.frames)
		case m.heard: // what the decoder gets for it at first has the same form
			rows = 2 * int64(r.frames)
		}
		window += 4 * rows * m.heads * m.depth
	}
	for _, n := range lengthsOf(in, mel.Rate) {
		most = max(most, 4*n+mel.Bytes(n, r.bands)+window)
	}
	return most
}

// steps is how many tokens the decoder gets for a window, at most: those that begin a transcript,
// and what it has said but for the last.
func (r *transcriber) steps() int { return 2 + r.most }

func (r *transcriber) run(ctx context.Context, in map[string]*tensor.Tensor, ask Ask) (map[string]*tensor.Tensor, error) {
	recordings, err := recordingsOf(in, mel.Rate)
	if err != nil {
		return nil, err
	}
	samples, err := recordings[0].Samples(ctx, mel.Rate)
	if err != nil {
		return nil, heard(ctx, 0, err)
	}
	spectrum, err := mel.New(ctx, samples, r.bands)
	if err != nil {
		return nil, err
	}
	t := &transcript{transcriber: r, ask: ask, language: r.language, seconds: float32(len(samples)) / mel.Rate}
	for at := 0; at < spectrum.Frames(); {
		step, err := t.window(ctx, spectrum, at)
		if err != nil {
			return nil, err
		}
		at += step
	}
	return t.tensors(), nil
}

// transcript is what one request has heard so far.
type transcript struct {
	*transcriber
	ask        Ask
	language   string
	seconds    float32 // that the recording is long
	whole      strings.Builder
	segment    []string
	start, end []float32
}

// sureEnough is how little unsure of what it said a model may be, if it said something where it
// takes nobody to speak: the mean of the negative logarithms, as openai-whisper has it.
const sureEnough = 1

// window hears and writes down a window that begins with a frame, and tells how many of them
// are done with.
func (t *transcript) window(ctx context.Context, heard *mel.Spectrogram, at int) (step int, err error) {
	frames := min(t.frames, heard.Frames()-at)
	features := make([]float32, t.bands*t.frames)
	heard.Window(features, at)
	d, err := t.hear(ctx, features)
	if err != nil {
		return 0, err
	}
	said, err := t.say(ctx, d)
	if err != nil {
		return 0, err
	}
	if said.Silent() > t.silence && !(said.Doubt() < sureEnough) {
		return frames, nil
	}
	stretches, step := said.Stretches(frames)
	for _, s := range stretches {
		if err := t.add(ctx, s, at); err != nil {
			return 0, err
		}
	}
	return step, nil
}

// say lets the decoder say all of a window.
func (t *transcript) say(ctx context.Context, d *dictation) (*dictate.Saying, error) {
	said := t.rules.Say()
	scores, err := d.next(ctx, t.prompt[0])
	if err != nil {
		return nil, err
	}
	said.Begin(scores)
	for _, token := range t.begin(scores) {
		if scores, err = d.next(ctx, token); err != nil {
			return nil, err
		}
	}
	for i := 0; ; i++ {
		token, end := said.Next(scores)
		if end || i+1 == t.most {
			return said, nil
		}
		if scores, err = d.next(ctx, int64(token)); err != nil {
			return nil, err
		}
	}
}

// begin returns the tokens behind the first: those of the language and of the task. The language
// of a recording is that of its first window.
func (t *transcript) begin(scores []float32) []int64 {
	if t.languages == nil {
		return nil
	}
	best := t.languages[0]
	for _, l := range t.languages {
		if t.language == l.code || t.language == "" && scores[l.token] > scores[best.token] {
			best = l
		}
	}
	t.language = best.code
	return []int64{best.token, t.task}
}

// add writes down a stretch of the window that begins with a frame.
func (t *transcript) add(ctx context.Context, s dictate.Stretch, at int) error {
	ids := make([]int64, len(s.Tokens))
	for i, token := range s.Tokens {
		ids[i] = int64(token)
	}
	text, err := t.tokenizer.DecodeContext(ctx, ids, true)
	if err != nil {
		return fmt.Errorf("pipeline: what the model said: %w", err)
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	short := strings.TrimSpace(text)
	if short == "" {
		return nil
	}
	t.whole.WriteString(text)
	t.segment = append(t.segment, short)
	t.start, t.end = append(t.start, t.second(at+s.Start)), append(t.end, t.second(at+s.End))
	const more = 64 // bytes of a segment beside its text
	if t.whole.Len()+more*len(t.segment) > maxText/2 {
		return errMuchText
	}
	return nil
}

// second is the time of a frame, which is not after the recording.
func (t *transcript) second(frame int) float32 {
	return min(float32(frame)*mel.Hop/mel.Rate, t.seconds)
}

func (t *transcript) tensors() tensors {
	n := int64(len(t.segment))
	return tensors{
		"text": tensor.List(strings.TrimSpace(t.whole.String())), "language": tensor.List(t.language),
		"segment": tensor.Of(t.segment, n), "start": tensor.Of(t.start, n), "end": tensor.Of(t.end, n),
	}
}
