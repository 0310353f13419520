package tokenize

// Encoding is a text as a model sees it. All slices have the same length, except
// Offsets, which is nil unless [WithOffsets] was asked for.
type Encoding struct {
	IDs           []int64 // tokens
	TypeIDs       []int64 // which text a token belongs to, as the file says
	AttentionMask []int64 // 0 for padding, 1 for the rest
	Special       []bool  // tokens that the post-processor or padding put there
	Offsets       []Span  // where a token is in its text; special tokens are nowhere
}

// Span is a range of bytes of a text.
type Span struct{ Start, End int }

// Len is the number of tokens.
func (e *Encoding) Len() int { return len(e.IDs) }

func (e *Encoding) add(id, typeID, mask int64, special bool) {
	e.IDs = append(e.IDs, id)
	e.TypeIDs = append(e.TypeIDs, typeID)
	e.AttentionMask = append(e.AttentionMask, mask)
	e.Special = append(e.Special, special)
}

// encoded is the tokens of one of the texts, before the post-processor.
type encoded struct {
	ids   []int32
	spans []Span
}

func (e *encoded) cut(lo, hi int) {
	e.ids = e.ids[lo:hi]
	if e.spans != nil {
		e.spans = e.spans[lo:hi]
	}
}

// Option changes one call of [Tokenizer.Encode] or [Tokenizer.EncodePair].
type Option func(*options)

type options struct {
	bare, offsets, whole, unpadded bool
	most                           int
}

// WithoutSpecialTokens leaves out what the post-processor would add, like [CLS].
func WithoutSpecialTokens() Option { return func(o *options) { o.bare = true } }

// WithOffsets fills [Encoding.Offsets].
func WithOffsets() Option { return func(o *options) { o.offsets = true } }

// WithoutTruncation does not cut at the length that the file says.
func WithoutTruncation() Option { return func(o *options) { o.whole = true } }

// WithoutPadding does not fill up to the length that the file says.
func WithoutPadding() Option { return func(o *options) { o.unpadded = true } }

// WithMaxTokens cuts at n tokens, special ones included, whatever the file says. The
// side and the strategy are the file's, or else the end and the longest text first.
func WithMaxTokens(n int) Option { return func(o *options) { o.most = n } }
