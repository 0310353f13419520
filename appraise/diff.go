package appraise

import (
	"fmt"
	"strings"
)

// Change is one difference between two trust files.
type Change struct {
	// What is the place: accept "v2.5.0" measurement, hardware.tcb.
	What string `json:"what"`
	// Was and Now are the values as the files write them. One of them is empty
	// if the key stands in one file only.
	Was string `json:"was,omitempty"`
	Now string `json:"now,omitempty"`
}

// String returns one line: + for what is new, - for what is gone, ~ for what
// has another value.
func (c Change) String() string {
	switch {
	case c.Was == "":
		return fmt.Sprintf("+ %s: %s", c.What, c.Now)
	case c.Now == "" && !strings.HasPrefix(c.What, "accept "):
		return fmt.Sprintf("- %s: %s, now the default", c.What, c.Was)
	case c.Now == "":
		return fmt.Sprintf("- %s: %s", c.What, c.Was)
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.What, c.Was, c.Now)
}

// Diff returns what changed from a to b, in the order of a and then of b. Two
// files with the same meaning have no difference, however they are written.
func Diff(a, b *Trust) []Change {
	was, now := a.fields(), b.fields()
	var out []Change
	for _, f := range was {
		if value, _ := lookup(now, f.key); value != f.value {
			out = append(out, Change{What: f.key, Was: f.value, Now: value})
		}
	}
	for _, f := range now {
		if _, found := lookup(was, f.key); !found {
			out = append(out, Change{What: f.key, Now: f.value})
		}
	}
	return out
}

func lookup(fields []field, key string) (string, bool) {
	for _, f := range fields {
		if f.key == key {
			return f.value, true
		}
	}
	return "", false
}
