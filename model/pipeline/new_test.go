package pipeline

import (
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestNewRefuses: what does not fit the model or a file, each with its line.
func TestNewRefuses(t *testing.T) {
	in := func(values ...onnx.ValueInfo) Model {
		return Model{Inputs: values, Outputs: []onnx.ValueInfo{logits()}}
	}
	fixed := in(value("input_ids", tensor.Int64, 1, 16), value("attention_mask", tensor.Int64, 1, 16))
	two := textModel(logits())
	two.Outputs = append(two.Outputs, hidden(), value("count", tensor.Int64, -1), value("tokens", tensor.Float32, -1, 2), value("flat", tensor.Float32, -1), value("all", tensor.Float32, 7, 3))
	const softmax = "[softmax]"
	for _, c := range []struct {
		name   string
		text   string
		output string
		model  Model
		extra  []string
		says   string
	}{
		{"tokenizer that is none", shortText, softmax, textModel(logits()), []string{"t.json", "{}"}, "2:27: input.text.tokenizer: seen t.json: "},
		{"unknown input", shortText, softmax, in(ids("input_ids"), ids("past")), nil, "a model with the input past int64[-1 -1], expected none but input_ids"},
		{"input of another type", shortText, softmax, in(value("input_ids", tensor.Float32, -1, -1)), nil, "the input input_ids float32[-1 -1]"},
		{"input of one dimension", shortText, softmax, in(value("input_ids", tensor.Int64, -1)), nil, "expected two dimensions"},
		{"batches of one size", shortText, softmax, in(value("input_ids", tensor.Int64, 4, -1)), nil, "any number of texts, or 1"},
		{"no ids", shortText, softmax, in(ids("attention_mask")), nil, "without the input input_ids"},
		{"no inputs", shortText, softmax, in(), nil, "without the input input_ids"},
		{"inputs of two lengths", shortText, softmax, in(value("input_ids", tensor.Int64, 1, 16), value("attention_mask", tensor.Int64, 1, 8)), nil, "expected 16 tokens, as its other inputs have"},
		{"batch of a model for one", shortText + ", batch: 2", softmax, fixed, nil, "input.text.batch: seen 2, expected 1"},
		{"pad that fills nothing", shortText + ", pad: '[PAD]'", softmax, textModel(logits()), nil, "input.text.pad: seen a model that takes any number of tokens, expected no padding"},
		{"longer than the model", "tokenizer: t.json, length: 17, pad: '[PAD]'", softmax, fixed, nil, "input.text.length: seen 17, expected at most 16"},
		{"filled up without a mask", shortText + ", pad: '[PAD]'", softmax, in(value("input_ids", tensor.Int64, 1, 16)), nil, "has no input attention_mask"},
		{"filled up with nothing", shortText, softmax, fixed, nil, "input.text.pad: seen nothing, expected the token that fills texts up to the 16"},
		{"filled up with no token", shortText + ", pad: pad", softmax, fixed, nil, `input.text.pad: seen "pad", expected a token of t.json`},
		{"no room beside special tokens", "tokenizer: t.json, length: 2", softmax, textModel(logits()), []string{"t.json", framed}, "input.text.length: seen 2, expected more than 2, which special tokens take"},

		{"several outputs", shortText, softmax, two, nil, "output[0].softmax: seen a model with 6 outputs (logits, hidden, count, tokens, flat, all), expected the step take first"},
		{"take of none", shortText, "[take: x]", two, nil, `output[0].take: seen "x", expected one of logits, hidden`},
		{"take of integers", shortText, "[take: count]", two, nil, "output[0].take: seen count int64[-1]"},
		{"take of one dimension", shortText, "[take: flat]", two, nil, "output[0].take: seen flat float32[-1]"},
		{"take of what has no elements first", shortText, "[take: all]", two, nil, "output[0].take: seen all float32[7 3]"},
		{"a name twice", shortText, "[take: tokens]", two, nil, "output[0].take: seen the name tokens, which the input gives as well"},
		{"each of another shape", shortText, "[take: hidden]", two, nil, "output[0].take: seen hidden float32[-1 -1 3], which may have another shape"},
		{"no outputs", shortText, softmax, Model{Inputs: two.Inputs}, nil, "a model with 0 outputs"},
		{"outputs of any shape", shortText, softmax, textModel(onnx.ValueInfo{Name: "x", Type: tensor.Float32}), nil, "seen x float32 of any shape"},

		{"pool of logits", shortText, "[pool: mean]", textModel(logits()), nil, "output[0].pool: seen logits float32[-1 3], expected floating numbers with 3 dimensions: elements, tokens, features"},
		{"pool of integers", shortText, "[pool: mean]", textModel(value("x", tensor.Int64, -1, -1, 3)), nil, "output[0].pool: seen x int64"},
		{"normalize of tokens", shortText, "[normalize]", textModel(hidden()), nil, "output[0].normalize: seen hidden"},
		{"softmax of tokens", shortText, softmax, textModel(hidden()), nil, "output[0].softmax: seen hidden"},
		{"top of tokens", shortText, "[top: 1]", textModel(hidden()), nil, "output[0].top: seen hidden"},
		{"top of more than there are", shortText, "[top: 4]", textModel(logits()), nil, "output[0].top: seen 4, expected at most 3, the classes"},
		{"top twice", shortText, "[top: 3, top: 2]", textModel(logits()), nil, "output[1].top: seen the step top before it"},
		{"softmax after top", shortText, "[top: 3, softmax]", textModel(logits()), nil, "output[1].softmax: seen the step top before it"},
		{"normalize after top", shortText, "[top: 3, normalize]", textModel(logits()), nil, "output[1].normalize: seen the step top before it"},
		{"step after labels", shortText, "[top: 3, labels: labels.txt, softmax]", textModel(logits()), nil, "output[2].softmax: seen the step top before it"},
		{"labels of nothing", shortText, "[softmax, labels: labels.txt]", textModel(logits()), nil, "output[1].labels: seen score float32[-1 3] before it, expected the step top"},
		{"labels twice", shortText, "[top: 2, labels: labels.txt, labels: labels.txt]", textModel(logits()), nil, "output[2].labels: seen label"},
		{"fewer labels", shortText, "[top: 2, labels: labels.txt]", textModel(logits()), []string{"labels.txt", "red\ngreen"}, "output[1].labels: seen 2 lines in labels.txt, expected 3, the classes of the model"},
		{"more labels", shortText, "[top: 2, labels: labels.txt]", textModel(logits()), []string{"labels.txt", "a\nb\nc\n\n"}, "seen 4 lines"},
		{"empty labels", shortText, "[top: 2, labels: labels.txt]", textModel(logits()), []string{"labels.txt", ""}, "labels.txt: nothing, expected a label in each line"},
		{"labels that are no text", shortText, "[top: 2, labels: labels.txt]", textModel(logits()), []string{"labels.txt", "\xff\n\n"}, "not UTF-8"},
		{"too many labels", shortText, "[top: 2, labels: labels.txt]", textModel(value("x", tensor.Float32, -1, -1)), []string{"labels.txt", strings.Repeat("\n", maxLabels+1)}, "more than 1048576 lines"},
		{"ctc of logits", shortText, "[ctc: {vocabulary: vocab.json, blank: _}]", textModel(logits()), nil, "output[0].ctc: seen logits"},
		{"ctc with another vocabulary", shortText, "[ctc: {vocabulary: vocab.json, blank: _}]", textModel(value("x", tensor.Float32, -1, -1, 4)), nil, "output[0].ctc.vocabulary: seen 3 tokens in vocab.json, expected 4"},
		{"ctc without its blank", shortText, "[ctc: {vocabulary: vocab.json, blank: '#'}]", textModel(hidden()), nil, `no blank "#"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse([]byte(plainDoc(c.text, c.output)))
			if err != nil {
				t.Fatal(err)
			}
			models, files := parts(c.model, c.extra...)
			_, err = New(t.Context(), d, models, files, nil)
			refused(t, err, c.says)
		})
	}
}

// TestNewNeedsAll: nothing that the document names may be missing.
func TestNewNeedsAll(t *testing.T) {
	d, err := Parse([]byte(plainDoc(shortText, "[softmax]")))
	if err != nil {
		t.Fatal(err)
	}
	models, files := parts(textModel(logits()))
	_, err = New(t.Context(), d, nil, files, nil)
	refused(t, err, "there is no model m.onnx")
	_, err = New(t.Context(), d, models, nil, nil)
	refused(t, err, "there is no file t.json")
}

// TestForms: what callers send and get, for documents that are right.
func TestForms(t *testing.T) {
	open1 := value("x", tensor.Float32, 1, -1, 3)
	for _, c := range []struct {
		output, want string
		model        Model
	}{
		{"[pool: mean]", "embedding float32[-1 3], tokens int64[-1]", textModel(hidden())},
		{"[pool: last, normalize]", "embedding float32[-1 3], tokens int64[-1]", textModel(open1)},
		{"[softmax]", "score float32[-1 3], tokens int64[-1]", textModel(logits())},
		{"[take: logits]", "logits float32[-1 3], tokens int64[-1]", textModel(logits())},
		{"[take: x]", "x float32[-1 -1], tokens int64[-1]", textModel(value("x", tensor.Float32, -1, -1))},
		{"[top: 2]", "score float32[-1 2], index int64[-1 2], tokens int64[-1]", textModel(logits())},
		{"[softmax, top: 3, labels: labels.txt]", "label string[-1 3], score float32[-1 3], tokens int64[-1]", textModel(logits())},
		{"[ctc: {vocabulary: vocab.json, blank: _}]", "text string[-1], tokens int64[-1]", textModel(hidden())},
	} {
		p := open(t, plainDoc(shortText, c.output), c.model)
		var list []string
		for _, v := range p.Outputs() {
			list = append(list, v.String())
		}
		if got := strings.Join(list, ", "); got != c.want {
			t.Errorf("%s: %s, expected %s", c.output, got, c.want)
		}
		if in := p.Inputs(); len(in) != 1 || in[0].String() != "text string[-1]" {
			t.Errorf("%s: inputs %v", c.output, in)
		}
	}
}
