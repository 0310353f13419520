package tensor

import "testing"

// TestLasting: the advice changes nothing that can be seen, neither in the array nor
// in its neighbours.
func TestLasting(t *testing.T) {
	for _, n := range []int{0, 1, worthLarge / 4, 3 << 20} {
		before := make([]float32, n)
		for i := range before {
			before[i] = float32(i % 1000)
		}
		array := Lasting(n)
		if len(array) != n {
			t.Fatalf("%d elements, want %d", len(array), n)
		}
		for i := range array {
			if array[i] != 0 || before[i] != float32(i%1000) {
				t.Fatalf("element %d of %d is %v, of its neighbour %v", i, n, array[i], before[i])
			}
		}
	}
}
