package pipeline

import (
	"strconv"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
	"github.com/blindbox/blindbox/tokenize"
)

// BenchmarkEmbed compares an embedding through the pipeline with the run of the model
// alone, for texts of several lengths, and what grouping brings.
//
//	BLINDBOX_MODELS=DIR BLINDBOX_TOKENIZERS=DIR go test ./model/pipeline -run '^$' -bench Embed
func BenchmarkEmbed(b *testing.B) {
	for _, words := range []int{6, 14, 30, 126, 254} {
		text := strings.TrimSpace(strings.Repeat("fever ", words))
		b.Run(strconv.Itoa(words+2)+"/model", func(b *testing.B) { benchmarkModel(b, text) })
		b.Run(strconv.Itoa(words+2)+"/pipeline", func(b *testing.B) { benchmarkPipeline(b, "1", text) })
		b.Run(strconv.Itoa(words+2)+"/grouped", func(b *testing.B) {
			benchmarkPipeline(b, "16", strings.Split(strings.TrimSuffix(strings.Repeat(text+"\n", 16), "\n"), "\n")...)
		})
	}
}

func benchmarkModel(b *testing.B, text string) {
	r := realPipeline(b, "minilm-l6-int8.onnx", "1")
	tok, err := tokenize.Parse(r.tokenizer, tokenize.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	e, err := tok.Encode(text, tokenize.WithMaxTokens(256), tokenize.WithoutPadding())
	if err != nil {
		b.Fatal(err)
	}
	n := int64(e.Len())
	in := map[string]*tensor.Tensor{"input_ids": tensor.Of(e.IDs, 1, n), "attention_mask": tensor.Of(e.AttentionMask, 1, n), "token_type_ids": tensor.Of(e.TypeIDs, 1, n)}
	for b.Loop() {
		if _, err := r.session.Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkPipeline reports the time for one text of those that are asked together.
func benchmarkPipeline(b *testing.B, batch string, list ...string) {
	r := realPipeline(b, "minilm-l6-int8.onnx", batch)
	for b.Loop() {
		r.embed(b, list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/text")
}

// BenchmarkAround is all that the pipeline does beside the model: a text of 256 tokens to
// ids, their hidden states to one embedding.
func BenchmarkAround(b *testing.B) {
	r := realPipeline(b, "minilm-l6-int8.onnx", "1")
	text := strings.TrimSpace(strings.Repeat("fever and a dry cough, ", 43))
	hidden := tensor.Of(make([]float32, 256*384), 1, 256, 384)
	ask := answer("last_hidden_state", hidden)
	for b.Loop() {
		if _, err := r.Run(b.Context(), texts(text), ask); err != nil {
			b.Fatal(err)
		}
	}
}
