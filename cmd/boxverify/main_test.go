package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/peers/wire"
)

var update = flag.Bool("update", false, "rewrite deps.txt")

// TestLinked: deps.txt lists every package in the program that reads what other
// boxes show.
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
	if want := strings.Fields(string(text)); !slices.Equal(got, want) {
		t.Errorf("what is linked into boxverify has changed; if that is meant: go test ./cmd/boxverify -run TestLinked -update, and say why in the commit\nin one only: %s", difference(got, want))
	}
}

func difference(a, b []string) []string {
	var out []string
	for _, p := range append(slices.Clone(a), b...) {
		if slices.Contains(a, p) != slices.Contains(b, p) {
			out = append(out, p)
		}
	}
	return out
}

// TestProgram: it says that it is ready, reads one question, and ends with nothing
// said if that is none.
func TestProgram(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "boxverify")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for name, input := range map[string]string{
		"nothing":    "",
		"no message": strings.Repeat("x", 1<<16),
		"an answer":  "BBV1A\x00\x00\x00\x00",
		"too long":   "BBV1Q\xff\xff\xff\xff" + strings.Repeat("x", 1<<16),
		"cut off":    "BBV1Q\x00\x00\x01\x00x",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), bin)
			cmd.Env, cmd.Stdin = []string{}, strings.NewReader(input)
			var out, said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &said
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v, expected exit code 1", err)
			}
			if err := wire.ReadReady(&out); err != nil {
				t.Error(err)
			}
			if rest, _ := io.ReadAll(&out); len(rest) != 0 || said.Len() != 0 {
				t.Errorf("said %q and %q", rest, said.String())
			}
		})
	}
}
