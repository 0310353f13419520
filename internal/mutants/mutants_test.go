package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const toy = "internal/mutants/testdata/toy"

// A package with two conditions that no test needs has two survivors, and one more
// if a witness is not asked.
func TestToy(t *testing.T) {
	t.Chdir("../..")
	o := options{workers: 2, known: filepath.Join(t.TempDir(), "known.md"), field: field{suspects: []string{"./" + toy}}}
	say := func(lines ...string) {
		t.Helper()
		text := ""
		for _, line := range lines {
			text += "- `" + toy + "/toy.go " + line + "`: for a reason\n"
		}
		if err := os.WriteFile(o.known, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(o); err == nil || err.Error() != "3 conditions can be spoiled and no test fails" {
		t.Errorf("without a witness: %v", err)
	}
	o.witnesses = []string{"./internal/mutants/testdata/witness"}
	if err := run(o); err == nil || err.Error() != "2 conditions can be spoiled and no test fails" {
		t.Errorf("error %v", err)
	}
	say("Check: len(s) > 10", "box.open: err != nil")
	if err := run(o); err == nil || err.Error() != "1 conditions can be spoiled and no test fails" {
		t.Errorf("the second condition of one text is not the first: %v", err)
	}
	say("Check: len(s) > 10", "box.open: err != nil #2")
	if err := run(o); err != nil {
		t.Errorf("the survivors are known: %v", err)
	}
	say("Check: len(s) > 10", "box.open: err != nil #2", "Check: len(s) > 11")
	if err := run(o); err == nil || !strings.Contains(err.Error(), "tested or gone") {
		t.Errorf("error %v", err)
	}
}

// The switches change nothing else: no line moves, and no comment is lost.
func TestInstrument(t *testing.T) {
	t.Chdir("../..")
	s, err := instrument(t.TempDir(), []string{"./" + toy})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.points {
		got = append(got, strings.TrimPrefix(p.where(), toy+"/toy.go "))
	}
	want := []string{`Check: s == ""`, `Check: len(s) > 10`, `Check: s != word`,
		`box.open: b.word == ""`, `box.open: err != nil`, `box.open: err != nil #2`, `Short: len(s) > 3`,
		`Find: s == ""`, `Admit: s == ""`, `Why: s != word`, `Keep: s == ""`, `Keep: err == nil && s != word`, `Turns: ctx.Err() == nil`, `Verdicts: s == word`}
	if !slices.Equal(got, want) {
		t.Errorf("conditions %q, want %q", got, want)
	}
	full, err := filepath.Abs(filepath.Join(toy, "toy.go"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(s.overlay[full])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(before), "\n") != strings.Count(string(after), "\n") || !strings.Contains(string(after), "\n//go:embed word.txt\n") {
		t.Errorf("instrumented:\n%s", after)
	}
}

// A test that reaches a condition is in one batch, and the first is alone.
func TestBatches(t *testing.T) {
	var tests []*test
	for i := range 30 {
		tests = append(tests, &test{binary: "a", took: time.Duration(i) * 100 * time.Millisecond})
	}
	tests = append(tests, &test{binary: "b"})
	all := batches(tests)
	if len(all[0]) != 1 || len(all[1]) != 4 || !slices.Equal(slices.Concat(all...), tests) {
		t.Errorf("batches %v", all)
	}
	for _, b := range all {
		if len(b) > 1 && (b.took() > 5*time.Second || b[0].binary != b[len(b)-1].binary) {
			t.Errorf("batch %v", b)
		}
	}
}
