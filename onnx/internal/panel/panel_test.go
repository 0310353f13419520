package panel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain lays a matrix out as the package comment says.
func plain(data []int, k, n, width int) []int {
	var out []int
	for begin := 0; begin < n; begin += width {
		for r := range k {
			out = append(out, data[r*n+begin:r*n+min(begin+width, n)]...)
		}
	}
	return out
}

func TestEveryWayIsThePlainOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range [][3]int{{1, 1, 4}, {1, 100, 16}, {7, 1, 4}, {3, 31, 32}, {5, 32, 32}, {4, 33, 32}, {64, 64, 16}, {17, 200, 16}, {33, 97, 4}, {0, 5, 4}, {5, 0, 4}} {
		k, n, width := c[0], c[1], c[2]
		t.Run(fmt.Sprintf("%dx%d by %d", k, n, width), func(t *testing.T) {
			data := make([]int, k*n)
			for i := range data {
				data[i] = i
			}
			want := plain(data, k, n, width)
			over := slices.Clone(data)
			if Over(over, k, n, width); !slices.Equal(over, want) {
				t.Errorf("Over: %v, want %v", over, want)
			}
			if Back(over, k, n, width); !slices.Equal(over, data) {
				t.Errorf("Back: %v, want %v", over, data)
			}
			filled := make([]int, k*n)
			f := NewFiller(filled, k, n, width)
			for rest := data; len(rest) > 0; {
				m := 1 + random.IntN(min(len(rest), 3*n))
				f.Add(rest[:m])
				rest = rest[m:]
			}
			if !slices.Equal(filled, want) {
				t.Errorf("Filler: %v, want %v", filled, want)
			}
			for r := range k {
				from := random.IntN(n + 1)
				part := make([]int, random.IntN(n-from+1))
				if Row(part, want, k, n, width, r, from); !slices.Equal(part, data[r*n+from:][:len(part)]) {
					t.Errorf("Row %d from %d: %v", r, from, part)
				}
			}
		})
	}
}
