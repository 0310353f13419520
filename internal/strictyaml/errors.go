package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a document.
type Error struct {
	// Line and Column count from 1, the column in characters. If the YAML
	// parser itself refused, only the line is known and the column is 1.
	Line, Column int
	// Path names the value: callers[0].paths. Empty means the document.
	Path string
	// Problem says what is wrong: "unknown key", "no value". Empty if Seen and
	// Expected say it all.
	Problem string
	// Seen is what the document says, shortened and quoted; Expected what would
	// have been accepted.
	Seen, Expected string
	// Unknown is the key if it is one that nobody knows, otherwise empty, and
	// Nearest the known key that looks most like it, or empty.
	Unknown, Nearest string
}

// Error returns "line:column: path: problem, seen ..., expected ...". There is
// no package name in it: whoever owns the document puts theirs in front.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:%d: ", e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Problem)
	sep := ""
	if e.Problem != "" {
		sep = ", "
	}
	if e.Seen != "" {
		b.WriteString(sep + "seen " + e.Seen)
		sep = ", "
	}
	if e.Expected != "" {
		b.WriteString(sep + "expected " + e.Expected)
	}
	if e.Nearest != "" {
		fmt.Fprintf(&b, " (did you mean %q?)", e.Nearest)
	}
	return b.String()
}

// Pos returns the place the error is about.
func (e *Error) Pos() Pos { return Pos{e.Line, e.Column} }

// Errors is everything that is wrong with a document, in the order of its
// lines. [errors.As] finds the first [*Error] in it.
type Errors []*Error

// Error returns one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As look at each.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// Add appends an error about the value at p. After the first twenty it does
// nothing.
func (e *Errors) Add(p Pos, path, problem, seen, expected string) {
	e.add(&Error{Line: p.Line, Column: p.Column, Path: path, Problem: problem, Seen: seen, Expected: expected})
}

func (e *Errors) add(one *Error) {
	if len(*e) < maxErrors {
		*e = append(*e, one)
	}
}

// Err returns e in the order of lines, or nil if it is empty.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return e
}

func oneError(line, column int, problem string) error {
	return Errors{{Line: max(line, 1), Column: max(column, 1), Problem: problem}}
}

// Quote returns s in quotes, cut to a length that fits in a message.
func Quote(s string) string {
	const limit = 60
	r := []rune(s)
	if len(r) > limit {
		return fmt.Sprintf("%q...", string(r[:limit]))
	}
	return fmt.Sprintf("%q", s)
}

// Nearest returns the candidate that is most like name, or "" if none is close
// enough to be what was meant.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to get from
// a to b (Levenshtein).
func distance(a, b string) int {
	const tooLong = 64
	if len(a) > tooLong || len(b) > tooLong {
		return tooLong
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
