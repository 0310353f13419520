package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

const (
	passed   = "fuzz: elapsed: 0s, gathering baseline coverage: 0/10 completed\nfuzz: elapsed: 3s, execs: 120 (40/sec), new interesting: 0 (total: 10)\nfuzz: elapsed: 5s, execs: 321 (67/sec), new interesting: 0 (total: 10)\nPASS\nok  \tx\t5.1s\n"
	deadline = "fuzz: elapsed: 5s, execs: 321 (67/sec), new interesting: 0 (total: 10)\n--- FAIL: FuzzA (5.02s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tx\t5.1s\n"
	crash    = "fuzz: elapsed: 1s, execs: 9 (9/sec), new interesting: 0 (total: 10)\n--- FAIL: FuzzA (0.02s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:9: wrong\n\n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n"
	// A test that itself reports a deadline is a failure like any other.
	similar = "fuzz: elapsed: 1s, execs: 9 (9/sec), new interesting: 0 (total: 10)\n--- FAIL: FuzzA (0.02s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n"
	panics  = "fuzz: elapsed: 1s, execs: 9 (9/sec), new interesting: 0 (total: 10)\n--- FAIL: FuzzA (0.02s)\n    context deadline exceeded\npanic: oh\nFAIL\n"
	early   = "--- FAIL: FuzzA (5.02s)\n    context deadline exceeded\nFAIL\n"
)

func TestJudge(t *testing.T) {
	fail := errors.New("exit status 1")
	for _, row := range []struct {
		name, output string
		err          error
		want         verdict
		text         string
	}{
		{"passed", passed, nil, good, "321 inputs"},
		{"passed without trying", "PASS\nok \tx\n", nil, bad, "nothing was tried"},
		{"no inputs", "fuzz: elapsed: 3s, execs: 0 (0/sec)\nPASS\n", nil, bad, "nothing was tried"},
		{"Go's own deadline", deadline, fail, good, "321 inputs; ended by the deadline (golang/go#75804)"},
		{"a failing input", crash, fail, bad, "exit status 1"},
		{"a failing input that names a deadline", similar, fail, bad, "exit status 1"},
		{"a panic", panics, fail, bad, "exit status 1"},
		{"the deadline before anything was tried", "x\n" + early, fail, bad, "exit status 1"},
		{"does not compile", "a.go:1: syntax error\nFAIL\tx [build failed]\n", fail, bad, "exit status 1"},
	} {
		if got := judge([]byte(row.output), row.err); got.verdict != row.want || got.text != row.text {
			t.Errorf("%s: %q, expected %s %q", row.name, got, row.want, row.text)
		}
	}
}

func TestRun(t *testing.T) {
	var asked []string
	do := func(args ...string) ([]byte, error) {
		line := strings.Join(args, " ")
		if args[0] == "-list" {
			return []byte("FuzzA\nFuzzB\nok  \texample/a\t0.1s\n?   \texample/none\t[no test files]\nok  \texample/b\t0.1s\nFuzzC\nok  \texample/c\t0.1s\n"), nil
		}
		asked = append(asked, line)
		if strings.Contains(line, "FuzzB") {
			return []byte(crash), errors.New("exit status 1")
		}
		return []byte(passed), nil
	}
	var out bytes.Buffer
	if code := run([]string{"-time", "5s", "-parallel", "1"}, do, &out); code != 1 || !strings.HasSuffix(out.String(), "3 targets, 1 failed\n") || !strings.Contains(out.String(), "Failing input written") {
		t.Errorf("%d\n%s", code, out.String())
	}
	want := []string{
		"-run ^$ -fuzz ^FuzzA$ -fuzztime 5s -fuzzminimizetime 20x -parallel 1 example/a",
		"-run ^$ -fuzz ^FuzzB$ -fuzztime 5s -fuzzminimizetime 20x -parallel 1 example/a",
		"-run ^$ -fuzz ^FuzzC$ -fuzztime 5s -fuzzminimizetime 20x -parallel 1 example/c",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
	out.Reset()
	if code := run([]string{"-only", "FuzzC"}, do, &out); code != 0 || !strings.Contains(out.String(), "1 targets, 0 failed") {
		t.Errorf("%d\n%s", code, out.String())
	}
	if code := run([]string{"-only", "nothing"}, do, &out); code != 1 {
		t.Errorf("no target ran: %d", code)
	}
	for _, args := range [][]string{{"-only", "("}, {"-nonsense"}} {
		if code := run(args, do, &out); code != 2 {
			t.Errorf("%q: %d", args, code)
		}
	}
	cannot := func(...string) ([]byte, error) { return nil, errors.New("no go") }
	if code := run(nil, cannot, &out); code != 1 {
		t.Errorf("no list: %d", code)
	}
}
