// Package toy has four conditions that lead to a refusal. Its test tries three.
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

// Verdicts are what judge says.
func Verdicts(s string) []bool {
	return []bool{judge("word", s == word, "", "", "")}
}

func judge(_ string, ok bool, _, _, _ string) bool { return ok }
