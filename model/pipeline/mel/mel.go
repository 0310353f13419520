// Package mel answers: what does a model of Whisper's family hear of a recording? Not
// samples, but a spectrogram: for each hundredth of a second, how loud it is in bands that
// are as wide as an ear tells them apart, as logarithms. [New] makes one of a whole
// recording, [Spectrogram.Window] cuts out what a model takes at a time.
//
// It stands inside the box. What callers send are samples that package sound has read: any
// of them give a spectrogram. Memory is 4 bytes for each band and hundredth of a second.
//
// The numbers are those of log_mel_spectrogram in openai-whisper 20250625 (audio.py): 25 ms
// under a Hann window every 10 ms, at 16,000 samples a second; librosa's filters (Slaney's
// scale and norm); what is more than 80 dB below the loudest moment of the recording counts
// as being there; (log10 + 4) / 4.
package mel

import (
	"context"
	"math"
)

// Rate is how many samples a second a recording has to have.
const Rate = 16_000

// Hop is how many samples a frame is after the one before it.
const Hop = Rate / 100

const (
	size     = 400 // samples under the window of a frame
	quietest = -10 // the logarithm of silence: that of 1e-10
	below    = 8   // how far below the loudest moment anything is heard, as a logarithm
)

// MaxBands is how many bands a spectrogram may have.
const MaxBands = 256

// Spectrogram is a recording as a model hears it.
type Spectrogram struct {
	bands, frames int
	values        []float32 // logarithms: a row of bands for each frame that a sample is in
	loudest       float32
}

// Frames is how many hundredths of a second a recording of so many samples has.
func Frames(samples int64) int64 { return samples / Hop }

// Bytes is what the spectrogram of a recording takes, and a little more.
func Bytes(samples int64, bands int) int64 { return 4 * int64(bands) * (Frames(samples) + 4) }

// New makes the spectrogram of a recording of 16,000 samples a second, in 1 to MaxBands
// bands. The recording has silence behind it, and in front of it its own beginning,
// mirrored. The error is the context's.
func New(ctx context.Context, samples []float32, bands int) (*Spectrogram, error) {
	s := &Spectrogram{bands: bands, frames: int(Frames(int64(len(samples)))), loudest: quietest}
	rows := (len(samples)+size/2)/Hop + 1
	s.values = make([]float32, rows*bands)
	a := newAnalysis(bands)
	for row := 0; row < rows; row += 2 { // a transform is for two frames
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a.hear(samples, row)
		s.write(a, row, a.power[0][:])
		if row+1 < rows {
			s.write(a, row+1, a.power[1][:])
		}
	}
	return s, nil
}

// write puts the bands of a frame.
func (s *Spectrogram) write(a *analysis, row int, power []float64) {
	for band, f := range a.filters {
		v := float32(math.Log10(max(f.sum(power), 1e-10)))
		s.values[row*s.bands+band] = v
		s.loudest = max(s.loudest, v)
	}
}

// Frames is how many frames the recording has.
func (s *Spectrogram) Frames() int { return s.frames }

// Window writes frames from one on, which is not before the first, a row for each band.
// There are as many as dst has room for; those behind the recording are zeros.
func (s *Spectrogram) Window(dst []float32, from int) {
	frames := len(dst) / s.bands
	floor := s.loudest - below
	for band := range s.bands {
		row := dst[band*frames:][:frames]
		there := max(0, min(frames, s.frames-from))
		for i := range row[:there] {
			row[i] = (max(s.values[(from+i)*s.bands+band], floor) + 4) / 4
		}
		clear(row[there:])
	}
}

// analysis is what stays the same for all frames, and room for two of them.
type analysis struct {
	filters []filter
	window  [size]float64
	*fourier
	power [2][size/2 + 1]float64
}

func newAnalysis(bands int) *analysis {
	a := &analysis{filters: filters(bands), fourier: newFourier()}
	for i := range a.window {
		a.window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/size)
	}
	return a
}

// hear finds how strong each frequency is in a frame and in the next one. Both are in one
// transform, one as its real part and the other as its imaginary part.
func (a *analysis) hear(samples []float32, frame int) {
	first := frame*Hop - size/2
	for i := range a.in {
		w := a.window[i]
		a.in[i] = complex(w*sample(samples, first+i), w*sample(samples, first+i+Hop))
	}
	a.transform()
	for k := range a.power[0] {
		x, y := a.out[k], a.out[(size-k)%size]
		y = complex(real(y), -imag(y))
		a.power[0][k] = square(x+y) / 4
		a.power[1][k] = square(x-y) / 4
	}
}

func square(c complex128) float64 { return real(c)*real(c) + imag(c)*imag(c) }

// sample is a sample of a recording, or of what is around it.
func sample(samples []float32, at int) float64 {
	if at < 0 {
		at = -at
	}
	if at >= len(samples) {
		return 0
	}
	return float64(samples[at])
}
