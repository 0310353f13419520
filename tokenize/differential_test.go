package tokenize

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/blindbox/blindbox/internal/race"
)

// expected is what the library gives for one text.
type expected struct {
	IDs, Types, Offsets, Special, Pair, PairTypes []int64
	Decoded                                       *string
}

func writeTexts(t testing.TB, texts []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "texts.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	e := json.NewEncoder(f)
	for _, s := range texts {
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// python runs a script beside the library.
func python(t *testing.T, args ...string) {
	t.Helper()
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		t.Skip("skipped: BLINDBOX_PYTHON does not name a Python that has tokenizers")
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestEqualToLibrary makes tokenizers of every kind and compares each with the library,
// text by text: with a few of them under the race detector. Those of published models are compared too, if they are there.
func TestEqualToLibrary(t *testing.T) {
	dir, texts := t.TempDir(), corpus(10_000, 1)
	if race.Enabled {
		texts = texts[:1000]
	}
	python(t, "testdata/oracle.py", "train", writeTexts(t, texts), dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d tokenizers: %v", len(files), err)
	}
	published, err := filepath.Glob(filepath.Join(os.Getenv("BLINDBOX_TOKENIZERS"), "*.json"))
	if err != nil || os.Getenv("BLINDBOX_TOKENIZERS") == "" {
		published = nil
		t.Log("SKIP published tokenizers: BLINDBOX_TOKENIZERS does not name a directory of them (`make test` makes it)")
	}
	for _, file := range append(files, published...) {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		some := texts // all of them for published tokenizers
		switch {
		case strings.HasPrefix(name, "step-"):
			some = texts[:400]
		case strings.HasPrefix(name, "trained-"):
			some = texts[:min(2000, len(texts))]
		}
		if race.Enabled {
			some = texts[:100]
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareFile(t, file, some)
		})
	}
}

// TestEveryCharacter holds the tables of Unicode: each character goes through the steps
// that look at classes of characters.
func TestEveryCharacter(t *testing.T) {
	dir := t.TempDir()
	known, texts := corpus(4_000, 1), everyCharacter()
	if race.Enabled {
		known, texts = known[:400], texts[:8]
	}
	python(t, "testdata/oracle.py", "train", writeTexts(t, known), dir)
	for _, name := range []string{
		"normalizer-NFKC", "normalizer-bert", "normalizer-StripAccents", "pre-Whitespace", "pre-BertPreTokenizer", "pattern-o200k",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareFile(t, filepath.Join(dir, "step-"+name+".json"), texts)
		})
	}
}

func compareFile(t *testing.T, file string, texts []string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(data, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.jsonl")
	python(t, "testdata/oracle.py", "encode", writeTexts(t, texts), out, file)
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<20)
	bad := map[string]int{}
	for i, text := range texts {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var want expected
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		for _, what := range compareText(t, tok, text, texts[(i*31+5)%len(texts)], i, want) {
			if bad[what]++; bad[what] <= 3 {
				got, err := tok.Encode(text, WithoutTruncation(), WithoutPadding(), WithOffsets())
				t.Errorf("%s: text %d %.300q\ngot  %s %v\nwant %s\noffsets got %s\nwant %s", what, i, text, show(got.IDs), err, show(want.IDs), show(charOffsets(text, got.Offsets)), show(want.Offsets))
			}
		}
	}
	t.Logf("%d texts, different: %v", len(texts), bad)
}

func compareText(t *testing.T, tok *Tokenizer, text, second string, i int, want expected) (bad []string) {
	got, err := tok.Encode(text, WithoutTruncation(), WithoutPadding())
	if err != nil {
		return []string{"error " + err.Error()}
	}
	if !slices.Equal(got.IDs, want.IDs) {
		bad = append(bad, "ids")
	}
	if want.Offsets != nil {
		bad = append(bad, compareAll(tok, text, want)...)
	}
	if i%7 == 0 {
		options := []Option{WithoutTruncation(), WithoutPadding()}
		if i%2 != 0 {
			options = append(options, WithoutSpecialTokens())
		}
		pair, err := tok.EncodePair(text, second, options...)
		if err != nil || !slices.Equal(pair.IDs, want.Pair) || !slices.Equal(pair.TypeIDs, want.PairTypes) {
			bad = append(bad, "pair")
		}
	}
	if want.Decoded != nil {
		decoded, err := tok.Decode(want.IDs, i%2 == 0)
		if err != nil || decoded != *want.Decoded {
			t.Logf("decoded %.200q\nwant    %.200q %v", decoded, *want.Decoded, err)
			bad = append(bad, "decoded")
		}
	}
	return bad
}

// compareAll compares all of an encoding.
func compareAll(tok *Tokenizer, text string, want expected) (bad []string) {
	got, err := tok.Encode(text, WithoutTruncation(), WithoutPadding(), WithOffsets())
	if err != nil {
		return []string{"error " + err.Error()}
	}
	special := make([]int64, len(got.Special))
	for i, s := range got.Special {
		if s {
			special[i] = 1
		}
	}
	for _, c := range []struct {
		what      string
		got, want []int64
	}{
		{"ids with offsets", got.IDs, want.IDs}, {"types", got.TypeIDs, want.Types},
		{"special", special, want.Special}, {"offsets", charOffsets(text, got.Offsets), want.Offsets},
	} {
		if !slices.Equal(c.got, c.want) {
			bad = append(bad, c.what)
		}
	}
	return bad
}

// charOffsets turns offsets in bytes into offsets in characters.
func charOffsets(text string, spans []Span) []int64 {
	at := make([]int64, len(text)+1)
	n := int64(0)
	for i := range text {
		for j := range runeLen(text, i) {
			at[i+j] = n
		}
		n++
	}
	at[len(text)] = int64(utf8.RuneCountInString(text))
	out := make([]int64, 0, 2*len(spans))
	for _, s := range spans {
		out = append(out, at[s.Start], at[s.End])
	}
	return out
}

func show(n []int64) string {
	s := fmt.Sprint(n)
	return s[:min(300, len(s))]
}
