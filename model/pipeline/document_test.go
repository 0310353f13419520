package pipeline

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	d, err := Parse([]byte(`
model: model.onnx
input:
  text: {tokenizer: tokenizer.json, length: 256}
output:
  - pool: mean
  - normalize
`))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Models(), []string{"model.onnx"}) || !slices.Equal(d.Files(), []string{"tokenizer.json"}) {
		t.Errorf("models %q, files %q", d.Models(), d.Files())
	}
}
