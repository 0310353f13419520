// Package voice answers: when does somebody speak in a recording? A small model, silero
// VAD, says for each window of 32 ms how probable speech is, and [Options.Segments] makes
// stretches of speech of that: short silences are bridged, short noises are dropped, and
// what is left is widened a little, so that no sound of a word is cut off.
//
// The answers are those of get_speech_timestamps of the PyPI package silero-vad 6.2.3 with
// onnx=True, sample for sample, for recordings of 8,000 or 16,000 samples a second.
//
// It stands inside the box. Recordings are what callers send; the model may be anything
// that has the same inputs and outputs.
package voice

import (
	"context"
	"fmt"
	"time"
)

// Options say what counts as speech.
type Options struct {
	Rate      int           // samples a second: 8000 or 16000
	Threshold float64       // speech begins where its probability is this or more
	Silence   time.Duration // speech ends with a silence as long as this
	Speech    time.Duration // what is not longer than this is no speech
	Pad       time.Duration // added on each side of speech
}

// Default returns the options of the package silero-vad.
func Default() Options {
	return Options{Rate: 16000, Threshold: 0.5, Silence: 100 * time.Millisecond, Speech: 250 * time.Millisecond, Pad: 30 * time.Millisecond}
}

// Segment is a stretch of speech, in samples; the one at End is not part of it.
type Segment struct{ Start, End int }

// Window is how many samples the model hears at a time.
func Window(rate int) int { return rate / 1000 * 32 }

// Context is how many samples before a window the model hears with it.
func Context(rate int) int { return rate / 1000 * 4 }

// Probabilities asks for each window of a recording. What does not fill the last window
// is silent, as is what comes before the first. The function gets the context and the
// window in one list, which is its own until it returns. It is called for one window after
// the other, so it may hold what the model remembers.
func (o Options) Probabilities(ctx context.Context, samples []float32, ask func([]float32) (float32, error)) ([]float32, error) {
	size, before := Window(o.Rate), Context(o.Rate)
	out := make([]float32, 0, (len(samples)+size-1)/size)
	heard := make([]float32, before+size)
	for len(samples) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		copy(heard, heard[size:]) // the end of the last window
		n := copy(heard[before:], samples)
		clear(heard[before+n:])
		p, err := ask(heard)
		if err != nil {
			return nil, err
		}
		if !(p >= 0 && p <= 1) {
			return nil, fmt.Errorf("voice: the model says %v, expected a probability", p)
		}
		out, samples = append(out, p), samples[n:]
	}
	return out, nil
}

// Segments returns the stretches of speech in a recording of so many samples, whose
// windows have these probabilities.
func (o Options) Segments(probabilities []float32, samples int) []Segment {
	return o.padded(o.spoken(probabilities, samples), samples)
}

// spoken finds speech. It ends where its probability stays below the threshold by 0.15 or
// more: a voice that fades is still one.
func (o Options) spoken(probabilities []float32, samples int) (list []Segment) {
	low := max(o.Threshold-0.15, 0.01)
	start, end := -1, 0 // of the speech that goes on; where it may have ended
	keep := func(end int) {
		if end-start > o.samples(o.Speech) {
			list = append(list, Segment{start, end})
		}
		start = -1
	}
	for i, p := range probabilities {
		switch at := i * Window(o.Rate); {
		case float64(p) >= o.Threshold:
			if start < 0 {
				start = at
			}
			end = 0
		case start >= 0 && float64(p) < low:
			if end == 0 {
				end = at
			}
			if at-end >= o.samples(o.Silence) {
				keep(end)
			}
		}
	}
	if start >= 0 {
		keep(samples)
	}
	return list
}

// padded widens each segment within the recording; where two would meet, each gets half
// of the silence between them.
func (o Options) padded(list []Segment, samples int) []Segment {
	pad := o.samples(o.Pad)
	for i := range list {
		if i == 0 {
			list[i].Start = max(0, list[i].Start-pad)
		}
		if i == len(list)-1 {
			list[i].End = min(samples, list[i].End+pad)
			break
		}
		width := pad
		if silence := list[i+1].Start - list[i].End; silence < 2*pad {
			width = silence / 2
		}
		list[i].End = min(samples, list[i].End+width)
		list[i+1].Start -= width
	}
	return list
}

func (o Options) samples(d time.Duration) int {
	return int(d.Milliseconds()) * (o.Rate / 1000)
}
