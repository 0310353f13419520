// Package tokenize answers: which ids does a model see for this text? It reads the
// tokenizer.json of Hugging Face's tokenizers library and gives the ids that this
// library gives (docs/tokenizers.md says how that is held).
//
// It stands inside the box. The file may be hostile, and so may the text: sizes are
// checked before memory is taken, the work on a text is bounded by the limits that
// [Parse] was given, and nothing of a text is kept after the call. What a file asks for
// and this package does not do is refused by [Parse], never left out.
//
// A text goes through up to five steps, each described by the file:
//
//	added tokens    pieces of the text that are tokens as they stand
//	normalizer      the rest is rewritten: case, accents, Unicode's normal forms
//	pre_tokenizer   and cut into words
//	model           each word becomes tokens: WordPiece, BPE, Unigram or WordLevel
//	post_processor  and special tokens are put around them
//
// Decode goes the way back, by the file's decoder.
package tokenize
