// Command fuzzrun runs every fuzz target of the packages it is given, one after
// the other, and says of each how many inputs were tried and whether one failed.
//
//	fuzzrun [-time 60s] [-parallel N] [-only REGEXP] [packages]
//
// It is a tool of the repository; nothing of it is linked into the product.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() { os.Exit(run(os.Args[1:], goTest, os.Stdout)) }

// target is one fuzz function.
type target struct{ pkg, name string }

func (t target) String() string { return t.pkg + " " + t.name }

// tool runs the go command and returns what it printed. It is an argument so that
// a test can put words into its mouth.
type tool func(args ...string) (output []byte, err error)

func goTest(args ...string) ([]byte, error) {
	return exec.Command("go", append([]string{"test"}, args...)...).CombinedOutput()
}

func run(args []string, do tool, out io.Writer) int {
	flags := flag.NewFlagSet("fuzzrun", flag.ContinueOnError)
	flags.SetOutput(out)
	per := flags.Duration("time", time.Minute, "how long each target runs")
	parallel := flags.Int("parallel", 0, "workers of each target; 0: as many as cores")
	only := flags.String("only", "", "run only targets whose package and name match this `regexp`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	filter, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(out, "fuzzrun:", err)
		return 2
	}
	targets, err := list(do, flags.Args())
	if err != nil {
		fmt.Fprintln(out, "fuzzrun:", err)
		return 1
	}
	ran, failed := 0, 0
	for _, t := range targets {
		if !filter.MatchString(t.String()) {
			continue
		}
		ran++
		output, err := do(arguments(t, *per, *parallel)...)
		r := judge(output, err)
		fmt.Fprintf(out, "%-6s %s: %s\n", r.verdict, t, r.text)
		if r.verdict == bad {
			failed++
			out.Write(output)
		}
	}
	fmt.Fprintf(out, "%d targets, %d failed\n", ran, failed)
	if failed > 0 || ran == 0 {
		return 1
	}
	return 0
}

// Minimising one input may take a worker a minute by default, in which it tries
// nothing new.
func arguments(t target, per time.Duration, parallel int) []string {
	args := []string{"-run", "^$", "-fuzz", "^" + t.name + "$", "-fuzztime", per.String(), "-fuzzminimizetime", "20x"}
	if parallel > 0 {
		args = append(args, "-parallel", strconv.Itoa(parallel))
	}
	return append(args, t.pkg)
}

// list finds the targets: go test prints the names of a package, then the package.
func list(do tool, packages []string) ([]target, error) {
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	output, err := do(append([]string{"-list", "^Fuzz"}, packages...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the targets: %w\n%s", err, output)
	}
	var all []target
	var names []string
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		switch fields := strings.Fields(lines.Text()); {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok":
			for _, name := range names {
				all = append(all, target{fields[1], name})
			}
			names = nil
		}
	}
	return all, nil
}

type verdict string

const (
	good verdict = "ok"
	bad  verdict = "FAIL"
)

type result struct {
	verdict verdict
	text    string
}

// judge tells a failing input from the end of the time. Go reports the deadline of
// -fuzztime as a failure when it comes while a worker is being asked
// (golang/go#75804): then nothing but the deadline is named, and no input.
func judge(output []byte, err error) result {
	tried := executions(output)
	switch {
	case err == nil && tried != "":
		return result{good, tried + " inputs"}
	case err == nil:
		return result{bad, "nothing was tried"}
	case onlyDeadline(output) && tried != "":
		return result{good, tried + " inputs; ended by the deadline (golang/go#75804)"}
	}
	return result{bad, err.Error()}
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// executions is the last count that was printed, "" if there is none or it is 0.
func executions(output []byte) string {
	all := execs.FindAllSubmatch(output, -1)
	if len(all) == 0 || string(all[len(all)-1][1]) == "0" {
		return ""
	}
	return string(all[len(all)-1][1])
}

// onlyDeadline reports whether what follows the line of the failing test is the
// deadline and nothing else.
func onlyDeadline(output []byte) bool {
	_, rest, found := bytes.Cut(output, []byte("\n--- FAIL: "))
	if !found {
		return false
	}
	lines := strings.Split(strings.TrimSpace(string(rest)), "\n")
	return len(lines) >= 2 && strings.TrimSpace(lines[1]) == "context deadline exceeded" &&
		!strings.Contains(string(rest), "Failing input") && !strings.Contains(string(rest), "panic")
}
