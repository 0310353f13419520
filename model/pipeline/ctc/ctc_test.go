package ctc

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

// speech is a vocabulary as wav2vec2 has it, in small.
const speech = `{"<pad>": 0, "|": 1, "A": 2, "B": 3, "<unk>": 4}`

func spoken(t testing.TB) *Decoder {
	t.Helper()
	d, err := New([]byte(speech), Options{Blank: "<pad>", Word: "|"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// frames are scores of 1 for the classes that digits name, and 0 for the others.
func frames(classes string, of int) []float32 {
	scores := make([]float32, of*len(classes))
	for i, c := range classes {
		scores[i*of+int(c-'0')] = 1
	}
	return scores
}

// TestDecode: repeats are one token, unless a blank is between them; blanks are nothing.
func TestDecode(t *testing.T) {
	for classes, want := range map[string]string{
		"":           "",
		"000":        "",
		"2":          "A",
		"222":        "A",
		"202":        "AA",
		"0220023300": "AAB",
		"23232":      "ABABA",
		"2210330":    "A B",
		"121":        "A",
		"11":         "",
		"21012":      "A  A",
		"24":         "A<unk>",
	} {
		got, err := spoken(t).Decode(t.Context(), frames(classes, 5))
		if err != nil || got.Text != want {
			t.Errorf("%s: %q, %v, expected %q", classes, got.Text, err, want)
		}
	}
}

// TestScore is the mean of the frames that said something new.
func TestScore(t *testing.T) {
	d := spoken(t)
	got, err := d.Decode(t.Context(), []float32{
		.9, 0, 0, 0, 0,
		.1, 0, .5, .2, 0,
		0, 0, .7, 0, 0, // again
		0, 0, 0, .8, 0,
	})
	if err != nil || got.Text != "AB" || math.Abs(float64(got.Score)-.65) > 1e-6 {
		t.Errorf("%+v, %v, expected AB with .65", got, err)
	}
	if got, _ := d.Decode(t.Context(), frames("000", 5)); got.Score != 0 {
		t.Errorf("silence has the score %v", got.Score)
	}
}

// TestStrangeScores: what is no number is passed over.
func TestStrangeScores(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	got, err := spoken(t).Decode(t.Context(), []float32{
		nan, 0, 1, 0, 0,
		-inf, -inf, -inf, -inf, -inf,
		nan, nan, nan, nan, nan,
		0, 0, inf, inf, 0,
	})
	if err != nil || got.Text != "AA" {
		t.Errorf("%q, %v", got.Text, err)
	}
	if _, err := spoken(t).Decode(t.Context(), make([]float32, 6)); err == nil {
		t.Error("a frame and a bit was taken")
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := spoken(t).Decode(ctx, frames("222", 5)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestVocabularies: both forms, and what makes the same of a file.
func TestVocabularies(t *testing.T) {
	for _, file := range []string{`{"a": 1, "_": 0, "b": 2}`, " \n{\"b\":2,\"a\":1,\"_\":0} ", "_\na\nb", "_\na\nb\n", "\ufeff_\r\na\r\nb\r\n"} {
		d, err := New([]byte(file), Options{Blank: "_"})
		if err != nil {
			t.Errorf("%q: %v", file, err)
			continue
		}
		got, err := d.Decode(t.Context(), frames("0121", 3))
		if err != nil || got.Text != "aba" || d.Classes() != 3 || d.Bytes() != 3*16+3 {
			t.Errorf("%q: %q, %d classes, %d bytes, %v", file, got.Text, d.Classes(), d.Bytes(), err)
		}
	}
}

func TestVocabulariesRefused(t *testing.T) {
	for _, c := range []struct {
		name, file, says string
		o                Options
	}{
		{"empty", "", "nothing", Options{Blank: "_"}},
		{"no JSON", "{", "strictjson", Options{Blank: "_"}},
		{"more behind", `{"_": 0} {}`, "strictjson", Options{Blank: "_"}},
		{"a token twice", `{"_": 0, "_": 1}`, "strictjson", Options{Blank: "_"}},
		{"no ids", `{"_": "0"}`, "strictjson", Options{Blank: "_"}},
		{"a negative id", `{"_": -1}`, "strictjson", Options{Blank: "_"}},
		{"JSON that is no UTF-8", "{\"_\": 0, \"\xff\": 1}", "strictjson", Options{Blank: "_"}},
		{"no tokens", "{}", "no tokens", Options{Blank: "_"}},
		{"an id twice", `{"_": 0, "a": 1, "b": 1, "c": 3}`, "two tokens with the id 1", Options{Blank: "_"}},
		{"an id left out", `{"_": 0, "a": 2}`, "2 tokens with ids up to 2", Options{Blank: "_"}},
		{"an id twice and none left out", `{"_": 0, "a": 0}`, "2 tokens with ids up to 0", Options{Blank: "_"}},
		{"a large id", `{"_": 1048576}`, "id 1048576", Options{Blank: "_"}},
		{"a long token", "_\n" + strings.Repeat("x", maxToken+1), "token 1 has 257 bytes", Options{Blank: "_"}},
		{"many tokens", strings.Repeat("\n", maxTokens+1), "more than 1048576 tokens", Options{Blank: "_"}},
		{"no UTF-8", "_\n\xff", "not UTF-8", Options{Blank: "_"}},
		{"no blank", "a\nb", `no blank "_"`, Options{Blank: "_"}},
		{"two blanks", "_\na\n_", `the blank "_" twice, as 0 and 2`, Options{Blank: "_"}},
		{"no word", "_\na", `no token "|" between words`, Options{Blank: "_", Word: "|"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New([]byte(c.file), c.o)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, expected %q", err, c.says)
			}
		})
	}
	if _, err := FromTokens(nil, Options{}); err == nil {
		t.Error("a decoder of nothing")
	}
}

// FuzzNew: whatever the vocabulary, what is read of scores is bounded by it.
func FuzzNew(f *testing.F) {
	f.Add([]byte(speech), "<pad>", "|", []byte{0, 1, 2, 2, 0, 2})
	f.Add([]byte("_\na\nb"), "_", "", []byte{1, 1, 0, 1})
	f.Fuzz(func(t *testing.T, file []byte, blank, word string, best []byte) {
		d, err := New(file, Options{Blank: blank, Word: word})
		if err != nil {
			return
		}
		n := d.Classes()
		if n > 1<<10 || len(best) > 1<<8 {
			return
		}
		scores := make([]float32, n*len(best))
		for i, b := range best {
			scores[i*n+int(b)%n] = float32(b)
		}
		got, err := d.Decode(t.Context(), scores)
		if err != nil || len(got.Text) > maxToken*len(best) {
			t.Fatalf("%d bytes of %d frames: %v", len(got.Text), len(best), err)
		}
	})
}

// TestLongText: frames without end make no text without end.
func TestLongText(t *testing.T) {
	d, err := FromTokens([]string{"", strings.Repeat("a", maxToken), strings.Repeat("b", maxToken)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var scores []float32
	for range maxText / maxToken / 2 {
		scores = append(scores, 0, 1, 0, 0, 0, 1)
	}
	if got, err := d.Decode(t.Context(), scores); err != nil || len(got.Text) != maxText {
		t.Errorf("%d bytes: %v", len(got.Text), err)
	}
	if _, err := d.Decode(t.Context(), append(scores, 0, 1, 0)); err == nil {
		t.Error("a text over the limit was made")
	}
}
