// Command bench produces the figures of docs/benchmarks.md.
//
// Every figure stands beside a named peer that ran in the same round, and the
// rounds alternate, so that a machine that gets slower half way through slows
// both. What is printed is the median over the rounds, and the ratio that the
// documents quote is the median of the ratios per round.
//
// It is a tool of the repository; nothing of it is linked into the product.
package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pairing is one row of the report: a benchmark of ours and the one it is
// measured against, both in the same package.
type pairing struct {
	pkg, ours, peer string
	goal            float64 // ratio of ns/op not to be exceeded; 0 if there is none
}

var pairings = []pairing{
	{"./attest/snp", "VerifyCold/ours", "VerifyCold/go-sev-guest", 0.8},
	{"./attest/snp", "VerifyWarm/ours", "VerifyWarm/go-sev-guest", 0.5},
	{"./attest/snp", "VerifyWarm/ours", "VerifyWarm/go-sev-guest-signature-only", 0},
	{"./atls", "Connect/fast", "Connect/tls13", 0},
	{"./atls", "Connect/full", "Connect/tls13", 0},
	{"./box", "Requests/box", "Requests/reverseproxy", 0},
	{"./box", "Requests/box", "Requests/reverseproxy-pooled", 0},
}

// sample is one line of `go test -bench`.
type sample struct{ ns, bytes, allocs float64 }

func main() {
	rounds := flag.Int("rounds", 5, "how often each benchmark runs")
	benchtime := flag.String("benchtime", "1s", "how long each run lasts (go test -benchtime)")
	flag.Parse()
	if err := run(*rounds, *benchtime); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, benchtime string) error {
	fmt.Printf("%s, %d cores, %s %s/%s, %d rounds\n\n", processor(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, rounds)
	results, err := measure(rounds, benchtime)
	if err != nil {
		return err
	}
	fmt.Printf("%-18s %-24s %14s %9s | %-26s %14s %9s | %6s %s\n", "package", "ours", "per op", "allocs", "peer", "per op", "allocs", "ratio", "goal")
	for _, p := range pairings {
		report(p, results[p.pkg+" "+p.ours], results[p.pkg+" "+p.peer])
	}
	return coldProcess(rounds * 4)
}

// measure runs every package once a round and collects the samples by
// "package benchmark".
func measure(rounds int, benchtime string) (map[string][]sample, error) {
	results := map[string][]sample{}
	for range rounds {
		for _, pkg := range packages() {
			cmd := exec.Command("go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", benchtime, pkg)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
			}
			for name, s := range parse(out) {
				results[pkg+" "+name] = append(results[pkg+" "+name], s)
			}
		}
	}
	return results, nil
}

func packages() []string {
	var pkgs []string
	for _, p := range pairings {
		pkgs = append(pkgs, p.pkg)
	}
	return slices.Compact(pkgs)
}

var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

func parse(out []byte) map[string]sample {
	found := map[string]sample{}
	for line := range strings.Lines(string(out)) {
		m := benchLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		var s sample
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				break
			}
			switch fields[i+1] {
			case "ns/op":
				s.ns = v
			case "B/op":
				s.bytes = v
			case "allocs/op":
				s.allocs = v
			}
		}
		found[m[1]] = s
	}
	return found
}

func report(p pairing, ours, peer []sample) {
	if len(ours) == 0 || len(ours) != len(peer) {
		fmt.Printf("%-18s %-24s no figures: is the benchmark still there?\n", p.pkg, p.ours)
		return
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i].ns / peer[i].ns
	}
	goal := ""
	if p.goal > 0 {
		goal = fmt.Sprintf("<= %.2f", p.goal)
	}
	a, b := medianSample(ours), medianSample(peer)
	fmt.Printf("%-18s %-24s %14s %9.0f | %-26s %14s %9.0f | %6.2f %s\n", p.pkg, p.ours, duration(a.ns), a.allocs, p.peer, duration(b.ns), b.allocs, median(ratios), goal)
}

func duration(ns float64) string { return time.Duration(ns).Round(100 * time.Nanosecond).String() }

func medianSample(all []sample) sample {
	pick := func(f func(sample) float64) float64 {
		values := make([]float64, len(all))
		for i, s := range all {
			values[i] = f(s)
		}
		return median(values)
	}
	return sample{
		ns:     pick(func(s sample) float64 { return s.ns }),
		bytes:  pick(func(s sample) float64 { return s.bytes }),
		allocs: pick(func(s sample) float64 { return s.allocs }),
	}
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// coldProcess times `blindbox verify FILE` as a whole process on a real
// capture, beside /bin/true, which is what starting any process costs here.
func coldProcess(runs int) error {
	dir, err := os.MkdirTemp("", "blindbox-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "blindbox")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/blindbox")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	verify := []string{bin, "verify", "vectors/snp/genoa-v5-oak.report.bin", "--at", "2025-09-15T00:00:00Z"}
	var ours, peer []time.Duration
	var memory []int64
	for range runs {
		d, rss, err := timeProcess(verify, 4) // 4: nothing says which code to expect
		if err != nil {
			return err
		}
		ours, memory = append(ours, d), append(memory, rss)
		if d, _, err = timeProcess([]string{"true"}, 0); err != nil {
			return err
		}
		peer = append(peer, d)
	}
	fmt.Printf("\nblindbox verify FILE, cold process, %d runs: p50 %s, peak memory %.1f MB (goals 30ms, 30 MB); starting `true`: %s\n",
		runs, median(ours).Round(10*time.Microsecond), float64(median(memory))/1e6, median(peer).Round(10*time.Microsecond))
	return nil
}

func timeProcess(args []string, wantExit int) (wall time.Duration, rss int64, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	_ = cmd.Run()
	wall = time.Since(begin)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != wantExit {
		return 0, 0, fmt.Errorf("%s: exit %v, expected %d\n%s", strings.Join(args, " "), cmd.ProcessState, wantExit, out.Bytes())
	}
	return wall, peakMemory(cmd.ProcessState), nil
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return runtime.GOARCH
}
