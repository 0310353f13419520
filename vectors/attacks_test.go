package vectors_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/vector"
)

const attacksPage = "../docs/attacks.md"

// tally is what the files say of one row.
type tally struct {
	byKind   map[string]int
	refused  []string // codes of the verifier
	denied   []string // codes of appraisal
	accepted bool
}

// tallies reads the verdicts of all cases, by row.
func tallies(t *testing.T) map[string]*tally {
	t.Helper()
	out := make(map[string]*tally)
	for _, dir := range caseDirs(t) {
		var in vector.Input
		var want vector.Expected
		for name, v := range map[string]any{"input.json": &in, "expected.json": &want} {
			if err := json.Unmarshal(read(t, filepath.Join(dir, name)), v); err != nil {
				t.Fatal(dir, err)
			}
		}
		if out[want.Row] == nil {
			out[want.Row] = &tally{byKind: make(map[string]int)}
		}
		out[want.Row].add(in, want)
	}
	return out
}

func (y *tally) add(in vector.Input, want vector.Expected) {
	kind := in.Verifier
	if kind == "" {
		kind = in.Kind
	}
	y.byKind[kind]++
	switch attesttest.Stage(want.Stage) {
	case attesttest.StageNone:
		y.accepted = true
	case attesttest.StageAppraise:
		y.denied = append(y.denied, string(want.Code))
	default:
		y.refused = append(y.refused, string(want.Code))
	}
}

func codes(list []string) string {
	slices.Sort(list)
	return "`" + strings.Join(slices.Compact(list), "` `") + "`"
}

// answer is the column that says what happens to a row.
func (y *tally) answer() string {
	var said []string
	if len(y.refused) > 0 {
		said = append(said, "refused "+codes(y.refused))
	}
	if len(y.denied) > 0 {
		said = append(said, "by appraisal "+codes(y.denied))
	}
	if y.accepted {
		said = append(said, "accepted")
	}
	return strings.Join(said, ", ")
}

func (y *tally) where() string {
	var said []string
	for _, kind := range attest.Kinds() {
		if n := y.byKind[kind.String()]; n > 0 {
			said = append(said, fmt.Sprintf("%s %d", kind, n))
		}
	}
	return strings.Join(said, ", ")
}

// stated is the answer of a row that has no cases.
func (r row) stated(t *testing.T) string {
	words := strings.Fields(r.answer)
	if len(words) == 0 {
		return "not covered"
	}
	for _, c := range words[1:] {
		if _, ok := catalogue.ByCode(attest.Code(c)); !ok {
			t.Errorf("%s: no code %q", r.id, c)
		}
	}
	if len(words) == 1 {
		return words[0]
	}
	return words[0] + " " + codes(words[1:])
}

// line is the row as the page has it.
func (r row) line(t *testing.T, y *tally) string {
	answer, where := "", ""
	if y == nil {
		answer = r.stated(t)
	} else {
		answer, where = y.answer(), y.where()
	}
	for _, name := range strings.Fields(r.tests) {
		dir, fn, _ := strings.Cut(name, ".")
		if where != "" {
			where += "; "
		}
		where += "`" + dir + "` " + fn
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", r.id, r.what, answer, where, r.note)
}

// check refuses a row that nothing covers and that does not say why.
func (r row) check(t *testing.T, y *tally) {
	switch {
	case r.what == "":
		t.Errorf("%s: not described", r.id)
	case y != nil && r.answer != "":
		t.Errorf("%s: has cases, so its answer is read from them", r.id)
	case y == nil && r.tests == "" && r.note == "":
		t.Errorf("%s: no case, no test and no reason", r.id)
	case y == nil && (r.tests == "") != (r.answer == ""):
		t.Errorf("%s: an answer without a test, or a test without an answer", r.id)
	}
	for _, name := range strings.Fields(r.tests) {
		if !testExists(t, name) {
			t.Errorf("%s: there is no test %s", r.id, name)
		}
	}
}

// testExists looks for "directory.TestName" in the sources.
func testExists(t *testing.T, name string) bool {
	t.Helper()
	dir, fn, ok := strings.Cut(name, ".")
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	decl := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(fn) + `\(`)
	return ok && slices.ContainsFunc(files, func(file string) bool { return decl.Match(read(t, file)) })
}

const attacksHead = `# Attack catalogue

What arrives at a relying party, and what it is answered. Written by ` + "`go test ./vectors -update`" + `: answers and counts are read
from the cases in [vectors/cases](../vectors/README.md), and every Go test that is named has to exist.

**Answer**: *refused* by the verifier, or *by appraisal* under a trust file that does not allow it, with the
[code](errors/README.md); several codes are several forms of the row. *Accepted* is the good form beside the bad ones,
or one that only looks wrong. **Covered by**: how many cases each kind has in files, and Go tests. The Go tests of each
kind run more forms than there are files.

`

// attacks writes the page, and complains about every row that is not as it has to be.
func attacks(t *testing.T) string {
	seen := tallies(t)
	var b strings.Builder
	b.WriteString(attacksHead)
	for _, p := range catalogueParts {
		fmt.Fprintf(&b, "## %s (%c)\n\n", p.title, p.letter)
		if p.about != "" {
			b.WriteString(p.about + "\n\n")
		}
		b.WriteString("| row | what arrives | answer | covered by | remark |\n|---|---|---|---|---|\n")
		for i, r := range p.rows {
			if want := fmt.Sprintf("%c%02d", p.letter, i+1); p.last > 0 && r.id != want {
				t.Fatalf("row %s where %s belongs", r.id, want)
			}
			r.check(t, seen[r.id])
			b.WriteString(r.line(t, seen[r.id]))
			delete(seen, r.id)
		}
		if p.last > 0 && len(p.rows) != p.last {
			t.Errorf("%d rows %c, expected %d", len(p.rows), p.letter, p.last)
		}
		b.WriteByte('\n')
	}
	for id := range seen {
		t.Errorf("cases of row %s, which the catalogue does not have", id)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func comparePage(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(read(t, file)); got != want {
		t.Errorf("%s is not what the cases say: go test ./vectors -update", file)
	}
}

// TestPythonReader runs the reader that the README hands to other languages.
func TestPythonReader(t *testing.T) {
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		var err error
		if python, err = exec.LookPath("python3"); err != nil {
			t.Skipf("neither BLINDBOX_PYTHON nor python3: %v", err)
		}
	}
	out, err := exec.Command(python, "-B", "cases.py").CombinedOutput()
	if err != nil {
		t.Fatalf("cases.py: %v\n%s", err, out)
	}
	dirs := caseDirs(t)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if want := fmt.Sprintf("%d cases, 4 statements", len(dirs)); lines[len(lines)-1] != want || len(lines) != len(dirs)+1 {
		t.Errorf("%d lines, the last %q, expected %q", len(lines), lines[len(lines)-1], want)
	}
}
