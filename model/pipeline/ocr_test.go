package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/model/pipeline/picture"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// sessions are real models, by the names that a document has for them.
func sessions(t testing.TB, models map[string]string) (map[string]Model, Ask) {
	t.Helper()
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
	}
	infos, loaded := map[string]Model{}, map[string]*onnx.Session{}
	for name, file := range models {
		data := readFile(t, filepath.Join(dir, file))
		m, err := onnx.Parse(data, onnx.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		s, err := onnx.NewSession(m)
		if err != nil {
			t.Fatal(err)
		}
		infos[name], loaded[name] = Model{Inputs: s.Inputs(), Outputs: s.Outputs()}, s
	}
	return infos, func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return loaded[model].Run(ctx, in)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ocrOf is a pipeline with PP-OCRv4's models.
func ocrOf(t testing.TB, doc string) (*Pipeline, Ask) {
	t.Helper()
	infos, ask := sessions(t, map[string]string{"det.onnx": "ppocr-v4-det.onnx", "rec.onnx": "ppocr-v4-rec.onnx", "cls.onnx": "ppocr-v2-cls.onnx"})
	d, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), d, infos, map[string][]byte{"keys.txt": readFile(t, filepath.Join(os.Getenv("BLINDBOX_MODELS"), "ppocr-keys.txt"))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Try(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	return p, ask
}

// What RapidOCR does unless told otherwise.
const (
	asRapid = `ocr:
  detect:
    {model: det.onnx, side: 2000, shorter: 736, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], threshold: 0.3, box: 0.5, unclip: 1.6, dilate: true}
  recognise: {model: rec.onnx, characters: keys.txt}
`
)

// written is a line of a page.
type written struct {
	Text  string
	Score float64
	Box   [4][2]float64
}

func reads(t testing.TB, p *Pipeline, ask Ask, file []byte) (list []written) {
	t.Helper()
	out, err := p.Run(t.Context(), map[string]*tensor.Tensor{"image": tensor.Of([]string{string(file)}, 1)}, ask)
	if err != nil {
		t.Fatal(err)
	}
	box, score := tensor.Data[float32](out["box"]), tensor.Data[float32](out["score"])
	for i, text := range tensor.Data[string](out["text"]) {
		w := written{Text: text, Score: float64(score[i])}
		for j := range 8 {
			w.Box[j/2][j%2] = float64(box[8*i+j])
		}
		list = append(list, w)
	}
	return list
}

// TestOCRBesideRapidOCR: the same lines in the same order, of the same models, with the same
// letters. A detector's box that is a pixel off can take a space between words away or put
// one there.
func TestOCRBesideRapidOCR(t *testing.T) {
	var golden struct{ Read, Low, Turned map[string][]written }
	if err := json.Unmarshal(readFile(t, "ocr/testdata/golden.json"), &golden); err != nil || len(golden.Read) < 5 || len(golden.Low) < 1 || len(golden.Turned) < 2 {
		t.Fatal(len(golden.Read), len(golden.Low), len(golden.Turned), err)
	}
	as := func(t *testing.T, name string) []byte { return readFile(t, filepath.Join("ocr/testdata", name)) }
	compareOCR(t, asRapid, golden.Read, as)
	if race.Enabled {
		return
	}
	compareOCR(t, asRapid+"  turn: {model: cls.onnx}\n", golden.Turned, upsideDown)
	compareOCR(t, strings.NewReplacer("shorter: 736", "shorter: 560", "box: 0.5", "box: 0.4").Replace(asRapid), golden.Low, as)
}

// upsideDown is a picture, turned by 180 degrees.
func upsideDown(t *testing.T, name string) []byte {
	m, err := decodeImage(t.Context(), string(readFile(t, filepath.Join("ocr/testdata", name))), 0)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(encoded(t, m.Turn(3)))
}

// encoded is a PNG file of a picture.
func encoded(t *testing.T, m *picture.Image) string {
	t.Helper()
	out := image.NewNRGBA(image.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		copy(out.Pix[4*i:], m.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	var file bytes.Buffer
	if err := png.Encode(&file, out); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

func compareOCR(t *testing.T, doc string, golden map[string][]written, file func(*testing.T, string) []byte) {
	t.Helper()
	p, ask := ocrOf(t, doc)
	for name, want := range golden {
		if race.Enabled && name != "night.png" {
			continue // the others without the race detector, which computes slowly
		}
		got := reads(t, p, ask, file(t, name))
		if len(got) != len(want) {
			t.Errorf("%s: %d lines, expected %d:\n%v\n%v", name, len(got), len(want), got, want)
			continue
		}
		corner, score := 0.0, 0.0
		for i, w := range want {
			if letters(got[i].Text) != letters(w.Text) {
				t.Errorf("%s: line %d is %q, expected %q", name, i, got[i].Text, w.Text)
			} else if got[i].Text != w.Text {
				t.Logf("%s: line %d is %q, RapidOCR has %q", name, i, got[i].Text, w.Text)
			}
			score = max(score, math.Abs(got[i].Score-w.Score))
			for j, c := range w.Box {
				corner = max(corner, math.Abs(got[i].Box[j][0]-c[0]), math.Abs(got[i].Box[j][1]-c[1]))
			}
		}
		t.Logf("%s: %d lines, corners within %v pixels, scores within %.4f", name, len(got), corner, score)
		if corner > 3 || score > 0.1 {
			t.Errorf("%s: corners within %v pixels, scores within %.4f", name, corner, score)
		}
	}
}

func letters(text string) string { return strings.ReplaceAll(text, " ", "") }

// TestOCR: what is printed on a photographed page, as the example reads it.
func TestOCR(t *testing.T) {
	p, ask := ocrOf(t, string(readFile(t, "../../examples/ocr/pipeline.yaml")))
	if race.Enabled {
		return // a page without the race detector
	}
	got := reads(t, p, ask, readFile(t, "ocr/testdata/page.png"))
	want := strings.Split(strings.TrimSpace(string(readFile(t, "ocr/testdata/page.txt"))), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines, expected %d: %v", len(got), len(want), got)
	}
	for i, line := range want {
		// The model was trained for Chinese, too: it is not sure of spaces between
		// words, and knows no underline.
		wrong := misread(letters(got[i].Text), letters(line))
		t.Logf("%d letters wrong in %q", wrong, got[i].Text)
		if code := strings.HasPrefix(line, ">>>"); wrong > 0 && !code || wrong > 3 {
			t.Errorf("%d letters wrong in %q, expected %q", wrong, got[i].Text, line)
		}
	}
}

// misread is how many letters have to be put in, taken out or changed.
func misread(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		before := row[0]
		row[0] = i + 1
		for j, s := range to {
			change := before
			if r != s {
				change++
			}
			before, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}

// BenchmarkOCR reads pages as RapidOCR does, and says what the parts take: the two models, and what is
// ours beside them. ocr/testdata/time.py measures RapidOCR.
func BenchmarkOCR(b *testing.B) {
	p, ask := ocrOf(b, asRapid)
	for _, name := range []string{"page.png", "invoice.png", "slanted.jpg"} {
		in := map[string]*tensor.Tensor{"image": tensor.List(string(readFile(b, filepath.Join("ocr/testdata", name))))}
		b.Run(name, func(b *testing.B) {
			models := map[string]time.Duration{}
			timed := func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
				begin := time.Now()
				defer func() { models[model] += time.Since(begin) }()
				return ask(ctx, model, in)
			}
			decode := time.Duration(0)
			for b.Loop() {
				if _, err := p.Run(b.Context(), in, timed); err != nil {
					b.Fatal(err)
				}
				begin := time.Now()
				if _, err := decodeImage(b.Context(), tensor.Data[string](in["image"])[0], 0); err != nil {
					b.Fatal(err)
				}
				decode += time.Since(begin)
			}
			each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
			whole := each(b.Elapsed() - decode)
			b.ReportMetric(whole, "ms/page")
			b.ReportMetric(each(decode), "ms/decode")
			b.ReportMetric(each(models["det.onnx"]), "ms/detect")
			b.ReportMetric(each(models["rec.onnx"]), "ms/recognise")
			b.ReportMetric(whole-each(decode+models["det.onnx"]+models["rec.onnx"]), "ms/rest")
		})
	}
}
