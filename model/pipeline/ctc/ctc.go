// Package ctc answers: which text do the scores of a CTC model say? Such a model (most of
// those that read speech or lines of print) gives, for each frame, a score for each token
// of a vocabulary and for a blank. The best token of each frame is taken; repeats are one
// token, unless a blank is between them; blanks are dropped (Graves and others, 2006,
// "best path decoding").
//
// It stands inside the box. Vocabulary and scores may be hostile: what it makes of them is
// never longer than a megabyte.
package ctc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Options say what tokens of a vocabulary mean.
type Options struct {
	Blank string // the token that says nothing; it must be in the vocabulary
	Word  string // the token between words; "" if there is none
}

// Decoder turns scores into text. It does not change, and may be used by many goroutines
// at once.
type Decoder struct {
	tokens []string // what each class says
	blank  int
	bytes  int64
}

// Text is what scores say.
type Text struct {
	Text  string
	Score float32 // mean of the best scores of the frames that said something; 0 if none did
}

// New makes a decoder of a vocabulary: JSON of tokens and their ids, which are those from 0
// on, each once; or a token in each line.
func New(vocabulary []byte, o Options) (*Decoder, error) {
	tokens, err := read(vocabulary)
	if err != nil {
		return nil, err
	}
	return FromTokens(tokens, o)
}

// FromTokens makes a decoder of tokens by class. It takes over the list.
func FromTokens(tokens []string, o Options) (*Decoder, error) {
	d := &Decoder{tokens: tokens, blank: -1}
	word := o.Word == ""
	for i, t := range tokens {
		d.bytes += 16 + int64(len(t))
		switch {
		case len(t) > maxToken:
			return nil, fmt.Errorf("token %d has %d bytes, expected at most %d", i, len(t), maxToken)
		case t == o.Blank && d.blank >= 0:
			return nil, fmt.Errorf("the blank %.20q twice, as %d and %d", o.Blank, d.blank, i)
		case t == o.Blank:
			d.blank, d.tokens[i] = i, ""
		case o.Word != "" && t == o.Word:
			word, d.tokens[i] = true, " "
		}
	}
	switch {
	case len(tokens) == 0:
		return nil, errors.New("no tokens")
	case d.blank < 0:
		return nil, fmt.Errorf("no blank %.20q", o.Blank)
	case !word:
		return nil, fmt.Errorf("no token %.20q between words", o.Word)
	}
	return d, nil
}

// Classes is how many scores a frame has.
func (d *Decoder) Classes() int { return len(d.tokens) }

// Bytes is the memory of the vocabulary.
func (d *Decoder) Bytes() int64 { return d.bytes }

// Decode reads the scores of frames, one frame after the other, each with as many as
// there are classes. Whether they are logits or probabilities is the same for the text.
func (d *Decoder) Decode(ctx context.Context, scores []float32) (Text, error) {
	if len(scores)%len(d.tokens) != 0 {
		return Text{}, fmt.Errorf("ctc: %d scores, expected a multiple of %d", len(scores), len(d.tokens))
	}
	var text strings.Builder
	said, sum, before := 0, 0.0, d.blank
	for i := 0; len(scores) > 0; i++ {
		if i%64 == 0 && ctx.Err() != nil {
			return Text{}, ctx.Err()
		}
		class, score := best(scores[:len(d.tokens)])
		if class != before && class != d.blank {
			if text.Len() > maxText-len(d.tokens[class]) {
				return Text{}, fmt.Errorf("ctc: a text of more than %d bytes", maxText)
			}
			text.WriteString(d.tokens[class])
			said, sum = said+1, sum+float64(score)
		}
		before, scores = class, scores[len(d.tokens):]
	}
	t := Text{Text: strings.TrimSpace(text.String())}
	if said > 0 {
		t.Score = float32(sum / float64(said))
	}
	return t, nil
}

// best returns the highest score and the first class that has it. What is no number is
// never the best, unless nothing else is there.
func best(scores []float32) (class int, score float32) {
	score = float32(math.Inf(-1))
	for i, s := range scores {
		if s > score {
			class, score = i, s
		}
	}
	return class, score
}
