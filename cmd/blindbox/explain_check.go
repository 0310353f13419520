package main

import (
	_ "embed"
	"regexp"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// checkTable has a line for each check: its name (one that ends in "_" or "." is
// the beginning of several), the packages that make it, and the codes that it
// is known to give. It is written by TestCheckTable from the sources.
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

// partOf is what composite evidence puts before the name of a part's check.
var partOf = regexp.MustCompile(`^([a-z]+\.)part[0-9]+_`)

// findChecks returns the checks of that name: dotted as in -o json, or without
// the group and with spaces as on the screen.
func findChecks(name string) []checkInfo {
	name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
	name = partOf.ReplaceAllString(name, "$1")
	var exact, begins []checkInfo
	for _, c := range allChecks() {
		_, bare, _ := strings.Cut(c.name, ".")
		switch {
		case name == c.name || name == bare:
			exact = append(exact, c)
		case strings.HasSuffix(c.name, "_") || strings.HasSuffix(bare, "."):
			if bare != "" && (strings.HasPrefix(name, c.name) || strings.HasPrefix(name, bare)) {
				begins = append(begins, c)
			}
		}
	}
	if len(exact) == 0 {
		return begins
	}
	return exact
}

// groupMeanings say what the part of a check's name before the dot stands for.
var groupMeanings = map[string]string{
	"hardware": "is the evidence genuine, and from a machine that you accept?",
	"code":     "does the machine run what you accept?",
	"channel":  "is the evidence about this connection, now?",
	"policy":   "does the box do what you accept?",
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
