package ocr

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/picture"
)

// golden is what RapidOCR and OpenCV make of the pictures in testdata (testdata/make.py).
type golden struct {
	Crops []struct {
		File, Crop string
		Quad       [4][2]float64
		Shape      [3]int
		Values     []float64
	}
	Maps []struct {
		Map                    string
		W, H                   int
		Threshold, Box, Unclip float64
		Dilate                 bool
		Boxes                  [][4][2]float64
		Scores                 []float64
	}
}

func readGolden(t testing.TB) (g golden) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil || len(g.Maps) == 0 || len(g.Crops) == 0 {
		t.Fatal(len(g.Maps), len(g.Crops), err)
	}
	return g
}

func open(t testing.TB, name string) *picture.Image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := picture.Decode(t.Context(), data, picture.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// openMap reads a detector's map that is stored in 8 bits.
func openMap(t testing.TB, name string) Map {
	m := open(t, name)
	out := Map{Values: make([]float32, m.W*m.H), W: m.W, H: m.H}
	for i := range out.Values {
		out.Values[i] = float32(m.Pix[3*i]) / 255
	}
	return out
}

func quadOf(q [4][2]float64) (out Quad) {
	for i, p := range q {
		out[i] = Point{p[0], p[1]}
	}
	return out
}

// TestBoxes: the boxes that RapidOCR finds in the same maps, in its order, with corners at most as
// far away as its rounding explains: it makes whole pixels of the map before and after a box grows.
func TestBoxes(t *testing.T) {
	for _, c := range readGolden(t).Maps {
		t.Run(fmt.Sprintf("%s/%v/%v", c.Map, c.Threshold, c.Dilate), func(t *testing.T) {
			m := openMap(t, c.Map)
			f := Find{Threshold: c.Threshold, Box: c.Box, Unclip: c.Unclip, Dilate: c.Dilate, Most: 1000}
			got, err := f.Boxes(t.Context(), m, c.W, c.H)
			if err != nil {
				t.Fatal(err)
			}
			Sort(got)
			if len(got) != len(c.Boxes) {
				t.Fatalf("%d boxes, expected %d:\n%v\n%v", len(got), len(c.Boxes), got, c.Boxes)
			}
			most, pixel := 0.0, max(float64(c.W)/float64(m.W), float64(c.H)/float64(m.H))
			for i, q := range got {
				for j, p := range quadOf(c.Boxes[i]) {
					most = max(most, math.Abs(p.X-q[j].X), math.Abs(p.Y-q[j].Y))
				}
			}
			t.Logf("%d boxes, furthest corner %v pixels (a pixel of the map is %.2f)", len(got), most, pixel)
			if most > math.Ceil(2*pixel) {
				t.Errorf("a corner is %v pixels away:\n%v\n%v", most, got, c.Boxes)
			}
		})
	}
}

// TestScores: of each box, whatever its score.
func TestScores(t *testing.T) {
	for _, c := range readGolden(t).Maps {
		m := openMap(t, c.Map)
		f := Find{Threshold: c.Threshold, Box: c.Box, Unclip: c.Unclip, Dilate: c.Dilate, Most: 1000}
		list, err := regions(t.Context(), f.mask(m), m.W, f.Most)
		if err != nil {
			t.Fatal(err)
		}
		var scores []float64
		for _, r := range list {
			box := smallest(r.corners)
			score, err := m.mean(t.Context(), box.corners())
			if err != nil {
				t.Fatal(err)
			}
			if box.shorter() >= leastRegion && score >= f.Box && box.grow(f.Unclip).shorter() >= leastBox {
				scores = append(scores, score)
			}
		}
		slices.Sort(scores)
		if len(scores) != len(c.Scores) {
			t.Errorf("%s: %d scores, expected %d", c.Map, len(scores), len(c.Scores))
			continue
		}
		for i, s := range scores {
			if math.Abs(s-c.Scores[i]) > 0.03 {
				t.Errorf("%s: score %d is %.4f, expected %.4f", c.Map, i, s, c.Scores[i])
			}
		}
	}
}

// TestCut: what OpenCV cuts out of the same pictures. Its weights have 15 bits, ours 24; a JPEG file
// is decoded by ours.
func TestCut(t *testing.T) {
	for _, c := range readGolden(t).Crops {
		got, err := Cut(t.Context(), open(t, c.File), quadOf(c.Quad))
		if err != nil {
			t.Fatal(err)
		}
		want := open(t, c.Crop)
		if got.W != want.W || got.H != want.H {
			t.Errorf("%s: %d x %d, expected %d x %d", c.Crop, got.W, got.H, want.W, want.H)
			continue
		}
		most, sum := 0, 0
		for i, v := range got.Pix {
			d := max(int(v)-int(want.Pix[i]), int(want.Pix[i])-int(v))
			most, sum = max(most, d), sum+d
		}
		mean := float64(sum) / float64(len(got.Pix))
		t.Logf("%s of %s: largest difference %d/255, mean %.3f", c.Crop, c.File, most, mean)
		if mean > 1 {
			t.Errorf("%s of %s: largest difference %d/255, mean %.3f", c.Crop, c.File, most, mean)
		}
		checkLine(t, want, c.Shape, c.Values)
	}
}

func checkLine(t *testing.T, m *picture.Image, shape [3]int, values []float64) {
	t.Helper()
	line, err := LineOf(t.Context(), m, 48)
	if err != nil {
		t.Fatal(err)
	}
	if shape != [3]int{3, line.Height, line.Width} || len(line.Values) != 3*line.Height*line.Width {
		t.Fatalf("3 x %d x %d (%d values), expected %v", line.Height, line.Width, len(line.Values), shape)
	}
	for i, v := range values {
		if d := math.Abs(float64(line.Values[997*i]) - v); d > 1.01*2/255 {
			t.Errorf("value %d is %v, expected %v", 997*i, line.Values[997*i], v)
		}
	}
}
