package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite deps.txt")

// TestLinked: deps.txt lists every package in the program that runs in a box.
// A change to it is a change to what relying parties trust.
func TestLinked(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	if *update {
		if err := os.WriteFile("deps.txt", []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(text))
	var diff []string
	for _, p := range got {
		if !slices.Contains(want, p) {
			diff = append(diff, "+ "+p)
		}
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			diff = append(diff, "- "+p)
		}
	}
	if len(diff) > 0 {
		t.Errorf("what is linked into the box has changed:\n%s\nif that is meant: go test ./cmd/boxd -run TestLinked -update, and say why in the commit", strings.Join(diff, "\n"))
	}
	if !slices.IsSorted(want) {
		t.Error("deps.txt is not sorted")
	}
}

// build builds the program as it goes into an image.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "boxd")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

const goodPolicy = "name: a\nmodels: [{name: tumour, builtin: tumour}]\n"

func TestRefusals(t *testing.T) {
	bin, dir := build(t), t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good.yaml", goodPolicy)
	bad := write("bad.yaml", "name: a\nmodels: [{name: m}]\negress: {allow: all}\n")
	twice := write("twice.yaml", "name: ''\nmodels: [{name: m}]\n")
	long := write("long.yaml", goodPolicy+"#"+strings.Repeat("x", 64<<10))
	cases := []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"no arguments", nil, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen         no --policy FILE\n  no box was started.\n"},
		{"unknown flag", []string{"--simulate"}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen         flag provided but not defined: -simulate\n  no box was started.\n"},
		{"flag without value", []string{"--policy"}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen         flag needs an argument: -policy\n  no box was started.\n"},
		{"argument", []string{"--policy", good, "run"}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen         argument \"run\", expected none\n  no box was started.\n"},
		{"help", []string{"--help"}, 0, "usage: boxd --policy FILE [--listen ADDRESS]\n  -listen address\n    \tthe TCP address to listen on (default \":8443\")\n  -policy file\n    \tthe box's policy, a file (required)\n"},
		{"no such file", []string{"--policy", dir + "/none"}, 1, "BBX-105 file: a file could not be read or written\n  seen         open " + dir + "/none: no such file or directory\n  no box was started.\n"},
		{"a directory", []string{"--policy", dir}, 1, "BBX-105 file: a file could not be read or written\n  seen         read " + dir + ": is a directory\n  no box was started.\n"},
		{"later key", []string{"--policy", bad}, 1, "BBX-104 policy: the policy file is not valid\n  seen         " + bad + `:3:1: this version does not enforce "egress", so it refuses it rather than pretend` + "\n  no box was started.\n"},
		{"two errors", []string{"--policy", twice}, 1, "BBX-104 policy: the policy file is not valid\n  seen         " + twice + ":1:7: name: seen \"\", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit\n" +
			"               " + twice + ":2:10: models[0]: seen neither builtin nor path, expected one of the two\n  no box was started.\n"},
		{"too long", []string{"--policy", long}, 1, "BBX-104 policy: the policy file is not valid\n  seen         " + long + ":1:1: a document of 65537 bytes, limit 65536\n  no box was started.\n"},
		{"endless", []string{"--policy", "/dev/zero"}, 1, "BBX-104 policy: the policy file is not valid\n  seen         /dev/zero:1:1: a document of 65537 bytes, limit 65536\n  no box was started.\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			exit, text := execute(t, bin, c.args...)
			if exit != c.exit || text != c.want {
				t.Errorf("exit code %d, expected %d\ngot\n%s\nexpected\n%s", exit, c.exit, text, c.want)
			}
		})
	}
	t.Run("no hardware", func(t *testing.T) {
		if _, err := open(); err == nil {
			t.Skip("this machine gives evidence")
		}
		exit, text := execute(t, bin, "--policy", good, "--listen", "127.0.0.1:0")
		if exit != 3 || !strings.HasPrefix(text, "BBX-301 evidence: ") || !strings.HasSuffix(text, "\n  no box was started.\n") {
			t.Errorf("exit code %d, expected 3\n%s", exit, text)
		}
	})
}

func execute(t *testing.T, bin string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("wrote to standard output: %s", out.String())
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// TestPages: every number that is printed has a page that says what to do.
func TestPages(t *testing.T) {
	for _, f := range []*failure{usage("x"), stopped(errors.New("x")), {number: 104}, {number: 105}, {number: 107}, {number: 301}} {
		if _, err := os.Stat(fmt.Sprintf("../../docs/errors/BBX-%d.md", f.number)); err != nil {
			t.Error(err)
		}
	}
}
