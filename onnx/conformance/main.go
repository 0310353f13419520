// Command conformance answers: which of ONNX's own tests does the engine pass?
//
// The ONNX project publishes a directory of cases: a model, its inputs and the
// outputs that its authors expect. Debian packs the cases of version 1.12 as
// libonnx-testdata, and the PyPI wheel of a later version holds those of newer
// operator sets. `make conformance` fetches both into .cache/conformance and
// runs this program, which prints one line a group (`node 845/932`) and writes
// docs/conformance.md: every case that is not passed, with the engine's reason.
//
// It is a tool of the repository; nothing of it is linked into the product. It
// is meant for files of a known origin, but reads them through the engine's own
// doors, with its limits.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/blindbox/blindbox/onnx"
)

// options are the command line.
type options struct {
	data    string // directory that `make conformance` fills
	page    string // Markdown to write, "" for none
	pattern *regexp.Regexp
	level   string
	threads int
	poison  bool
	verbose bool
	jobs    int
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0, 1 for a failure to run at all, 2 for misuse. A
// case that is not passed is a result and not a failure.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		return 2
	}
	if err := conformance(o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "conformance:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.data, "data", ".cache/conformance", "directory that make conformance fills")
	flags.StringVar(&o.page, "page", "", "write this page about what is not passed")
	flags.BoolVar(&o.verbose, "v", false, "print every case that is not passed, and why")
	flags.IntVar(&o.jobs, "jobs", runtime.GOMAXPROCS(0), "cases that run at the same time")
	flags.StringVar(&o.level, "level", "", "instructions of the kernels: "+strings.Join(onnx.Instructions(), ", ")+" (default the best)")
	flags.IntVar(&o.threads, "threads", 1, "threads of one run")
	flags.BoolVar(&o.poison, "poison", false, "fill the memory of each run with garbage first")
	flags.Func("run", "only cases whose group/name matches this regexp", func(s string) (err error) {
		o.pattern, err = regexp.Compile(s)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.jobs < 1 {
		flags.Usage()
		return o, fmt.Errorf("unexpected %q", flags.Args())
	}
	return o, nil
}

// session is how sessions are made.
func (o options) session() []onnx.Option {
	list := []onnx.Option{onnx.WithThreads(o.threads)}
	if o.level != "" {
		list = append(list, onnx.WithInstructions(o.level))
	}
	if o.poison {
		list = append(list, onnx.WithPoison())
	}
	return list
}

// conformance runs the cases and tells.
func conformance(o options, stdout, stderr io.Writer) error {
	suites, err := openSuites(o.data)
	if err != nil {
		return err
	}
	defer closeSuites(suites)
	for i := range suites {
		s := &suites[i]
		fmt.Fprintf(stderr, "%s\n", s.origin)
		if err := s.run(o); err != nil {
			return err
		}
		for _, g := range s.groups {
			fmt.Fprintf(stdout, "%s%s %d/%d\n", s.prefix, g.name, g.passed(), len(g.cases))
			if o.verbose {
				g.explain(stdout)
			}
		}
	}
	if o.page == "" {
		return nil
	}
	return os.WriteFile(o.page, page(suites), 0o644)
}
