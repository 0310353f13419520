package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// crowd is a document with callers that have rules each, as near to MaxSize as
// that gets.
func crowd(callers, rules int) string {
	var b strings.Builder
	b.WriteString(head + "callers:\n")
	for c := range callers {
		fmt.Fprintf(&b, "- {name: c%d, api_key: %s, may: [query], paths: [", c, hash(fmt.Sprint(c)))
		for r := range rules {
			if r > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "/%d", r)
			if r%2 == 1 {
				b.WriteString("/*")
			}
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

// BenchmarkDecide: the figures of docs/benchmarks.md. Next to the time for each
// decision it reports the median and the 99th percentile. All but the last are
// decided anew each time.
func BenchmarkDecide(b *testing.B) {
	withCedar := full + "cedar: |\n  forbid(principal, action, resource) when { context.path like \"/v1/night/*\" && context.method == \"POST\" };\n"
	many := crowd(100, 100)
	for _, c := range []struct {
		name, doc string
		r         Request
	}{
		{"allowed", full, Request{Caller: "clinic", Action: Query, Method: "POST", Path: "/v1/audio/transcriptions"}},
		{"denied", full, Request{Caller: "clinic", Action: Query, Method: "POST", Path: "/v2/audio/transcriptions"}},
		{"with-cedar", withCedar, Request{Caller: "clinic", Action: Query, Method: "POST", Path: "/v1/audio/transcriptions"}},
		{"100x100-allowed", many, Request{Caller: "c99", Action: Query, Method: "POST", Path: "/99/x"}},
		{"100x100-denied", many, Request{Caller: "c99", Action: Query, Method: "POST", Path: "/98/x"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := Parse([]byte(c.doc))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			percentiles(b, func() { p.decide(c.r) })
		})
	}
	b.Run("100x100-remembered", func(b *testing.B) {
		p, err := Parse([]byte(many))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		percentiles(b, func() { p.Decide(Request{Caller: "c99", Action: Query, Method: "POST", Path: "/99/x"}) })
	})
}

// percentiles runs f b.N times and reports how long single runs take. The clock
// itself costs some 50 ns of each.
func percentiles(b *testing.B, f func()) {
	took := make([]time.Duration, b.N)
	for i := range took {
		start := time.Now()
		f()
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2]), "p50-ns")
	b.ReportMetric(float64(took[min(b.N*99/100, b.N-1)]), "p99-ns")
}

// BenchmarkAuthorize is what cedar-go alone takes: for the rules that Decide asks
// it about, and for all rules of all callers.
func BenchmarkAuthorize(b *testing.B) {
	p, err := Parse([]byte(crowd(100, 100)))
	if err != nil {
		b.Fatal(err)
	}
	rules := p.compiled.callers["c99"]
	request := cedar.Request{
		Principal: rules.uid, Action: actionUID(Query), Resource: cedar.NewEntityUID(pathType, "/99/x"),
		Context: cedar.NewRecord(cedar.RecordMap{"path": cedar.String("/99/x"), "method": cedar.String("GET"), "model": cedar.String("")}),
	}
	for name, list := range map[string]asked{
		"asked":  rules.slices[Query].candidates(nil, "/99/x"),
		"caller": p.compiled.rules[9900:],
		"all":    p.compiled.rules,
	} {
		b.Run(fmt.Sprintf("%s-%d", name, len(list)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cedar.Authorize(list, p.compiled.entities, request)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, doc := range map[string]string{"whole": whole, "100x100": crowd(100, 100)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse([]byte(doc)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
