package pipeline

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// tiny is a tokenizer of whole words: a text "a b c" is the tokens 1 2 3.
const tiny = `{"version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
 "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2, "c": 3, "[PAD]": 4}, "unk_token": "[UNK]"}}`

// framed is tiny with a token at each end.
const framed = `{"version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
 "post_processor": {"type": "BertProcessing", "sep": ["c", 3], "cls": ["b", 2]},
 "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2, "c": 3, "[PAD]": 4}, "unk_token": "[UNK]"}}`

// value describes an input or output as a session does. A dimension of -1 is open.
func value(name string, t tensor.DataType, shape ...int64) onnx.ValueInfo {
	return onnx.ValueInfo{Name: name, Type: t, Shape: shape, Symbols: make([]string, len(shape))}
}

func ids(name string) onnx.ValueInfo { return value(name, tensor.Int64, -1, -1) }

// textModel is a model of text that gives one output.
func textModel(out onnx.ValueInfo) Model {
	return Model{Inputs: []onnx.ValueInfo{ids("input_ids"), ids("attention_mask")}, Outputs: []onnx.ValueInfo{out}}
}

// a hidden state of width 3, and logits for 3 classes.
func hidden() onnx.ValueInfo { return value("hidden", tensor.Float32, -1, -1, 3) }
func logits() onnx.ValueInfo { return value("logits", tensor.Float32, -1, 3) }

// plainDoc is a document of a text and steps, which are a flow list.
func plainDoc(text, output string) string {
	return fmt.Sprintf("model: m.onnx\ninput: {text: {%s}}\noutput: %s\n", text, output)
}

const shortText = "tokenizer: t.json, length: 8"

// parts is what stands beside a document in tests.
func parts(m Model, extra ...string) (map[string]Model, map[string][]byte) {
	files := map[string][]byte{"t.json": []byte(tiny), "labels.txt": []byte("red\ngreen\nblue\n"), "vocab.json": []byte(`{"_": 0, "x": 1, "|": 2}`)}
	for i := 0; i+1 < len(extra); i += 2 {
		files[extra[i]] = []byte(extra[i+1])
	}
	return map[string]Model{"m.onnx": m}, files
}

func open(t testing.TB, doc string, m Model, extra ...string) *Pipeline {
	t.Helper()
	d, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	models, files := parts(m, extra...)
	p, err := New(t.Context(), d, models, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer is a model that gives the same tensors whatever it is asked.
func answer(name string, t *tensor.Tensor) Ask {
	return func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		return map[string]*tensor.Tensor{name: t.Clone()}, nil
	}
}

func texts(list ...string) map[string]*tensor.Tensor {
	return map[string]*tensor.Tensor{"text": tensor.List(list...)}
}

// echo is a model whose hidden state of a token is its id, its mask and its position.
func echo(_ context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	ids, mask := in["input_ids"], tensor.Data[int64](in["attention_mask"])
	data := make([]float32, 0, 3*ids.Len())
	for i, id := range tensor.Data[int64](ids) {
		data = append(data, float32(id), float32(mask[i]), float32(i%int(ids.Shape[1])))
	}
	return map[string]*tensor.Tensor{"hidden": tensor.Of(data, ids.Shape[0], ids.Shape[1], 3)}, nil
}

// refused checks that an error says something.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, expected %q", says)
	} else if !strings.Contains(err.Error(), says) {
		t.Errorf("%v\nexpected %q", err, says)
	}
}
