package pipeline

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

var errNotDecimal = errors.New("not a decimal number such as 0.5")

// InputError says what is wrong with what a caller sent. It never holds any of it.
type InputError struct {
	Name   string // of the input
	Item   int    // which element of it, from 0; -1: the input as a whole
	Reason error
}

// Error returns the input's name, the element's position, and the reason.
func (e *InputError) Error() string {
	if e.Item < 0 {
		return fmt.Sprintf("input %q: %v", e.Name, e.Reason)
	}
	return fmt.Sprintf("input %q, element %d: %v", e.Name, e.Item, e.Reason)
}

// Unwrap returns the reason.
func (e *InputError) Unwrap() error { return e.Reason }

// misfit says that a line of the document does not fit the model or a file.
func misfit(p strictyaml.Pos, path, seen, expected string) error {
	return fmt.Errorf("pipeline.yaml: %w", &strictyaml.Error{Line: p.Line, Column: p.Column, Path: path, Seen: seen, Expected: expected})
}
