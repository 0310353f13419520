// Command mutants asks of every check in the code that decides about trust: would
// anybody notice if it were gone?
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
//	go run ./internal/mutants [-workers N] [-negate] [-only REGEXP] [PACKAGE ...]
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
	"time"
)

// suspects are the packages whose checks are spoiled, unless others are named.
var suspects = []string{
	"./attest", "./attest/snp", "./attest/tdx", "./attest/sgx", "./attest/nitro", "./attest/tpm", "./attest/azure",
	"./attest/nvgpu", "./attest/composite", "./attest/form", "./attest/internal/blob", "./attest/internal/pki",
	"./attest/internal/dcap", "./attest/internal/tcg", "./appraise", "./atls",
}

// witnesses are the packages whose tests may notice, beside the suspects' own.
var witnesses = []string{"./attest/attesttest", "./attest/sim", "./client"}

func main() {
	workers := flag.Int("workers", runtime.NumCPU(), "tests to run at a time")
	negate := flag.Bool("negate", false, "turn conditions around as well as removing them")
	only := flag.String("only", "", "spoil only conditions whose FILE:LINE: TEXT matches this")
	known := flag.String("known", "docs/mutants.md", "file that names the survivors that are known, with the reason")
	flag.Parse()
	if err := run(options{workers: *workers, negate: *negate, only: *only, known: *known, packages: flag.Args()}); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

type options struct {
	workers     int
	negate      bool
	only, known string
	packages    []string
}

func run(o options) error {
	filter, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	if len(o.packages) == 0 {
		o.packages = suspects
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt)
	go func() {
		<-stopped
		os.RemoveAll(dir)
		os.Exit(130)
	}()

	began := time.Now()
	source, err := instrument(dir, o.packages)
	if err != nil {
		return err
	}
	fmt.Printf("%d conditions in %d packages\n", len(source.points), len(o.packages))
	lab, err := source.compile(dir, append(slices.Clone(o.packages), witnesses...))
	if err != nil {
		return err
	}
	if err := lab.record(o.workers); err != nil {
		return err
	}
	fmt.Printf("%d tests recorded in %s\n", len(lab.tests), time.Since(began).Round(time.Second))
	survivors := lab.spoil(o, filter)
	return report(o.known, source, survivors, time.Since(began))
}

// report prints what survived and fails if it is not known.
func report(known string, s *source, survivors []mutant, took time.Duration) error {
	text, err := os.ReadFile(known)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	fresh := 0
	for _, m := range survivors {
		p := s.points[m.point]
		note := "SURVIVED"
		if strings.Contains(string(text), "`"+p.where()+"`") {
			note = "survived, known"
		} else {
			fresh++
		}
		fmt.Printf("%s  %s:%d %s %s: %s\n", note, p.file, p.line, m.how, p.function, p.text)
	}
	fmt.Printf("%d survivors, %d of them not in %s, in %s\n", len(survivors), fresh, known, took.Round(time.Second))
	if fresh != 0 {
		return fmt.Errorf("%d conditions can be spoiled and no test fails", fresh)
	}
	return nil
}
