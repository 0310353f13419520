package main

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// checkTable has a line for each check: its name (a * in it stands for what is
// only known when the check is made, and one at its beginning for the name of
// another check), the packages that make it, and the codes that it is known to
// give. It is written by TestCheckTable from the sources.
//
//go:embed checks.txt
var checkTable string

// checkInfo is a line of checkTable.
type checkInfo struct {
	name     string
	packages []string
	codes    []attest.Code
}

func allChecks() []checkInfo {
	var out []checkInfo
	for _, line := range strings.Split(strings.TrimSpace(checkTable), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		c := checkInfo{name: f[0], packages: strings.Split(f[1], ",")}
		for _, code := range strings.Split(f[2], ",") {
			if code != "-" {
				c.codes = append(c.codes, attest.Code(code))
			}
		}
		out = append(out, c)
	}
	return out
}

// partOf is what stands before the name of a check that was made on one of several
// devices.
var partOf = regexp.MustCompile(`^([a-z]+\.)(?:part|device)[0-9]+_`)

// findChecks returns the checks of that name: dotted as in -o json, or without
// the group and with spaces as on the screen.
func findChecks(name string) []checkInfo {
	name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
	return lookUp(allChecks(), partOf.ReplaceAllString(name, "$1"))
}

// lookUp finds a name as it is written, then as one that a pattern stands for, then
// as one step of a check that has several: hardware.root_crl_time is *_time of
// hardware.root_crl.
func lookUp(all []checkInfo, name string) []checkInfo {
	var exact, patterns, steps []checkInfo
	if name == "" || strings.HasPrefix(name, "_") {
		return nil
	}
	for _, c := range all {
		group, bare, _ := strings.Cut(c.name, ".")
		step, isStep := strings.CutPrefix(c.name, "*")
		switch {
		case name == c.name || name == bare:
			exact = append(exact, c)
		case isStep:
			if base, found := strings.CutSuffix(name, step); found && len(steps) == 0 {
				steps = append(steps, c.stepOf(lookUp(all, base), step)...)
			}
		case fits(c.name, name):
			patterns = append(patterns, c.called(name))
		case fits(bare, name) && !strings.Contains(name, "."):
			patterns = append(patterns, c.called(group+"."+name))
		}
	}
	for _, found := range [][]checkInfo{exact, patterns} {
		if len(found) != 0 {
			return found
		}
	}
	return steps
}

// called is the check with the name that its pattern stands for here.
func (c checkInfo) called(name string) checkInfo {
	c.name = name
	return c
}

// stepOf is the check as a step of others.
func (c checkInfo) stepOf(bases []checkInfo, step string) []checkInfo {
	out := make([]checkInfo, len(bases))
	for i, base := range bases {
		out[i] = checkInfo{name: base.name + step, packages: base.packages, codes: append(slices.Clone(c.codes), base.codes...)}
	}
	return out
}

// fits reports whether a pattern with one * stands for the name.
func fits(pattern, name string) bool {
	before, after, found := strings.Cut(pattern, "*")
	return found && len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
}

// groupMeanings say what the part of a check's name before the dot stands for.
var groupMeanings = map[string]string{
	"hardware": "is the evidence genuine, and from a machine that you accept?",
	"code":     "does the machine run what you accept?",
	"channel":  "is the evidence about this connection, now?",
	"policy":   "does the box do what you accept?",

	"endorsements": "is this what the vendor says, about this machine, now?",
}

// entries are the pages of the codes that the check gives, each once.
func (c checkInfo) entries() []catalogue.Entry {
	var out []catalogue.Entry
	seen := map[int]bool{}
	for _, code := range c.codes {
		if e, ok := catalogue.ByCode(code); ok && !seen[e.Number] {
			seen[e.Number] = true
			out = append(out, e)
		}
	}
	return out
}

func (s *session) explainChecks(checks []checkInfo) error {
	var docs []any
	for _, c := range checks {
		group, _, _ := strings.Cut(c.name, ".")
		doc := map[string]any{"check": c.name, "group": group, "question": groupMeanings[group], "packages": c.packages, "reasons": c.codes}
		pages := []any{}
		s.printf("%s, a check of the group %s: %s\n\n  made by   %s\n", c.name, group, groupMeanings[group], strings.Join(c.packages, ", "))
		for _, e := range c.entries() {
			pages = append(pages, entryDocument(e))
			s.printf("  may give  %s  %s\n", e.ID(), e.Title)
		}
		s.printf("  or        another: the code stands beside the check where it failed, `blindbox explain CODE`\n")
		s.printf("\n")
		doc["entries"] = pages
		docs = append(docs, doc)
	}
	if s.json() {
		s.writeJSON(docs)
	}
	return nil
}
