package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// FuzzParse: a document is refused, or names files that may stand beside it, and New
// answers for it, whatever is beside it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		strings.ReplaceAll(embedding, "BATCH", "16"),
		plainDoc(shortText, "[softmax, top: 5, labels: labels.txt]"),
		plainDoc(shortText+", pad: '[PAD]'", "[take: logits, softmax]"),
		plainDoc(shortText, "[ctc: {vocabulary: vocab.json, blank: _, word: '|'}]"),
		"ocr: x", "voice: {model: a.onnx}", "input: smell",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := Parse(doc)
		if err != nil {
			return
		}
		models, files := map[string]Model{}, map[string][]byte{}
		for _, n := range d.Models() {
			if !fileName.MatchString(n) || !strings.HasSuffix(n, modelSuffix) {
				t.Fatalf("the model %q", n)
			}
			models[n] = textModel(hidden())
		}
		for _, n := range d.Files() {
			if !fileName.MatchString(n) || n == documentName || models[n].Inputs != nil {
				t.Fatalf("the file %q", n)
			}
			files[n] = []byte(tiny)
		}
		if p, err := New(t.Context(), d, models, files, nil); err == nil && (p.Bytes() < 0 || len(p.Inputs()) == 0 || len(p.Outputs()) == 0) {
			t.Fatalf("a pipeline of %d bytes from %v to %v", p.Bytes(), p.Inputs(), p.Outputs())
		}
	})
}

// fuzzed makes small numbers of what a fuzzer gives.
type fuzzed []byte

func (f *fuzzed) next(n int) int {
	if len(*f) == 0 {
		return 0
	}
	v := int((*f)[0]) % n
	*f = (*f)[1:]
	return v
}

// info is a value with dimensions from -1 to 4, rarely another type.
func (f *fuzzed) info(name string, t tensor.DataType, rank int) onnx.ValueInfo {
	if f.next(16) == 1 {
		t = []tensor.DataType{tensor.Int32, tensor.Float32, tensor.String, tensor.Float16}[f.next(4)]
	}
	shape := make([]int64, rank)
	for i := range shape {
		shape[i] = max(-1, int64(f.next(8))-3)
	}
	return onnx.ValueInfo{Name: name, Type: t, Shape: shape}
}

// model describes something like a model of text.
func (f *fuzzed) model() (m Model) {
	for _, name := range []string{"input_ids", "attention_mask", "token_type_ids", "position_ids", "other"}[:f.next(6)] {
		m.Inputs = append(m.Inputs, f.info(name, tensor.Int64, 2-f.next(8)/7))
	}
	for i := range f.next(3) + 1 {
		m.Outputs = append(m.Outputs, f.info(fmt.Sprintf("y%d", i), tensor.Float32, 1+f.next(4)))
	}
	return m
}

// answer gives outputs that are often what the model promised.
func (f *fuzzed) answer(m Model, in map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for _, v := range m.Outputs {
		shape, n := slices.Clone(v.Shape), int64(1)
		for i := range shape {
			if ids := in["input_ids"]; shape[i] < 0 && i < 2 && f.next(8) != 1 {
				shape[i] = ids.Shape[i]
			} else if shape[i] < 0 {
				shape[i] = int64(f.next(4))
			}
			n *= shape[i]
		}
		if n > 1<<16 {
			continue
		}
		if t, err := tensor.New(v.Type, shape); err == nil {
			for i := range tensor.Data[float32](t) {
				tensor.Data[float32](t)[i] = float32(f.next(7)) - 3
			}
			out[v.Name] = t
		}
	}
	return out
}

// FuzzRun: whatever the steps, the models and the texts, a pipeline gives what it
// promised or an error, and nothing else.
func FuzzRun(f *testing.F) {
	outputs := []string{"[pool: mean, normalize]", "[pool: last]", "[softmax, top: 2, labels: labels.txt]", "[take: y1, top: 1]", "[take: y0]", "[ctc: {vocabulary: vocab.json, blank: _, word: '|'}]", "[normalize]"}
	f.Add(uint8(0), uint8(4), uint8(1), []byte{1, 0, 0, 1, 1, 1, 1, 0, 2, 0, 0, 0, 0}, []byte(tiny), "red\ngreen", "a b\x00c\x00")
	for i := range outputs {
		f.Add(uint8(i), uint8(8), uint8(i), []byte{2, 0, 2, 2, 0, 0, 2, 2, 0, 0, 2, 0, 2, 2, 6, 1, 2, 3}, []byte(framed), "red\ngreen\nblue", "a b c\x00b\x00a")
	}
	f.Fuzz(func(t *testing.T, output, length, batch uint8, made, tokenizer []byte, labels, text string) {
		doc := plainDoc(fmt.Sprintf("tokenizer: t.json, length: %d, batch: %d", 1+length%64, 1+batch%4), outputs[int(output)%len(outputs)])
		if batch > 128 {
			doc = strings.Replace(doc, "batch", "pad: '[PAD]', batch", 1)
		}
		d, err := Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		g := fuzzed(made)
		m := g.model()
		models, files := parts(m, "t.json", string(tokenizer), "labels.txt", labels)
		p, err := New(t.Context(), d, models, files, nil)
		if err != nil {
			return
		}
		ask := func(_ context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
			checkAsked(t, m, in)
			return g.answer(m, in), nil
		}
		_ = p.Try(t.Context(), ask)
		list := strings.Split(text, "\x00")
		out, err := p.Run(t.Context(), texts(list...), ask)
		if err != nil {
			return
		}
		for _, v := range p.Outputs() {
			if got := out[v.Name]; got == nil || got.Check() != nil || !fits(got, v) || got.Shape[0] != int64(len(list)) {
				t.Fatalf("%s: %v, promised %v", doc, got, v)
			}
		}
	})
}

// checkAsked: a model is asked for what it takes.
func checkAsked(t *testing.T, m Model, in map[string]*tensor.Tensor) {
	if len(in) != len(m.Inputs) {
		t.Fatalf("%d inputs, expected %v", len(in), m.Inputs)
	}
	for _, v := range m.Inputs {
		if got := in[v.Name]; got == nil || got.Check() != nil || !fits(got, v) || got.Len() == 0 {
			t.Fatalf("asked with %v, expected %v", got, v)
		}
	}
}

// TestInputErrorUnwraps: callers of Run look at the reason.
func TestInputErrorUnwraps(t *testing.T) {
	reason := errors.New("reason")
	if err := error(&InputError{"text", 3, reason}); !errors.Is(err, reason) || err.Error() != `input "text", element 3: reason` {
		t.Error(err)
	}
}
