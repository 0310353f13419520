package pipeline

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	d, err := Parse([]byte(strings.ReplaceAll(embedding, "BATCH", "1")))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Models(), []string{"model.onnx"}) || !slices.Equal(d.Files(), []string{"tokenizer.json"}) {
		t.Errorf("models %q, files %q", d.Models(), d.Files())
	}
	d, err = Parse([]byte(plainDoc("tokenizer: x, length: 9", "[softmax, top: 2, labels: x]")))
	if err != nil || !slices.Equal(d.Files(), []string{"x"}) {
		t.Errorf("a file that is named twice is %q: %v", d.Files(), err)
	}
}

// TestParseRefuses: what a document alone shows to be wrong, each with its place.
func TestParseRefuses(t *testing.T) {
	text := func(s string) string { return plainDoc(s, "[softmax]") }
	steps := func(s string) string { return plainDoc(shortText, s) }
	for _, c := range []struct{ name, doc, says string }{
		{"nothing", "", "the document is empty"},
		{"no mapping", "[model]", "expected a mapping with the keys"},
		{"only a comment", "# nothing", "empty"},
		{"unknown key", "model: m.onnx\nmodle: m.onnx", `2:1: unknown key "modle"`},
		{"doubled key", "model: m.onnx\nmodel: m.onnx", `2:1: model: the key "model" again, first at 1:1`},
		{"model alone", "model: m.onnx", "input: seen nothing, expected what callers send"},
		{"no output", "model: m.onnx\ninput: {text: {" + shortText + "}}", "output: seen nothing, expected one step or more"},
		{"no model", "input: {text: {" + shortText + "}}\noutput: [softmax]", "model: seen nothing, expected the name of an ONNX file"},
		{"model of another kind", "model: m.bin\ninput: {text: {" + shortText + "}}\noutput: [softmax]", `1:8: model: seen "m.bin", expected the name of a file beside this one that ends in .onnx`},
		{"model elsewhere", "model: ../m.onnx\ninput: {text: {" + shortText + "}}\noutput: [softmax]", `seen "../m.onnx"`},
		{"two inputs", "model: m.onnx\ninput: {text: {" + shortText + "}, text2: {}}\noutput: [softmax]", "input"},
		{"a task beside a model", "model: m.onnx\nvoice: {model: v.onnx, rate: 16000}", "1:1: seen more than one pipeline, expected a task alone"},
		{"two tasks", "ocr: {detect: {model: d.onnx}, recognise: {model: r.onnx, characters: k}}\nvoice: {model: v.onnx, rate: 16000}", "seen more than one pipeline"},
		{"unknown input", "model: m.onnx\ninput: smell\noutput: [softmax]", `2:8: input: unknown key "smell"`},
		{"input without what it needs", "model: m.onnx\ninput: text\noutput: [softmax]", "input.text.tokenizer: missing"},
		{"empty output", steps("[]"), "empty list"},
		{"output that is no list", steps("softmax"), `output: seen "softmax", expected a list`},
		{"unknown step", steps("[sotfmax]"), `3:10: output[0]: unknown key "sotfmax"`},
		{"two steps in one", steps("[{softmax: {}, top: 3}]"), "output[0]"},
		{"number as a step", steps("[5]"), "output[0]: seen the number 5, expected a mapping"},
		{"value for a step without", steps("[softmax: 3]"), "output[0].softmax: seen the number 3"},

		{"tokenizer that is a model", text("tokenizer: t.onnx, length: 8"), `input.text.tokenizer: seen "t.onnx"`},
		{"tokenizer that is the document", text("tokenizer: pipeline.yaml, length: 8"), `seen "pipeline.yaml"`},
		{"tokenizer elsewhere", text("tokenizer: /etc/t.json, length: 8"), `seen "/etc/t.json"`},
		{"tokenizer with a long name", text("tokenizer: t" + strings.Repeat("x", 100) + ", length: 8"), "the name of a file"},
		{"no length", text("tokenizer: t.json"), "input.text.length: missing"},
		{"length 0", text("tokenizer: t.json, length: 0"), "input.text.length: seen 0, expected 1 to 32768"},
		{"length too large", text("tokenizer: t.json, length: 32769"), "seen 32769"},
		{"length in quotes", text(`tokenizer: t.json, length: "8"`), "expected a whole number"},
		{"batch 0", text(shortText + ", batch: 0"), "input.text.batch: seen 0, expected 1 to 64"},
		{"batch too large", text(shortText + ", batch: 65"), "seen 65"},
		{"empty pad", text(shortText + `, pad: ""`), `input.text.pad: seen ""`},

		{"empty take", steps(`[take: ""]`), `output[0].take: seen ""`},
		{"pool without a way", steps("[pool]"), "output[0].pool: seen nothing, expected a string"},
		{"pool of another way", steps("[pool: max]"), `output[0].pool: seen "max", expected one of mean, cls, last`},
		{"top of none", steps("[top: 0]"), "output[0].top: seen 0, expected 1 to 1000"},
		{"top of many", steps("[top: 1001]"), "seen 1001"},
		{"labels elsewhere", steps("[top: 1, labels: a/b]"), `output[1].labels: seen "a/b"`},
		{"ctc without a vocabulary", steps("[ctc: {blank: _}]"), "output[0].ctc.vocabulary: missing"},
		{"ctc without a blank", steps("[ctc: {vocabulary: v.json}]"), "output[0].ctc.blank: missing"},
		{"ctc with a vocabulary elsewhere", steps("[ctc: {vocabulary: ../v.json, blank: _}]"), "output[0].ctc.vocabulary: seen"},
		{"ctc with an empty blank", steps(`[ctc: {vocabulary: v.json, blank: ""}]`), `output[0].ctc.blank: seen ""`},
		{"ctc with an empty word", steps(`[ctc: {vocabulary: v.json, blank: _, word: ""}]`), `output[0].ctc.word: seen ""`},
		{"ctc with the blank between words", steps(`[ctc: {vocabulary: v.json, blank: _, word: _}]`), "other than the blank"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.doc))
			refused(t, err, c.says)
		})
	}
}

// TestParseSaysAll: one error for each line that is wrong.
func TestParseSaysAll(t *testing.T) {
	_, err := Parse([]byte("model: m\ninput: {text: {tokenizer: ., length: 0}}\noutput: [pool: x, top: 0]\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("%v\nexpected five lines", err)
	}
}

// TestDecimals: numbers are written in one way.
func TestDecimals(t *testing.T) {
	for text, want := range map[string]decimal{"0": 0, "1.5": 1.5, "-0.25": -0.25, "1e-3": 0.001, "12.50": 12.5} {
		var got decimal
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ".5", "5.", "+1", "01", "1_0", "0x1", "inf", "nan", "1e400", "1e", "1,5", " 1"} {
		if err := new(decimal).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a number", text)
		}
	}
}
