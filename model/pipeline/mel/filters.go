package mel

import "math"

// filter is a band: how much each frequency adds to it, from one frequency on.
type filter struct {
	first   int
	weights []float64
}

func (f filter) sum(power []float64) (sum float64) {
	power = power[f.first:]
	for i, w := range f.weights {
		sum += w * power[i]
	}
	return sum
}

// filters are those of librosa.filters.mel: triangles from the middle of one band over that
// of the next to that of the one behind it, all with the same area.
func filters(bands int) []filter {
	edges := make([]float64, bands+2)
	for i := range edges {
		edges[i] = hertz(mels(Rate/2) * float64(i) / float64(bands+1))
	}
	list := make([]filter, bands)
	for band := range list {
		low, mid, high := edges[band], edges[band+1], edges[band+2]
		f := &list[band]
		for k := range size/2 + 1 {
			at := float64(k) * Rate / size
			w := min((at-low)/(mid-low), (high-at)/(high-mid)) * 2 / (high - low)
			switch {
			case w > 0 && f.weights == nil:
				f.first = k
				fallthrough
			case w > 0:
				f.weights = append(f.weights, w)
			}
		}
	}
	return list
}

// Slaney's scale ("Auditory Toolbox", 1998): straight up to 1,000 Hz, and a logarithm
// from there on.
const (
	straight = 200.0 / 3 // Hz
	bend     = 1000.0    // Hz
)

// growth is how fast it goes up behind the bend.
func growth() float64 { return math.Log(6.4) / 27 }

func mels(hertz float64) float64 {
	if hertz < bend {
		return hertz / straight
	}
	return bend/straight + math.Log(hertz/bend)/growth()
}

func hertz(mels float64) float64 {
	if mels < bend/straight {
		return mels * straight
	}
	return bend * math.Exp(growth()*(mels-bend/straight))
}
