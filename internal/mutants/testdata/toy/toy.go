// Package toy has conditions that lead to a refusal. Its own tests need all but three.
package toy

import (
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

// Verdicts are what judge says.
func Verdicts(s string) []bool {
	return []bool{judge("word", s == word, "", "", "")}
}

func judge(_ string, ok bool, _, _, _ string) bool { return ok }
