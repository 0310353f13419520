package mel

import "math"

// fourier transforms size complex numbers, 4 x 4 x 5 x 5 of them (Cooley and Tukey, "An
// algorithm for the machine calculation of complex Fourier series", 1965).
type fourier struct {
	in, out, room [size]complex128
	roots         [size]complex128 // of unity
}

func newFourier() *fourier {
	f := new(fourier)
	for i := range f.roots {
		sin, cos := math.Sincos(-2 * math.Pi * float64(i) / size)
		f.roots[i] = complex(cos, sin)
	}
	return f
}

// transform makes out of in, which it uses up.
func (f *fourier) transform() {
	from, to := &f.in, &f.room
	done := 1 // length of the transforms that are finished
	for _, radix := range [...]int{4, 4, 5, 5} {
		f.step(to[:], from[:], done, radix)
		from, to = to, from
		done *= radix
	}
	f.out = *from
}

// step joins radix transforms of a length each to one, in Stockham's order: what is left to be
// joined of one frequency stays side by side, so that nothing has to be put in order at the end.
func (f *fourier) step(to, from []complex128, length, radix int) {
	apart := size / radix
	left := apart / length // transforms that this step makes
	for j := range length {
		for k := range left {
			var x [5]complex128
			for r := range radix {
				x[r] = from[(j*radix+r)*left+k] * f.roots[r*j*left]
			}
			for r := range radix {
				sum := x[0]
				for q := 1; q < radix; q++ {
					sum += x[q] * f.roots[q*r*apart%size]
				}
				to[(r*length+j)*left+k] = sum
			}
		}
	}
}
