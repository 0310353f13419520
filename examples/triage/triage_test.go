package triage_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

var update = flag.Bool("update", false, "make triage.onnx and tokenizer.json of words.txt")

const classes = 3

// weights reads words.txt. Word 0 is every other one.
func weights(t *testing.T) (words []string, values []float32) {
	t.Helper()
	text, err := os.ReadFile("words.txt")
	if err != nil {
		t.Fatal(err)
	}
	words, values = []string{"[UNK]"}, make([]float32, classes)
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		var word string
		row := make([]float32, classes)
		if _, err := fmt.Sscan(line, &word, &row[0], &row[1], &row[2]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		words, values = append(words, word), append(values, row...)
	}
	return words, values
}

func model(words []string, values []float32) []byte {
	const int64Type, float32Type = 7, 1
	return pb.ModelAt(17,
		pb.Input("input_ids", int64Type, "texts", "words"),
		pb.Initializer(pb.Floats("weights", []int64{int64(len(words)), classes}, values...)),
		pb.Initializer(pb.Ints("axis", []int64{1}, 1)),
		pb.Node("", "Gather", []string{"weights", "input_ids"}, []string{"each"}),
		pb.Node("", "ReduceSum", []string{"each", "axis"}, []string{"logits"}, pb.AttrInt("keepdims", 0)),
		pb.Output("logits", float32Type, "texts", classes))
}

func tokenizer(t *testing.T, words []string) []byte {
	t.Helper()
	vocab := make([]string, len(words))
	for i, w := range words {
		vocab[i] = fmt.Sprintf("%q: %d", w, i)
	}
	slices.Sort(vocab)
	text := `{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
		"normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": true, "lowercase": true},
		"pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
		"model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {` + strings.Join(vocab, ", ") + `}}}`
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", " "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// TestMade: the files are those that words.txt makes.
func TestMade(t *testing.T) {
	words, values := weights(t)
	for name, want := range map[string][]byte{"triage.onnx": model(words, values), "tokenizer.json": tokenizer(t, words)} {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what words.txt makes (%v): run with -update", name, err)
		}
	}
	if _, err := onnx.Parse(model(words, values), onnx.DefaultLimits()); err != nil {
		t.Error(err)
	}
}
