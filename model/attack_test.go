package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/longer"
	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/onnx"
)

// running is a context that ends as soon as background work runs.
type running struct {
	context.Context
	runs *schedule.Scheduler
}

func (c running) Err() error {
	if c.runs.Stats().BackgroundRunning > 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func (running) Done() <-chan struct{} { return nil }

// TestLoadEndsWithItsContext: a model that takes too long to lay out gives its run back,
// and does not keep others from being loaded.
func TestLoadEndsWithItsContext(t *testing.T) {
	runs, err := schedule.New(2, schedule.Limits{Queue: 4, Caller: 4})
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{onnx.DefaultLimits(), runs, onnx.NewBudget(1 << 20)}
	if _, err := l.Load(running{t.Context(), runs}, "", bytes.NewReader(scale(3))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a load whose time is over ends with %v", err)
	}
	if n := runs.Stats().BackgroundRunning; n != 0 {
		t.Errorf("%d loads go on", n)
	}
}

// TestWaitingIsNotLoading: who waits for the loads of others is not slow itself.
func TestWaitingIsNotLoading(t *testing.T) {
	if err := longer.Try(50*time.Millisecond, func(limit time.Duration) error {
		c := bounds()
		c.LoadTime = limit
		s, err := NewServer(nil, WithStore(c), WithConcurrency(2))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		release, err := s.runs.Background(t.Context(), "hostile")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(4*limit, release)
		if w := as(t, s, "clinic", "POST", "/v2/repository/uploads?name=m", bytes.NewReader(scale(3))); w.Code != 201 {
			return fmt.Errorf("%d %s", w.Code, w.Body)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestLoadsAreTheOwners: models are loaded on the account of who brought them, so that
// those of one owner are not all before another's.
func TestLoadsAreTheOwners(t *testing.T) {
	s, err := NewServer(nil, WithStore(bounds()), WithConcurrency(2))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, err := s.runs.Background(t.Context(), "clinic")
	if err != nil {
		t.Fatal(err)
	}
	behind := make(chan int, 1)
	go func() { // the owner's next
		release, err := s.runs.Background(context.Background(), "clinic")
		if err == nil {
			behind <- s.runs.Stats().BackgroundWaiting
			release()
		}
	}()
	eventually(t, "a load waits", func() bool { return s.runs.Stats().BackgroundWaiting == 1 })
	done := make(chan int, 1)
	go func() {
		r := httptest.NewRequest("POST", "/v2/repository/uploads?name=m", bytes.NewReader(scale(3)))
		r.Header.Set(CallerHeader, "clinic")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		done <- w.Code
	}()
	eventually(t, "the upload waits too", func() bool { return s.runs.Stats().BackgroundWaiting == 2 })
	first()
	if n := <-behind; n != 1 {
		t.Errorf("%d loads wait behind the one that was first, want the upload", n)
	}
	if code := <-done; code != 201 {
		t.Errorf("the upload: %d", code)
	}
}

// TestDecidedAbout: what a name and a version lead to is what the policy decides about
// and what is then used, shown and changed, or it is refused.
func TestDecidedAbout(t *testing.T) {
	s := repository(t, true, nil)
	file := scale(3)
	for _, query := range []string{"name=secret&version=2", "name=open&version=1"} { // one id, two models
		want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?"+query, bytes.NewReader(file)), 201, `"name"`)
	}
	id, whole := "sha256-"+hexOf(file), "sha256:"+hexOf(file)
	for path, want := range map[string]string{
		"/v2/models/" + id:                                 "clinic~open",
		"/v2/models/" + id + "/versions/2":                 "clinic~secret",
		"/v2/models/" + id + "/versions/2/infer":           "clinic~secret",
		"/v2/models/" + id + "/versions/1/ready":           "clinic~open",
		"/v2/models/" + id + "/versions/02":                id,
		"/v2/repository/models/" + id + "/versions/2":      "clinic~secret",
		"/v2/repository/models/" + id + "/versions/2/load": "clinic~secret",
		"/v2/repository/models/" + id + "/load":            "clinic~open",
	} {
		if got, _, _ := s.Model("clinic", httptest.NewRequest("GET", path, nil), nil); got != want {
			t.Errorf("%s is decided about as %q, want %q", path, got, want)
		}
	}
	for _, c := range []struct{ method, path string }{
		{"GET", "/v2/models/secret"}, {"GET", "/v2/models/secret/ready"}, {"DELETE", "/v2/repository/models/secret"},
		{"DELETE", "/v2/repository/models/" + id + "/versions/2"}, {"POST", "/v2/repository/models/secret/load"},
		{"POST", "/v2/repository/models/secret/unload"}, {"POST", "/v2/repository/models/secret/pin"}, {"POST", "/v2/repository/models/secret/unpin"},
	} {
		w := as(t, s, "clinic", c.method, c.path, nil, ModelHeader, "clinic~open", ModelIDHeader, whole)
		if want(t, w, 409, "another model"); strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s tells of it: %s", c.method, c.path, w.Body)
		}
	}
	want(t, as(t, s, "clinic", "GET", "/v2/models/secret", nil, ModelHeader, "clinic~secret"), 409, "another model") // it was not there
	want(t, as(t, s, "clinic", "GET", "/v2/models/secret", nil, ModelHeader, "clinic~secret", ModelIDHeader, whole), 200, `"name":"secret"`)
	if w := as(t, s, "clinic", "DELETE", "/v2/repository/models/"+id+"/versions/2", nil, ModelHeader, "clinic~secret", ModelIDHeader, whole); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want(t, as(t, s, "clinic", "GET", "/v2/models/open", nil), 200, `"name":"open"`)
}

func hexOf(file []byte) string { return fmt.Sprintf("%x", sha256.Sum256(file)) }

// TestManyMembers: names of members, which take more memory than the text that they stand
// in, are refused when there are more of them than a request has a use for.
func TestManyMembers(t *testing.T) {
	var members strings.Builder
	for i := range 4 * maxMembers {
		fmt.Fprintf(&members, `"%x":0,`, i)
	}
	object := "{" + members.String() + `"last":0}`
	const why = "more than 1024 members"
	s := serverOf(t, mustLoad(t, "words", words()))
	for _, body := range []string{`{"parameters":` + object + `}`, `{"inputs":[{"parameters":` + object + `}]}`, `{"inputs":[{"data":` + object + `}]}`} {
		want(t, as(t, s, "hostile", "POST", "/v2/models/words/infer", strings.NewReader(body)), 400, why)
	}
	if _, err := namedInJSON(nil, []byte(`{"input":`+object+`,"model":"words"}`), s.work(t.Context(), "hostile")); err == nil || !strings.Contains(err.Error(), "wrong at byte") {
		t.Errorf("%v, expected a refusal", err)
	}
}
