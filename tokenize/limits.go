package tokenize

import (
	"errors"
	"fmt"
)

// ErrLimit is wrapped by every error that says that something is larger than the
// limits allow.
var ErrLimit = errors.New("over the limit")

// Limits bounds what a file and a text may make this process hold and do. Every field
// must be positive: a limit that was forgotten is an error, not "unlimited".
type Limits struct {
	FileBytes  int // length of tokenizer.json
	Vocabulary int // tokens, merges and added tokens, each; ids are below it
	PieceBytes int // length of one token, and of any other string of the file
	TextBytes  int // length of one text to encode, or of one that was decoded
	WorkBytes  int // text that all steps on one text write together
	Steps      int // steps of pattern matching per byte of text

	// Take, if it is not nil, is asked by Parse before it takes memory, as a rule for some
	// tens of KiB, together at most for what it holds at one time. Its error is Parse's. A
	// file of hostile tokens takes some forty times its own length, that of a published
	// model seven to thirty times.
	Take func(bytes int64) error
}

// DefaultLimits fits the files of published models, and texts of a megabyte.
func DefaultLimits() Limits {
	return Limits{
		FileBytes:  64 << 20,
		Vocabulary: 1 << 20,
		PieceBytes: 1 << 10,
		TextBytes:  1 << 20,
		WorkBytes:  32 << 20,
		Steps:      1 << 8,
	}
}

// most keeps offsets and sizes in 32 bits.
const most = 1 << 30

func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"FileBytes", l.FileBytes}, {"Vocabulary", l.Vocabulary}, {"PieceBytes", l.PieceBytes},
		{"TextBytes", l.TextBytes}, {"WorkBytes", l.WorkBytes}, {"Steps", l.Steps},
	} {
		if f.value <= 0 || f.value > most {
			return fmt.Errorf("tokenize: limit %s is %d, it must be between 1 and %d", f.name, f.value, most)
		}
	}
	return nil
}
