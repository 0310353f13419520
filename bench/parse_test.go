package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	head = "goos: linux\ngoarch: amd64\npkg: example.com/box\ncpu: Some(R) CPU @ 2.00GHz\n"
	end  = "PASS\nok  \texample.com/box\t1.748s\n"
)

// TestFigures: lines that other output tore apart are put together again.
func TestFigures(t *testing.T) {
	box := sample{ns: 108294, bytes: 14720, allocs: 173}
	pooled := sample{ns: 53.5, bytes: 16431, allocs: 159}
	if got, err := parseSample("5 ns/op 1.5 p99-ratio 1 B/op 3 allocs/op"); err != nil || got.more["p99-ratio"] != 1.5 {
		t.Errorf("%v, %v", got, err)
	}
	for name, out := range map[string]string{
		"whole": "BenchmarkRequests/box-2         \t    2116\t    108294 ns/op\t      9234 req/s\t   14720 B/op\t     173 allocs/op\n" +
			"BenchmarkRequests/pooled-2  \t     816\t    53.5 ns/op\t      2348 req/s\t   16431 B/op\t     159 allocs/op\n",
		"one core": "BenchmarkRequests/box         \t    2116\t    108294 ns/op\t   14720 B/op\t     173 allocs/op\n" +
			"BenchmarkRequests/pooled  \t     816\t    53.5 ns/op\t   16431 B/op\t     159 allocs/op\n",
		"log between name and figures": "BenchmarkRequests/box-2         \t2026/11/22 11:08:46 http: TLS handshake error from 127.0.0.1:53260: EOF\n" +
			"2026/11/22 11:08:46 http: TLS handshake error from 127.0.0.1:53254: read tcp 127.0.0.1:41399->127.0.0.1:53254: use of closed network connection\n" +
			"    2116\t    108294 ns/op\t      9234 req/s\t   14720 B/op\t     173 allocs/op\n" +
			"BenchmarkRequests/pooled-2  \t     816\t    53.5 ns/op\t      2348 req/s\t   16431 B/op\t     159 allocs/op\n",
		"text without its end": "BenchmarkRequests/box-2         \tstarting    2116\t    108294 ns/op\t   14720 B/op\t     173 allocs/op\n" +
			"BenchmarkRequests/pooled-2  \n     816\t    53.5 ns/op\t   16431 B/op\t     159 allocs/op\n",
	} {
		got, err := figures([]byte(head+out+end), []string{"Requests/box", "Requests/pooled"})
		if err != nil || len(got) != 2 || bare(got["Requests/box"]) != bare(box) || bare(got["Requests/pooled"]) != bare(pooled) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// bare are the figures that every benchmark has.
func bare(s sample) [3]float64 { return [3]float64{s.ns, s.bytes, s.allocs} }

// TestMissingFigures: an error that shows what was written, never an empty row.
func TestMissingFigures(t *testing.T) {
	const whole = "BenchmarkA-2 \t 10\t 5 ns/op\t 1 B/op\t 1 allocs/op\n"
	for name, c := range map[string]struct{ out, want string }{
		"not there":        {whole, "no figures of B"},
		"nothing at all":   {"", "no figures of A"},
		"never ended":      {whole + "BenchmarkB-2 \tinterrupted\n", "no figures of B"},
		"no time":          {whole + "BenchmarkB-2 \t 10\t 1 B/op\t 1 allocs/op\n", "no figures of B"},
		"no allocations":   {whole + "BenchmarkB-2 \t 10\t 5 ns/op\t 1 B/op\n", "no allocs/op"},
		"not a number":     {whole + "BenchmarkB-2 \t 10\t 5 ns/op\t x B/op\t 1 allocs/op\n", "invalid syntax"},
		"twice":            {whole + whole, "without a name of their own"},
		"figures, no name": {"10\t 5 ns/op\t 1 B/op\t 1 allocs/op\n" + whole, "without a name of their own"},
		"figures of two":   {whole + " 10\t 5 ns/op\t 1 B/op\t 1 allocs/op\n", "without a name of their own"},
	} {
		got, err := figures([]byte(head+c.out+end), []string{"A", "B"})
		if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "example.com/box\t1.748s") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestTail(t *testing.T) {
	if got := tail([]byte(strings.Repeat("x", 5000) + "end")); len(got) != 2000 || !strings.HasSuffix(string(got), "xend") {
		t.Errorf("%d bytes", len(got))
	}
}

// TestEveryRowIsMeasured: a row whose benchmarks are not asked for would be empty.
func TestEveryRowIsMeasured(t *testing.T) {
	asked := benchmarks(pairings, comparisons)
	has := func(pkg, name string) {
		first, second, _ := strings.Cut(pattern(asked[pkg]), "/")
		top, below, parts := strings.Cut(name, "/")
		below, _, _ = strings.Cut(below, "/")
		if !slices.Contains(asked[pkg], name) || !regexp.MustCompile(first).MatchString("Benchmark"+top) || parts && !regexp.MustCompile(second).MatchString(below) {
			t.Errorf("%s: %s is not asked for by %s", pkg, name, pattern(asked[pkg]))
		}
	}
	for _, p := range pairings {
		has(p.pkg, p.ours)
		has(p.pkg, p.peer)
	}
	for _, m := range comparisons {
		has(m.pkg, m.bench)
	}
}

// TestPattern: what a row needs is run, and what stands beside it in its package is not.
func TestPattern(t *testing.T) {
	for want, names := range map[string][]string{
		"^Benchmark(Connect)$/^(fast|full|tls13)$": {"Connect/fast", "Connect/tls13", "Connect/full"},
		"^Benchmark(Signature|VerifyCold)$":        {"VerifyCold", "Signature"},
		"^Benchmark(Decide|Verify)$/^(100x100|a)$": {"Decide/100x100", "Verify/a/warm", "Verify/a/cold"},
		`^Benchmark(Verify)$/^(a\+b)$`:             {"Verify/a+b"},
		"^Benchmark(Signature|Verify)$":            {"Verify/cold", "Signature"},
	} {
		if got := pattern(names); got != want {
			t.Errorf("%q: %s, expected %s", names, got, want)
		}
	}
}

// TestRows: each row can be wanted by itself, and names no benchmark twice.
func TestRows(t *testing.T) {
	p, m := rows(regexp.MustCompile(`^\./model Beside/`))
	if len(p) != 0 || len(m) != 3 {
		t.Errorf("%d pairings and %d comparisons, expected 0 and 3", len(p), len(m))
	}
	for pkg, names := range benchmarks(pairings, comparisons) {
		if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%s: %q", pkg, names)
		}
	}
}
