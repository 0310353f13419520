// Package toy has conditions that lead to a refusal. Its own tests need all but three.
package toy

import (
	"context"
	_ "embed"
	"errors"
)

//go:embed word.txt
var word string

// Check refuses every word but one.
func Check(s string) error {
	if s == "" {
		return errors.New("no word")
	}
	if len(s) > 10 || s != word {
		return errors.New("another word")
	}
	return nil
}

type box struct{ word string }

func (b *box) open(s string) error {
	if b.word == "" {
		return errors.New("no box")
	}
	if err := Check(s); err != nil {
		return err
	}
	if err := Check(b.word); err != nil {
		return err
	}
	return nil
}

// Short refuses long words. Another package's test needs that.
func Short(s string) error {
	if len(s) > 3 {
		return errors.New("a long word")
	}
	return nil
}

var errWord = errors.New("no word")

// Refusal is why not.
type Refusal struct{ Detail string }

// Find, Admit and Why say the same in other ways.
func Find(s string) error {
	if s == "" {
		return errWord
	}
	return nil
}

func Admit(s string) *Refusal {
	if s == "" {
		return &Refusal{"no word"}
	}
	return nil
}

func Why(s string) string {
	if s != word {
		return "another word: " + s
	}
	return ""
}

// WordError is a reason that has fields.
type WordError struct{ Word string }

func (e *WordError) Error() string { return "another word: " + e.Word }

// Keep says why not in an error that is kept, or that has fields.
func Keep(s string) (err error) {
	if s == "" {
		err = errWord
	}
	if err == nil && s != word {
		return &WordError{s}
	}
	return err
}

// Turns ends before its time if nobody waits any more.
func Turns(ctx context.Context) (n int) {
	for n < 9 && ctx.Err() == nil {
		n++
	}
	return n
}

// Length has a condition that refuses nothing.
func Length(s string) string {
	if len(s) > 5 {
		return "long"
	}
	return "short"
}

// Verdicts are what judge says.
func Verdicts(s string) []bool {
	return []bool{judge("word", s == word, "", "", "")}
}

func judge(_ string, ok bool, _, _, _ string) bool { return ok }
