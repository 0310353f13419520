package tensor

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// all makes a tensor of two elements of every element type.
func all(t *testing.T) []*Tensor {
	t.Helper()
	var out []*Tensor
	for typ := Float32; typ <= lastType; typ++ {
		v, err := New(typ, []int64{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func TestEveryElementType(t *testing.T) {
	for _, v := range all(t) {
		if err := v.Check(); err != nil {
			t.Errorf("%s: %v", v.Type, err)
		}
		if v.Len() != 2 || v.Bytes() != 2*v.Type.Size() || v.Type.Size() == 0 {
			t.Errorf("%s: %d elements, %d bytes", v.Type, v.Len(), v.Bytes())
		}
		if c := v.Clone(); c.Check() != nil || c.Type != v.Type || c.Len() != 2 {
			t.Errorf("%s: clone %v", v.Type, c)
		}
		if strings.HasPrefix(v.Type.String(), "type ") {
			t.Errorf("%d has no name", v.Type)
		}
		inArena, err := NewArena(64).At(0, v.Type, []int64{1, 2})
		if v.Type == String {
			if err == nil {
				t.Error("strings in an arena: the collector would not see them")
			}
			continue
		}
		if err != nil || inArena.Check() != nil {
			t.Errorf("%s: %v, %v", v.Type, err, inArena.Check())
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	one := Scalar[float32](1)
	wrongType := Scalar[int64](1)
	wrongType.Type = Uint64
	withItems := Scalar[float32](1)
	withItems.Items = []*Tensor{one}
	deep := SequenceOf(Sequence, SequenceOf(Sequence, SequenceOf(Sequence, SequenceOf(Float32))))
	for name, c := range map[string]struct {
		t    *Tensor
		want string
	}{
		"nil":             {nil, "no tensor"},
		"zero":            {&Tensor{}, "not an element type"},
		"too few":         {Of([]float32{1}, 2), "needs 2 float32 elements, got 1"},
		"negative":        {Of([]float32{1}, -1, -1), "negative"},
		"overflow":        {Of([]float32{}, math.MaxInt64, 2), "int64 can count"},
		"another type":    {wrongType, "type is uint64, the elements are int64"},
		"nothing":         {&Tensor{Type: Float32, Shape: []int64{0}}, "the elements are undefined"},
		"array and list":  {withItems, "has no items"},
		"list with shape": {&Tensor{Type: Sequence, Shape: []int64{1}}, "neither shape nor elements"},
		"mixed":           {SequenceOf(Float32, one, Scalar[int64](1)), "item 1 is int64"},
		"bad item":        {SequenceOf(Float32, Of([]float32{1}, 2)), "item 0: shape"},
		"no item":         {SequenceOf(Float32, nil), "no tensor"},
		"two options":     {&Tensor{Type: Optional, ItemType: Float32, Items: []*Tensor{one, one}}, "an optional of 2"},
		"deep":            {deep, "levels of lists"},
	} {
		if err := c.t.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

func TestArenaHoldsItsBounds(t *testing.T) {
	a := NewArena(100)
	if a.Bytes() != 128 {
		t.Errorf("%d bytes", a.Bytes())
	}
	for _, c := range []struct {
		offset int64
		shape  []int64
		ok     bool
	}{
		{0, []int64{32}, true}, {0, []int64{33}, false}, {64, []int64{16}, true}, {64, []int64{17}, false},
		{128, []int64{1}, false}, {128, []int64{0}, true}, {1 << 40, []int64{0}, true}, {-64, []int64{1}, false}, {4, []int64{1}, false},
		{0, []int64{-1}, false}, {0, []int64{math.MaxInt64}, false}, {192, []int64{1}, false}, {0, []int64{1 << 62}, false},
	} {
		v, err := a.At(c.offset, Float32, c.shape)
		if (err == nil) != c.ok {
			t.Errorf("%v at %d: %v", c.shape, c.offset, err)
		}
		if err == nil && v.Check() != nil {
			t.Errorf("%v at %d: %v", c.shape, c.offset, v.Check())
		}
		if _, err := a.Floats(c.offset, max(-1, c.shape[0])); (err == nil) != c.ok {
			t.Errorf("%d floats at %d: %v", c.shape[0], c.offset, err)
		}
	}
}

func TestArenaIsShared(t *testing.T) {
	a := NewArena(64)
	f, err := a.At(0, Float32, []int64{2})
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.At(0, Uint32, []int64{2})
	if err != nil {
		t.Fatal(err)
	}
	Data[float32](f)[1] = 1
	if got := Data[uint32](u)[1]; got != math.Float32bits(1) {
		t.Errorf("%#x", got)
	}
	a.Fill(0xff)
	if !math.IsNaN(float64(Data[float32](f)[0])) {
		t.Error("not filled")
	}
}

func TestWords(t *testing.T) {
	f := List[float32](1, -2)
	if w := Words[uint32](f); len(w) != 2 || w[1] != math.Float32bits(-2) {
		t.Errorf("%x", w)
	}
	if Words[uint64](f) != nil || Words[string](f) != nil || Words[uint32](List[float32]()) != nil {
		t.Error("words of another size")
	}
	if w := Words[string](List("a", "b")); len(w) != 2 {
		t.Errorf("%v", w)
	}
	if Words[[2]uint64](List("a", "b")) != nil {
		t.Error("a string's pointer as a number")
	}
	if w := Words[[2]uint64](List(complex(1, 2))); len(w) != 1 || w[0][0] != math.Float64bits(1) {
		t.Errorf("%v", w)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	v := List[float32](1, 2)
	s := SequenceOf(Float32, v)
	c := s.Clone()
	Data[float32](v)[0], v.Shape[0] = 9, 9
	if got := c.Items[0]; Data[float32](got)[0] != 1 || got.Shape[0] != 2 {
		t.Errorf("%v", got)
	}
}

func TestLittleEndian(t *testing.T) {
	x := List[uint32](1, 0x01020304)
	if got := LittleEndian(x); !slices.Equal(got, []byte{1, 0, 0, 0, 4, 3, 2, 1}) {
		t.Errorf("got %v", got)
	}
	for name, x := range map[string]*Tensor{
		"strings":      List("a"),
		"bools":        List(true),
		"below a byte": List[I4](1),
		"nothing":      List[float32](),
		"a list":       SequenceOf(Float32),
	} {
		if got := LittleEndian(x); got != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestNoTensorOfWhatHasNoElements, and none whose elements cannot be counted.
func TestNoTensorOfWhatHasNoElements(t *testing.T) {
	if _, err := New(Sequence, nil); err == nil || !strings.Contains(err.Error(), "is not an element type") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Float32, []int64{1 << 40, 1 << 40}); err == nil || !strings.Contains(err.Error(), "more elements than an int64") {
		t.Errorf("got %v", err)
	}
	if err := (&Tensor{Type: Sequence, data: []float32{1}}).Check(); err == nil || !strings.Contains(err.Error(), "neither shape nor elements") {
		t.Errorf("got %v", err)
	}
	a := NewArena(Alignment)
	if _, err := a.Floats(2*Alignment, 1); err == nil || !strings.Contains(err.Error(), "reach beyond an arena of 64 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := a.At(0, Sequence, nil); err == nil {
		t.Error("a list lies in an arena")
	}
}
