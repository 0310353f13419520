package ingress

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// shared has three callers whose requests take places, and one whose do not.
func shared(concurrent int) string {
	return "name: test\napp: {command: [app], listen: 127.0.0.1:1}\ncallers:\n" +
		"  - {name: clinic, api_key: " + hash(clinicKey) + ", may: [query]}\n" +
		"  - {name: auditor, api_key: " + hash(auditorKey) + ", may: [observe]}\n" +
		"  - {name: third, api_key: " + hash("a-key-of-the-third-003") + ", may: [upload, observe]}\n" +
		"  - {anyone: true, may: [query]}\nlimits: {concurrent: " + fmt.Sprint(concurrent) + "}\n"
}

// TestPlaces: what one caller can hold alone, and that whoever holds none gets one.
func TestPlaces(t *testing.T) {
	for _, tc := range []struct{ concurrent, alone int }{{1, 1}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {16, 14}} {
		p := newPlaces(parsed(t, shared(tc.concurrent)), time.Now)
		n := 0
		for p.take("clinic") == nil {
			n++
		}
		if n != tc.alone {
			t.Errorf("of %d places one caller got %d, expected %d", tc.concurrent, n, tc.alone)
		}
		more := 0
		for _, other := range []string{"anyone", "third"} {
			for p.take(other) == nil {
				more++
			}
		}
		if want := min(2, tc.concurrent-n); more < want || n+more != tc.concurrent {
			t.Errorf("of %d places the others got %d beside %d", tc.concurrent, more, n)
		}
		if got := p.take("clinic"); got == nil || got.Status != 429 || !strings.Contains(got.Detail, "As many") {
			t.Errorf("all %d places are taken: %+v", tc.concurrent, got)
		}
		for range n {
			p.leave("clinic")
		}
		if p.take("clinic") != nil {
			t.Errorf("of %d places none was given back", tc.concurrent)
		}
	}
	// A policy with one caller has nobody to keep a place for.
	p := newPlaces(parsed(t, open), time.Now)
	n := 0
	for p.take("anyone") == nil {
		n++
	}
	if n != 2 {
		t.Errorf("the only caller gets %d of 2 places", n)
	}
}

// TestPlacesComeBack: what is counted is what is held.
func TestPlacesComeBack(t *testing.T) {
	p := newPlaces(parsed(t, shared(5)), time.Now)
	for range 3 {
		for range 3 {
			if got := p.take("clinic"); got != nil {
				t.Fatalf("%+v", got)
			}
		}
		if got := p.take("clinic"); got == nil || !strings.Contains(got.Detail, "kept for callers") {
			t.Fatalf("a fourth: %+v", got)
		}
		if p.take("anyone") != nil || p.take("anyone") == nil {
			t.Fatal("anyone gets one, and the last is kept for the third caller")
		}
		for range 3 {
			p.leave("clinic")
		}
		p.leave("anyone")
	}
	if p.idle != 3 || len(p.held) != 0 || len(p.slots) != 0 {
		t.Errorf("%d idle, %v held, %d taken", p.idle, p.held, len(p.slots))
	}
}

// TestPlacesExpire: for a caller whom nobody knows any more no place is kept, and
// for one who is known again, because the clock was wrong, it is.
func TestPlacesExpire(t *testing.T) {
	doc := strings.NewReplacer("may: [query]}\n  - {name: auditor", "may: [query], expires: 2027-01-01T00:00:00Z}\n  - {name: auditor",
		"[observe]}", "[observe], expires: 2026-01-01T00:00:00Z}", "[upload, observe]}", "[upload, observe], expires: 2026-06-01T00:00:00Z}").Replace(shared(5))
	now := time.Date(2026, 5, 31, 23, 59, 59, 0, time.UTC)
	p := newPlaces(parsed(t, doc), func() time.Time { return now })
	first, second := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		at           time.Time
		alone, share int // places that anyone gets alone, and who shares them
	}{{now, 3, 3}, {first, 4, 2}, {first.Add(-1), 3, 3}, {second, 5, 1}, {second.Add(-1), 4, 2}, {second.Add(1), 5, 1}, {now, 3, 3}} {
		now = row.at
		n := 0
		for p.take("anyone") == nil {
			n++
		}
		if n != row.alone || p.idle != row.share-1 {
			t.Errorf("%s: anyone gets %d places, expected %d; %d others hold none, expected %d", now, n, row.alone, p.idle, row.share-1)
		}
		for range n {
			p.leave("anyone")
		}
		if p.idle != row.share {
			t.Errorf("%s: %d hold none, expected %d", now, p.idle, row.share)
		}
	}
	// Who holds places while he expires gives them back, and is counted no more.
	now = first.Add(-1)
	if p.take("third") != nil || p.idle != 2 {
		t.Errorf("%d hold none, expected 2", p.idle)
	}
	now = first
	if p.take("clinic") != nil || p.idle != 1 {
		t.Errorf("%d hold none, expected 1", p.idle)
	}
	p.leave("third")
	if p.leave("clinic"); p.idle != 2 || len(p.held) != 0 || len(p.slots) != 0 {
		t.Errorf("%d hold none, expected 2; %v held", p.idle, p.held)
	}
}

// TestOneCallerDoesNotHoldAll: requests that never end keep out only their sender.
func TestOneCallerDoesNotHoldAll(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		arrived, release := make(chan struct{}), make(chan struct{})
		_, s := front(t, shared(2), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/held" {
				arrived <- struct{}{}
				<-release
			}
		}))
		c, done := client(s), make(chan struct{})
		held := request(t, "GET", s.URL+"/held", nil, "Blindbox-Key", clinicKey)
		go func() {
			defer close(done)
			if resp, err := c.Do(held); err == nil {
				resp.Body.Close()
			}
		}()
		within(t, "request", arrived)
		resp, text := do(t, c, request(t, "GET", s.URL+"/x", nil, "Blindbox-Key", clinicKey))
		if p := wantProblem(t, resp, text, 429); !strings.Contains(p.Detail, "kept for callers") || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%+v, Retry-After %q", p, resp.Header.Get("Retry-After"))
		}
		if resp, text := do(t, c, request(t, "GET", s.URL+"/x", nil)); resp.StatusCode != 200 {
			t.Errorf("another caller: %d %s", resp.StatusCode, text)
		}
		close(release)
		within(t, "end", done)
	})
}

// TestMeOnce: asking again computes nothing again.
func TestMeOnce(t *testing.T) {
	h := New(Config{Policy: parsed(t, keyed), Callers: known(t, keyed), Backend: http.NotFoundHandler()})
	if one, two := h.me["clinic"](), h.me["clinic"](); &one[0] != &two[0] {
		t.Error("what a caller may do was written twice")
	}
	// The authenticator is of another policy than the handler.
	h = New(Config{Policy: parsed(t, open), Callers: known(t, keyed), Backend: http.NotFoundHandler()})
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	resp, text := do(t, s.Client(), request(t, "GET", s.URL+"/.well-known/blindbox/me", nil, "Blindbox-Key", clinicKey))
	wantProblem(t, resp, text, 503)
}

// TestTrailersOfTheApp: what the app says behind its answer cannot look like the
// box's either.
func TestTrailersOfTheApp(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		for _, announced := range []string{"Sum", "Sum, Blindbox-Receipt", "Blindbox-Receipt", ""} {
			_, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if announced != "" {
					w.Header().Set("Trailer", announced)
				}
				io.WriteString(w, "answer")
				w.(http.Flusher).Flush()
				for _, name := range []string{"Sum", "Blindbox-Receipt", "Blindbox-Late", "Blindbox_late"} {
					if strings.Contains(announced, name) {
						w.Header().Set(name, "1")
					} else {
						w.Header()[http.TrailerPrefix+name] = []string{"1"}
					}
				}
			}))
			resp, text := do(t, client(s), request(t, "GET", s.URL+"/x", nil))
			if string(text) != "answer" || len(resp.Trailer) != 1 || resp.Trailer.Get("Sum") != "1" {
				t.Errorf("announced %q: answer %q, trailers %v", announced, text, resp.Trailer)
			}
		}
	})
}

// TestInformational: nor can what the app says before its answer.
func TestInformational(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		_, s := front(t, open, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</x>")
			w.Header().Set("Blindbox-Error", "BBX-401")
			w.WriteHeader(http.StatusEarlyHints)
		}))
		var got []textproto.MIMEHeader
		r := request(t, "GET", s.URL+"/x", nil)
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { got = append(got, h); return nil },
		}))
		do(t, client(s), r)
		if len(got) != 1 || got[0].Get("Link") != "</x>" || got[0].Get("Blindbox-Error") != "" {
			t.Errorf("%v", got)
		}
	})
}

// TestInformationalWithoutEnd: an app that never comes to its answer holds no place for
// ever, and what it says meanwhile is not passed on without end.
func TestInformationalWithoutEnd(t *testing.T) {
	protocols(t, func(t *testing.T, client func(*httptest.Server) *http.Client) {
		_, s := front(t, strings.Replace(withLimits("", ""), "idle: 1m", "idle: 1s", 1), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
			}
		}))
		var got atomic.Int64
		r := request(t, "GET", s.URL+"/x", nil)
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { got.Add(1); return nil },
		}))
		resp, text := do(t, client(s), r)
		if resp.StatusCode != http.StatusBadGateway || got.Load() > maxBefore {
			t.Errorf("status %d %s, %d before it, expected at most %d", resp.StatusCode, text, got.Load(), maxBefore)
		}
	})
}

// TestPlacesOfObservers: for a caller that only observes no place is kept, also if
// Cedar lets it have one.
func TestPlacesOfObservers(t *testing.T) {
	p := newPlaces(parsed(t, shared(5)), time.Now)
	for range 2 {
		if p.take("auditor") != nil || p.idle != 3 {
			t.Fatalf("%d callers hold none, expected 3", p.idle)
		}
		p.leave("auditor")
	}
	if p.idle != 3 {
		t.Errorf("%d callers hold none, expected 3", p.idle)
	}
}

// TestPlaceOfTheRefused: who has used up a rate holds no place.
func TestPlaceOfTheRefused(t *testing.T) {
	doc := withLimits("", ", rate: 1/min")
	h := New(Config{Policy: parsed(t, doc), Callers: known(t, doc), Backend: says(1, true)})
	for _, want := range []int{200, 429, 429} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("Blindbox-Key", clinicKey)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || len(h.places.slots) != 0 || len(h.places.held) != 0 {
			t.Errorf("status %d, expected %d; %d places taken, held %v", w.Code, want, len(h.places.slots), h.places.held)
		}
	}
}
