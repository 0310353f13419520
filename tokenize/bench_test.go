package tokenize

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkEncode encodes the corpus, text by text, with each of the published
// tokenizers, and right after that lets the library do the same, on one thread.
//
//	BLINDBOX_TOKENIZERS=DIR BLINDBOX_PYTHON=PYTHON go test ./tokenize -run '^$' -bench Encode
func BenchmarkEncode(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("BLINDBOX_TOKENIZERS"), "*.json"))
	if err != nil || os.Getenv("BLINDBOX_TOKENIZERS") == "" || len(files) == 0 {
		b.Skip("skipped: BLINDBOX_TOKENIZERS does not name a directory of tokenizers")
	}
	texts, size := corpus(10_000, 1), 0
	for _, s := range texts {
		size += len(s)
	}
	for _, file := range files {
		b.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(b *testing.B) { benchmarkFile(b, file, texts, size) })
	}
}

func benchmarkFile(b *testing.B, file string, texts []string, size int) {
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	tok, err := Parse(data, DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range texts {
			if _, err := tok.Encode(s, WithoutTruncation(), WithoutPadding()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(texts)*b.N)/b.Elapsed().Seconds(), "texts/s")
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		return
	}
	out, err := exec.Command(python, "testdata/oracle.py", "time", writeTexts(b, texts), file).CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	b.Logf("the library: %s", out)
}
