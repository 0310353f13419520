package pipeline

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/model/pipeline/ctc"
	"github.com/blindbox/blindbox/model/pipeline/ocr"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// always is a model that gives one tensor, whatever it is asked.
func always(name string, t *tensor.Tensor) Ask {
	return func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return map[string]*tensor.Tensor{name: t}, nil
	}
}

// TestNothingIsWide: a result without elements says any width, for which no memory is taken.
func TestNothingIsWide(t *testing.T) {
	open3 := textModel(value("hidden", tensor.Float32, -1, -1, -1))
	for _, wide := range []int64{1, 1 << 20, 1 << 33, 1 << 60} {
		p := open(t, plainDoc(shortText, "[pool: mean]"), open3)
		nothing := tensor.Of([]float32{}, 1, 0, wide)
		_, err := p.Run(t.Context(), texts("a"), always("hidden", nothing))
		if err == nil || !strings.Contains(err.Error(), "the model gave float32") {
			t.Errorf("%d: %v", wide, err)
		}
	}
	wide := textModel(value("logits", tensor.Float32, -1, -1))
	for _, step := range []string{"softmax", "normalize", "top: 1"} {
		p := open(t, plainDoc(shortText, "["+step+"]"), wide)
		_, err := p.Run(t.Context(), texts("a"), always("logits", tensor.Of(make([]float32, maxWide+1), 1, maxWide+1)))
		refused(t, err, "at most 1048576 in the last dimension")
	}
}

// TestManyTokensPromised: a model's own shape takes no memory for texts that it fills up.
func TestManyTokensPromised(t *testing.T) {
	for _, n := range []int64{maxTokens + 1, 1 << 35, 1 << 60} {
		m := Model{
			Inputs:  []onnx.ValueInfo{value("input_ids", tensor.Int64, -1, n), value("attention_mask", tensor.Int64, -1, n)},
			Outputs: []onnx.ValueInfo{logits()},
		}
		d, err := Parse([]byte(plainDoc("tokenizer: t.json, length: 4, pad: '[PAD]'", "[softmax]")))
		if err != nil {
			t.Fatal(err)
		}
		models, files := parts(m)
		_, err = New(t.Context(), d, models, files, nil)
		refused(t, err, "expected at most 32768 tokens")
	}
}

// TestLongCharacters: a character of a reader of pages is none that fills the memory.
func TestLongCharacters(t *testing.T) {
	d, err := Parse([]byte(anyPage))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(t.Context(), d, pageModels(), map[string][]byte{"keys.txt": []byte("a\n" + strings.Repeat("b", 1000) + "\nc\n")}, nil)
	refused(t, err, "token 2 has 1000 bytes, expected at most 256")
}

// TestMuchText: short names and characters that are said very often are too much together.
func TestMuchText(t *testing.T) {
	c := newCollector([]onnx.ValueInfo{value("label", tensor.String, -1, 1)}, 2)
	half := tensor.Of([]string{strings.Repeat("a", maxText/2+1)}, 1, 1)
	if err := c.add([]*tensor.Tensor{half}, []int{0}); err != nil {
		t.Fatal(err)
	}
	if err := c.add([]*tensor.Tensor{half}, []int{1}); err == nil {
		t.Error("more text than the limit was taken")
	}
	p, line := page{}, ctc.Text{Text: strings.Repeat("a", maxText/2+1), Score: 1}
	if err := p.add(line, ocr.Quad{}, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.add(line, ocr.Quad{}, 0); err == nil {
		t.Error("a page of more text than the limit was taken")
	}
	_, err := lines([]byte("a\n"+strings.Repeat("b", maxLine+1)), 10)
	refused(t, err, "line 2 of 4097 bytes, expected at most 4096")
}

// TestManyTracks: what is put together of a long recording is bounded for all outputs of a
// model together.
func TestManyTracks(t *testing.T) {
	w := windowsOf(defaultWindow, 16000)
	j := joiner{windows: w, samples: 100 * w.length, tracks: map[string]*track{}}
	frames := int64(w.length / (10 * w.tick))
	one := tensor.Of(make([]float32, frames*1500), 1, frames, 1500)
	out, n := tensors{}, 0
	for ; n < 64; n++ {
		out[strings.Repeat("x", n+1)] = one
	}
	err := j.add(out, 0, w.length)
	refused(t, err, "send it in parts")
	held := 0
	for _, k := range j.tracks {
		held += cap(k.data)
	}
	if held > maxFrames+64*4*1500 {
		t.Errorf("%d elements are held, the limit is %d", held, maxFrames)
	}
}

// TestLastWindow: the last window has no more frames than the others, however many the model says.
func TestLastWindow(t *testing.T) {
	w := windowsOf(defaultWindow, 16000)
	frames := func(n int) tensors { return tensors{"x": tensor.Of(make([]float32, n), 1, int64(n), 1)} }
	usual := w.length / (2 * w.tick)
	j := joiner{windows: w, samples: w.length + w.step, tracks: map[string]*track{}}
	if err := j.add(frames(usual), 0, w.length); err != nil {
		t.Fatal(err)
	}
	refused(t, j.add(frames(usual+strayFrames+1), w.step, j.samples), "expected at most 1502 as for the first")
	if err := j.add(frames(usual+strayFrames), w.step, j.samples); err != nil {
		t.Error(err)
	}
}

// TestRecordingsCount: samples, and frames of long recordings, are in the memory of their run.
func TestRecordingsCount(t *testing.T) {
	const second = 16000
	in := func(seconds int) map[string]*tensor.Tensor {
		return map[string]*tensor.Tensor{"audio": tensor.List(wav16(make([]byte, 2*second*seconds)), wav16(make([]byte, 2)))}
	}
	hears := func(out onnx.ValueInfo) Model {
		return Model{Inputs: []onnx.ValueInfo{value("x", tensor.Float32, -1, -1)}, Outputs: []onnx.ValueInfo{out}}
	}
	doc := "model: m.onnx\ninput: {audio: {rate: 16000, window: 6s}}\noutput: [pool: mean]\n"
	for _, c := range []struct {
		seconds int
		out     onnx.ValueInfo
		least   int64
	}{
		{1, value("y", tensor.Float32, -1, -1, 4), 4 * second},
		{60, value("y", tensor.Float32, -1, -1, 4), 4 * (60*second + 60*100*4)},
		{60, value("y", tensor.Float32, -1, -1, -1), 4 * maxFrames},
	} {
		if got := open(t, doc, hears(c.out)).Needs(in(c.seconds)); got < c.least || got > c.least+4*60*second+6*8*second {
			t.Errorf("%d s to %v: %d bytes, expected %d and a window", c.seconds, c.out, got, c.least)
		}
	}
	r := &voiceRunner{options: (&voiceTask{Rate: integer{Value: 16000}}).options()}
	if got := r.needs(in(60)); got < 4*60*second || got > 5*60*second {
		t.Errorf("voice: %d bytes for 60 s", got)
	}
}

// TestThinPictureCounts: a picture that is refused for its proportion was decoded before.
func TestThinPictureCounts(t *testing.T) {
	thin := image.NewGray(image.Rect(0, 0, 60000, 2))
	var file bytes.Buffer
	if err := png.Encode(&file, thin); err != nil {
		t.Fatal(err)
	}
	s := &imageSource{resize: 224}
	in := map[string]*tensor.Tensor{"image": tensor.List(file.String())}
	if got := s.needs(in); got < 60000*2*4 {
		t.Errorf("%d bytes are counted", got)
	}
}

// TestTopOfMany: the best of a long row, equals in the order of their classes, and what is no
// number last.
func TestTopOfMany(t *testing.T) {
	row := make([]float32, 10_000)
	for i := range row {
		row[i] = float32(i % 97)
	}
	row[5], row[9_999] = float32(math.NaN()), 1000
	got, err := highest(t.Context(), row, 4)
	if err != nil || !slices.Equal(got, []int64{9_999, 96, 193, 290}) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := highest(t.Context(), row[4:7], 3); err != nil || !slices.Equal(got, []int64{2, 0, 1}) {
		t.Errorf("%v %v", got, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := highest(ctx, row, 4); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
