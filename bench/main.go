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
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/bench/host"
)

// pairing is one row of the report: a benchmark of ours and the one it is
// measured against, both in the same package.
type pairing struct {
	pkg, ours, peer string
	times           float64 // how often the peer is counted: so many signatures, 0 for once
	goals           goals
}

// goals are figures that are not to be exceeded; a zero is none.
type goals struct {
	ratio       float64 // of ns/op to the peer's
	within      time.Duration
	allocs      float64
	allocsRatio float64 // of allocs/op to the peer's
}

var pairings = []pairing{
	{pkg: "./attest/snp", ours: "VerifyCold/ours", peer: "VerifyCold/go-sev-guest", goals: goals{ratio: 0.8}},
	{pkg: "./attest/snp", ours: "VerifyWarm/ours", peer: "VerifyWarm/go-sev-guest", goals: goals{ratio: 0.5, allocs: 60}},
	{pkg: "./attest/snp", ours: "VerifyWarm/ours", peer: "VerifyWarm/go-sev-guest-signature-only"},
	{pkg: "./attest/tdx", ours: "Verify/cold", peer: "Verify/go-tdx-guest", goals: goals{within: 500 * time.Microsecond, allocsRatio: 0.5}},
	{pkg: "./attest/tdx", ours: "Verify/warm", peer: "Verify/go-tdx-guest", goals: goals{within: 150 * time.Microsecond, allocsRatio: 0.5}},
	{pkg: "./attest/sgx", ours: "Verify/cold", peer: "Signature", times: 9, goals: goals{within: 500 * time.Microsecond}},
	{pkg: "./attest/sgx", ours: "Verify/warm", peer: "Signature", times: 2, goals: goals{within: 150 * time.Microsecond}},
	{pkg: "./attest/nitro", ours: "VerifyCold/ours", peer: "VerifyCold/floor-5-signatures", goals: goals{within: 2300 * time.Microsecond}},
	{pkg: "./attest/nitro", ours: "VerifyWarm/ours", peer: "VerifyWarm/floor-1-signature", goals: goals{within: 500 * time.Microsecond, allocs: 120}},
	{pkg: "./attest/nvgpu", ours: "VerifyCold", peer: "Signature", times: 5, goals: goals{within: 2300 * time.Microsecond}},
	{pkg: "./attest/nvgpu", ours: "VerifyWarm", peer: "Signature", goals: goals{within: 500 * time.Microsecond, allocs: 160}},
	{pkg: "./attest/nvgpu", ours: "VerifyEverything", peer: "Signature", times: 9},
	{pkg: "./attest/azure", ours: "VerifyCold/ours", peer: "VerifyCold/go-sev-guest+rsa", goals: goals{within: 800 * time.Microsecond, allocsRatio: 0.5}},
	{pkg: "./attest/azure", ours: "VerifyWarm", peer: "VerifyCold/go-sev-guest+rsa", goals: goals{within: 800 * time.Microsecond, allocs: 230, allocsRatio: 0.5}},
	{pkg: "./client", ours: "Verify/sev-snp/warm", peer: "Verify/sev-snp/cold"},
	{pkg: "./client", ours: "Verify/tdx/warm", peer: "Verify/tdx/cold"},
	{pkg: "./client", ours: "Verify/sgx/warm", peer: "Verify/sgx/cold"},
	{pkg: "./client", ours: "Verify/nitro/warm", peer: "Verify/nitro/cold"},
	{pkg: "./client", ours: "Verify/nvidia-gpu/warm", peer: "Verify/nvidia-gpu/cold"},
	{pkg: "./atls", ours: "Connect/fast", peer: "Connect/tls13"},
	{pkg: "./atls", ours: "Connect/full", peer: "Connect/tls13"},
	{pkg: "./box", ours: "Requests/box", peer: "Requests/reverseproxy"},
	{pkg: "./box", ours: "Requests/box", peer: "Requests/reverseproxy-pooled"},
	{pkg: "./box", ours: "Requests/box-certificate", peer: "Requests/box"},
}

// comparison is a row for what a benchmark compares by itself, in turns that are shorter
// than a run.
type comparison struct {
	pkg, bench, unit string
	said             string
	atMost, atLeast  float64 // the goal
}

var comparisons = []comparison{
	{"./policy", "Decide/100x100-allowed", "p99-ns", "100 callers x 100 rules, allowed, ns at p99", 20_000, 0},
	{"./policy", "Decide/100x100-denied", "p99-ns", "100 callers x 100 rules, denied, ns at p99", 20_000, 0},
	{"./box/ingress", "Policy", "%fewer", "requests a second under a policy, % fewer than at the same door without", 5, 0},
	{"./box", "Requests/cost", "%fewer", "requests a second through a box, % fewer than forwarded behind the same gate", 5, 0},
	{"./box", "Overload", "p99-ratio", "10 x overload: p99 of the admitted / p99 at half load", 2, 0},
	{"./box", "Overload", "x-offered", "  requests offered / capacity", 0, 0},
	{"./box", "Overload", "before-MiB", "  MiB in use before", 0, 0},
	{"./box", "Overload", "storm-MiB", "  MiB in use during it, at most", 0, 0},
	{"./box", "Overload", "after-MiB", "  MiB in use after", 0, 0},
	{"./box", "Upload/memory", "x-copy", "256 MiB into the store's memory, rate / of a plain TLS 1.3 copy that is kept there", 0, 0.8},
	{"./box", "Upload/memory", "x-checked", "  / of a copy that both ends hash, too", 0, 0},
	{"./box", "Upload/memory", "MB/s-box", "  MB/s", 0, 0},
	{"./box", "Upload/memory", "MB/s-copy", "  MB/s of the plain copy", 0, 0},
	{"./box", "Upload/memory", "s-box-alone", "  seconds of a processor that the box alone takes", 0, 0},
	{"./box", "Upload/memory", "s-copy-alone", "  that the plain copy's server alone takes", 0, 0},
	{"./box", "Upload/memory", "s-checked-alone", "  and the one that hashes", 0, 0},
	{"./box", "Upload/memory", "x-bytes", "  bytes on the wire / of the file", 1.005, 0},
	{"./box", "Upload/memory-line", "x-copy", "  rate / of the plain copy, on a line of 2.5 Gbit/s", 0, 0.8},
	{"./box", "Upload/sealed", "x-copy", "256 MiB, sealed on a disk as well, rate / of a plain copy to a file, synced", 0, 0.8},
	{"./box", "Upload/sealed", "MB/s-box", "  MB/s", 0, 0},
	{"./box", "Upload/sealed", "MB/s-copy", "  MB/s of the plain copy", 0, 0},
	{"./box", "Upload/sealed", "s-box-alone", "  seconds of a processor that the box alone takes", 0, 0},
	{"./box", "Upload/sealed", "s-copy-alone", "  that the plain copy's server alone takes", 0, 0},
	{"./box", "Upload/sealed-line", "x-copy", "  rate / of the plain copy, on a line of 2.5 Gbit/s", 0, 0.8},
	{"./box", "Model/infer", "ms-over-1.05-bare", "MiniLM asked through the gate, ms at p50 over 1.05 of a bare run", 0.3, 0},
	{"./box", "Model/infer", "p50-ms", "  ms at p50", 0, 0},
	{"./box", "Model/infer", "ms-of-a-processor-over", "  ms of processor time over that of a bare run, client and box", 0, 0},
	{"./box", "Model/infer", "bare-p50-ms", "  ms of a bare run at p50", 0, 0},
	{"./box", "Model/throughput", "x-bare", "MiniLM, 8 callers, runs a second / of bare runs on all processors", 0, 0.95},
	{"./box", "Model/infer-http1", "ms-over-1.05-bare", "MiniLM asked over HTTP/1.1, ms at p50 over 1.05 of a bare run", 0.3, 0},
	{"./box", "Model/throughput-http1", "x-bare", "MiniLM, 8 callers over HTTP/1.1, runs a second / of bare runs", 0, 0.95},
	{"./model", "Batch/16-tokens/8-callers", "times", "MiniLM of 16 tokens, 8 callers, runs a second with batches / without", 0, 0},
	{"./model", "Batch/16-tokens/1-callers", "p50-ratio", "  p50 of a single caller with batches / without", 0, 0},
	{"./model/store", "Idle", "B/model", "bytes of memory for a model that is not ready", 2048, 0},
	{"./model", "Beside/upload", "p99-ratio", "MiniLM's p99 beside another's upload / without", 1.1, 0},
	{"./model", "Beside/load", "p99-ratio", "MiniLM's p99 beside another's load / without", 1.1, 0},
	{"./model", "Beside/2000-uploads", "p99-ratio", "MiniLM's p99 beside 2,000 uploads of another / without", 1.5, 0},
	{"./model", "BesideBodies", "with-p99-ms", "MiniLM's p99 beside another's four bodies of 20 MiB of JSON, ms", 0, 0},
	{"./model", "BesideBodies", "p99-ms", "  without", 0, 0},
}

func main() {
	rounds := flag.Int("rounds", 5, "how often each benchmark runs")
	benchtime := flag.String("benchtime", "1s", "how long each run lasts (go test -benchtime)")
	only := flag.String("only", "", "a regular expression: the rows whose package and benchmark it is in, as in '^./model '")
	flag.Parse()
	if err := run(*rounds, *benchtime, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, benchtime, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	pairings, comparisons := rows(wanted)
	if len(pairings)+len(comparisons) == 0 {
		return fmt.Errorf("-only %s: no row is that; nothing was measured", only)
	}
	fmt.Printf("%s, %d rounds\n\n", host.Describe(), rounds)
	results, err := measure(benchmarks(pairings, comparisons), rounds, benchtime)
	if err != nil {
		return err
	}
	fmt.Printf("%-14s %-22s %10s %7s | %-39s %10s %7s | %6s %s\n", "package", "ours", "per op", "allocs", "peer", "per op", "allocs", "ratio", "goals")
	for _, p := range pairings {
		report(p, results[p.pkg+" "+p.ours], results[p.pkg+" "+p.peer])
	}
	fmt.Println()
	for _, m := range comparisons {
		m.report(results[m.pkg+" "+m.bench])
	}
	if only != "" {
		return nil
	}
	return coldProcess(rounds * 4)
}

// rows are those of the report that somebody wants.
func rows(wanted *regexp.Regexp) ([]pairing, []comparison) {
	return slices.DeleteFunc(slices.Clone(pairings), func(p pairing) bool { return !wanted.MatchString(p.pkg + " " + p.ours) }),
		slices.DeleteFunc(slices.Clone(comparisons), func(m comparison) bool { return !wanted.MatchString(m.pkg + " " + m.bench) })
}

func (m comparison) report(samples []sample) {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = s.more[m.unit]
	}
	goal, got := "", median(values)
	switch {
	case m.atLeast > 0:
		goal = fmt.Sprintf(">= %g %s", m.atLeast, verdict(got >= m.atLeast))
	case m.atMost > 0:
		goal = fmt.Sprintf("<= %g %s", m.atMost, verdict(got <= m.atMost))
	}
	fmt.Printf("%-14s %-78s %10.2f %s\n", m.pkg, m.said, got, goal)
}

func verdict(met bool) string {
	if met {
		return "ok"
	}
	return "MISSED"
}

// measure runs every package once a round and collects the samples by
// "package benchmark". A round in which a figure is missing ends it: a row made
// of the rounds that are left would compare different moments.
func measure(wanted map[string][]string, rounds int, benchtime string) (map[string][]sample, error) {
	results := map[string][]sample{}
	for range rounds {
		for _, pkg := range slices.Sorted(maps.Keys(wanted)) {
			cmd := exec.Command("go", "test", "-run", "^$", "-bench", pattern(wanted[pkg]), "-benchmem", "-benchtime", benchtime, "-timeout", "1h", pkg)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(out))
			}
			found, err := figures(out, wanted[pkg])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
			}
			for name, s := range found {
				results[pkg+" "+name] = append(results[pkg+" "+name], s)
			}
		}
	}
	return results, nil
}

// benchmarks are the names of those that rows need, by package.
func benchmarks(pairings []pairing, comparisons []comparison) map[string][]string {
	wanted := map[string][]string{}
	add := func(pkg, name string) {
		if !slices.Contains(wanted[pkg], name) {
			wanted[pkg] = append(wanted[pkg], name)
		}
	}
	for _, p := range pairings {
		add(p.pkg, p.ours)
		add(p.pkg, p.peer)
	}
	for _, m := range comparisons {
		add(m.pkg, m.bench)
	}
	return wanted
}

// pattern is what `go test -bench` takes for some benchmarks. It may be a few more: all
// that have one of their first names and, below it, one of their second names; or all
// below the first names, where one has nothing below it, which would not be run else.
func pattern(names []string) string {
	first, second, parts := map[string]bool{}, map[string]bool{}, true
	for _, n := range names {
		top, rest, below := strings.Cut(n, "/")
		rest, _, _ = strings.Cut(rest, "/")
		first[regexp.QuoteMeta(top)], second[regexp.QuoteMeta(rest)] = true, true
		parts = parts && below
	}
	if !parts {
		return "^Benchmark" + oneOf(first)
	}
	return "^Benchmark" + oneOf(first) + "/^" + oneOf(second)
}

func oneOf(names map[string]bool) string {
	return "(" + strings.Join(slices.Sorted(maps.Keys(names)), "|") + ")$"
}

func report(p pairing, ours, peer []sample) {
	times, name := max(p.times, 1), p.peer
	if p.times > 1 {
		name = fmt.Sprintf("%g x %s", p.times, p.peer)
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i].ns / (peer[i].ns * times)
	}
	a, b, ratio := medianSample(ours), medianSample(peer), median(ratios)
	fmt.Printf("%-14s %-22s %10s %7.0f | %-39s %10s %7.0f | %6.2f %s\n",
		p.pkg, p.ours, duration(a.ns), a.allocs, name, duration(b.ns*times), b.allocs*times, ratio, p.goals.judge(ratio, a, b.allocs*times))
}

// judge says of each goal whether it is met.
func (g goals) judge(ratio float64, ours sample, peerAllocs float64) string {
	var said []string
	add := func(goal, got float64, what string) {
		switch {
		case goal == 0:
		case got <= goal:
			said = append(said, what+" ok")
		default:
			said = append(said, what+" MISSED")
		}
	}
	add(g.ratio, ratio, fmt.Sprintf("ratio <= %.2f", g.ratio))
	add(float64(g.within), ours.ns, fmt.Sprintf("<= %s", g.within))
	add(g.allocs, ours.allocs, fmt.Sprintf("allocs <= %.0f", g.allocs))
	add(g.allocsRatio*peerAllocs, ours.allocs, fmt.Sprintf("allocs <= %.2f of the peer's", g.allocsRatio))
	return strings.Join(said, ", ")
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
