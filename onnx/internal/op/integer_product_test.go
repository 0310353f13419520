package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/qgemm"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func quantBytes(rng *rand.Rand, signed bool, shape ...int64) *tensor.Tensor {
	n := countStack(shape)
	if signed {
		v := make([]int8, n)
		for i := range v {
			v[i] = int8(rng.IntN(256) - 128)
		}
		return tensor.Of(v, shape...)
	}
	v := make([]uint8, n)
	for i := range v {
		v[i] = uint8(rng.IntN(256))
	}
	return tensor.Of(v, shape...)
}

func quantFloats(rng *rand.Rand, shape ...int64) *tensor.Tensor {
	v := make([]float32, countStack(shape))
	for i := range v {
		v[i] = rng.Float32()*0.1 + 0.001
	}
	return tensor.Of(v, shape...)
}

// asNumbers reads all elements.
func asNumbers(t *tensor.Tensor) []float32 {
	v := make([]float32, t.Len())
	widen(v, t, 0)
	return v
}

// perLine reads what belongs to the lines of a stack of matrices.
func perLine(t *tensor.Tensor, matrix, line, lines int) float64 {
	if t == nil {
		return 0
	}
	v := asNumbers(t)
	switch len(v) {
	case 1:
		return float64(v[0])
	case lines:
		return float64(v[line])
	}
	return float64(v[matrix*lines+line])
}

// naiveIntegers multiplies the stacks by the definition.
func naiveIntegers(a, b, zeroA, zeroB *tensor.Tensor) []float64 {
	stackA, m, k := split(a.Shape, true, false)
	stackB, _, n := split(b.Shape, false, false)
	stack, _ := broadcastShapes(stackA, stackB)
	at := stacked(stack, stackA, stackB, 1, 1, 1)
	x, y := asNumbers(a), asNumbers(b)
	var out []float64
	for s := range int(countStack(stack)) {
		i, j, _ := at(s)
		for r := range int(m) {
			for c := range int(n) {
				sum := 0.0
				for p := range int(k) {
					left := float64(x[(i*int(m)+r)*int(k)+p]) - perLine(zeroA, i, r, int(m))
					right := float64(y[(j*int(k)+p)*int(n)+c]) - perLine(zeroB, j, c, int(n))
					sum += left * right
				}
				out = append(out, sum)
			}
		}
	}
	return out
}

type productCase struct{ a, b, zeroA, zeroB []int64 }

func productCases() []productCase {
	return []productCase{
		{[]int64{4, 3}, []int64{3, 2}, []int64{}, []int64{}},
		{[]int64{4, 35}, []int64{35, 21}, []int64{4}, []int64{21}},
		{[]int64{3}, []int64{3, 2}, []int64{1}, []int64{2}},
		{[]int64{4, 3}, []int64{3}, []int64{}, []int64{}},
		{[]int64{3}, []int64{3}, []int64{}, []int64{}},
		{[]int64{2, 4, 3}, []int64{3, 5}, []int64{}, []int64{5}},
		{[]int64{2, 4, 3}, []int64{3, 5}, []int64{4}, []int64{}},
		{[]int64{2, 4, 3}, []int64{3, 5}, []int64{2, 4, 1}, []int64{}},
		{[]int64{2, 1, 4, 3}, []int64{5, 3, 6}, []int64{4}, []int64{5, 1, 6}},
		{[]int64{2, 4, 0}, []int64{0, 5}, []int64{4}, []int64{}},
	}
}

func TestMatMulInteger(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for i, c := range productCases() {
		for signs := range 4 {
			a, b := quantBytes(rng, signs&1 > 0, c.a...), quantBytes(rng, signs&2 > 0, c.b...)
			zeroA, zeroB := quantBytes(rng, signs&1 > 0, c.zeroA...), quantBytes(rng, signs&2 > 0, c.zeroB...)
			want := naiveIntegers(a, b, zeroA, zeroB)
			plain := naiveIntegers(a, b, nil, nil)
			for _, level := range kernel.Levels() {
				for _, fixed := range [][]int{nil, {1, 3}, {1}} {
					on := &kernel.On{Level: level, Threads: 1 + signs}
					out, err := quantNode{op: "MatMulInteger", fixed: fixed}.run(on, a, b, zeroA, zeroB)
					checkIntegers(t, fmt.Sprintf("case %d, %s, fixed %v", i, level, fixed), must(t, out, err)[0], want)
					out, err = quantNode{op: "MatMulInteger", fixed: fixed}.run(on, a, b)
					checkIntegers(t, fmt.Sprintf("case %d, %s, fixed %v, no zero points", i, level, fixed), must(t, out, err)[0], plain)
				}
			}
		}
	}
}

func checkIntegers(t *testing.T, name string, got *tensor.Tensor, want []float64) {
	t.Helper()
	for i, v := range tensor.Data[int32](got) {
		if float64(v) != want[i] {
			t.Fatalf("%s: element %d is %d, want %v", name, i, v, want[i])
		}
	}
}

func TestQLinearMatMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 8))
	for i, c := range productCases() {
		for signs := range 8 {
			a, b := quantBytes(rng, signs&1 > 0, c.a...), quantBytes(rng, signs&2 > 0, c.b...)
			zeroA, zeroB := quantBytes(rng, signs&1 > 0, c.zeroA...), quantBytes(rng, signs&2 > 0, c.zeroB...)
			scaleA, scaleB, scaleY := quantFloats(rng), quantFloats(rng, c.zeroB...), quantFloats(rng)
			if i%3 == 1 {
				scaleA, scaleB = quantFloats(rng, c.zeroA...), quantFloats(rng)
			}
			zeroY := quantBytes(rng, signs&4 > 0)
			sums := naiveIntegers(a, b, zeroA, zeroB)
			low, high := rangeOf(zeroY.Type)
			for _, fixed := range [][]int{nil, {3, 5}} {
				n := quantNode{op: "QLinearMatMul", fixed: fixed}
				out, err := n.run(&kernel.On{Level: kernel.Best()}, a, scaleA, zeroA, b, scaleB, zeroB, scaleY, zeroY)
				got := asNumbers(must(t, out, err)[0])
				rows, columns := lastTwo(c)
				for e, s := range sums {
					matrix, row, column := e/(rows*columns), e/columns%rows, e%columns
					scale := perLine(scaleA, matrix, row, rows) * perLine(scaleB, matrix%max(1, len(asNumbers(scaleB))/columns), column, columns) / float64(asNumbers(scaleY)[0])
					want := min(max(s*scale+float64(asNumbers(zeroY)[0]), float64(low)), float64(high))
					if math.Abs(float64(got[e])-want) > 0.51 {
						t.Fatalf("case %d, fixed %v: element %d is %v, want %v", i, fixed, e, got[e], want)
					}
				}
			}
		}
	}
}

func lastTwo(c productCase) (rows, columns int) {
	_, m, _ := split(c.a, true, false)
	_, _, n := split(c.b, false, false)
	return int(m), int(n)
}

func TestMatMulIntegerToFloat(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 8))
	a, b := quantBytes(rng, false, 2, 5, 7), quantBytes(rng, true, 7, 20)
	scaleA, scaleB := quantFloats(rng), quantFloats(rng, 20)
	zeroA, bias := quantBytes(rng, false), quantFloats(rng, 20)
	sums := naiveIntegers(a, b, zeroA, nil)
	out, err := quantNode{op: "MatMulIntegerToFloat", domain: "com.microsoft", fixed: []int{1}}.run(&kernel.On{}, a, b, scaleA, scaleB, zeroA, nil, bias)
	for i, got := range tensor.Data[float32](must(t, out, err)[0]) {
		want := sums[i]*perLine(scaleA, 0, 0, 1)*perLine(scaleB, 0, i%20, 20) + perLine(bias, 0, i%20, 20)
		if math.Abs(float64(got)-want) > 1e-4*math.Abs(want) {
			t.Fatalf("element %d is %v, want %v", i, got, want)
		}
	}
}

func TestIntegerProductRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 8))
	a, b := quantBytes(rng, false, 4, 3), quantBytes(rng, true, 3, 2)
	one, zero, signed := quantFloats(rng), quantBytes(rng, false), quantBytes(rng, true)
	for i, c := range []struct {
		op string
		in []*tensor.Tensor
	}{
		{"MatMulInteger", []*tensor.Tensor{a, quantBytes(rng, true, 4, 2)}},
		{"MatMulInteger", []*tensor.Tensor{a, quantBytes(rng, true)}},
		{"MatMulInteger", []*tensor.Tensor{a, quantFloats(rng, 3, 2)}},
		{"MatMulInteger", []*tensor.Tensor{a, b, signed}},
		{"MatMulInteger", []*tensor.Tensor{a, b, quantBytes(rng, false, 3)}},
		{"MatMulInteger", []*tensor.Tensor{a, b, zero, quantBytes(rng, true, 4)}},
		{"QLinearMatMul", []*tensor.Tensor{a, one, zero, b, one, signed, one, one}},
		{"QLinearMatMul", []*tensor.Tensor{a, one, zero, b, one, signed, quantFloats(rng, 2), zero}},
		{"QLinearMatMul", []*tensor.Tensor{a, quantFloats(rng, 4), zero, b, quantFloats(rng, 2), signed, one, zero}},
		{"QLinearMatMul", []*tensor.Tensor{a, nil, zero, b, one, signed, one, zero}},
	} {
		if out, err := (quantNode{op: c.op}).run(&kernel.On{}, c.in...); err == nil {
			t.Errorf("case %d is accepted: %v", i, out)
		}
	}
}

func TestScratchMemoryIsDisjoint(t *testing.T) {
	size := qgemm.Size{Bytes: 13, Words: 5}
	scratch := make([]float32, scratchOf(size)+3)
	memory, rest := memoryOf(size, scratch)
	for i := range memory.Bytes {
		memory.Bytes[i] = 1
	}
	for i := range memory.Words {
		memory.Words[i] = -1
	}
	if len(memory.Words) != size.Words || len(memory.Bytes) < size.Bytes || len(rest) != 3 {
		t.Errorf("%d words, %d bytes, %d left", len(memory.Words), len(memory.Bytes), len(rest))
	}
	if slices.ContainsFunc(memory.Bytes, func(b uint8) bool { return b != 1 }) || slices.Max(rest) != 0 {
		t.Error("the parts overlap")
	}
}
