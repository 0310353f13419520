package op

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestProjections: each product is what it is by itself, packed
// or not, whichever bias is missing.
func TestProjections(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for _, level := range kernel.Levels() {
		for i := range 24 {
			shape := [][]int64{{5, 12}, {2, 3, 12}, {1, 12}, {2, 0, 12}}[i%4]
			o, in := randomProjections(rng, shape)
			want := besides(t, level, o, in)
			infos, err := o.Infer(infosOf(in))
			if err != nil {
				t.Fatal(err)
			}
			if err := agreesWithLess(o, in, []*tensor.Tensor{want}); err != nil {
				t.Fatal(err)
			}
			for _, threads := range []int{1, 3} {
				on := &kernel.On{Level: level, Threads: threads}
				name := fmt.Sprintf("%s, %v, %d threads", level, shape, threads)
				sameBits(t, name+", not packed", runProjections(t, on, o, in, infos), want)
				for _, overwrite := range []bool{false, true} {
					packed, rest := packProjections(t, level, o, in, overwrite)
					sameBits(t, name+", packed", runProjections(t, on, packed, rest, infos), want)
				}
			}
		}
	}
}

// randomProjections is two to four products of one left operand.
func randomProjections(rng *rand.Rand, shape []int64) (*Projections, []*tensor.Tensor) {
	o, in := &Projections{}, []*tensor.Tensor{randomFloats(rng, shape...)}
	for range 2 + rng.IntN(3) {
		k, n := shape[len(shape)-1], 1+rng.Int64N(70)
		turned := rng.IntN(2) == 0
		o.Turned = append(o.Turned, turned)
		if turned {
			in = append(in, randomFloats(rng, n, k))
		} else {
			in = append(in, randomFloats(rng, k, n))
		}
		in = append(in, []*tensor.Tensor{nil, randomFloats(rng, n)}[rng.IntN(2)])
	}
	return o, in
}

// besides computes the products one by one.
func besides(t *testing.T, level kernel.Level, o *Projections, in []*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	var parts []*tensor.Tensor
	for i, turned := range o.Turned {
		one, operands := &Product{TransB: turned}, []*tensor.Tensor{in[0], in[1+2*i], in[2+2*i]}
		infos, err := one.Infer(infosOf(operands))
		if err != nil {
			t.Fatal(err)
		}
		out, err := run(&kernel.On{Level: level}, one, operands, infos)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, out[0])
	}
	return following(parts)
}

// following is the elements of products one after the other, as one of all columns.
func following(parts []*tensor.Tensor) *tensor.Tensor {
	var all []float32
	shape := slices.Clone(parts[0].Shape)
	columns := len(shape) - 1
	shape[columns] = 0
	for _, p := range parts {
		all = append(all, tensor.Data[float32](p)...)
		shape[columns] += p.Shape[columns]
	}
	return tensor.Of(all, shape...)
}

func sameBits(t *testing.T, name string, got, want *tensor.Tensor) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) || !slices.Equal(tensor.Data[float32](got), tensor.Data[float32](want)) {
		t.Fatalf("%s: got %v, by themselves %v", name, got, want)
	}
}

// packProjections packs as the engine does, and gives the operands that are left.
func packProjections(t *testing.T, level kernel.Level, o *Projections, in []*tensor.Tensor, overwrite bool) (Operator, []*tensor.Tensor) {
	t.Helper()
	in = slices.Clone(in)
	for i, v := range in {
		if v != nil {
			in[i] = v.Clone()
		}
	}
	packer := o.Overwrite(func(i int) bool { return overwrite && i != 3 })
	packed, unread, err := packer.Pack(&kernel.On{Level: level}, func(i int) *tensor.Tensor { return in[i] }, infosOf(in))
	if err != nil || packed == nil {
		t.Fatalf("not packed: %v", err)
	}
	for _, i := range unread {
		in[i] = nil
	}
	if slices.ContainsFunc(in[1:], func(v *tensor.Tensor) bool { return v != nil }) {
		t.Fatalf("does not let go of %v", in[1:])
	}
	return packed, in
}

func runProjections(t *testing.T, on *kernel.On, o Operator, in []*tensor.Tensor, infos []Info) *tensor.Tensor {
	t.Helper()
	out, err := run(on, o, in, infos)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// TestProjectionsRefuse: what is not some products of one left operand.
func TestProjectionsRefuse(t *testing.T) {
	x, w, c := counted[float32](5, 12), counted[float32](12, 3), counted[float32](3)
	for name, in := range map[string][]*tensor.Tensor{
		"other rows":     {x, w, c, counted[float32](11, 3), nil},
		"other bias":     {x, w, c, w, counted[float32](4)},
		"a vector":       {x, w, c, counted[float32](12), nil},
		"a stack":        {x, w, c, counted[float32](2, 12, 3), nil},
		"other type":     {x, w, c, counted[float64](12, 3), nil},
		"no matrix":      {x, w, c, nil, c},
		"left of others": {counted[int32](5, 12), w, c, w, c},
	} {
		if out, err := (&Projections{Turned: make([]bool, 2)}).Infer(infosOf(in)); err == nil {
			t.Errorf("%s: gives %v", name, out)
		}
	}
}

// TestProjectionsNotKnown: with one operand that is not known nothing is packed.
func TestProjectionsNotKnown(t *testing.T) {
	in := []*tensor.Tensor{counted[float32](5, 12), counted[float32](12, 3), counted[float32](3), counted[float32](12, 4), counted[float32](1, 4)}
	for _, not := range []int{1, 2, 3, 4} {
		packed, unread, err := (&Projections{Turned: make([]bool, 2)}).Pack(&kernel.On{Level: kernel.Best()}, func(i int) *tensor.Tensor {
			if i == not {
				return nil
			}
			return in[i]
		}, infosOf(in))
		if packed != nil || unread != nil || err != nil {
			t.Errorf("without operand %d: %v, %v, %v", not, packed, unread, err)
		}
	}
}
