package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// A long recording is heard in windows, each of which shares a third of its length with
// its neighbours, so that what is said across an end is heard whole in one of them; of
// what is shared, each gives the half that is nearer to its middle. This is what the
// pipeline of transformers does with chunk_length_s; there, too, an overlap is a sixth
// on either side.
const (
	defaultWindow = 30 * time.Second
	maxWindow     = 120 * time.Second
	// windowUnit makes two thirds of a window, and so the way from one to the next, a
	// multiple of 4 s, which all common lengths of frames divide.
	windowUnit = 6 * time.Second
)

// maxFrames bounds what is put together of a long recording: elements of all outputs.
const maxFrames = 1 << 26

// windows says how long recordings are cut, in samples.
type windows struct {
	length, overlap, step int
	tick                  int // frames are a multiple of this: 10 ms
}

func windowsOf(length time.Duration, rate int) windows {
	n := int(length/time.Second) * rate
	return windows{length: n, overlap: n / 6, step: n / 3 * 2, tick: rate / 100}
}

// ask asks the model for a recording, window by window if it is longer than one.
func (s *audioSource) ask(ctx context.Context, item int, samples []float32, once asker) (tensors, error) {
	w := s.windows
	if len(samples) <= w.length {
		return once(s.feeds(samples))
	}
	j := joiner{windows: w, samples: len(samples), item: item, tracks: map[string]*track{}}
	for start := 0; ; start += w.step {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		end := min(start+w.length, len(samples))
		out, err := once(s.feeds(samples[start:end]))
		if err == nil {
			err = j.add(out, start, end)
		}
		if err != nil {
			return nil, err
		}
		if end == len(samples) {
			return j.join(out), nil
		}
	}
}

// joiner puts the frames of all windows together.
type joiner struct {
	windows
	samples, item int // how long the recording is, and which it is
	tracks        map[string]*track
	elements      int // of all tracks, when they are whole
}

// track is an output of the model that has frames.
type track struct {
	hop, width int // samples from one frame to the next; elements of a frame
	data       []float32
}

// add takes the frames of a window that are the window's own.
func (j *joiner) add(out tensors, start, end int) error {
	for name, t := range out {
		if !hasFrames(t) {
			continue
		}
		if j.tracks[name] == nil {
			k, err := j.track(t)
			if err != nil {
				return err
			}
			j.tracks[name] = k
		}
		k := j.tracks[name]
		if k.width != int(t.Shape[2]) {
			return fmt.Errorf("pipeline: the model gave frames of %d and of %d elements", k.width, t.Shape[2])
		}
		from, to := 0, int(t.Shape[1])
		if most := j.length/k.hop + strayFrames; to > most {
			return fmt.Errorf("pipeline: the model gave %d frames for %d samples, expected at most %d as for the first of them", to, end-start, most)
		}
		if start > 0 {
			from = min(j.overlap/k.hop, to)
		}
		if end < j.samples {
			to = max(from, min((j.length-j.overlap)/k.hop, to))
		}
		k.data = append(k.data, tensor.Data[float32](t)[from*k.width:to*k.width]...)
	}
	return nil
}

// strayFrames is how many frames a model drops at the ends or adds there, at most.
const strayFrames = 2

// track learns from the first window how far its frames are apart.
func (j *joiner) track(t *tensor.Tensor) (*track, error) {
	frames := int(t.Shape[1])
	k := &track{width: int(t.Shape[2])}
	k.hop = (j.length/frames + j.tick/2) / j.tick * j.tick
	if k.hop == 0 || j.step%k.hop != 0 || max(frames-j.length/k.hop, j.length/k.hop-frames) > strayFrames {
		return nil, fmt.Errorf("pipeline: the model gave %d frames for %d samples, expected frames of 10 ms or a multiple that divides 4 s: recordings longer than the window cannot be put together", frames, j.length)
	}
	if j.samples/k.hop > (maxFrames-j.elements)/k.width {
		return nil, &InputError{audioName, j.item, fmt.Errorf("%d frames of %d elements, over the limit of %d: send it in parts", j.samples/k.hop, k.width, maxFrames)}
	}
	whole := j.samples / k.hop * k.width
	j.elements += whole
	k.data = make([]float32, 0, whole+(strayFrames+1)*k.width)
	return k, nil
}

// join returns the outputs of the last window with all frames in place of its own.
func (j *joiner) join(out tensors) tensors {
	for name, k := range j.tracks {
		out[name] = tensor.Of(k.data, 1, int64(len(k.data)/k.width), int64(k.width))
	}
	return out
}

// hasFrames says whether an output has something for each stretch of a recording.
func hasFrames(t *tensor.Tensor) bool {
	return t != nil && t.Type == tensor.Float32 && len(t.Shape) == 3 && t.Shape[0] == 1 && t.Check() == nil && t.Len() > 0
}
