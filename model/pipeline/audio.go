package pipeline

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/sound"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// audioInput makes samples of recordings.
type audioInput struct {
	Pos       strictyaml.Pos
	Rate      integer                      `yaml:"rate,required"`
	Normalize bool                         `yaml:"normalize"`
	Window    strictyaml.At[time.Duration] `yaml:"window"`
}

const (
	minAudioRate = 8_000
	maxAudioRate = 48_000
	// maxSamples is how many samples all recordings of a request may have at the rate of
	// the model: 70 minutes at 16 kHz. They take 256 MiB.
	maxSamples = 1 << 26
)

func (a *audioInput) check(c *checker, path string) {
	c.between(a.Rate, path+".rate", minAudioRate, maxAudioRate)
	if !given(a.Window) {
		a.Window.Value = defaultWindow
	}
	if w := a.Window.Value; w < windowUnit || w > maxWindow || w%windowUnit != 0 {
		c.refuse(a.Window.Pos, path+".window", w.String(), fmt.Sprintf("a multiple of %v, at most %v", windowUnit, maxWindow))
	}
}

func (a *audioInput) open(_ *binder, m Model, path string) (source, error) {
	s := &audioSource{rate: a.Rate.Value, normalize: a.Normalize}
	s.windows = windowsOf(a.Window.Value, s.rate)
	for _, v := range m.Inputs {
		if !s.bind(v) {
			return nil, misfit(a.Pos, path, "a model with the input "+v.String(),
				"one of float32 with recordings and samples as dimensions; beside it at most an int64 with a length or a mask for each")
		}
	}
	s.width = widthOf(m.Outputs)
	if s.samples == "" {
		return nil, misfit(a.Pos, path, "a model without an input of float32", "a model that hears samples")
	}
	return s, nil
}

// audioSource is an audioInput ready to run.
type audioSource struct {
	rate      int
	normalize bool
	windows   windows
	samples   string   // the input of the model that gets samples
	lengths   []string // inputs that get how many there are
	masks     []string // inputs that get a one for each
	width     int64    // elements of a frame in all outputs together, at most
}

// widthOf is how many elements a frame has in all outputs together: more than any if one does not
// say.
func widthOf(outputs []onnx.ValueInfo) (width int64) {
	for _, v := range outputs {
		switch n := len(v.Shape); {
		case n == 3 && v.Shape[2] >= 0:
			width += min(v.Shape[2], maxFrames)
		case n == 3 || v.Shape == nil:
			width += maxFrames
		}
	}
	return min(width, maxFrames)
}

// bind takes an input of the model for what its type and shape say that it is.
func (s *audioSource) bind(v onnx.ValueInfo) bool {
	switch open := len(v.Shape) > 0 && (v.Shape[0] < 0 || v.Shape[0] == 1); {
	case !open:
		return false
	case v.Type == tensor.Float32 && len(v.Shape) == 2 && v.Shape[1] < 0 && s.samples == "":
		s.samples = v.Name
	case v.Type == tensor.Int64 && len(v.Shape) == 1:
		s.lengths = append(s.lengths, v.Name)
	case v.Type == tensor.Int64 && len(v.Shape) == 2 && v.Shape[1] < 0:
		s.masks = append(s.masks, v.Name)
	default:
		return false
	}
	return true
}

func (s *audioSource) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result(audioName, tensor.String)}
}

func (s *audioSource) outputs() []onnx.ValueInfo { return nil }

// needs is what the longest of the recordings takes: its samples, a window of them as the model
// gets it, and the frames that are put together of several windows.
func (s *audioSource) needs(in map[string]*tensor.Tensor) (most int64) {
	for _, n := range lengthsOf(in, s.rate) {
		frames := int64(0)
		if n > int64(s.windows.length) {
			frames = min(n/int64(s.windows.tick)*s.width, maxFrames)
		}
		window := min(n, int64(s.windows.length)) * (4 + 8*int64(len(s.masks)))
		most = max(most, 4*n+window+4*frames)
	}
	return most
}

// lengthsOf is how many samples each recording has at a rate; nil if one is refused.
func lengthsOf(in map[string]*tensor.Tensor, rate int) []int64 {
	recordings, err := recordingsOf(in, rate)
	if err != nil {
		return nil
	}
	list := make([]int64, len(recordings))
	for i, r := range recordings {
		list[i] = r.Length(rate)
	}
	return list
}

// feed runs the model for one recording at a time, when all of them can be read.
func (s *audioSource) feed(ctx context.Context, in map[string]*tensor.Tensor, run func(batch) error) (map[string]*tensor.Tensor, error) {
	recordings, err := recordingsOf(in, s.rate)
	if err != nil {
		return nil, err
	}
	for i, r := range recordings {
		samples, err := r.Samples(ctx, s.rate)
		if err != nil {
			return nil, heard(ctx, i, err)
		}
		err = run(batch{items: []int{i}, ask: func(once asker) (tensors, error) { return s.ask(ctx, i, samples, once) }})
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// sample is a second of silence: the most that an element can be, a window, would take as
// long as the answer for one.
func (s *audioSource) sample() batch {
	return batch{in: s.feeds(make([]float32, s.rate)), items: []int{0}}
}

const audioName = "audio"

// recordingsOf opens all recordings of a request, before anything is paid for them.
func recordingsOf(in map[string]*tensor.Tensor, rate int) ([]*sound.Recording, error) {
	files := tensor.Data[string](in[audioName])
	list, left := make([]*sound.Recording, len(files)), maxSamples*time.Second/time.Duration(rate)
	for i, file := range files {
		r, err := sound.Open(file, left)
		if err != nil {
			return nil, &InputError{audioName, i, err}
		}
		list[i], left = r, left-r.Duration()
	}
	return list, nil
}

// heard is an error of a recording: its sender's, unless the time was over.
func heard(ctx context.Context, item int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &InputError{audioName, item, err}
}

// feeds makes inputs of the model of samples, which it does not change.
func (s *audioSource) feeds(samples []float32) tensors {
	n := len(samples)
	if s.normalize {
		samples = standardized(samples)
	}
	in := tensors{s.samples: tensor.Of(samples, 1, int64(n))}
	for _, name := range s.lengths {
		in[name] = tensor.List(int64(n))
	}
	for _, name := range s.masks {
		ones := make([]int64, n)
		for i := range ones {
			ones[i] = 1
		}
		in[name] = tensor.Of(ones, 1, int64(n))
	}
	return in
}

// standardized returns samples with the mean 0 and the variance 1, as the feature
// extractor of Wav2Vec2 in transformers makes them.
func standardized(samples []float32) []float32 {
	var sum, squares float64
	for _, v := range samples {
		sum += float64(v)
	}
	mean := sum / float64(len(samples))
	for _, v := range samples {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	scale := 1 / math.Sqrt(squares/float64(len(samples))+1e-7)
	out := make([]float32, len(samples))
	for i, v := range samples {
		out[i] = float32((float64(v) - mean) * scale)
	}
	return out
}
