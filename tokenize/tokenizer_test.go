package tokenize

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func parse(t *testing.T, file string) *Tokenizer {
	t.Helper()
	tok, err := Parse([]byte(file), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func ids(t *testing.T, tok *Tokenizer, text string, opt ...Option) []int64 {
	t.Helper()
	e, err := tok.Encode(text, opt...)
	if err != nil {
		t.Fatal(err)
	}
	return e.IDs
}

// TestRefused: what is wrong or not supported is an error that says what it is.
func TestRefused(t *testing.T) {
	model := func(text string) string { return with(map[string]string{"model": text}) }
	part := func(name, text string) string {
		return with(map[string]string{"model": smallWordPiece, name: text})
	}
	regex := func(p string) string {
		return part("pre_tokenizer", fmt.Sprintf(`{"type": "Split", "pattern": {"Regex": %q}, "behavior": "Isolated", "invert": false}`, p))
	}
	for _, c := range []struct{ name, file, want string }{
		{"not JSON", "{", "not a tokenizer.json"},
		{"unknown member", strings.Replace(bertFile(), `"version"`, `"vision": 1, "version"`, 1), `unknown member "vision"`},
		{"version", strings.Replace(bertFile(), `"1.0"`, `"2.0"`, 1), `version "2.0"`},
		{"no model", with(nil), "no model"},
		{"unknown model", model(`{"type": "Neural"}`), `model of type "Neural"`},
		{"two tokens, one id", model(`{"type": "WordLevel", "vocab": {"a": 1, "b": 1}, "unk_token": "a"}`), "id 1 stands for two tokens"},
		{"one token twice", model(`{"type": "WordLevel", "vocab": {"a": 1, "a": 2}, "unk_token": "a"}`), "twice"},
		{"large id", model(`{"type": "WordLevel", "vocab": {"a": 4294967295}, "unk_token": "a"}`), "id 4294967295"},
		{"dropout", model(strings.Replace(smallBPE(), `"dropout": null`, `"dropout": 0.1`, 1)), "dropout 0.1"},
		{"merge of nothing", model(strings.Replace(smallBPE(), `"a a"`, `"a xyz"`, 1)), `"xyz"`},
		{"merge of one", model(strings.Replace(smallBPE(), `"a a"`, `"aa"`, 1)), "must be two tokens"},
		{"unk_id", model(strings.Replace(smallUnigram, `"unk_id": 0`, `"unk_id": 9`, 1)), "unk_id 9"},
		{"huge score", model(strings.Replace(smallUnigram, `-2.5`, `-1e999`, 1)), "score -1e999"},
		{"unknown normalizer", part("normalizer", `{"type": "Rot13"}`), `normalizer of type "Rot13"`},
		{"unknown pre-tokenizer", part("pre_tokenizer", `{"type": "UnicodeScripts"}`), `pre_tokenizer of type "UnicodeScripts"`},
		{"unknown post-processor", part("post_processor", `{"type": "X"}`), `post_processor of type "X"`},
		{"unknown decoder", part("decoder", `{"type": "X"}`), `decoder of type "X"`},
		{"Metaspace that contradicts itself", part("pre_tokenizer", `{"type": "Metaspace", "replacement": "_", "add_prefix_space": false}`), "add_prefix_space false"},
		{"template without its token", part("post_processor", strings.Replace(template1, `"[CLS]": {`, `"[X]": {`, 1)), `special token "[CLS]"`},
		{"two templates", part("post_processor", `{"type": "Sequence", "processors": [`+template1+`,`+template1+`]}`), "more than one post-processor"},
		{"added token of another id", part("added_tokens", `[{"id": 3, "content": "new", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]`), `"new" has id 3`},
		{"charsmap", part("normalizer", `{"type": "Precompiled", "precompiled_charsmap": "AAAA"}`), "has 3 bytes"},
		{"trie longer than the charsmap", part("normalizer", `{"type": "Precompiled", "precompiled_charsmap": "//////8="}`), "trie of 4294967295 bytes"},
		{"padding", part("padding", `{"strategy": {"Fixed": 2000000000}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": ""}`), "padding to 2000000000"},
		{"stride", part("truncation", `{"max_length": 2, "strategy": "LongestFirst", "stride": 3}`), "stride of 3"},
		{"look behind", regex(`(?<!a)b`), "groups of this kind"},
		{"look at two", regex(`a(?!bc)`), "more than one character"},
		{"lazy", regex(`a+?b`), "as few as possible"},
		{"back reference", regex(`(a)\1`), `\1 is not supported`},
		{"anchor", regex(`^a`), "'^' here"},
		{"empty match", regex(`a*`), "match nothing"},
		{"unknown class", regex(`\p{Cyrillic}`), "this class"},
		{"folded ligature", regex(`(?i:ss)`), "also one character"},
		{"deep", regex(strings.Repeat("(", 40) + "a" + strings.Repeat(")", 40)), "inside each other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.file), DefaultLimits())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "tokenize: ") {
				t.Errorf("error %v, expected one that begins with \"tokenize: \" and has %q", err, c.want)
			}
		})
	}
}

// TestLimits: each limit is looked at.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Limits)
		file string
		text string
	}{
		{"FileBytes", func(l *Limits) { l.FileBytes = 10 }, bertFile(), ""},
		{"Vocabulary", func(l *Limits) { l.Vocabulary = 5 }, bertFile(), ""},
		{"PieceBytes", func(l *Limits) { l.PieceBytes = 3 }, bertFile(), ""},
		{"TextBytes", func(l *Limits) { l.TextBytes = 5 }, bertFile(), "hello world"},
		{"WorkBytes", func(l *Limits) { l.WorkBytes = 5 }, bertFile(), "HELLO WORLD"},
		{"Steps", func(l *Limits) { l.Steps = 1 }, smallFiles()[1], strings.Repeat("hello ", 100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			lim := DefaultLimits()
			c.set(&lim)
			tok, err := Parse([]byte(c.file), lim)
			if err == nil && c.text != "" {
				_, err = tok.Encode(c.text)
			}
			if !errors.Is(err, ErrLimit) {
				t.Errorf("error %v, expected ErrLimit", err)
			}
		})
	}
	if _, err := Parse([]byte(bertFile()), Limits{FileBytes: 1}); err == nil {
		t.Error("limits that were forgotten are taken")
	}
}

// TestHostileTexts: texts that are bad for quadratic methods end, and soon.
func TestHostileTexts(t *testing.T) {
	const size = 1 << 16
	for i, file := range smallFiles() {
		tok := parse(t, file)
		for _, unit := range []string{"a", " ", "aab", "\u0301", "的", "ab ", "\n", "<s>", "A\u0300\u0323"} {
			text := strings.Repeat(unit, size/len(unit))
			if _, err := tok.Encode(text, WithoutTruncation()); err != nil && !errors.Is(err, ErrLimit) {
				t.Errorf("file %d, %q again and again: %v", i, unit, err)
			}
		}
	}
	if _, err := parse(t, bertFile()).Encode("a\xff"); err == nil {
		t.Error("a text that is not UTF-8 is taken")
	}
}

func TestMerges(t *testing.T) {
	tok := parse(t, smallFiles()[1])
	for text, want := range map[string][]int64{
		"wor":     {258},
		"aaaaa":   {' ', 260, 'a'},
		"a\u00e9": {' ', 'a', 0xc3, 0xa9},
	} {
		if got := ids(t, tok, text); !slices.Equal(got, want) {
			t.Errorf("%q is %v, expected %v", text, got, want)
		}
	}
}

func TestTruncation(t *testing.T) {
	file := func(strategy, direction string, most int) string {
		return with(map[string]string{
			"model": smallWordPiece, "pre_tokenizer": `{"type": "WhitespaceSplit"}`, "post_processor": template1,
			"truncation": fmt.Sprintf(`{"direction": %q, "max_length": %d, "strategy": %q, "stride": 0}`, direction, most, strategy),
		})
	}
	for _, c := range []struct {
		strategy, direction string
		most                int
		first, second       string
		want                []int64
	}{
		{"LongestFirst", "Right", 4, "hello world hello", "", []int64{1, 7, 8, 2}},
		{"LongestFirst", "Left", 4, "hello hello world", "", []int64{1, 7, 8, 2}},
		{"LongestFirst", "Right", 2, "hello world", "", []int64{1, 2}},
		{"LongestFirst", "Right", 4, "hello world hello", "world", []int64{7, 8, 2, 8}},
		{"OnlyFirst", "Right", 4, "hello world hello", "world world", []int64{7, 2, 8, 8}},
		{"OnlySecond", "Right", 4, "hello hello", "world hello world", []int64{7, 7, 2, 8}},
	} {
		tok := parse(t, file(c.strategy, c.direction, c.most))
		e, err := tok.Encode(c.first)
		if c.second != "" {
			e, err = tok.EncodePair(c.first, c.second)
		}
		if err != nil || !slices.Equal(e.IDs, c.want) {
			t.Errorf("%v: %v, %v", c, e.IDs, err)
		}
	}
	tok := parse(t, file("LongestFirst", "Right", 4))
	if got := ids(t, tok, "hello world hello", WithoutTruncation()); len(got) != 5 {
		t.Errorf("without truncation: %v", got)
	}
	if got := ids(t, tok, "hello world hello", WithMaxTokens(3)); len(got) != 3 {
		t.Errorf("with at most 3 tokens: %v", got)
	}
	if _, err := tok.Encode("hello", WithMaxTokens(1)); err == nil {
		t.Error("one token is said to hold two special ones")
	}
}

func TestPaddingOfBatches(t *testing.T) {
	tok := parse(t, with(map[string]string{
		"model": smallWordPiece, "pre_tokenizer": `{"type": "WhitespaceSplit"}`,
		"padding": `{"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": 2, "pad_id": 3, "pad_type_id": 0, "pad_token": "[PAD]"}`,
	}))
	batch, err := tok.EncodeBatch([]string{"hello", "hello world world", ""}, WithOffsets())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]int64{{7, 3, 3, 3}, {7, 8, 8, 3}, {3, 3, 3, 3}} {
		if !slices.Equal(batch[i].IDs, want) || batch[i].AttentionMask[3] != 0 || len(batch[i].Offsets) != 4 {
			t.Errorf("text %d is %+v, expected ids %v", i, batch[i], want)
		}
	}
}

// TestConcurrent: one tokenizer serves many goroutines.
func TestConcurrent(t *testing.T) {
	tok := parse(t, bertFile())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, s := range sentences {
				if _, err := tok.Encode(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestTokens(t *testing.T) {
	tok := parse(t, bertFile())
	if id, ok := tok.TokenID("world"); !ok || id != 8 || tok.Vocabulary() != 11 {
		t.Errorf("world is %d, %v, of %d tokens", id, ok, tok.Vocabulary())
	}
	for _, id := range []int64{-1, 11, 1 << 40} {
		if token, ok := tok.Token(id); ok {
			t.Errorf("id %d is %q", id, token)
		}
	}
	if text, err := tok.Decode([]int64{-5, 7, 99, 8, 9}, true); err != nil || text != "hello world!" {
		t.Errorf("decoded %q, %v", text, err)
	}
}
