package gemm

import (
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzLevels compares the levels: all assembly gives the same bits, and portable
// Go is as near to them as float32 allows.
func FuzzLevels(f *testing.F) {
	f.Add(uint64(1), uint8(13), uint16(70), uint8(45), uint8(0))
	f.Add(uint64(2), uint8(1), uint16(513), uint8(33), uint8(7))
	f.Add(uint64(3), uint8(6), uint16(0), uint8(16), uint8(20))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, depth uint16, columns, kind uint8) {
		m, k, n := int(rows%40), int(depth%1200), int(columns%100)
		var all [][]float32
		for _, level := range kernel.Levels() {
			all = append(all, fuzzed(t, level, seed, m, k, n, kind))
		}
		for i := 2; i < len(all); i++ {
			if !slices.Equal(all[i], all[1]) {
				t.Errorf("%dx%dx%d, %d: %v differs from %v", m, k, n, kind, kernel.Level(i), kernel.AVX2)
			}
		}
		for i, x := range all[len(all)-1] {
			if d := math.Abs(float64(x - all[0][i])); !(d <= float64(k+6)*0x1p-21) {
				t.Fatalf("%dx%dx%d, %d: element %d is %v, in portable Go %v", m, k, n, kind, i, x, all[0][i])
			}
		}
	})
}

// fuzzed computes one product; kind picks its layout and epilogue.
func fuzzed(t *testing.T, level kernel.Level, seed uint64, m, k, n int, kind uint8) []float32 {
	rng := newRand(seed)
	a, b := View{random(rng, m*k), k, 1}, View{random(rng, k*n), n, 1}
	if kind&1 != 0 {
		a = View{a.Data, 1, m}
	}
	if kind&2 != 0 {
		b = View{b.Data, 1, k}
	}
	dst, e := random(rng, m*n), Epilogue{}
	if kind&4 != 0 {
		e = Epilogue{Alpha: 0.5, Bias: random(rng, n), RowBias: random(rng, m)}
	}
	if kind&8 != 0 {
		e.Beta, e.C, e.CRow = -1, random(rng, m*n), n
	}
	if kind&16 != 0 {
		e.Clip, e.Lo, e.Hi = true, -0.5, 0.5
	}
	on := kernel.On{Level: level, Threads: int(kind>>5) + 1}
	both := make([]float32, m*n)
	if err := MulBoth(&on, both, n, m, k, n, a, b, Batch{}, &e, make([]float32, ScratchLen(on.Threads, k, n))); err != nil {
		t.Fatal(err)
	}
	if err := Mul(&on, dst, n, m, a, Pack(level, b, k, n), &e); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(dst, both) {
		t.Errorf("%v %dx%dx%d, %d: Mul and MulBoth differ", level, m, k, n, kind)
	}
	return dst
}

// FuzzSpecials puts a number that is none, or hardly any, into one operand: the row or
// column that it is in becomes what it does in portable Go, and no other does.
func FuzzSpecials(f *testing.F) {
	f.Add(uint64(1), uint8(13), uint16(70), uint8(45), uint8(0))
	f.Add(uint64(2), uint8(1), uint16(13), uint8(33), uint8(7))
	f.Add(uint64(3), uint8(6), uint16(1), uint8(16), uint8(21))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, depth uint16, columns, special uint8) {
		m, k, n := 1+int(rows%40), 1+int(depth%300), 1+int(columns%100)
		rng := newRand(seed)
		a, b := View{random(rng, m*k), k, 1}, View{random(rng, k*n), n, 1}
		list := a.Data
		if special&1 != 0 {
			list = b.Data
		}
		list[rng.IntN(len(list))] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0x1p-149, -0x1p-127}[special/2%5]
		var want []float32
		for _, level := range kernel.Levels() {
			dst := random(rng, m*n)
			on := kernel.On{Level: level, Threads: 1 + int(special>>6)}
			if err := Mul(&on, dst, n, m, a, Pack(level, b, k, n), &Epilogue{}); err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = dst
			}
			for i, x := range dst {
				w := want[i]
				if x != w && (x == x || w == w) && !(math.Abs(float64(x-w)) <= float64(k+6)*0x1p-21) {
					t.Fatalf("%v, %dx%dx%d: element %d is %v, in portable Go %v", level, m, k, n, i, x, w)
				}
			}
		}
	})
}
