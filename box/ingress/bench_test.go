package ingress

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// BenchmarkPolicy is keep-alive requests with 1 KiB answers over HTTP/1.1 on TLS
// 1.3, in turns with the policy on and off. Off is the same Handler with the same
// limits and forwarding, that does not ask who is calling, what the policy says and
// what is left of budgets. Each turn is compared with the one beside it, and the
// median is reported, so that what else the machine does slows down both.
func BenchmarkPolicy(b *testing.B) {
	answer := strings.Repeat("x", 1024)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	b.Cleanup(app.Close)
	doc := "name: bench\napp: {command: [app], listen: 127.0.0.1:1}\ncallers:\n" +
		"  - {name: clinic, api_key: " + hash(clinicKey) + ", may: [query], paths: [/v1/*], rate: 900000000/s, quota: {requests: 900000000/day}}\n" +
		"  - {name: auditor, api_key: " + hash(auditorKey) + ", may: [observe]}\nlimits: {concurrent: 1000}\n"
	h := New(Config{Policy: parsed(b, doc), Callers: known(b, doc), Backend: Forward("tcp", app.Listener.Addr().String(), parsed(b, doc))})
	var sides [2]*httptest.Server
	for i, handler := range []http.Handler{http.HandlerFunc(h.withoutPolicy), h} {
		sides[i] = httptest.NewTLSServer(handler)
		b.Cleanup(sides[i].Close)
		sides[i].Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 100
	}
	const together, turn = 8, 25
	var turns [2][]time.Duration
	var fewer []float64
	for i := range b.N {
		var took [2]time.Duration
		for _, side := range [2]int{i % 2, 1 - i%2} {
			began := time.Now()
			var all sync.WaitGroup
			for range together {
				all.Go(func() { ask(b, sides[side], turn) })
			}
			all.Wait()
			took[side] = time.Since(began)
			turns[side] = append(turns[side], took[side])
		}
		fewer = append(fewer, 100*(1-took[0].Seconds()/took[1].Seconds()))
	}
	for side, name := range []string{"off", "on"} {
		slices.Sort(turns[side])
		b.ReportMetric(together*turn/turns[side][len(turns[side])/2].Seconds(), name+"-req/s")
	}
	slices.Sort(fewer)
	b.ReportMetric(fewer[len(fewer)/2], "%fewer")
}

// withoutPolicy is ServeHTTP without the policy.
func (h *Handler) withoutPolicy(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, bare: w, http1: true, parting: h.parting}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	defer a.part()
	delete(r.Header, "Authorization")
	h.places.slots <- struct{}{}
	defer func() { <-h.places.slots }()
	r, _, end := h.begin(a, r, policy.Query, nil)
	defer end()
	h.pass(a, r, policy.Request{Caller: "clinic"}, Model{})
}

func ask(b *testing.B, s *httptest.Server, n int) {
	for range n {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL+"/v1/x", nil)
		if err != nil {
			b.Error(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+clinicKey)
		resp, err := s.Client().Do(r)
		if err != nil {
			b.Error(err)
			return
		}
		read, _ := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || read != 1024 {
			b.Errorf("status %d, %d bytes", resp.StatusCode, read)
		}
	}
}

// BenchmarkDecision is what the policy costs by itself: who is calling, what it
// may do, and what is left of its budgets.
func BenchmarkDecision(b *testing.B) {
	doc := strings.Replace(keyed, "paths: [/v1/*, /echo]", "paths: [/v1/*], rate: 900000000/s", 1)
	h := New(Config{Policy: parsed(b, doc), Callers: known(b, doc), Backend: http.NotFoundHandler()})
	r := httptest.NewRequest(http.MethodGet, "/v1/x", nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Header["Authorization"] = []string{"Bearer " + clinicKey}
		caller, p := h.identify(r)
		if p != nil {
			b.Fatal(p.Detail)
		}
		d := h.cfg.Policy.Decide(policy.Request{Caller: caller.Name, Action: policy.Query, Method: r.Method, Path: "/v1/x"})
		p, leave := h.admit(d, r, policy.Request{Caller: "clinic"}, h.budgets.Account(caller.Name))
		if p != nil {
			b.Fatal(p.Detail)
		}
		leave()
	}
}
