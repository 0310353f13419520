package tokenize_test

import (
	"fmt"
	"log"

	"github.com/blindbox/blindbox/tokenize"
)

// file is a tokenizer.json with a vocabulary of eleven tokens.
const file = `{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
  "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
    "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "hello": 3, ",": 4, "un": 5, "##aff": 6, "##able": 7, "cafe": 8, "!": 9, "world": 10}}
}`

func Example() {
	tok, err := tokenize.Parse([]byte(file), tokenize.DefaultLimits())
	if err != nil {
		log.Fatal(err)
	}
	e, err := tok.Encode("Hello, unaffable Café!", tokenize.WithOffsets())
	if err != nil {
		log.Fatal(err)
	}
	for i, id := range e.IDs {
		token, _ := tok.Token(id)
		fmt.Println(id, token, e.Offsets[i])
	}
	text, err := tok.Decode(e.IDs[1:e.Len()-1], true)
	fmt.Println(text, err)
	// Output:
	// 1 [CLS] {0 0}
	// 3 hello {0 5}
	// 4 , {5 6}
	// 5 un {7 9}
	// 6 ##aff {9 12}
	// 7 ##able {12 16}
	// 8 cafe {17 22}
	// 9 ! {22 23}
	// 2 [SEP] {0 0}
	// hello, unaffable cafe! <nil>
}
