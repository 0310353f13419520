// Command testrun runs `go test` and makes sure that nothing is skipped in
// silence: every skipped test is printed with its reason, and with
// BLINDBOX_NO_SKIP=1 in the environment a skip is a failure.
//
// It is a tool of the repository; nothing of it is linked into the product.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// tally collects what the run did. Output is kept by test until it is known
// whether anybody needs to see it.
type tally struct {
	out                     io.Writer
	output                  map[string][]string
	passed, failed, skipped int
	failedPackages          int
}

func main() {
	strict := os.Getenv("BLINDBOX_NO_SKIP") == "1"
	os.Exit(run(os.Args[1:], strict, os.Stdout))
}

func run(args []string, strict bool, out io.Writer) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Fprintln(out, "testrun:", err)
		return 1
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(out, "testrun:", err)
		return 1
	}
	t := &tally{out: out, output: map[string][]string{}}
	t.read(stdout)
	err = cmd.Wait()
	fmt.Fprintf(out, "\nin %s\n%d passed, %d failed, %d skipped\n", time.Since(begin).Round(time.Second), t.passed, t.failed, t.skipped)
	return t.verdict(err, strict)
}

func (t *tally) verdict(runErr error, strict bool) int {
	switch {
	case runErr != nil || t.failed > 0 || t.failedPackages > 0:
		return 1
	case t.passed == 0:
		fmt.Fprintln(t.out, "no test ran")
		return 1
	case strict && t.skipped > 0:
		fmt.Fprintln(t.out, "a skipped test is a failure here (BLINDBOX_NO_SKIP=1)")
		return 1
	}
	return 0
}

func (t *tally) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(t.out, lines.Text()) // go's own words, such as a build error
			continue
		}
		t.note(e)
	}
}

func (t *tally) note(e event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output", "build-output":
		t.output[key] = append(t.output[key], e.Output)
		if e.Action == "build-output" {
			fmt.Fprint(t.out, e.Output)
		}
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		t.notePackage(e, t.output[key])
	} else {
		t.noteTest(e, t.output[key])
	}
	delete(t.output, key)
}

func (t *tally) notePackage(e event, output []string) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(t.out, "ok    %-60s %6.1fs\n", e.Package, e.Elapsed)
	case "fail":
		t.failedPackages++
		fmt.Fprintf(t.out, "FAIL  %s\n%s", e.Package, strings.Join(output, ""))
	}
}

func (t *tally) noteTest(e event, output []string) {
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		fmt.Fprintf(t.out, "--- FAIL: %s %s\n%s", e.Package, e.Test, strings.Join(output, ""))
	case "skip":
		t.skipped++
		fmt.Fprintf(t.out, "SKIP  %s %s: %s\n", e.Package, e.Test, reason(output))
	}
}

// reason finds what the test itself said among go test's own lines.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
