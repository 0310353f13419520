// Package python_test runs the tests of the Python package, which call boxes that are
// started for them: of the package itself, its types, its wheel and its page.
package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// python is the interpreter for the tests. One that is named but lacks what they need is
// a failure, so that no machine skips them by accident.
func python(t *testing.T) string {
	t.Helper()
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		t.Skip("skipped: BLINDBOX_PYTHON does not name a Python that has pytest, mypy, numpy and openai")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pytest, mypy, numpy, openai").CombinedOutput(); err != nil {
		t.Fatalf("BLINDBOX_PYTHON: %s cannot import pytest, mypy, numpy and openai: %v\n%s", python, err, out)
	}
	return python
}

// look opens what the programs that a test starts will read: go test knows by that when
// an answer of its cache is too old.
func look(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"*", "src/blindbox/*", "tests/*.py", "../../docs/python.md", "../../README.md", "../../cmd/blindbox/*.go", "../../internal/connect/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: nothing there, %v", pattern, err)
		}
		for _, name := range names {
			if f, err := os.Open(name); err == nil {
				f.Close()
			}
		}
	}
}

func run(t *testing.T, env []string, command string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Env = append(cmd.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPackage(t *testing.T) {
	t.Parallel()
	python := python(t)
	look(t)
	if runtime.GOOS == "windows" {
		t.Skip("skipped: the tests of the package are for Unix; it has not been tried on Windows")
	}
	binary := filepath.Join(t.TempDir(), "blindbox")
	run(t, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", binary, "../../cmd/blindbox")
	source, err := filepath.Abs("src")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"BLINDBOX_BINARY=" + binary, "PYTHONPATH=" + source, "PYTHONDONTWRITEBYTECODE=1"}
	run(t, env, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", filepath.Join(t.TempDir(), "pytest"))
}

// TestTypes: what the package says of its types holds, for it and for who uses it.
func TestTypes(t *testing.T) {
	t.Parallel()
	python := python(t)
	look(t)
	run(t, nil, python, "-m", "mypy", "--strict", "--cache-dir", t.TempDir(), "src", "tests")
}
