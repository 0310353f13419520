package pipeline

import (
	"context"
	"errors"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/picture"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

const anyPage = `ocr:
  detect: {model: det.onnx}
  recognise: {model: rec.onnx, characters: keys.txt}
`

func TestOCRParse(t *testing.T) {
	d, err := Parse([]byte(anyPage))
	if err != nil || !slices.Equal(d.Models(), []string{"det.onnx", "rec.onnx"}) || !slices.Equal(d.Files(), []string{"keys.txt"}) {
		t.Fatalf("%v %v", d, err)
	}
	for _, c := range []struct{ old, new, says string }{
		{"det.onnx", "det.bin", `ocr.detect.model: seen "det.bin"`},
		{"{model: det.onnx}", "{side: 64}", "ocr.detect.model: missing"},
		{", characters: keys.txt", "", "ocr.recognise.characters: missing"},
		{"keys.txt", "rec.onnx", `ocr.recognise.characters: seen "rec.onnx"`},
		{"det.onnx}", "det.onnx, side: 31}", "ocr.detect.side: seen 31, expected 32 to 2560"},
		{"det.onnx}", "det.onnx, side: 2561}", "seen 2561"},
		{"det.onnx}", "det.onnx, shorter: -1}", "ocr.detect.shorter"},
		{"det.onnx}", "det.onnx, lines: 0}", "ocr.detect.lines: seen 0, expected 1 to 1000"},
		{"det.onnx}", "det.onnx, lines: 1001}", "seen 1001"},
		{"det.onnx}", "det.onnx, threshold: 0}", "ocr.detect.threshold: seen 0"},
		{"det.onnx}", "det.onnx, box: 1.5}", "ocr.detect.box: seen 1.5"},
		{"det.onnx}", "det.onnx, unclip: 11}", "ocr.detect.unclip: seen 11"},
		{"det.onnx}", "det.onnx, mean: [0]}", "ocr.detect.mean: seen 1 numbers, expected 3"},
		{"det.onnx}", "det.onnx, std: [0, 1, 1]}", "ocr.detect.std[0]: seen 0"},
		{"det.onnx}", "det.onnx, dialte: true}", `unknown key "dialte"`},
		{"keys.txt}", "keys.txt, height: 7}", "ocr.recognise.height: seen 7, expected 8 to 128"},
		{"keys.txt}", "keys.txt, height: 129}", "seen 129"},
		{"keys.txt}", "keys.txt, score: 2}", "ocr.recognise.score: seen 2"},
		{"ocr:", "model: m.onnx\nocr:", "more than one pipeline"},
		{"  recognise", "  turn: {model: x}\n  recognise", `ocr.turn.model: seen "x"`},
		{"  recognise", "  turn: {score: 0.5}\n  recognise", "ocr.turn.model: missing"},
		{"  recognise", "  turn: {model: c.onnx, score: 1.5}\n  recognise", "ocr.turn.score: seen 1.5"},
	} {
		_, err := Parse([]byte(strings.Replace(anyPage, c.old, c.new, 1)))
		refused(t, err, c.says)
	}
}

// pageModels are what a detector and a reader with three characters and a space tell of themselves.
func pageModels() map[string]Model {
	return map[string]Model{
		"det.onnx": {Inputs: []onnx.ValueInfo{value("x", tensor.Float32, -1, 3, -1, -1)}, Outputs: []onnx.ValueInfo{value("map", tensor.Float32, -1, 1, -1, -1)}},
		"rec.onnx": {Inputs: []onnx.ValueInfo{value("line", tensor.Float32, -1, 3, 48, -1)}, Outputs: []onnx.ValueInfo{value("out", tensor.Float32, -1, -1, 5)}},
	}
}

const threeKeys = "a\nb\nc\n"

func newPage(t testing.TB, models map[string]Model, keys string) (*Pipeline, error) {
	t.Helper()
	d, err := Parse([]byte(anyPage))
	if err != nil {
		t.Fatal(err)
	}
	return New(t.Context(), d, models, map[string][]byte{"keys.txt": []byte(keys)}, nil)
}

func TestOCRNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(det, rec *Model)
		keys   string
		says   string
	}{
		{"detector of integers", func(d, _ *Model) { d.Inputs[0].Type = tensor.Int64 }, threeKeys, "2:19: ocr.detect.model: seen a model from [x int64[-1 3 -1 -1]]"},
		{"detector of one size", func(d, _ *Model) { d.Inputs[0].Shape = []int64{-1, 3, 640, 640} }, threeKeys, "expected a picture of any size"},
		{"detector of gray", func(d, _ *Model) { d.Inputs[0].Shape[1] = 1 }, threeKeys, "expected a picture of any size"},
		{"detector with two maps", func(d, _ *Model) { d.Outputs[0].Shape[1] = 2 }, threeKeys, "to a map of it"},
		{"detector with two inputs", func(d, _ *Model) { d.Inputs = append(d.Inputs, ids("y")) }, threeKeys, "expected a picture"},
		{"detector with boxes", func(d, _ *Model) { d.Outputs[0].Shape = []int64{-1, 4} }, threeKeys, "to a map of it"},
		{"reader of another height", func(_, r *Model) { r.Inputs[0].Shape[2] = 32 }, threeKeys, "ocr.recognise.model: seen a model from [line float32[-1 3 32 -1]]"},
		{"reader of one width", func(_, r *Model) { r.Inputs[0].Shape[3] = 320 }, threeKeys, "a line of any width"},
		{"reader with two outputs", func(_, r *Model) { r.Outputs = append(r.Outputs, logits()) }, threeKeys, "a line of any width"},
		{"no characters", nil, "", "ocr.recognise.characters: seen keys.txt: nothing"},
		{"few characters", nil, "a\nb\n", "seen 2 lines in keys.txt, expected 3, or one more: the model has 5 classes"},
		{"many characters", nil, "a\nb\nc\nd\ne\n", "seen 5 lines in keys.txt"},
		{"empty character", nil, "a\n\nc\n", "and none empty"},
		{"characters of no encoding", nil, "a\n\xff\nc\n", "not UTF-8"},
	} {
		models := pageModels()
		det, rec := models["det.onnx"], models["rec.onnx"]
		if c.change != nil {
			c.change(&det, &rec)
		}
		_, err := newPage(t, map[string]Model{"det.onnx": det, "rec.onnx": rec}, c.keys)
		if err == nil {
			t.Errorf("%s: taken", c.name)
			continue
		}
		refused(t, err, c.says)
	}
	for _, keys := range []string{threeKeys, "a\nb\nc\nd"} { // with the space, and without one
		if _, err := newPage(t, pageModels(), keys); err != nil {
			t.Errorf("%q: %v", keys, err)
		}
	}
}

// marked is a detector that finds text where a function says so, and a reader that reads "ab c".
func marked(on func(x, y int) float32) Ask {
	return func(_ context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		if model == "rec.onnx" {
			scores := make([]float32, 6*5)
			for i, class := range []int{1, 1, 0, 2, 4, 3} {
				scores[5*i+class] = 0.75
			}
			return map[string]*tensor.Tensor{"out": tensor.Of(scores, 1, 6, 5)}, nil
		}
		h, w := in["x"].Shape[2], in["x"].Shape[3]
		data := make([]float32, h*w)
		for i := range data {
			data[i] = on(i%int(w), i/int(w))
		}
		return map[string]*tensor.Tensor{"map": tensor.Of(data, 1, 1, h, w)}, nil
	}
}

// bars are two lines of text.
func bars(x, y int) float32 {
	if x > 10 && x < 100 && (y > 10 && y < 20 || y > 60 && y < 72) {
		return 0.9
	}
	return 0
}

func TestOCRRun(t *testing.T) {
	p, err := newPage(t, pageModels(), threeKeys)
	if err != nil {
		t.Fatal(err)
	}
	page := pictures(t, 256, 128, color.NRGBA{R: 200, A: 255})
	if err := p.Try(t.Context(), marked(bars)); err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(t.Context(), page, marked(bars))
	if err != nil {
		t.Fatal(err)
	}
	if text := tensor.Data[string](out["text"]); !slices.Equal(text, []string{"ab c", "ab c"}) {
		t.Errorf("%q", text)
	}
	if score := tensor.Data[float32](out["score"]); !slices.Equal(score, []float32{0.75, 0.75}) || !slices.Equal(out["box"].Shape, []int64{2, 4, 2}) {
		t.Errorf("%v, boxes %v", score, out["box"].Shape)
	}
	// 88 x 8 between centers, grown by 88*8*1.5/(2*96) = 5.5 to each side.
	if box := tensor.Data[float32](out["box"])[:8]; !slices.Equal(box, []float32{6, 6, 104, 6, 104, 24, 6, 24}) {
		t.Errorf("%v", box)
	}
	out, err = p.Run(t.Context(), page, marked(func(int, int) float32 { return 0 }))
	if err != nil || out["text"].Len() != 0 || !slices.Equal(out["box"].Shape, []int64{0, 4, 2}) || out["score"].Len() != 0 {
		t.Errorf("an empty page: %v, %v", out, err)
	}
}

// TestOCROneImage: the lines of two pictures could not be told apart.
func TestOCROneImage(t *testing.T) {
	p, err := newPage(t, pageModels(), threeKeys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Run(t.Context(), pictures(t, 64, 64, color.NRGBA{A: 255}, color.NRGBA{A: 255}), marked(bars))
	refused(t, err, `input "image"`)
	if wrong := (*InputError)(nil); !errors.As(err, &wrong) {
		t.Errorf("%T", err)
	}
}

// TestOCRModelBreaksItsWord: what models say may be anything.
func TestOCRModelBreaksItsWord(t *testing.T) {
	p, err := newPage(t, pageModels(), threeKeys)
	if err != nil {
		t.Fatal(err)
	}
	page := pictures(t, 256, 128, color.NRGBA{A: 255})
	good := marked(bars)
	for _, c := range []struct {
		model, output string
		t             *tensor.Tensor
		says          string
	}{
		{"det.onnx", "other", tensor.List[float32](1), "det.onnx: no answer, expected float32[1 1 128 256]"},
		{"det.onnx", "map", tensor.Of(make([]float32, 64), 1, 1, 8, 8), "float32[1 1 8 8], expected float32[1 1 128 256]"},
		{"det.onnx", "map", tensor.Of(make([]int64, 128*256), 1, 1, 128, 256), "int64"},
		{"rec.onnx", "out", tensor.Of(make([]float32, 12), 1, 3, 4), "rec.onnx: float32[1 3 4], expected float32[1 -1 5]"},
		{"rec.onnx", "out", tensor.Of(make([]float32, 30), 2, 3, 5), "float32[2 3 5]"},
	} {
		broken := func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			if model == c.model {
				return map[string]*tensor.Tensor{c.output: c.t}, nil
			}
			return good(ctx, model, in)
		}
		_, err := p.Run(t.Context(), page, broken)
		refused(t, err, c.says)
		refused(t, p.Try(t.Context(), broken), "pipeline.yaml: ocr.")
	}
	nan := float32(math.NaN())
	for name, ask := range map[string]Ask{
		"no numbers": marked(func(int, int) float32 { return nan }),
		"no scores": func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			if model == "rec.onnx" {
				return map[string]*tensor.Tensor{"out": tensor.Of(slices.Repeat([]float32{nan}, 15), 1, 3, 5)}, nil
			}
			return good(ctx, model, in)
		},
	} {
		if out, err := p.Run(t.Context(), page, ask); err != nil || out["text"].Len() != 0 {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}

// TestOCRLines: no more lines are read than the document says, whatever the detector marks.
func TestOCRLines(t *testing.T) {
	d, err := Parse([]byte(strings.Replace(anyPage, "det.onnx}", "det.onnx, lines: 7}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), d, pageModels(), map[string][]byte{"keys.txt": []byte(threeKeys)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dots := func(x, y int) float32 {
		if x%16 < 10 && y%16 < 10 {
			return 1
		}
		return 0
	}
	out, err := p.Run(t.Context(), pictures(t, 400, 300, color.NRGBA{A: 255}), marked(dots))
	if err != nil || out["text"].Len() != 7 {
		t.Errorf("%v lines, %v", out["text"], err)
	}
}

func TestOCREnds(t *testing.T) {
	p, err := newPage(t, pageModels(), threeKeys)
	if err != nil {
		t.Fatal(err)
	}
	for _, last := range []string{"det.onnx", "rec.onnx"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := p.Run(ctx, pictures(t, 256, 128, color.NRGBA{A: 255}), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			if model == last {
				cancel()
			}
			return marked(bars)(ctx, model, in)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %s: %v", last, err)
		}
	}
}

// TestOCRTurn: a model that does not fit is refused, one that breaks its word fails, and what it says
// decides how a line is read.
func TestOCRTurn(t *testing.T) {
	d, err := Parse([]byte(anyPage + "  turn: {model: cls.onnx}\n"))
	if err != nil {
		t.Fatal(err)
	}
	models, keys := pageModels(), map[string][]byte{"keys.txt": []byte(threeKeys)}
	models["cls.onnx"] = Model{Inputs: models["det.onnx"].Inputs, Outputs: []onnx.ValueInfo{logits()}}
	_, err = New(t.Context(), d, models, keys, nil)
	refused(t, err, "ocr.turn.model: seen a model from [x float32[-1 3 -1 -1]] to [logits float32[-1 3]], expected a line")
	models["cls.onnx"] = Model{Inputs: models["det.onnx"].Inputs, Outputs: []onnx.ValueInfo{value("sure", tensor.Float32, -1, 2)}}
	p, err := New(t.Context(), d, models, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	page := picture.New(256, 128) // one corner of the upper line is green
	for y := range 15 {
		copy(page.Pix[3*256*y:], slices.Repeat([]byte{0, 255, 0}, 40))
	}
	for sure, turned := range map[float32]bool{0.95: true, 0.85: false} {
		var first float32
		ask := func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			if model == "cls.onnx" {
				return map[string]*tensor.Tensor{"sure": tensor.Of([]float32{1 - sure, sure}, 1, 2)}, nil
			}
			if x := in["line"]; x != nil && first == 0 {
				first = tensor.Data[float32](x)[x.Len()/3] // green at the upper left
			}
			return marked(bars)(ctx, model, in)
		}
		if _, err := p.Run(t.Context(), map[string]*tensor.Tensor{"image": tensor.List(encoded(t, page))}, ask); err != nil || first > 0 == turned {
			t.Errorf("%v sure: green is %v, %v", sure, first, err)
		}
	}
	refused(t, p.Try(t.Context(), func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		if model == "cls.onnx" {
			return map[string]*tensor.Tensor{"sure": tensor.List[float32](1)}, nil
		}
		return marked(bars)(ctx, model, in)
	}), "pipeline.yaml: ocr.turn: pipeline: cls.onnx: float32[1], expected float32[1 2]")
}
