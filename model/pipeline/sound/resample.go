package sound

import "math"

// The window: so many zero crossings of the sinc to each side; beta as Kaiser's formula
// has it for 80 dB, and a cutoff for which those are reached where folding begins.
const (
	crossings = 32
	beta      = 7.857
	cutoff    = 0.9217
)

// A filter has a row of weights for each place that an output may have between two
// inputs. If those would be more than maxWeights numbers, it has rows for fewPhases
// places, and what lies between two of them is interpolated.
const (
	maxWeights = 1 << 16
	fewPhases  = 512
)

// ratio is to/from in lowest terms.
func ratio(from, to int) (up, down int64) {
	a, b := int64(from), int64(to)
	for b != 0 {
		a, b = b, a%b
	}
	return int64(to) / a, int64(from) / a
}

// filter makes samples of one rate of those of another.
type filter struct {
	up, down     int64
	scale, width float64 // of the sinc and of half of the window, in inputs
	half         int64   // inputs to each side of an output
	phases       int64
	rows         [][]float32 // phases+1 rows of 2*half weights, made when they are wanted
	in           []float32   // what a block of outputs is made of
}

func newFilter(from, to int) *filter {
	up, down := ratio(from, to)
	f := &filter{up: up, down: down, phases: up, scale: cutoff * min(1, float64(to)/float64(from))}
	f.width = crossings / f.scale
	f.half = int64(math.Ceil(f.width))
	if f.phases*2*f.half > maxWeights {
		f.phases = fewPhases
	}
	f.rows = make([][]float32, f.phases+1)
	f.in = make([]float32, block*down/up+2+2*f.half)
	return f
}

// row returns the weights for outputs that lie p/phases after an input.
func (f *filter) row(p int64) []float32 {
	if f.rows[p] != nil {
		return f.rows[p]
	}
	row := make([]float32, 2*f.half)
	for k := range row {
		t := float64(int64(k)-f.half+1) - float64(p)/float64(f.phases)
		row[k] = float32(f.scale * sinc(f.scale*t) * kaiser(t/f.width))
	}
	f.rows[p] = row
	return row
}

// fill makes at most block outputs, the first of which has a number. Inputs are read from
// the place that read is given.
func (f *filter) fill(out []float32, first int64, read func(dst []float32, first int64) error) error {
	if len(out) == 0 {
		return nil
	}
	begin := first*f.down/f.up - f.half + 1
	end := (first+int64(len(out))-1)*f.down/f.up + f.half + 1
	in := f.in[:end-begin]
	if err := read(in, begin); err != nil {
		return err
	}
	for i := range out {
		at := (first + int64(i)) * f.down
		from := at/f.up - f.half + 1 - begin
		out[i] = f.between(in[from:from+2*f.half], at%f.up)
	}
	return nil
}

// between weighs the inputs around an output that lies place/up after the middle one.
func (f *filter) between(in []float32, place int64) float32 {
	if f.phases == f.up {
		return dot(in, f.row(place))
	}
	p := place * f.phases / f.up
	part := float32(place*f.phases%f.up) / float32(f.up)
	a, b := dot(in, f.row(p)), dot(in, f.row(p+1))
	return a + part*(b-a)
}

// dot keeps four sums, so that an addition need not wait for the one before it. The
// conversions keep a compiler from joining multiplication and addition, which would make
// results differ between processors.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += float32(x[0] * y[0])
		s1 += float32(x[1] * y[1])
		s2 += float32(x[2] * y[2])
		s3 += float32(x[3] * y[3])
	}
	for ; i < len(a); i++ {
		s0 += float32(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser is the window at x of -1 to 1; 0 outside.
func kaiser(x float64) float64 {
	if x <= -1 || x >= 1 {
		return 0
	}
	return bessel(beta*math.Sqrt(1-x*x)) / bessel(beta)
}

// bessel is the modified Bessel function of the first kind and order 0, by its power
// series, which has converged for the arguments here.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; k < 40; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}
