// Command mutants asks of every check in the code that decides about trust, or in the
// engine that reads models of strangers: would anybody notice if it were gone?
//
// It rewrites each condition that leads to a refusal, and each argument that
// decides a recorded check, so that it can be switched off ("removed") or turned
// around ("negated") by an environment variable, compiles the tests once, finds
// out which test reaches which condition, and then runs those tests with one
// condition spoiled at a time. A mutant that no test fails for has survived.
//
// It stands outside the trust boundary altogether: it builds in a directory of
// its own, with the compiler's overlay, and changes no file of the repository.
//
//	go run ./internal/mutants [-field trust|engine] [-workers N] [-negate] [-only REGEXP] [PACKAGE ...]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// field is a part of the repository.
type field struct {
	// suspects are the packages whose checks are spoiled, unless others are named.
	suspects []string
	// witnesses are the packages whose tests may notice, beside the suspects' own.
	witnesses []string
}

func fieldOf(name string) (field, error) {
	switch name {
	case "trust":
		return field{[]string{
			"./attest", "./attest/snp", "./attest/tdx", "./attest/sgx", "./attest/nitro", "./attest/tpm", "./attest/azure",
			"./attest/nvgpu", "./attest/composite", "./attest/form", "./attest/internal/blob", "./attest/internal/pki",
			"./attest/internal/dcap", "./attest/internal/tcg", "./attest/launch", "./appraise", "./atls", "./receipt",
			"./box/audit", "./box/callers", "./box/operate", "./box/quota", "./box/receipt", "./box/seal", "./box/signing",
			"./policy", "./policy/learn", "./internal/jws", "./internal/strictjson",
		}, []string{"./attest/attesttest", "./attest/sim", "./client"}}, nil
	case "engine":
		return field{suspects: []string{
			"./onnx", "./onnx/tensor", "./onnx/internal/wire", "./onnx/internal/plan", "./onnx/internal/fuse", "./onnx/internal/op",
			"./onnx/internal/kernel", "./onnx/internal/vec", "./onnx/internal/gemm", "./onnx/internal/qgemm", "./onnx/internal/conv",
			"./onnx/internal/attention", "./onnx/internal/rnn", "./onnx/internal/sample", "./onnx/internal/narrow",
		}}, nil
	}
	return field{}, fmt.Errorf("-field %q is neither trust nor engine", name)
}

func main() {
	workers := flag.Int("workers", runtime.NumCPU(), "tests to run at a time")
	negate := flag.Bool("negate", false, "turn conditions around as well as removing them")
	part := flag.String("field", "trust", "the packages whose conditions are spoiled unless some are named: trust or engine")
	only := flag.String("only", "", "spoil only conditions whose FILE:LINE: TEXT matches this")
	known := flag.String("known", "docs/mutants.md", "file that names the survivors that are known, with the reason")
	flag.Parse()
	f, err := fieldOf(*part)
	if err == nil {
		if flag.NArg() > 0 {
			f.suspects = flag.Args()
		}
		err = run(options{workers: *workers, negate: *negate, only: *only, known: *known, field: f})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

type options struct {
	workers     int
	negate      bool
	only, known string
	field
}

func run(o options) error {
	filter, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stopped
		os.RemoveAll(dir)
		os.Exit(130)
	}()

	began := time.Now()
	source, err := instrument(dir, o.suspects)
	if err != nil {
		return err
	}
	fmt.Printf("%d conditions in %d packages\n", len(source.points), len(o.suspects))
	text, err := os.ReadFile(o.known)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	known := knownIn(string(text))
	survivors := source.mutants(o, filter)
	// The witnesses are slower, and asked only if something is left that is not known.
	for i, packages := range [][]string{o.suspects, o.witnesses} {
		if i > 0 && (len(packages) == 0 || source.allIn(known, survivors)) {
			break
		}
		lab, err := source.compile(dir, packages)
		if err != nil {
			return err
		}
		if err := lab.record(o.workers); err != nil {
			return err
		}
		fmt.Printf("%d tests recorded, %s\n", len(lab.tests), time.Since(began).Round(time.Second))
		survivors = lab.spoil(o.workers, survivors)
	}
	return report(o, source, survivors, known, time.Since(began))
}

func (s *source) allIn(known []string, mutants []mutant) bool {
	return !slices.ContainsFunc(mutants, func(m mutant) bool { return !slices.Contains(known, s.points[m.point].where()) })
}

// knownIn returns the conditions that a text names in backquotes.
func knownIn(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`(\\S+\\.go [\\w.]+: [^`\n]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// report prints what survived. It fails if that is not known, or if what is known
// was killed after all or is not there any more.
func report(o options, s *source, survivors []mutant, known []string, took time.Duration) error {
	fresh, seen := 0, make(map[string]bool)
	for _, m := range survivors {
		p := s.points[m.point]
		seen[p.where()] = true
		note := "SURVIVED"
		if slices.Contains(known, p.where()) {
			note = "survived, known"
		} else {
			fresh++
		}
		fmt.Printf("%s  %s:%d %s %s: %s\n", note, p.file, p.line, m.how, p.function, strings.TrimPrefix(p.where(), p.file+" "+p.function+": "))
	}
	fmt.Printf("%d survivors, %d of them not in %s, in %s\n", len(survivors), fresh, o.known, took.Round(time.Second))
	if fresh != 0 {
		return fmt.Errorf("%d conditions can be spoiled and no test fails", fresh)
	}
	for _, k := range known {
		if o.only == "" && !seen[k] && s.has(strings.Fields(k)[0]) {
			return fmt.Errorf("%s names %q, which is tested or gone", o.known, k)
		}
	}
	return nil
}
