package ocr

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/picture"
)

// drawn is a map of 0 and 1, of rows of ' ' and 'x'.
func drawn(rows ...string) Map {
	m := Map{W: len(rows[0]), H: len(rows)}
	for _, row := range rows {
		for _, c := range row {
			v := float32(0)
			if c == 'x' {
				v = 1
			}
			m.Values = append(m.Values, v)
		}
	}
	return m
}

func all(t testing.TB, m Map, f Find) []region {
	t.Helper()
	list, err := regions(t.Context(), f.mask(m), m.W, f.Most)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRegions: pixels that touch at an edge or a corner are one region, and the largest are kept.
func TestRegions(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      Map
		dilate bool
		most   int
		want   []int64 // pixels of each
	}{
		{"none", drawn("   ", "   "), false, 9, nil},
		{"all", drawn("xxx", "xxx"), false, 9, []int64{6}},
		{"corners", drawn("x x", " x ", "x x"), false, 9, []int64{5}},
		{"corner to the right", drawn(" x", "x "), false, 9, []int64{2}},
		{"corner to the left", drawn("x ", " x"), false, 9, []int64{2}},
		{"apart", drawn("x x", "   ", "x x"), false, 9, []int64{1, 1, 1, 1}},
		{"joined below", drawn("x x x", "x x x", "xxxxx"), false, 9, []int64{11}},
		{"joined above", drawn("xxxxx", "x x x"), false, 9, []int64{8}},
		{"joined across", drawn("xx  xx", "  xx  ", "xx  xx"), false, 9, []int64{10}},
		{"ring with a dot", drawn("xxxxx", "x   x", "x x x", "x   x", "xxxxx"), false, 9, []int64{16, 1}},
		{"largest", drawn("x xx xxx", "        ", "xx x xxx"), false, 3, []int64{2, 3, 3}},
		{"first of equals", drawn("x x x x"), false, 2, []int64{1, 1}},
		{"dilated", drawn("x x ", "    ", "    "), true, 9, []int64{8}},
	} {
		got := []int64(nil)
		for _, r := range all(t, c.m, Find{Threshold: 0.5, Dilate: c.dilate, Most: c.most}) {
			got = append(got, r.pixels)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: regions of %v pixels, expected %v", c.name, got, c.want)
		}
	}
}

// TestSmallest: rectangles of any direction are found again.
func TestSmallest(t *testing.T) {
	for degrees := 0; degrees < 180; degrees += 7 {
		a := float64(degrees) * math.Pi / 180
		r := rectangle{center: Point{50, 40}, along: Point{math.Cos(a), math.Sin(a)}, width: 60, height: 14}
		q := r.corners()
		got := smallest(append(q[:], Point{50, 40}, q[0], Point{(q[0].X + q[2].X) / 2, (q[0].Y + q[2].Y) / 2}))
		long, short := max(got.width, got.height), got.shorter()
		if math.Abs(long-60) > 1e-9 || math.Abs(short-14) > 1e-9 || got.center.distance(r.center) > 1e-9 {
			t.Errorf("%d degrees: %+v", degrees, got)
		}
		if area := got.grow(1.5); math.Abs(area.width-got.width-2*60*14*1.5/(2*74)) > 1e-9 {
			t.Errorf("%d degrees: grows to %+v", degrees, area)
		}
	}
	for _, points := range [][]Point{{{3, 4}}, {{3, 4}, {3, 4}}, {{1, 1}, {5, 3}}, {{0, 0}, {1, 1}, {2, 2}, {3, 3}}} {
		if r := smallest(points); r.shorter() > 1e-9 || math.IsNaN(r.center.X) {
			t.Errorf("%v: %+v", points, r)
		}
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct{ w, h, longest, shortest, wantW, wantH int }{
		{640, 480, 960, 0, 640, 480},
		{650, 470, 960, 0, 640, 480},
		{4000, 3000, 960, 0, 960, 704},
		{384, 191, 2000, 736, 1472, 736},
		{384, 191, 960, 736, 960, 480},
		{20, 10, 960, 0, 32, 32},
		{65535, 1, 960, 736, 960, 32},
		{1, 65535, 2560, 736, 32, 2560},
	} {
		if w, h := Size(c.w, c.h, c.longest, c.shortest); w != c.wantW || h != c.wantH {
			t.Errorf("%v: %d x %d", c, w, h)
		}
	}
}

func TestLineWidth(t *testing.T) {
	for _, c := range []struct{ w, h, width, text int }{
		{100, 50, 320, 96}, {480, 48, 480, 480}, {1000, 48, 1000, 1000}, {9000, 48, 3200, 3200}, {65535, 1, 3200, 3200}, {1, 65535, 320, 1},
	} {
		if width, text := LineWidth(c.w, c.h, 48); width != c.width || text != c.text {
			t.Errorf("%v: %d, %d", c, width, text)
		}
	}
}

func at(x, y float64) Quad { return Quad{{x, y}, {x + 9, y}, {x + 9, y + 9}, {x, y + 9}} }

func TestSort(t *testing.T) {
	list := []Quad{at(50, 100), at(10, 105), at(80, 2), at(10, 4), at(40, 11), at(0, 200)}
	Sort(list)
	want := []Quad{at(10, 4), at(40, 11), at(80, 2), at(10, 105), at(50, 100), at(0, 200)}
	// A line that is a little lower comes before what is left of it only step by step.
	if !slices.Equal(list, want) {
		t.Errorf("%v", list)
	}
}

// TestTall: text that runs down is turned.
func TestTall(t *testing.T) {
	m := picture.New(20, 40)
	m.Pix[3*(20*5+4)] = 255 // the upper left corner of what is cut
	got, err := Cut(t.Context(), m, Quad{{4, 5}, {14, 5}, {14, 35}, {4, 35}})
	if err != nil || got.W != 30 || got.H != 10 || got.Pix[3*30*9] != 255 {
		t.Errorf("%v, %v", got, err)
	}
	got, err = Cut(t.Context(), m, Quad{{4, 5}, {14, 5}, {14, 19}, {4, 19}})
	if err != nil || got.W != 10 || got.H != 14 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestCutRefuses: what is larger than the picture, and what is nothing.
func TestCutRefuses(t *testing.T) {
	m := picture.New(100, 1)
	for _, q := range []Quad{
		{{0, 0}, {99, 0}, {0, 0}, {50, 0}}, {}, {{0, 0}, {3, 0}, {3, 3}, {0, 3}},
		{{math.NaN(), 0}, {1, 0}, {1, 1}, {0, 1}}, {{math.Inf(1), 0}, {1, 0}, {1, 1}, {0, 1}},
	} {
		if got, err := Cut(t.Context(), m, q); err == nil {
			t.Errorf("%v: %d x %d", q, got.W, got.H)
		}
	}
}

func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, p := drawn("xxxxxxxxxx", "xxxxxxxxxx", "xxxxxxxxxx", "xxxxxxxxxx", "xxxxxxxxxx"), picture.New(50, 50)
	if _, err := (Find{Most: 1}).Boxes(ctx, m, 50, 50); !errors.Is(err, context.Canceled) {
		t.Errorf("boxes: %v", err)
	}
	if _, err := m.mean(ctx, at(0, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("mean: %v", err)
	}
	if _, err := Cut(ctx, p, at(3, 3)); !errors.Is(err, context.Canceled) {
		t.Errorf("cut: %v", err)
	}
	if _, err := LineOf(ctx, p, 48); !errors.Is(err, context.Canceled) {
		t.Errorf("line: %v", err)
	}
}

// FuzzBoxes: whatever a detector says, boxes are within the picture, no more than asked for, and can
// be cut out.
func FuzzBoxes(f *testing.F) {
	f.Add(uint8(20), uint16(300), uint16(200), true, []byte("\x00\x00\x00\x00\xff\xff\xff\xff\xff"))
	f.Add(uint8(7), uint16(1), uint16(65535), false, []byte{255, 255, 255, 0, 0, 255, 1, 2, 3, 200, 201, 255, 255})
	f.Add(uint8(3), uint16(9), uint16(9), false, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.NaN()))))
	f.Fuzz(func(t *testing.T, mapW uint8, w, h uint16, dilate bool, levels []byte) {
		m := Map{W: int(mapW) + 1, H: min(len(levels)/(int(mapW)+1), 64)}
		if m.H == 0 || w == 0 || h == 0 {
			return
		}
		for _, l := range levels[:m.W*m.H] {
			v := float32(l) / 200
			switch l {
			case 1:
				v = float32(math.NaN())
			case 2:
				v = float32(math.Inf(1))
			case 3:
				v = -v
			}
			m.Values = append(m.Values, v)
		}
		find := Find{Threshold: 0.3, Box: 0.5, Unclip: 1.6, Dilate: dilate, Most: 20}
		boxes, err := find.Boxes(t.Context(), m, int(w), int(h))
		if err != nil || len(boxes) > find.Most {
			t.Fatal(len(boxes), err)
		}
		Sort(boxes)
		small := picture.New(min(int(w), 50), min(int(h), 50))
		for _, q := range boxes {
			for _, p := range q {
				if !(p.X >= 0 && p.X < float64(w) && p.Y >= 0 && p.Y < float64(h)) {
					t.Fatalf("%v in a picture of %d x %d", q, w, h)
				}
			}
			checkCut(t, small, q)
		}
	})
}

// checkCut cuts a box out of a picture that may be smaller, and makes a line of it.
func checkCut(t *testing.T, m *picture.Image, q Quad) {
	cut, err := Cut(t.Context(), m, q)
	if err != nil {
		return
	}
	if cut.W*cut.H > 2*m.W*m.H {
		t.Fatalf("%d x %d cut out of %d x %d", cut.W, cut.H, m.W, m.H)
	}
	line, err := LineOf(t.Context(), cut, 48)
	if err != nil || line.Width > 3200 {
		t.Fatal(line.Width, err)
	}
}

// TestManyRegions: the worst of maps end in time, too: dots, combs, stripes.
func TestManyRegions(t *testing.T) {
	const side = 320
	for name, on := range map[string]func(x, y int) bool{
		"dots":    func(x, y int) bool { return x%2 == 0 && y%2 == 0 },
		"checked": func(x, y int) bool { return (x+y)%2 == 0 },
		"comb":    func(x, y int) bool { return x%2 == 0 || y == side-1 },
		"stripes": func(x, y int) bool { return (x+y)%9 < 4 },
		"all":     func(x, y int) bool { return true },
	} {
		m := Map{Values: make([]float32, side*side), W: side, H: side}
		for i := range m.Values {
			if on(i%side, i/side) {
				m.Values[i] = 1
			}
		}
		boxes, err := Find{Threshold: 0.3, Box: 0.2, Unclip: 1.5, Most: 100}.Boxes(t.Context(), m, 4000, 3000)
		if err != nil || len(boxes) > 100 {
			t.Errorf("%s: %d boxes, %v", name, len(boxes), err)
		}
	}
}

func BenchmarkBoxes(b *testing.B) {
	m := openMap(b, "page.map.png")
	for b.Loop() {
		if _, err := (Find{Threshold: 0.3, Box: 0.5, Unclip: 1.6, Dilate: true, Most: 1000}).Boxes(b.Context(), m, 384, 191); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	m := open(b, "slanted.jpg")
	for b.Loop() {
		if _, err := Cut(b.Context(), m, Quad{{140, 250}, {700, 181}, {708, 246}, {148, 315}}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestComb: of a region with many teeth no more is kept than where its rows begin and end.
func TestComb(t *testing.T) {
	const w, h = 301, 40
	m := Map{W: w, H: h, Values: make([]float32, w*h)}
	for i := range m.Values {
		if i < w || i%w%2 == 0 {
			m.Values[i] = 1
		}
	}
	list := all(t, m, Find{Threshold: 0.5, Most: 10})
	if len(list) != 1 || list[0].pixels != w+(h-1)*(w/2+1) || len(list[0].corners) != 2*h {
		t.Fatalf("%d regions, the first of %d pixels with %d corners", len(list), list[0].pixels, len(list[0].corners))
	}
	if box := smallest(list[0].corners); box.width*box.height != (w-1)*(h-1) {
		t.Errorf("%+v", box)
	}
}
