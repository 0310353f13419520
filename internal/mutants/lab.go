package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// lab is a set of compiled tests.
type lab struct {
	source *source
	tests  []*test
	reach  map[int][]*test // by point
}

// test is one top-level test of one package.
type test struct {
	binary, dir, name string
	took              time.Duration
}

// mutant is one point, spoiled in one way.
type mutant struct {
	point int
	how   string // removed or negated
}

// compile builds the test binary of each package once, with every switch in it.
func (s *source) compile(dir string, packages []string) (*lab, error) {
	l := &lab{source: s, reach: make(map[int][]*test)}
	for _, pkg := range packages {
		binary := filepath.Join(dir, "tests-"+strings.ReplaceAll(filepath.Clean(pkg), string(filepath.Separator), "-"))
		build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, pkg)
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go test -c %s: %w\n%s", pkg, err, out)
		}
		if _, err := os.Stat(binary); err != nil {
			continue // no tests
		}
		list := exec.Command(binary, "-test.list", "^(Test|Example|Fuzz)")
		list.Dir = pkg
		out, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("%s -test.list: %w", pkg, err)
		}
		for _, name := range strings.Fields(string(out)) {
			l.tests = append(l.tests, &test{binary: binary, dir: pkg, name: name})
		}
	}
	return l, nil
}

// record runs each test by itself and notes which conditions it meets.
func (l *lab) record(workers int) error {
	var mu sync.Mutex
	var failed []error
	done := 0
	each(workers, len(l.tests), func(i int) {
		t := l.tests[i]
		file := t.binary + "-" + t.name
		began := time.Now()
		err := t.run(5*time.Minute, "BLINDBOX_MUTANT_RECORD="+file)
		t.took = time.Since(began)
		text, _ := os.ReadFile(file)
		mu.Lock()
		defer mu.Unlock()
		if done++; done%100 == 0 {
			fmt.Printf("%d of %d tests recorded\n", done, len(l.tests))
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s %s fails without a mutant: %w", t.dir, t.name, err))
		}
		for _, field := range strings.Fields(string(text)) {
			if id, err := strconv.Atoi(field); err == nil {
				l.reach[id] = append(l.reach[id], t)
			}
		}
	})
	for id, tests := range l.reach {
		own := filepath.Dir(l.source.points[id].file)
		slices.SortFunc(tests, func(a, b *test) int {
			return cmp.Or(compareBool(a.of(own), b.of(own)), cmp.Compare(a.took, b.took))
		})
	}
	return errors.Join(failed...)
}

// of reports whether the test stands beside the package's code.
func (t *test) of(pkg string) bool { return filepath.Clean(t.dir) == pkg }

// compareBool puts true first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func (t *test) run(limit time.Duration, env string) error { return batch{t}.run(limit, env) }

// batch is some tests of one binary.
type batch []*test

// batches cuts tests into runs: one alone, which kills most mutants, and then
// more and more at a time, since starting a process costs more than most tests.
func batches(tests []*test) []batch {
	const longest = 5 * time.Second
	var out []batch
	size := 1
	for len(tests) > 0 {
		n, took := 1, tests[0].took
		for n < min(size, len(tests)) && tests[n].binary == tests[0].binary && took+tests[n].took <= longest {
			took += tests[n].took
			n++
		}
		out = append(out, tests[:n])
		tests = tests[n:]
		size *= 4
	}
	return out
}

func (b batch) took() (sum time.Duration) {
	for _, t := range b {
		sum += t.took
	}
	return sum
}

// run returns an error if one of the tests fails.
func (b batch) run(limit time.Duration, env string) error {
	names := make([]string, len(b))
	for i, t := range b {
		names[i] = t.name
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, b[0].binary, "-test.run", "^("+strings.Join(names, "|")+")$", "-test.failfast")
	cmd.Dir, cmd.Env = b[0].dir, append(os.Environ(), env)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out[max(0, len(out)-400):]))
	}
	return nil
}

// mutants lists what is to be tried.
func (s *source) mutants(o options, filter *regexp.Regexp) []mutant {
	var all []mutant
	for id, p := range s.points {
		if !filter.MatchString(fmt.Sprintf("%s:%d: %s", p.file, p.line, p.text)) {
			continue
		}
		all = append(all, mutant{id, "removed"})
		if o.negate {
			all = append(all, mutant{id, "negated"})
		}
	}
	return all
}

// spoil tries each mutant and returns those that no test fails for.
func (l *lab) spoil(workers int, all []mutant) []mutant {
	var mu sync.Mutex
	var survivors []mutant
	done, began := 0, time.Now()
	each(workers, len(all), func(i int) {
		killed := l.killed(all[i])
		mu.Lock()
		defer mu.Unlock()
		if !killed {
			survivors = append(survivors, all[i])
		}
		if done++; done%50 == 0 {
			fmt.Printf("%d of %d mutants, %d survivors, %s\n", done, len(all), len(survivors), time.Since(began).Round(time.Second))
		}
	})
	slices.SortFunc(survivors, func(a, b mutant) int { return cmp.Compare(a.point, b.point) })
	return survivors
}

func (l *lab) killed(m mutant) bool {
	value := "negate"
	if m.how == "removed" {
		value = strconv.FormatBool(l.source.points[m.point].pass)
	}
	for _, b := range batches(l.reach[m.point]) {
		if b.kills(fmt.Sprintf("BLINDBOX_MUTANT=%d:%s", m.point, value)) {
			return true
		}
	}
	return false
}

// kills reports whether a test fails, twice: on a machine that is busy one may fail
// for no reason, and a check that nobody tests would seem to be tested.
func (b batch) kills(env string) bool {
	limit := 3*b.took() + 20*time.Second
	err := b.run(limit, env)
	return err != nil && (errors.Is(err, context.DeadlineExceeded) || b.run(limit, env) != nil)
}

// each calls f for 0 to n-1 on several goroutines.
func each(workers, n int, f func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range max(1, workers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				f(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
