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

// A package with one condition that no test needs has one survivor.
func TestToy(t *testing.T) {
	t.Chdir("../..")
	o := options{workers: 2, known: filepath.Join(t.TempDir(), "known.md"), packages: []string{"./" + toy}}
	if err := run(o); err == nil || err.Error() != "1 conditions can be spoiled and no test fails" {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(o.known, []byte("- `"+toy+"/toy.go Check: len(s) > 10`: another word anyway\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(o); err != nil {
		t.Errorf("the survivor is known: %v", err)
	}
	if err := os.WriteFile(o.known, []byte("- `"+toy+"/toy.go Check: len(s) > 10`\n- `"+toy+"/toy.go Check: len(s) > 11`\n"), 0o600); err != nil {
		t.Fatal(err)
	}
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
		got = append(got, p.function+": "+p.text)
	}
	want := []string{`Check: s == ""`, `Check: len(s) > 10`, `Check: s != word`, `Verdicts: s == word`}
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
