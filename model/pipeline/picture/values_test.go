package picture

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestResize: byte for byte what Pillow makes of the same picture.
func TestResize(t *testing.T) {
	m := decode(t, "rgb.png")
	for _, f := range Filters() {
		for _, size := range [][2]int{{20, 20}, {61, 10}, {7, 47}, {100, 90}, {1, 1}} {
			name := fmt.Sprintf("rgb.%s.%dx%d.png", f.Name, size[0], size[1])
			got, err := m.Resize(t.Context(), size[0], size[1], f)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if most, _ := furthest(t, got, decode(t, name)); most != 0 {
				t.Errorf("%s: differs by %d/255", name, most)
			}
		}
	}
	if same, err := m.Resize(t.Context(), m.W, m.H, Bilinear()); err != nil || !slices.Equal(same.Pix, m.Pix) {
		t.Errorf("its own size: %v", err)
	}
	if _, err := New(1, 30000).Resize(t.Context(), 2000, 100, Bilinear()); !errors.Is(err, ErrLimit) {
		t.Errorf("by way of 2000 x 30000: %v", err)
	}
	for _, size := range [][2]int{{0, 5}, {5, 0}, {MaxSide + 1, 5}, {5, MaxSide + 1}, {-1, 5}} {
		if _, err := m.Resize(t.Context(), size[0], size[1], Bilinear()); !errors.Is(err, ErrLimit) {
			t.Errorf("%v: %v", size, err)
		}
		if _, err := m.Linear(t.Context(), size[0], size[1]); !errors.Is(err, ErrLimit) {
			t.Errorf("linear %v: %v", size, err)
		}
	}
}

// TestSteps: what torchvision's Resize, CenterCrop, ToTensor and Normalize give, bit for bit.
func TestSteps(t *testing.T) {
	var cases []struct {
		File         string
		Resize, Crop int
		Resized      [2]int
		Values       []float32
		Sum          float64
	}
	if err := json.Unmarshal(read(t, "steps.json"), &cases); err != nil || len(cases) != 5 {
		t.Fatal(len(cases), err)
	}
	v := Values{Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}
	for _, c := range cases {
		m := decode(t, c.File)
		w, h := m.Shorter(c.Resize)
		if [2]int{w, h} != c.Resized {
			t.Errorf("%s: resized to %d x %d, expected %v", c.File, w, h, c.Resized)
			continue
		}
		small, err := m.Resize(t.Context(), w, h, Bilinear())
		if err != nil {
			t.Fatal(err)
		}
		cut, err := small.Crop(c.Crop, c.Crop)
		if err != nil {
			t.Fatal(err)
		}
		got, sum := make([]float32, 3*c.Crop*c.Crop), 0.0
		if err := v.Write(t.Context(), got, cut); err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			sum += float64(x)
			if i%97 == 0 && x != c.Values[i/97] {
				t.Errorf("%s: value %d is %v, expected %v", c.File, i, x, c.Values[i/97])
			}
		}
		if math.Abs(sum-c.Sum) > 1e-9*math.Abs(c.Sum) {
			t.Errorf("%s: sum %v, expected %v", c.File, sum, c.Sum)
		}
	}
}

func TestLayouts(t *testing.T) {
	m := &Image{W: 2, H: 1, Pix: []byte{255, 0, 51, 102, 255, 0}}
	one := [3]float32{1, 1, 1}
	for name, c := range map[string]struct {
		v    Values
		want []float32
	}{
		"nchw": {Values{Std: one}, []float32{1, 0.4, 0, 1, 0.2, 0}},
		"nhwc": {Values{Std: one, Last: true}, []float32{1, 0, 0.2, 0.4, 1, 0}},
		"bgr":  {Values{Std: one, Order: BGR}, []float32{0.2, 0, 0, 1, 1, 0.4}},
		"mean": {Values{Std: [3]float32{2, 1, 0.5}, Mean: [3]float32{1, 0, 0.2}, Last: true}, []float32{0, 0, 0, -0.3, 1, -0.4}},
		"gray": {Values{Std: one, Order: Gray}, []float32{82. / 255, 180. / 255}},
	} {
		got := make([]float32, 2*c.v.Order.Channels())
		if err := c.v.Write(t.Context(), got, m); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-6 {
				t.Errorf("%s: %v, expected %v", name, got, c.want)
				break
			}
		}
	}
}

func TestCropRefuses(t *testing.T) {
	m := New(5, 4)
	for _, size := range [][2]int{{6, 4}, {5, 5}, {0, 1}, {1, 0}, {-1, 1}} {
		if got, err := m.Crop(size[0], size[1]); err == nil {
			t.Errorf("%v: %d x %d", size, got.W, got.H)
		}
	}
}

// TestLinear: places between pixels are mixed, and the ends repeat.
func TestLinear(t *testing.T) {
	m := &Image{W: 2, H: 1, Pix: []byte{0, 100, 200, 200, 100, 0}}
	got, err := m.Linear(t.Context(), 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	row := []byte{0, 100, 200, 50, 100, 150, 150, 100, 50, 200, 100, 0}
	if !slices.Equal(got.Pix, append(row, row...)) {
		t.Errorf("%v", got.Pix)
	}
}
