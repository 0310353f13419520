package pipeline

import (
	"context"
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
		_, err = New(d, models, files)
		refused(t, err, "expected at most 32768 tokens")
	}
}

// TestLongCharacters: a character of a reader of pages is none that fills the memory.
func TestLongCharacters(t *testing.T) {
	d, err := Parse([]byte(anyPage))
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(d, pageModels(), map[string][]byte{"keys.txt": []byte("a\n" + strings.Repeat("b", 1000) + "\nc\n")})
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
