package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sample are the figures of one benchmark in one run of `go test -bench`.
type sample struct {
	ns, bytes, allocs float64
	more              map[string]float64 // by the unit that the benchmark gave it
}

// `go test` writes the name of a benchmark when it begins and its figures when it
// has ended, to the same stream that the standard logger writes to. A server that
// logs a broken handshake in between tears the line apart: the name stands in one
// line and the figures at the end of a later one.
var (
	nameText   = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?(?:\s|$)`)
	figureText = regexp.MustCompile(`(?:^|\s)\d+\s+([0-9.e+]+ ns/op(?:\s.*)?)$`)
)

// figures reads what `go test -bench` wrote. Every benchmark of want must be
// there, once and with its time and allocations; if not, the error ends in what
// was written last.
func figures(out []byte, want []string) (map[string]sample, error) {
	found := map[string]sample{}
	name := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if m := nameText.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		m := figureText.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		s, err := parseSample(m[1])
		_, twice := found[name]
		switch {
		case err != nil:
			return nil, fmt.Errorf("benchmark %q: %w in %q\n%s", name, err, line, tail(out))
		case name == "" || twice:
			return nil, fmt.Errorf("figures without a name of their own: %q\n%s", line, tail(out))
		}
		found[name] = s
		name = ""
	}
	for _, w := range want {
		if _, ok := found[w]; !ok {
			return nil, fmt.Errorf("no figures of %s: has it been renamed, or did it not end?\n%s", w, tail(out))
		}
	}
	return found, nil
}

// parseSample reads "53 ns/op  1.5 p99-ratio  12 B/op  3 allocs/op".
func parseSample(text string) (sample, error) {
	var s sample
	units := map[string]*float64{"ns/op": &s.ns, "B/op": &s.bytes, "allocs/op": &s.allocs}
	var there []string
	fields := strings.Fields(text)
	for i := 0; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return sample{}, err
		}
		if into := units[fields[i+1]]; into != nil {
			*into = v
			there = append(there, fields[i+1])
			continue
		}
		if s.more == nil {
			s.more = map[string]float64{}
		}
		s.more[fields[i+1]] = v
	}
	for _, unit := range []string{"ns/op", "B/op", "allocs/op"} {
		if !slices.Contains(there, unit) {
			return sample{}, fmt.Errorf("no %s", unit)
		}
	}
	return s, nil
}

// tail is the end of what a command wrote.
func tail(out []byte) []byte {
	const most = 2000
	return out[max(len(out)-most, 0):]
}
