package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func imageDoc(image string) string {
	return fmt.Sprintf("model: m.onnx\ninput: {image: {%s}}\noutput: [softmax]\n", image)
}

func imageModel(shape ...int64) Model {
	return Model{Inputs: []onnx.ValueInfo{value("x", tensor.Float32, shape...)}, Outputs: []onnx.ValueInfo{logits()}}
}

// pictures are files of so many pixels, each of one colour.
func pictures(t testing.TB, w, h int, colours ...color.NRGBA) map[string]*tensor.Tensor {
	t.Helper()
	var files []string
	for _, c := range colours {
		m := image.NewNRGBA(image.Rect(0, 0, w, h))
		for i := range w * h {
			m.SetNRGBA(i%w, i/w, c)
		}
		var file bytes.Buffer
		if err := png.Encode(&file, m); err != nil {
			t.Fatal(err)
		}
		files = append(files, file.String())
	}
	return map[string]*tensor.Tensor{"image": tensor.List(files...)}
}

func TestImageParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, image, says string }{
		{"neither", "layout: nchw", "2:16: input.image: seen neither or both of resize and size"},
		{"both", "resize: 8, size: [8, 8]", "neither or both"},
		{"resize 0", "resize: 0", "input.image.resize: seen 0, expected 1 to 2048"},
		{"resize too large", "resize: 2049", "seen 2049"},
		{"crop larger than what it is cut from", "resize: 8, crop: 9", "input.image.crop: seen 9, expected 1 to 8"},
		{"crop 0", "resize: 8, crop: 0", "input.image.crop: seen 0"},
		{"crop of a size", "size: [8, 8], crop: 4", "input.image.crop: seen 4, expected resize before it"},
		{"one side", "size: [8]", "input.image.size: seen 1 numbers"},
		{"side 0", "size: [8, 0]", "input.image.size[1]: seen 0"},
		{"filter", "resize: 8, filter: box", `input.image.filter: seen "box", expected one of bilinear, bicubic, lanczos`},
		{"channels", "resize: 8, channels: rbg", `input.image.channels: seen "rbg"`},
		{"layout", "resize: 8, layout: hwc", `input.image.layout: seen "hwc"`},
		{"two means", "resize: 8, mean: [0, 0]", "input.image.mean: seen 2 numbers, expected 3"},
		{"three of gray", "resize: 8, channels: gray, std: [1, 1, 1]", "input.image.std: seen 3 numbers, expected 1"},
		{"std 0", "resize: 8, std: [1, 0, 1]", "input.image.std[1]: seen 0"},
		{"far mean", "resize: 8, mean: [1, 2000, 1]", "input.image.mean[1]: seen 2000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(imageDoc(c.image)))
			refused(t, err, c.says)
		})
	}
}

func TestImageNewRefuses(t *testing.T) {
	two := imageModel(-1, 3, 8, 8)
	two.Inputs = append(two.Inputs, ids("mask"))
	bytes := imageModel(-1, 3, 8, 8)
	bytes.Inputs[0].Type = tensor.Uint8
	for _, c := range []struct {
		name, image string
		model       Model
		says        string
	}{
		{"two inputs", "size: [8, 8]", two, "a model with 2 inputs (x, mask)"},
		{"bytes", "size: [8, 8]", bytes, "expected float32[1 3 8 8]"},
		{"another size", "size: [8, 9]", imageModel(-1, 3, 8, 8), "the input x float32[-1 3 8 8], expected float32[1 3 8 9]"},
		{"another crop", "resize: 9, crop: 7", imageModel(-1, 3, 8, 8), "expected float32[1 3 7 7]"},
		{"a size that depends", "resize: 8", imageModel(-1, 3, 8, 8), "expected float32[1 3 -1 -1]"},
		{"another layout", "size: [8, 8], layout: nhwc", imageModel(-1, 3, 8, 8), "expected float32[1 8 8 3]"},
		{"other channels", "size: [8, 8], channels: gray", imageModel(-1, 3, 8, 8), "expected float32[1 1 8 8]"},
		{"batches of two", "size: [8, 8]", imageModel(2, 3, 8, 8), "expected float32[1 3 8 8]"},
		{"no picture", "size: [8, 8]", imageModel(-1, 3), "expected float32[1 3 8 8]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse([]byte(imageDoc(c.image)))
			if err != nil {
				t.Fatal(err)
			}
			models, files := parts(c.model)
			_, err = New(t.Context(), d, models, files, nil)
			refused(t, err, c.says)
		})
	}
}

// TestImageInput: what the model gets, for each picture of a request.
func TestImageInput(t *testing.T) {
	red, sea := color.NRGBA{R: 255, A: 255}, color.NRGBA{G: 51, B: 102, A: 255}
	for _, c := range []struct {
		image string
		shape []int64
		want  [2][]float32 // the first pixel of each
	}{
		{"size: [6, 5]", []int64{1, 3, 6, 5}, [2][]float32{{1, 0, 0}, {0, 0.2, 0.4}}},
		{"size: [6, 5], layout: nhwc, channels: bgr", []int64{1, 6, 5, 3}, [2][]float32{{0, 0, 1}, {0.4, 0.2, 0}}},
		{"resize: 6, crop: 4, mean: [1, 0, 0], std: [0.5, 1, 0.1], filter: bicubic", []int64{1, 3, 4, 4}, [2][]float32{{0, 0, 0}, {-2, 0.2, 4}}},
		{"resize: 5", []int64{1, 3, 5, 10}, [2][]float32{{1, 0, 0}, {0, 0.2, 0.4}}},
		{"size: [3, 3], channels: gray", []int64{1, 1, 3, 3}, [2][]float32{{76. / 255}, {42. / 255}}},
	} {
		p := open(t, imageDoc(c.image), Model{Inputs: []onnx.ValueInfo{{Name: "x", Type: tensor.Float32}}, Outputs: []onnx.ValueInfo{logits()}})
		var got []*tensor.Tensor
		ask := func(ctx context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			got = append(got, in["x"])
			return answer("logits", tensor.Of([]float32{1, 2, 3}, 1, 3))(ctx, "", in)
		}
		out, err := p.Run(t.Context(), pictures(t, 20, 10, red, sea), ask)
		if err != nil || len(got) != 2 || !slices.Equal(out["score"].Shape, []int64{2, 3}) {
			t.Fatalf("%s: %d runs, %v", c.image, len(got), err)
		}
		for i, x := range got {
			step := 1
			if channels := len(c.want[i]); x.Shape[3] != int64(channels) {
				step = x.Len() / channels
			}
			for j, v := range c.want[i] {
				if at := tensor.Data[float32](x)[j*step]; !slices.Equal(x.Shape, c.shape) || math.Abs(float64(at-v)) > 1e-5 {
					t.Errorf("%s: picture %d is %v with %v in channel %d, expected %v with %v", c.image, i, x.Shape, at, j, c.shape, v)
				}
			}
		}
		if err := p.Try(t.Context(), ask); err != nil {
			t.Errorf("%s: %v", c.image, err)
		}
	}
}

// TestImageRunRefuses: what callers send wrongly is theirs, and which one of it is said.
func TestImageRunRefuses(t *testing.T) {
	p := open(t, imageDoc("resize: 64"), imageModel(-1, 3, -1, -1))
	ask := answer("logits", tensor.Of([]float32{1, 2, 3}, 1, 3))
	good := tensor.Data[string](pictures(t, 8, 8, color.NRGBA{A: 255})["image"])[0]
	long := tensor.Data[string](pictures(t, 9000, 10, color.NRGBA{A: 255})["image"])[0]
	for name, c := range map[string]struct{ file, says string }{
		"text":    {"hello", `input "image", element 1: not a picture that can be read: expected a PNG or a JPEG file`},
		"damaged": {good[:len(good)/2], "element 1: not a picture that can be read"},
		"long":    {long, "element 1: picture too large: 9000 x 10 pixels would be made 57600 x 64"},
	} {
		_, err := p.Run(t.Context(), map[string]*tensor.Tensor{"image": tensor.List(good, c.file)}, ask)
		refused(t, err, c.says)
		if wrong := (*InputError)(nil); !errors.As(err, &wrong) {
			t.Errorf("%s: %T", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := p.Run(ctx, map[string]*tensor.Tensor{"image": tensor.List(good, good)}, func(ctx context.Context, m string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		cancel()
		return ask(ctx, m, in)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
}

// TestNeeds: the memory that a picture takes is known from its first bytes.
func TestNeeds(t *testing.T) {
	head := func(w, h uint32) map[string]*tensor.Tensor {
		file := []byte(tensor.Data[string](pictures(t, 8, 8, color.NRGBA{A: 255})["image"])[0])
		binary.BigEndian.PutUint32(file[16:], w)
		binary.BigEndian.PutUint32(file[20:], h)
		return map[string]*tensor.Tensor{"image": tensor.List(string(file))}
	}
	image := open(t, imageDoc("size: [64, 32]"), imageModel(-1, 3, 64, 32))
	page, err := newPage(t, pageModels(), threeKeys)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p    *Pipeline
		in   map[string]*tensor.Tensor
		want int64
	}{
		"decoding":        {image, head(4000, 3000), 12e6 * 7},
		"becoming wide":   {image, head(4, 3000), 4*3000*3 + 32*3000*3 + 64*32*18},
		"decoding a page": {page, head(60, 40), 3*60*40 + 12*60*40 + 24*48*3200},
		"a large page":    {page, head(4000, 3000), 12e6*15 + 24*48*3200},
		"no picture":      {image, map[string]*tensor.Tensor{"image": tensor.List("x")}, 0},
		"no page":         {page, map[string]*tensor.Tensor{"image": tensor.List("x")}, 0},
		"too large":       {image, head(60000, 60000), 0},
		"nothing":         {image, nil, 0},
		"two pages":       {page, map[string]*tensor.Tensor{"image": tensor.List("x", "y")}, 0},
		"text":            {open(t, plainDoc(shortText, "[softmax]"), textModel(logits())), texts("x"), 0},
	} {
		if got := c.p.Needs(c.in); got != c.want {
			t.Errorf("%s: %d, expected %d", name, got, c.want)
		}
	}
}

// TestImageGolden: a real classifier says what it says with ONNX Runtime and Pillow.
func TestImageGolden(t *testing.T) {
	infos, ask := sessions(t, map[string]string{"cls.onnx": "ppocr-v2-cls.onnx"})
	d, err := Parse([]byte(`model: cls.onnx
input: {image: {size: [48, 192], channels: bgr, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
output: [top: 2, labels: labels.txt]
`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), d, infos, map[string][]byte{"labels.txt": []byte("upright\nupside down\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string][2]float64
	if err := json.Unmarshal(readFile(t, "testdata/pictures.json"), &golden); err != nil || len(golden) < 6 {
		t.Fatal(len(golden), err)
	}
	for name, want := range golden {
		out, err := p.Run(t.Context(), map[string]*tensor.Tensor{"image": tensor.List(string(readFile(t, filepath.Join("ocr/testdata", name))))}, ask)
		if err != nil {
			t.Fatal(err)
		}
		label, score := tensor.Data[string](out["label"]), tensor.Data[float32](out["score"])
		if label[0] != "upright" || math.Abs(float64(score[0])-want[0]) > 1e-5 || math.Abs(float64(score[1])-want[1]) > 1e-5 {
			t.Errorf("%s: %v %v, expected %v", name, label, score, want)
		}
	}
}
