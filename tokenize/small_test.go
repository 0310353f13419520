package tokenize

import (
	"fmt"
	"strings"
)

// with returns a file with some members; the others are null.
func with(members map[string]string) string {
	all := map[string]string{"version": `"1.0"`, "added_tokens": "[]"}
	for _, name := range []string{"truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"} {
		all[name] = "null"
	}
	for name, text := range members {
		all[name] = text
	}
	var parts []string
	for name, text := range all {
		parts = append(parts, fmt.Sprintf("%q: %s", name, text))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

const (
	smallWordPiece = `{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20,
		"vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "un": 4, "##aff": 5, "##able": 6, "hello": 7, "world": 8, "!": 9, "的": 10}}`
	smallUnigram = `{"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<unk>", 0], ["▁", -2.5], ["▁a", -1.25], ["b", -3], ["ab", -4], ["<0x41>", -9]]}`
	smallMeta    = `{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}`
	bytesOnly    = `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`
	template1    = `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
		"pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
		"special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}}`
)

// smallBPE has a token for each byte, and a few merges.
func smallBPE() string {
	var vocab []string
	for b := range 256 {
		vocab = append(vocab, fmt.Sprintf("%q: %d", string(byteChar(byte(b))), b))
	}
	return `{"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": {` + strings.Join(vocab, ", ") +
		`, "Ġw": 256, "or": 257, "Ġwor": 258, "aa": 259, "aaaa": 260}, "merges": ["Ġ w", ["o", "r"], "Ġw or", "a a", "aa aa"]}`
}

func bertFile() string {
	return with(map[string]string{
		"normalizer":     `{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}`,
		"pre_tokenizer":  `{"type": "BertPreTokenizer"}`,
		"post_processor": template1,
		"decoder":        `{"type": "WordPiece", "prefix": "##", "cleanup": true}`,
		"model":          smallWordPiece,
	})
}

func smallFiles() []string {
	return []string{
		bertFile(),
		with(map[string]string{"pre_tokenizer": bytesOnly, "post_processor": bytesOnly, "decoder": bytesOnly, "model": smallBPE()}),
		with(map[string]string{
			"normalizer":    `{"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Prepend", "prepend": "x"}]}`,
			"pre_tokenizer": smallMeta, "model": smallUnigram,
			"decoder": `{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]}`,
		}),
		with(map[string]string{
			"added_tokens":  `[{"id": 2, "content": "<s>", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": true}]`,
			"normalizer":    `{"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Lowercase"}]}`,
			"pre_tokenizer": `{"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Digits", "individual_digits": true}, {"type": "Punctuation", "behavior": "MergedWithNext"}, {"type": "FixedLength", "length": 2}]}`,
			"truncation":    `{"direction": "Left", "max_length": 6, "strategy": "LongestFirst", "stride": 0}`,
			"padding":       `{"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": 3, "pad_id": 1, "pad_type_id": 1, "pad_token": "p"}`,
			"decoder":       `{"type": "CTC", "pad_token": "p", "word_delimiter_token": "|", "cleanup": true}`,
			"model":         `{"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}`,
		}),
	}
}
