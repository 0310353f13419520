// Command onnx measures package onnx beside ONNX Runtime, and so answers: what
// does it cost to run a model in Go alone?
//
// Both engines run the same files in processes of their own, in turns within each
// round, so that a machine that gets slower slows both. A ratio is the median over
// the rounds of the ratio of the two medians of a round. Every output of our last run
// is compared with the stored one of ONNX Runtime.
//
// The models come from models.py in this directory, which `make bench-onnx` runs.
// A model that is missing or refused is a line with the reason. It is a tool of
// the repository; nothing of it is linked into the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/bench/host"
)

// settings are the flags.
type settings struct {
	dir, python string
	models      []string
	threads     []int
	rounds      int
	turn        time.Duration // how long an engine runs in a round
	loads       int           // processes that are started to see how long loading takes
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == workerCommand {
		exit(work(os.Args[2:], os.Stdin, os.Stdout))
	}
	s, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(context.Background(), s)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/onnx:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parseFlags(args []string) (settings, error) {
	s := settings{}
	f := flag.NewFlagSet("bench/onnx", flag.ContinueOnError)
	f.StringVar(&s.dir, "dir", ".cache/bench-onnx/models", "where the models are")
	f.StringVar(&s.python, "python", ".cache/bench-onnx/venv/bin/python", "a Python with onnxruntime")
	models := f.String("models", "", "names of models, with commas (default: all)")
	threads := f.String("threads", "1,2", "numbers of threads, with commas")
	f.IntVar(&s.rounds, "rounds", 5, "how often both engines take their turn")
	f.DurationVar(&s.turn, "turn", time.Second, "how long each turn lasts, at least one run")
	f.IntVar(&s.loads, "loads", 3, "how many processes load each model")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	for _, word := range strings.Split(*threads, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return s, fmt.Errorf("-threads: %q is not a number of threads", word)
		}
		s.threads = append(s.threads, n)
	}
	if s.rounds < 1 || s.loads < 1 {
		return s, errors.New("-rounds and -loads start at 1")
	}
	var err error
	s.models, err = choose(s.dir, *models)
	return s, err
}

// choose returns the names that were asked for, or all that are in dir.
func choose(dir, names string) ([]string, error) {
	if names != "" {
		return strings.Split(names, ","), nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no models in %s: `make bench-onnx` makes them", dir)
	}
	for i, path := range found {
		found[i] = strings.TrimSuffix(filepath.Base(path), ".json")
	}
	slices.Sort(found)
	return found, nil
}

func run(ctx context.Context, s settings) error {
	fmt.Printf("%s, %s, %d rounds\n\n", time.Now().UTC().Format(time.DateOnly), host.Describe(), s.rounds)
	fmt.Println(tableHead)
	ok := true
	for _, name := range s.models {
		for _, threads := range s.threads {
			m, err := measure(ctx, s, name, threads)
			if err != nil {
				fmt.Printf("| %s | %d | %s |\n", name, threads, strings.Join(strings.Fields(err.Error()), " "))
				break // it would say the same again
			}
			fmt.Println(m.row(name, threads))
			ok = ok && m.deviation <= 1
		}
	}
	fmt.Print(tableFoot)
	if !ok {
		return errors.New("an output differs by more than the tolerance")
	}
	return nil
}
