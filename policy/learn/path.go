package learn

import (
	"slices"
	"strings"

	"github.com/blindbox/blindbox/policy"
)

// pattern is one line of a caller's paths.
type pattern struct {
	text    string
	count   int // requests
	values  int // different last segments under a star
	example string
	forced  bool // under a star since it cannot be written out
}

// patterns returns the lines that cover the paths of some requests: each path by
// itself, and a prefix in place of the paths that differ in their last segment alone
// where there are so many that the segment must be an identifier. Nothing becomes a
// star at the root, which would be everything. What no line can cover is returned
// too.
func patterns(requests []Request, many int) (lines []pattern, uncovered []string) {
	different := map[string]map[string]bool{} // last segments by what is before
	forced := map[string]bool{}
	for _, r := range requests {
		dir, last := split(r.Path)
		if different[dir] == nil {
			different[dir] = map[string]bool{}
		}
		different[dir][last] = true
		forced[dir] = forced[dir] || strings.ContainsAny(r.Path, "%*")
	}
	at := map[string]int{}
	for _, r := range requests {
		dir, _ := split(r.Path)
		text := r.Path
		star := len(different[dir]) >= many || forced[dir]
		switch {
		case star && dir != "/" && !strings.ContainsAny(dir, "%*"):
			text = dir + "*"
		case strings.ContainsAny(text, "%*"):
			if !slices.Contains(uncovered, text) {
				uncovered = append(uncovered, text)
			}
			continue
		}
		i, known := at[text]
		if !known {
			i = len(lines)
			at[text] = i
			lines = append(lines, pattern{text: text, example: r.Method + " " + r.Path})
			if text != r.Path {
				lines[i].values, lines[i].forced = len(different[dir]), len(different[dir]) < many
			}
		}
		lines[i].count += r.Count
	}
	return withoutCovered(lines), uncovered
}

// split returns a path up to and with its last slash, and the rest.
func split(p string) (dir, last string) {
	i := strings.LastIndexByte(p, '/') + 1
	return p[:i], p[i:]
}

// withoutCovered adds the counts of lines that a star of another one covers to that.
func withoutCovered(lines []pattern) []pattern {
	var out []pattern
	for i := range lines {
		by := -1
		for j := range lines {
			prefix, star := strings.CutSuffix(lines[j].text, "*")
			if i != j && star && strings.HasPrefix(lines[i].text, prefix) && (by < 0 || len(lines[j].text) < len(lines[by].text)) {
				by = j
			}
		}
		if by >= 0 {
			lines[by].count += lines[i].count
			lines[by].values += max(lines[i].values, 1)
		}
	}
	for i := range lines {
		covered := slices.ContainsFunc(lines, func(l pattern) bool {
			prefix, star := strings.CutSuffix(l.text, "*")
			return l.text != lines[i].text && star && strings.HasPrefix(lines[i].text, prefix)
		})
		if !covered {
			out = append(out, lines[i])
		}
	}
	return out
}

// of returns the requests of one caller, those for the box's own addresses apart.
func of(all []Request, caller string) (app, own []Request) {
	for _, r := range all {
		switch {
		case r.Caller != caller:
		case r.Action == policy.Observe:
			own = append(own, r)
		default:
			app = append(app, r)
		}
	}
	return app, own
}
