package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/onnx"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

const pagePath = "../../docs/conformance.md"

// data is where the cases are, or skips the test.
func data(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BLINDBOX_CONFORMANCE")
	if dir == "" {
		dir = "../../.cache/conformance"
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(debianPath))); err != nil {
		t.Skipf("no cases of ONNX: `make conformance` fetches them: %v", err)
	}
	return dir
}

// TestPublishedCases runs every case with every set of instructions, in memory that
// holds garbage, and holds the results to the page: what it does not list must pass.
func TestPublishedCases(t *testing.T) {
	dir := data(t)
	listed := readPage(t)
	levels := onnx.Instructions()
	if race.Enabled {
		levels = levels[len(levels)-1:]
	}
	for _, level := range levels {
		t.Run(level, func(t *testing.T) {
			suites, err := openSuites(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer closeSuites(suites)
			for i := range suites {
				if err := suites[i].run(options{level: level, jobs: 2, threads: 1, poison: true}); err != nil {
					t.Fatal(err)
				}
				for _, g := range suites[i].groups {
					hold(t, &suites[i], &g, listed)
				}
			}
			if *update {
				if err := os.WriteFile(pagePath, page(suites), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// hold compares a group's results with the page.
func hold(t *testing.T, s *suite, g *group, listed map[string]bool) {
	for _, c := range g.cases {
		key := s.origin + ", " + g.name + "/" + c.name
		switch {
		case c.err != nil && !listed[key] && !*update:
			t.Errorf("%s: %v", key, c.err)
		case c.err == nil && listed[key]:
			t.Logf("%s passes now: run `make conformance`", key)
		}
	}
}

// readPage reads what the page says is not passed.
func readPage(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	listed, section := map[string]bool{}, ""
	row := regexp.MustCompile("^\\|[^`]*\\| `([^`]+)` \\|")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			section = name
		}
		if m := row.FindStringSubmatch(line); m != nil {
			listed[section+"/"+m[1]] = true
		}
	}
	return listed
}

// TestThresholds: so many of Debian's cases are the least that the engine passes, as
// the page has it.
func TestThresholds(t *testing.T) {
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	for group, least := range map[string]int{"node": 830, "simple": 20, "pytorch-converted": 76, "pytorch-operator": 30} {
		m := regexp.MustCompile(`\| Debian [^|]+\| ` + group + ` \| (\d+) \| (\d+) \|`).FindStringSubmatch(string(text))
		if m == nil {
			t.Errorf("the page does not have group %s", group)
			continue
		}
		var passed int
		if _, err := fmt.Sscan(m[1], &passed); err != nil || passed < least {
			t.Errorf("group %s: %s of %s pass, at least %d must", group, m[1], m[2], least)
		}
	}
}

func TestRunTellsEveryGroup(t *testing.T) {
	dir := data(t)
	var out, said bytes.Buffer
	if code := run([]string{"-data", dir, "-run", "node/test_(abs|adagrad)$", "-v"}, &out, &said); code != 0 {
		t.Fatalf("code %d: %s", code, said.String())
	}
	for _, want := range []string{"node 1/2\n", "simple 0/0\n", "test_adagrad (ai.onnx.preview.training.Adagrad; operator set none): "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-run", "("}, 2, "missing closing"},
		{[]string{"more"}, 2, "Usage"},
		{[]string{"-jobs", "0"}, 2, "Usage"},
		{[]string{"-data", t.TempDir()}, 1, "make conformance"},
	} {
		var out, said bytes.Buffer
		if code := run(c.args, &out, &said); code != c.code || !strings.Contains(said.String(), c.want) {
			t.Errorf("%q: code %d, %s", c.args, code, said.String())
		}
	}
}
