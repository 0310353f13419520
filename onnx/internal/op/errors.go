package op

import (
	"errors"
	"fmt"
)

// ErrLimit is wrapped by every error that says something would be larger, or go on for
// longer, than the limits.
var ErrLimit = errors.New("over the limit")

var (
	errNoBody = errors.New("a graph is missing")
	errMade   = errors.New("makes its results by itself")
)

// OperandError lets an operator name the operand that is wrong by its number.
type OperandError struct {
	Index  int
	Reason error
}

func (e *OperandError) Error() string { return fmt.Sprintf("input %d: %v", e.Index, e.Reason) }

func (e *OperandError) Unwrap() error { return e.Reason }

// BadInput says what is wrong with an operand.
func BadInput(index int, format string, args ...any) error {
	return &OperandError{index, fmt.Errorf(format, args...)}
}

// attributeError says what is wrong with an attribute.
func attributeError(name string, err error) error {
	return fmt.Errorf("attribute %s: %w", Quote(name), err)
}

func tooMany(inputs, most int) error {
	return fmt.Errorf("has %d inputs, expected at most %d in this operator set", inputs, most)
}
