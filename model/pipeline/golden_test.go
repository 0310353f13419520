package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// embedding is the pipeline of sentence-transformers for MiniLM.
const embedding = `
model: model.onnx
input:
  text: {tokenizer: tokenizer.json, length: 256, batch: BATCH}
output:
  - pool: mean
  - normalize
`

// real is a pipeline over a published model.
type real struct {
	*Pipeline
	session   *onnx.Session
	tokenizer []byte
}

func (r real) ask(ctx context.Context, _ string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	return r.session.Run(ctx, in)
}

// modelFile finds a model of BLINDBOX_MODELS, or one that bench/onnx made beside it.
func modelFile(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("skipped: BLINDBOX_MODELS does not name a directory of models (`make test` makes it)")
	}
	for _, path := range []string{filepath.Join(dir, name), benched(name)} {
		if data, err := os.ReadFile(path); err == nil {
			return data
		}
	}
	t.Skipf("skipped: no %s (bench/onnx makes it)", name)
	return nil
}

// benched is where bench/onnx leaves a model that it made.
func benched(name string) string {
	return filepath.Join(os.Getenv("BLINDBOX_MODELS"), "..", "bench-onnx", "models", name)
}

func realPipeline(t testing.TB, model, batch string) real {
	t.Helper()
	data := modelFile(t, model)
	tokenizer, err := os.ReadFile(filepath.Join(os.Getenv("BLINDBOX_TOKENIZERS"), "minilm.json"))
	if os.Getenv("BLINDBOX_TOKENIZERS") == "" || err != nil {
		t.Skipf("skipped: no minilm.json in BLINDBOX_TOKENIZERS: %v", err)
	}
	m, err := onnx.Parse(data, onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(m)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(bytes.ReplaceAll([]byte(embedding), []byte("BATCH"), []byte(batch)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), d, map[string]Model{"model.onnx": {s.Inputs(), s.Outputs()}}, map[string][]byte{"tokenizer.json": tokenizer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return real{p, s, tokenizer}
}

func (r real) embed(t testing.TB, texts []string) (matrix, []int64) {
	t.Helper()
	out, err := r.Run(t.Context(), map[string]*tensor.Tensor{"text": tensor.List(texts...)}, r.ask)
	if err != nil {
		t.Fatal(err)
	}
	return matrixOf(out["embedding"]), tensor.Data[int64](out["tokens"])
}

// golden reads the sentences, and what ONNX Runtime makes of them.
func golden(t *testing.T, name string) ([]string, matrix) {
	t.Helper()
	var texts []string
	text, err := os.ReadFile("testdata/sentences.json")
	if err == nil {
		err = json.Unmarshal(text, &texts)
	}
	data, readErr := os.ReadFile("testdata/" + name)
	if err != nil || readErr != nil {
		t.Fatal(err, readErr)
	}
	m := matrix{make([]float32, len(data)/4), 384}
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, m.data); err != nil || m.rows() != len(texts) {
		t.Fatalf("%v: %d rows for %d texts", err, m.rows(), len(texts))
	}
	return texts, m
}

// apart is the length of the difference of two rows, beside that of the second.
func apart(a, b []float32) float64 {
	diff, size := 0.0, 0.0
	for i := range b {
		d := float64(a[i]) - float64(b[i])
		diff, size = diff+d*d, size+float64(b[i])*float64(b[i])
	}
	return math.Sqrt(diff / size)
}

// closest is what the worst embedding may differ by: a little more than rounding does.
const closest = 1e-5

// TestEmbeddingsGolden: 200 sentences in some forty languages, with empty ones, long ones
// and emoji, have the embeddings that the Python libraries give them
// (testdata/embeddings.py), one by one and in groups.
func TestEmbeddingsGolden(t *testing.T) {
	names := []string{"minilm-l6-int8"}
	if _, err := os.Stat(benched("minilm-l6.onnx")); err == nil { // PyTorch exports it, for the benchmarks
		names = append(names, "minilm-l6")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			texts, want := golden(t, name+".bin")
			if race.Enabled {
				texts = texts[:60] // without the detector all of them
			}
			compare(t, realPipeline(t, name+".onnx", "1"), texts, want)
			compare(t, realPipeline(t, name+".onnx", "16"), texts[:min(40, len(texts))], want)
		})
	}
}

func compare(t *testing.T, r real, texts []string, want matrix) {
	t.Helper()
	got, _ := r.embed(t, texts)
	worst, at := 0.0, 0
	for i := range texts {
		if d := apart(got.row(i), want.row(i)); !(d <= worst) {
			worst, at = d, i
		}
	}
	t.Logf("%d texts: worst relative difference %.2g, of %.40q", len(texts), worst, texts[at])
	if !(worst < closest) {
		t.Errorf("%q differs by %g, expected less than %g", texts[at], worst, closest)
	}
}

// TestAlone: a text has the same embedding, bit for bit, whatever else is asked.
func TestAlone(t *testing.T) {
	r := realPipeline(t, "minilm-l6-int8.onnx", "1")
	texts := []string{"one", "two words", "three words now", "two words", ""}
	all, tokens := r.embed(t, texts)
	for i, text := range texts {
		alone, n := r.embed(t, []string{text})
		if !slices.Equal(alone.row(0), all.row(i)) || n[0] != tokens[i] {
			t.Errorf("%q: another embedding alone than beside others", text)
		}
	}
	if want := []int64{3, 4, 5, 4, 2}; !slices.Equal(tokens, want) {
		t.Errorf("tokens %d, expected %d", tokens, want)
	}
}

// TestTryReal: the model has 512 positions, and the document may promise that and not more.
func TestTryReal(t *testing.T) {
	r := realPipeline(t, "minilm-l6-int8.onnx", "1")
	for length, fits := range map[string]bool{"16": true, "513": false} {
		d, err := Parse([]byte(plainDoc("tokenizer: tokenizer.json, length: "+length, "[pool: mean]")))
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(t.Context(), d, map[string]Model{"m.onnx": {r.session.Inputs(), r.session.Outputs()}}, map[string][]byte{"tokenizer.json": r.tokenizer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Try(t.Context(), r.ask); (err == nil) != fits {
			t.Errorf("length %s: %v", length, err)
		}
	}
}
